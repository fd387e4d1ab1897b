"""Apply changes to the CRM tables of the SQLite store, inside the caller's transaction.

Every function here is a join: the same changes again, or in another order, end in the same rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..base import to_text
from .leads import Execute, Sighting, see

if TYPE_CHECKING:
    from ...changes import Change, Person


def apply(execute: Execute, changes: Sequence[Change], *, event_id: int, digest: str) -> int | None:
    """Apply the changes of one event; return the lead it is about, if any."""
    rows = [(change.kind, _fields(change)) for change in changes]
    leads = see(execute, _sightings(rows, event_id))
    lead_id = None
    for kind, row in rows:
        person = row.pop("person", None)
        row.pop("previous", None)
        row |= {"event_id": event_id, "digest": digest, "lead_id": None, "lead_evidence": None, "lead_event_id": None}
        if person is not None:
            row["lead_id"] = leads[person.ident]
            lead_id = row["lead_id"] if lead_id is None else lead_id  # whom it names first
            row["ident"] = person.ident
            # A user id tells better than a phone number who it is, a newer sighting better than an older.
            row["lead_evidence"] = f"{2 if person.user_id else 1} {row['at'] or ''} {person.ident} {digest[:16]}"
            row["lead_event_id"] = None if person.user_id else event_id
        _APPLIERS[kind](execute, row)
    return lead_id


def _fields(change: Change) -> dict[str, Any]:
    fields = {name: getattr(change, name) for name in type(change).__slots__}
    return {name: to_text(value) if hasattr(value, "astimezone") else value for name, value in fields.items()}


def _sightings(rows: Sequence[tuple[str, dict[str, Any]]], event_id: int) -> list[Sighting]:
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


_OF_PEOPLE = ("lead_seen", "identity_changed")
_STAND_INS = frozenset({"media_placeholder", "unsupported", "unknown"})
"""Types of messages whose content Meta may still tell, or told elsewhere."""
_TOLD_RANKS = {"pending": 0, "error": 1, "sent": 2, "delivered": 3, "read": 4, "played": 5}


def _message_seen(execute: Execute, row: dict[str, Any]) -> None:
    quality = 0 if row["type"] in _STAND_INS else 1 if row["source"] == "history" else 2
    row["content_evidence"] = f"{quality} {row['at']} {row['digest']}"
    row["told_rank"] = _TOLD_RANKS.get(row["told_status"] or "")
    if execute("insert_message", row).rowcount == 0:
        execute("join_message", row)
        execute("join_content", row)


def _lead_noted(execute: Execute, row: dict[str, Any]) -> None:
    execute("put_lead_event", {"ident": "", **row})


def _status_seen(execute: Execute, row: dict[str, Any]) -> None:
    execute("put_status", row)
    execute("join_status", row)


def _call_seen(execute: Execute, row: dict[str, Any]) -> None:
    execute("join_call", row)


def _account_noticed(execute: Execute, row: dict[str, Any]) -> None:
    execute("put_account_event", row)


def _action_queued(execute: Execute, row: dict[str, Any]) -> None:
    execute("queue_action", row)


_APPLIERS: Mapping[str, Callable[[Execute, dict[str, Any]], None]] = {
    "lead_seen": lambda _execute, _row: None,  # `see` has done it
    "identity_changed": lambda _execute, _row: None,  # likewise
    "lead_noted": _lead_noted,
    "message_seen": _message_seen,
    "status_seen": _status_seen,
    "call_seen": _call_seen,
    "account_noticed": _account_noticed,
    "action_queued": _action_queued,
}
