"""One of the ways to the store: a thread with a connection of its own, which sends batches one after the other."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

from ..errors import StoreError
from ..stores.base import Store
from .file import Spooled

logger = logging.getLogger(__name__)

LARGEST_BATCH = 250
_LARGEST_BYTES = 3 * 2**20
"""Bodies of a batch, beyond the first: what goes over the wire is a third more."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 2.0
_REFUSED_PAUSE = 10.0
"""Seconds, at most, between two tries: of what may pass by itself, and of what takes somebody to put right."""

Task = Callable[[Store], None]


@dataclass(slots=True)
class News:
    """What has happened to deliveries: the store has `sent`, refuses `held`, or takes nothing because of `error`."""

    sent: Sequence[Spooled] = ()
    ids: Sequence[int] = ()
    held: Spooled | None = None
    error: StoreError | None = None


class Report(Protocol):
    """Is called on a lane's thread."""

    def __call__(self, news: News) -> None:
        """Take note of `news`, soon."""
        ...


class Lane:
    """Sends what it is given in its order, and nothing before what came before it is settled."""

    def __init__(self, open_store: Callable[[], Store], report: Report, *, name: str) -> None:
        """Starts its thread, which opens the store once there is something to send."""
        self._open_store = open_store
        self._report = report
        self._store: Store | None = None
        self._waiting: deque[Spooled] = deque()
        self._tasks: deque[Task] = deque()
        self._woken = threading.Condition()
        self._stopped = threading.Event()
        self._size = LARGEST_BATCH
        self._pause = _FIRST_PAUSE
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def put(self, spooled: Spooled) -> None:
        """Have a delivery sent."""
        with self._woken:
            self._waiting.append(spooled)
            self._woken.notify()

    def run(self, task: Task) -> None:
        """Have something else done with the store, before what waits. If the store fails, it is not tried again."""
        with self._woken:
            self._tasks.append(task)
            self._woken.notify()

    def stop(self) -> None:
        """End once the batch under way is settled."""
        self._stopped.set()
        with self._woken:
            self._woken.notify()

    def join(self, patience: float) -> None:
        """Wait for the end, so many seconds at most."""
        self._thread.join(patience)

    def _run(self) -> None:
        try:
            while True:
                with self._woken:
                    self._woken.wait_for(lambda: self._waiting or self._tasks or self._stopped.is_set())
                    if self._stopped.is_set():
                        return
                    task = self._tasks.popleft() if self._tasks else None
                    batch = [] if task else self._next_batch()
                self._do(task) if task else self._send(batch)
        finally:
            if self._store:
                self._store.close()

    def _opened(self) -> Store:
        if self._store is None:
            self._store = self._open_store()
        return self._store

    def _do(self, task: Task) -> None:
        try:
            task(self._opened())
        except StoreError as exc:
            logger.info("later: %s", exc)
        except Exception:
            logger.exception("a task of the spool failed")

    def _next_batch(self) -> list[Spooled]:
        batch: list[Spooled] = []
        size = 0
        for spooled in islice(self._waiting, self._size):
            size += len(spooled.delivery.body)
            if batch and size > _LARGEST_BYTES:
                break
            batch.append(spooled)
        return batch

    def _send(self, batch: list[Spooled]) -> None:
        try:
            ids = self._opened().append([each.delivery for each in batch])
        except StoreError as exc:
            self._failed(batch, exc)
        except Exception as exc:  # a bug must not end the lane: what it holds would never be sent
            logger.exception("sending failed")
            self._failed(batch, StoreError(f"not sent: {exc!r}"))
        else:
            self._size = min(LARGEST_BATCH, self._size * 2)
            self._pause = _FIRST_PAUSE
            self._settle(News(sent=batch, ids=ids))

    def _settle(self, news: News) -> None:
        """Let go of the first deliveries, which the news is about."""
        with self._woken:
            for _ in news.sent or (news.held,):
                self._waiting.popleft()
        self._report(news)

    def _failed(self, batch: list[Spooled], error: StoreError) -> None:
        """Try again, with fewer at a time; hold one that is refused on its own while others are taken."""
        if not error.transient and len(batch) == 1 and self._takes_others():
            self._settle(News(held=batch[0], error=error))
            return
        self._size = max(1, len(batch) // 2)
        self._report(News(error=error))
        if error.transient or len(batch) == 1:
            self._stopped.wait(self._pause)
            self._pause = min(self._pause * 2, _LONGEST_PAUSE if error.transient else _REFUSED_PAUSE)

    def _takes_others(self) -> bool:
        with suppress(StoreError):
            self._opened().check_writable()
            return True
        return False
