"""HTTP/1.1 for a receiver of webhooks: bytes to requests, answers to bytes. Strict where looseness is dangerous.

Knows nothing of WhatsApp, sockets or time. What is malformed or ambiguous is refused and the connection closed, since
two readers of one stream must never disagree on where a request ends (RFC 9112, 11.2).
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from urllib.parse import parse_qsl

LONGEST_HEAD = 16 * 1024
LONGEST_TARGET = 4 * 1024
_LONGEST_SIZE_LINE = 16
_FREE_CHUNKS = 100
_LEAST_CHUNK = 1024
"""Bytes of a chunk on the average, after the first hundred: 4 MB in single bytes would keep everybody waiting."""

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_VALUE = rb"[\t\x20-\x7e\x80-\xff]*"
_FIELDS = re.compile(rb"(?:%b:%b\r\n)*" % (_TOKEN, _VALUE))
_REQUEST_LINE = re.compile(rb"%b /[\x21-\x7e]{,%d} HTTP/1\.[01]\r\n" % (_TOKEN, LONGEST_TARGET - 1))
_START = re.compile(_TOKEN)
_PLAIN = bytes({*b"\t", *range(0x20, 0x7F), *range(0x80, 0x100)})
"""What may stand in a line."""
_BARE_LF = "A line ends without a carriage return."
_DIGITS = re.compile(r"[0-9]{1,15}")
_SIZE = re.compile(rb"[0-9A-Fa-f]{1,8}")
_ONCE = frozenset({"content-length", "host", "transfer-encoding", "x-hub-signature-256", "content-type"})
FRAMING = frozenset({"connection", "content-length", "expect", "host", "transfer-encoding"})
"""Headers that `parse_head` needs itself."""


def naming(names: Iterable[str]) -> dict[str, str]:
    """Return the headers of these names for `parse_head`, together with `FRAMING`, by how they are mostly written."""
    lower = [name.lower() for name in (*names, *FRAMING)]
    return {name.title(): name for name in lower} | {name: name for name in lower}


class Refusal(Exception):  # noqa: N818 - an answer, not a fault
    """A request that is answered with an error; `sentence` is fixed and reveals nothing, `cause` is for the log."""

    def __init__(
        self, status: HTTPStatus, sentence: str, *, cause: str = "malformed", allow: str | None = None
    ) -> None:
        """Keep the answer; the connection ends after it."""
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence
        self.cause = cause
        self.allow = allow


@dataclass(slots=True)
class Head:
    """A request's head: `headers` by lower-case name, those asked for; `length` is None for a chunked body."""

    method: str
    path: str
    query_string: str
    headers: dict[str, str]
    length: int | None
    keep_alive: bool
    expects_continue: bool

    @property
    def query(self) -> Mapping[str, str]:
        """The query, decoded."""
        return dict(parse_qsl(self.query_string, keep_blank_values=True))


@dataclass(frozen=True, slots=True)
class Answer:
    """What to answer: a status and a text."""

    status: HTTPStatus = HTTPStatus.OK
    text: str = ""
    allow: str | None = None


def cut_head(buffer: bytearray, start: int) -> bytes | None:
    """Take the next head, its empty line included, off the front of `buffer`; None while it is not all there.

    `start` is how much of the buffer was looked at before.

    Raises:
        Refusal: it is too long, or cannot become a head any more.
    """
    end = buffer.find(b"\r\n\r\n", max(0, start - 3), LONGEST_HEAD)
    if end < 0:
        line_end = buffer.find(b"\r\n", 0, LONGEST_HEAD)
        line_ends = buffer.count(b"\r\n", max(0, start - 1), LONGEST_HEAD)
        if (
            buffer.count(b"\n", start, LONGEST_HEAD) != line_ends
            or (buffer and not _START.match(buffer))
            or (line_end >= 0 and not _REQUEST_LINE.match(buffer))
        ):
            raise _fault(bytes(buffer[:LONGEST_HEAD]))
        if len(buffer) >= LONGEST_HEAD:
            raise Refusal(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "The headers are too large.", cause="too-large")
        return None
    head = bytes(buffer[: end + 4])
    del buffer[: end + 4]
    return head


