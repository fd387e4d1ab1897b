"""`rebuild`: whether the CRM tables are what the log adds up to, and putting them right."""

from __future__ import annotations

import contextlib
import getpass
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import options, render
from .options import HandlersOption, JsonOption, MaskOption, StoreOption, UnmaskOption, YesOption

if TYPE_CHECKING:
    from wa_webhooks.pipeline import Pipeline
    from wa_webhooks.stores.base import Difference, Rebuilt, Run


def register(app: typer.Typer) -> None:
    """Add the command to the app."""
    app.command()(rebuild)


def rebuild(
    apply: Annotated[
        bool, typer.Option("--apply", envvar="WA_HOOKS_APPLY", help="Put right what differs, in one transaction.")
    ] = False,
    handlers: HandlersOption = None,
    ignore_handlers: Annotated[
        bool,
        typer.Option("--ignore-handlers", envvar="WA_HOOKS_IGNORE_HANDLERS", help="Go on without handlers they had."),
    ] = False,
    yes: YesOption = False,
    store: StoreOption = options.DEFAULT_STORE_URL,
    json: JsonOption = False,
    mask: MaskOption = False,
    unmask: UnmaskOption = False,
) -> int:
    """Make the CRM tables anew from the log, aside, and show where those of the store differ.

    The log is not touched, no action fires, and receiving goes on. Exits 3 if something differs and was not put
    right.
    """
    from wa_webhooks import pipeline as pipelines

    pipeline = options.pipeline(store, handlers=handlers, create=False)
    pipeline.ignore_handlers = ignore_handlers
    with contextlib.closing(pipeline.store):
        if apply and not yes:
            _confirm()
        run = _run(handlers) if apply else None
        total = _processed(pipeline)
        with render.Progress("rebuilding", total=total) as progress:
            found = pipelines.rebuild(pipeline, run, progress=progress.update)
    shown = [*found.failures, *found.differences]
    if json:
        for difference in shown:
            render.line(_as_json(difference, hide=mask))
    elif shown:
        columns = ("table", "row", "column", "in the store", "from the log")
        render.table(columns, [_cells(difference, unmask=unmask) for difference in shown])
    applied = run is not None and found.differing > 0 and not found.failures
    _summary(found, run if applied else None, json=json)
    return 3 if found.failures or (found.differing and not applied) else 0


def _confirm() -> None:
    from wa_webhooks.errors import ConfigError

    if not sys.stdin.isatty():
        raise ConfigError("nobody is there to ask", hint="Add --yes to go ahead.")
    if not typer.confirm("Replace the CRM rows that differ from the log?", err=True):
        typer.echo("nothing done", err=True)
        raise typer.Abort


def _run(handlers: str | None) -> Run:
    from wa_webhooks import pipeline as pipelines

    scope = {"handlers": handlers} if handlers else {}
    return pipelines.start_run("rebuild", scope=scope, started_by=getpass.getuser(), now=datetime.now(UTC))


def _processed(pipeline: Pipeline) -> int:
    return int(pipeline.store.counts()["events"]["processed"])


def _as_json(difference: Difference, *, hide: bool) -> dict[str, Any]:
    from dataclasses import asdict

    from wa_webhooks.masking import mask_id, mask_value

    told = asdict(difference)
    if hide:
        told["key"] = " ".join(
            mask_id(part) if len(part) >= options.SHORTEST_PHONE else part for part in told["key"].split()
        )
        if difference.column:
            told |= {side: mask_value(difference.column, told[side]) for side in ("live", "rebuilt")}
    return told


def _cells(difference: Difference, *, unmask: bool) -> tuple[Any, ...]:
    told = _as_json(difference, hide=not unmask)
    absent = "" if difference.column is None else "null"
    return (
        told["table"],
        told["key"],
        told["column"] or "",
        *(absent if told[side] is None else told[side] for side in ("live", "rebuilt")),
    )


def _summary(found: Rebuilt, run: Run | None, *, json: bool) -> None:
    told = f"{render.count(found.events, 'event')}: "
    told += render.count(found.differing, "difference") if found.differing else "no difference"
    if found.differing > len(found.differences):
        told += f", the first {len(found.differences)} shown"
    if found.failures:
        told += f", {render.count(len(found.failures), 'event')} cannot be handled any more: reprocess them first"
    if run:
        told += f"; put right (run {run.id})"
    typer.echo(told, err=json)
