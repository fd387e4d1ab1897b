"""Who is who: leads of the SQLite store, as the sum of the events that people were seen in.

A lead is found by a business-scoped user id (BSUID) or its parent; two user ids with one parent are one person, and
so are an id and the one that it was changed to. Whoever is known by a phone number alone is whoever had the number at
that time, by these entries of the number's history:

* *seen*: somebody was seen with it and a user id. It was theirs from the entry before, and is until the next.
* *taken*: somebody changed to it from another number. It is theirs from then on, and was not before.
* *left*: somebody changed from it to another. It is nobody's from then on, until the next is seen with it; but what
  the business sends there late is still for them.

Between two entries a number has one holder. Who takes one number and leaves another is one holder too, so that being
seen with the new one tells who had the old one. A holder whom no entry tells is a lead by the number alone. All of
that depends on the set of events, not on their order: an entry that is news has the events of its number, and of
those changed to and from it, looked at again.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..rows import Sighting, joined_of, seen_of, user_ids

if TYPE_CHECKING:
    from ...changes import Person

Execute = Callable[[str, Mapping[str, Any]], sqlite3.Cursor]
"""Runs a statement by its name, with the parameters that it names."""

_ALWAYS = "9999"
"""Later than any time."""
_AND_THEN = "~"
"""Appended to a time: after it, before any later one."""
_LEFT, _TAKEN = 1, 2
"""Ranks of entries; see `entry_before`."""
_MOVES = ("identities", "sightings", "events", "messages", "statuses", "calls", "lead_events", "actions")
_ATTRIBUTED = ("sighting", "event", "messages", "status", "calls", "lead_events", "actions")


def see(execute: Execute, sightings: Sequence[Sighting]) -> dict[str | None, int]:
    """Enter the sightings of one event, one for each ident; return the idents' leads, made if it is their first."""
    for sighting in sightings:
        _enter(execute, sighting)
    # Asked for at the end: one sighting can make the leads of two others one.
    return {sighting.person.ident: _sighted(execute, sighting) for sighting in sightings}


def _sighted(execute: Execute, sighting: Sighting) -> int:
    place = {"event_id": sighting.event_id, "ident": sighting.person.ident}
    lead_id: int = execute("sighted_lead", place).fetchone()["lead_id"]
    return lead_id


def _enter(execute: Execute, sighting: Sighting) -> None:
    person, previous = sighting.person, sighting.previous
    named = user_ids(person) + (user_ids(previous) if previous else [])
    numbers = [number for who in (person, previous) if who and (number := number_of(who))]
    if named:
        lead_id = _lead_of_user(execute, sighting, named, numbers)
        news = [number for number in numbers if _is_news(execute, number, sighting, lead_id)]
        _change_number(execute, sighting, named[0])
    else:
        _change_number(execute, sighting, None)
        news = numbers if previous else []
        lead_id = _whose(execute, numbers[0], f"{sighting.at}{_AND_THEN}", inbound=sighting.inbound)
    seen = seen_of(sighting, lead_id)
    execute("put_sighting", seen)
    execute("join_lead", joined_of(seen))
    for number in news:
        _look_again(execute, number)
    for who in (person, previous):
        if who and who.wa_id and _identified(execute, who.scope, "wa_id", who.wa_id) != lead_id:
            _identify(execute, who.scope, "wa_id", who.wa_id, lead_id, number=who.number)
            _say_whose(execute, Number(who.scope, str(who.number)))


@dataclass(frozen=True, slots=True)
class Number:
    """A phone number within a scope, whatever its variant."""

    scope: str
    number: str

    def at(self, before: str) -> dict[str, str]:
        """The parameters of the statements about it."""
        return {"scope": self.scope, "number": self.number, "before": before}


def number_of(person: Person) -> Number | None:
    """Return the number of a person who has one."""
    return Number(person.scope, person.number) if person.number else None


def _lead_of_user(
    execute: Execute, sighting: Sighting, named: list[tuple[str, str]], numbers: Sequence[Number]
) -> int:
    scope = sighting.person.scope
    leads = [lead for kind, value in named if (lead := _identified(execute, scope, kind, value)) is not None]
    if leads:
        lead_id = leads[0]
        for other in leads[1:]:
            lead_id = _merge(execute, lead_id, other) if other != lead_id else lead_id
    else:
        lead_id = _claimed(execute, sighting, numbers) or _new(execute, scope)
    for kind, value in named:
        _identify(execute, scope, kind, value, lead_id)
    return lead_id


def _claimed(execute: Execute, sighting: Sighting, numbers: Sequence[Number]) -> int | None:
    """The lead of who was known so far by this number alone: they keep it as they get a user id."""
    for number in numbers:
        holding = _holding(execute, number, f"{sighting.at}{_AND_THEN}")
        row = None if isinstance(holding, int) else execute("holder", holding).fetchone()
        if row:
            lead_id: int = row["lead_id"]
            execute("delete_held", {"lead_id": lead_id})
            return lead_id
    return None


def _change_number(execute: Execute, sighting: Sighting, user: tuple[str, str] | None) -> None:
    """Note that the person of a sighting gave up one number for another, if the event says so."""
    person, previous = sighting.person, sighting.previous
    if previous is None or not (previous.number or person.number):
        return
    kind, ident = user or (None, None)
    change = {"event_id": sighting.event_id, "scope": person.scope, "at": sighting.at, "kind": kind, "ident": ident}
    execute("put_number_change", {**change, "old_number": previous.number, "new_number": person.number})


