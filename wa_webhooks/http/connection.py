"""One connection: a stream cut into requests, each handed to the receiver, each answered in its turn.

A connection is always in one of four states. *Reading*: the next head, or the body behind it, is on its way in.
*Busy*: the receiver has a request and will answer; what the client sends meanwhile waits, a little of it in the
buffer, the rest with the client. *Clogged*: the client does not read its answers, so it gets no more. *Ending*: no
further request is read. Whoever stays in one state for too long meets `expire`.
"""

from __future__ import annotations

import asyncio
import logging
import math
import ssl
from asyncio import sslproto
from collections.abc import Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Protocol

from .heads import Heads
from .protocol import Answer, Chunks, Head, Refusal, cut_head, render

if TYPE_CHECKING:
    from .crowd import Crowd

logger = logging.getLogger(__name__)

sslproto.SSLProtocol.max_size = 32 * 2**10  # of each connection's buffer, which asyncio has 256 KiB of

_MOST_AHEAD = 64 * 2**10
"""Bytes that a client may send ahead while it waits for an answer."""
_AT_ONCE = 4
"""Requests that are answered in a row, where answers need no wait, before other connections have their turn."""
_LINGER = 3.0
"""Seconds to read on after a refusal: closing at once would reset the connection before the answer is read."""
_BREATH = 0.0005
"""Seconds between such reads of all connections together: the refused must not take the time of the others."""


class Answering(Protocol):
    """Who answers.

    `settings` has `idle` and `patience` (seconds that a client may be silent between requests, and take for one),
    `largest_body` (bytes) and `tls`; `inbox` is where reads put what comes in; `heads` parses heads.
    """

    closing: bool
    inbox: memoryview
    settings: Any
    heads: Heads

    def next_request_id(self) -> str:
        """Return an id for the request that begins."""

    def admit(self, head: Head, connection: Connection) -> None:
        """Refuse what can be refused before its body is read."""

    def answer(self, head: Head, body: bytes, connection: Connection) -> Answer | None:
        """Return the answer; None where it is given later, by `connection.answer`."""

    def refused(self, refusal: Refusal, head: Head | None, connection: Connection) -> None:
        """Take note of a refusal."""


