"""Apply changes to the CRM tables of the SQLite store, inside the caller's transaction.

Every function here is a join: the same changes again, or in another order, end in the same rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from operator import attrgetter
from typing import TYPE_CHECKING, Any, get_args

from ...changes import Change
from ..base import to_text
from .leads import Execute, Sighting, see

if TYPE_CHECKING:
    from ...changes import Person

Changed = tuple[str, dict[str, Any]]
"""The kind of a change, and its fields as the tables take them."""
Write = Callable[[str, Mapping[str, Any]], object]
"""As `Execute`, for who does not look at what comes of it."""


def apply(execute: Execute, changes: Sequence[Change], *, event_id: int, digest: str) -> int | None:
    """Apply the changes of one event; return the lead it is about, if any."""
    rows = rows_of(changes)
    leads = see(execute, sightings_of(rows, event_id))
    lead_id = None
    for kind, row in rows:
        person = row.get("person")
        if person is not None:
            lead_id = leads[person.ident] if lead_id is None else lead_id  # whom it names first
        place(row, event_id, digest, None if person is None else leads[person.ident])
        if kind == "message_seen":
            _message_seen(execute, row)
        elif kind == "status_seen":
            _status_seen(execute, row)
        else:
            WRITERS[kind](execute, row)
    return lead_id


def rows_of(changes: Sequence[Change]) -> list[Changed]:
    """Return the changes as rows, without what only their event and the store know."""
    found = []
    for change in changes:
        names, values, times = _FIELDS[type(change)]
        row = dict(zip(names, values(change), strict=True))
        for name in times:
            if isinstance(row[name], datetime):
                row[name] = to_text(row[name])
        found.append((change.kind, row))
    return found


def place(row: dict[str, Any], event_id: int, digest: str, lead_id: int | None) -> None:
    """Add to a row which event it is of, and which lead it is about, by what evidence."""
    row["event_id"], row["digest"], row["lead_id"] = event_id, digest, lead_id
    person = row.get("person")
    if person is None:
        row["lead_evidence"] = row["lead_event_id"] = None
        return
    row["ident"] = ident = person.ident
    # A user id tells better than a phone number who it is, a newer sighting better than an older.
    named = person.user_id
    row["lead_evidence"] = f"{2 if named else 1} {row['at'] or ''} {ident} {digest[:16]}"
    row["lead_event_id"] = None if named else event_id


def sightings_of(rows: Sequence[Changed], event_id: int) -> list[Sighting]:
    """Who the changes of an event are about, each once, with what a `LeadSeen` among them tells."""
    found: dict[str | None, Sighting] = {}
    for kind, row in rows:
        person = row.get("person")
        if person is None or not (kind in _OF_PEOPLE or person.ident not in found):
            continue
        told = row if kind in _OF_PEOPLE else {}
        before = found.get(person.ident)
        found[person.ident] = Sighting(
            event_id=event_id,
            place=before.place if before else len(found),
            person=_completed(before.person, person) if before else person,
            at=row["at"] or "",
            name=told.get("name"),
            username=told.get("username"),
            inbound=bool(told.get("inbound")),
            previous=told.get("previous"),
        )
    return list(found.values())


def _completed(person: Person, other: Person) -> Person:
    """What an event says of somebody whom it names twice."""
    known = {name: getattr(person, name) or getattr(other, name) for name in type(person).__slots__}
    return type(person)(**known)


_FIELDS: Mapping[type, tuple[tuple[str, ...], Callable[[Any], tuple[Any, ...]], tuple[str, ...]]] = {
    kind: (
        tuple(kind.__slots__),
        attrgetter(*kind.__slots__),
        tuple(field.name for field in fields(kind) if "datetime" in str(field.type)),
    )
    for kind in get_args(Change)
}
"""The fields of each kind of change: their names, what gets their values, and those that are times."""
_OF_PEOPLE = ("lead_seen", "identity_changed")
_STAND_INS = frozenset({"media_placeholder", "unsupported", "unknown"})
"""Types of messages whose content Meta may still tell, or told elsewhere."""
_TOLD_RANKS = {"pending": 0, "error": 1, "sent": 2, "delivered": 3, "read": 4, "played": 5}
_STEPS = {step: f"{step}_at" for step in ("sent", "delivered", "read", "played", "failed")}
"""The statuses whose earliest time a message keeps, and where."""
_UNTOLD = dict.fromkeys([*_STEPS.values(), "failed_code", "failed_text", "failed_class"])


def weigh_content(row: dict[str, Any]) -> None:
    """Add to a message's row how good its content is, and how far it had come."""
    quality = 0 if row["type"] in _STAND_INS else 1 if row["source"] == "history" else 2
    row["content_evidence"] = f"{quality} {row['at']} {row['digest']}"
    row["told_rank"] = _TOLD_RANKS.get(row["told_status"] or "")


def spread_status(row: dict[str, Any]) -> None:
    """Add to a status's row the columns of the message that it sets."""
    row.update(_UNTOLD)
    if column := _STEPS.get(row["status"]):
        row[column] = row["at"]
    if row["status"] == "failed":
        row["failed_code"], row["failed_text"] = row["error_code"], row["error_text"]
        row["failed_class"] = row["failure_class"]


def _message_seen(execute: Execute, row: dict[str, Any]) -> None:
    weigh_content(row)
    if execute("insert_message", row).rowcount == 0:
        execute("join_message", row)
        execute("join_content", row)


def _lead_noted(write: Write, row: dict[str, Any]) -> None:
    write("put_lead_event", {"ident": "", **row})


def _status_seen(execute: Execute, row: dict[str, Any]) -> None:
    spread_status(row)
    execute("put_status", row)
    execute("join_status", row)


def _call_seen(write: Write, row: dict[str, Any]) -> None:
    write("join_call", row)


def _account_noticed(write: Write, row: dict[str, Any]) -> None:
    write("put_account_event", row)


def _action_queued(write: Write, row: dict[str, Any]) -> None:
    write("queue_action", row)


WRITERS: Mapping[str, Callable[[Write, dict[str, Any]], None]] = {
    "lead_seen": lambda _write, _row: None,  # `see` has done it
    "identity_changed": lambda _write, _row: None,  # likewise
    "lead_noted": _lead_noted,
    "call_seen": _call_seen,
    "account_noticed": _account_noticed,
    "action_queued": _action_queued,
}
"""What each other kind of change writes."""
