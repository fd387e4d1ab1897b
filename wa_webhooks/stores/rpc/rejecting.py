"""Rejections: the newest are kept, all are counted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any
from uuid import uuid4

from ..base import KEPT_REJECTIONS, Rejection, to_text
from ..rejections import counted, hour_of, kept
from .calls import Calls
from .values import all_storable, row, rows

_NONE: Mapping[str, int] = MappingProxyType({})


class Rejecting(Calls):
    """The verbs about what was refused."""

    def reject(self, rejections: Sequence[Rejection], *, now: datetime, more: Mapping[str, int] = _NONE) -> None:
        """See `Store.reject`."""
        new = [kept(rejection) for rejection in rejections]
        counts = counted(new, now, more)
        if not counts:
            return
        args = {"rejections": new, "counts": counts, "kept": KEPT_REJECTIONS, "nonce": uuid4().hex}
        self._call("wa_reject", all_storable(args), kept=int)

    def rejections(
        self,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int,
        after_id: int | None = None,
    ) -> list[dict[str, Any]]:
        """See `Store.rejections`."""
        args = {"since": to_text(since), "until": to_text(until), "limit": limit, "after_id": after_id}
        return rows(self._call("wa_rejections", args, rejections=list)["rejections"])

    def rejection_counts(self, *, since: datetime) -> dict[str, Any]:
        """See `Store.rejection_counts`."""
        found = row(self._call("wa_rejection_counts", {"hour": hour_of(since)}, by_cause=list, total=int))
        return {**found, "by_cause": {each["cause"]: each["rejected"] for each in found["by_cause"]}}
