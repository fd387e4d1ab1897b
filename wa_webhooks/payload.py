"""Meta's JSON in Meta's words: pydantic models of one message, one status and one call.

Tolerant on purpose: every object accepts unknown keys, every enumeration any string, every timestamp, amount and id
both strings and numbers; absent, null, "" and a wrong shape mean the same. Only what an item cannot do without is
required: the rest of it is still worth a row, and the log keeps the original.
The envelope around the items is not modelled: `splitting.split` walks it, so that one bad item never costs its
neighbours. Source: Meta's webhook reference, September 2026.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar

from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from .errors import PayloadError

_MILLISECONDS_FROM = 10**11
"""Meta sends seconds, but milliseconds in places (identity.created_timestamp); seconds reach this in year 5138."""

_LARGEST = 2**53
"""Larger numbers lose digits on their way through a float; no database column of ours needs them."""

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
"""NUL and lone surrogates: legal in JSON, refused by Postgres and by UTF-8."""


def parse_timestamp(value: Any) -> datetime | None:
    """Return the UTC time of a Unix timestamp given as int, float or digits, or None if it is none."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        seconds = float(value)
        if seconds >= _MILLISECONDS_FROM:
            seconds /= 1000
        return datetime.fromtimestamp(seconds, UTC) if seconds > 0 else None
    except (ValueError, OverflowError, OSError):
        return None


def storable(text: str) -> str:
    """Return `text` with U+FFFD for what no database column takes; the payload keeps the original."""
    return _UNSTORABLE.sub("\ufffd", text)


def _required_timestamp(value: Any) -> datetime:
    at = parse_timestamp(value)
    if at is None:
        raise ValueError("not a Unix timestamp")
    return at


def _text_or_none(value: Any) -> Any:
    # A wrong shape reads as absent; where the text is required, that is what the error says.
    if value is None or value == "" or isinstance(value, bool | dict | list):
        return None
    return storable(str(value))


def _object_or_none(value: Any) -> Any:
    return value if isinstance(value, dict) else None


def _objects(value: Any) -> Any:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _whole_number(value: Any) -> int | None:
    try:
        number = None if isinstance(value, bool) else int(float(value))
    except (TypeError, ValueError, OverflowError):
        return None
    return number if number is not None and abs(number) <= _LARGEST else None


Timestamp = Annotated[datetime, BeforeValidator(_required_timestamp)]
OptionalTimestamp = Annotated[datetime | None, BeforeValidator(parse_timestamp)]
Text = Annotated[str | None, BeforeValidator(_text_or_none)]
RequiredText = Annotated[str, BeforeValidator(_text_or_none)]
WholeNumber = Annotated[int | None, BeforeValidator(_whole_number)]
Object = Annotated[dict[str, Any] | None, BeforeValidator(_object_or_none)]


class Shape(BaseModel):
    """An object of Meta's: unknown keys are kept, not refused."""

    model_config = ConfigDict(extra="allow", frozen=True)


class Profile(Shape):
    """`contacts[].profile`."""

    name: Text = None
    username: Text = None


class Contact(Shape):
    """`contacts[]`: who an item is about. Any key may be absent; a username user has no `wa_id`."""

    profile: Annotated[Profile | None, BeforeValidator(_object_or_none)] = None
    wa_id: Text = None
    user_id: Text = None
    parent_user_id: Text = None


class ErrorDetail(Shape):
    """An element of any `errors[]`. `error_data` has been seen as a plain string."""

    code: WholeNumber = None
    title: Text = None
    message: Text = None
    error_data: Any = None

    @property
    def text(self) -> str | None:
        """The most telling of the texts: Meta advises to build on the code and the details."""
        details = self.error_data.get("details") if isinstance(self.error_data, dict) else self.error_data
        return storable(details) if isinstance(details, str) and details else self.message or self.title


Errors = Annotated[list[ErrorDetail], BeforeValidator(_objects)]


