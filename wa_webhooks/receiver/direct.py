"""Recording into a store over a network, before the answer: several appends under way at a time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from queue import SimpleQueue
from threading import Thread

from ..errors import StoreError
from ..stores.base import Delivery
from .front import Front
from .recorder import Done, Recorder, Waiting

logger = logging.getLogger(__name__)

_LARGEST_BATCH = 250
_LARGEST_BYTES = 3 * 2**20


class DirectRecorder(Recorder):
    """A recorder whose appends go side by side, each on a thread with a store of its own."""

    def __init__(
        self, front: Front, recorded: Callable[[], None], *, open_store: Callable[[], Front], in_flight: int = 4
    ) -> None:
        """`front` is for everything but appending. Needs a running loop."""
        super().__init__(front.append, recorded)
        self._open_store = open_store
        self._free = in_flight
        self._batches: SimpleQueue[list[Waiting] | None] = SimpleQueue()
        self._appending = [Thread(target=self._append_batches, daemon=True) for _ in range(in_flight)]
        for thread in self._appending:
            thread.start()

    def record(self, delivery: Delivery, done: Done) -> None:
        """See `Recorder.record`."""
        self._gathered.append((delivery, done))
        if self._free:
            self._loop.call_soon(self._send)

    def _send(self) -> None:
        while self._gathered and self._free:
            self._free -= 1
            number = _fitting([delivery for delivery, _ in self._gathered[:_LARGEST_BATCH]])
            batch, self._gathered = self._gathered[:number], self._gathered[number:]
            self._batches.put(batch)

    def _append_batches(self) -> None:
        """A thread."""
        store: Front | None = None
        while batch := self._batches.get():
            error: StoreError | None = None
            ids: list[int] = []
            try:
                store = store or self._open_store()
                ids = store.append([delivery for delivery, _ in batch])
            except Exception as exc:  # noqa: BLE001 - whatever it is, it is not known to be recorded
                error = exc if isinstance(exc, StoreError) else StoreError(f"not recorded: {exc!r}")
                logger.warning("not recorded: %s", error, extra={"deliveries": len(batch)})
            self._loop.call_soon_threadsafe(self._appended, batch, ids, error)
        if store:
            with suppress(StoreError):
                store.close()

    def _appended(self, batch: list[Waiting], ids: Sequence[int], error: StoreError | None) -> None:
        self._free += 1
        if error is None:
            self._tell(batch, ids)
        self._answer(batch, error)
        self._send()

    async def close(self) -> None:
        """See `Recorder.close`."""
        while self._gathered or self._free < len(self._appending):  # noqa: ASYNC110 - once in its life
            await asyncio.sleep(0.005)
        for _ in self._appending:
            self._batches.put(None)
        for thread in self._appending:
            await asyncio.to_thread(thread.join)
        await super().close()


def _fitting(deliveries: Sequence[Delivery]) -> int:
    """How many of them make a batch; at least one."""
    size = 0
    for number, delivery in enumerate(deliveries):
        size += len(delivery.body)
        if number and size > _LARGEST_BYTES:
            return number
    return len(deliveries)
