"""The receiver: verifies, records, answers.

Verify on the raw bytes, record durably, answer 200, and only then work. What could not be recorded is answered 503,
so that Meta sends it again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus

from .. import signature
from ..errors import HandshakeRefusedError, SignatureError, StoreError
from ..pipeline import receive
from ..stores.base import Store
from .protocol import Answer, Refusal, Request, read_body, read_head, render
from .recorder import Recorder

logger = logging.getLogger(__name__)

DEFAULT_LARGEST_BODY = 4_000_000
"""Meta sends up to 3 MB."""

_MOST_RECEIVING = 128 * 2**20
"""Bytes of bodies that may be on their way in at a time; beyond, a delivery is refused instead of kept in memory."""

_UNSIGNED = "The signature is missing or wrong."


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How the receiver listens. Times are in seconds, sizes in bytes."""

    app_secrets: tuple[str, ...] = field(repr=False)
    verify_token: str | None = field(repr=False)
    host: str = "127.0.0.1"
    port: int = 8080
    path: str = "/webhook"
    largest_body: int = DEFAULT_LARGEST_BODY
    idle: float = 75.0
    patience: float = 15.0
    drain: float = 10.0


class Receiver:
    """Answers requests over one store's recorder."""

    def __init__(self, settings: Settings, recorder: Recorder, store: Store) -> None:
        """`store` is used through the recorder's thread alone."""
        self._settings = settings
        self._recorder = recorder
        self._store = store
        self._probe: asyncio.Task[None] | None = None
        self._receiving = 0
        self._busy: set[asyncio.Task[None]] = set()
        self._idle: set[asyncio.Task[None]] = set()
        self._closing = False

    async def connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection until it ends."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - asyncio runs this in a task
        self._idle.add(task)
        try:
            while not self._closing and await self._exchange(task, reader, writer):
                pass
        except (ConnectionError, asyncio.CancelledError):
            pass
        except Exception:
            logger.exception("a connection failed")
        finally:
            self._idle.discard(task)
            self._busy.discard(task)
            writer.close()

    async def _exchange(
        self, task: asyncio.Task[None], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        """Read one request and answer it; return whether the connection goes on."""
        settings = self._settings
        source = str((writer.get_extra_info("peername") or ("unknown",))[0])
        request: Request | None = None
        try:
            request = await read_head(reader, idle=settings.idle, patience=settings.patience)
            if request is None:
                return False
            self._idle.discard(task)
            self._busy.add(task)
            self._admit(request)
            if request.expects_continue:
                writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self._receiving += request.content_length
            try:
                body = await read_body(reader, request.content_length, patience=settings.patience)
            finally:
                self._receiving -= request.content_length
            if body is None:
                return False
            answer = await self._answer(request, body, source)
        except Refusal as refusal:
            _log_refusal(request, refusal, source)
            answer = Answer(status=refusal.status, text=refusal.sentence + "\n", allow=refusal.allow)
            unread = request is None or request.content_length > 0
            await self._write(writer, request, answer, keep_alive=False)
            if unread:
                await _discard(reader, writer, settings.patience)
            return False
        keep_alive = request.keep_alive and not self._closing
        await self._write(writer, request, answer, keep_alive=keep_alive)
        self._busy.discard(task)
        self._idle.add(task)
        return keep_alive

    async def _write(
        self, writer: asyncio.StreamWriter, request: Request | None, answer: Answer, *, keep_alive: bool
    ) -> None:
        head_only = request is not None and request.method == "HEAD"
        writer.transport.set_write_buffer_limits(high=0)  # so that `drain` waits for every byte
        writer.write(render(answer, keep_alive=keep_alive, head_only=head_only))
        try:
            await asyncio.wait_for(writer.drain(), self._settings.patience)
        except TimeoutError:
            writer.transport.abort()  # closing would wait for a client that does not read
            raise ConnectionAbortedError from None

    def _admit(self, request: Request) -> None:
        """Refuse what can be refused before its body is read, so that strangers cannot fill the memory."""
        allowed = {
            self._settings.path: ("GET", "POST"),
            "/healthz": ("GET", "HEAD"),
            "/readyz": ("GET", "HEAD"),
        }.get(request.path)
        if allowed is None:
            raise Refusal(HTTPStatus.NOT_FOUND, "There is nothing here.")
        if request.method not in allowed:
            allow = ", ".join(allowed)
            raise Refusal(HTTPStatus.METHOD_NOT_ALLOWED, f"Use {allow}.", allow=allow)
        if request.content_length > self._settings.largest_body:
            raise Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "The body is too large.")
        if request.method == "POST" and not signature.is_signature(request.headers.get(signature.HEADER.lower())):
            raise Refusal(HTTPStatus.UNAUTHORIZED, _UNSIGNED)
        if self._receiving + request.content_length > _MOST_RECEIVING:
            raise Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "Too much is being received; send it again.")

    async def _answer(self, request: Request, body: bytes, source: str) -> Answer:
        if request.path == "/healthz":
            return Answer(text="ok\n")
        if request.path == "/readyz":
            return await self._readiness()
        if request.method == "GET":
            return self._handshake(request, source)
        return await self._delivery(request, body, source)

    async def _readiness(self) -> Answer:
        # However many ask, one check is under way: they must not queue before deliveries on the recorder's thread.
        if self._probe is None or self._probe.done():
            self._probe = asyncio.create_task(self._recorder.run(self._store.check_writable))
        try:
            await asyncio.shield(self._probe)
        except StoreError as exc:
            logger.warning("not ready: %s", exc)
            return Answer(status=HTTPStatus(exc.http_status), text="Deliveries cannot be recorded.\n")
        return Answer(text="ready\n")

    def _handshake(self, request: Request, source: str) -> Answer:
        try:
            answer = signature.challenge(request.query, self._settings.verify_token or "")
        except HandshakeRefusedError as exc:
            reason = str(exc) if self._settings.verify_token else "no verify token is configured"
            logger.warning("handshake refused", extra={"source": source, "reason": reason})
            return Answer(status=HTTPStatus(exc.http_status), text="The verification was refused.\n")
        logger.info("handshake answered", extra={"source": source})
        return Answer(text=answer)

    async def _delivery(self, request: Request, body: bytes, source: str) -> Answer:
        try:
            delivery = receive(
                body,
                request.headers,
                secrets=self._settings.app_secrets,
                received_at=datetime.now(UTC),
                source_ip=source,
            )
        except SignatureError as exc:
            logger.warning("delivery refused", extra={"source": source, "bytes": len(body), "reason": str(exc)})
            return Answer(status=HTTPStatus(exc.http_status), text=f"{_UNSIGNED}\n")
        try:
            await self._recorder.record(delivery)
        except StoreError as exc:
            return Answer(status=HTTPStatus(exc.http_status), text="The delivery was not recorded; send it again.\n")
        return Answer(text="ok\n")

    async def drain(self) -> None:
        """End idle connections and wait for the busy ones, within the limit."""
        self._closing = True
        for task in self._idle:
            task.cancel()
        if self._busy:
            await asyncio.wait(self._busy, timeout=self._settings.drain)


def _log_refusal(request: Request | None, refusal: Refusal, source: str) -> None:
    extra = {"source": source, "status": refusal.status.value, "reason": refusal.sentence}
    if request:
        extra |= {"method": request.method, "path": request.path[:200]}
    logger.warning("request refused", extra=extra)


async def _discard(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, patience: float) -> None:
    """Read on a while after a refusal: closing at once would reset the connection before the answer is read."""
    with contextlib.suppress(OSError, TimeoutError):
        writer.write_eof()
        async with asyncio.timeout(patience):
            while await asyncio.wait_for(reader.read(2**16), 2):
                pass
