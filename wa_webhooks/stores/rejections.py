"""Rejections as stores keep them: texts cut, and how many there were of which hour and cause."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from .base import Rejection, to_text

_LONGEST_TEXT = 200
_LARGEST_NUMBER = 2**63 - 1
_HOUR = len("2026-11-24T12")


def kept(rejection: Rejection) -> dict[str, Any]:
    """Return what is kept of a rejection."""
    return {
        "at": _time(rejection.at),
        "status": rejection.status,
        "cause": _text(rejection.cause),
        "source_ip": _text(rejection.source_ip),
        "size": None if rejection.size is None else min(rejection.size, _LARGEST_NUMBER),
        "body_sha256": _text(rejection.body_sha256),
        "request_id": _text(rejection.request_id),
        "detail": _text(rejection.detail),
    }


def counted(rows: Sequence[Mapping[str, Any]], now: datetime, more: Mapping[str, int]) -> list[dict[str, Any]]:
    """Return how many there are of which hour and cause, and the time of the last: `rows`, and `more` up to `now`."""
    rejected: Counter[tuple[str, str | None]] = Counter()
    last: dict[tuple[str, str | None], str] = {}
    found = [(row["at"], row["cause"], 1) for row in rows]
    found += [(_time(now), _text(cause), number) for cause, number in more.items() if number > 0]
    for at, cause, number in found:
        key = (at[:_HOUR], cause)
        rejected[key] += number
        last[key] = max(last.get(key, at), at)
    return [
        {"hour": hour, "cause": cause, "rejected": number, "last_at": last[hour, cause]}
        for (hour, cause), number in rejected.items()
    ]


def hour_of(at: datetime) -> str:
    """Return the full hour of a time, in UTC."""
    return _time(at)[:_HOUR]


def _time(at: datetime) -> str:
    text = to_text(at)
    assert text is not None  # noqa: S101 - it gives None for None alone
    return text


def _text(text: str | None) -> str | None:
    """A text that can be stored, whatever a stranger sent: no database takes lone surrogates."""
    return None if text is None else text[:_LONGEST_TEXT].encode("utf-8", "backslashreplace").decode()
