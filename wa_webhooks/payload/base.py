"""What the models of Meta's JSON stand on: tolerant types, and how an item is read.

Tolerant on purpose: every object accepts unknown keys, every enumeration any string, every amount and id both
strings and numbers; absent, null and a wrong shape mean the same. Only what an item cannot do without is required:
the rest of it is still worth a row, and the log keeps the original. Source: Meta's webhook reference, September 2026.

The types validate inside pydantic's core, without a call into Python: a receiver reads thousands of items a second.
What the models say of keys, shapes and values is also what `drift` holds live traffic against.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Annotated, Any, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler, StringConstraints, ValidationError
from pydantic_core import core_schema

from ..errors import PayloadError

_MILLISECONDS_FROM = 10**11
"""Meta sends seconds, but milliseconds in places (identity.created_timestamp); seconds reach this in year 5138."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_USUAL_DIGITS = 10
"""Seconds have ten digits from 2001 to 2286."""

_LARGEST = 2**53
"""Larger numbers lose digits on their way through a float; no database column of ours needs them."""

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
"""NUL and lone surrogates: legal in JSON, refused by Postgres and by UTF-8."""


def parse_timestamp(value: Any) -> datetime | None:
    """Return the UTC time of a Unix timestamp given as int, float or digits, or None if it is none."""
    if type(value) is str and len(value) == _USUAL_DIGITS and value.isdecimal() and value.isascii():
        return _at(value)  # as nearly always
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        seconds = float(value)
        if seconds >= _MILLISECONDS_FROM:
            seconds /= 1000
        return datetime.fromtimestamp(seconds, UTC) if seconds > 0 else None
    except (ValueError, OverflowError, OSError):
        return None


@lru_cache(maxsize=4096)
def _at(seconds: str) -> datetime:
    return _EPOCH + timedelta(seconds=int(seconds))


def storable(text: str) -> str:
    """Return `text` with U+FFFD for what no database column takes; the payload keeps the original."""
    return text if text.isascii() and "\x00" not in text else _UNSTORABLE.sub("\ufffd", text)


def all_storable(value: Any) -> Any:
    """Return JSON with every key and string in it `storable`."""
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, Mapping):
        return {storable(key): all_storable(inner) for key, inner in value.items()}
    return [all_storable(inner) for inner in value] if isinstance(value, list) else value


@dataclass(frozen=True, slots=True)
class Tolerant:
    """Marks a field whose wrong shape reads as `default`; `shape` names the right one, for `drift`."""

    shape: str
    many: bool = False

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        """Wrap the type's own schema."""
        schema = handler(source)
        if self.many:
            return core_schema.with_default_schema(schema, default_factory=list, on_error="default")
        return core_schema.with_default_schema(schema, default=None, on_error="default")


@dataclass(frozen=True, slots=True)
class _OmittedIfWrong:
    """Marks an element that is left out of its list if it has the wrong shape."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        """Wrap the element's own schema."""
        return core_schema.with_default_schema(handler(source), on_error="omit")


class Known(frozenset[str]):
    """The values of an enumeration that Meta documents. Others are read all the same; `drift` counts them."""

    def __new__(cls, words: str) -> Self:
        """Make it of words separated by spaces."""
        return super().__new__(cls, words.split())


ShapeT = TypeVar("ShapeT", bound="Shape")

Text = Annotated[str | None, Tolerant("text")]
"""A string, or a number as a string."""
Required = Annotated[str, StringConstraints(min_length=1)]
"""What an item cannot do without: a string that is not empty, or a number as one."""
Number = Annotated[Decimal | None, Tolerant("number")]
"""An amount: a number, or a string of one."""
Flag = Annotated[bool | None, Tolerant("boolean")]
Time = Annotated[Text, "time"]
"""A Unix timestamp as Meta sent it, string or number; `parse_timestamp` reads it."""
Anything = Annotated[Any, Tolerant("anything")]
"""JSON that Meta does not document, or that is the business's own."""
Maybe = Annotated[ShapeT | None, Tolerant("object")]
# A default factory, since pydantic deep-copies a mutable default for every object.
Many = Annotated[list[Annotated[ShapeT, _OmittedIfWrong()]], Tolerant("list", many=True), Field(default_factory=list)]
Words = Annotated[list[Annotated[str, _OmittedIfWrong()]], Tolerant("list", many=True), Field(default_factory=list)]


class Shape(BaseModel):
    """An object of Meta's: unknown keys are kept, not refused."""

    model_config = ConfigDict(extra="allow", coerce_numbers_to_str=True, defer_build=True)


class Profile(Shape):
    """`contacts[].profile`."""

    name: Text = None
    username: Text = None


class Contact(Shape):
    """`contacts[]`: who an item is about. Any key may be absent; a username user has no `wa_id`."""

    profile: Maybe[Profile] = None
    wa_id: Text = None
    user_id: Text = None
    parent_user_id: Text = None
    identity_key_hash: Text = None


class ErrorData(Shape):
    """`errors[].error_data`."""

    details: Text = None


class ErrorDetail(Shape):
    """An element of any `errors[]`. `error_data` has been seen as a plain string, `details` at the top."""

    code: Text = None
    title: Text = None
    message: Text = None
    error_data: Annotated[ErrorData | str | None, Tolerant("anything")] = None
    href: Text = None
    details: Text = None

    @property
    def number(self) -> int | None:
        """The code as a number."""
        return whole(self.code)

    @property
    def text(self) -> str | None:
        """The most telling of the texts: Meta advises to build on the code and the details."""
        data = self.error_data
        details = data.details if isinstance(data, ErrorData) else data
        return details or self.details or self.message or self.title or None


Errors = Many[ErrorDetail]


def whole(value: Any) -> int | None:
    """Return a whole number given as a number or a string of one; None if it is none, or too large for a column."""
    try:
        number = None if isinstance(value, bool) else int(float(value))
    except (TypeError, ValueError, OverflowError):
        return None
    return number if number is not None and abs(number) <= _LARGEST else None


def read(shape: type[ShapeT], item: Any) -> ShapeT:
    """Return `item` as `shape`.

    Raises:
        PayloadError: what the item cannot do without is missing or wrong. The text names keys, never values,
            since values are people's data.
    """
    try:
        read_as: ShapeT = shape.__pydantic_validator__.validate_python(item)  # `model_validate` adds a tenth
    except ValidationError as exc:
        faults = exc.errors(include_url=False, include_input=False, include_context=False)
        named = sorted({f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in faults})
        raise PayloadError(f"{shape.__name__.lower()} cannot be read: {'; '.join(named)}") from exc
    return read_as
