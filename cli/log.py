"""`tail-log`, `show` and `stats`: what the store knows."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from wa_webhooks.errors import NothingMatchesError, StoreError, StoreUnavailableError
from wa_webhooks.masking import mask

from . import options, render
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
_LINES = 20


def register(app: typer.Typer) -> None:
    """Add the commands to the app."""
    app.command("tail-log")(tail_log)
    app.command()(show)
    app.command()(stats)


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
    """
    opened = _wait_for(store, poll) if follow else _open(store)
    shown = 0
    try:
        query = options.query(
            opened, types=types, since=since, until=until, lead=lead, error=error, run=run, states=_states(state)
        )
        cursor = 0
        # Newest first with a limit, or everything since a time in pages: both end at the present.
        for event in _history(
            opened, query, lines=_LINES if lines is None else lines, all_of_it=bool(since) and lines is None
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


def _open(url: str) -> Store:
    from wa_webhooks.stores import open_store

    return open_store(url, create=False)


def _wait_for(url: str, poll: float) -> Store:
    """Open a store once it is there: a look must not make one."""
    waited = False
    while True:
        try:
            return _open(url)
        except StoreError as exc:
            if not waited:
                typer.echo(f"waiting: {exc}", err=True)
            waited = True
            time.sleep(max(poll, 1.0))


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
    complained = False
    while True:
        try:
            newest = _newest_attempt(store)
            page = store.find(replace(query, after_attempt=cursor), limit=_PAGE)
        except StoreUnavailableError as exc:
            if not complained:
                typer.echo(f"waiting: {exc}", err=True)
            complained = True
            time.sleep(max(poll, 1.0))
            continue
        complained = False
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

    opened = _open(store)
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


def stats(store: StoreOption = options.DEFAULT_STORE_URL, json: JsonOption = False) -> int:
    """Count what there is, and what waits."""
    opened = _open(store)
    try:
        counts = opened.counts()
    finally:
        opened.close()
    if json:
        render.line(counts)
        return 0
    events = counts["events"]
    by_type = sorted(events.pop("by_type").items(), key=lambda pair: (-pair[1], pair[0]))
    render.facts("waiting", _waiting(counts, events) or {"nothing": "everything recorded is processed"})
    render.facts("events", events)
    tables = ("deliveries", "leads", "messages", "message_statuses", "calls", "account_events")
    render.facts("rows", {name.replace("_", " "): counts[name] for name in tables})
    render.table(("type", "events"), by_type, title="events by type")
    return 0


def _waiting(counts: dict[str, Any], events: dict[str, int]) -> dict[str, str]:
    """What is recorded and not done, in the order in which it will be."""
    oldest, next_retry = counts["oldest_waiting"], counts["next_attempt_at"]
    found = {
        "deliveries": (counts["backlog"], f"the oldest from {render.moment(oldest)}" if oldest else ""),
        "pending events": (events["pending"], "of runs that were interrupted or are under way"),
        "failed events": (events["failed"], f"the next retry at {render.moment(next_retry)}" if next_retry else ""),
        "queued actions": (counts["actions_queued"], ""),
    }
    return {name: f"{number}, {told}".rstrip(", ") for name, (number, told) in found.items() if number}
