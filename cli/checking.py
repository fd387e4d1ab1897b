"""`check`: fixtures and what they should give, for CI."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import Annotated

import typer

from . import options, render
from .options import HandlersOption, JsonOption


def register(app: typer.Typer) -> None:
    """Add the command to the app."""
    app.command()(check)


def check(
    paths: Annotated[list[str], typer.Argument(metavar="PATH...", help="Fixtures: files, folders, globs.")],
    strict: Annotated[
        bool,
        typer.Option(
            "--strict",
            envvar="WA_HOOKS_STRICT",
            help="Fail on unknown keys, values, shapes and types unless the expected result states them; demand one.",
        ),
    ] = False,
    update: Annotated[
        bool, typer.Option("--update", envvar="WA_HOOKS_UPDATE", help="Write the expected results anew.")
    ] = False,
    junit: Annotated[
        Path | None,
        typer.Option("--junit", envvar="WA_HOOKS_JUNIT", metavar="FILE", help="Write a report as JUnit XML too."),
    ] = None,
    github: Annotated[
        bool, typer.Option("--github", envvar="WA_HOOKS_GITHUB", help="Annotate the lines in GitHub Actions too.")
    ] = False,
    handlers: HandlersOption = None,
    json: JsonOption = False,
) -> int:
    """Check that fixtures give what is expected.

    The expected result of case.json is case.expected.json; a fixture without one passes if no event fails. What
    differs is shown as it is, people's data too: fixtures are files of your own. Exits 3 if a fixture does not pass,
    4 if there are none.
    """
    from wa_webhooks.check import check_paths

    from . import reports

    registry = options.registry(handlers)
    with contextlib.redirect_stdout(sys.stderr):  # a handler may print
        report = check_paths(paths, registry, update=update, strict=strict)
    for skipped in report.skipped:
        typer.echo(f"unread: {skipped}", err=True)
    for result in report.results:
        if json:
            render.line(reports.record(result))
        elif result.verdict != "ok":
            render.text(reports.block(result))
    if junit:
        reports.write_junit(report, junit)
    for command in reports.github_commands(report) if github else ():
        typer.echo(command, err=json)  # GitHub reads both streams
    typer.echo(reports.summary(report), err=json)
    if any(result.verdict == "differs" for result in report.results):
        typer.echo(
            "If what was found is right: --update writes it, and the diff of the files is the review.", err=True
        )
    return 3 if report.failed else 0
