"""Rejections: the newest are kept, all are counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any

from ..base import KEPT_REJECTIONS, Rejection, to_text
from .connection import Connection, translated

_LONGEST_TEXT = 200
_LARGEST_NUMBER = 2**63 - 1
_HOUR = len("2026-11-24T12")

_NONE: Mapping[str, int] = MappingProxyType({})


class Rejecting(Connection):
    """The verbs about what was refused."""

    def reject(self, rejections: Sequence[Rejection], *, now: datetime, more: Mapping[str, int] = _NONE) -> None:
        """See `Store.reject`."""
        rows = [_row(rejection) for rejection in rejections]
        counts = _counts(rows, _time(now), more)
        if not counts:
            return
        with translated(self.path), self._transaction():
            self._db.executemany(self._sql["insert_rejection"], rows)
            self._execute("forget_rejections", {"kept": KEPT_REJECTIONS})
            self._db.executemany(self._sql["count_rejections"], counts)

    def rejections(
        self,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int,
        after_id: int | None = None,
    ) -> list[dict[str, Any]]:
        """See `Store.rejections`."""
        scope = {"since": to_text(since), "until": to_text(until), "limit": limit, "after_id": after_id}
        name = "last_rejections" if after_id is None else "next_rejections"
        with self._reading() as execute:
            return [dict(row) for row in execute(self._sql[name], scope)]

    def rejection_counts(self, *, since: datetime) -> dict[str, Any]:
        """See `Store.rejection_counts`."""
        with self._reading() as execute:
            ever = dict(execute(self._sql["rejections_ever"]).fetchone())
            recent = execute(self._sql["rejections_by_cause"], {"hour": _time(since)[:_HOUR]}).fetchall()
        return {**ever, "by_cause": {row["cause"]: row["rejected"] for row in recent}}


def _row(rejection: Rejection) -> dict[str, Any]:
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


def _counts(rows: Sequence[Mapping[str, Any]], now: str, more: Mapping[str, int]) -> list[dict[str, Any]]:
    """How many there are of which hour and cause, and the time of the last."""
    rejected: Counter[tuple[str, str | None]] = Counter()
    last: dict[tuple[str, str | None], str] = {}
    found = [(row["at"], row["cause"], 1) for row in rows]
    found += [(now, _text(cause), number) for cause, number in more.items() if number > 0]
    for at, cause, number in found:
        key = (at[:_HOUR], cause)
        rejected[key] += number
        last[key] = max(last.get(key, at), at)
    return [
        {"hour": hour, "cause": cause, "rejected": number, "last_at": last[hour, cause]}
        for (hour, cause), number in rejected.items()
    ]


def _time(at: datetime) -> str:
    text = to_text(at)
    assert text is not None  # noqa: S101 - it gives None for None alone
    return text


def _text(text: str | None) -> str | None:
    """A text that can be stored, whatever a stranger sent: SQLite takes no lone surrogates."""
    return None if text is None else text[:_LONGEST_TEXT].encode("utf-8", "backslashreplace").decode()
