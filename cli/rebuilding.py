"""`rebuild`: whether the CRM tables are what the log adds up to, and putting them right."""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import options, render
from .options import (
    HandlersOption,
    IgnoreHandlersOption,
    JsonOption,
    MaskOption,
    StoreOption,
    UnmaskOption,
    YesOption,
)
from .replaying import check_handlers, check_somebody_is_there, confirm, start

if TYPE_CHECKING:
    from wa_webhooks.stores.base import Difference, Rebuilt

_MOST_SHOWN = 100


def register(app: typer.Typer) -> None:
    """Add the command to the app."""
    app.command()(rebuild)


def rebuild(
    apply: Annotated[
        bool, typer.Option("--apply", envvar="WA_HOOKS_APPLY", help="Put right what differs, in one transaction.")
    ] = False,
    yes: YesOption = False,
    handlers: HandlersOption = None,
    ignore_handlers: IgnoreHandlersOption = False,
    store: StoreOption = options.DEFAULT_STORE_URL,
    json: JsonOption = False,
    mask: MaskOption = False,
    unmask: UnmaskOption = False,
) -> int:
    """Make the CRM tables anew from the log, aside, and show where those of the store differ.

    The log is not touched, no action fires, and receiving goes on. Every difference is a line of --json, the last
    line a summary. Exits 3 if something differs and was not put right.
    """
    from wa_webhooks import pipeline as pipelines
    from wa_webhooks.stores.base import PROCESSED, Query

    pipeline = options.pipeline(store, handlers=handlers, create=False)
    pipeline.ignore_handlers = ignore_handlers
    if apply and not yes:
        check_somebody_is_there()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # told to end, it ends as with Ctrl-C
    run = start("rebuild", {}, handlers) if apply else None
    with contextlib.closing(pipeline.store):
        plan = pipeline.store.preview(Query(states=(PROCESSED,)))
        if not ignore_handlers:
            check_handlers(pipeline, plan)
        with render.Progress("rebuilding", total=plan["events"]) as progress:
            shown = _Shown(json=json, hide=mask if json else not unmask)

            def agree(found: Rebuilt) -> bool:
                progress.stop()
                shown.end()
                if not yes:
                    confirm(f"Put {render.count(found.differences, 'difference')} right?")
                return True

            with contextlib.redirect_stdout(sys.stderr):  # a handler may print
                found = pipelines.rebuild(pipeline, run, agree=agree, progress=progress.update, tell=shown.tell)
    shown.end()
    _summary(found, run.id if run and found.applied else None, json=json)
    return 3 if found.failing or (found.differences and not found.applied) else 0


class _Shown:
    """The differences on stdout: a line of JSON each at once, or at the end a table of the first ones."""

    def __init__(self, *, json: bool, hide: bool) -> None:
        self._json, self._hide = json, hide
        self._out = sys.stdout
        self._rows: list[tuple[Any, ...]] = []
        self._more = 0

    def tell(self, difference: Difference) -> None:
        if self._json:
            self._print(render.line, _as_json(difference, hide=self._hide))
        elif len(self._rows) < _MOST_SHOWN:
            self._rows.append(_cells(difference, hide=self._hide))
        else:
            self._more += 1

    def end(self) -> None:
        """Print what is still to be printed, once."""
        if self._rows:
            self._print(render.table, ("table", "row", "column", "in the store", "from the log"), self._rows)
        if self._more:
            self._print(render.text, f"... and {self._more} more; --json tells every one")
        self._rows, self._more = [], 0

    def _print(self, how: Callable[..., None], *what: Any) -> None:
        with contextlib.redirect_stdout(self._out):
            how(*what)


def _as_json(difference: Difference, *, hide: bool) -> dict[str, Any]:
    from dataclasses import asdict

    from wa_webhooks.masking import mask_value

    told = asdict(difference)
    if hide:
        told["key"] = {name: mask_value(name, value) for name, value in difference.key.items()}
        if difference.column:
            told |= {side: mask_value(difference.column, told[side]) for side in ("live", "rebuilt")}
    return told


def _cells(difference: Difference, *, hide: bool) -> tuple[Any, ...]:
    told = _as_json(difference, hide=hide)
    absent = "" if difference.column in (None, "error") else "null"
    return (
        told["table"],
        " ".join(str(value) for value in told["key"].values()),
        told["column"] or "",
        *(absent if told[side] is None else told[side] for side in ("live", "rebuilt")),
    )


def _summary(found: Rebuilt, run: str | None, *, json: bool) -> None:
    if json:
        figures = {"events": found.events, "differences": found.differences, "by_table": found.differing}
        render.line({**figures, "failing": found.failing, "applied": found.applied, "run": run})
        return
    told = f"{render.count(found.events, 'event')}: "
    told += render.count(found.differences, "difference") if found.differences else "no difference"
    if found.differences:
        told += f" ({', '.join(f'{number} in {table}' for table, number in found.differing.items())})"
    if run:
        told += f", put right (run {run})"
    typer.echo(told)
    if found.failing:
        events = render.count(found.failing, "event")
        typer.echo(f"{events} of these cannot be handled any more: mend the handlers, then reprocess.", err=True)
