"""Runs: events taken back to *pending*, and the ledger."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from uuid import uuid4

from ..base import RUN_GRACE, Query, Run, to_text
from .calls import Calls
from .reading import asked
from .values import all_storable

_REQUEUED_AT_ONCE = 5000
"""So that a call takes no longer than a second."""


class Runs(Calls):
    """The verbs of runs."""

    def requeue(self, query: Query, run: Run, *, now: datetime) -> int:
        """See `Store.requeue`."""
        self.save_run(run, counts=None)
        args = {
            "query": asked(query),
            "run_id": run.id,
            "now": to_text(now),
            "abandoned_at": to_text(now + RUN_GRACE),
            "limit": _REQUEUED_AT_ONCE,
        }
        requeued = after = 0
        while True:
            args |= {"after": after, "nonce": uuid4().hex}
            answer = self._call("wa_requeue", args, requeued=int, last=(int, type(None)))
            requeued += int(answer["requeued"])
            if answer["last"] is None:
                return requeued
            after = answer["last"]

    def save_run(self, run: Run, *, finished_at: datetime | None = None, counts: Mapping[str, int] | None) -> None:
        """See `Store.save_run`."""
        entered = {**asdict(run), "started_at": to_text(run.started_at)}
        args = {"run": entered, "finished_at": to_text(finished_at), "counts": dict(counts or {})}
        self._call("wa_save_run", all_storable(args), run=str)
