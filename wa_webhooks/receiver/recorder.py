"""Group commit: deliveries that arrive while one commit is syncing share the next one."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from threading import Lock, Thread

from ..errors import StoreError
from ..stores.base import Delivery
from .front import Append

logger = logging.getLogger(__name__)

_LARGEST_BATCH = 1000
_ASK_AGAIN = 0.005
_TELL = 0.1
_MOST_TOLD = 200
"""Seconds, and deliveries, until a line tells of them."""
_APART = 0.002
"""Seconds from the end of a commit to the next one, unless everybody waits for it."""
_SLOW = 0.02
_DISTRUST = 0.25
"""Seconds: what is slow for a commit, and how long the loop leaves them to the thread then."""

Done = Callable[[StoreError | None], None]
"""Called in the loop, with what went wrong."""
Waiting = tuple[Delivery, Done]


class Recorder:
    """Appends deliveries to a store, many at a time: on the loop if that is quick, else on a thread."""

    def __init__(self, append: Append, recorded: Callable[[], None], *, said: str = "recorded") -> None:
        """`append` is `Store.append`; `recorded` is called after each commit. Needs a running loop.

        `said` is what the log says of deliveries.
        """
        self._said = said
        self._append = append
        self._recorded = recorded
        self._loop = asyncio.get_running_loop()
        self._gathered: list[Waiting] = []
        self._committing = False
        self._distrusts_until = 0.0
        self._ended = -math.inf
        self._pausing: asyncio.TimerHandle | None = None
        self.senders: Callable[[], int] = lambda: 0
        """How many connections may be about to send: while all of them wait, nothing more can come in."""
        self._told: dict[int, str | None] = {}
        self._telling: asyncio.TimerHandle | None = None
        self._tasks: SimpleQueue[list[Waiting] | Callable[[], None]] = SimpleQueue()
        self._open = True
        self._connection = Lock()  # the store's: whoever uses it holds this
        self._thread = Thread(target=self._work, name="wa-hooks-recorder", daemon=True)
        self._thread.start()

    def record(self, delivery: Delivery, done: Done) -> None:
        """Record a delivery; `done` is called once it is durable, or will not be."""
        self._gathered.append((delivery, done))
        if not self._committing:
            self._committing = True
            self._loop.call_soon(self._hand_over, 0)
        elif self._pausing and len(self._gathered) >= self.senders():
            self._pausing.cancel()
            self._pausing = None
            self._loop.call_soon(self._hand_over, 0)

    def _hand_over(self, seen: int) -> None:
        """Commit what has come in, once a turn of the loop has brought no more, of which it `seen` so many before."""
        self._pausing = None
        if seen < len(self._gathered) < _LARGEST_BATCH:
            self._loop.call_soon(self._hand_over, len(self._gathered))
            return
        pause = self._ended + _APART - self._loop.time()
        if pause > 0 and 0 < len(self._gathered) < self.senders():
            # Many come in, one by one: commits a moment apart leave the disk, and the workers, most of their time.
            self._pausing = self._loop.call_later(pause, self._hand_over, len(self._gathered))
            return
        batch, self._gathered = self._gathered[:_LARGEST_BATCH], self._gathered[_LARGEST_BATCH:]
        self._committing = bool(batch)
        if batch and not self._commit_at_once(batch):
            self._tasks.put(batch)

    def _commit_at_once(self, batch: list[Waiting]) -> bool:
        """Commit here on the loop, where nothing is in the way; return whether that went well.

        A fast disk takes less time than handing over to a thread and back. After a slow one, and whatever goes wrong,
        the thread has its turn, and the loop sees to other clients.
        """
        began = self._loop.time()
        if began < self._distrusts_until or not self._connection.acquire(blocking=False):
            return False
        try:
            ids = self._append([delivery for delivery, _ in batch], wait=False)
        except Exception:  # noqa: BLE001 - the thread will find out, and tell
            return False
        finally:
            self._connection.release()
        if self._loop.time() - began > _SLOW:
            self._distrusts_until = began + _DISTRUST
        self._tell(batch, ids)
        self._go_on(batch, None)
        return True

    def _answer(self, batch: list[Waiting], error: StoreError | None) -> None:
        for _, done in batch:
            try:
                done(error)
            except Exception:
                logger.exception("a connection failed")

    def _go_on(self, batch: list[Waiting], error: StoreError | None) -> None:
        """Answer, and commit what has come in meanwhile."""
        self._ended = self._loop.time()
        self._answer(batch, error)
        if self._gathered:
            self._loop.call_soon(self._hand_over, 0)
        else:
            self._committing = False

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
        """The thread."""
        while self._open:
            task = self._tasks.get()
            with self._connection:
                try:
                    if callable(task):
                        task()
                    else:
                        self._commit(task)
                except Exception:
                    logger.exception("a task of the recorder failed")

    def _commit(self, batch: list[Waiting]) -> None:
        error: StoreError | None = None
        try:
            ids = self._append([delivery for delivery, _ in batch])
        except Exception as exc:  # noqa: BLE001 - whatever it is, nothing of the batch is recorded
            error = exc if isinstance(exc, StoreError) else StoreError(f"not recorded: {exc!r}")
            logger.warning("not recorded: %s", error, extra={"deliveries": len(batch)})
        self._loop.call_soon_threadsafe(self._go_on, batch, error)
        if error is None:
            self._loop.call_soon_threadsafe(self._tell, batch, ids)

    def _tell(self, batch: list[Waiting], ids: Sequence[int]) -> None:
        self._recorded()
        self._told.update(zip(ids, [delivery.headers.get("x-request-id") for delivery, _ in batch], strict=True))
        if len(self._told) >= _MOST_TOLD:
            self._log()
        elif not self._telling:
            self._telling = self._loop.call_later(_TELL, self._log)

    def _log(self) -> None:
        """Tell which deliveries have been recorded, and by which requests: a line for many, since each line costs."""
        if self._telling:
            self._telling.cancel()
            self._telling = None
        if self._told:
            logger.info(self._said, extra={"deliveries": self._told})
            self._told = {}

    async def close(self) -> None:
        """Finish what waits, then let the thread go."""
        while self._committing:  # noqa: ASYNC110 - once in its life
            await asyncio.sleep(_ASK_AGAIN)

        def stop() -> None:
            self._open = False

        self.post(stop)
        await asyncio.to_thread(self._thread.join)
        self._log()


def _settle(done: asyncio.Future[None], error: Exception | None) -> None:
    if done.cancelled():
        return
    if error:
        done.set_exception(error)
    else:
        done.set_result(None)
