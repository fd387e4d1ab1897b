"""The report of a run, as docs/benchmarks.md; every figure in it is of that run."""

from __future__ import annotations

import json
import os
import platform
import sqlite3
import subprocess
import textwrap
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from string import Template
from typing import NamedTuple

from contenders import COMMIT, FASTAPI, FASTAPI_COMMITS, MEM, PYTHON, PYWA, WA_HOOKS, Contender, has_node
from rounds import Plan, Series, cores

CONNECTIONS = (1, 64, 256)
MOST_OF_A_CORE = 0.9
TOO_MUCH = 0.15
"""The part of the machine that other programs may use before the figures say more of them than of receivers."""
TEMPLATE = Path(__file__).parent / "benchmarks.md.in"
BOUND = "Receivers are bound to one core and the load generator to another"
UNBOUND = "Receivers and the load generator share all cores, since processes cannot be bound to one here"
REMARKS = (
    ("**That is nearly all of it: the fastest receivers may be faster.**", lambda share: share > MOST_OF_A_CORE),
    ("Express is left out: node and npm are not there.", lambda _: not has_node()),
)
_VERSIONS = (
    "import json, sys; from importlib.metadata import version as v; print(json.dumps([*map(v, sys.argv[1:])]))"
)


class Criterion(NamedTuple):
    """What is promised, and how it stands: a figure, its limit, and whether more is better."""

    told: str
    limit: float
    figure: float
    unit: str
    at_least: bool = True

    @property
    def met(self) -> bool:
        return self.figure >= self.limit if self.at_least else self.figure <= self.limit

    def row(self) -> list[str]:
        sign = "at least" if self.at_least else "at most"
        word = "met" if self.met else "**not met**"
        return [self.told, f"{sign} {self.limit:g}{self.unit}", f"{self.figure:.2f}{self.unit}", word]


class Run(NamedTuple):
    """All that was measured: `found` by number of connections, in the order of `contenders`."""

    plan: Plan
    contenders: list[Contender]
    found: dict[int, list[Series]]
    bare: Series
    processing: list[tuple[Contender, Series]]
    line: list[dict]
    told: dict[str, str]
    others: float | None

    def of(self, contender: Contender, connections: int) -> Series:
        return self.found[connections][self.contenders.index(contender)]

    def criteria(self) -> list[Criterion]:
        at_64, alone = self.of(WA_HOOKS, 64), self.of(WA_HOOKS, 1)
        (_, ours), (_, theirs) = self.processing[:2]
        return [
            Criterion(
                "64 connections, beside FastAPI that stores nothing", 4, at_64.ratio(self.of(FASTAPI, 64)), " times"
            ),
            Criterion(
                "64 connections, beside FastAPI that commits", 9, at_64.ratio(self.of(FASTAPI_COMMITS, 64)), " times"
            ),
            Criterion("64 connections, beside pywa", 9, at_64.ratio(self.of(PYWA, 64)), " times"),
            Criterion("64 connections, p99", 15, at_64.median("p99"), " ms", at_least=False),
            Criterion(
                "1 connection, p50 beside a bare commit", 1.8, alone.ratio(self.bare, "p50"), " times", at_least=False
            ),
            Criterion(
                "64 connections while it processes, beside FastAPI that stores nothing",
                2.5,
                ours.ratio(theirs),
                " times",
            ),
        ]


def table(columns: list[str], rows: list[list[str]]) -> str:
    lines = ["| " + " | ".join(row) + " |" for row in ([*columns], *rows)]
    lines.insert(1, "|---|" + "---:|" * (len(columns) - 1))
    return "\n".join(lines)


def _compared(run: Run) -> str:
    columns = ["receiver", "before it answers"]
    columns += [f"{count} conn: req/s" if count > 1 else "1 conn: req/s" for count in CONNECTIONS]
    columns += ["p50 at 1, ms", "p50 at 64", "p99 at 64", "p99 at 256", "CPU at 64, µs", "wa-hooks at 64 is"]
    ours = run.of(WA_HOOKS, 64)
    rows = []
    for each in run.contenders:
        series = {count: run.of(each, count) for count in CONNECTIONS}
        figures = [f"{series[count].median('per_second'):,.0f}" for count in CONNECTIONS]
        times = [
            series[1].median("p50"),
            series[64].median("p50"),
            series[64].median("p99"),
            series[256].median("p99"),
        ]
        cpu = f"{series[64].median('cpu'):.0f}"
        ratio = "" if each is WA_HOOKS else f"{ours.ratio(series[64]):.1f} times as fast"
        rows.append([each.name, each.does, *figures, *(f"{time:.2f}" for time in times), cpu, ratio])
    bare = [f"{run.bare.median('per_second'):,.0f}", "", "", f"{run.bare.median('p50'):.2f}", "", "", "", "", ""]
    rows.append(["SQLite in a loop, no receiver", COMMIT, *bare])
    return table(columns, rows)


