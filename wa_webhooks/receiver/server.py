"""The receiver: listens, verifies, records, answers; with workers that process what it records.

Verify on the raw bytes, record durably, answer 200, and only then work. What could not be recorded is answered 503,
so that Meta sends it again.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import math
import signal
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

from .. import signature
from ..errors import ConfigError, HandshakeRefusedError, SignatureError, StoreError
from ..pipeline import Pipeline, receive
from ..stores.base import Store
from ..worker import work
from .protocol import LONGEST_HEAD, Answer, Refusal, Request, read_body, read_head, render
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
            return Answer(status=HTTPStatus.SERVICE_UNAVAILABLE, text="Deliveries cannot be recorded.\n")
        return Answer(text="ready\n")

    def _handshake(self, request: Request, source: str) -> Answer:
        try:
            answer = signature.challenge(request.query, self._settings.verify_token or "")
        except HandshakeRefusedError as exc:
            reason = str(exc) if self._settings.verify_token else "no verify token is configured"
            logger.warning("handshake refused", extra={"source": source, "reason": reason})
            return Answer(status=HTTPStatus.FORBIDDEN, text="The verification was refused.\n")
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
            return Answer(status=HTTPStatus.UNAUTHORIZED, text=f"{_UNSIGNED}\n")
        try:
            await self._recorder.record(delivery)
        except StoreError:
            return Answer(
                status=HTTPStatus.SERVICE_UNAVAILABLE, text="The delivery was not recorded; send it again.\n"
            )
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


def serve(
    settings: Settings,
    *,
    front: Store,
    open_pipeline: Callable[[], Pipeline],
    workers: int = 1,
    listening: Callable[[Mapping[str, object]], None],
) -> int:
    """Receive until SIGTERM or SIGINT, then drain: answer what is in flight, and let workers finish their batch.

    Returns the signal's number. `front` records; each worker opens a pipeline of its own. `listening` is called once,
    with `host` and `port`.

    Raises:
        ConfigError: the address cannot be listened on.
    """
    stop = threading.Event()
    wake = threading.Event()
    pipelines = [open_pipeline() for _ in range(workers)]  # here, so that what is wrong ends the command
    for pipeline in pipelines:
        pipeline.sleep = stop.wait  # a pause between tries must not hold up the end
    threads = [
        threading.Thread(target=work, args=(pipeline, stop), kwargs={"wake": wake}, name=f"wa-hooks-worker-{number}")
        for number, pipeline in enumerate(pipelines, start=1)
    ]
    try:
        return asyncio.run(_serve(settings, front, wake.set, threads, listening))
    finally:
        stop.set()
        wake.set()
        for thread in threads:
            if thread.ident:
                thread.join()
        for pipeline in pipelines:
            pipeline.store.close()


class _AcceptFailures:
    """What asyncio reports of connections that cannot be accepted: a line now and then, not thousands at once."""

    def __init__(self) -> None:
        self._said = -math.inf

    def __call__(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        exc = context.get("exception")
        if isinstance(exc, OSError) and exc.errno in (errno.EMFILE, errno.ENFILE):
            if loop.time() - self._said > 5:  # noqa: PLR2004 - seconds
                self._said = loop.time()
                logger.error("too many open connections: raise the limit of open files (ulimit -n)")
        else:
            loop.default_exception_handler(context)


def _settle(future: asyncio.Future[int], value: int) -> None:
    if not future.done():
        future.set_result(value)


async def _serve(
    settings: Settings,
    front: Store,
    recorded: Callable[[], None],
    workers: list[threading.Thread],
    listening: Callable[[Mapping[str, object]], None],
) -> int:
    recorder = Recorder(front.append, recorded)
    receiver = Receiver(settings, recorder, front)
    loop = asyncio.get_running_loop()
    stopped_by: asyncio.Future[int] = loop.create_future()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _settle, stopped_by, number)
    loop.set_exception_handler(_AcceptFailures())
    try:
        server = await asyncio.start_server(receiver.connection, settings.host, settings.port, limit=LONGEST_HEAD)
    except OSError as exc:
        raise ConfigError(
            f"cannot listen on {settings.host} port {settings.port}: {exc.strerror}",
            hint="Choose another with --host and --port.",
        ) from exc
    for thread in workers:
        thread.start()
    host, port = server.sockets[0].getsockname()[:2]
    listening({"host": host, "port": port})
    by = await stopped_by
    server.close()
    await receiver.drain()
    await recorder.close()
    return by
