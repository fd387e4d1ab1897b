"""The spool of `serve`: its options, and how commands open it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from wa_webhooks.spool import Spool, Standing

DEFAULT_SPOOL = Path("wa-hooks-spool.db")
DEFAULT_SPOOL_MIB = 1024
_MIB = 2**20

SpoolOption = Annotated[
    Path,
    typer.Option(
        "--spool",
        envvar="WA_HOOKS_SPOOL",
        metavar="FILE",
        help="Where deliveries are kept on this machine's disk until a store over a network has them.",
    ),
]
NoSpoolOption = Annotated[
    bool,
    typer.Option(
        "--no-spool",
        envvar="WA_HOOKS_NO_SPOOL",
        help="Record into the store before answering: 503 while it cannot be reached. For disks that do not last.",
    ),
]
SpoolLimitOption = Annotated[
    int,
    typer.Option(
        "--spool-limit",
        envvar="WA_HOOKS_SPOOL_LIMIT",
        min=1,
        metavar="MIB",
        help="How much the spool may take; when it is full, deliveries are answered 503.",
    ),
]


def open_spool(path: Path, store: str, limit: int, *, bounded: bool = True) -> Spool:
    """Open the spool of a store, made if need be; `limit` is in MiB."""
    from wa_webhooks.spool import Spool, target_of

    return Spool(str(path), target=target_of(store), limit=limit * _MIB, bounded=bounded)


def standing(path: Path, store: str, limit: int) -> Standing | None:
    """Return how the spool of a store over a network stands; None where there is none here."""
    from wa_webhooks import stores
    from wa_webhooks.errors import ConfigError

    if not stores.is_remote(store) or not path.exists():
        return None
    try:
        spool = open_spool(path, store, limit)
    except ConfigError:  # it is another store's
        return None
    try:
        return spool.standing()
    finally:
        spool.close()