class Connection(asyncio.BufferedProtocol):
    """One client's connection. `deadline` is a time of the loop; `held`, bytes of bodies that it keeps in memory."""

    def __init__(self, receiver: Answering, crowd: Crowd) -> None:
        """`crowd` is all connections together, and their limits."""
        self._receiver = receiver
        self._crowd = crowd
        self._now = asyncio.get_running_loop().time
        self._transport: asyncio.Transport | None = None
        self._inbox = receiver.inbox
        self._buffer = bytearray()
        self._seen = 0  # of the buffer, in vain, looking for the end of a head
        self._head: Head | None = None
        self._chunks: Chunks | None = None
        self._clogged = self._ending = self._eof = self._paused = False
        self.busy = False
        self.peer = self.source = "unknown"
        self.request_id = "-"
        self.held = 0
        self.deadline = math.inf
        self._handshake: asyncio.Task[None] | None = None

    # -- what asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Enter the crowd, if there is room."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - of a stream socket
        self._transport = transport
        self.peer = self.source = str((transport.get_extra_info("peername") or ("unknown",))[0])
        self.deadline = self._now() + self._receiver.settings.patience
        if not self._crowd.enter(self):
            transport.abort()
        elif self._receiver.settings.tls:
            transport.pause_reading()
            self._handshake = asyncio.ensure_future(self._encrypt(transport, self._receiver.settings.tls))

    async def _encrypt(self, transport: asyncio.Transport, context: ssl.SSLContext) -> None:
        """Shake hands here rather than before the connection is made, so that those who stall count as well."""
        loop = asyncio.get_running_loop()
        patience = self._receiver.settings.patience
        try:
            self._transport = await loop.start_tls(
                transport,
                self,
                context,
                server_side=True,
                ssl_handshake_timeout=patience,
                ssl_shutdown_timeout=_LINGER,
            )
        except (OSError, EOFError) as exc:
            logger.info("TLS handshake failed", extra={"source": self.peer, "reason": str(exc)})
            exc.__traceback__ = None  # asyncio keeps its buffers in a cycle with it
            transport.abort()
            self.connection_lost(exc)
        else:
            if self._transport is None:  # closed by us meanwhile, which asyncio tells nobody
                self.connection_lost(None)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's
        """Leave the crowd; a delivery that is being recorded is recorded all the same."""
        self._transport = None
        self._crowd.leave(self)

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - asyncio's
        """Return where to put what comes in."""
        return self._inbox

    def buffer_updated(self, nbytes: int) -> None:
        """Take what came in."""
        if self._ending:
            if self._transport and not self._transport.is_closing():
                self._transport.pause_reading()
                asyncio.get_running_loop().call_later(_BREATH * len(self._crowd.refused), self._read_on)
            return
        idle = not (self._buffer or self._head or self.busy or self._clogged)
        data = bytes(self._inbox[:nbytes])
        if idle and (request := self._receiver.heads.whole(data)):
            self._take_whole(*request)
            return
        self._buffer += data
        if not (self.busy or self._clogged):
            self._advance()
        elif len(self._buffer) > _MOST_AHEAD and self._transport and not self._paused:
            self._transport.pause_reading()
            self._paused = True

    def _read_on(self) -> None:
        if self._transport and not self._transport.is_closing():
            self._transport.resume_reading()

    def eof_received(self) -> bool:
        """Keep open for writing what was asked for; whether there is anything."""
        self._eof = True
        return (self.busy or self._clogged) and not (self._ending or self._receiver.settings.tls)

    def certificate(self) -> Mapping[str, Any]:
        """Return the client's, checked; nothing where it gave none."""
        return (self._transport and self._transport.get_extra_info("peercert")) or {}

    def pause_writing(self) -> None:
        """The client does not read: it gets no more answers until it does."""
        self._clogged = True
        self.deadline = self._now() + self._receiver.settings.patience

    def resume_writing(self) -> None:
        """The client has read."""
        self._clogged = False
        if not self._ending:
            if self.busy:
                self.deadline = math.inf
            elif not (self._seen or self._head):  # else the time for that request goes on
                self.deadline = self._now() + self._receiver.settings.idle
            self._go_on()

    # -- reading

    def _take_whole(self, head: Head, body: bytes) -> None:
        """Take a request that has come in one piece. Bodies as small as those are not counted as held."""
        self.request_id = self._receiver.next_request_id()
        try:
            self._head = head
            self._receiver.admit(head, self)
            self._exchange(body)
        except Exception as exc:  # noqa: BLE001 - it ends this connection, nothing else
            self._fail(exc)

    def _fail(self, exc: Exception) -> None:
        if isinstance(exc, Refusal):
            self.refuse(exc)
        else:
            logger.error("a connection failed", exc_info=exc, extra={"request_id": self.request_id})
            self.abort()

    def _advance(self) -> None:
        """Read as many requests as there are in the buffer, until one is not answered at once."""
        left = _AT_ONCE
        try:
            while not (self.busy or self._clogged or self._ending):
                if not left:
                    self.busy = True  # with leaving the others their turn
                    asyncio.get_running_loop().call_soon(self._take_turn)
                    return
                left -= 1
                if self._head is None and not self._take_head():
                    break
                body = self._take_body()
                if body is None:
                    break
                self._exchange(body)
            else:
                return
            if self._eof:
                self.end()
        except Exception as exc:  # noqa: BLE001 - it ends this connection, nothing else
            self._fail(exc)

    def _take_turn(self) -> None:
        self.busy = False
        self._go_on()

    def _take_head(self) -> bool:
        if not self._buffer:
            return False
        if not self._seen:  # its first bytes: from now on a request has to come in
            self.deadline = self._now() + self._receiver.settings.patience
            self.request_id = self._receiver.next_request_id()
        raw = cut_head(self._buffer, self._seen)
        if raw is None:
            self._seen = len(self._buffer)
            return False
        self._seen = 0
        self._head = head = self._receiver.heads.parse(raw)
        self._receiver.admit(head, self)
        self._chunks = Chunks(self._receiver.settings.largest_body) if head.length is None else None
        if head.expects_continue and not self._buffer and head.length != 0 and self._transport:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        return True

    def _take_body(self) -> bytes | None:
        assert self._head  # noqa: S101 - it was taken before
        length = self._head.length
        if length is None:
            assert self._chunks  # noqa: S101 - likewise
            complete = self._chunks.feed(self._buffer)
            come = len(self._chunks.body)
            body = bytes(self._chunks.body) if complete else None
        else:
            complete = len(self._buffer) >= length
            come = min(len(self._buffer), length)
            body = bytes(memoryview(self._buffer)[:length]) if complete else None
            if complete:
                del self._buffer[:length]
        self._crowd.hold(self, come, receiving=not complete)
        return body

    def _exchange(self, body: bytes) -> None:
        assert self._head  # noqa: S101 - as above
        self.busy = True
        self.deadline = math.inf
        answer = self._receiver.answer(self._head, body, self)
        if answer:
            self._write(answer)

    # -- answering

    def answer(self, answer: Answer) -> None:
        """Write the answer that the receiver owes, and go on."""
        self._write(answer)
        self._go_on()

    def _go_on(self) -> None:
        if self._buffer or self._eof:
            self._advance()
        if self._paused and self._transport and not (self.busy or self._clogged or self._ending):
            self._paused = False  # not before: each answer would let more in than it takes out
            self._transport.resume_reading()

    def _write(self, answer: Answer) -> None:
        head = self._head
        self.busy = False
        self._head = self._chunks = None
        if self.held:
            self._crowd.hold(self, 0)
        if self._transport is None or self._transport.is_closing() or head is None:
            self._ending = True
            return
        keep_alive = head.keep_alive and not self._receiver.closing
        self.deadline = self._now() + self._receiver.settings.idle
        self._transport.write(
            render(answer, keep_alive=keep_alive, request_id=self.request_id, head_only=head.method == "HEAD")
        )
        if not keep_alive:
            self.end()

    def refuse(self, refusal: Refusal) -> None:
        """Answer with an error, and read no further request; what is still coming in is thrown away for a moment."""
        head, self._head, self._chunks = self._head, None, None
        self._buffer.clear()
        self.busy = False
        self._crowd.hold(self, 0)
        self._receiver.refused(refusal, head, self)
        if self._transport is None or self._transport.is_closing():
            return
        answer = Answer(status=refusal.status, text=refusal.sentence + "\n", allow=refusal.allow)
        head_only = head is not None and head.method == "HEAD"
        self._transport.write(render(answer, keep_alive=False, request_id=self.request_id, head_only=head_only))
        self._ending = True
        self._crowd.refused.add(self)
        self.deadline = self._now() + _LINGER
        try:
            if self._eof or not self._transport.can_write_eof():
                self._transport.close()
            else:
                self._transport.write_eof()
        except OSError:  # it was reset a moment ago; this may be called on behalf of another connection
            self.abort()

    def end(self) -> None:
        """Close once all is written."""
        self._ending = True
        self.deadline = self._now() + self._receiver.settings.patience
        if self._transport:
            self._transport.close()

    def abort(self) -> None:
        """Close at once."""
        self._ending = True
        if self._transport:
            self._transport.abort()

    @property
    def engaged(self) -> bool:
        """Whether a request's body is on its way in, or its answer on its way out."""
        return self.busy or self._head is not None or self._clogged

    def expire(self) -> None:
        """The deadline is over."""
        if self._ending or self._clogged or (self._handshake and not self._handshake.done()):
            self.abort()
        elif not (self._seen or self._head):
            self.end()
        else:
            self.refuse(Refusal(HTTPStatus.REQUEST_TIMEOUT, "The request did not come in time.", cause="slow"))
