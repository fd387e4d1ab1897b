"""What came of the work: finish and requeue of the SQLite store, and the ledger of runs."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ...errors import StoreUnavailableError
from ..base import (
    PROCESSED,
    RUN_GRACE,
    ClaimedDelivery,
    ClaimedEvent,
    Outcome,
    Query,
    Run,
    Tally,
    Verdict,
    to_text,
)
from .connection import Connection, translate, translated
from .crm import apply
from .reading import where

if TYPE_CHECKING:
    from ...drift import Finding
    from ...events import Event

_REQUEUED_AT_ONCE = 5000
"""A longer transaction would keep the front waiting for the write lock."""


class Settling(Connection):
    """The verbs with which work ends, or begins anew."""

    def finish(
        self,
        outcomes: Sequence[Outcome],
        *,
        now: datetime,
        handler_version: str,
        deliveries: Sequence[ClaimedDelivery] = (),
    ) -> Tally:
        """See `Store.finish`."""
        tally = Tally()
        stamp = {"now": to_text(now), "handler_version": handler_version}
        per_delivery = {delivery.id: Tally() for delivery in deliveries}
        with translated(self.path), self._transaction():
            held = {d.id for d in deliveries if self._still_unsplit(d)}
            for outcome in outcomes:
                if isinstance(outcome.claimed, ClaimedEvent):
                    self._finish_claimed(outcome, outcome.claimed, stamp, tally)
                elif outcome.claimed.id in held:
                    self._finish_new(outcome, outcome.claimed, stamp, per_delivery[outcome.claimed.id])
                else:
                    tally.lost += 1
            for delivery_id in held:
                counted = per_delivery[delivery_id]
                counted.deliveries = 1
                split = {"id": delivery_id, "events": counted.events, "duplicates": counted.duplicates}
                self._db.execute(self._sql["split_delivery"], {**split, **stamp})
                tally.add(counted)
        return tally

    def _still_unsplit(self, delivery: ClaimedDelivery) -> bool:
        row = self._db.execute(self._sql["held_delivery"], {"id": delivery.id, "token": delivery.token}).fetchone()
        return row is not None and row["split_at"] is None

    def _finish_claimed(
        self, outcome: Outcome, claimed: ClaimedEvent, stamp: Mapping[str, Any], tally: Tally
    ) -> None:
        held = {"id": claimed.id, "token": claimed.token}
        row = self._db.execute(self._sql["held_event"], held).fetchone()
        if row is None:
            tally.lost += 1
            return
        tally.saw(outcome.event.type)
        self._settle(outcome, row, {**stamp, "run_id": claimed.run_id}, tally, event_id=claimed.id)

    def _finish_new(self, outcome: Outcome, claimed: ClaimedDelivery, stamp: Mapping[str, Any], tally: Tally) -> None:
        event = outcome.event
        tally.saw(event.type)
        stamped = {**stamp, "run_id": claimed.run_id}
        key = event.key
        known = self._known(key)
        if known is not None and known["digest"] != event.digest:
            # The same message, status or call, told differently: both are kept, and the changes join.
            key = f"{event.key}~{event.digest[:16]}"
            known = self._known(key)
        if known is None:
            tally.new += 1
            event_id = self._insert(event, key, claimed, stamped)
            self._settle(outcome, None, stamped, tally, event_id=event_id)
            for found in outcome.drift:
                at = to_text(claimed.received_at)
                self._db.execute(self._sql["count_drift"], {**_drift(found), "at": at, "event_id": event_id})
            return
        tally.duplicates += 1
        unsettled = known["state"] != PROCESSED and (known["leased_until"] or "") <= stamp["now"]
        if unsettled and outcome.verdict.state == PROCESSED:
            self._settle(outcome, known, stamped, tally, event_id=known["id"])

    def _known(self, key: str) -> sqlite3.Row | None:
        row: sqlite3.Row | None = self._db.execute(self._sql["event_by_key"], {"key": key}).fetchone()
        return row

    def _insert(self, event: Event, key: str, claimed: ClaimedDelivery, stamp: Mapping[str, Any]) -> int:
        row = {
            "type": event.type,
            "payload": json.dumps(event.payload, ensure_ascii=True, separators=(",", ":")),
            "received_at": to_text(claimed.received_at),
            "key": key,
            "digest": event.digest,
            "delivery_id": claimed.id,
            "position": event.position,
            "at": to_text(event.at),
            "account_id": _storable(event.account_id),
            "phone_number_id": _storable(event.phone_number_id),
            "message_id": _storable(event.message_id),
            "call_id": _storable(event.call_id),
            "run_id": stamp["run_id"],
        }
        made = self._db.execute(self._sql["insert_event"], row).lastrowid
        assert made is not None  # noqa: S101 - as above
        return made

    def _settle(
        self, outcome: Outcome, known: sqlite3.Row | None, stamp: Mapping[str, Any], tally: Tally, *, event_id: int
    ) -> None:
        """Apply an event's changes and write its verdict; if they cannot be applied, the other verdict."""
        verdict = outcome.verdict
        lead_id = None
        if verdict.state == PROCESSED and outcome.changes:
            self._db.execute("SAVEPOINT event")
            try:
                lead_id = apply(self._execute, outcome.changes, event_id=event_id, digest=outcome.event.digest)
            except Exception as exc:
                if isinstance(exc, sqlite3.Error) and isinstance(translate(exc, ""), StoreUnavailableError):
                    raise  # not this event's fault: the whole transaction is tried again
                self._db.execute("ROLLBACK TO event")
                fallback = outcome.if_not_applied
                verdict = Verdict(
                    state=fallback.state,
                    error=f"the changes cannot be stored: {type(exc).__name__}: {exc}",
                    error_class=type(exc).__name__,
                    next_attempt_at=fallback.next_attempt_at,
                )
            self._db.execute("RELEASE event")
        attempts = known["attempts"] if known else 0
        row = {
            "id": event_id,
            "state": verdict.state,
            "attempts": attempts + 1,
            "error": _storable(verdict.error),
            "error_class": verdict.error_class,
            "next_attempt_at": to_text(verdict.next_attempt_at),
            "handled_by": outcome.handled_by,
            "lead_id": lead_id,
            **stamp,
        }
        self._db.execute(self._sql["settle_event"], row)
        self._db.execute(self._sql["insert_attempt"], row)
        setattr(tally, verdict.state, getattr(tally, verdict.state) + 1)  # named alike

    # -- runs

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


def _drift(found: Finding) -> dict[str, str | None]:
    return {"kind": found.kind, "path": _storable(found.path), "detail": _storable(found.detail)}


def _storable(text: str | None) -> str | None:
    """Return `text` as SQLite takes it: a lone surrogate cannot be written as UTF-8."""
    return text.encode("utf-8", "replace").decode() if text else text
