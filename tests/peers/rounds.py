"""Measure contenders in turn, in short slices, again and again: what else the machine does then meets all alike."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from contenders import HERE, PYTHON, ROOT, SECRET, TOKEN, Contender, Running, on_cores, running

from wa_webhooks.bench.figures import percentile
from wa_webhooks.bench.generator import closed_load
from wa_webhooks.bench.target import cpu_of
from wa_webhooks.bench.traffic import Traffic
from wa_webhooks.stores import open_store

HOST, PATH = "127.0.0.1", "/webhook"
PROCESSING_WARM_UP = 1.0
TRIES = 3
"""On a machine that is busy with something else, a moment can pass without an answer."""


@dataclass(frozen=True)
class Slice:
    """One contender for a moment: answers a second, and times in milliseconds."""

    per_second: float
    p50: float
    p99: float
    errors: int = 0
    generator: float = 0.0  # the part of its core that the generator needed
    cpu: float = 0.0  # microseconds of CPU that the receiver needed for an answer
    handled: float = 0.0  # events processed a second


@dataclass
class Series:
    """The slices of one contender, one of each round."""

    slices: list[Slice] = field(default_factory=list)

    def median(self, name: str) -> float:
        return statistics.median(getattr(each, name) for each in self.slices)

    def ratio(self, other: Series, name: str = "per_second") -> float:
        """How many times the other's figure: the median of what it was in each round."""
        pairs = zip(self.slices, other.slices, strict=True)
        return statistics.median(getattr(ours, name) / max(getattr(theirs, name), 1e-9) for ours, theirs in pairs)


@dataclass(frozen=True)
class Plan:
    """How long to measure."""

    rounds: int
    seconds: float
    warm_up: float
    processing_rounds: int
    processing_seconds: float
    line_seconds: float


FULL = Plan(rounds=9, seconds=1.0, warm_up=0.25, processing_rounds=5, processing_seconds=4.0, line_seconds=15.0)
QUICK = Plan(rounds=2, seconds=0.5, warm_up=0.2, processing_rounds=1, processing_seconds=2.0, line_seconds=3.0)


def cores() -> tuple[set[int] | None, set[int] | None]:
    """One core for the receivers and one for the load generator, where there are two and a process can be bound."""
    known = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    return ({known[0]}, {known[1]}) if len(known) > 1 else (None, None)


class Ammunition:
    """Requests made before the clock starts; made anew when they run out. No request is sent twice."""

    def __init__(self, port: int) -> None:
        self._texts = Traffic(HOST, port, PATH, SECRET).texts()
        self._made: list[bytes] = []

    def prepare(self, count: int) -> Iterator[bytes]:
        missing = count - len(self._made)
        self._made += itertools.islice(self._texts, max(0, missing))
        return self._shots()

    def _shots(self) -> Iterator[bytes]:
        while True:  # not `yield from`, which would end the texts with the first of those who take them
            yield self._made.pop() if self._made else next(self._texts)


def fire(at: Running, shots: Iterator[bytes], connections: int, seconds: float, warm_up: float) -> Slice:
    for _ in range(TRIES):
        closed_load((HOST, at.port), shots, connections=connections, duration=warm_up)
        before = cpu_of(at.pid) or 0.0
        load = closed_load((HOST, at.port), shots, connections=connections, duration=seconds)
        cpu = 1e6 * ((cpu_of(at.pid) or 0.0) - before)
        if load.answered:
            break
    else:
        raise SystemExit(f"nothing was answered 200 in {seconds:g} s, {TRIES} times: {dict(load.errors)}")
    p50, p99 = (1000 * (percentile(load.latencies, share) or 0) for share in (0.5, 0.99))
    return Slice(load.per_second, p50, p99, load.failed, load.busy / load.seconds, cpu / load.requests)


def side_by_side(contenders: list[Contender], connections: int, plan: Plan) -> tuple[list[Series], Series]:
    """Measure all at so many connections, each on the receivers' core; and bare commits, where that is asked for.

    All run the whole time; those whose turn it is not have nothing to do.
    """
    theirs, ours = cores()
    found, bare = [Series() for _ in contenders], Series()
    with contextlib.ExitStack() as started:
        receivers = [started.enter_context(running(each, theirs)) for each in contenders]
        stocks = [Ammunition(each.port) for each in receivers]
        started.enter_context(on_cores(ours))
        expected = [2000] * len(receivers)
        for _ in range(plan.rounds):
            for number, receiver in enumerate(receivers):
                shots = stocks[number].prepare(expected[number])
                taken = fire(receiver, shots, connections, plan.seconds, plan.warm_up)
                expected[number] = int(1.2 * taken.per_second * (plan.seconds + plan.warm_up))
                found[number].slices.append(taken)
            if connections == 1:
                bare.slices.append(bare_commits(plan.seconds, theirs))
    return found, bare


def bare_commits(seconds: float, on: set[int] | None) -> Slice:
    with tempfile.TemporaryDirectory(prefix=".bench-", dir=ROOT) as folder, on_cores(on):
        secrets = {"WHATSAPP_APP_SECRET": SECRET, "WHATSAPP_VERIFY_TOKEN": TOKEN}
        command = [PYTHON, str(HERE / "bare_commits.py"), f"{folder}/bare.db", str(seconds)]
        done = subprocess.run(command, env={**os.environ, **secrets}, capture_output=True, text=True, check=True)
    told = json.loads(done.stdout)
    return Slice(told["per_second"], 1000 * told["p50"], 1000 * told["p99"])


def with_processing(contenders: list[Contender], connections: int, plan: Plan) -> list[Series]:
    """Measure with all cores for everybody, and of ourselves how many events were processed meanwhile.

    Each starts anew and ends before the next, so that nobody works off a backlog in somebody else's time.
    """
    found, expected = [Series() for _ in contenders], [2000] * len(contenders)
    for _ in range(plan.processing_rounds):
        for number, contender in enumerate(contenders):
            with running(contender, None) as at:
                shots = Ammunition(at.port).prepare(expected[number])
                before, began = _processed(at.folder), time.monotonic()
                taken = fire(at, shots, connections, plan.processing_seconds, PROCESSING_WARM_UP)
                handled = (_processed(at.folder) - before) / (time.monotonic() - began)
            expected[number] = int(1.2 * taken.per_second * (plan.processing_seconds + PROCESSING_WARM_UP))
            found[number].slices.append(replace(taken, handled=handled))
    return found


def _processed(folder) -> int:
    path = folder / "wa-hooks.db"
    if not path.exists():
        return 0
    with contextlib.closing(open_store(f"sqlite:{path}", create=False)) as store:
        return store.counts()["events"]["processed"]
