"""Rejections: the newest are kept, all are counted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any

from ..base import KEPT_REJECTIONS, Rejection, to_text
from ..rejections import counted, hour_of, kept
from .connection import Connection, translated

_NONE: Mapping[str, int] = MappingProxyType({})


class Rejecting(Connection):
    """The verbs about what was refused."""

    def reject(self, rejections: Sequence[Rejection], *, now: datetime, more: Mapping[str, int] = _NONE) -> None:
        """See `Store.reject`."""
        rows = [kept(rejection) for rejection in rejections]
        counts = counted(rows, now, more)
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
            recent = execute(self._sql["rejections_by_cause"], {"hour": hour_of(since)}).fetchall()
        return {**ever, "by_cause": {row["cause"]: row["rejected"] for row in recent}}
