"""What was refused, until it is recorded: some of it every second in full, all of it counted."""

from __future__ import annotations

import logging
from collections import Counter
from datetime import UTC, datetime

from ..errors import StoreError
from ..stores.base import Rejection
from .front import Front

logger = logging.getLogger(__name__)

_MOST_KEPT = 100
"""Between two flushes: a flood must fill neither the store nor the log."""


class Rejections:
    """Rejections since the last flush."""

    def __init__(self, store: Front) -> None:
        """`store` is used by `flush` alone."""
        self._store = store
        self._kept: list[Rejection] = []
        self._more: Counter[str] = Counter()

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self._kept)

    @property
    def full(self) -> bool:
        """Whether more are only counted until the next flush."""
        return len(self._kept) >= _MOST_KEPT

    def add(self, rejection: Rejection, request: str | None) -> None:
        """Keep and log a rejection, or count it; `request` is its method and path."""
        if self.full:
            self._more[rejection.cause] += 1
            return
        self._kept.append(rejection)
        told = {name: getattr(rejection, name) for name in ("request_id", "source_ip", "status", "cause", "size")}
        logger.warning("request refused", extra={**told, "request": request, "reason": rejection.detail})

    def flush(self) -> None:
        """Record them; what cannot be recorded is only in the log."""
        if not self._kept:
            return
        kept, self._kept = self._kept, []
        more, self._more = self._more, Counter()
        if more:
            logger.warning("more requests refused than are told one by one", extra=dict(more))
        try:
            self._store.reject(kept, now=datetime.now(UTC), more=more)
        except StoreError as exc:
            logger.warning("rejections not recorded: %s", exc, extra={"rejections": len(kept) + more.total()})