def _is_news(execute: Execute, number: Number, sighting: Sighting, lead_id: int) -> bool:
    """Whether a sighting may change whose events those are that name the number alone."""
    if not execute("is_attributed", number.at("")).fetchone():
        return False
    if sighting.previous:
        return True
    before = execute("entry_before", number.at(f"{sighting.at}{_AND_THEN}")).fetchone()
    return not before or before["rank"] == _LEFT or before["lead_id"] != lead_id


def _whose(execute: Execute, number: Number, before: str, *, inbound: bool) -> int:
    """The lead that had a number just before a time; made if nobody is known to."""
    if not inbound:
        entry = execute("entry_before", number.at(before)).fetchone()
        if entry and entry["rank"] == _LEFT:
            # Sent too late to reach them there; still meant for them.
            left_by: int | None = entry["lead_id"]
            return _whose(execute, number, entry["at"], inbound=True) if left_by is None else left_by
    holding = _holding(execute, number, before)
    if isinstance(holding, int):
        return holding
    row = execute("holder", holding).fetchone()
    if row:
        lead_id: int = row["lead_id"]
        return lead_id
    made = _new(execute, number.scope)
    execute("put_holder", {**holding, "lead_id": made})
    return made


Holding = Mapping[str, str]
"""What names a holder whom no entry tells: the scope, the first number that they had, and since when."""


def _holding(execute: Execute, number: Number, before: str) -> int | Holding:
    """Who had a number just before a time: a lead that an entry tells, or the holder."""
    entry = execute("entry_before", number.at(before)).fetchone()
    owner: int | None = entry["lead_id"] if entry and entry["rank"] != _LEFT else None
    if owner is None:
        owner = _healed(execute, number, before, before)
    if owner is not None:
        return owner
    if entry and entry["rank"] == _TAKEN:
        return _holding(execute, Number(number.scope, entry["from_number"]), entry["at"])
    return {"scope": number.scope, "number": number.number, "since": entry["at"] if entry else ""}


def _healed(execute: Execute, number: Number, seen_from: str, others_from: str) -> int | None:
    """Whose a number without a known owner turns out to be: of who is seen with it next, if they had it."""
    after = {"scope": number.scope, "number": number.number, "seen_from": seen_from, "others_from": others_from}
    entry = execute("entry_after", after).fetchone()
    if not entry or entry["rank"] == _TAKEN:
        return None
    if entry["lead_id"] is not None or entry["to_number"] is None:
        lead_id: int | None = entry["lead_id"]
        return lead_id
    # They left it for another number: who is seen with that one next?
    return _healed(execute, Number(number.scope, entry["to_number"]), entry["at"], f"{entry['at']}{_AND_THEN}")


def _look_again(execute: Execute, number: Number) -> None:
    """Attribute anew the events that name a number alone, and those of numbers that were changed to or from it."""
    touched: set[int] = set()
    found, waiting = {number}, [number]
    while waiting:
        each = waiting.pop()
        for fact in execute("facts_by_number", each.at("")).fetchall():
            lead_id = _whose(execute, each, f"{fact['at']}{_AND_THEN}", inbound=fact["inbound"])
            if lead_id != fact["lead_id"]:
                touched |= {lead_id, fact["lead_id"]}
                moved = {name: fact[name] for name in ("event_id", "ident", "place")}
                for table in _ATTRIBUTED:
                    execute(f"attribute_{table}", {**moved, "lead_id": lead_id, "other_id": fact["lead_id"]})
        linked = {Number(each.scope, row["number"]) for row in execute("changed_with", each.at(""))}
        waiting += linked - found
        found |= linked
    for each in found:
        _say_whose(execute, each)
    _recount(execute, touched)


def _say_whose(execute: Execute, number: Number) -> None:
    """Point the identities of a number at whoever has it now, or had it last."""
    entry = execute("entry_before", number.at(_ALWAYS)).fetchone()
    holding = _holding(execute, number, _ALWAYS)
    nobody = not isinstance(holding, int) and not execute("holder", holding).fetchone()
    if entry and entry["rank"] == _LEFT and nobody:  # since; but who left it is still found by it
        holding = _holding(execute, number, entry["at"]) if entry["lead_id"] is None else entry["lead_id"]
    if isinstance(holding, int):
        lead_id: int | None = holding
    else:
        row = execute("holder", holding).fetchone() or execute("changer", number.at("")).fetchone()
        lead_id = row["lead_id"] if row else None
    if lead_id is not None:
        execute("point_identities", {**number.at(""), "lead_id": lead_id})


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
            execute("delete_held", {"lead_id": lead_id})
            execute("delete_lead", {"other_id": lead_id})


def _new(execute: Execute, scope: str) -> int:
    made = execute("insert_lead", {"scope": scope}).lastrowid
    assert made is not None  # noqa: S101 - an insert has a row id
    return made


def _identified(execute: Execute, scope: str, kind: str, value: str) -> int | None:
    row = execute("identity", {"scope": scope, "kind": kind, "value": value}).fetchone()
    return row["lead_id"] if row else None


def _identify(
    execute: Execute, scope: str, kind: str, value: str, lead_id: int, *, number: str | None = None
) -> None:
    execute("put_identity", {"scope": scope, "kind": kind, "value": value, "number": number, "lead_id": lead_id})
