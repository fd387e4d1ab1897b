"""Values on their way to Postgres and back: texts that it takes, and times as stores give them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from ..base import to_text

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_TIMES = frozenset({"at", "fecha_recepcion", "until", "since", "not_before"})


def storable(text: str | None) -> str | None:
    """Return `text` as Postgres takes it: without NUL and lone surrogates, which become U+FFFD."""
    if text is None or (text.isascii() and "\x00" not in text):
        return text
    return _UNSTORABLE.sub("\ufffd", text)


def all_storable(value: Any) -> Any:
    """Return a JSON value with every text in it storable."""
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, Mapping):
        return {storable(key): all_storable(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [all_storable(inner) for inner in value]
    return value


def row(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row with its times as stores give them."""
    return {name: _time(value) if _is_time(name) else value for name, value in found.items()}


def rows(found: list[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return rows with their times as stores give them."""
    return [row(each) for each in found]


def log_line(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return an event as the log has it."""
    return {**row(found), "payload_original": json.loads(found["payload_original"])}


def moment(text: str | None) -> str | None:
    """Return a time as stores give it."""
    return None if text is None else str(_time(text))


def _is_time(name: str) -> bool:
    return name in _TIMES or name.endswith("_at")


def _time(value: Any) -> Any:
    """What Postgres writes in JSON ends in +00:00, and lacks zeros at the end of the seconds."""
    if not isinstance(value, str) or not value.endswith("+00:00"):
        return value
    return to_text(datetime.fromisoformat(value))
