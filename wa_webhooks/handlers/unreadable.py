"""Deliveries and items that cannot be read: logged, and given up with the reason."""

from __future__ import annotations

from collections.abc import Iterable

from ..changes import Change
from ..errors import PayloadError
from ..events import Event
from .registry import Registry

registry = Registry()


@registry.on("unreadable")
def unreadable(event: Event) -> Iterable[Change]:
    """No changes: the same bytes read the same tomorrow, so the event goes straight to `dead`."""
    raise PayloadError(event.problem)
