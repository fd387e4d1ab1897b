"""What came of the work: finish of the SQLite store, in slices that let others have their turn."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from datetime import datetime

from ...errors import StoreError
from ..base import ClaimedDelivery, Outcome, Tally, to_text
from .connection import Connection, is_unavailable, translated
from .slices import Slice, Work

_AT_ONCE = 24
"""Events that are looked up and written together, in a few milliseconds; after each such part, others may have their
turn."""


class Settling(Connection):
    """The verb with which work ends."""

    def finish(
        self,
        outcomes: Sequence[Outcome],
        *,
        now: datetime,
        handler_version: str,
        deliveries: Sequence[ClaimedDelivery] = (),
        after: int = 0,
    ) -> Tally:
        """See `Store.finish`. All is one transaction, unless somebody waits for the write lock meanwhile."""
        work = Work(outcomes, deliveries, {"now": to_text(now), "handler_version": handler_version}, after=after)
        total = Tally()
        with translated(self.path):
            while True:
                try:
                    total.add(self._slice(work))
                except (sqlite3.Error, StoreError):
                    if work.place == after:
                        raise
                    total.left = len(outcomes) - work.place
                if work.place == len(outcomes) or total.left:
                    return total

    def _slice(self, work: Work) -> Tally:
        """Settle some events in one transaction, at least one; `work.place` is then behind them.

        Together with each other; where that fails, one by one, so that what fails does so alone.
        """
        try:
            return self._transact(work, together=True)
        except Exception as exc:
            if isinstance(exc, StoreError) or is_unavailable(exc):
                raise
        return self._transact(work, together=False)

    def _transact(self, work: Work, *, together: bool) -> Tally:
        place = work.place
        with self._transaction(durable=False):
            made = Slice(self._statements, work, together=together)
            while place < len(work.outcomes):
                made.settle(place, place + _AT_ONCE)
                place = min(place + _AT_ONCE, len(work.outcomes))
                if self._wanted():
                    break
        work.place = place
        return made.tally
