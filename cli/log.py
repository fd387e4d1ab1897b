"""`tail-log` and `show`: what the store knows."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from wa_webhooks.errors import NothingMatchesError
from wa_webhooks.masking import mask

from . import options, rejections, render, waiting
from .options import (
    ErrorOption,
    JsonOption,
    LeadOption,
    MaskOption,
    RunOption,
    SinceOption,
    StoreOption,
    TypesOption,
    UnmaskOption,
    UntilOption,
)

if TYPE_CHECKING:
    from wa_webhooks.stores.base import Query, Store

_PAGE = 500


def register(app: typer.Typer) -> None:
    """Add the commands to the app."""
    app.command("tail-log")(tail_log)
    app.command()(show)


def tail_log(
    lines: Annotated[
        int | None,
        typer.Option(
            "--lines",
            "-n",
            envvar="WA_HOOKS_LINES",
            min=0,
            help="How many of the last events; 20, or with --since all.",
        ),
    ] = None,
    follow: Annotated[
        bool,
        typer.Option("--follow", "-f", envvar="WA_HOOKS_FOLLOW", help="Then show what comes, until Ctrl-C."),
    ] = False,
    types: TypesOption = None,
    state: Annotated[
        list[str] | None,
        typer.Option("--state", metavar="STATE", help="pending, processed, failed, dead or refused."),
    ] = None,
    since: SinceOption = None,
    until: UntilOption = None,
    lead: LeadOption = None,
    error: ErrorOption = None,
    run: RunOption = None,
    rejected: Annotated[
        bool,
        typer.Option("--rejected", envvar="WA_HOOKS_REJECTED", help="The requests that were refused, instead."),
    ] = False,
    store: StoreOption = options.DEFAULT_STORE_URL,
    poll: Annotated[
        float,
        typer.Option("--poll", envvar="WA_HOOKS_POLL", min=0.01, metavar="SECONDS", help="-f: look again after."),
    ] = 0.5,
    json: JsonOption = False,
    mask: MaskOption = False,
    unmask: UnmaskOption = False,
) -> int:
    """Show the event log, and follow it.

    The last --lines, or all --since a time. When following, an event comes again each time it was attempted: failed,
    then processed. Exits 4 if nothing matches the filters.

    --rejected shows the requests that were refused, and why; the newest 10,000 are kept.
    """
    if rejected:
        chosen = {"--type": types, "--state": state, "--lead": lead, "--error": error, "--run": run}
        rejections.check_alone(chosen)
    opened = waiting.until_there(store, poll) if follow else waiting.open_store(store)
    shown = 0
    try:
        if rejected:
            span = (options.point_in_time(since), options.point_in_time(until))
            return rejections.tail(opened, *span, lines=lines, follow=poll if follow else None, json=json)
        query = options.query(
            opened, types=types, since=since, until=until, lead=lead, error=error, run=run, states=_states(state)
        )
        cursor = 0
        # Newest first with a limit, or everything since a time in pages: both end at the present.
        for event in _history(
            opened, query, lines=options.LINES if lines is None else lines, all_of_it=bool(since) and lines is None
        ):
            _show_line(event, json=json, masked=mask, unmask=unmask)
            cursor = max(cursor, event["attempt_id"] or 0)
            shown += 1
        if follow:
            for event in _follow(opened, query, cursor=cursor, poll=poll):
                _show_line(event, json=json, masked=mask, unmask=unmask)
    finally:
        opened.close()
    if not shown and not query.is_everything and lines != 0:
        raise NothingMatchesError("no event matches")
    return 0


def _states(names: list[str] | None) -> tuple[str, ...]:
    from wa_webhooks.errors import ConfigError
    from wa_webhooks.stores.base import STATES

    if unknown := set(names or ()) - set(STATES):
        raise ConfigError(f"{unknown.pop()!r} is no state", hint=f"States are {', '.join(STATES)}.")
    return tuple(names or ())


def _show_line(event: dict[str, Any], *, json: bool, masked: bool, unmask: bool) -> None:
    if json:
        event = {name: value for name, value in event.items() if name != "attempt_id"}
        # Said in the line itself, so that replay does not take pseudonyms for people.
        render.line({**mask(event), "masked": True} if masked else event)
    else:
        render.log_line(event, unmask=unmask)


def _history(store: Store, query: Query, *, lines: int, all_of_it: bool) -> Any:
    if not all_of_it:
        yield from store.find(query, limit=lines, newest=True)
        return
    from dataclasses import replace

    after = -1
    while True:
        page = store.find(replace(query, after_id=after), limit=_PAGE)
        yield from page
        if len(page) < _PAGE:
            return
        after = page[-1]["id"]


def _follow(store: Store, query: Query, *, cursor: int, poll: float) -> Any:
    """Yield the events attempted after `cursor`, for ever; a store that is busy is asked again."""
    from dataclasses import replace

    cursor = cursor or _newest_attempt(store)
    while True:
        newest = waiting.until_free(partial(_newest_attempt, store), poll)
        after = replace(query, after_attempt=cursor)
        page = waiting.until_free(partial(store.find, after, limit=_PAGE), poll)
        for event in page:
            yield event
            cursor = event["attempt_id"]
        if len(page) < _PAGE:
            cursor = max(cursor, newest)  # past what the filters leave out, which need not be looked at again
            time.sleep(poll)


def _newest_attempt(store: Store) -> int:
    from wa_webhooks.stores.base import Query

    newest = store.find(Query(after_attempt=-1), limit=1, newest=True)
    return newest[0]["attempt_id"] if newest else 0


def show(
    ident: Annotated[
        str,
        typer.Argument(
            metavar="ID",
            help="An event (12, or its key), delivery:7, lead:3, a phone number or BSUID, a wamid, a call, a run.",
        ),
    ],
    store: StoreOption = options.DEFAULT_STORE_URL,
    json: JsonOption = False,
    mask: MaskOption = False,
    unmask: UnmaskOption = False,
) -> int:
    """Show one event, delivery, message, call, lead or run.

    With what belongs to it: an event with its attempts and payload, a lead with its timeline. A phone number or id
    that is no lead shows the events that mention it.
    """
    from . import showing

    opened = waiting.open_store(store)
    try:
        kind, record = showing.look_up(opened, ident)
    finally:
        opened.close()
    if record is None:
        raise NothingMatchesError(f"nothing has the id {ident}")
    if json:
        for shown in showing.as_lines(kind, record):
            render.line(_masked(shown) if mask else shown)
    else:
        showing.SHOWERS[kind](record, unmask=unmask)
    return 0


def _masked(record: dict[str, Any]) -> dict[str, Any]:
    return {**mask(record), "masked": True}