def parse_head(head: bytes, wanted: Mapping[str, str]) -> Head:
    """Return the request whose head is `head`, its empty line included, with the headers that are `wanted`.

    `wanted` is made by `naming`.

    Raises:
        Refusal: it is malformed or ambiguous, or the length of its body is not stated.
    """
    request_line, *lines = head.decode("latin-1").split("\r\n")
    # What is left over are the ends of lines: one that is not whole, or any other control character, and they differ.
    if head.translate(None, _PLAIN) != b"\r\n" * len(lines):
        raise _fault(head)
    try:
        method, path, query, modern = _request(request_line)
    except ValueError:
        raise _fault(head) from None
    headers = _headers(head, lines[:-2], wanted)  # the last two are the empty line
    if modern and "host" not in headers:
        raise Refusal(HTTPStatus.BAD_REQUEST, "The Host header is missing.")
    connection = headers.get("connection", "").lower()
    return Head(
        method,
        path,
        query,
        headers,
        _length(method, headers, modern=modern),
        "close" not in connection and (modern or "keep-alive" in connection),
        modern and headers.get("expect", "").lower() == "100-continue",
    )


def _headers(head: bytes, lines: list[str], wanted: Mapping[str, str]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for line in lines:
        written, colon, value = line.partition(":")
        if not colon:
            raise _fault(head)
        name = wanted.get(written)
        if name is None:
            if not _is_token(written):
                raise _fault(head)
            name = wanted.get(written.lower())
            if name is None:
                continue
        value = value.strip("\t ")
        if name in headers:
            if name in _ONCE:
                raise Refusal(HTTPStatus.BAD_REQUEST, "A header that may stand once is repeated.")
            value = f"{headers[name]}, {value}"
        headers[name] = value
    return headers


@lru_cache(256)
def _request(line: str) -> tuple[str, str, str, bool]:
    """Method, path, query and whether it is HTTP/1.1, of a request line: clients send the same one all the time.

    Raises:
        ValueError: it is none.
    """
    if not _REQUEST_LINE.fullmatch(f"{line}\r\n".encode("latin-1")):
        raise ValueError(line)
    method, target, version = line.split(" ")
    path, _, query = target.partition("?")
    return method, path, query, version == "HTTP/1.1"


@lru_cache(256)
def _is_token(name: str) -> bool:
    return _START.fullmatch(name.encode("latin-1")) is not None


def _length(method: str, headers: Mapping[str, str], *, modern: bool) -> int | None:
    """The length of the body in bytes, None where it comes in chunks."""
    stated = headers.get("content-length")
    coding = headers.get("transfer-encoding")
    if coding is not None:
        if stated is not None or not modern:
            raise Refusal(HTTPStatus.BAD_REQUEST, "The length of the body is ambiguous.")
        if coding.lower() != "chunked":
            raise Refusal(HTTPStatus.NOT_IMPLEMENTED, "Send the body with a Content-Length, or chunked.")
        return None
    if stated is None:
        if method == "POST":
            raise Refusal(
                HTTPStatus.LENGTH_REQUIRED,
                "Send the body with a Content-Length, or chunked.",
                cause="length-required",
            )
        return 0
    if not _DIGITS.fullmatch(stated):
        raise Refusal(HTTPStatus.BAD_REQUEST, "The Content-Length is malformed.")
    return int(stated)


def _fault(head: bytes) -> Refusal:
    """What is wrong with a head that is none, or with the beginning of one.

    Its first wrong line decides, so that the answer does not depend on how much of the head has come.
    """
    line, _, fields = head.partition(b"\r\n")
    refusal = _fault_of_request_line(line)
    if refusal:
        return refusal
    well_formed = _FIELDS.match(fields)
    wrong = fields[well_formed.end() if well_formed else 0 :].partition(b"\r\n")[0]
    return Refusal(HTTPStatus.BAD_REQUEST, _BARE_LF if b"\n" in wrong else "A header is malformed.")


def _fault_of_request_line(line: bytes) -> Refusal | None:
    parts = line.split(b" ")
    cut_short = b"\n" in line
    if not _START.match(line) or not (cut_short or (len(parts) == 3 and _START.fullmatch(parts[0]))):  # noqa: PLR2004 - method, target, version
        return Refusal(HTTPStatus.BAD_REQUEST, "The request line is malformed.")
    if cut_short:
        return Refusal(HTTPStatus.BAD_REQUEST, _BARE_LF)
    _, target, version = parts
    if len(target) > LONGEST_TARGET:
        return Refusal(HTTPStatus.REQUEST_URI_TOO_LONG, "The request target is too long.", cause="too-large")
    if not re.fullmatch(rb"HTTP/1\.[01]", version):
        known = re.fullmatch(rb"HTTP/[0-9]\.[0-9]", version)
        status = HTTPStatus.HTTP_VERSION_NOT_SUPPORTED if known else HTTPStatus.BAD_REQUEST
        return Refusal(status, "Use HTTP/1.1.")
    if not re.fullmatch(rb"/[\x21-\x7e]*", target):
        return Refusal(HTTPStatus.BAD_REQUEST, "The request target is malformed.")
    return None


class Chunks:
    """A chunked body on its way in: `body` is what has come of it."""

    def __init__(self, largest: int) -> None:
        """Refuse a body of more than `largest` bytes."""
        self.body = bytearray()
        self._largest = largest
        self._left = 0  # of the chunk's data and the line end after it
        self._chunks = 0
        self._ended = False

    def feed(self, buffer: bytearray) -> bool:
        """Take what belongs to the body off the front of `buffer`; return whether the body is complete.

        Raises:
            Refusal: a chunk is malformed, or the body is too large. Extensions and trailers are refused.
        """
        while True:
            if self._left:
                if not self._data(buffer):
                    return False
            elif self._ended:
                return _line_end(buffer, "Trailers are not accepted.")
            elif not self._size(buffer):
                return False

    def _size(self, buffer: bytearray) -> bool:
        line, end, _ = buffer[:_LONGEST_SIZE_LINE].partition(b"\r\n")
        if not end and len(buffer) < _LONGEST_SIZE_LINE and b"\n" not in line:
            return False
        if not end or not _SIZE.fullmatch(line):
            raise Refusal(HTTPStatus.BAD_REQUEST, "A chunk is malformed.")
        size = int(line, 16)
        self._chunks += 1
        if len(self.body) + size > self._largest:
            raise Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "The body is too large.", cause="too-large")
        if self._chunks > _FREE_CHUNKS + len(self.body) // _LEAST_CHUNK:
            raise Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "The chunks are too small.", cause="too-large")
        del buffer[: len(line) + 2]
        self._ended = size == 0
        self._left = size + 2 if size else 0
        return True

    def _data(self, buffer: bytearray) -> bool:
        data = min(self._left - 2, len(buffer))
        if data > 0:
            self.body += memoryview(buffer)[:data]
            del buffer[:data]
            self._left -= data
        if self._left > 2 or not _line_end(buffer, "A chunk is malformed."):  # noqa: PLR2004 - the line end's length
            return False
        self._left = 0
        return True


