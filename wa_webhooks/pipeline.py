"""The one pipeline, with the order of its steps: verify, record, answer; then split, handle, finish.

Every door ends here: `serve` and `work`, `replay`, `reprocess`, `rebuild` and `check` all handle an event with
`handle`; the first four finish it with `Pipeline.process`.
"""

from __future__ import annotations

import contextlib
import secrets as random_tokens
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar, get_args

from . import signature
from .changes import Change
from .drift import findings
from .errors import HandlersMissingError, StoreError, describe
from .events import Event
from .handlers import Registry, builtin, name_of
from .origin import Origin
from .retry import RetryPolicy, patiently
from .splitting import restore, split
from .stores.base import (
    DEAD,
    FAILED,
    PROCESSED,
    REFUSED,
    ClaimedDelivery,
    ClaimedEvent,
    Delivery,
    Difference,
    LoggedEvent,
    Outcome,
    Query,
    Rebuilt,
    Run,
    Store,
    Tally,
    Verdict,
)
from .version import __version__

ClaimedT = TypeVar("ClaimedT")

_PROCESSED = Verdict(state=PROCESSED)
_CHANGES = frozenset(get_args(Change))

KEPT_HEADERS = (signature.HEADER.lower(), "user-agent", "content-type", "x-request-id")
"""Headers that a delivery keeps: what checking its signature again or finding it in logs needs."""

_CLAIMED_AT_ONCE, _EVENTS_CLAIMED_AT_ONCE = 500, 100
"""Deliveries, whose bodies the store bounds in bytes, and events that are due again."""

_EVENTS_A_TRANSACTION = 500
"""At most, as long as nobody waits: the more, the fewer pages of indexes are written twice."""

_LEASE_USED = 0.8
"""The part of a lease after which a worker begins nothing more under it."""


def receive(
    body: bytes,
    headers: Mapping[str, str],
    *,
    secrets: Sequence[str],
    received_at: datetime,
    source_ip: str | None = None,
) -> Delivery:
    """Return the delivery that a POST brings, verified on its raw bytes; `headers` have lower-case names.

    Raises:
        SignatureError: it is not signed with one of `secrets`.
    """
    verifier = signature.verifier(tuple(secrets))
    position = verifier.verify(body, headers.get(KEPT_HEADERS[0]))
    return Delivery(
        body=body,
        received_at=received_at,
        headers={name: value for name in KEPT_HEADERS if (value := headers.get(name)) is not None},
        source_ip=source_ip,
        signature_key=verifier.labels[position],
    )


def handle(event: Event, registry: Registry) -> tuple[Change, ...]:
    """Return the changes that the handlers make of an event. All that match are run, whatever another one raises.

    Raises:
        Exception: what the first failing handler raised; a note names the others that failed.
    """
    changes: list[Change] = []
    failures: list[BaseException] = []
    for handler in registry.matching(event.type):
        try:
            for change in handler(event) or ():
                if type(change) not in _CHANGES:
                    raise TypeError(f"a handler gives changes, not {type(change).__name__}")  # noqa: TRY301 - as any fault of a handler
                changes.append(change)
        except (Exception, SystemExit) as exc:  # noqa: BLE001 - whatever it raises fails its event, nothing else
            exc.add_note(f"in handler {name_of(handler)}")
            failures.append(exc)
    if failures:
        for other in failures[1:]:
            failures[0].add_note(f"also: {type(other).__name__}: {other}")
        raise failures[0]
    return tuple(changes)


def _now() -> datetime:
    return datetime.now(UTC)


class _Batch:
    """What is finished in one transaction."""

    def __init__(self) -> None:
        self.outcomes: list[Outcome] = []
        self.deliveries: list[ClaimedDelivery] = []


