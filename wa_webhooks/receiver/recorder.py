"""Group commit: deliveries that arrive while one commit is syncing share the next one."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from ..errors import StoreError, StoreUnavailableError
from ..stores.base import Delivery

logger = logging.getLogger(__name__)

_MOST_WAITING = 64 * 2**20
"""Bytes of bodies that may wait for a commit; beyond, a delivery is refused instead of filling the memory."""


class Recorder:
    """Appends deliveries to a store, many at a time, and returns once they are on disk."""

    def __init__(self, append: Callable[[Sequence[Delivery]], list[int]], recorded: Callable[[], None]) -> None:
        """`append` is called from one thread, and `recorded` after each commit."""
        self._append = append
        self._recorded = recorded
        self._waiting: list[tuple[Delivery, asyncio.Future[int]]] = []
        self._waiting_bytes = 0
        self._committing: asyncio.Task[None] | None = None
        self._thread = ThreadPoolExecutor(1, "wa-hooks-recorder")

    async def record(self, delivery: Delivery) -> int:
        """Return the delivery's id once it is durable.

        Raises:
            StoreError: it is not recorded.
        """
        if self._waiting_bytes > _MOST_WAITING:
            raise StoreUnavailableError("too much waits to be recorded")
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._waiting.append((delivery, future))
        self._waiting_bytes += len(delivery.body)
        if self._committing is None:
            self._committing = asyncio.create_task(self._commit())
        return await future

    async def run(self, call: Callable[[], None]) -> None:
        """Run `call` on the recorder's thread, which owns the store's connection."""
        await asyncio.get_running_loop().run_in_executor(self._thread, call)

    async def _commit(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._waiting:
                batch, self._waiting, self._waiting_bytes = self._waiting, [], 0
                try:
                    ids = await loop.run_in_executor(self._thread, self._append, [delivery for delivery, _ in batch])
                except Exception as exc:  # noqa: BLE001 - whatever it is, nothing of the batch is recorded
                    error = exc if isinstance(exc, StoreError) else StoreError(f"not recorded: {exc!r}")
                    logger.warning("not recorded: %s", error, extra={"deliveries": len(batch)})
                    _settle(batch, error)
                else:
                    self._recorded()
                    logger.info("recorded", extra={"deliveries": len(ids), "last_delivery_id": ids[-1]})
                    for (_, future), ident in zip(batch, ids, strict=True):
                        if not future.done():
                            future.set_result(ident)
        finally:
            self._committing = None

    async def close(self) -> None:
        """Finish what waits, then let the thread go."""
        while self._committing:
            await asyncio.wait([self._committing])
        self._thread.shutdown(cancel_futures=True)


def _settle(batch: Sequence[tuple[Delivery, asyncio.Future[int]]], error: StoreError) -> None:
    for _, future in batch:
        if not future.done():  # its client may have gone
            future.set_exception(error)
