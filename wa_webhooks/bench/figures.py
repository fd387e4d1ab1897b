"""What a load came to, in numbers."""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

SLOW = 1.0
"""Seconds. Meta counts answers that take longer than this."""


def seconds() -> array[float]:
    """Return a compact list for many times in seconds."""
    return array("d")


@dataclass(slots=True)
class Load:
    """How a receiver answered.

    `latencies` are those of the requests answered 200; `errors` counts the others by what happened, of which
    `unanswered` got no answer at all. `late` says, for each request in an open model, how long after its time the
    generator came to it. Times are in seconds; `busy` is CPU time of the generator.
    """

    latencies: array[float] = field(default_factory=seconds)
    errors: Counter[str] = field(default_factory=Counter)
    unanswered: int = 0
    late: array[float] = field(default_factory=seconds)
    sent: int = 0
    bytes_sent: int = 0
    connections: int = 0
    seconds: float = 0.0
    busy: float = 0.0

    @property
    def answered(self) -> int:
        """Requests answered 200."""
        return len(self.latencies)

    @property
    def failed(self) -> int:
        """Requests that were not."""
        return self.errors.total()

    @property
    def requests(self) -> int:
        """All that an answer or an error came of."""
        return self.answered + self.failed

    @property
    def slow_share(self) -> float:
        """The part of all requests that took over a second, or for ever."""
        slow = sum(latency > SLOW for latency in self.latencies) + self.unanswered
        return slow / self.requests if self.requests else 0.0

    @property
    def per_second(self) -> float:
        """Answers with 200 per second."""
        return self.answered / self.seconds if self.seconds else 0.0


def percentile(times: Sequence[float], share: float) -> float | None:
    """Return the time within which `share` of `times` lie (the nearest of them), or None where there are none."""
    if not times:
        return None
    return sorted(times)[max(0, math.ceil(share * len(times)) - 1)]
