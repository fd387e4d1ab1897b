"""Sends what is in the spool to the store, in order of arrival for each business, several batches at a time.

A business's deliveries all take the same lane, and a lane sends one batch after the other. One that tells of
businesses of several lanes waits until all before it are through, and all behind it wait for it.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import math
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any
from zlib import crc32

from pydantic_core import from_json

from ..errors import StoreError
from ..stores.base import Store
from .file import SPAN, Spool, Spooled
from .lane import Lane, News

logger = logging.getLogger(__name__)

LANES = 3
_READ_AT_ONCE = 500
_MOST_LOADED = 32 * 2**20
"""Bytes of bodies in memory."""
_GATHER = 0.01
"""Seconds from the first delivery that wakes the sender until it looks: what comes meanwhile goes with it."""
_IDLE = 1.0
_TELL = 30.0
"""Seconds between two lines about a store that still takes nothing."""
_ASK_HELD = 3600.0
_ASK_LOCK = 0.25
_REJECTIONS_AT_ONCE = 100


class Sender:
    """Sends until it is stopped. Of several on one spool, one sends, and the others wait to take over."""

    def __init__(
        self,
        spool: Spool,
        open_store: Callable[[], Store],
        *,
        arrived: Callable[[], None] = lambda: None,
        wake: Callable[[], None] = lambda: None,
        lanes: int = LANES,
    ) -> None:
        """`arrived` is called when the store has got something, `wake` ends a `wait`; see `run`."""
        self._spool = spool
        self._open_store = open_store
        self._arrived = arrived
        self._wake = wake
        self._number = lanes
        self._lanes: list[Lane] = []
        self._news: SimpleQueue[News] = SimpleQueue()
        self._cursor = 0
        self._loaded: dict[int, int] = {}  # what the lanes have, by place, and its size
        self._barrier: Spooled | None = None
        self._crossing: int | None = None
        self._sent: list[int] = []  # what the store has
        self._recorded: dict[int, str | None] = {}  # and which requests brought it, by its id there
        self._to_hold: list[News] = []
        self._failing = False
        self._told_at = self._ask_held_at = self._reject_at = -math.inf
        self._rejecting = False

    def run(self, wait: Callable[[float], bool], *, patience: float = 10.0, until_empty: bool = False) -> None:
        """Send until `wait(seconds)` returns False; then what is left for `patience` seconds, if the store takes it.

        `wait` returns sooner when `wake` is called or something is spooled. With `until_empty`, it ends then, too.
        """
        with self._alone(wait) as alone:
            if not alone:
                return
            self._lanes = [Lane(self._open_store, self._take, name=f"wa-hooks-lane-{n}") for n in range(self._number)]
            try:
                while wait(self._step()) and not (until_empty and self._done()):
                    pass
                self._finish(patience)
            finally:
                give_up = time.monotonic() + patience
                for lane in self._lanes:
                    lane.stop()
                for lane in self._lanes:
                    lane.join(max(0.0, give_up - time.monotonic()))
                with contextlib.suppress(StoreError):
                    self._note()

    @contextlib.contextmanager
    def _alone(self, wait: Callable[[float], bool]) -> Iterator[bool]:
        """Hold the lock of the spool's sender, once it is free; whether it is held."""
        with Path(f"{self._spool.path}-sender").open("ab") as file:
            while True:
                with contextlib.suppress(OSError):
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                if not wait(_ASK_LOCK):
                    yield False
                    return
            yield True

    def _take(self, news: News) -> None:
        """On a lane's thread."""
        self._news.put(news)
        self._wake()

    def _step(self) -> float:
        """Do what there is to do; return how long to wait for more, in seconds."""
        try:
            moved = self._note()
            moved |= self._load()
            self._see_to_the_rest()
        except StoreError as exc:  # the spool's own disk
            logger.warning("the spool cannot be used: %s", exc)
            time.sleep(_GATHER)
            return _IDLE
        if moved:
            time.sleep(_GATHER)
        return 0 if moved else _IDLE

    def _done(self) -> bool:
        return not self._loaded and not self._rejecting and self._spool.first() is None

    def _finish(self, patience: float) -> None:
        give_up = time.monotonic() + patience
        while not self._failing and time.monotonic() < give_up:
            self._note()
            if not self._load() and self._done():
                return
            time.sleep(_GATHER)

    # -- loading

    def _load(self) -> bool:
        """Give the lanes what they can take; whether there was any."""
        if self._crossing in self._loaded or (self._barrier and self._loaded):
            return False
        if self._barrier:
            self._cross(self._barrier)
            self._barrier = None
            return True
        if sum(self._loaded.values()) > _MOST_LOADED:
            return False
        oldest = min(self._loaded, default=self._cursor + 1)
        found = self._spool.read(after=self._cursor, up_to=oldest + SPAN - 1, limit=_READ_AT_ONCE)
        if not found and not self._loaded and (first := self._spool.first()):
            self._cursor = first - 1  # places before it are gone
            found = self._spool.read(after=self._cursor, up_to=self._cursor + SPAN, limit=_READ_AT_ONCE)
        size = 0
        for spooled in found:
            lanes = {crc32(name) % self._number for name in _businesses(spooled.delivery.body)}
            self._cursor = spooled.id
            if len(lanes) > 1 and self._loaded:
                self._barrier = spooled
                break
            if len(lanes) > 1:
                self._cross(spooled)
                break
            self._give(spooled, min(lanes, default=0))
            size += len(spooled.delivery.body)
            if size > _MOST_LOADED:
                break
        return bool(found)

    def _cross(self, spooled: Spooled) -> None:
        """Give one of several lanes to the first; until it is through, none gets more."""
        self._crossing = spooled.id
        self._give(spooled, 0)

    def _give(self, spooled: Spooled, lane: int) -> None:
        self._loaded[spooled.id] = len(spooled.delivery.body)
        self._lanes[lane].put(spooled)

    # -- what the lanes report

    def _note(self) -> bool:
        """Take note of what the lanes have reported; whether anything came of it.

        What cannot be written into the spool stays to be noted the next time.
        """
        error: StoreError | None = None
        with contextlib.suppress(Empty):
            while True:
                news = self._news.get_nowait()
                requests = [each.delivery.headers.get("x-request-id") for each in news.sent]
                self._recorded.update(zip(news.ids, requests, strict=True))
                self._sent += [each.id for each in news.sent]
                if news.held:
                    self._to_hold.append(news)
                else:
                    error = news.error
        moved = bool(self._sent or self._to_hold)
        while self._to_hold:
            self._hold(self._to_hold[-1])
            self._to_hold.pop()
        if self._sent:
            self._forget()
        if error or moved:
            self._tell(error)
        return moved

    def _forget(self) -> None:
        self._spool.sent(self._sent, now=datetime.now(UTC))
        for ident in self._sent:
            self._loaded.pop(ident, None)
        logger.info("recorded", extra={"deliveries": self._recorded})
        self._sent, self._recorded = [], {}
        self._arrived()

    def _hold(self, news: News) -> None:
        assert news.held and news.error  # noqa: S101, PT018 - such is the news
        self._spool.hold(news.held.id, str(news.error), now=datetime.now(UTC))
        self._loaded.pop(news.held.id, None)
        extra = {"request_id": news.held.delivery.headers.get("x-request-id"), "bytes": len(news.held.delivery.body)}
        logger.error("a delivery is held in the spool, the store refuses it: %s", news.error, extra=extra)

    def _tell(self, error: StoreError | None) -> None:
        """Say when the store begins to take nothing, now and then that it still does, and when it is back."""
        now = time.monotonic()
        if error:
            if not self._failing or now - self._told_at > _TELL:
                self._spool.failing(str(error), now=datetime.now(UTC))
                logger.warning("spooling, the store takes nothing: %s", error, extra=self._figures())
                self._told_at = now
            self._failing = True
        elif self._failing:
            logger.warning("the store takes deliveries again", extra=self._figures())
            self._failing = False

    def _figures(self) -> dict[str, Any]:
        standing = self._spool.standing()
        used = round(standing.bytes / standing.limit * 100)
        return {"waiting": standing.deliveries, "bytes": standing.bytes, "full_percent": used, "held": standing.held}

    # -- the rest

    def _see_to_the_rest(self) -> None:
        self._spool.maintain()
        if self._failing:
            return
        self._spool.shrink()
        now = time.monotonic()
        if (
            not self._rejecting
            and now > self._reject_at
            and (rows := self._spool.rejected(limit=_REJECTIONS_AT_ONCE))
        ):
            self._rejecting, self._reject_at = True, now + _IDLE
            self._lanes[-1].run(lambda store: self._reject(store, rows))
        if now > self._ask_held_at:
            self._ask_held_at = now + _ASK_HELD
            if held := self._spool.held():
                self._lanes[-1].run(lambda store: self._send_held(store, held))

    def _reject(self, store: Store, rows: list[dict[str, Any]]) -> None:
        """On a lane's thread, with a connection of its own to the spool: tell the store of rejections."""
        try:
            for row in rows:
                store.reject(row["told"], now=row["at"], more=row["more"])
                with contextlib.closing(self._spool.again()) as spool:
                    spool.forget_rejected(row["id"], row["id"])
        finally:
            self._rejecting = False

    def _send_held(self, store: Store, held: list[Spooled]) -> None:
        """Likewise: try once more what the store refused."""
        for each in held:
            try:
                store.append([each.delivery])
            except StoreError as exc:
                logger.warning("a delivery is still held in the spool: %s", exc)
                if exc.transient:
                    return
            else:
                with contextlib.closing(self._spool.again()) as spool:
                    spool.release(each.id)


def _businesses(body: bytes) -> set[bytes]:
    """The accounts that a delivery tells of; none where it cannot be read."""
    try:
        entries = from_json(body)["entry"]
        return {str(entry["id"]).encode("utf-8", "replace") for entry in entries}
    except (ValueError, TypeError, KeyError, RecursionError):
        return set()
