"""What the store knows of a few events before they are written: asked for together, and kept true while they are.

Good only within one transaction: nobody else writes meanwhile.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ...events import compact
from .ready import Ident, Ready, Who
from .statements import Statements


@dataclass(slots=True)
class KnownNumber:
    """What there is of a number: a lead that holds it alone, sightings with and without a user id, and more."""

    holder: int | None = None
    named: bool = False
    unnamed: bool = False
    changed: bool = False
    known: bool = False

    @property
    def is_news(self) -> bool:
        """Whether nobody was ever known by it."""
        return not (self.named or self.unnamed or self.changed or self.known)


@dataclass(slots=True)
class KnownMessage:
    """What decides how a status joins its message."""

    id: int
    lead_id: int | None
    lead_event_id: int | None
    at: str
    tag: str | None


class Known:
    """What the store knows of the keys, people, numbers and messages of some events."""

    def __init__(self, run: Statements, events: Sequence[Ready]) -> None:
        """Look up what these plain events name."""
        self._run = run
        self.events: dict[str, sqlite3.Row | None] = {}
        """Those in the log by their keys; None where one has just been gathered."""
        self.leads: dict[Ident, int] = {}
        self.numbers: dict[tuple[str, str], KnownNumber] = {}
        self.messages: dict[tuple[str, str], KnownMessage | None] = {}
        keys = compact([each.log["key"] for each in events])
        self.events.update((row["key"], row) for row in run.execute("known_events", {"keys": keys}))
        self._look_up_people([each.who for each in events if each.who])
        self._look_up_messages(events)
        last = run.execute("last_ids", {}).fetchone()
        self.last_event: int = last["event"]
        self.last_lead: int = last["lead"]

    def _look_up_people(self, people: Sequence[Who]) -> None:
        if not people:
            return
        ids = {value for who in people for _, _, value in who.user}
        ids.update(who.phone[2] for who in people if who.phone)
        for row in self._run.execute("known_identities", {"ids": compact(list(ids))}):
            scope, kind, value, lead_id = row
            self.leads[scope, kind, value] = lead_id
        for scope in {who.scope for who in people}:
            wanted = {who.number for who in people if who.number and who.scope == scope}
            asked = {"scope": scope, "numbers": compact(list(wanted))}
            for number, holder, *told in self._run.execute("known_numbers", asked):
                self.numbers[scope, number] = KnownNumber(holder, *map(bool, told))

    def _look_up_messages(self, events: Iterable[Ready]) -> None:
        wanted: dict[str, set[str]] = defaultdict(set)
        for each in events:
            for kind, row in each.changed:
                if kind in ("status_seen", "message_seen"):
                    wanted[row["phone_number_id"]].add(row["wamid"])
        for number_id, wamids in wanted.items():
            asked = {"phone_number_id": number_id, "wamids": compact(list(wamids))}
            for wamid, *told in self._run.execute("known_messages", asked):
                self.messages[number_id, wamid] = KnownMessage(*told)

    def new_event(self) -> int:
        """Return the id of the next event."""
        self.last_event += 1
        return self.last_event

    def new_lead(self) -> int:
        """Return the id of the next lead."""
        self.last_lead += 1
        return self.last_lead
