"""Group commit: deliveries that arrive while one commit is syncing share the next one."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import Thread

from ..errors import StoreError
from ..stores.base import Delivery

logger = logging.getLogger(__name__)

_LARGEST_BATCH = 1000

Done = Callable[[StoreError | None], None]
"""Called in the loop, with what went wrong."""
_Waiting = tuple[Delivery, Done]


class Recorder:
    """Appends deliveries to a store, many at a time, on a thread that owns the store's connection."""

    def __init__(self, append: Callable[[Sequence[Delivery]], list[int]], recorded: Callable[[], None]) -> None:
        """Both are called on the recorder's thread, `recorded` after each commit. Needs a running loop."""
        self._append = append
        self._recorded = recorded
        self._loop = asyncio.get_running_loop()
        self._waiting: SimpleQueue[_Waiting | Callable[[], None]] = SimpleQueue()
        self._open = True
        self._thread = Thread(target=self._work, name="wa-hooks-recorder", daemon=True)
        self._thread.start()

    def record(self, delivery: Delivery, done: Done) -> None:
        """Record a delivery; `done` is called once it is durable, or will not be."""
        self._waiting.put((delivery, done))

    def post(self, call: Callable[[], None]) -> None:
        """Have `call` run on the recorder's thread, in its turn."""
        self._waiting.put(call)

    async def run(self, call: Callable[[], None]) -> None:
        """Run `call` on the recorder's thread, in its turn; raise what it raises."""
        done: asyncio.Future[None] = self._loop.create_future()

        def once() -> None:
            error: Exception | None = None
            try:
                call()
            except Exception as exc:  # noqa: BLE001 - whoever waits gets it
                error = exc
            self._loop.call_soon_threadsafe(_settle, done, error)

        self.post(once)
        await done

    def _work(self) -> None:
        while self._open:
            item: _Waiting | Callable[[], None] | None = self._waiting.get()
            batch: list[_Waiting] = []
            with suppress(Empty):
                while isinstance(item, tuple):
                    batch.append(item)
                    item = None
                    if len(batch) < _LARGEST_BATCH:
                        item = self._waiting.get_nowait()
            if batch:
                self._commit(batch)
            if callable(item):
                try:
                    item()
                except Exception:
                    logger.exception("a task of the recorder failed")

    def _commit(self, batch: list[_Waiting]) -> None:
        error: StoreError | None = None
        try:
            ids = self._append([delivery for delivery, _ in batch])
        except Exception as exc:  # noqa: BLE001 - whatever it is, nothing of the batch is recorded
            error = exc if isinstance(exc, StoreError) else StoreError(f"not recorded: {exc!r}")
            logger.warning("not recorded: %s", error, extra={"deliveries": len(batch)})
        self._loop.call_soon_threadsafe(_answer, batch, error)
        if error is None:
            self._recorded()
            requests = [delivery.headers.get("x-request-id") for delivery, _ in batch]
            logger.info("recorded", extra={"deliveries": dict(zip(ids, requests, strict=True))})

    async def close(self) -> None:
        """Finish what waits, then let the thread go."""

        def stop() -> None:
            self._open = False

        self.post(stop)
        await asyncio.to_thread(self._thread.join)


def _answer(batch: list[_Waiting], error: StoreError | None) -> None:
    for _, done in batch:
        try:
            done(error)
        except Exception:
            logger.exception("a connection failed")


def _settle(done: asyncio.Future[None], error: Exception | None) -> None:
    if done.cancelled():
        return
    if error:
        done.set_exception(error)
    else:
        done.set_result(None)
