"""A worker: processes what is recorded and due, until it is told to stop."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from .errors import StoreError
from .pipeline import Pipeline
from .stores.base import Tally

logger = logging.getLogger(__name__)

_LONGEST_PAUSE = 10.0


def work(
    pipeline: Pipeline,
    stop: threading.Event,
    *,
    wait: Callable[[float], object] | None = None,
    poll: float = 0.5,
    progress: Callable[[Tally], None] | None = None,
) -> Tally:
    """Process until `stop` is set; return what was done.

    Idle, it looks again after `wait(poll)`, which may return sooner. A store that fails is waited for with growing
    pauses, and so is a bug: a worker ends only by `stop`.
    """
    total = Tally()
    pause = poll
    wait = wait or stop.wait
    while not stop.is_set():
        try:
            pipeline.store.maintain()
            tally = pipeline.process()
        except Exception as exc:
            fault = not isinstance(exc, StoreError)
            logger.warning("a batch failed, trying again in %.1f s: %s", pause, exc, exc_info=fault)
            stop.wait(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)
            continue
        pause = poll
        total.add(tally)
        if tally.deliveries or tally.events:
            logger.info("processed", extra=_figures(tally))
            if progress:
                progress(total)
        else:
            wait(poll)
    return total


def _figures(tally: Tally) -> dict[str, int]:
    return {name: getattr(tally, name) for name in Tally.__slots__ if name != "by_type" and getattr(tally, name)}
