"""How `show` finds one record by whatever id a person has at hand, and draws it."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from wa_webhooks.masking import mask, mask_id, mask_numbers, mask_words
from wa_webhooks.stores.base import Query

from . import render
from .options import SHORTEST_PHONE, plain_id

if TYPE_CHECKING:
    from wa_webhooks.stores.base import Store

_MOST_MENTIONS = 50


def look_up(store: Store, ident: str) -> tuple[str, dict[str, Any] | None]:
    """Return the kind of the record that `ident` names, and the record if there is one."""
    prefix, _, rest = ident.partition(":")
    if prefix in ("event", "delivery", "lead") and rest.isdecimal():
        return prefix, store.get(prefix, int(rest))
    if ident.isdecimal() and len(ident) < SHORTEST_PHONE:
        return "event", store.get("event", int(ident))
    if ident.startswith("wacid."):
        return "call", store.get("call", ident)
    # A key, an id from a test payload, a phone number: the first kind that knows it.
    plain = plain_id(ident)
    for kind, named in (("event", ident), ("message", ident), ("call", ident), ("lead", plain), ("run", ident)):
        if record := store.get(kind, named):
            return kind, record
    mentions = store.find(Query(mentions=plain), limit=_MOST_MENTIONS, newest=True)
    return "mentions", {"id": ident, "logged": mentions} if mentions else None


def as_lines(kind: str, record: Mapping[str, Any]) -> Iterable[dict[str, Any]]:
    """Return a record as JSON objects; bytes of a body as text where they are text, else in base64."""
    shown = {"kind": kind, **record}
    if kind == "delivery":
        body = shown.pop("body")
        try:
            shown["body"] = body.decode()
        except UnicodeDecodeError:
            shown["body_base64"] = base64.b64encode(body).decode()
    yield shown


def _event(record: Mapping[str, Any], *, unmask: bool) -> None:
    shown = dict(record)
    payload = shown.pop("payload_original")
    history = shown.pop("history")
    render.facts(f"event {shown.pop('id')}", _facts(shown, unmask=unmask))
    columns = ("attempt", "at", "state", "error", "run")
    render.table(
        columns,
        [
            (number, a["at"], a["state"], _error(a["error"], unmask=unmask), a["run_id"])
            for number, a in enumerate(history, start=1)
        ],
        title="attempts",
    )
    render.text("\npayload")
    render.payload(payload, unmask=unmask)


def _delivery(record: Mapping[str, Any], *, unmask: bool) -> None:
    shown = dict(record)
    body, logged, headers = shown.pop("body"), shown.pop("logged"), shown.pop("headers")
    shown["signed"] = "x-hub-signature-256" in headers
    shown["user_agent"] = headers.get("user-agent")
    render.facts(f"delivery {shown.pop('id')}", shown)
    _log(logged, unmask=unmask)
    render.text("\nbody")
    try:
        render.payload(json.loads(body), unmask=unmask)
    except ValueError:
        render.text(f"{len(body)} bytes that are no JSON; --json shows them")


def _message(record: Mapping[str, Any], *, unmask: bool) -> None:
    for row in record["messages"]:
        render.facts(f"message {_id(row['wamid'], unmask=unmask)}", _facts(row, unmask=unmask))
    rows = [
        (s["at"], s["status"], _words(s["tag"], unmask=unmask), _error(s["error_text"], unmask=unmask))
        for s in record["statuses"]
    ]
    if rows:
        render.table(("at", "status", "tag", "error"), rows, title="statuses")
    _log(record["logged"], unmask=unmask)


def _call(record: Mapping[str, Any], *, unmask: bool) -> None:
    for row in record["calls"]:
        render.facts(f"call {_id(row['call_id'], unmask=unmask)}", _facts(row, unmask=unmask))
    _log(record["logged"], unmask=unmask)


def _lead(record: Mapping[str, Any], *, unmask: bool) -> None:
    shown = dict(record)
    identities, timeline = shown.pop("identities"), shown.pop("timeline")
    known = {
        name: value for name, value in shown.items() if not name.endswith("_at") or name.startswith(("first", "last"))
    }
    render.facts(f"lead {known.pop('id')}", _facts(known, unmask=unmask))
    for identity in identities:
        value = identity["value"] if unmask else mask(identity)["value"]
        render.text(f"  {identity['kind']:<12} {value}")
    arrows = {"inbound": "→", "outbound": "←"}
    rows = [
        (
            step["at"][:19].replace("T", " "),
            arrows.get(step["direction"], ""),
            f"{step['kind']} {step['what']}",
            _detail(step, unmask=unmask),
            mask_id(step["ref"]),  # short; --json has the whole id
        )
        for step in timeline
    ]
    render.table(("time (UTC)", "", "what", "detail", "id"), rows, title="timeline: → from the lead, ← to the lead")


def _detail(step: Mapping[str, Any], *, unmask: bool) -> str:
    detail = step["detail"] or ""
    if unmask:
        return str(detail)
    return mask_words(detail) if step["kind"] == "message" else mask_numbers(detail)


def _run(record: Mapping[str, Any], **_: bool) -> None:
    shown = dict(record)
    for name in ("scope", "counts"):
        shown[name] = ", ".join(f"{key} {value}" for key, value in (shown[name] or {}).items())
    if not shown["finished_at"]:
        shown["state"] = f"under way, or interrupted: then finish it with `wa-hooks work --run {record['id']}`"
    render.facts(f"run {shown.pop('id')}", shown)
    render.text(f"\nits events: wa-hooks tail-log --run {record['id']}")


def _mentions(record: Mapping[str, Any], *, unmask: bool) -> None:
    render.text("no lead, but events that mention it; the newest last")
    for event in record["logged"]:
        render.log_line(event, unmask=unmask)


def _log(events: Iterable[Mapping[str, Any]], *, unmask: bool) -> None:
    render.text("\nevents")
    for event in events:
        render.log_line(event, unmask=unmask)


def _facts(row: Mapping[str, Any], *, unmask: bool) -> dict[str, Any]:
    shown: Mapping[str, Any] = row if unmask else mask(dict(row))
    hidden = ("id", "lead_evidence", "content_digest", "wamid" if "wamid" in row else "", "digest")
    return {name: value for name, value in shown.items() if name not in hidden}


def _words(text: str | None, *, unmask: bool) -> str:
    return (text if unmask else mask_words(text)) if text else ""


def _id(ident: str, *, unmask: bool) -> str:
    return ident if unmask else mask_id(ident)


def _error(text: str | None, *, unmask: bool) -> str:
    return (text if unmask else mask_numbers(text)) if text else ""


SHOWERS: Mapping[str, Callable[..., None]] = {
    "event": _event,
    "delivery": _delivery,
    "message": _message,
    "call": _call,
    "lead": _lead,
    "run": _run,
    "mentions": _mentions,
}