def _processing(run: Run) -> str:
    columns = [
        "receiver",
        "before it answers",
        "req/s",
        "p50 ms",
        "p99 ms",
        "events processed a second",
        "wa-hooks is",
    ]
    ours = run.processing[0][1]
    rows = []
    for each, series in run.processing:
        figures = [
            f"{series.median('per_second'):,.0f}",
            f"{series.median('p50'):.2f}",
            f"{series.median('p99'):.2f}",
        ]
        handled = f"{series.median('handled'):,.0f}" if series is ours else ""
        ratio = "" if series is ours else f"{ours.ratio(series):.1f} times as fast"
        rows.append([each.name, each.does, *figures, handled, ratio])
    return table(columns, rows)


def _line(run: Run) -> str:
    columns = ["requests/s", "requests", "errors", "p50 ms", "p95 ms", "p99 ms", "max ms", "over 1 s", "backlog", ""]
    rows = []
    for each in run.line:
        times = [f"{each[name]:.1f}" for name in ("p50_ms", "p95_ms", "p99_ms", "max_ms")]
        counted = [f"{each['requests']:,}", str(sum(each["errors"].values()))]
        backlog = f"{each['backlog_seconds']:.2f} s"
        rows.append([f"{each['rate']:g}", *counted, *times, f"{each['over_1s']:.2%}", backlog, each["verdict"]])
    return table(columns, rows)


def _machine() -> str:
    model = "unknown processor"
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = cpuinfo.read_text().splitlines()
        model = next((line.partition(": ")[2] for line in lines if line.startswith("model name")), model)
    python = f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}"
    node = ""
    if has_node():
        asked = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True)
        node = f", Node {asked.stdout.strip()}"
    return f"{model}, {platform.system()} {platform.machine()}; {python}{node}"


def _versions() -> str:
    names = ["fastapi", "uvicorn", "uvloop", "httptools", "pywa", "aiohttp", "flask", "gunicorn"]
    asked = subprocess.run([PYTHON, "-c", _VERSIONS, *names], capture_output=True, text=True, check=True)
    told = [f"{name} {found}" for name, found in zip(names, json.loads(asked.stdout), strict=True)]
    if has_node():
        manifest = json.loads((Path(__file__).parent / "package.json").read_text())
        told.append(f"express {manifest['dependencies']['express']}")
    return ", ".join([f"wa-hooks {version('wa-hooks')}", *told])


def _others(share: float | None) -> str:
    if share is None:
        return ""
    told = f"Other programs used {share:.0%} of the machine meanwhile"
    return f" {told}." if share < TOO_MUCH else f" **{told}: these figures are worth little.**"


def _wrapped(block: str) -> str:
    return block if block.startswith(("|", "#")) else textwrap.fill(block, 118, break_on_hyphens=False)


def written(run: Run) -> str:
    every = [series for found in run.found.values() for series in found]
    generator = max(series.median("generator") for series in every)
    pinned = cores()[0] is not None
    report = Template(TEMPLATE.read_text()).substitute(
        date=f"{datetime.now(UTC):%-d %B %Y}",
        cores=os.cpu_count(),
        machine=_machine(),
        others=_others(run.others),
        versions=_versions(),
        criteria=table(["", "promised", "measured", ""], [each.row() for each in run.criteria()]),
        compared=_compared(run),
        commit=COMMIT.capitalize(),
        mem=MEM.capitalize(),
        pinned=BOUND if pinned else UNBOUND,
        seconds=f"{run.plan.seconds:g}",
        rounds=run.plan.rounds,
        errors=sum(each.errors for series in every for each in series.slices),
        generator=f"{generator:.0%}",
        remarks=" ".join(remark for remark, said in REMARKS if said(generator)),
        processing=_processing(run),
        processing_rounds=run.plan.processing_rounds,
        processing_seconds=f"{run.plan.processing_seconds:g}",
        line=_line(run),
        line_seconds=f"{run.plan.line_seconds:g}",
    )
    report = "\n\n".join(_wrapped(block) for block in report.split("\n\n"))
    return report + "".join(f"\n## {title}\n\n```\n{told.strip()}\n```\n" for title, told in run.told.items())
