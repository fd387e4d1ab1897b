"""The two ways to load a receiver: as fast as requests arrive, or as fast as it answers."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from itertools import chain, islice
from random import Random

from .connections import Connections
from .figures import Load

PATIENCE = 10.0
"""Seconds without an answer after which a request has failed."""

MOST_CONNECTIONS = 1000
_LOOK = 0.25
"""Seconds at most between looks at what has waited too long."""


def arrivals(rate: float, duration: float, random: Random) -> Iterator[float]:
    """Yield times in seconds, on average `rate` a second and independent of each other, as those of many people."""
    at = random.expovariate(rate)
    while at < duration:
        yield at
        at += random.expovariate(rate)


def open_load(
    address: tuple[str, int],
    requests: Iterator[bytes],
    times: Iterator[float],
    *,
    patience: float = PATIENCE,
    most_connections: int = MOST_CONNECTIONS,
) -> Load:
    """Send a request at each of `times`, whether or not those before are answered; return how they were answered.

    An answer's time counts from when its request was due, however late it was sent: where a receiver stalls, it
    counts for all that came meanwhile. Connections are kept, and as many opened as are needed; if that is more than
    `most_connections`, requests wait, and their time counts.
    """
    waiting: deque[float] = deque()
    gone = f"no answer in {patience:g} s"
    began = time.process_time()

    def send_waiting() -> None:
        while waiting and (to.idle or to.open < most_connections):
            to.send(next(requests), waiting.popleft())

    with Connections(address, send_waiting) as to:
        start = time.monotonic()
        due = next((start + at for at in times), None)
        while due is not None or waiting or to.busy:
            now = time.monotonic()
            while due is not None and due <= now:
                to.load.late.append(now - due)
                waiting.append(due)
                send_waiting()
                due = next((start + at for at in times), None)
                now = time.monotonic()
            to.turn(_LOOK if due is None else max(0.0, min(due - now, _LOOK)))
            before = time.monotonic() - patience
            to.give_up(before, gone)
            while waiting and waiting[0] < before:
                waiting.popleft()
                to.fail(gone)
        to.load.seconds = time.monotonic() - start
        to.load.busy = time.process_time() - began
        return to.load


def closed_load(
    address: tuple[str, int],
    requests: Iterator[bytes],
    *,
    connections: int,
    duration: float,
    warm_up: float = 0.0,
    prepared: int = 0,
    patience: float = PATIENCE,
) -> Load:
    """Keep `connections` busy for `duration` seconds, each waiting for its answer; return how they were answered.

    What the first `warm_up` seconds bring is not counted, nor what is under way at the end: that is waited for, so
    that the receiver has nothing left to do. `prepared` requests are made before the clock starts.
    """
    requests = chain(list(islice(requests, prepared)), requests)
    sending = True

    def send() -> None:
        if sending:
            to.send(next(requests), time.monotonic())

    def turn() -> None:
        to.turn(_LOOK)
        to.give_up(time.monotonic() - patience, f"no answer in {patience:g} s")

    with Connections(address, send) as to:
        for until in (warm_up, duration):
            to.load = Load(connections=to.load.connections)
            began, start = time.process_time(), time.monotonic()
            while time.monotonic() < start + until:
                while len(to.busy) < connections:
                    send()
                turn()
            to.load.seconds = time.monotonic() - start
            to.load.busy = time.process_time() - began
        counted, to.load, sending = to.load, Load(), False
        while to.busy:
            turn()
        return counted
