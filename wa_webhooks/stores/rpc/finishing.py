"""What came of the work: outcomes as the rows that the function `wa_finish` takes, and its answer as a tally.

What can be said of an event without asking the store is said here; which lead it is about, and whether it is in the
log already, the function finds out. It takes one array of rows for each table. `place` says which event a row is of,
counted from 1, `who` about which of its people, counted from 0. What is None is left out. An event also has the state
that it is left in if its changes cannot be stored (`otherwise`), and says whether it may be written together with
others (`plain`).
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from math import isfinite
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from ...errors import StoreError, describe
from ...events import compact
from ..base import PROCESSED, ClaimedDelivery, ClaimedEvent, Outcome, Tally, to_text
from ..rows import (
    Sighting,
    place,
    rows_of,
    seen_of,
    sightings_of,
    user_ids,
    weigh_content,
)
from .calls import Calls
from .values import storable

if TYPE_CHECKING:
    from ...changes import Person

Row = dict[str, Any]

_EVENTS_AT_ONCE = 250
"""Events of one call: more gain nothing any more, and a call has but a few seconds."""
_BYTES_AT_ONCE = 4 * 2**20
"""Of payloads in one call, beyond the first event's."""

_TABLES = {
    "message_seen": "messages",
    "status_seen": "statuses",
    "call_seen": "calls",
    "lead_noted": "lead_events",
    "account_noticed": "account_events",
    "action_queued": "actions",
}
"""The array that a change's row goes to; who was seen goes to the sightings."""
_LEFT_OUT = frozenset(
    "person previous event_id digest lead_id lead_event_id lead_evidence told_status message_row".split()  # noqa: SIM905 - a list of words
)
_ROUNDS = {"messages": ("phone_number_id", "wamid"), "calls": ("phone_number_id", "call_id")}
"""The tables of which one statement takes one row of a thing: the next one of the same goes to the next round."""
_LAST = {"statuses": (), "account_events": (), "lead_events": ("topic", "ident")}
"""The tables of which an event has one row each: the last that it tells counts."""
_TIMES = frozenset({"at", "started_at", "ended_at"})
_TIME = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]{15}Z")
"""As `to_text` writes it. Postgres would take other words for times too: yesterday, say."""
_LARGEST = 2**63
_LONGEST_INDEXED = 600
"""Characters: an index of Postgres takes 2,700 bytes."""