class Context(Shape):
    """`messages[].context`: the message replied to, or only a mark that the message was forwarded."""

    id: Text = None
    from_: Text = Field(default=None, alias="from")


class Message(Shape):
    """`messages[]`; the object named by `type` is reached with `body()`."""

    id: RequiredText
    timestamp: Timestamp
    type: Text = None
    from_: Text = Field(default=None, alias="from")
    from_user_id: Text = None
    from_parent_user_id: Text = None
    to: Text = None
    to_user_id: Text = None
    to_parent_user_id: Text = None
    group_id: Text = None
    context: Annotated[Context | None, BeforeValidator(_object_or_none)] = None
    referral: Object = None
    errors: Errors = []

    def body(self) -> Any:
        """What stands under the key that `type` names, whatever its shape; None if nothing does."""
        return (self.model_extra or {}).get(self.type or "")


class Pricing(Shape):
    """`statuses[].pricing`. `pricing_type` is an alias of `type` in some versions."""

    billable: Annotated[bool | None, BeforeValidator(lambda v: v if isinstance(v, bool) else None)] = None
    pricing_model: Text = None
    type: Text = None
    pricing_type: Text = None
    category: Text = None


class Status(Shape):
    """`statuses[]` of messages (`type` absent), payments (`payment`) and calls (`call`)."""

    id: RequiredText
    status: RequiredText
    timestamp: Timestamp
    type: Text = None
    recipient_id: Text = None
    recipient_type: Text = None
    recipient_user_id: Text = None
    recipient_parent_user_id: Text = Field(
        default=None,
        # The second name was the first until May 2026.
        validation_alias=AliasChoices("recipient_parent_user_id", "parent_recipient_user_id"),
    )
    recipient_participant_id: Text = Field(
        default=None,
        # Three of Meta's samples use the second spelling.
        validation_alias=AliasChoices("recipient_participant_id", "participant_recipient_id"),
    )
    recipient_participant_user_id: Text = None
    recipient_participant_parent_user_id: Text = None
    group_id: Text = None
    biz_opaque_callback_data: Text = None
    conversation: Object = None
    pricing: Annotated[Pricing | None, BeforeValidator(_object_or_none)] = None
    errors: Errors = []


class Call(Shape):
    """`calls[]`. `start_time`, `end_time` and `duration` (seconds) are there only if the call was picked up."""

    id: RequiredText
    event: RequiredText
    timestamp: Timestamp
    direction: Text = None
    from_: Text = Field(default=None, alias="from")
    from_user_id: Text = None
    from_parent_user_id: Text = None
    to: Text = None
    to_user_id: Text = None
    to_parent_user_id: Text = None
    # One of Meta's samples shows `status` as a list.
    status: Annotated[Text, BeforeValidator(lambda v: v[0] if isinstance(v, list) and v else v)] = None
    start_time: OptionalTimestamp = None
    end_time: OptionalTimestamp = None
    duration: WholeNumber = None
    biz_opaque_callback_data: Text = None
    errors: Errors = []


def _with_storable_keys(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {storable(key): _with_storable_keys(inner) for key, inner in value.items()}
    return [_with_storable_keys(inner) for inner in value] if isinstance(value, list) else value


ShapeT = TypeVar("ShapeT", bound=Shape)


def read(shape: type[ShapeT], item: Mapping[str, Any]) -> ShapeT:
    """Return `item` as `shape`.

    Raises:
        PayloadError: what the item cannot do without is missing or wrong. The text names keys, never values,
            since values are people's data.
    """
    try:
        return shape.model_validate(item)
    except ValidationError:
        pass
    try:
        return shape.model_validate(_with_storable_keys(item))  # pydantic takes no key that is not Unicode
    except ValidationError as exc:
        faults = exc.errors(include_url=False, include_input=False, include_context=False)
        named = sorted(
            {f"{'.'.join(map(str, fault['loc']))}: {fault['msg'].removeprefix('Value error, ')}" for fault in faults}
        )
        raise PayloadError(f"{shape.__name__.lower()} cannot be read: {'; '.join(named)}") from exc
