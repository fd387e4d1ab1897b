"""`bench`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import render
from .options import JsonOption, YesOption
from .replaying import confirm

if TYPE_CHECKING:
    from wa_webhooks.bench.line import Measurement
    from wa_webhooks.bench.target import Target

_COLUMNS = (
    "requests/s",
    "requests",
    "200",
    "errors",
    "p50 ms",
    "p95 ms",
    "p99 ms",
    "max ms",
    "over 1 s",
    "backlog",
    "drained",
    "cores",
    "",
)
_LINE = (
    "Meta's line: a median of at most 250 ms, fewer than 1 % over 1 s. And here: no errors, and less than 2 s of "
    "traffic waiting for the workers at the end."
)


def register(app: typer.Typer) -> None:
    """Add the command to the app."""
    app.command()(bench)


def bench(
    serve_options: Annotated[
        list[str] | None,
        typer.Argument(metavar="[-- SERVE-OPTIONS]", help="Further options of the receiver: -- --max-body 100000"),
    ] = None,
    rates: Annotated[
        list[float] | None,
        typer.Option(
            "--rate",
            envvar="WA_HOOKS_RATE",
            min=1,
            metavar="N",
            help="Requests per second, on average. May be repeated. Default: 90, 240 and 3300.",
        ),
    ] = None,
    seconds: Annotated[
        float, typer.Option("--seconds", envvar="WA_HOOKS_SECONDS", min=0.1, help="How long, at each rate.")
    ] = 10.0,
    processes: Annotated[
        int, typer.Option("--processes", envvar="WA_HOOKS_PROCESSES", min=1, help="Receivers; as for serve.")
    ] = 1,
    workers: Annotated[
        int, typer.Option("--workers", envvar="WA_HOOKS_WORKERS", min=0, help="Workers; 0: measure receiving alone.")
    ] = 1,
    folder: Annotated[
        Path,
        typer.Option(
            "--folder", envvar="WA_HOOKS_FOLDER", help="Where the store is made, and deleted again: on its disk."
        ),
    ] = Path(),
    to: Annotated[
        str | None,
        typer.Option(
            "--to",
            envvar="WA_HOOKS_TO",
            metavar="URL",
            help="Measure the receiver that runs there. It keeps what it is sent for good.",
        ),
    ] = None,
    store: Annotated[
        str | None,
        typer.Option(
            "--store", envvar="WA_HOOKS_STORE", metavar="URL", help="With --to: its store, for the backlog."
        ),
    ] = None,
    yes: YesOption = False,
    json: JsonOption = False,
) -> int:
    """Measure this machine against Meta's line.

    Starts a receiver with a store of its own, as durable as any, and sends it what Meta would: at each rate, signed
    statuses and replies, one event a request. Requests arrive when they arrive, whether or not the last was answered,
    and an answer's time counts from when its request was due.

    Exits 3 if a rate did not pass.
    """
    from wa_webhooks.bench import line
    from wa_webhooks.errors import ConfigError

    tried = rates or list(line.RATES)
    if to and serve_options:
        raise ConfigError(f"{to} runs already: it takes no options", hint="Leave out --to, or what stands behind --.")
    if to and not yes:
        confirm(f"Have {to} record about {round(sum(tried) * seconds)} synthetic deliveries for good?")
    passed = ["--processes", str(processes), "--workers", str(workers), *(serve_options or ())]
    found = []
    for rate in tried:
        typer.echo(f"{rate:g} requests/s for {seconds:g} s", err=True)
        with _target(to, store, folder, passed) as target:
            measured = line.measure(target, rate, seconds, processing=workers > 0)
        found.append(measured)
        if json:
            render.line(_record(measured))
    if not json:
        _show(found)
    return 3 if any(measured.verdict != line.PASS for measured in found) else 0


@contextlib.contextmanager
def _target(to: str | None, store: str | None, folder: Path, passed: list[str]) -> Iterator[Target]:
    from wa_webhooks import settings
    from wa_webhooks.bench import target
    from wa_webhooks.stores import open_store

    if to is None:
        with target.started(folder, passed) as made:
            yield made
        return
    with contextlib.ExitStack() as opened:
        known = open_store(store, create=False) if store else None
        if known:
            opened.callback(known.close)
        yield target.running(to, settings.app_secrets()[0], known)


def _record(measured: Measurement) -> dict[str, Any]:
    """What --json prints of a rate; times in milliseconds or, where the name says so, seconds."""
    from wa_webhooks.bench.figures import percentile

    load = measured.load
    shares = {"p50_ms": 0.5, "p95_ms": 0.95, "p99_ms": 0.99, "max_ms": 1.0}
    return {
        "rate": measured.rate,
        "seconds": measured.duration,
        "requests": load.requests,
        "answered_200": load.answered,
        "errors": dict(load.errors),
        **{name: _milliseconds(percentile(load.latencies, share)) for name, share in shares.items()},
        "over_1s": round(load.slow_share, 6),
        "backlog": measured.backlog,
        "backlog_seconds": _rounded(measured.backlog_seconds),
        "drained_after_seconds": _rounded(measured.drained),
        "cores": _rounded(measured.cores),
        "connections": load.connections,
        "generator_late_p99_ms": _milliseconds(percentile(load.late, 0.99)),
        "verdict": measured.verdict,
        "reasons": measured.reasons,
    }


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 2)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)


def _show(found: list[Measurement]) -> None:
    rows, reasons = [], []
    for measured in found:
        told = _record(measured)
        backlog, drained = told["backlog_seconds"], told["drained_after_seconds"]
        rows.append(
            [
                f"{measured.rate:g}",
                told["requests"],
                told["answered_200"],
                measured.load.failed,
                *(told[name] for name in ("p50_ms", "p95_ms", "p99_ms", "max_ms")),
                f"{told['over_1s']:.2%}",
                "-" if backlog is None else f"{told['backlog']} ({backlog:g} s)",
                "-" if drained is None else f"{drained:g} s",
                "-" if told["cores"] is None else told["cores"],
                measured.verdict,
            ]
        )
        reasons += [f"{measured.rate:g} requests/s: {reason}" for reason in measured.reasons]
    render.table(_COLUMNS, rows)
    render.text("\n".join(["", *reasons, _LINE]))
