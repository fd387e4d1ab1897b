"""Meta's line, and where a receiver stands.

Source: Meta, "Throughput" (developers.facebook.com, whatsapp/throughput): stand three times the outgoing plus once
the incoming rate of messages, with a median of at most 250 ms and fewer than 1 % of answers over a second.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any

from .figures import Load, percentile
from .generator import arrivals, closed_load, open_load
from .target import Target, TargetUnavailableError
from .traffic import Traffic

RATES = (90, 240, 3300)
"""Requests per second. 3,300 are those of 1,000 messages per second, the top tier, with replies to 30 %."""

MEDIAN = 0.250
SLOW_SHARE = 0.01
BACKLOG = 2.0
"""Seconds of traffic that may wait for the workers at the end."""

PASS, FAIL, VOID = "PASS", "FAIL", "VOID"

_LATE = 0.050
"""Seconds by which one request in a hundred may be late through the generator's own fault."""

_TO_DRAIN = 60.0
_LOOK = 0.1
_WARM_UP = 1.0


@dataclass(slots=True, kw_only=True)
class Measurement:
    """How a receiver stood `rate` requests per second for `duration` seconds.

    `backlog` is how many deliveries waited for the workers when the last was answered, `drained` after how many
    seconds none did any more, `cores` how many cores the receiver kept busy meanwhile. None is what was not measured,
    or not reached. `reasons` say why the verdict is not PASS.
    """

    rate: float
    duration: float
    load: Load
    backlog: int | None = None
    drained: float | None = None
    cores: float | None = None
    reasons: list[str] = field(default_factory=list)
    verdict: str = PASS

    @property
    def backlog_seconds(self) -> float | None:
        """The backlog in seconds of this traffic."""
        return None if self.backlog is None else self.backlog / self.rate


def measure(
    target: Target, rate: float, duration: float, *, processing: bool = True, random: Random | None = None
) -> Measurement:
    """Send traffic to a receiver, and hold it against Meta's line.

    Arrivals are random and independent. With `processing`, workers are expected to keep up; the wait for them to
    finish ends after a minute. Where the store is known, everything answered 200 must be in it.

    Raises:
        TargetUnavailableError: it does not take what is sent.
    """
    chance = random or Random()  # noqa: S311 - when requests arrive is no secret
    traffic = Traffic(target.host, target.port, target.path, target.secret, random)
    _warm_up(target, traffic)
    if processing:
        _drain(target)
    before, cpu = target.counts(), target.cpu()
    load = open_load(target.address, traffic.mixed(), arrivals(rate, duration, chance))
    found = Measurement(rate=rate, duration=duration, load=load)
    after, used = target.counts(), target.cpu()
    if cpu is not None and used is not None:
        found.cores = (used - cpu) / load.seconds
    if before and after:
        if processing:
            found.backlog, found.drained = after["backlog"], _drain(target)
        found.reasons = _told_by_store(found, before, target.counts() or after)
    judge(found)
    return found


def judge(found: Measurement) -> None:
    """Say what of Meta's line was missed, and whether the measurement itself is worth anything."""
    found.reasons = _told_by_answers(found.load) + found.reasons
    late = percentile(found.load.late, 0.99) or 0.0
    if late > _LATE:
        told = f"the load generator itself was {late * 1000:.0f} ms late: this machine has too much else to do"
        found.reasons, found.verdict = [told], VOID
    elif found.reasons:
        found.verdict = FAIL


def _warm_up(target: Target, traffic: Traffic) -> None:
    """Have the receiver load what it loads once; what it does not accept now it never will."""
    first = closed_load(target.address, traffic.mixed(), connections=1, duration=_WARM_UP)
    if first.answered:
        return
    told = next(iter(first.errors), f"no answer in {_WARM_UP:g} s")
    hint = "Sign with the app secret that it has: WHATSAPP_APP_SECRET." if told == "answered 401" else None
    raise TargetUnavailableError(f"{target.host} port {target.port}: {told}", hint=hint)


def _drain(target: Target) -> float | None:
    """Wait until no delivery waits; return after how many seconds, or None if that is not known or was too long."""
    start = time.monotonic()
    while (waited := time.monotonic() - start) < _TO_DRAIN:
        counts = target.counts()
        if not counts or not counts["backlog"]:
            return waited if counts else None
        time.sleep(_LOOK)
    return None


def _told_by_answers(load: Load) -> list[str]:
    reasons = [f"{count}: {told}" for told, count in load.errors.most_common()]
    median = percentile(load.latencies, 0.5)
    if median is None:
        reasons.append("nothing was answered 200")
    elif median > MEDIAN:
        reasons.append(f"the median is over {MEDIAN * 1000:g} ms")
    if load.slow_share >= SLOW_SHARE:
        reasons.append(f"{load.slow_share:.1%} took over a second")
    return reasons


def _told_by_store(found: Measurement, before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    reasons = []
    if (lost := found.load.answered - (after["deliveries"] - before["deliveries"])) > 0:
        reasons.append(f"{lost} were answered 200 and are not in the store")
    fresh = {state: after["events"][state] - before["events"][state] for state in ("failed", "dead", "refused")}
    reasons += [f"{count} events are {state}" for state, count in fresh.items() if count]
    if found.backlog_seconds is not None and found.backlog_seconds >= BACKLOG:
        reasons.append(f"the workers are {found.backlog_seconds:.1f} s of traffic behind")
    return reasons
