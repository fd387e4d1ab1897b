"""Stores: where deliveries, the event log and the CRM tables are kept."""

from __future__ import annotations

import re

from ..errors import ConfigError
from .base import Store

__all__ = ["Store", "is_remote", "open_store", "shown"]

_REMOTE = frozenset({"supabase", "postgres", "postgresql"})
_PASSWORD = re.compile(r"(?<=://)([^:/@?]*):.*@|(?<=password=)[^&]*")
_HINT = "Set WA_HOOKS_STORE or --store to sqlite:PATH, supabase or postgresql://USER@HOST/DATABASE."


def open_store(url: str, *, busy_timeout: float = 2.0, front: bool = False, create: bool = True) -> Store:
    """Open the store that `url` names: `sqlite:PATH`, `postgresql://...`, or `supabase`.

    `sqlite::memory:` is forgotten when it is closed; `supabase` is the project that the environment names.
    A new store gets its schema; one of an older version is brought up to date. A store is for one thread; open
    another for the next. `busy_timeout` is how long, in seconds, to wait for another writer. `front` leaves
    checkpoints to the workers, for a receiver that has some. Without `create` the store must exist.

    Raises:
        ConfigError: no store has such a name.
        StoreError: it cannot be opened.
    """
    scheme, _, rest = url.partition(":")
    if scheme == "sqlite" and rest:
        from .sqlite import SqliteStore  # noqa: PLC0415 - each store is loaded when asked for

        return SqliteStore(rest, busy_timeout=busy_timeout, front=front, create=create)
    if scheme in ("postgresql", "postgres") and rest.startswith("//"):
        from .postgres import open_postgres  # noqa: PLC0415 - likewise

        return open_postgres(url, busy_timeout=busy_timeout, front=front, create=create)
    if url == "supabase":
        from .supabase import open_supabase  # noqa: PLC0415 - likewise

        return open_supabase(busy_timeout=busy_timeout, front=front)
    raise ConfigError(f"{scheme!r} names no store", hint=_HINT)


def is_remote(url: str) -> bool:
    """Whether the store that `url` names is reached over a network, which may be down when a file would not."""
    return url.partition(":")[0] in _REMOTE


def shown(url: str) -> str:
    """Return a store's name as it may be shown and logged: without the password of a database URL."""
    return _PASSWORD.sub(lambda found: f"{found[1]}@" if found[1] is not None else "...", url)
