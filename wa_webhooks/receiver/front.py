"""What a receiver needs of what it records into: a store, or the spool before one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

from ..stores.base import Delivery, Rejection


class Append(Protocol):
    """`Store.append`."""

    def __call__(self, deliveries: Sequence[Delivery], *, wait: bool = True) -> list[int]:
        """Record deliveries and return their ids."""
        ...


class Front(Protocol):
    """Some verbs of `Store`, with its promises."""

    def append(self, deliveries: Sequence[Delivery], *, wait: bool = True) -> list[int]:
        """See `Store.append`."""
        ...

    def reject(self, rejections: Sequence[Rejection], *, now: datetime, more: Mapping[str, int] = ...) -> None:
        """See `Store.reject`."""
        ...

    def check_writable(self) -> None:
        """See `Store.check_writable`."""
        ...

    def maintain(self) -> None:
        """See `Store.maintain`."""
        ...

    def close(self) -> None:
        """See `Store.close`."""
        ...
