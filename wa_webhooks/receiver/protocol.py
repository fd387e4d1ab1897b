"""HTTP/1.1 for a receiver of webhooks: read one request, write one answer. Strict where looseness is dangerous.

Knows nothing of WhatsApp. Bodies need a Content-Length (Meta sends one); what is ambiguous is refused and the
connection closed, since two readers of one stream must never disagree on where a request ends (RFC 9112, 11.2).
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import parse_qsl

LONGEST_HEAD = 16 * 1024
LONGEST_TARGET = 4 * 1024

_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")
_TARGET = re.compile(rb"/[\x21-\x7e]*")
_ONCE = frozenset({"content-length", "host", "transfer-encoding", "x-hub-signature-256", "content-type"})


class Refusal(Exception):  # noqa: N818 - an answer, not a fault
    """A request that is answered with an error; `sentence` is fixed and reveals nothing."""

    def __init__(self, status: HTTPStatus, sentence: str, *, allow: str | None = None) -> None:
        """Keep the answer; the connection ends after it."""
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence
        self.allow = allow


@dataclass(slots=True, kw_only=True)
class Request:
    """A request's head: `headers` by lower-case name, `query` decoded."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    content_length: int
    keep_alive: bool
    expects_continue: bool


@dataclass(slots=True, kw_only=True)
class Answer:
    """What to answer: a status and a text."""

    status: HTTPStatus = HTTPStatus.OK
    text: str = ""
    allow: str | None = None


def parse_head(head: bytes) -> Request:
    """Return the request whose head is `head`, its empty line included.

    Raises:
        Refusal: it is malformed, ambiguous, too long, or its body has no stated length.
    """
    request_line, *lines = head.removesuffix(b"\r\n\r\n").split(b"\r\n")
    parts = request_line.split(b" ")
    if len(parts) != 3 or not _TOKEN.fullmatch(parts[0]):  # noqa: PLR2004 - method, target, version
        raise Refusal(HTTPStatus.BAD_REQUEST, "The request line is malformed.")
    method, target, version = parts
    if len(target) > LONGEST_TARGET:
        raise Refusal(HTTPStatus.REQUEST_URI_TOO_LONG, "The request target is too long.")
    if version not in (b"HTTP/1.1", b"HTTP/1.0"):
        raise Refusal(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED, "Use HTTP/1.1.")
    if not _TARGET.fullmatch(target):
        raise Refusal(HTTPStatus.BAD_REQUEST, "The request target is malformed.")
    headers = _headers(lines)
    if version == b"HTTP/1.1" and "host" not in headers:
        raise Refusal(HTTPStatus.BAD_REQUEST, "The Host header is missing.")
    path, _, query = target.decode("ascii").partition("?")
    connection = headers.get("connection", "").lower()
    return Request(
        method=method.decode("ascii"),
        path=path,
        query=dict(parse_qsl(query, keep_blank_values=True)),
        headers=headers,
        content_length=_content_length(method, headers),
        keep_alive="close" not in connection and (version == b"HTTP/1.1" or "keep-alive" in connection),
        expects_continue=version == b"HTTP/1.1" and headers.get("expect", "").lower() == "100-continue",
    )


def _headers(lines: list[bytes]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for line in lines:
        raw_name, colon, raw_value = line.partition(b":")
        value = raw_value.strip(b" \t")
        # A line that starts with a space continues the one before in old HTTP; no token matches it.
        if not colon or not _TOKEN.fullmatch(raw_name) or not _VALUE.fullmatch(value):
            raise Refusal(HTTPStatus.BAD_REQUEST, "A header is malformed.")
        name = raw_name.decode("ascii").lower()
        if name in headers and name in _ONCE:
            raise Refusal(HTTPStatus.BAD_REQUEST, "A header that may stand once is repeated.")
        text = value.decode("latin-1")
        headers[name] = f"{headers[name]}, {text}" if name in headers else text
    return headers


def _content_length(method: bytes, headers: dict[str, str]) -> int:
    if "transfer-encoding" in headers:
        raise Refusal(HTTPStatus.LENGTH_REQUIRED, "Send the body with a Content-Length.")
    stated = headers.get("content-length")
    if stated is None:
        if method == b"POST":
            raise Refusal(HTTPStatus.LENGTH_REQUIRED, "Send the body with a Content-Length.")
        return 0
    # `isdecimal` takes other scripts' digits, and a number of thousands of digits is an attack.
    if not stated.isascii() or not stated.isdecimal() or len(stated) > 15:  # noqa: PLR2004
        raise Refusal(HTTPStatus.BAD_REQUEST, "The Content-Length is malformed.")
    return int(stated)


async def read_head(reader: asyncio.StreamReader, *, idle: float, patience: float) -> Request | None:
    """Return the next request's head; None where the client went away or stayed silent for `idle` seconds.

    Raises:
        Refusal: as `parse_head`, or the head did not come within `patience` seconds of its first byte.
    """
    try:
        first = await asyncio.wait_for(reader.read(1), idle)
    except TimeoutError:
        return None
    if not first:
        return None
    try:
        head = first + await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), patience)
    except TimeoutError as exc:
        raise Refusal(HTTPStatus.REQUEST_TIMEOUT, "The request did not come in time.") from exc
    except asyncio.LimitOverrunError as exc:
        raise Refusal(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "The headers are too large.") from exc
    except asyncio.IncompleteReadError:
        return None
    return parse_head(head)


async def read_body(reader: asyncio.StreamReader, length: int, *, patience: float) -> bytes | None:
    """Return a body of `length` bytes, None where the client went away.

    Raises:
        Refusal: it did not come within `patience` seconds.
    """
    try:
        return await asyncio.wait_for(reader.readexactly(length), patience)
    except TimeoutError as exc:
        raise Refusal(HTTPStatus.REQUEST_TIMEOUT, "The request did not come in time.") from exc
    except asyncio.IncompleteReadError:
        return None


def render(answer: Answer, *, keep_alive: bool, head_only: bool = False) -> bytes:
    """Return the bytes of an answer. Always text, never sniffed: the handshake echoes what a stranger sent."""
    body = answer.text.encode()
    lines = [
        f"HTTP/1.1 {answer.status.value} {answer.status.phrase}",
        "Content-Type: text/plain; charset=utf-8",
        "X-Content-Type-Options: nosniff",
        f"Content-Length: {len(body)}",
        f"Connection: {'keep-alive' if keep_alive else 'close'}",
    ]
    if answer.allow:
        lines.append(f"Allow: {answer.allow}")
    if answer.status == HTTPStatus.SERVICE_UNAVAILABLE:
        lines.append("Retry-After: 5")
    head = "\r\n".join(lines).encode("ascii") + b"\r\n\r\n"
    return head if head_only else head + body