def _line_end(buffer: bytearray, otherwise: str) -> bool:
    """Take a line end off the front of `buffer`; return whether it was all there."""
    if not b"\r\n".startswith(buffer[:2]):
        raise Refusal(HTTPStatus.BAD_REQUEST, otherwise)
    if len(buffer) < 2:  # noqa: PLR2004 - as above
        return False
    del buffer[:2]
    return True


def render(answer: Answer, *, keep_alive: bool, request_id: str, head_only: bool = False) -> bytes:
    """Return the bytes of an answer."""
    head = _unchanging(answer, keep_alive)
    text = "" if head_only else answer.text
    return f"{head}Date: {_date(int(time.time()))}\r\nX-Request-Id: {request_id}\r\n\r\n{text}".encode()


@lru_cache(64)
def _unchanging(answer: Answer, keep_alive: bool) -> str:
    """The part of an answer's head. Always text, never sniffed: the handshake echoes what a stranger sent."""
    lines = [
        f"HTTP/1.1 {answer.status.value} {answer.status.phrase}",
        "Content-Type: text/plain; charset=utf-8",
        "X-Content-Type-Options: nosniff",
        f"Content-Length: {len(answer.text.encode())}",
        f"Connection: {'keep-alive' if keep_alive else 'close'}",
    ]
    if answer.allow:
        lines.append(f"Allow: {answer.allow}")
    if answer.status == HTTPStatus.SERVICE_UNAVAILABLE:
        lines.append("Retry-After: 5")
    return "\r\n".join(lines) + "\r\n"


@lru_cache(2)
def _date(second: int) -> str:
    return formatdate(second, usegmt=True)
