"""`drift`: what Meta sends that the models do not know."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import options, render
from .options import JsonOption, SinceOption, StoreOption

if TYPE_CHECKING:
    from collections.abc import Mapping

_MEANINGS = {"key": "unknown key", "value": "unknown value", "shape": "other shape"}


def register(app: typer.Typer) -> None:
    """Add the command to the app."""
    app.command()(drift)


def drift(
    since: SinceOption = None,
    everything: Annotated[
        bool,
        typer.Option("--all", envvar="WA_HOOKS_ALL", help="Also what this version knows, and an older one did not."),
    ] = False,
    store: StoreOption = options.DEFAULT_STORE_URL,
    json: JsonOption = False,
) -> int:
    """Show what Meta sends that wa-hooks does not know.

    Keys, values of enumerations and shapes in new events, each with how often, since when, and an example. Nothing of
    it is lost: the log has it all. --since shows what was still seen then.
    """
    from wa_webhooks.stores import open_store
    from wa_webhooks.stores.base import to_text

    with contextlib.closing(open_store(store, create=False)) as opened:
        rows = opened.drift()
    start = to_text(options.point_in_time(since)) or ""
    found = [row for row in rows if row["last_at"] >= start]
    if not everything:
        found = [row for row in found if _is_unknown(row)]
    if json:
        for row in found:
            render.line({name: value for name, value in row.items() if name != "payload_original"})
        return 0
    if not found:
        typer.echo("Meta has sent nothing that wa-hooks does not know")
        return 0
    columns = ("what", "where", "which", "events", "first", "last", "example")
    render.table(columns, [_cells(row) for row in found])
    typer.echo("the example: wa-hooks show EVENT", err=True)
    return 0


def _is_unknown(row: Mapping[str, Any]) -> bool:
    """Whether this version does not know it either."""
    from wa_webhooks.drift import Finding, findings

    return Finding(row["kind"], row["path"], row["detail"]) in findings(row["payload_original"])


def _cells(row: Mapping[str, Any]) -> tuple[Any, ...]:
    first, last = (render.moment(row[name]) for name in ("first_at", "last_at"))
    example = f"{row['event_id']} {row['tipo_evento']}"
    return _MEANINGS[row["kind"]], row["path"], row["detail"], row["events"], first, last, example
