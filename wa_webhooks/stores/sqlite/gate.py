"""A queue before SQLite's write lock: whoever waits for the lock holds the gate, so that the lock goes round."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator

_ASK_AGAIN = 0.0002
_LONGEST_WAIT = 1.0
"""Seconds. The gate is there for fairness alone: whoever was stopped while holding it must not stop everybody."""


class Gate:
    """A lock on a file beside the store, shared by processes and threads; each connection has its own."""

    def __init__(self, path: str | None) -> None:
        """Where there is no `path`, or it cannot be opened, the gate is always open."""
        self._file: int | None = None
        if path is not None:
            with contextlib.suppress(OSError):
                self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)

    @contextlib.contextmanager
    def held(self, patience: float) -> Iterator[bool]:
        """Hold the gate, or go on without it after a while; whether it is held. `patience` is in seconds."""
        give_up = time.monotonic() + min(patience, _LONGEST_WAIT)
        while not (got := self._take()) and time.monotonic() < give_up:
            time.sleep(_ASK_AGAIN)
        try:
            yield got
        finally:
            if got:
                self._leave()

    def busy(self) -> bool:
        """Whether somebody holds it."""
        if self._file is None or not self._take():
            return self._file is not None
        self._leave()
        return False

    def _take(self) -> bool:
        if self._file is None:
            return True
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True

    def _leave(self) -> None:
        if self._file is not None:
            fcntl.flock(self._file, fcntl.LOCK_UN)

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
