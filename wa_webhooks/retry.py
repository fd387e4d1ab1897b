"""The one retry policy: which errors are tried again, when, and how often. The only importer of tenacity.

Two kinds of retry, in two places. `patiently` is *within* an attempt: fractions of seconds, for errors that pass by
themselves. `RetryPolicy` is *between* attempts: the log's `next_attempt_at`, minutes to hours, across restarts.
"""

from __future__ import annotations

import logging
import math
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, TypeVar

from .errors import ConfigError, GiveUpError, PayloadError, RetryLaterError, StoreUnavailableError, WaHooksError

if TYPE_CHECKING:
    from tenacity import RetryCallState

T = TypeVar("T")
logger = logging.getLogger(__name__)

LONGEST_RETRY = 6 * 3600.0
"""The longest wait between two attempts, in seconds."""

_LONGEST_PAUSE = 5.0
"""How long, in seconds, to wait within an attempt where the other side asks for it."""

_LONGEST_DELAY = 366 * 86_400.0
"""A handler that asks for a longer delay, or for one in the past, gets the schedule's."""

_FAULT_FACTOR = 10
"""How much slower a fault in a handler is retried than an error that passes: it waits for a fixed handler."""


def is_transient(exc: BaseException) -> bool:
    """Whether the same call may succeed a moment later."""
    if isinstance(exc, RetryLaterError):
        return False  # it says itself when
    return exc.transient if isinstance(exc, WaHooksError) else isinstance(exc, ConnectionError | TimeoutError)


def asked_to_wait(exc: BaseException | None) -> float:
    """Return how long, in seconds, to leave alone what failed; 0 where it did not ask for it."""
    return exc.retry_after or 0.0 if isinstance(exc, StoreUnavailableError) else 0.0


def patiently(call: Callable[[], T], *, tries: int = 3, sleep: Callable[[float], object] = time.sleep) -> T:
    """Return what `call` returns; while it fails with a transient error, try again, `tries` times in all.

    Waits 0.1 s to 2 s, growing, with jitter, or as long as the other side asks for, if that is `_LONGEST_PAUSE` at
    most: for longer, nobody is kept waiting here. The last error is raised as it is.
    """
    try:
        return call()
    except Exception as exc:
        asked = asked_to_wait(exc)
        if tries <= 1 or not _worth_waiting(exc):
            raise
    # Loaded only here: the first try succeeds nearly always, and commands start faster without it.
    import tenacity  # noqa: PLC0415

    def pause(seconds: float) -> None:
        sleep(seconds)

    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception(_worth_waiting),
        stop=tenacity.stop_after_attempt(tries - 1),
        wait=_Pause(tenacity.wait_exponential_jitter(multiplier=0.2, max=2, jitter=0.1)),
        before_sleep=_log_retry,
        sleep=pause,
        reraise=True,
    )
    sleep(max(random.uniform(0.1, 0.2), asked))  # noqa: S311 - jitter
    return retrying(call)


def _worth_waiting(exc: BaseException) -> bool:
    return is_transient(exc) and asked_to_wait(exc) <= _LONGEST_PAUSE


class _Pause:
    """How long to wait before the next try: as long as another policy says, or as was asked for."""

    def __init__(self, otherwise: Callable[[RetryCallState], float]) -> None:
        self._otherwise = otherwise

    def __call__(self, state: RetryCallState) -> float:
        exc = state.outcome.exception() if state.outcome else None
        return max(self._otherwise(state), asked_to_wait(exc))


def _log_retry(state: RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    logger.info("trying again: %s", error)


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """When a failed event is tried again.

    An error that passes by itself is retried after `base` seconds, doubling up to `cap`, `attempts` times in all. A
    fault of a handler is retried ten times slower and half as often: only a changed handler cures it. What can never
    succeed is not retried.
    """

    attempts: int = 10
    base: float = 30.0
    cap: float = LONGEST_RETRY

    def __post_init__(self) -> None:
        """Refuse what makes no sense."""
        if self.attempts < 1 or not 0 < self.base <= self.cap < math.inf:
            raise ConfigError("attempts must be at least 1, and the delays above 0, the cap not below the base")

    def next_attempt(self, exc: BaseException, *, made: int, now: datetime) -> datetime | None:
        """Return when to try again after `made` attempts, the last of which raised `exc`; None to give up."""
        if isinstance(exc, GiveUpError | PayloadError):
            return None
        passing = is_transient(exc) or isinstance(exc, RetryLaterError)
        if made >= (self.attempts if passing else min(self.attempts, max(2, self.attempts // 2))):
            return None
        if isinstance(exc, RetryLaterError) and exc.delay is not None and 0 <= exc.delay <= _LONGEST_DELAY:
            return now + timedelta(seconds=exc.delay)
        # Capped before it is raised to a power that no float holds.
        doubled = self.base * (1 if passing else _FAULT_FACTOR) * 2 ** min(made - 1, 30)
        jitter = random.uniform(0.8, 1.2)  # noqa: S311 - spreads retries, guards nothing
        return now + timedelta(seconds=min(doubled, self.cap) * jitter)
