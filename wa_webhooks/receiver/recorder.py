"""Group commit: deliveries that arrive while one commit is syncing share the next one."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from threading import Thread

from ..errors import StoreError
from ..stores.base import Delivery

logger = logging.getLogger(__name__)

_LARGEST_BATCH = 1000
_ASK_AGAIN = 0.005

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
        self._gathered: list[_Waiting] = []
        self._committing = False
        self._tasks: SimpleQueue[list[_Waiting] | Callable[[], None]] = SimpleQueue()
        self._open = True
        self._thread = Thread(target=self._work, name="wa-hooks-recorder", daemon=True)
        self._thread.start()

    def record(self, delivery: Delivery, done: Done) -> None:
        """Record a delivery; `done` is called once it is durable, or will not be."""
        self._gathered.append((delivery, done))
        if not self._committing:
            self._committing = True
            self._loop.call_soon(self._hand_over)  # with whatever else has come in at this moment

    def _hand_over(self) -> None:
        batch, self._gathered = self._gathered[:_LARGEST_BATCH], self._gathered[_LARGEST_BATCH:]
        self._committing = bool(batch)
        if batch:
            self._tasks.put(batch)

    def _answer(self, batch: list[_Waiting], error: StoreError | None) -> None:
        self._hand_over()  # first, so that the next batch syncs while this one is answered
        for _, done in batch:
            try:
                done(error)
            except Exception:
                logger.exception("a connection failed")

    def post(self, call: Callable[[], None]) -> None:
        """Have `call` run on the recorder's thread, in its turn."""
        self._tasks.put(call)

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
            task = self._tasks.get()
            try:
                if callable(task):
                    task()
                else:
                    self._commit(task)
            except Exception:
                logger.exception("a task of the recorder failed")

    def _commit(self, batch: list[_Waiting]) -> None:
        error: StoreError | None = None
        try:
            ids = self._append([delivery for delivery, _ in batch])
        except Exception as exc:  # noqa: BLE001 - whatever it is, nothing of the batch is recorded
            error = exc if isinstance(exc, StoreError) else StoreError(f"not recorded: {exc!r}")
            logger.warning("not recorded: %s", error, extra={"deliveries": len(batch)})
        self._loop.call_soon_threadsafe(self._answer, batch, error)
        if error is None:
            self._recorded()
            requests = [delivery.headers.get("x-request-id") for delivery, _ in batch]
            logger.info("recorded", extra={"deliveries": dict(zip(ids, requests, strict=True))})

    async def close(self) -> None:
        """Finish what waits, then let the thread go."""
        while self._committing:  # noqa: ASYNC110 - once in its life
            await asyncio.sleep(_ASK_AGAIN)

        def stop() -> None:
            self._open = False

        self.post(stop)
        await asyncio.to_thread(self._thread.join)


def _settle(done: asyncio.Future[None], error: Exception | None) -> None:
    if done.cancelled():
        return
    if error:
        done.set_exception(error)
    else:
        done.set_result(None)