@dataclass(kw_only=True)
class Pipeline:
    """Takes recorded deliveries and due events of a store through split, handle and finish.

    `lease` is how long, in seconds, a claim is ours alone; a worker that dies gives it up by that. An event that had
    handlers which are not loaded here fails, instead of being settled without them, unless `ignore_handlers`.
    """

    store: Store
    registry: Registry = field(default_factory=builtin)
    origin: Origin = field(default_factory=Origin)
    policy: RetryPolicy = field(default_factory=RetryPolicy)
    clock: Callable[[], datetime] = _now
    sleep: Callable[[float], object] = time.sleep
    lease: float = 60.0
    ignore_handlers: bool = False
    _given_up: dict[int, Verdict] = field(default_factory=dict, init=False, repr=False)
    """Verdicts in case the store cannot apply what an event comes to, by the number of the attempt: a batch's."""

    def process(self, *, run_id: str | None = None, limit: int = _CLAIMED_AT_ONCE) -> Tally:
        """Claim and finish a batch of deliveries, up to `limit`, and one of due events.

        An empty tally means that nothing was due.

        With `run_id`, only those of that run.
        """
        token = random_tokens.token_hex(8)
        started = self.clock()
        deliveries = self._claim(self.store.claim_deliveries, token, run_id, limit)
        events = self._claim(self.store.claim_events, token, run_id, min(limit, _EVENTS_CLAIMED_AT_ONCE))
        claimed: list[ClaimedDelivery | ClaimedEvent] = [*deliveries, *events]
        left = claimed[::-1]
        tally = Tally()
        all_done = False
        try:
            # Slow handlers: what is left at the end of the lease is given back, instead of being done twice.
            while left and self.clock() - started < timedelta(seconds=self.lease * _LEASE_USED):
                tally.add(self._finish(self._next_batch(left)))
            all_done = not left
        finally:
            if not all_done:
                with contextlib.suppress(StoreError):  # then the lease ends by itself
                    self.store.release(token)
        return tally

    def _next_batch(self, left: list[ClaimedDelivery | ClaimedEvent]) -> _Batch:
        """Handle what is finished in one transaction, off the end of `left`: bounded in number and in time."""
        batch = _Batch()
        enough = self.clock() + timedelta(seconds=self.lease / 10)
        self._given_up.clear()
        while left and len(batch.outcomes) < _EVENTS_A_TRANSACTION:
            batch.outcomes.extend(self._outcomes_of(left[-1]))
            claimed = left.pop()
            if isinstance(claimed, ClaimedDelivery):
                batch.deliveries.append(claimed)
            if self.clock() > enough:
                break
        return batch

    def drain(self, *, run_id: str | None = None, progress: Callable[[Tally], None] | None = None) -> Tally:
        """Process until nothing is due; call `progress` after each batch with the tally so far."""
        total = Tally()
        while True:
            tally = self.process(run_id=run_id)
            if not (tally.deliveries or tally.events or tally.lost):
                return total
            total.add(tally)
            if progress:
                progress(total)

    def _claim(
        self, claim: Callable[..., list[ClaimedT]], token: str, run_id: str | None, limit: int
    ) -> list[ClaimedT]:
        def once() -> list[ClaimedT]:
            now = self.clock()
            until = now + timedelta(seconds=self.lease)
            return claim(limit=limit, token=token, now=now, until=until, run_id=run_id)

        return patiently(once, sleep=self.sleep)

    def _finish(self, batch: _Batch) -> Tally:
        total = Tally()

        def once() -> Tally:
            return self.store.finish(
                batch.outcomes,
                now=self.clock(),
                handler_version=__version__,
                deliveries=batch.deliveries,
                after=len(batch.outcomes) - total.left,
            )

        total.left = len(batch.outcomes)
        while True:
            tally = patiently(once, sleep=self.sleep)
            total.left = tally.left
            tally.left = 0
            total.add(tally)
            if not total.left:
                return total

    def _outcomes_of(self, claimed: ClaimedDelivery | ClaimedEvent) -> Iterator[Outcome]:
        """What comes of each event of a delivery, or of the one event."""
        if isinstance(claimed, ClaimedDelivery):
            for event in split(claimed.body, claimed.received_at):
                outcome = self._attempt(event, claimed, made=1)
                yield replace(outcome, drift=found) if (found := findings(event.payload)) else outcome
        else:
            event = restore(key=claimed.key, payload=claimed.payload, position=claimed.position)
            yield self._attempt(event, claimed, made=claimed.attempts + 1)

    def _attempt(self, event: Event, claimed: ClaimedDelivery | ClaimedEvent, *, made: int) -> Outcome:
        """Handle one event; `made` counts this attempt. Whatever its handlers raise becomes the verdict."""
        reason = self.origin.refusal(event)
        changes: tuple[Change, ...] = ()
        if reason:
            verdict = Verdict(state=REFUSED, error=reason, error_class="OriginRefused")
        else:
            try:
                changes = self.changes_of(event, claimed.handled_by if isinstance(claimed, ClaimedEvent) else "")
                verdict = _PROCESSED
            except (Exception, SystemExit) as exc:  # noqa: BLE001 - as in `handle`
                verdict = self._failed(exc, made)
        return Outcome(
            event=event,
            claimed=claimed,
            verdict=verdict,
            if_not_applied=self._given_up.get(made) or self._give_up(made),
            changes=changes,
            handled_by="" if reason else self._names(event, claimed),
        )

    def changes_of(self, event: Event, handled_by: str) -> tuple[Change, ...]:
        """Return what becomes of an event; `handled_by` names the handlers that it had.

        Raises:
            HandlersMissingError: one of the user's handlers that it had is not loaded here.
            Exception: what a handler raised.
        """
        missing = [] if self.ignore_handlers else self.registry.missing(handled_by)
        if missing:
            raise HandlersMissingError(f"{', '.join(missing)} had this event and is not loaded here: add --handlers")
        return patiently(lambda: handle(event, self.registry), sleep=self.sleep)

    def _names(self, event: Event, claimed: ClaimedDelivery | ClaimedEvent) -> str:
        """The handlers that the event has; those that are missing stay on record."""
        label = self.registry.label(event.type)
        if isinstance(claimed, ClaimedEvent) and not self.ignore_handlers:
            return ", ".join(filter(None, (label, *self.registry.missing(claimed.handled_by))))
        return label

    def _give_up(self, made: int) -> Verdict:
        self._given_up[made] = self._failed(ValueError(), made)
        return self._given_up[made]

    def _failed(self, exc: BaseException, made: int) -> Verdict:
        again = self.policy.next_attempt(exc, made=made, now=self.clock())
        return Verdict(
            state=DEAD if again is None else FAILED,
            error=describe(exc),
            error_class=type(exc).__name__,
            next_attempt_at=again,
        )


