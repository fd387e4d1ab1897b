"""Deliveries recorded, and work leased: append, claim and release of the SQLite store."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import chain
from typing import TYPE_CHECKING, Any

from pydantic_core import to_json

from ...errors import StoreUnavailableError
from ..base import (
    RUN_GRACE,
    ClaimedDelivery,
    ClaimedEvent,
    Delivery,
    from_text,
    to_text,
)
from .connection import Connection, translated

if TYPE_CHECKING:
    pass

_ADOPTED_AT_ONCE = 1000

_CLAIM_BYTES = 8 * 2**20
"""Bodies claimed at a time, beyond the first: bounds a worker's memory whatever Meta batches."""


class Claims(Connection):
    """The verbs with which deliveries come in, and work is taken and given back."""

    def append(self, deliveries: Sequence[Delivery], *, wait: bool = True) -> list[int]:
        """See `Store.append`."""
        rows = [_row(delivery) for delivery in deliveries]
        chunks = [rows[at : at + _ROWS_AT_ONCE] for at in range(0, len(rows), _ROWS_AT_ONCE)]
        last = 0
        with translated(self.path):
            if len(chunks) == 1:  # a statement is a transaction of its own, and begins and ends faster
                self._sync(durable=True)
                self._check_identity()
                last = self._in_turn(*self._insertion(rows), wait=wait).lastrowid or 0
            elif not wait:
                raise StoreUnavailableError("so many deliveries take their time")
            else:
                with self._transaction():
                    for chunk in chunks:
                        last = self._db.execute(*self._insertion(chunk)).lastrowid or 0
        return list(range(last - len(rows) + 1, last + 1))  # ids are given out one by one while we hold the lock

    def _insertion(self, rows: Sequence[tuple[Any, ...]]) -> tuple[str, list[Any]]:
        statement = self._sql["append_deliveries"] + ", ".join([_VALUES] * len(rows))
        return statement, list(chain.from_iterable(rows))

    # -- the back

    def claim_deliveries(
        self, *, limit: int, token: str, now: datetime, until: datetime, run_id: str | None = None
    ) -> list[ClaimedDelivery]:
        """See `Store.claim_deliveries`."""
        scope = {"limit": limit, "now": to_text(now), "run_id": run_id}
        found = "open_deliveries_of_run" if run_id else "open_deliveries"
        with translated(self.path):
            rows = self._leased("leased_deliveries", token)
            if not rows and self._anything(found, "new_deliveries", scope):
                with self._transaction(durable=False):
                    self._adopt(run_id)
                    self._lease("lease_delivery", self._within_bounds(found, scope), token, until)
                rows = self._leased("leased_deliveries", token)
        return [
            ClaimedDelivery(
                id=row["id"],
                body=row["body"],
                received_at=from_text(row["received_at"]),
                token=token,
                run_id=row["run_id"],
            )
            for row in rows
        ]

    def _adopt(self, run_id: str | None) -> None:
        """Take up what the front has recorded since: all of a run, or the next thousand."""
        scope = {"limit": _ADOPTED_AT_ONCE, "run_id": run_id, "grace": f"+{RUN_GRACE.total_seconds():.0f} seconds"}
        if run_id:
            self._db.execute(self._sql["adopt_run"], scope)
        else:
            self._db.execute(self._sql["adopt_deliveries"], scope)
            self._db.execute(self._sql["adopt_signature_keys"], scope)
            self._db.execute(self._sql["adopted"], scope)

    def _within_bounds(self, found: str, scope: Mapping[str, Any]) -> list[int]:
        """The ids of open deliveries, up to the limits in number and in bytes; at least one if there is one."""
        chosen: list[int] = []
        size = 0
        for row in self._db.execute(self._sql[found], scope):
            size += row["size"]
            if chosen and size > _CLAIM_BYTES:
                break
            chosen.append(row["id"])
        return chosen

    def claim_events(
        self, *, limit: int, token: str, now: datetime, until: datetime, run_id: str | None = None
    ) -> list[ClaimedEvent]:
        """See `Store.claim_events`."""
        scope = {"limit": limit, "now": to_text(now), "run_id": run_id}
        with translated(self.path):
            rows = self._leased("leased_events", token)
            found = "due_events_of_run" if run_id else "due_events"
            if not rows and self._anything(found, None, scope):
                with self._transaction(durable=False):
                    due = [row["id"] for row in self._db.execute(self._sql[found], scope)]
                    self._lease("lease_event", due, token, until)
                rows = self._leased("leased_events", token)
        return [
            ClaimedEvent(
                id=row["id"],
                key=row["event_key"],
                payload=json.loads(row["payload_original"]),
                position=row["position"],
                attempts=row["attempts"],
                delivery_id=row["delivery_id"],
                token=token,
                handled_by=row["handled_by"] or "",
                run_id=run_id,
            )
            for row in rows
        ]

    def _anything(self, found: str, also: str | None, scope: Mapping[str, Any]) -> bool:
        """Whether a claim would find something: looked up first, so that idle workers take no write lock."""
        names = [found, *([also] if also else [])]
        return any(self._db.execute(self._sql[name], scope).fetchone() for name in names)

    def _leased(self, name: str, token: str) -> list[sqlite3.Row]:
        return self._db.execute(self._sql[name], {"token": token}).fetchall()

    def _lease(self, name: str, ids: Sequence[int], token: str, until: datetime) -> None:
        leases = [{"id": ident, "token": token, "until": to_text(until)} for ident in ids]
        self._db.executemany(self._sql[name], leases)

    def release(self, token: str) -> None:
        """See `Store.release`."""
        with translated(self.path), self._transaction(durable=False):
            for name in ("release_deliveries", "release_events"):
                self._db.execute(self._sql[name], {"token": token})


_VALUES = "(?, ?, ?, ?, ?, ?, ?)"
_ROWS_AT_ONCE = 100
"""Rows of one statement. Each number of them is compiled once; between statements, the receiver takes its turn."""


def _row(delivery: Delivery) -> tuple[Any, ...]:
    return (
        to_json(delivery.headers).decode(),
        delivery.source,
        delivery.source_ip,
        to_text(delivery.received_at),
        delivery.signature_key,
        delivery.run_id,
        delivery.body,
    )
