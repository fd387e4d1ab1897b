"""The receiver: verifies, records, answers.

Verify on the raw bytes, record durably, answer 200, and only then work. What could not be recorded is answered 503,
so that Meta sends it again. A request takes this way:

    Connection._take_head  -> admit    whatever can be refused before its body is read
    Connection._exchange   -> answer   the handshake, health; of a delivery the signature
    Recorder.record        -> _answer  when its commit is on disk
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import logging
import re
import secrets
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Literal

from .. import signature
from ..errors import HandshakeRefusedError, SignatureError, StoreError
from ..http.connection import Connection
from ..http.crowd import Crowd
from ..http.protocol import Answer, Head, Refusal, naming
from ..networks import Networks, certificate_names, client_address, subject_name
from ..pipeline import KEPT_HEADERS, receive
from ..stores.base import Rejection
from .front import Front
from .recorder import Recorder
from .rejections import Rejections

logger = logging.getLogger(__name__)

DEFAULT_LARGEST_BODY = 4_000_000
"""Meta sends up to 3 MB."""

REQUEST_ID = "x-request-id"
_ID = re.compile(r"[\w.:-]{8,64}", re.ASCII)
_ANY = Networks()
_HEALTH = ("/healthz", "/readyz")
_UNSIGNED = "The signature is missing or wrong."
_RECORDED = Answer(text="ok\n")
_NOT_RECORDED = Answer(status=HTTPStatus.SERVICE_UNAVAILABLE, text="The delivery was not recorded; send it again.\n")
_SIGNATURE = signature.HEADER.lower()
_INBOX = 64 * 2**10
_FLUSH = 1.0
"""Seconds between writes of what was rejected."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How the receiver answers. Times are in seconds, sizes in bytes.

    Deliveries are taken from `networks`, all if empty. `proxies` are believed their header `forwarded`.
    With a `client_name`, the client's certificate has to have this name: that of the connection or, with a
    `client_header`, the one whose subject a proxy tells there.
    """

    app_secrets: tuple[str, ...] = field(repr=False)
    verify_token: str | None = field(repr=False)
    path: str = "/webhook"
    largest_body: int = DEFAULT_LARGEST_BODY
    idle: float = 75.0
    patience: float = 15.0
    drain: float = 10.0
    most_connections: int = 4000
    most_per_address: int = 1000
    networks: Networks = _ANY
    proxies: Networks = _ANY
    forwarded: Literal["x-forwarded-for", "forwarded"] = "x-forwarded-for"
    tls: ssl.SSLContext | None = None
    client_name: str | None = None
    client_header: str | None = None


class Receiver:
    """Answers requests over one store's recorder."""

    def __init__(
        self, settings: Settings, recorder: Recorder, store: Front, *, standing: Callable[[], str] = lambda: ""
    ) -> None:
        """`store` is used through the recorder alone, which knows who may use its connection.

        Likewise `standing`, which says what there is to say beside that it is ready.
        """
        self._standing = standing
        self.closing = False
        # One for all connections: what comes in is taken out of it at once. One made for each read costs more than
        # all the rest of a request.
        self.inbox = memoryview(bytearray(_INBOX))
        self._recorder = recorder
        self._store = store
        self._probe: asyncio.Task[str] | None = None
        self._process = secrets.token_hex(4)
        self._numbers = itertools.count(1)
        self._crowd = Crowd(
            most=settings.most_connections,
            most_per_address=settings.most_per_address,
            dropped=self._dropped,
        )
        recorder.senders = self._crowd.senders
        self.configure(settings)
        self._rejections = Rejections(store)
        self._regularly = [asyncio.ensure_future(task) for task in (self._crowd.sweep(), self._keep_rejections())]

    def configure(self, settings: Settings) -> None:
        """Answer by these settings from now on."""
        self.settings: Settings = settings
        self._crowd.unlimited = settings.proxies
        self.wanted: Mapping[str, str] = naming(
            [*KEPT_HEADERS, settings.forwarded, settings.client_header or REQUEST_ID]
        )

    def connection(self) -> Connection:
        """Return the protocol of a new connection."""
        return Connection(self, self._crowd)

    def next_request_id(self) -> str:
        """Return an id that no other request has."""
        return f"{self._process}-{next(self._numbers):x}"

    # -- before the body

    def admit(self, head: Head, connection: Connection) -> None:
        """Refuse what can be refused before its body is read, so that strangers cannot fill the memory."""
        settings = self.settings
        if settings.proxies:
            told = head.headers.get(settings.forwarded)
            connection.source = client_address(
                connection.peer, told, trusted=settings.proxies, kind=settings.forwarded
            )
            if connection.peer in settings.proxies and _ID.fullmatch(given := head.headers.get(REQUEST_ID, "")):
                connection.request_id = given
        if head.path == settings.path:
            self._check_origin(head, connection)
            allowed = ("GET", "POST")
        elif head.path in _HEALTH:
            allowed = ("GET", "HEAD")
        else:
            raise Refusal(HTTPStatus.NOT_FOUND, "There is nothing here.", cause="unknown-path")
        if head.method not in allowed:
            allow = ", ".join(allowed)
            raise Refusal(HTTPStatus.METHOD_NOT_ALLOWED, f"Use {allow}.", cause="method", allow=allow)
        if head.length is not None and head.length > settings.largest_body:
            raise Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "The body is too large.", cause="too-large")
        if head.method == "POST" and not signature.is_signature(head.headers.get(_SIGNATURE)):
            raise Refusal(HTTPStatus.UNAUTHORIZED, _UNSIGNED, cause="signature-missing")

    def _check_origin(self, head: Head, connection: Connection) -> None:
        settings = self.settings
        if settings.networks and connection.source not in settings.networks:
            raise Refusal(HTTPStatus.FORBIDDEN, "This address may not send webhooks.", cause="network")
        if settings.client_name is None:
            return
        if settings.client_header is None:
            trusted = settings.client_name in certificate_names(connection.certificate())
        else:
            told = head.headers.get(settings.client_header.lower(), "")
            trusted = connection.peer in settings.proxies and subject_name(told) == settings.client_name
        if not trusted:
            raise Refusal(
                HTTPStatus.FORBIDDEN, "A client certificate of the right name is needed.", cause="certificate"
            )

    # -- the answer

    def answer(self, head: Head, body: bytes, connection: Connection) -> Answer | None:
        """Return the answer to a request; None where it is given later, by `connection.answer`."""
        if head.method == "POST":
            return self._delivery(head, body, connection)
        if head.path == "/healthz":
            return Answer(text="ok\n")
        if head.path == "/readyz":
            self._check_readiness(connection)
            return None
        return self._handshake(head, connection)

    def _delivery(self, head: Head, body: bytes, connection: Connection) -> Answer | None:
        head.headers[REQUEST_ID] = connection.request_id
        try:
            delivery = receive(
                body,
                head.headers,
                secrets=self.settings.app_secrets,
                received_at=datetime.now(UTC),
                source_ip=connection.source,
            )
        except SignatureError as exc:
            self._reject(connection, HTTPStatus(exc.http_status), "signature-wrong", str(exc), body=body)
            return Answer(status=HTTPStatus(exc.http_status), text=f"{_UNSIGNED}\n")
        self._crowd.touch(connection)
        self._recorder.record(
            delivery, lambda error: connection.answer(_RECORDED if error is None else _NOT_RECORDED)
        )
        return None

    def _handshake(self, head: Head, connection: Connection) -> Answer:
        try:
            answer = signature.challenge(head.query, self.settings.verify_token or "")
        except HandshakeRefusedError as exc:
            reason = str(exc) if self.settings.verify_token else "no verify token is configured"
            self._reject(connection, HTTPStatus(exc.http_status), "handshake", reason)
            return Answer(status=HTTPStatus(exc.http_status), text="The verification was refused.\n")
        logger.info("handshake answered", extra={"request_id": connection.request_id, "source_ip": connection.source})
        return Answer(text=answer)

    def _check_readiness(self, connection: Connection) -> None:
        # However many ask, one check is under way: they must not queue before deliveries on the recorder's thread.
        if self._probe is None or self._probe.done():
            self._probe = asyncio.ensure_future(self._ready())
        self._probe.add_done_callback(lambda probe: connection.answer(_readiness(probe)))

    async def _ready(self) -> str:
        """Return what to say beside that it is ready; raise why it is not."""
        told: list[str] = []

        def check() -> None:
            self._store.check_writable()
            told.append(self._standing())

        await self._recorder.run(check)
        return told[0]

    # -- the rest

    def refused(self, refusal: Refusal, head: Head | None, connection: Connection) -> None:
        """Take note of a refusal."""
        size = head.length if head else None
        self._reject(connection, refusal.status, refusal.cause, refusal.sentence, size=size, head=head)

    def _dropped(self, connection: Connection) -> None:
        self._reject(connection, HTTPStatus.SERVICE_UNAVAILABLE, "connections", "There are too many connections.")

    def _reject(
        self,
        connection: Connection,
        status: HTTPStatus,
        cause: str,
        detail: str,
        *,
        body: bytes | None = None,
        size: int | None = None,
        head: Head | None = None,
    ) -> None:
        told = body is not None and not self._rejections.full  # a flood of large bodies is not worth the digests
        rejection = Rejection(
            at=datetime.now(UTC),
            status=status.value,
            cause=cause,
            source_ip=connection.source,
            size=size if body is None else len(body),
            body_sha256=hashlib.sha256(body or b"").hexdigest() if told else None,
            request_id=connection.request_id,
            detail=detail,
        )
        self._rejections.add(rejection, f"{head.method} {head.path[:200]}" if head else None)

    async def _keep_rejections(self) -> None:
        while True:
            await asyncio.sleep(_FLUSH)
            if self._rejections:
                self._recorder.post(self._rejections.flush)

    async def drain(self) -> None:
        """End idle connections and wait for the busy ones, within the limit."""
        self.closing = True
        await self._crowd.disperse(self.settings.drain)
        for task in self._regularly:
            task.cancel()
        self._recorder.post(self._rejections.flush)


def _readiness(probe: asyncio.Task[str]) -> Answer:
    error = None if probe.cancelled() else probe.exception()
    if error is None:
        told = "" if probe.cancelled() else probe.result()
        return Answer(text=f"ready, {told}\n" if told else "ready\n")
    logger.warning("not ready: %s", error)
    status = error.http_status if isinstance(error, StoreError) else 503
    return Answer(status=HTTPStatus(status), text="Deliveries cannot be recorded.\n")
