"""`replay` and `reprocess`."""

from __future__ import annotations

import getpass
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import options, render
from .options import (
    AccountsOption,
    AttemptsOption,
    ErrorOption,
    HandlersOption,
    JsonOption,
    LeadOption,
    NumbersOption,
    RetryBaseOption,
    SinceOption,
    StoreOption,
    TypesOption,
    UntilOption,
    YesOption,
)

if TYPE_CHECKING:
    from wa_webhooks.captures import Captures
    from wa_webhooks.stores.base import Run


def register(app: typer.Typer) -> None:
    """Add the commands to the app."""
    app.command()(replay)
    app.command()(reprocess)


def replay(
    paths: Annotated[
        list[str], typer.Argument(metavar="PATH...", help="Files, folders, globs; - for standard input.")
    ],
    to: Annotated[
        str | None,
        typer.Option(
            "--to", envvar="WA_HOOKS_TO", metavar="URL", help="Send them there, signed with the app secret."
        ),
    ] = None,
    store: StoreOption = options.DEFAULT_STORE_URL,
    handlers: HandlersOption = None,
    allow_accounts: AccountsOption = None,
    allow_numbers: NumbersOption = None,
    max_attempts: AttemptsOption = options.DEFAULT_ATTEMPTS,
    retry_base: RetryBaseOption = options.DEFAULT_RETRY_BASE,
    json: JsonOption = False,
) -> int:
    """Replay captured deliveries here, or to a URL.

    JSON lines (*.jsonl, or several lines on standard input) are one delivery a line; so are lines of tail-log --json.
    What the log has already is not applied again. Exits 3 if an event failed or a receiver did not answer 200.
    """
    from wa_webhooks import captures

    found = captures.gather(paths, sys.stdin.buffer)
    for skipped in found.skipped:
        typer.echo(f"skipped {skipped}", err=True)
    if to:
        return _send(found, to, json=json)
    from wa_webhooks import pipeline as pipelines

    pipeline = options.pipeline(
        store,
        handlers=handlers,
        accounts=allow_accounts,
        numbers=allow_numbers,
        attempts=max_attempts,
        base=retry_base,
    )
    run = _start("replay", {"paths": paths})
    try:
        with render.Progress("replaying", total=_known_total(found)) as progress:
            bodies = (capture.body for capture in found)
            counts = pipelines.replay(pipeline, bodies, run, progress=lambda t: progress.update(t.deliveries))
    finally:
        pipeline.store.close()
    summary = _summary(counts, skipped=len(found.skipped))
    render.summary("replay", {**summary, "run": run.id}, json=json)
    return 3 if summary["failed"] else 0


def _send(found: Captures, url: str, *, json: bool) -> int:
    from wa_webhooks import settings
    from wa_webhooks.sending import send

    secret = settings.app_secrets()[0]
    with render.Progress("sending", total=_known_total(found)) as progress:
        sent = send(found, url, secret, progress=lambda s: progress.update(s.deliveries))
    render.failures(sent.failures)
    summary: dict[str, Any] = dict.fromkeys(("deliveries", "events", "new", "duplicates", "processed"))
    summary |= {"deliveries": sent.deliveries, "failed": sent.failed, "skipped": len(found.skipped)}
    render.summary("send", {**summary, "statuses": dict(sent.statuses), "to": url}, json=json)
    return 3 if sent.failed else 0


def _known_total(found: Captures) -> int | None:
    """How many deliveries there will be, if every file is one."""
    many = found.stdin or any(file.suffix in (".jsonl", ".ndjson") for file in found.files)
    return None if many else len(found.files)


