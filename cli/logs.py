"""Technical logs on stderr: a line for a person on a terminal, one JSON object a line elsewhere.

Whoever reads stderr must not be able to hold up a receiver or a worker by not reading. So a thread of its own writes.
Where it cannot keep up, lines are dropped, and a line says how many.
"""

from __future__ import annotations

import json
import logging
import os
import select
import sys
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from queue import SimpleQueue
from typing import NamedTuple

from wa_webhooks.errors import ConfigError

_LEVELS = ("debug", "info", "warning", "error")
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_MOST_WAITING = 10_000
_GATHER = 0.02
_AT_EXIT = 2.0
"""Seconds that lines which still wait are given at the end."""
_STDERR = 2
_LINE_END = "\n"

_CHATTY = ("httpx", "httpcore", "hpack")
"""Loggers of other packages that tell of every request of a store over a network."""


def configure(level: str) -> None:
    """Send the logs of wa-hooks to stderr. May be called again, also in a process that was forked.

    Such a process has a thread of its own and nothing of what waited in its parent. One that ends by `os._exit` calls
    `logging.shutdown` before, or loses its last lines.
    """
    if level.lower() not in _LEVELS:
        raise ConfigError(f"{level!r} is no log level", hint=f"Levels are {', '.join(_LEVELS)}.")
    logging.basicConfig(level=level.upper(), handlers=[_handler()], force=True)
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.DEBUG if level.lower() == "debug" else logging.WARNING)


def say(told: str, record: Mapping[str, object]) -> None:
    """Write a line that is no log: `told` on a terminal, `record` as JSON elsewhere. Logs are configured before."""
    for writer in _writers:
        writer.say(told, record)


def _handler() -> logging.Handler:
    try:
        return Writer(sys.stderr.fileno(), terminal=sys.stderr.isatty())
    except (AttributeError, OSError, ValueError):  # it is closed, or no file
        _take_stderr()
        return logging.NullHandler()


def _take_stderr() -> None:
    """Where stderr is closed, keep the next file or socket that is opened from getting its number."""
    try:
        os.fstat(_STDERR)
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), _STDERR)


class Line(NamedTuple):
    """What a log record says. Holds nothing of where it was made: a traceback would keep whole bodies in memory."""

    at: float
    level: str
    event: str
    logger: str
    more: Mapping[str, object]
    exception: str | None = None

    def for_people(self) -> str:
        """Return it as a line for a terminal, with its traceback under it."""
        told = " ".join(f"{name}={value}" for name, value in self.more.items())
        at = datetime.fromtimestamp(self.at, UTC).isoformat()  # without libc, whose locks a fork may find taken
        line = f"{at[11:19]} {self.level:<7} {self.event} {told}".rstrip()
        return f"{line}\n{self.exception}" if self.exception else line

    def as_json(self) -> str:
        """Return it as a JSON object."""
        line: dict[str, object] = {
            "at": datetime.fromtimestamp(self.at, UTC).isoformat().replace("+00:00", "Z"),
            "level": self.level,
            "event": self.event,
            "logger": self.logger,
            **self.more,
        }
        if self.exception:
            line["exception"] = self.exception
        return json.dumps(line, default=str)


class Writer(logging.Handler):
    """Writes to a file descriptor on a thread of its own. Whoever logs never waits."""

    def __init__(self, descriptor: int, *, terminal: bool, most: int = _MOST_WAITING) -> None:
        """Beyond `most` lines that wait, lines are dropped."""
        super().__init__()
        self._descriptor = descriptor
        self._text: Callable[[Line], str] = Line.for_people if terminal else Line.as_json
        self._terminal = terminal
        self._most = most
        self.begin()
        _writers.add(self)

    def begin(self) -> None:
        """Start with nothing that waits. The thread comes with the first line: best forked is who has none."""
        self._queue: SimpleQueue[Line | str | None] = SimpleQueue()
        self._counting = threading.Lock()
        self._dropped = 0
        self._torn = False
        self._thread: threading.Thread | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Take a record's words; its JSON is made on the thread."""
        try:
            event = record.getMessage()
        except Exception as exc:  # noqa: BLE001 - a wrong log call must not be a fault of what it tells about
            event = f"{record.msg} ({exc})"
        exception = _FORMATTER.formatException(record.exc_info) if record.exc_info else None
        more = {name: value for name, value in vars(record).items() if name not in _STANDARD}
        self._put(Line(record.created, record.levelname.lower(), event, record.name, more, exception))

    def say(self, told: str, record: Mapping[str, object]) -> None:
        """Write a line that is no log."""
        self.acquire()
        try:
            self._put(told if self._terminal else json.dumps(record))
        finally:
            self.release()

    def close(self) -> None:
        """Write what waits, for two seconds at most."""
        _writers.discard(self)
        if self._thread:
            self._queue.put(None)
            self._thread.join(_AT_EXIT)
        super().close()

    def _put(self, line: Line | str) -> None:
        """Take a line, under the handler's lock."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="wa-hooks-logs", daemon=True)
            self._thread.start()
        if self._queue.qsize() < self._most:
            self._queue.put(line)
        else:
            self._drop(1)

    def _drop(self, number: int) -> None:
        with self._counting:
            self._dropped += number

    def _run(self) -> None:
        while (line := self._queue.get()) is not None:
            if not self._write(line):
                self._drop(1)
            if self._dropped and self._queue.qsize() <= self._most // 2:
                self._tell_dropped()
            if self._queue.empty():
                time.sleep(_GATHER)  # until it waits again, whoever logs need not wake it
        if self._dropped:
            self._tell_dropped()

    def _tell_dropped(self) -> None:
        with self._counting:
            number, self._dropped = self._dropped, 0
        if not self._write(Line(time.time(), "warning", "log lines were dropped", __name__, {"lines": number})):
            self._drop(number)

    def _write(self, line: Line | str) -> bool:
        """Write a line, waiting as long as it takes; return whether it is out."""
        try:
            text = line if isinstance(line, str) else self._text(line)
        except Exception as exc:  # noqa: BLE001 - something in it cannot be written as JSON; the next line can
            text = json.dumps({"level": "error", "event": f"a log line cannot be written: {type(exc).__name__}"})
        left = memoryview(f"{_LINE_END * self._torn}{text}{_LINE_END}".encode("utf-8", "backslashreplace"))
        whole = len(left)
        try:
            while left:
                left = left[_some(self._descriptor, left) :]
        except OSError:  # nobody reads it any more, or its disk is full
            self._torn = self._torn or 0 < len(left) < whole
            return False
        self._torn = False
        return True


def _some(descriptor: int, data: memoryview) -> int:
    """Write what fits; wait where nothing does, though the descriptor be one that does not wait."""
    try:
        return os.write(descriptor, data)
    except BlockingIOError:
        ready = select.poll()
        ready.register(descriptor, select.POLLOUT)
        ready.poll()
        return 0


_FORMATTER = logging.Formatter()
_writers: weakref.WeakSet[Writer] = weakref.WeakSet()


def _begin_again() -> None:
    for writer in _writers:
        writer.begin()


os.register_at_fork(after_in_child=_begin_again)
