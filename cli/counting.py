"""`stats`: how much there is, and what waits."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import typer

from wa_webhooks.errors import StoreError

from . import options, render, spooling, waiting
from .options import JsonOption, StoreOption
from .spooling import SpoolLimitOption, SpoolOption

if TYPE_CHECKING:
    from wa_webhooks.spool import Standing


def register(app: typer.Typer) -> None:
    """Add the command to the app."""
    app.command()(stats)


def stats(
    store: StoreOption = options.DEFAULT_STORE_URL,
    spool: SpoolOption = spooling.DEFAULT_SPOOL,
    spool_limit: SpoolLimitOption = spooling.DEFAULT_SPOOL_MIB,
    json: JsonOption = False,
) -> int:
    """Count what there is, and what waits.

    Also what was refused, which app secrets signed when, and what this machine's spool holds, also while the store
    cannot be reached.
    """
    from wa_webhooks import rotation

    spooled = spooling.standing(spool, store, spool_limit)
    try:
        counts, refused = _counted(store)
    except StoreError:
        if spooled:
            _show_spool(spooled, json=json)
        raise
    if spooled:
        counts["spool"] = asdict(spooled)
    counts["app_secrets"] = rotation.standing(counts["app_secrets"], _app_secrets())
    counts["lag_seconds"] = _lag(counts["oldest_waiting"])
    counts["rejections"] = {"total": refused["total"], "last_24h": refused["by_cause"], "last_at": refused["last_at"]}
    if json:
        render.line(counts)
    else:
        _show(counts)
    return 0


def _counted(store: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the store counts, and what it counts of rejections."""
    opened = waiting.open_store(store)
    try:
        return opened.counts(), opened.rejection_counts(since=datetime.now(UTC) - timedelta(days=1))
    finally:
        opened.close()


def _show_spool(spooled: Standing, *, json: bool) -> None:
    if json:
        render.line({"spool": asdict(spooled)})
    else:
        render.facts("spool", asdict(spooled))


def _lag(oldest: str | None) -> float:
    """For how long the oldest delivery has been waiting."""
    if oldest is None:
        return 0.0
    waited = datetime.now(UTC) - datetime.fromisoformat(oldest)
    return max(0.0, round(waited.total_seconds(), 3))


def _app_secrets() -> tuple[str, ...] | None:
    """The app secrets of the environment; None without any, or where something is wrong with them."""
    from wa_webhooks import settings
    from wa_webhooks.errors import ConfigError

    try:
        return settings.app_secrets()
    except ConfigError:
        return None


def _show(counts: dict[str, Any]) -> None:
    events = counts["events"]
    if spooled := counts.get("spool"):
        render.facts("spool", spooled)
    by_type = sorted(events.pop("by_type").items(), key=lambda pair: (-pair[1], pair[0]))
    render.facts("waiting", _waiting(counts, events) or {"nothing": "everything recorded is processed"})
    render.facts("events", events)
    tables = ("deliveries", "leads", "messages", "message_statuses", "calls", "account_events")
    render.facts("rows", {name.replace("_", " "): counts[name] for name in tables})
    refused = counts["rejections"]
    render.facts("rejections", {"total": refused["total"], "last": refused["last_at"]})
    if refused["last_24h"]:
        render.facts("rejections of the last 24 hours", refused["last_24h"])
    if counts.get("workers"):
        columns = ("name", "seen_at", "deliveries", "events", "until")
        rows = [[worker[column] for column in columns] for worker in counts["workers"]]
        titles = ("worker", "last seen", "deliveries leased", "events leased", "until")
        render.table(titles, rows, title="workers of the last hour")
    if counts["app_secrets"]:
        columns = ("label", "deliveries", "first_at", "last_at", "standing")
        rows = [[secret[column] for column in columns] for secret in counts["app_secrets"]]
        render.table(("label", "deliveries", "first used", "last used", ""), rows, title="app secrets")
    render.table(("type", "events"), by_type, title="events by type")


def _waiting(counts: dict[str, Any], events: dict[str, int]) -> dict[str, str]:
    """What is recorded and not done, in the order in which it will be."""
    oldest, next_retry = counts["oldest_waiting"], counts["next_attempt_at"]
    found = {
        "deliveries": (
            counts["backlog"],
            f"the oldest from {render.moment(oldest)}, {counts['lag_seconds']:.0f} s ago" if oldest else "",
        ),
        "pending events": (events["pending"], "of runs that were interrupted or are under way"),
        "failed events": (events["failed"], f"the next retry at {render.moment(next_retry)}" if next_retry else ""),
        "queued actions": (counts["actions_queued"], ""),
    }
    return {name: f"{number}, {told}".rstrip(", ") for name, (number, told) in found.items() if number}