def start_run(command: str, *, scope: Mapping[str, object], started_by: str, now: datetime) -> Run:
    """Return a new run for the ledger; its id sorts by time and is short enough to type."""
    return Run(
        id=f"{now:%Y%m%d-%H%M%S}-{random_tokens.token_hex(2)}",
        command=command,
        scope=dict(scope),
        started_by=started_by,
        started_at=now,
        version=__version__,
    )


def replay(
    pipeline: Pipeline,
    bodies: Iterable[bytes],
    run: Run,
    *,
    progress: Callable[[Tally], None] | None = None,
    batch: int = 100,
) -> dict[str, Any]:
    """Record captured bodies as deliveries of `run` and process them; return the run's counts.

    They come from the operator's own hands, so there is no signature to check; everything behind it is the same.
    """
    pipeline.store.save_run(run, counts=None)
    waiting: list[Delivery] = []

    def record() -> None:
        if waiting:
            patiently(lambda: pipeline.store.append(waiting), sleep=pipeline.sleep)
            waiting.clear()

    for body in bodies:
        now = pipeline.clock()
        waiting.append(Delivery(body=body, received_at=now, source="replay", run_id=run.id))
        if len(waiting) >= batch:
            record()
    record()
    return _finish_run(pipeline, run, progress)


def reprocess(
    pipeline: Pipeline, query: Query, run: Run, *, progress: Callable[[Tally], None] | None = None
) -> dict[str, Any]:
    """Take the selected events back to *pending* and process them as `run`; return the run's counts."""
    requeued = pipeline.store.requeue(query, run, now=pipeline.clock())
    return _finish_run(pipeline, run, progress, events=requeued)


def rebuild(
    pipeline: Pipeline,
    run: Run | None = None,
    *,
    agree: Callable[[Rebuilt], bool] = lambda _: True,
    progress: Callable[[int], None] = lambda _: None,
    tell: Callable[[Difference], None] = lambda _: None,
) -> Rebuilt:
    """Hold the CRM tables against what the log adds up to; with a `run`, put them right if `agree` says so.

    Raises:
        HandlersMissingError: an event had a user's handlers that are not loaded here.
    """

    def changes_of(logged: LoggedEvent) -> Sequence[Change]:
        event = restore(key=logged.key, payload=logged.payload, position=logged.position)
        return pipeline.changes_of(event, logged.handled_by)

    return pipeline.store.rebuild(
        changes_of, clock=pipeline.clock, run=run, agree=agree, progress=progress, tell=tell
    )


def _finish_run(
    pipeline: Pipeline, run: Run, progress: Callable[[Tally], None] | None, **known: int
) -> dict[str, Any]:
    """Process what belongs to the run until it is all through, also what another worker has taken of it."""
    total = Tally()
    while True:
        total.add(pipeline.drain(run_id=run.id, progress=progress))
        counts = {**pipeline.store.run_counts(run.id), **known}
        if not counts["open"] and not counts["pending"]:
            break
        pipeline.sleep(0.1)
    pipeline.store.save_run(run, finished_at=pipeline.clock(), counts=counts)
    return {**counts, "by_type": dict(sorted(total.by_type.items()))}
