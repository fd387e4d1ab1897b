"""Apply changes to the CRM tables of the SQLite store, inside the caller's transaction.

Every function here is a join: the same changes again, or in another order, end in the same rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..rows import place, rows_of, sightings_of, spread_status, weigh_content
from .leads import Execute, see

if TYPE_CHECKING:
    from ...changes import Change

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
