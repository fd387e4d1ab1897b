"""Events settled in one transaction: gathered where they are plain, each on its own where not."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ...events import compact
from ..base import PROCESSED, ClaimedDelivery, ClaimedEvent, Outcome, Tally, Verdict, to_text
from .connection import is_unavailable
from .crm import apply
from .known import Known
from .ready import Ready, ready, storable
from .statements import Statements
from .together import Together

if TYPE_CHECKING:
    from ...drift import Finding


class Work:
    """What `finish` is given, made ready, and how far it is: all outcomes before `place` are settled."""

    def __init__(
        self,
        outcomes: Sequence[Outcome],
        deliveries: Sequence[ClaimedDelivery],
        stamp: Mapping[str, Any],
        *,
        after: int,
    ) -> None:
        self.outcomes, self.stamp, self.place = outcomes, stamp, after
        self.tokens = {delivery.id: delivery.token for delivery in deliveries}
        self.events = [None] * after + [ready(outcome) for outcome in outcomes[after:]]
        self.first: dict[int, int] = {}
        self.last: dict[int, int] = {}
        self.sizes: Counter[int] = Counter()
        """Of each delivery: its first and last place, and how many events it has."""
        for place, outcome in enumerate(outcomes):
            if isinstance(outcome.claimed, ClaimedDelivery):
                self.first.setdefault(outcome.claimed.id, place)
                self.last[outcome.claimed.id] = place
                self.sizes[outcome.claimed.id] += 1


class Slice:
    """One transaction's part of the work; `tally` is what it came to."""

    def __init__(self, run: Statements, work: Work, *, together: bool) -> None:
        """Not `together`, each event is settled on its own, and fails alone."""
        self._run, self._work, self._begun = run, work, work.place
        self._together = together
        self._rows = Together(run, work.stamp["now"])
        self._duplicates: Counter[int] = Counter()
        self.tally = Tally()
        if work.place == 0:
            self._end_deliveries(self._held(set(work.tokens) - set(work.last)))

    def settle(self, start: int, end: int) -> None:
        """Settle the events from `start` to before `end`, in their order."""
        part = [event for event in self._work.events[start:end] if event is not None]
        claims = [each.outcome.claimed for each in part]
        held = self._held({claimed.id for claimed in claims if isinstance(claimed, ClaimedDelivery)})
        known: Known | None = None
        for number, event in enumerate(part):
            claimed = event.outcome.claimed
            if isinstance(claimed, ClaimedEvent):
                self._rows.write()
                known = None  # whatever it changes is not known
                self._settle_again(event, claimed)
                continue
            if claimed.id not in held:
                self.tally.lost += 1
                continue
            if self._together and known is None and event.plain:
                known = Known(self._run, [each for each in part[number:] if each.plain])
            self.tally.saw(event.outcome.event.type)
            if not (known and self._gather(event, claimed, known)):
                self._rows.write()
                known = None
                self._settle_new(event, claimed)
            if self._work.last[claimed.id] == start + number:
                self._end_deliveries([claimed.id])
        self._rows.write()

    def _held(self, ids: set[int]) -> list[int]:
        """Those of the deliveries that are still leased to us and not split."""
        asked = {"ids": compact(sorted(ids & self._work.tokens.keys()))}
        rows = self._run.execute("held_deliveries", asked).fetchall()
        return [row["id"] for row in rows if row["token"] == self._work.tokens[row["id"]]]

    def _end_deliveries(self, ids: Sequence[int]) -> None:
        """Mark deliveries as split, with the last of their events."""
        for ident in ids:
            size, duplicates = self._work.sizes[ident], self._duplicates[ident]
            if self._work.first.get(ident, self._begun) < self._begun:
                # Begun in a transaction before this one: what the log has of it is what was new.
                self._rows.write()
                duplicates = size - self._run.execute("events_of_delivery", {"id": ident}).fetchone()["events"]
            split = {"id": ident, "events": size, "duplicates": duplicates, **self._work.stamp}
            self._rows.add("split_delivery", split)
            self.tally.deliveries += 1

    # -- together

    def _gather(self, event: Ready, claimed: ClaimedDelivery, known: Known) -> bool:
        """Count a duplicate that changes nothing, or gather the rows of an event; False if neither will do."""
        logged = known.events.get(event.log.get("key", ""))
        if logged is not None and logged["digest"] == event.digest and logged["state"] == PROCESSED:
            self._count_duplicate(logged, event, claimed)
            return True
        verdict = event.outcome.verdict
        if not self._rows.take(event, known, self._verdict(verdict, event.outcome, attempts=1)):
            return False
        self._count_new(verdict)
        for found in event.outcome.drift:
            self._rows.add("count_drift", _drift(found, claimed, known.last_event))
        return True

    def _count_new(self, verdict: Verdict) -> None:
        self.tally.new += 1
        self._count_state(verdict)

    def _count_state(self, verdict: Verdict) -> None:
        setattr(self.tally, verdict.state, getattr(self.tally, verdict.state) + 1)  # named alike

    def _count_duplicate(self, logged: sqlite3.Row, event: Ready, claimed: ClaimedDelivery) -> bool:
        """Count an event that is in the log already, unless the log has it of this very delivery; say if it counts.

        It has if a worker began to finish the delivery, and died.
        """
        if (logged["delivery_id"], logged["position"]) == (claimed.id, event.outcome.event.position):
            return False
        self.tally.duplicates += 1
        self._duplicates[claimed.id] += 1
        return True

    def _verdict(self, verdict: Verdict, outcome: Outcome, *, attempts: int) -> dict[str, Any]:
        """The columns of an event that say how it was left."""
        return {
            "attempts": attempts,
            "state": verdict.state,
            "error": storable(verdict.error),
            "error_class": verdict.error_class,
            "next_attempt_at": to_text(verdict.next_attempt_at),
            "handled_by": outcome.handled_by,
            **self._work.stamp,
        }

    # -- one by one

    def _settle_again(self, event: Ready, claimed: ClaimedEvent) -> None:
        held = {"id": claimed.id, "token": claimed.token}
        row = self._run.execute("held_event", held).fetchone()
        if row is None:
            self.tally.lost += 1
            return
        self.tally.saw(event.outcome.event.type)
        self._settle(event, row["attempts"], claimed.run_id, event_id=claimed.id)

    def _settle_new(self, event: Ready, claimed: ClaimedDelivery) -> None:
        row = event.log
        logged = self._logged(row["key"])
        if logged is not None and logged["digest"] != event.digest:
            # The same message, status or call, told differently: both are kept, and the changes join.
            row = {**row, "key": f"{row['key']}~{event.digest[:16]}"}
            logged = self._logged(row["key"])
        if logged is None:
            self.tally.new += 1
            event_id = self._run.execute("insert_event", row).lastrowid
            assert event_id is not None  # noqa: S101 - an insert has a row id
            self._settle(event, 0, claimed.run_id, event_id=event_id)
            for found in event.outcome.drift:
                self._run.execute("count_drift", _drift(found, claimed, event_id))
        elif self._count_duplicate(logged, event, claimed):
            unsettled = logged["state"] != PROCESSED and (logged["leased_until"] or "") <= self._work.stamp["now"]
            if unsettled and event.outcome.verdict.state == PROCESSED:
                self._settle(event, logged["attempts"], claimed.run_id, event_id=logged["id"])

    def _logged(self, key: str) -> sqlite3.Row | None:
        row: sqlite3.Row | None = self._run.execute("event_by_key", {"key": key}).fetchone()
        return row

    def _settle(self, event: Ready, attempts: int, run_id: str | None, *, event_id: int) -> None:
        """Apply an event's changes and write its verdict; if they cannot be applied, the other verdict."""
        outcome = event.outcome
        verdict, lead_id = outcome.verdict, None
        if verdict.state == PROCESSED and outcome.changes:
            verdict, lead_id = self._apply(event, event_id)
        row = {
            **self._verdict(verdict, outcome, attempts=attempts + 1),
            "id": event_id,
            "lead_id": lead_id,
            "run_id": run_id,
        }
        self._run.execute("settle_event", row)
        self._run.execute("insert_attempt", row)
        self._count_state(verdict)

    def _apply(self, event: Ready, event_id: int) -> tuple[Verdict, int | None]:
        """Apply an event's changes, all or none; return the verdict that follows and the lead it is about."""
        outcome = event.outcome
        self._run.execute("begin_event", {})
        try:
            lead_id = apply(self._run.execute, outcome.changes, event_id=event_id, digest=event.digest)
        except Exception as exc:
            if is_unavailable(exc):
                raise  # not this event's fault: the whole transaction is tried again
            self._run.execute("undo_event", {})
            self._run.execute("end_event", {})
            fallback = outcome.if_not_applied
            verdict = Verdict(
                state=fallback.state,
                error=f"the changes cannot be stored: {type(exc).__name__}: {exc}",
                error_class=type(exc).__name__,
                next_attempt_at=fallback.next_attempt_at,
            )
            return verdict, None
        self._run.execute("end_event", {})
        return outcome.verdict, lead_id


def _drift(found: Finding, claimed: ClaimedDelivery, event_id: int) -> dict[str, Any]:
    named = {"kind": found.kind, "path": storable(found.path), "detail": storable(found.detail)}
    return {**named, "at": to_text(claimed.received_at), "event_id": event_id}