def reprocess(
    failed: Annotated[bool, typer.Option("--failed", help="Events that failed, dead ones included.")] = False,
    dead: Annotated[bool, typer.Option("--dead", help="Events that were given up.")] = False,
    refused: Annotated[bool, typer.Option("--refused", help="Events refused by an allow-list.")] = False,
    ids: Annotated[list[int] | None, typer.Option("--id", metavar="ID", help="Events by id.")] = None,
    types: TypesOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    lead: LeadOption = None,
    error: ErrorOption = None,
    everything: Annotated[bool, typer.Option("--all", help="The whole log.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count, and stop there.")] = False,
    yes: YesOption = False,
    store: StoreOption = options.DEFAULT_STORE_URL,
    handlers: HandlersOption = None,
    allow_accounts: AccountsOption = None,
    allow_numbers: NumbersOption = None,
    max_attempts: AttemptsOption = options.DEFAULT_ATTEMPTS,
    retry_base: RetryBaseOption = options.DEFAULT_RETRY_BASE,
    json: JsonOption = False,
) -> int:
    """Run events of the log through again.

    Say which: --failed, --dead, --refused, --id, --type, --since, --until, --lead, --error (all that are given must
    hold), or --all. Applying an event twice changes nothing. Exits 3 if an event failed again, 4 if none matches.
    """
    from wa_webhooks import pipeline as pipelines
    from wa_webhooks.errors import ConfigError, NothingMatchesError

    pipeline = options.pipeline(
        store,
        handlers=handlers,
        accounts=allow_accounts,
        numbers=allow_numbers,
        attempts=max_attempts,
        base=retry_base,
        create=False,
    )
    try:
        states = [
            *(["failed", "dead"] if failed else ["dead"] if dead else []),
            *(["refused"] if refused else []),
        ]
        query = options.query(
            pipeline.store,
            types=types,
            since=since,
            until=until,
            lead=lead,
            error=error,
            ids=tuple(ids or ()),
            states=tuple(states),
        )
        if query.is_everything != everything:
            raise ConfigError(
                "--all does not go with other conditions" if everything else "no scope is given",
                hint="Say which events: --failed, --dead, --id, --type, --since, --lead, --error, or --all.",
            )
        plan = pipeline.store.preview(query)
        if not plan["events"]:
            raise NothingMatchesError("no event matches")
        render.plan(plan)
        if dry_run:
            render.summary("plan", {"events": plan["events"], "leads": plan["leads"]}, json=json)
            return 0
        if not yes:
            _confirm(plan["events"])
        scope = {name: str(value) for name in query.__slots__ if (value := getattr(query, name))}
        run = _start("reprocess", scope)
        with render.Progress("reprocessing", total=plan["events"]) as progress:
            counts = pipelines.reprocess(pipeline, query, run, progress=lambda t: progress.update(t.events))
    finally:
        pipeline.store.close()
    summary = _summary(counts, skipped=max(0, plan["events"] - counts["events"]))
    render.summary("reprocess", {**summary, "run": run.id}, json=json)
    return 3 if summary["failed"] else 0


def _confirm(events: int) -> None:
    from wa_webhooks.errors import ConfigError

    if not sys.stdin.isatty():
        raise ConfigError("nobody is there to ask", hint="Add --yes to go ahead.")
    typer.confirm(f"Reprocess {events} events?", abort=True, err=True)


def _start(command: str, scope: dict[str, Any]) -> Run:
    from wa_webhooks.pipeline import start_run

    try:
        who = getpass.getuser()
    except (OSError, KeyError, ImportError):  # a container's user may have no name
        who = "unknown"
    return start_run(command, scope=scope, started_by=who, now=datetime.now(UTC))


def _summary(counts: dict[str, Any], *, skipped: int) -> dict[str, Any]:
    """The figures that scripts rely on.

    Skipped: files that hold no payload, and events refused or left out. By type: all events, duplicates too.
    """
    return {
        "deliveries": counts["deliveries"],
        "events": counts["events"],
        "new": counts["events"] - counts["duplicates"] if counts["deliveries"] else 0,
        "duplicates": counts["duplicates"],
        "processed": counts["processed"],
        "failed": counts["failed"] + counts["dead"],
        "skipped": skipped + counts["refused"],
        "by_type": counts["by_type"],
    }
