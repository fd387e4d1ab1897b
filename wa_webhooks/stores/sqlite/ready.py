"""Outcomes made ready to be written, before the write lock is taken: what takes time and needs no store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...events import compact
from ..base import PROCESSED, ClaimedDelivery, Outcome, to_text
from ..rows import Changed, joined_of, rows_of, seen_of, sightings_of, user_ids

if TYPE_CHECKING:
    from ...changes import Person

Ident = tuple[str, str, str]
"""An id of somebody's: scope, kind, value."""


@dataclass(slots=True)
class Who:
    """The one person of an event: their user ids, their phone as it is written, and what its variants share.

    `seen` and `joined` are the rows of the sighting and of what it adds to the lead; they lack who that is.
    """

    scope: str
    user: Sequence[Ident]
    phone: Ident | None
    number: str | None
    seen: dict[str, Any]
    joined: dict[str, Any]


@dataclass(slots=True)
class Ready:
    """An outcome, with the rows that come of it.

    `log` is the row of a new event, `changed` those of its changes, `who` is whom it is about, if anybody. `plain` is
    whether it may be written together with others: a new event about one person at most.
    """

    outcome: Outcome
    digest: str
    log: dict[str, Any]
    changed: Sequence[Changed] = ()
    who: Who | None = None
    plain: bool = False


def ready(outcome: Outcome) -> Ready:
    """Make one ready. Changes that no row can be made of are left to be applied one by one, where they fail."""
    event, claimed = outcome.event, outcome.claimed
    digest = event.digest
    made = Ready(outcome, digest, {})
    if not isinstance(claimed, ClaimedDelivery):
        return made
    made.log = {
        "type": event.type,
        "payload": compact(event.payload),
        "received_at": to_text(claimed.received_at),
        "key": event.key,
        "digest": digest,
        "delivery_id": claimed.id,
        "position": event.position,
        "at": to_text(event.at),
        "account_id": storable(event.account_id),
        "phone_number_id": storable(event.phone_number_id),
        "message_id": storable(event.message_id),
        "call_id": storable(event.call_id),
        "run_id": claimed.run_id,
    }
    if outcome.verdict.state != PROCESSED or not outcome.changes:
        made.plain = True
        return made
    try:
        made.changed = rows_of(outcome.changes)
        made.plain = _is_about_one(made)
    except Exception:  # noqa: BLE001 - whatever a user's handler has put into them
        made.plain = False
    return made


def _is_about_one(made: Ready) -> bool:
    """Whether the changes name one person at most, who did not change; notes who."""
    person: Person | None = None
    names = ""
    for kind, row in made.changed:
        who = row.get("person")
        if who is not None and who is not person:
            if person is not None and who != person:
                return False
            person = who
        if kind == "identity_changed":
            return False
        names += row.get("wamid", "")
    if person is not None:
        (sighting,) = sightings_of(made.changed, 0)
        seen = seen_of(sighting, 0)
        user = [(person.scope, kind, value) for kind, value in user_ids(person)]
        phone = (person.scope, "wa_id", person.wa_id) if person.wa_id else None
        made.who = Who(person.scope, user, phone, seen["number"], seen, joined_of(seen))
        names += f"{person.bsuid}{person.parent_bsuid}{person.wa_id}"
    return "\x00" not in names  # it ends a text in SQL's JSON


def storable(text: str | None) -> str | None:
    """Return `text` as SQLite takes it: a lone surrogate cannot be written as UTF-8."""
    return text if text is None or text.isascii() else text.encode("utf-8", "replace").decode()
