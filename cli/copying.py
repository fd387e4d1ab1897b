"""`copy`: a store into another one."""

from __future__ import annotations

import getpass
from contextlib import closing
from datetime import UTC, datetime
from typing import Annotated

import typer

from . import render, waiting
from .options import JsonOption


def register(app: typer.Typer) -> None:
    """Add the command to the app."""
    app.command("copy")(copy)


def copy(
    source: Annotated[
        str, typer.Option("--from", envvar="WA_HOOKS_FROM", metavar="URL", help="The store that is copied.")
    ],
    target: Annotated[
        str, typer.Option("--to", envvar="WA_HOOKS_TO", metavar="URL", help="Where to: a store that is empty.")
    ],
    json: JsonOption = False,
) -> int:
    """Copy a store into another one, of whatever kind, and compare the two.

    The log with everything, ids included, and what it adds up to. Stop receivers and workers first. Interrupted, the
    same command goes on where it was.

    Exits 3 if the two are not the same afterwards.
    """
    from wa_webhooks import copying, stores
    from wa_webhooks.errors import ConfigError

    if source == target:
        raise ConfigError("--from and --to are the same store")
    told = ""

    def progress(table: str, _rows: int) -> None:
        nonlocal told
        if told != table:
            typer.echo(f"copying {table}", err=True)
            told = table

    with closing(waiting.open_store(source)) as here, closing(stores.open_store(target)) as there:
        found = list(
            copying.copy(
                here,
                there,
                named=stores.shown(source),
                started_by=getpass.getuser(),
                clock=lambda: datetime.now(UTC),
                progress=progress,
            )
        )
    same = all(each.same for each in found)
    if json:
        render.line({"same": same, "tables": {each.table: each._asdict() for each in found}})
    else:
        rows = [(each.table, each.rows, each.rows_there, "" if each.same else "not the same") for each in found]
        render.table(("table", "rows", "there", ""), rows, title=None if same else "the copy is not the same")
    return 0 if same else 3