class Finishing(Calls):
    """The verb with which work ends."""

    _at_once = _EVENTS_AT_ONCE
    """Fewer after a call that failed: what is too much for the time that a call has would be so again."""

    def finish(
        self,
        outcomes: Sequence[Outcome],
        *,
        now: datetime,
        handler_version: str,
        deliveries: Sequence[ClaimedDelivery] = (),
        after: int = 0,
    ) -> Tally:
        """See `Store.finish`. A few hundred events are one transaction."""
        total = Tally()
        settled = after
        parts = Parts(outcomes, deliveries, now=now, handler_version=handler_version)
        for end, rows in parts.calls(after, at_once=self._at_once):
            try:
                answer = self._call("wa_finish", {**rows, "nonce": uuid4().hex}, events=int, by_type=dict)
            except StoreError:
                self._at_once = max(1, len(rows["events"]) // 2)
                if settled == after:
                    raise
                total.left = len(outcomes) - settled
                break
            total.add(tally_of(answer))
            settled = end
            self._at_once = min(_EVENTS_AT_ONCE, self._at_once * 2)
        return total


class Parts:
    """The outcomes of one `finish`, call by call."""

    def __init__(
        self,
        outcomes: Sequence[Outcome],
        deliveries: Sequence[ClaimedDelivery],
        *,
        now: datetime,
        handler_version: str,
    ) -> None:
        self.outcomes = outcomes
        self._stamp = {"now": to_text(now), "handler_version": handler_version}
        self._tokens = {delivery.id: delivery.token for delivery in deliveries}
        self._first: dict[int, int] = {}
        self._last: dict[int, int] = {}
        self._sizes: Counter[int] = Counter()
        """Of each delivery: its first and last place, and how many events it has."""
        for number, outcome in enumerate(outcomes):
            if isinstance(outcome.claimed, ClaimedDelivery):
                self._first.setdefault(outcome.claimed.id, number)
                self._last[outcome.claimed.id] = number
                self._sizes[outcome.claimed.id] += 1

    def calls(self, after: int, *, at_once: int = _EVENTS_AT_ONCE) -> Iterator[tuple[int, Row]]:
        """Yield the arguments of each call that settles what is from `after` on, and how many are settled then.

        Each has so many events `at_once` at most.
        """
        start = after
        while True:
            rows = _Rows()
            end = start
            while end < len(self.outcomes) and rows.has_room(at_once):
                rows.add(self.outcomes[end])
                end += 1
            deliveries = list(self._deliveries(start, end))
            yield end, {**self._stamp, **rows.arrays, "locks": sorted(rows.locks), "deliveries": deliveries}
            start = end
            if end == len(self.outcomes):
                return

    def _deliveries(self, start: int, end: int) -> Iterator[Row]:
        """The leased deliveries of the events from `start` to before `end`, and with the first those without any."""
        for ident, token in self._tokens.items():
            first, last = self._first.get(ident, 0), self._last.get(ident, 0)
            if first < end and (last >= start or ident not in self._last) and (ident in self._last or start == 0):
                yield {
                    "id": ident,
                    "token": token,
                    "size": self._sizes[ident],
                    "ends": last < end,
                    "begun": first < start,
                }


class _Rows:
    """The rows of one call."""

    def __init__(self) -> None:
        self.arrays: dict[str, list[Row]] = {"events": []}
        self.locks: set[str] = set()
        self._size = 0
        self._rounds: Counter[tuple[Any, ...]] = Counter()

    def has_room(self, at_once: int) -> bool:
        return not self._size or (len(self.arrays["events"]) < at_once and self._size < _BYTES_AT_ONCE)

    def add(self, outcome: Outcome) -> None:
        """Add an event, with what changes. Changes that no row can be made of fail it, as the store would."""
        row = self._event(outcome)
        if outcome.verdict.state == PROCESSED and outcome.changes:
            try:
                people, changes = _told(outcome, len(self.arrays["events"]) + 1)
            except Exception as exc:  # noqa: BLE001 - whatever a user's handler has put into them
                row["state"], row["plain"] = outcome.if_not_applied.state, True
                row["error"] = storable(f"the changes cannot be stored: {describe(exc)}")
                row["error_class"] = type(exc).__name__
                row["next_attempt_at"] = to_text(outcome.if_not_applied.next_attempt_at)
            else:
                row["plain"] = len(people) <= 1 and not (people and people[0]["changed"])
                self._place(people, changes)
        self.arrays["events"].append(_without_none(row))

    def _event(self, outcome: Outcome) -> Row:
        event, claimed = outcome.event, outcome.claimed
        number = len(self.arrays["events"]) + 1
        self.locks.update(name for name in (event.account_id, event.phone_number_id) if name)
        row: Row = {
            "place": number,
            "type": storable(event.type),
            "run_id": claimed.run_id,
            "state": outcome.verdict.state,
            "error": storable(outcome.verdict.error),
            "error_class": storable(outcome.verdict.error_class),
            "next_attempt_at": to_text(outcome.verdict.next_attempt_at),
            "handled_by": storable(outcome.handled_by),
            "otherwise": outcome.if_not_applied.state,
            "otherwise_at": to_text(outcome.if_not_applied.next_attempt_at),
        }
        if isinstance(claimed, ClaimedEvent):
            self._size += 1
            return {**row, "id": claimed.id, "token": claimed.token}
        payload = compact(event.payload)
        self._size += len(payload)
        for found in outcome.drift:
            named = {"kind": found.kind, "path": storable(found.path), "detail": storable(found.detail)}
            drift = {"place": number, **named, "at": to_text(claimed.received_at)}
            self.arrays.setdefault("drift", []).append(drift)
        return {
            **row,
            "plain": True,
            "payload": payload,
            "received_at": to_text(claimed.received_at),
            "key": _indexed(event.key),
            "digest": event.digest,
            "delivery_id": claimed.id,
            "position": event.position,
            "at": to_text(event.at),
            "account_id": _indexed(event.account_id),
            "phone_number_id": _indexed(event.phone_number_id),
            "message_id": _indexed(event.message_id),
            "call_id": _indexed(event.call_id),
        }

    def _place(self, people: Sequence[Row], changes: Sequence[tuple[str, Row]]) -> None:
        """Put an event's rows into their arrays, and lock what they add to."""
        for row in people:
            self.locks.add(row["scope"])
            self.arrays.setdefault("sightings", []).append(row)
        for table, row in changes:
            if table in _ROUNDS:
                thing = (table, *(row.get(name) for name in _ROUNDS[table]))
                self._rounds[thing] += 1
                row["round"] = self._rounds[thing]
            for name in ("phone_number_id", "account_id"):
                if isinstance(locked := row.get(name), str):
                    self.locks.add(locked)
            self.arrays.setdefault(table, []).append(row)


def _told(outcome: Outcome, number: int) -> tuple[list[Row], list[tuple[str, Row]]]:
    """The rows of an event's changes: the people, and what else changes, each with its table."""
    changed = rows_of(outcome.changes)
    sightings = sightings_of(changed, 0)
    people = {sighting.person.ident: index for index, sighting in enumerate(sightings)}
    changes = [
        (_TABLES[kind], _change_row(kind, row, outcome.event.digest, number, people))
        for kind, row in changed
        if kind in _TABLES
    ]
    told: dict[tuple[Any, ...], Row] = {}
    for table, row in changes:
        if table in _LAST:
            told[(table, *(row.get(name) for name in _LAST[table]))] = row
    for row in told.values():
        row["last"] = True
    return [_person_row(sighting, number) for sighting in sightings], changes


def _change_row(kind: str, row: Row, digest: str, number: int, people: Mapping[str | None, int]) -> Row:
    person: Person | None = row.get("person")
    place(row, 0, digest, None)
    if kind == "message_seen":
        weigh_content(row)
    made = {name: value for name, value in row.items() if name not in _LEFT_OUT}
    for name in _TIMES & made.keys():
        if made[name] is not None and not (isinstance(made[name], str) and _TIME.fullmatch(made[name])):
            raise TypeError(f"{name} is no time")
    made["place"] = number
    if person is not None:
        made["who"] = people[person.ident]
        made["evidence"] = row["lead_evidence"]
        made["numbered"] = row["lead_event_id"] is not None
    elif kind == "lead_noted":
        made["ident"] = ""
    return _storable_row(made)


def _person_row(sighting: Sighting, number: int) -> Row:
    """The row of a sighting; for one that changed, with all the ids of who they were and are."""
    person, previous = sighting.person, sighting.previous
    seen = seen_of(sighting, 0)
    del seen["event_id"], seen["lead_id"]
    seen["person"], seen["place"] = seen["place"], number
    seen["parent"] = person.parent_bsuid
    seen["changed"] = previous is not None
    made = _storable_row(seen)
    if previous is not None:
        known = (person, previous)
        made["names"] = [[kind, storable(value)] for who in known for kind, value in user_ids(who)]
        made["numbers"] = [[storable(who.scope), storable(who.number)] for who in known if who.number]
        made["phones"] = [
            [storable(who.scope), storable(who.number), storable(who.wa_id)] for who in known if who.wa_id
        ]
        made["old_number"], made["new_number"] = storable(previous.number), storable(person.number)
    return made


def _storable_row(row: Mapping[str, Any]) -> Row:
    """A row as a database takes it, without what is None."""
    made: Row = {}
    for name, value in row.items():
        kind = type(value)
        if kind is str:
            made[name] = value if value.isascii() and "\x00" not in value else storable(value)
        elif kind is int:
            if not -_LARGEST <= value < _LARGEST:
                raise OverflowError(f"{name} is too large a number")
            made[name] = value
        elif value is not None:
            made[name] = _plain(name, value)
    return made


def _plain(name: str, value: Any) -> str | int | float:
    """A value that is seldom there, as JSON has it."""
    if isinstance(value, str):
        return storable(value + "") or ""
    if isinstance(value, int) or (isinstance(value, float) and isfinite(value)):
        return value
    raise TypeError(f"{name} cannot be {value!r:.40}")


def _indexed(text: str | None) -> str | None:
    """Return a text that is looked up: of one that no index takes, the beginning and what tells it from others."""
    if text is None or len(text) <= _LONGEST_INDEXED:
        return storable(text)
    told = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{storable(text[: _LONGEST_INDEXED // 2])}~{told}"


def _without_none(row: Row) -> Row:
    return {name: value for name, value in row.items() if value is not None}


def tally_of(answer: Mapping[str, Any]) -> Tally:
    """Return what `wa_finish` answers as a tally."""
    by_type = Counter({str(name): int(count) for name, count in answer["by_type"].items()})
    figures = {name: int(answer.get(name, 0)) for name in Tally.__slots__ if name != "by_type"}
    return Tally(**figures, by_type=by_type)
