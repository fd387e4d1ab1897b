"""What Meta says about the account itself: its numbers, templates, flows, limits and restrictions."""

from __future__ import annotations

from collections.abc import Iterable

from ..changes import AccountNoticed, Change
from ..events import Event, canonical
from .registry import Registry

registry = Registry()


@registry.on("account.*")
@registry.on("error.*")
def account(event: Event) -> Iterable[Change]:
    """One row with the whole notice."""
    yield AccountNoticed(
        account_id=event.account_id,
        phone_number_id=event.phone_number_id,
        notice=event.type,
        at=event.at,
        detail=canonical(event.item),
    )
