"""What people and pipes see: tables and progress for a person, JSON lines for a pipe. The only importer of rich.

Data goes to stdout, everything else to stderr. Colour only on a terminal, and never with NO_COLOR.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import typer

from wa_webhooks.masking import mask, mask_id, mask_numbers

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as Bar

    from wa_webhooks.sending import Sent

_COLOURS = {"processed": 32, "pending": 36, "failed": 33, "dead": 31, "refused": 35, "ok": 32, "FAIL": 31}
_STATE_WIDTH = 9
_TYPE_WIDTH = 28
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
_MOST_TYPES = 6
_MOST_FAILURES = 20
_OUTCOMES = ("new", "duplicates", "processed", "retrying", "dead", "refused", "unread")


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
    said = event["error"] or (
        "nobody knows this type: see wa-hooks drift"
        if state == "processed" and event["tipo_evento"].startswith("unknown.")
        else ""
    )
    parts = [
        moment(event["fecha_recepcion"]),
        f"{event['id']:>6}",
        _coloured(f"{state:<{_STATE_WIDTH}}", state),
        f"{'lead ' + str(event['lead_id']) if event['lead_id'] else '-':<9}",
        f"{event['tipo_evento']:<{_TYPE_WIDTH}}",
        _printable(subject if unmask else mask_id(subject)),
        _printable(said if unmask else mask_numbers(said)),
    ]
    typer.echo("  ".join(part for part in parts if part).rstrip())


def rejection(row: Mapping[str, Any], *, headed: bool) -> None:
    """Print a rejection as a row of a table, which can go on for ever; with the heading before the first."""
    if headed:
        typer.echo(_rejection_row("time", "status", "cause", "source", "bytes", "request", "answered"))
    size = "" if row["size"] is None else str(row["size"])
    told = (row["cause"], row["source_ip"] or "-", size, row["request_id"] or "-", row["detail"] or "")
    typer.echo(_rejection_row(moment(row["at"]), str(row["status"]), *map(_printable, told)))


def _rejection_row(at: str, status: str, cause: str, source: str, size: str, request: str, answered: str) -> str:
    return f"{at:<20}  {status:<6}  {cause:<17}  {source:<15}  {size:>9}  {request:<16}  {answered}".rstrip()


def moment(text: str) -> str:
    """Return a time for a person: to the second."""
    return f"{text[:19]}Z" if _MOMENT.fullmatch(text) else text


def console(*, stderr: bool = False) -> Console:
    """Return rich's console; wide where it is no terminal, so that nothing is cut in a file."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    return Console(stderr=stderr, width=None if stream.isatty() else 160, highlight=False, markup=False)


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]], *, title: str | None = None) -> None:
    """Print a table, under a title if there is one."""
    from rich.table import Table
    from rich.text import Text

    if title:
        typer.echo(f"\n{title}")
    drawn = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        drawn.add_column(column, overflow="fold")
    for row in rows:
        drawn.add_row(*(Text(_printable("" if cell is None else moment(str(cell)))) for cell in row))
    to = console()
    with to.capture() as captured:
        to.print(drawn)
    for part in captured.get().splitlines():
        typer.echo(part.rstrip())


def text(words: str) -> None:
    """Print a line or a heading; whatever stands in it, the cursor stays where it is."""
    typer.echo("\n".join(_printable(part) for part in words.split("\n")))


def facts(title: str, pairs: Mapping[str, Any]) -> None:
    """Print a heading and what is known under it, empty values left out."""
    shown = {name: value for name, value in pairs.items() if value not in (None, "", [])}
    typer.echo(_printable(title))
    width = max(map(len, shown), default=0)
    for name, value in shown.items():
        typer.echo(f"  {name:<{width}}  {_printable(moment(str(value)))}")


def payload(value: Any, *, unmask: bool) -> None:
    """Print a payload as readable JSON."""
    text = json.dumps(value if unmask else mask(value), indent=2, ensure_ascii=False)
    typer.echo("\n".join(_printable(part) for part in text.split("\n")))


def plan(found: Mapping[str, Any], *, err: bool) -> None:
    """Say what a run would take."""
    types = sorted(found["by_type"].items(), key=lambda pair: (-pair[1], pair[0]))
    named = [f"{number} {name}" for name, number in types[:_MOST_TYPES]]
    if len(types) > _MOST_TYPES:
        named.append(f"{len(types) - _MOST_TYPES} more types")
    states = ", ".join(f"{number} {name}" for name, number in found["by_state"].items())
    typer.echo(f"{count(found['events'], 'event')} ({states}): {', '.join(named)}", err=err)


def count(number: int, noun: str) -> str:
    """Return `1 event`, `2 events`, `2 deliveries`."""
    plural = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{number} {noun if number == 1 else plural}"


def failures(found: Sequence[str]) -> None:
    """Say on stderr what failed; the first ones."""
    for failure in found[:_MOST_FAILURES]:
        typer.echo(failure, err=True)
    if len(found) > _MOST_FAILURES:
        typer.echo(f"... and {len(found) - _MOST_FAILURES} more", err=True)


def answers(sent: Sent, *, listed: bool = True) -> None:
    """Say on stderr how a receiver did not answer 200: each time if `listed`, and what that may mean."""
    if listed:
        failures(sent.failures)
    if sent.gave_up:
        typer.echo("gave up: nothing listens there; the rest was not sent", err=True)
    if set(sent.statuses) == {"401"}:
        typer.echo("Every delivery was answered 401: the receiver has another app secret.", err=True)


def summary(told: str, figures: Mapping[str, Any], *, json: bool, err: bool = False) -> None:
    """Print how a command ended: `figures` as one JSON object, or `told` and the figures above nought in a line."""
    if json:
        line(figures)
        return
    shown = [f"{value} {name}" for name, value in figures.items() if name in _OUTCOMES and value]
    shown += [f"{number} answered {status}" for status, number in figures.get("statuses", {}).items()]
    run = f" (run {figures['run']})" if "run" in figures else ""
    typer.echo(f"{told}: {', '.join(shown) or 'nothing to do'}{run}", err=err)


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
        self.stop()

    def stop(self) -> None:
        """Take the bar away."""
        if self._bar:
            self._bar.stop()
