"""What a store is: the log and the CRM tables behind a few synchronous verbs, each safe to repeat.

A store raises only `StoreError`s. Times are aware and in UTC, given by the caller: a store has no clock. One suite
of contract tests runs over every backend. What is passed to and fro is not to be changed; what there is of every
event is not frozen all the same, which would triple the time to make one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from ..changes import Change
    from ..drift import Finding
    from ..events import Event

PENDING, PROCESSED, FAILED, DEAD, REFUSED = STATES = ("pending", "processed", "failed", "dead", "refused")

TRANSITIONS: Mapping[str, frozenset[str]] = {
    PENDING: frozenset({PROCESSED, FAILED, DEAD, REFUSED}),
    FAILED: frozenset({PROCESSED, FAILED, DEAD, REFUSED, PENDING}),
    PROCESSED: frozenset({PENDING}),
    DEAD: frozenset({PROCESSED, PENDING}),
    REFUSED: frozenset({PROCESSED, PENDING}),
}
"""Which state may follow which. To *pending* by reprocessing; out of *dead* and *refused* also by another delivery
of the same event that succeeds."""


RUN_GRACE = timedelta(minutes=15)
"""How long what a run recorded or requeued is left to that run: workers may have older handlers than the operator
who started it. After that it counts as abandoned, and any worker takes it up."""


KEPT_REJECTIONS = 10_000
"""How many rejections a store keeps: the newest ones."""


@dataclass(slots=True, kw_only=True)
class Delivery:
    """One verified POST, to be recorded. Not frozen: that would take twice as long to make, on the receiver's path.

    `source` is the door it came through: `serve` or `replay`. `signature_key` is the label of the app secret that
    signed it (`signature.key_label`). With a `nonce`, a store over a network records it once, however often it is
    appended.
    """

    body: bytes
    received_at: datetime
    headers: Mapping[str, str] = field(default_factory=dict)
    source: str = "serve"
    source_ip: str | None = None
    signature_key: str | None = None
    run_id: str | None = None
    nonce: str | None = None


CAUSES: Mapping[str, str] = {
    "malformed": "the request is not HTTP as it should be",
    "too-large": "its head, its target or its body is too large",
    "slow": "it did not come in time",
    "unknown-path": "it is for a path that is not served",
    "method": "it uses a method that its path does not take",
    "length-required": "it does not say how long its body is",
    "network": "it comes from an address outside the networks allowed",
    "certificate": "its client certificate is missing or not the one expected",
    "signature-missing": "it carries no signature",
    "signature-wrong": "no app secret matches its signature",
    "handshake": "a verification of the callback URL with another token",
    "overloaded": "there was no room for it",
    "connections": "too many connections were open: this one was closed",
}
"""Why a request is rejected: the slugs that rejections carry, and what each says of a request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejection:
    """One request that was refused. What it carried is not kept.

    `status` is what was answered, `cause` one of `CAUSES`, `detail` the sentence that was answered. `size` is that of
    the body in bytes: what was read of it, or else what it was said to be. `body_sha256` (hex) is set where the body
    was read.
    """

    at: datetime
    status: int
    cause: str
    source_ip: str | None = None
    size: int | None = None
    body_sha256: str | None = None
    request_id: str | None = None
    detail: str | None = None


@dataclass(slots=True, kw_only=True)
class ClaimedDelivery:
    """A recorded delivery, leased under `token` to be split and handled."""

    id: int
    body: bytes
    received_at: datetime
    token: str
    run_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimedEvent:
    """An event of the log, leased under `token` for another attempt; `attempts` counts those before it.

    `handled_by` names the handlers of its last attempt; `run_id` is the run that claims it, if one does.
    """

    id: int
    key: str
    payload: Any
    position: int
    attempts: int
    delivery_id: int
    token: str
    handled_by: str = ""
    run_id: str | None = None


