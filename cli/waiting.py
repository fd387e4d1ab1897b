"""Waiting for a store, which is said once: until it is there, or until nobody holds it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import typer

from wa_webhooks.errors import StoreError, StoreUnavailableError

if TYPE_CHECKING:
    from wa_webhooks.stores.base import Store

FoundT = TypeVar("FoundT")

_SHORTEST = 1.0


def open_store(url: str) -> Store:
    """Open a store that there is: a look must not make one."""
    from wa_webhooks import stores

    return stores.open_store(url, create=False)


def until_there(url: str, poll: float) -> Store:
    """Open a store once it is there."""
    return _asked_again(lambda: open_store(url), StoreError, poll)


def until_free(read: Callable[[], FoundT], poll: float) -> FoundT:
    """Return what `read` gives; a store that is busy is asked again."""
    return _asked_again(read, StoreUnavailableError, poll)


def _asked_again(ask: Callable[[], FoundT], passing: type[StoreError], poll: float) -> FoundT:
    waited = False
    while True:
        try:
            return ask()
        except passing as exc:
            if not waited:
                typer.echo(f"waiting: {exc}", err=True)
            waited = True
            time.sleep(max(poll, _SHORTEST))
