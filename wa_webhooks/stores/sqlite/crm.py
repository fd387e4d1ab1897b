"""Apply changes to the CRM tables of the SQLite store, inside the caller's transaction.

The same changes again end in the same rows, and so do the same changes in another order. One thing still depends on
order: to whom an event belongs that names a phone alone, when the number has changed hands.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..base import to_text

if TYPE_CHECKING:
    from ...changes import Change, Person

Execute = Callable[[str, Mapping[str, Any]], sqlite3.Cursor]
"""Runs a statement by its name."""

_ATTRIBUTES = ("wa_id", "bsuid", "name", "username")
_MOVES = ("identities", "events", "messages", "statuses", "calls", "actions")


def apply(
    execute: Execute, changes: Sequence[Change], *, event_id: int, digest: str, known_lead: int | None = None
) -> int | None:
    """Apply the changes of one event; return the lead it is about, if any.

    `known_lead` is the lead that the event was found to be about before. Where it names a phone alone, that stays:
    the number may have changed hands since.
    """
    leads: dict[Person, int] = {}
    lead_id = None
    for change in changes:
        fields = _fields(change)
        person = fields.pop("person", None)
        if person is not None:
            if person not in leads:
                by_phone = person.bsuid is None and person.parent_bsuid is None
                known = known_lead if by_phone else None
                leads[person] = known or _lead_of(execute, person, fields["at"])
            lead_id = leads[person]
        row = {**fields, "event_id": event_id, "digest": digest, "lead_id": lead_id if person else None}
        # A business-scoped user id tells better than a phone number who it is, a newer sighting better than an older.
        row["lead_evidence"] = _evidence(person, row["at"]) if person else None
        _APPLIERS[change.kind](execute, row)
    return lead_id


def _evidence(person: Person, at: str) -> str:
    ident = person.bsuid or person.parent_bsuid or person.wa_id
    return f"{2 if person.bsuid else 1} {at} {ident}"


def _fields(change: Change) -> dict[str, Any]:
    fields = {name: getattr(change, name) for name in type(change).__slots__}
    return {name: to_text(value) if hasattr(value, "astimezone") else value for name, value in fields.items()}


def _lead_seen(execute: Execute, row: dict[str, Any]) -> None:
    at = row["at"]
    joined = {
        "lead_id": row["lead_id"],
        "first_event_at": at,
        "last_event_at": at,
        "last_inbound_at": at if row["inbound"] else None,
    }
    for name in ("name", "username"):
        joined[name], joined[f"{name}_at"] = row[name], at if row[name] else None
    for name in ("wa_id", "bsuid"):
        joined[name] = joined[f"{name}_at"] = None
    execute("join_lead", joined)


def _message_seen(execute: Execute, row: dict[str, Any]) -> None:
    if execute("insert_message", row).rowcount == 0:
        execute("join_message", row)
        execute("join_content", row)


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
    "lead_seen": _lead_seen,
    "message_seen": _message_seen,
    "status_seen": _status_seen,
    "call_seen": _call_seen,
    "account_noticed": _account_noticed,
    "action_queued": _action_queued,
}


def _lead_of(execute: Execute, person: Person, at: str) -> int:
    """Return the lead with the person's ids: found by BSUID, else parent BSUID, else phone; made if there is none.

    A lead known by phone alone becomes one with the lead of a BSUID when both ids come together. Where the phone
    belongs to the lead of another BSUID, the number changed hands: people are not merged, and the newest pairing
    keeps the number.
    """
    bsuid, parent, phone = (_identity(execute, person, kind) for kind in ("bsuid", "parent_bsuid", "wa_id"))
    owner = bsuid or parent
    if owner is None and phone is not None and not (person.bsuid and phone["has_bsuid"]):
        owner = phone
    if owner is None:
        made = execute("insert_lead", {"scope": person.scope, "at": at}).lastrowid
        assert made is not None  # noqa: S101 - an insert has a row id
        lead_id = made
    else:
        lead_id = owner["lead_id"]
        if parent is not None and parent["lead_id"] != lead_id:
            lead_id = _merge(execute, lead_id, parent["lead_id"])  # one parent is one person
        if phone is not None and phone["lead_id"] != lead_id and not phone["has_bsuid"]:
            lead_id = _merge(execute, lead_id, phone["lead_id"])
    _join_identities(execute, person, lead_id, at)
    return lead_id


def _identity(execute: Execute, person: Person, kind: str) -> sqlite3.Row | None:
    value = getattr(person, kind)
    if value is None:
        return None
    found = execute("identity", {"scope": person.scope, "kind": kind, "value": value}).fetchone()
    row: sqlite3.Row | None = found
    return row


def _join_identities(execute: Execute, person: Person, lead_id: int, at: str) -> None:
    for kind in ("bsuid", "parent_bsuid", "wa_id"):
        value = getattr(person, kind)
        if value is not None:
            paired_at = at if person.bsuid and kind == "wa_id" else None
            identity = {"scope": person.scope, "kind": kind, "value": value}
            execute("join_identity", {**identity, "lead_id": lead_id, "paired_at": paired_at})
    shown: dict[str, Any] = {
        "lead_id": lead_id,
        "first_event_at": at,
        "last_event_at": at,
        "last_inbound_at": None,
    }
    for name in _ATTRIBUTES:
        value = getattr(person, name, None)
        shown[name], shown[f"{name}_at"] = value, at if value else None
    execute("join_lead", shown)


def _merge(execute: Execute, one: int, other: int) -> int:
    """Make two leads one, the older id staying; return it."""
    lead_id, other_id = min(one, other), max(one, other)
    gone = dict(execute("get_lead", {"id": other_id}).fetchone())
    execute("join_lead", {**gone, "lead_id": lead_id})
    for move in _MOVES:
        execute(f"move_{move}", {"lead_id": lead_id, "other_id": other_id})
    execute("delete_lead", {"other_id": other_id})
    return lead_id