@dataclass(slots=True, kw_only=True)
class Verdict:
    """In which state an attempt leaves an event, and why. `next_attempt_at` is set for `failed` alone."""

    state: str
    error: str | None = None
    error_class: str | None = None
    next_attempt_at: datetime | None = None


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What an attempt at one event came to.

    `claimed` is what was leased: the delivery that brought a new event, or the event itself. `changes` are applied
    only with the verdict `processed`. `if_not_applied` is the verdict in their stead if the store cannot apply
    them; its error is the store's. `drift` is what the models do not know in it, counted if the event is new.
    """

    event: Event
    claimed: ClaimedDelivery | ClaimedEvent
    verdict: Verdict
    if_not_applied: Verdict
    changes: Sequence[Change] = ()
    handled_by: str = ""
    drift: Sequence[Finding] = ()


@dataclass(slots=True, kw_only=True)
class Tally:
    """How many events `finish` left how.

    `duplicates` were in the log already; `lost` had lost their lease; `left` are still to be settled. `by_type`
    counts all of `events`.
    """

    deliveries: int = 0
    events: int = 0
    new: int = 0
    duplicates: int = 0
    processed: int = 0
    failed: int = 0
    dead: int = 0
    refused: int = 0
    lost: int = 0
    left: int = 0
    by_type: Counter[str] = field(default_factory=Counter)

    def saw(self, event_type: str) -> None:
        """Count an event."""
        self.events += 1
        self.by_type[event_type] += 1

    def add(self, other: Tally) -> None:
        """Add the figures of `other` to these."""
        for name in _FIGURES:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.by_type.update(other.by_type)


_FIGURES = tuple(name for name in Tally.__slots__ if name != "by_type")


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """Which events of the log: all conditions that are set must hold.

    `types` are event types or prefixes ending in `.*`; times are those of arrival, from `since` up to before
    `until`. `lead` also finds what failed before it had one; `run` is a run that touched an event; `mentions`
    is a part of its payload, `error` a part of its error; `after_id` and `after_attempt` are cursors.
    """

    ids: tuple[int, ...] = ()
    keys: tuple[str, ...] = ()
    states: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    since: datetime | None = None
    until: datetime | None = None
    lead: int | None = None
    error: str | None = None
    run: str | None = None
    mentions: str | None = None
    delivery: int | None = None
    message: str | None = None
    call: str | None = None
    after_id: int | None = None
    after_attempt: int | None = None

    @property
    def is_everything(self) -> bool:
        """Whether no condition is set."""
        return self == Query()


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A replay or reprocess run in the ledger. `scope` says in JSON what it was told to take."""

    id: str
    command: str
    scope: Mapping[str, Any]
    started_by: str
    started_at: datetime
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedEvent:
    """What the log keeps of a processed event, to be handled again; `handled_by` names its handlers."""

    key: str
    payload: Any
    position: int
    handled_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Where a row of the store is not what the log adds up to.

    `key` names the row: columns of the table and their values. `live` is what the store has in `column`, `rebuilt`
    what it should have; without `column`, the row as a whole is missing or too many. For `wa_events` and `error`, it
    is the event that cannot be handled any more.
    """

    table: str
    key: Mapping[str, Any]
    column: str | None
    live: Any
    rebuilt: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Rebuilt:
    """What a rebuild of how many `events` came to.

    `differing` is how many differences there are in which table; `failing` how many events were processed once and
    cannot be any more. `applied` is whether the differences were put right.
    """

    events: int
    differing: Mapping[str, int]
    failing: int
    applied: bool

    @property
    def differences(self) -> int:
        """How many differences there are in all."""
        return sum(self.differing.values())


class Store(Protocol):
    """The log and the CRM tables."""

    name: str

    def migrate(self) -> list[str]:
        """Bring the schema up to this version's; return the names of the migrations applied. Refuses a newer one."""
        ...

    def check_writable(self) -> None:
        """Return if a delivery could be recorded now; raise why not."""
        ...

    def maintain(self) -> None:
        """Do what keeps the store fast, if it is due. Long-running processes call it often, off the front's path."""
        ...

    def append(self, deliveries: Sequence[Delivery], *, wait: bool = True) -> list[int]:
        """Record deliveries durably, all or none, and return their ids. The disk has them when this returns.

        Repeating it records them again; `finish` then finds their events in the log. Without `wait` it raises
        `StoreUnavailableError`, having recorded nothing, where it would take longer than a local disk takes.
        """
        ...

    def reject(self, rejections: Sequence[Rejection], *, now: datetime, more: Mapping[str, int] = ...) -> None:
        """Keep rejections, all or none, and count them.

        The newest `KEPT_REJECTIONS` are kept; the counts are of all that ever were. `more` is how many more there
        were of which cause, up to `now`, that are counted alone. Whatever their texts hold, they are kept, long ones
        cut. Repeating it keeps and counts them again.
        """
        ...

    def rejections(
        self,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int,
        after_id: int | None = None,
    ) -> list[dict[str, Any]]:
        """Return rejections that are kept, oldest first: the last `limit`, or the first ones after `after_id`.

        Keys: `id`, which grows, and the fields of `Rejection`. Times are from `since` up to before `until`.
        """
        ...

    def rejection_counts(self, *, since: datetime) -> dict[str, Any]:
        """Return how many requests were ever rejected: `total`, `last_at`, and `by_cause` those since about `since`.

        That is counted in full hours, so up to an hour before `since` is counted too.
        """
        ...

    def claim_deliveries(
        self, *, limit: int, token: str, now: datetime, until: datetime, run_id: str | None = None
    ) -> list[ClaimedDelivery]:
        """Lease up to `limit` deliveries that nobody has split, oldest first; fewer where bodies are large.

        Nobody else gets them before `until`. The same `token` again returns the same deliveries. With `run_id`, only
        those of that run; without it, those of runs only once they are abandoned (`RUN_GRACE`).
        """
        ...

    def claim_events(
        self, *, limit: int, token: str, now: datetime, until: datetime, run_id: str | None = None
    ) -> list[ClaimedEvent]:
        """Lease up to `limit` pending or failed events that are due, oldest first. As `claim_deliveries`."""
        ...

    def release(self, token: str) -> None:
        """Give back what is still leased under `token`: anybody may claim it at once."""
        ...

    def finish(
        self,
        outcomes: Sequence[Outcome],
        *,
        now: datetime,
        handler_version: str,
        deliveries: Sequence[ClaimedDelivery] = (),
        after: int = 0,
    ) -> Tally:
        """Record what came of claimed deliveries and events.

        Each event is all or nothing: log row, attempt, CRM rows and outbox rows together. One whose changes cannot
        be applied fails alone. `deliveries` are those that `outcomes` split completely; each is marked so together
        with the last of its events. What lost its lease meanwhile is left alone and counted as `lost`.

        Between two events others may have their turn to write. If the store fails then, those settled so far are:
        `left` says how many are not, at the end of `outcomes`. To go on, call it again with `after`, the number of
        those that are. A delivery of which some events are settled may also be claimed and finished anew.

        A new event whose key is in the log with the same digest is a duplicate: it changes nothing, except that
        a success settles an event which had not been processed. With another digest it is logged as a variant.
        """
        ...

    def find(self, query: Query, *, limit: int, newest: bool = False) -> list[dict[str, Any]]:
        """Return events, oldest first: the first `limit`, or the last ones if `newest`.

        Keys: those of `LOG_KEYS`, and `attempt_id`, the cursor for `after_attempt`.
        """
        ...

    def get(self, kind: str, ident: str | int) -> dict[str, Any] | None:
        """Return one `event`, `delivery`, `message`, `call`, `lead` or `run` with what belongs to it, or None."""
        ...

    def counts(self) -> dict[str, Any]:
        """Return how much of everything there is; keys as in `wa-hooks stats --json`.

        `app_secrets` are those that signed deliveries, the last used first: `label`, `deliveries`, and the times of
        arrival `first_at` and `last_at`. A store for many machines has `workers`, the last seen first: `name`,
        `seen_at`, and how many `deliveries` and `events` they have leased, `until` when.
        """
        ...

    def drift(self) -> list[dict[str, Any]]:
        """Return what the models did not know in new events, last seen first.

        Keys: `kind`, `path`, `detail`, `events`, `first_at`, `last_at` (arrival), and of the first such event
        `event_id`, `tipo_evento` and `payload_original`.
        """
        ...

    def run_counts(self, run_id: str) -> dict[str, int]:
        """Return `deliveries`, `open` (not split yet), `events`, `duplicates` and each state's events of a run."""
        ...

    def preview(self, query: Query) -> dict[str, Any]:
        """Return how many `events` and `leads` a query selects, and `by_type`, `by_state` and `by_handlers`."""
        ...

    def requeue(self, query: Query, run: Run, *, now: datetime) -> int:
        """Take the events that `query` selects back to *pending* for `run`; return how many.

        Those leased by a worker at this moment are left to it. The run is entered in the ledger with them.
        """
        ...

    def save_run(self, run: Run, *, finished_at: datetime | None = None, counts: Mapping[str, int] | None) -> None:
        """Enter a run in the ledger, or its end."""
        ...

    def rebuild(
        self,
        changes_of: Callable[[LoggedEvent], Sequence[Change]],
        *,
        clock: Callable[[], datetime],
        run: Run | None = None,
        agree: Callable[[Rebuilt], bool] = ...,
        progress: Callable[[int], None] = ...,
        tell: Callable[[Difference], None] = ...,
    ) -> Rebuilt:
        """Make the CRM tables of the processed events anew, aside, and `tell` where the store's differ from them.

        `changes_of` gives the changes of one event; what it raises is told, but a `HandlersMissingError` ends the
        rebuild. Actions among them are not queued. All is seen as of one moment; work on the store goes on.

        With a `run`, if something differs, no event fails and `agree` says so: rows that differ are put right, all or
        none, as of that moment, and the run is entered in the ledger, ended at what `clock` says then. Rows that stay
        keep their ids, and so do leads as long as anything is left of them. Of the log and the outbox, nothing
        changes but which leads they are about.
        """
        ...

    def close(self) -> None:
        """Release what the store holds."""
        ...


LOG_KEYS = (
    "id",
    "tipo_evento",
    "payload_original",
    "fecha_recepcion",
    "procesado",
    "error",
    "event_key",
    "event_at",
    "lead_id",
    "state",
    "attempts",
    "delivery_id",
    "error_class",
    "next_attempt_at",
    "account_id",
    "phone_number_id",
    "message_id",
    "call_id",
    "handled_by",
    "handler_version",
    "run_id",
)


@lru_cache(maxsize=4096)  # Meta's times are full seconds, and every event has one several times over
def to_text(at: datetime | None) -> str | None:
    """Return a time as stores write it: RFC 3339, UTC, microseconds, `Z`; sorts as text."""
    if at is None:
        return None
    utc = at if at.tzinfo is UTC else at.astimezone(UTC)
    return f"{utc.isoformat(timespec='microseconds')[:-6]}Z"  # without +00:00; a tenth of what strftime takes


def from_text(text: str) -> datetime:
    """Return the time that `to_text` wrote."""
    return datetime.fromisoformat(text)
