"""The log of the SQLite store: append, claim, finish, requeue, and the ledger of runs."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ...errors import StoreUnavailableError
from ..base import (
    DEAD,
    FAILED,
    PENDING,
    PROCESSED,
    REFUSED,
    RUN_GRACE,
    ClaimedDelivery,
    ClaimedEvent,
    Delivery,
    Outcome,
    Query,
    Run,
    Tally,
    Verdict,
    from_text,
    to_text,
)
from .connection import Connection, translate, translated
from .crm import apply
from .reading import where

if TYPE_CHECKING:
    from ...events import Event

_ADOPTED_AT_ONCE = 1000
_REQUEUED_AT_ONCE = 5000
"""A longer transaction would keep the front waiting for the write lock."""

_CLAIM_BYTES = 8 * 2**20
"""Bodies claimed at a time, beyond the first: bounds a worker's memory whatever Meta batches."""


class Log(Connection):
    """The writing half of `SqliteStore`."""

    def append(self, deliveries: Sequence[Delivery]) -> list[int]:
        """See `Store.append`."""
        with translated(self.path), self._transaction():
            return [self._append(delivery) for delivery in deliveries]

    def _append(self, delivery: Delivery) -> int:
        row = {
            "body": delivery.body,
            "headers": json.dumps(dict(delivery.headers)),
            "source": delivery.source,
            "source_ip": delivery.source_ip,
            "received_at": to_text(delivery.received_at),
            "signature_key": delivery.signature_key,
            "run_id": delivery.run_id,
        }
        made = self._db.execute(self._sql["append_delivery"], row).lastrowid
        assert made is not None  # noqa: S101 - sqlite3 says so only of statements that insert nothing
        return made

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
                with self._transaction():
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
                with self._transaction():
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
                run_id=row["run_id"],
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
        with translated(self.path), self._transaction():
            for name in ("release_deliveries", "release_events"):
                self._db.execute(self._sql[name], {"token": token})

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
            self._settle(outcome, None, stamped, tally, event_id=self._insert(event, key, claimed, stamped))
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
        _count(tally, verdict.state)

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


def _count(tally: Tally, state: str) -> None:
    if state != PENDING:
        name = {PROCESSED: "processed", FAILED: "failed", DEAD: "dead", REFUSED: "refused"}[state]
        setattr(tally, name, getattr(tally, name) + 1)


def _storable(text: str | None) -> str | None:
    """Return `text` as SQLite takes it: a lone surrogate cannot be written as UTF-8."""
    return text.encode("utf-8", "replace").decode() if text else text
