"""`trigger`: synthetic deliveries, printed or sent."""

from __future__ import annotations

import contextlib
import random
import signal
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from time import sleep
from typing import TYPE_CHECKING, Annotated

import typer

from . import options, render

if TYPE_CHECKING:
    from wa_webhooks.captures import Capture
    from wa_webhooks.sending import Sent
    from wa_webhooks.synthetic import Asked, Sequenced, Step

_MOST_LINES = 60
"""Longer sequences have a progress bar instead of a line for each delivery."""
_SLOWEST = 1000.0
"""Real seconds for one of a scenario: slower is a mistake."""


def register(app: typer.Typer) -> None:
    """Add the command to the app."""
    app.command()(trigger)


def trigger(
    what: Annotated[
        str | None, typer.Argument(metavar="TYPE", help="An event type, or a scenario; --list has them.")
    ] = None,
    show_list: Annotated[
        bool, typer.Option("--list", help="List types and scenarios, those with TYPE in it.")
    ] = False,
    to: Annotated[
        str | None,
        typer.Option(
            "--to",
            envvar="WA_HOOKS_TO",
            metavar="URL",
            help="Send there, signed with the app secret. Default: print.",
        ),
    ] = None,
    leads: Annotated[
        list[str] | None,
        typer.Option(
            "--lead",
            metavar="LEAD",
            help="Whom it is about: a phone number, a BSUID, @username, or several ids of one person with commas "
            "between. Repeat it for several people. Default: invented ones.",
        ),
    ] = None,
    name: Annotated[str | None, typer.Option("--name", metavar="NAME", help="Their profile name.")] = None,
    sets: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="PATH=VALUE",
            help="Set what stands at a path of the event's item: text.body=Hola, errors.0.code=131026. Paths that "
            "begin with value. lead through the value around it, with entry. through the entry, with / through the "
            "whole body. Numbers, true, null, {} and [] are JSON, other values strings; where a string stood, "
            "numbers stay strings. May be repeated.",
        ),
    ] = None,
    count: Annotated[
        int | None,
        typer.Option(
            "--count",
            envvar="WA_HOOKS_COUNT",
            min=1,
            help="How many events, each of another person unless --lead says whose; of a scenario how many leads, of "
            "batch how many events (100, at most 1000).",
        ),
    ] = None,
    at: Annotated[
        str | None,
        typer.Option(
            "--at",
            metavar="TIME",
            help="Meta's time of the event, or of a scenario's start: 2h (ago), 02:00, or 2026-11-24T08:00; UTC. "
            "Default: now, or for a scenario as long ago as lets it end with its last delivery.",
        ),
    ] = None,
    number_id: Annotated[
        str | None,
        typer.Option(
            "--number-id", envvar="WA_HOOKS_NUMBER_ID", metavar="ID", help="The phone number id it comes to."
        ),
    ] = None,
    account: Annotated[
        str | None, typer.Option("--account", envvar="WA_HOOKS_ACCOUNT", metavar="ID", help="The account (WABA) id.")
    ] = None,
    speed: Annotated[
        str | None,
        typer.Option(
            "--speed",
            envvar="WA_HOOKS_SPEED",
            metavar="SPEED",
            help="How fast a scenario runs: original (real waits, the default with --to), a factor like 10, or max "
            "(no waits, the default when printing).",
        ),
    ] = None,
    pretty: Annotated[
        bool, typer.Option("--pretty", envvar="WA_HOOKS_PRETTY", help="Print indented instead of one a line.")
    ] = False,
    json: Annotated[
        bool, typer.Option("--json", envvar="WA_HOOKS_JSON", help="With --to: a summary as JSON on stdout.")
    ] = False,
) -> int:
    """Make synthetic deliveries, and print or send them.

    Valid payloads of every known event type and its variants (message.text:referral), and scenarios: sequences with
    real timing. Printed, they are JSON lines: wa-hooks trigger campaign | wa-hooks replay -

    Exits 3 if a receiver did not answer 200.
    """
    from wa_webhooks import synthetic
    from wa_webhooks.errors import ConfigError

    if show_list:
        return _list(what)
    if what is None:
        raise ConfigError("nothing to trigger is named", hint="`wa-hooks trigger --list` has what there is.")
    pace = _pace(speed or ("original" if to else "max"))
    ours = {"account": account, "number_id": number_id}
    business = synthetic.Business(**{key: value for key, value in ours.items() if value})
    moment = options.point_in_time(at)
    asked = synthetic.Asked(
        what=what,
        now=int(datetime.now(UTC).timestamp()),
        at=int(moment.timestamp()) if moment else None,
        leads=[synthetic.read_lead(lead, name) for lead in leads or ()],
        name=name,
        count=count,
        edits=[synthetic.read_edit(text) for text in sets or ()],
        pace=pace,
    )
    made = synthetic.sequence(synthetic.Maker(random.SystemRandom(), business), asked)
    if leads and not made.names_lead:
        typer.echo(f"note: Meta names nobody in {what}, or not by such an id; --lead is not in it", err=True)
    # Told to end, it ends as with Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if to:
        return _send(made, asked, to, json=json)
    for step in synthetic.paced(made.steps, pace, sleep):
        if pretty:
            render.payload(step.payload, unmask=True)
        else:
            typer.echo(synthetic.body_of(step.payload))
        sys.stdout.flush()
    return 0


