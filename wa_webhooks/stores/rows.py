"""What changes come to, as rows: all that can be said of them without asking the store.

Every backend applies the same rows; which lead they are about, only the store can tell.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from operator import attrgetter
from typing import TYPE_CHECKING, Any, get_args

from ..changes import Change
from .base import to_text

if TYPE_CHECKING:
    from ..changes import Person

Changed = tuple[str, dict[str, Any]]
"""The kind of a change, and its fields as the tables take them."""


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


@dataclass(slots=True, kw_only=True)
class Sighting:
    """One person in one event, and what it tells of them; `at` is Meta's time, as text, empty where there is none.

    `place` counts the people of the event: it is about the first, 0.

    `previous` is who they were until then, if the event says that their number or user id changed.
    """

    event_id: int
    place: int
    person: Person
    at: str
    name: str | None = None
    username: str | None = None
    inbound: bool = False
    previous: Person | None = None


def user_ids(person: Person) -> list[tuple[str, str]]:
    """Return the ids that are a person's own, best first: (kind, value)."""
    found = (("bsuid", person.bsuid), ("parent_bsuid", person.parent_bsuid))
    return [(kind, value) for kind, value in found if value]


def seen_of(sighting: Sighting, lead_id: int) -> dict[str, Any]:
    """Return the row of a sighting."""
    person, previous = sighting.person, sighting.previous
    named = bool(person.user_id or (previous and previous.user_id))
    return {
        "event_id": sighting.event_id,
        "ident": person.ident,
        "place": sighting.place,
        "lead_id": lead_id,
        "scope": person.scope,
        "at": sighting.at,
        "named": named,
        "number": person.number,
        # A new user id and no number: the old one is known to be wrong.
        "wa_id": person.wa_id if person.wa_id or previous is None else "",
        # What is only sent to a number does not say that it is still theirs.
        "wa_id_at": sighting.at if named or sighting.inbound or previous else "",
        "bsuid": person.bsuid,
        "name": sighting.name,
        "username": sighting.username,
        "inbound": sighting.inbound,
    }


def joined_of(seen: Mapping[str, Any]) -> dict[str, Any]:
    """Return what one sighting adds to its lead: what `_recount` would find."""
    at, wa_id, bsuid, name, username = seen["at"], seen["wa_id"], seen["bsuid"], seen["name"], seen["username"]
    return {
        "lead_id": seen["lead_id"],
        "scope": seen["scope"],
        "wa_id": wa_id,
        "wa_id_at": None if wa_id is None else seen["wa_id_at"],
        "bsuid": bsuid,
        "bsuid_at": None if bsuid is None else at,
        "name": name,
        "name_at": None if name is None else at,
        "username": username,
        "username_at": None if username is None else at,
        "first_event_at": at or None,
        "last_event_at": at or None,
        "last_inbound_at": at or None if seen["inbound"] else None,
    }
