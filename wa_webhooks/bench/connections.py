"""Keep-alive connections to a receiver, many in one thread: HTTP/1.1 as far as a load generator needs it.

A loop over the system's own readiness call, without asyncio: it shares the machine with what it measures, and costs a
third of an asyncio client.
"""

from __future__ import annotations

import os
import re
import selectors
import socket
import time
from collections.abc import Callable
from typing import NamedTuple, Self

from ..errors import ConfigError
from .figures import Load

OK = 200
_STATUS = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9][0-9])[ \r]")
_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]{1,9})\r\n", re.IGNORECASE)
_CLOSES = re.compile(rb"\r\nconnection: *close", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE)
_NO_CONTENT = 204
_PIECE = 65536


class Answer(NamedTuple):
    """An answer that is complete, and whether the connection can be used again."""

    status: int
    keeps: bool


def read_answer(data: bytes) -> Answer | None:
    """Return the answer that `data` holds, or None while it is not complete.

    Raises:
        ValueError: it is no answer, or more than one.
    """
    end = data.find(b"\r\n\r\n") + 4
    found = _STATUS.match(data)
    if not found and len(data) >= len(b"HTTP/1.1 200\r"):
        raise ValueError("what came is no HTTP/1.1 answer")
    if end < 4 or not found:  # noqa: PLR2004 - not found
        return None
    head, status = data[:end], int(found[2])
    if _CHUNKED.search(head):
        complete = data.endswith(b"0\r\n\r\n") and len(data) > end
    else:
        length = _LENGTH.search(head)
        whole = end + (int(length[1]) if length else 0)
        if not length and status != _NO_CONTENT:
            raise ValueError("an answer has no length")
        if len(data) > whole:
            raise ValueError("more came than one answer")
        complete = len(data) == whole
    return Answer(status, found[1] == b"1" and not _CLOSES.search(head)) if complete else None


class Connection:
    """One connection; while a request is under way, `due` is the time from which its answer counts."""

    __slots__ = ("connected", "due", "got", "out", "sent", "socket")

    def __init__(self, to: socket.socket) -> None:
        """Hold a socket that is still connecting."""
        self.socket = to
        self.connected = False
        self.out = self.got = b""
        self.due = self.sent = 0.0


class Connections:
    """Connections to one address, opened as requests need them. What comes of the requests is counted in `load`."""

    def __init__(self, address: tuple[str, int], ended: Callable[[], None] = lambda: None) -> None:
        """Send to `address`, host and port. `ended` is called when a request has ended: there is room for another.

        Raises:
            ConfigError: there is no such host.
        """
        try:
            found = socket.getaddrinfo(*address, type=socket.SOCK_STREAM)[0]
        except (OSError, UnicodeError) as exc:
            raise ConfigError(f"there is no host {address[0]!r}: {exc}") from exc
        self._family, self._address = found[0], found[4]
        self._ended = ended
        self._selector = selectors.DefaultSelector()
        self.load = Load()
        self.idle: list[Connection] = []
        """Those that can take a request; the last one was used last."""
        self.busy: dict[Connection, None] = {}
        """Those with a request under way, the oldest first."""

    def __enter__(self) -> Self:
        """Nothing is open yet."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close all of them, without waiting for answers."""
        for key in list(self._selector.get_map().values()):
            key.data.socket.close()
        self._selector.close()

    @property
    def open(self) -> int:
        """How many there are."""
        return len(self.idle) + len(self.busy)

    def send(self, request: bytes, due: float) -> None:
        """Send a request, whose answer counts from the time `due`: on an idle connection, or else on a new one."""
        connection = self.idle.pop() if self.idle else self._connect()
        self.load.sent += 1
        self.load.bytes_sent += len(request)
        connection.due, connection.sent, connection.out = due, time.monotonic(), request
        self.busy[connection] = None
        if connection.connected:
            self._write(connection)

    def turn(self, timeout: float) -> None:
        """Take what is ready; wait for it at most `timeout` seconds."""
        for key, events in self._selector.select(timeout):
            if events & selectors.EVENT_WRITE:
                self._writable(key.data)
            else:
                self._readable(key.data)

    def give_up(self, before: float, told: str) -> None:
        """Count as failed what was sent before a time and has no answer, and close its connections."""
        while self.busy and (oldest := next(iter(self.busy))).sent < before:
            self._lost(oldest, told)

    def fail(self, told: str) -> None:
        """Count a request that failed without an answer."""
        self.load.errors[told] += 1
        self.load.unanswered += 1

    def _connect(self) -> Connection:
        made = Connection(socket.socket(self._family, socket.SOCK_STREAM))
        made.socket.settimeout(0)
        made.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        made.socket.connect_ex(self._address)  # an error is told when it is ready
        self._selector.register(made.socket, selectors.EVENT_WRITE, made)
        self.load.connections += 1
        return made

    def _writable(self, connection: Connection) -> None:
        if not connection.connected:
            if code := connection.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                self._lost(connection, f"cannot connect: {os.strerror(code)}")
                return
            connection.connected = True
        self._write(connection)
        if connection in self.busy and not connection.out:
            self._selector.modify(connection.socket, selectors.EVENT_READ, connection)

    def _write(self, connection: Connection) -> None:
        try:
            connection.out = connection.out[connection.socket.send(connection.out) :]
        except BlockingIOError:
            pass
        except OSError as exc:
            self._lost(connection, f"cannot send: {exc.strerror}")
            return
        if connection.out:
            self._selector.modify(connection.socket, selectors.EVENT_WRITE, connection)

    def _readable(self, connection: Connection) -> None:
        try:
            data = connection.socket.recv(_PIECE)
        except BlockingIOError:
            return
        except OSError as exc:
            self._lost(connection, f"closed without an answer: {exc.strerror}")
            return
        if not data or connection not in self.busy:
            self._lost(connection, "closed without an answer")
            return
        connection.got = connection.got + data if connection.got else data
        try:
            answer = read_answer(connection.got)
        except ValueError as exc:
            self._lost(connection, str(exc))
            return
        if answer:
            self._answered(connection, answer)

    def _answered(self, connection: Connection, answer: Answer) -> None:
        connection.got = b""
        del self.busy[connection]
        if answer.status == OK:
            self.load.latencies.append(time.monotonic() - connection.due)
        else:
            self.load.errors[f"answered {answer.status}"] += 1
        if answer.keeps:
            self.idle.append(connection)
        else:
            self._close(connection)
        self._ended()

    def _lost(self, connection: Connection, told: str) -> None:
        self._close(connection)
        if connection in self.busy:
            del self.busy[connection]
            self.fail(told)
            self._ended()
        else:
            self.idle.remove(connection)

    def _close(self, connection: Connection) -> None:
        self._selector.unregister(connection.socket)
        connection.socket.close()