def _pace(speed: str) -> float:
    """Return how many real seconds one of a scenario takes."""
    from wa_webhooks.errors import ConfigError

    if speed in ("original", "max"):
        return float(speed == "original")
    with contextlib.suppress(ValueError, ZeroDivisionError):
        pace = 1 / float(speed)
        if 0 < pace <= _SLOWEST:
            return pace
    raise ConfigError(f"{speed!r} is no speed", hint="It is original, max, or a factor like 10.")


def _list(part: str | None) -> int:
    from wa_webhooks.errors import NothingMatchesError
    from wa_webhooks.synthetic import SCENARIOS, TEMPLATES

    scenarios = {name: f"{each.about} (--count: {each.counted}, {each.count})" for name, each in SCENARIOS.items()}
    types = {name: each.about for name, each in TEMPLATES.items()}
    types["unreadable"] = "a body without events, of an app that leaves the values out"
    shown = {"scenarios": scenarios, "event types": types}
    found = {
        title: {name: about for name, about in known.items() if (part or "").lower() in name}
        for title, known in shown.items()
    }
    if not any(found.values()):
        raise NothingMatchesError(f"no event type and no scenario has {part!r} in its name")
    for title, pairs in found.items():
        if pairs:
            render.facts(title, pairs)
    return 0


def _send(made: Sequenced, asked: Asked, url: str, *, json: bool) -> int:
    from wa_webhooks import sending, settings, synthetic

    secret = settings.app_secrets()[0]
    steps = made.steps
    lines = 1 < len(steps) <= _MOST_LINES
    if lines and (seconds := round(made.length * asked.pace)):
        due = f"{render.count(len(steps), 'delivery')} in {render.count(seconds, 'second')}"
        typer.echo(f"{asked.what}: {due}; --speed max does not wait", err=True)
    with render.Progress("sending", total=len(steps)) if not lines else contextlib.nullcontext() as bar:
        telling = _Telling(steps, bar)
        try:
            captures = _captures(synthetic.paced(steps, asked.pace, sleep))
            sent = sending.send(captures, url, secret, progress=telling)
        except KeyboardInterrupt:
            typer.echo(f"interrupted: {telling.deliveries} of {len(steps)} were sent", err=True)
            raise
    render.answers(sent, listed=not lines)
    figures = {"deliveries": sent.deliveries, "failed": sent.failed, "statuses": dict(sent.statuses), "to": url}
    told = f"{render.count(sent.deliveries, 'delivery')} sent to {url}"
    render.summary(told, figures, json=json, err=not json)
    return 3 if sent.failed else 0


def _captures(steps: Iterator[Step]) -> Iterator[Capture]:
    from wa_webhooks.captures import Capture
    from wa_webhooks.synthetic import body_of

    for step in steps:
        yield Capture(step.about, body_of(step.payload))


class _Telling:
    """Says how each delivery was answered, as soon as it was: on a bar if there is one, else on a line."""

    def __init__(self, steps: Sequence[Step], bar: render.Progress | None) -> None:
        self._steps, self._bar = steps, bar
        self.deliveries = self._failures = 0

    def __call__(self, sent: Sent) -> None:
        """Say it of the last one."""
        step, failures = self._steps[sent.deliveries - 1], sent.failures[self._failures :]
        self.deliveries, self._failures = sent.deliveries, len(sent.failures)
        if self._bar:
            self._bar.update(sent.deliveries)
            return
        answer = failures[0].removeprefix(f"{step.about}: ") if failures else "answered 200"
        minutes, seconds = divmod(int(step.after), 60)
        when = f"{minutes}:{seconds:02}  " if self._steps[-1].after else ""
        typer.echo(f"  {when}{step.about:<28}  {answer}", err=True)
