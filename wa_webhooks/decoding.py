"""A body's bytes as JSON, or the reason why not; and bodies that are no JSON, kept in a form that JSON can hold."""

from __future__ import annotations

import hashlib
import json
import math
import re
from typing import Any

from pydantic_core import from_json

from .errors import PayloadError

_DEEPEST = 100
"""Deeper nesting is refused by count, not by when Python's stack ends, so that every machine reads alike. Meta's own
payloads nest about fifteen deep."""

_UNDECODED = re.compile("unreadable:[0-9a-f]{64}")
"""Event keys of bodies that are no JSON, by which they are known again."""

_STRINGS = re.compile(r'"(?:[^"\\]|\\.)*"')
_BRACKETS = re.compile(r"[\[\]{}]")

_PLAIN_NUMBERS = bytes.maketrans(b"123456789E", b"000000000e")
_MANY_DIGITS = b"0" * 200
"""With fewer, and an exponent of two digits, no number is out of range."""

_UNSTORABLE = re.compile(
    rb"\\u(?:0000|[dD][89abAB]..(?!\\u[dD][c-fC-F])|(?<!\\u[dD][89abAB]..\\u)[dD][c-fC-F])", re.DOTALL
)
"""NUL and lone surrogates in JSON: they can stand there as escapes alone."""


def decode(body: bytes) -> Any:
    """Return the JSON in `body`.

    Raises:
        PayloadError: it is empty, not UTF-8, not JSON, nested too deeply, or holds a number that is none.
    """
    if not body:
        raise PayloadError("the body is empty")
    if body.count(b"[") + body.count(b"{") <= _DEEPEST and not _may_overflow(body):
        try:
            return from_json(body, allow_inf_nan=False)
        except ValueError:
            pass  # json takes more, and explains better what is wrong
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        raise PayloadError("the body is not UTF-8") from exc
    if _depth(text) > _DEEPEST:
        raise PayloadError("the JSON is nested too deeply")
    try:
        return _DECODER.decode(text)
    except json.JSONDecodeError as exc:
        raise PayloadError(f"the body is not JSON: {exc.msg} (line {exc.lineno}, column {exc.colno})") from exc
    except ValueError as exc:  # a constant such as NaN, or a number of thousands of digits
        raise PayloadError(f"the body is not JSON: {exc}") from exc


def _may_overflow(body: bytes) -> bool:
    """Whether a number may be out of range. pydantic's parser, twice as fast as json, would read it as infinite."""
    plain = body.translate(_PLAIN_NUMBERS, b"+")
    return b"e000" in plain or _MANY_DIGITS in plain


def is_storable(body: bytes) -> bool:
    """Whether no text in a body of JSON holds NUL or a lone surrogate, which no database column takes."""
    return b"\\u" not in body or not _UNSTORABLE.search(body)


def keep_undecoded(body: bytes) -> tuple[str, dict[str, str]]:
    """Return the event key and the payload of a body that is no JSON.

    Bytes live on as text, and those that are no text as lone surrogates, which escaped ASCII keeps.
    """
    return f"unreadable:{hashlib.sha256(body).hexdigest()}", {"unreadable": body.decode("utf-8", "surrogateescape")}


def undecoded(key: str, payload: Any) -> bytes | None:
    """Return the bytes of a body that is no JSON, from its event's key and payload; None for any other event."""
    if not _UNDECODED.fullmatch(key):
        return None
    return str(payload["unreadable"]).encode("utf-8", "surrogateescape")


def _depth(text: str) -> int:
    """How deep the JSON in `text` nests; where that cannot be too deep, how many objects and arrays it has."""
    opened = text.count("[") + text.count("{")
    if opened <= _DEEPEST:
        return opened
    depth = deepest = 0
    for bracket in _BRACKETS.findall(_STRINGS.sub("", text)):
        depth += 1 if bracket in "[{" else -1
        deepest = max(deepest, depth)
    return deepest


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError("a number is too large")
    return number


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON number")


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_finite)
