"""What people and pipes see: tables and progress for a person, JSON lines for a pipe. The only importer of rich.

Data goes to stdout, everything else to stderr. Colour only on a terminal, and never with NO_COLOR.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import typer

from wa_webhooks.masking import mask, mask_id, mask_numbers

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as Bar

_COLOURS = {"processed": 32, "pending": 36, "failed": 33, "dead": 31, "refused": 35, "ok": 32, "FAIL": 31}
_STATE_WIDTH = 9
_TYPE_WIDTH = 28
_MOST_FAILURES = 20


def line(record: Mapping[str, Any]) -> None:
    """Print one JSON object on one line; escaped, so that any payload survives any terminal or pipe."""
    typer.echo(json.dumps(record, default=str))


def _coloured(text: str, name: str) -> str:
    if not sys.stdout.isatty() or os.environ.get("NO_COLOR"):
        return text
    return f"\x1b[{_COLOURS.get(name.strip(), 0)}m{text}\x1b[0m"


def _printable(text: str) -> str:
    """A text without what would move the cursor or colour the screen: payloads are other people's."""
    return "".join(c if c.isprintable() else "\ufffd" for c in text)


def log_line(event: Mapping[str, Any], *, unmask: bool) -> None:
    """Print one event of the log on one line."""
    state = event["state"]
    subject = event["message_id"] or event["call_id"] or ""
    error = event["error"] or ""
    parts = [
        event["fecha_recepcion"][:19] + "Z",
        f"{event['id']:>6}",
        f"{event['tipo_evento']:<{_TYPE_WIDTH}}",
        _coloured(f"{state:<{_STATE_WIDTH}}", state),
        f"{'lead ' + str(event['lead_id']) if event['lead_id'] else '-':<9}",
        subject if unmask else mask_id(subject),
        error if unmask else mask_numbers(error),
    ]
    typer.echo(_printable("  ".join(part for part in parts[:5])) if not error and not subject else _join(parts))


def _join(parts: Sequence[str]) -> str:
    return "  ".join(part for part in parts if part)


def console(*, stderr: bool = False) -> Console:
    """Return rich's console; wide where it is no terminal, so that nothing is cut in a file."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    return Console(stderr=stderr, width=None if stream.isatty() else 160, highlight=False, markup=False)


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]], *, title: str | None = None) -> None:
    """Print a table."""
    from rich.table import Table
    from rich.text import Text

    drawn = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for column in columns:
        drawn.add_column(column, overflow="fold")
    for row in rows:
        drawn.add_row(*(Text(_printable("" if cell is None else str(cell))) for cell in row))
    console().print(drawn)


def facts(title: str, pairs: Mapping[str, Any]) -> None:
    """Print a heading and what is known under it, empty values left out."""
    shown = {name: value for name, value in pairs.items() if value not in (None, "", [])}
    typer.echo(title)
    width = max(map(len, shown), default=0)
    for name, value in shown.items():
        typer.echo(f"  {name:<{width}}  {_printable(str(value))}")


def payload(value: Any, *, unmask: bool) -> None:
    """Print a payload as readable JSON."""
    text = json.dumps(value if unmask else mask(value), indent=2, ensure_ascii=False)
    typer.echo("\n".join(_printable(part) for part in text.split("\n")))


def plan(found: Mapping[str, Any]) -> None:
    """Say on stderr what a run would take."""
    types = ", ".join(f"{count} {name}" for name, count in found["by_type"].items())
    states = ", ".join(f"{count} {name}" for name, count in found["by_state"].items())
    typer.echo(f"{found['events']} events of {found['leads']} leads: {types}; {states}", err=True)


def failures(found: Sequence[str]) -> None:
    """Say on stderr what failed; the first ones."""
    for failure in found[:_MOST_FAILURES]:
        typer.echo(failure, err=True)
    if len(found) > _MOST_FAILURES:
        typer.echo(f"... and {len(found) - _MOST_FAILURES} more", err=True)


def summary(what: str, figures: Mapping[str, Any], *, json: bool) -> None:
    """Print how a command ended: one JSON object, or a line for a person."""
    if json:
        line(figures)
        return
    shown = [f"{value} {name}" for name, value in figures.items() if isinstance(value, int)]
    shown += [f"{name} {value}" for name, value in figures.items() if isinstance(value, str)]
    shown += [f"{count} times {status}" for status, count in figures.get("statuses", {}).items()]
    typer.echo(f"{what}: {', '.join(shown)}")


class Progress:
    """A progress bar on stderr, if that is a terminal; otherwise nothing."""

    def __init__(self, what: str, *, total: int | None) -> None:
        """`total` is how many there will be, None if nobody knows."""
        self._what = what
        self._total = total
        self._bar: Bar | None = None

    def __enter__(self) -> Self:
        """Show the bar."""
        if sys.stderr.isatty():
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
            from rich.progress import Progress as Bar

            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
            )
            self._bar = Bar(*columns, console=console(stderr=True), transient=True)
            self._bar.start()
            self._task = self._bar.add_task(self._what, total=self._total)
        return self

    def update(self, done: int) -> None:
        """Say how many are done."""
        if self._bar:
            self._bar.update(self._task, completed=done)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take the bar away."""
        if self._bar:
            self._bar.stop()
