"""Runs: events taken back to *pending*, and the ledger."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime

from ..base import RUN_GRACE, Query, Run, to_text
from .connection import Connection, translated
from .reading import where

_REQUEUED_AT_ONCE = 5000
"""A longer transaction would keep the front waiting for the write lock."""


class Runs(Connection):
    """The verbs of runs."""

    def requeue(self, query: Query, run: Run, *, now: datetime) -> int:
        """See `Store.requeue`."""
        conditions, parameters = where(query)
        chunk, update = (self._sql[name].replace("SCOPE", conditions) for name in ("requeue_chunk", "requeue_events"))
        parameters |= {"run_id": run.id, "now": to_text(now), "abandoned_at": to_text(now + RUN_GRACE)}
        parameters |= {"after": 0, "limit": _REQUEUED_AT_ONCE}
        self.save_run(run, counts=None)
        requeued = 0
        with translated(self.path):
            while (last := self._db.execute(chunk, parameters).fetchone()["last"]) is not None:
                with self._transaction():
                    requeued += self._db.execute(update, {**parameters, "last": last}).rowcount
                parameters["after"] = last
        return requeued

    def save_run(self, run: Run, *, finished_at: datetime | None = None, counts: Mapping[str, int] | None) -> None:
        """See `Store.save_run`."""
        with translated(self.path), self._transaction():
            self._insert_run(run)
            if finished_at:
                end = {
                    "id": run.id,
                    "finished_at": to_text(finished_at),
                    "counts": json.dumps(dict(counts or {})),
                }
                self._db.execute(self._sql["finish_run"], end)

    def _insert_run(self, run: Run) -> None:
        row = {**asdict(run), "scope": json.dumps(run.scope), "started_at": to_text(run.started_at)}
        self._db.execute(self._sql["insert_run"], row)
