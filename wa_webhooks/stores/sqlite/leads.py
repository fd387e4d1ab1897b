"""Who is who: leads of the SQLite store, as the sum of the events that people were seen in.

A lead is found by a business-scoped user id (BSUID) or its parent; two user ids with one parent are one person.
Somebody known by a phone number alone is a lead of their own until the number comes together with a user id. A phone
number may change hands, so an event that names it alone belongs to whoever had it at that time: the owner first seen
with it last before, or the first owner of all. All of that depends on the set of events, not on their order: a new
owner has the events of the number looked at again.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ...changes import Person

Execute = Callable[[str, Mapping[str, Any]], sqlite3.Cursor]
"""Runs a statement by its name."""

_ALWAYS = "9999"
"""Later than any time: who owns a number now."""
_MOVES = ("identities", "sightings", "events", "messages", "statuses", "calls", "actions")
_ATTRIBUTED = ("sightings", "events", "statuses", "messages", "calls", "actions")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """One person in one event, and what it tells of them; `at` is Meta's time, as text."""

    event_id: int
    person: Person
    at: str
    name: str | None
    username: str | None
    inbound: bool


def see(execute: Execute, sightings: Sequence[Sighting]) -> dict[Person, int]:
    """Enter the sightings of one event; return each person's lead, made if it is their first."""
    for sighting in sightings:
        _enter(execute, sighting)
    # Asked for at the end: one sighting can make the leads of two others one.
    return {sighting.person: _sighted(execute, sighting) for sighting in sightings}


def _sighted(execute: Execute, sighting: Sighting) -> int:
    place = {"event_id": sighting.event_id, "ident": sighting.person.ident}
    lead_id: int = execute("sighted_lead", place).fetchone()["lead_id"]
    return lead_id


def _enter(execute: Execute, sighting: Sighting) -> None:
    person = sighting.person
    named = _user_ids(person)
    lead_id = _lead_of_user(execute, sighting, named) if named else _lead_of_phone(execute, sighting)
    seen = {
        "event_id": sighting.event_id,
        "ident": person.ident,
        "lead_id": lead_id,
        "scope": person.scope,
        "by_phone": None if named else person.wa_id,
        "at": sighting.at,
        "wa_id": person.wa_id,
        "bsuid": person.bsuid,
        "name": sighting.name,
        "username": sighting.username,
        "inbound": sighting.inbound,
    }
    execute("put_sighting", seen)
    _join(execute, seen)
    if named and person.wa_id:
        _pair(execute, sighting, named[0], lead_id)


def _user_ids(person: Person) -> list[tuple[str, str]]:
    """The ids that are a person's own, best first: (kind, value)."""
    found = (("bsuid", person.bsuid), ("parent_bsuid", person.parent_bsuid))
    return [(kind, value) for kind, value in found if value]


def _lead_of_user(execute: Execute, sighting: Sighting, named: list[tuple[str, str]]) -> int:
    scope = sighting.person.scope
    leads = [lead for kind, value in named if (lead := _identified(execute, scope, kind, value)) is not None]
    if leads:
        lead_id = leads[0]
        for other in leads[1:]:
            lead_id = _merge(execute, lead_id, other) if other != lead_id else lead_id
    else:
        lead_id = _unclaimed(execute, sighting) or _new(execute, sighting)
    for kind, value in named:
        _identify(execute, scope, kind, value, lead_id)
    return lead_id


def _unclaimed(execute: Execute, sighting: Sighting) -> int | None:
    """The lead of somebody known so far by this phone number alone: they keep it as they get a user id."""
    person = sighting.person
    if person.wa_id is None or _owner(execute, person.scope, person.wa_id, _ALWAYS) is not None:
        return None
    return _identified(execute, person.scope, "wa_id", person.wa_id)


def _lead_of_phone(execute: Execute, sighting: Sighting) -> int:
    scope, phone = sighting.person.scope, str(sighting.person.wa_id)
    owner = _owner(execute, scope, phone, sighting.at)
    if owner is not None:
        return owner
    lead_id = _identified(execute, scope, "wa_id", phone)
    if lead_id is None:
        lead_id = _new(execute, sighting)
        _identify(execute, scope, "wa_id", phone, lead_id)
    return lead_id


def _pair(execute: Execute, sighting: Sighting, user: tuple[str, str], lead_id: int) -> None:
    """Note that the person had the phone number; look again at whose its events are, if that is news."""
    scope, phone = sighting.person.scope, sighting.person.wa_id
    kind, ident = user
    pairing = {"scope": scope, "wa_id": phone, "kind": kind, "ident": ident, "at": sighting.at}
    if execute("join_owner", pairing).rowcount == 0:
        return
    number = {"scope": scope, "wa_id": phone}
    before = {row["lead_id"] for row in execute("leads_by_phone", number)}
    now_of = _owner(execute, scope, str(phone), _ALWAYS)
    _identify(execute, scope, "wa_id", str(phone), lead_id if now_of is None else now_of)
    if before:
        for table in _ATTRIBUTED:
            execute(f"attribute_{table}", number)
        after = {row["lead_id"] for row in execute("leads_by_phone", number)}
        _recount(execute, before | after)


def _merge(execute: Execute, one: int, other: int) -> int:
    """Make two leads one, the older id staying; return it."""
    lead_id, other_id = min(one, other), max(one, other)
    for table in _MOVES:
        execute(f"move_{table}", {"lead_id": lead_id, "other_id": other_id})
    _recount(execute, [lead_id])
    execute("delete_lead", {"other_id": other_id})
    return lead_id


def _recount(execute: Execute, leads: Iterable[int]) -> None:
    """Add up leads anew from their sightings; one that has none is nobody."""
    for lead_id in leads:
        if execute("is_seen", {"lead_id": lead_id}).fetchone():
            execute("recount_lead", {"lead_id": lead_id})
        else:
            execute("delete_lead", {"other_id": lead_id})


def _join(execute: Execute, seen: Mapping[str, Any]) -> None:
    """Add one sighting to its lead: what `_recount` would find."""
    at = seen["at"]
    joined = {
        "lead_id": seen["lead_id"],
        "first_event_at": at,
        "last_event_at": at,
        "last_inbound_at": at if seen["inbound"] else None,
    }
    for name in ("wa_id", "bsuid", "name", "username"):
        joined[name], joined[f"{name}_at"] = seen[name], at if seen[name] else None
    execute("join_lead", joined)


def _new(execute: Execute, sighting: Sighting) -> int:
    made = execute("insert_lead", {"scope": sighting.person.scope, "at": sighting.at}).lastrowid
    assert made is not None  # noqa: S101 - an insert has a row id
    return made


def _identified(execute: Execute, scope: str, kind: str, value: str) -> int | None:
    row = execute("identity", {"scope": scope, "kind": kind, "value": value}).fetchone()
    return row["lead_id"] if row else None


def _identify(execute: Execute, scope: str, kind: str, value: str, lead_id: int) -> None:
    execute("put_identity", {"scope": scope, "kind": kind, "value": value, "lead_id": lead_id})


def _owner(execute: Execute, scope: str, phone: str, at: str) -> int | None:
    owner: int | None = execute("owner_at", {"scope": scope, "wa_id": phone, "at": at}).fetchone()["lead_id"]
    return owner
