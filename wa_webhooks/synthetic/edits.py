"""Changes to a made delivery: `text.body=Hola` sets what stands at a path."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import ConfigError

if TYPE_CHECKING:
    from .making import Made

_INDEX = re.compile(r"[0-9]{1,9}")
_SYNTAX = "Write it as path=value: text.body=Hola."


@dataclass(frozen=True, slots=True)
class Edit:
    """Set what stands at `path` to `text`, which is JSON or, where it is none, a string.

    The path begins in the event's item; with `value.` in the value around it, with `entry.` in the entry, with `/` in
    the whole body.
    """

    path: str
    text: str


def read_edit(text: str) -> Edit:
    """Return the edit that `path=value` says.

    Raises:
        ConfigError: it says none.
    """
    path, equals, value = text.partition("=")
    if not equals:
        raise ConfigError(f"{text!r} sets nothing", hint=_SYNTAX)
    if not all(path.removeprefix("/").split(".")):
        raise ConfigError(f"{path!r} is no path", hint=_SYNTAX)
    return Edit(path, value)


def apply(made: Made, edit: Edit) -> None:
    """Do an edit to a delivery.

    Raises:
        ConfigError: the path leads through something that is no object.
    """
    root, path, name = made.item, edit.path, f"the item of {made.type}"
    if path.startswith("/"):
        root, path, name = made.payload, path[1:], "the body"
    elif path.startswith("entry."):
        root, path, name = made.payload["entry"][0], path.removeprefix("entry."), "the entry"
    elif path.startswith("value."):
        root, path, name = made.value, path.removeprefix("value."), "the value"
    holder, key = _place(root, path, name)
    before = holder[key] if isinstance(holder, dict) and key in holder else None
    before = holder[key] if isinstance(holder, list) and isinstance(key, int) and key < len(holder) else before
    _put(holder, key, _value(edit.text, before))


def change(item: Any, path: str, value: Any) -> None:
    """Set what stands at `path` of an item to `value`, as it is."""
    _put(*_place(item, path, "the item"), value)


def _place(root: Any, path: str, name: str) -> tuple[Any, str | int]:
    """The object or array that holds what the path leads to, made where there is none, and the key in it.

    `name` is what the root is called.
    """
    holder, keys = root, path.split(".")
    for number, key in enumerate(keys):
        at = _key(holder, key, where=".".join(keys[:number]) or name, path=path)
        if number == len(keys) - 1:
            return holder, at
        missing = at not in holder if isinstance(holder, dict) else at == len(holder)
        if missing:
            _put(holder, at, [] if keys[number + 1] == "0" else {})
        holder = holder[at]
    raise AssertionError("a path has at least one key")


def _key(holder: Any, key: str, *, where: str, path: str) -> str | int:
    if isinstance(holder, dict):
        return key
    found = f"{where} is {_kind(holder)}"
    if not isinstance(holder, list):
        raise ConfigError(f"{path} cannot be set: {found}")
    if not _INDEX.fullmatch(key) or int(key) > len(holder):
        raise ConfigError(f"{path} cannot be set: {found}, and {key} is no index up to {len(holder)}")
    return int(key)


def _put(holder: Any, key: str | int, value: Any) -> None:
    if isinstance(holder, list) and key == len(holder):
        holder.append(value)
    else:
        holder[key] = value


def _value(text: str, before: Any) -> Any:
    """JSON, or a string where it is none. Where a string stood, a number stays one: so are Meta's ids and times."""
    try:
        found = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return text
    if isinstance(found, str) or (isinstance(found, float) and not math.isfinite(found)):
        return text
    return text if isinstance(before, str) and isinstance(found, int | float) else found


def _refuse(constant: str) -> Any:
    raise ValueError(constant)


def _kind(value: Any) -> str:
    kinds = {str: "a string", bool: "a boolean", type(None): "null", list: "an array", dict: "an object"}
    return kinds.get(type(value), "a number")
