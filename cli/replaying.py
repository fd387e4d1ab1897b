"""`replay` and `reprocess`."""

from __future__ import annotations

import contextlib
import getpass
import signal
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import options, render
from .options import (
    AccountsOption,
    AttemptsOption,
    ErrorOption,
    HandlersOption,
    IgnoreHandlersOption,
    JsonOption,
    LeadOption,
    NumbersOption,
    RetryBaseOption,
    RunOption,
    SinceOption,
    StoreOption,
    TypesOption,
    UntilOption,
    YesOption,
)

if TYPE_CHECKING:
    from wa_webhooks.captures import Captures
    from wa_webhooks.pipeline import Pipeline
    from wa_webhooks.stores.base import Query, Run


def register(app: typer.Typer) -> None:
    """Add the commands to the app."""
    app.command()(replay)
    app.command()(reprocess)


def replay(
    paths: Annotated[
        list[str], typer.Argument(metavar="PATH...", help="Files, folders, globs; - for standard input.")
    ],
    to: Annotated[
        str | None,
        typer.Option(
            "--to", envvar="WA_HOOKS_TO", metavar="URL", help="Send them there, signed with the app secret."
        ),
    ] = None,
    store: StoreOption = options.DEFAULT_STORE_URL,
    handlers: HandlersOption = None,
    allow_accounts: AccountsOption = None,
    allow_numbers: NumbersOption = None,
    max_attempts: AttemptsOption = options.DEFAULT_ATTEMPTS,
    retry_base: RetryBaseOption = options.DEFAULT_RETRY_BASE,
    json: JsonOption = False,
) -> int:
    """Replay captured deliveries here, or to a URL.

    JSON lines (*.jsonl, or several lines on standard input) are one delivery a line; so are lines of tail-log --json.
    What the log has already is not applied again. Exits 3 if an event failed or a receiver did not answer 200.
    With --to, the options about the store and handlers mean nothing: the receiver has its own.
    """
    from wa_webhooks import captures
    from wa_webhooks import pipeline as pipelines

    found = captures.gather(paths, sys.stdin.buffer)
    for skipped in found.skipped:
        typer.echo(f"unread: {skipped}", err=True)
    if to:
        return _send(found, to, json=json)
    pipeline = options.pipeline(
        store,
        handlers=handlers,
        accounts=allow_accounts,
        numbers=allow_numbers,
        attempts=max_attempts,
        base=retry_base,
    )
    run = start("replay", {"paths": ", ".join(paths)}, handlers)
    with (
        contextlib.closing(pipeline.store),
        _running(pipeline, run),
        render.Progress("replaying", total=_known_total(found)) as progress,
    ):
        bodies = (capture.body for capture in found)
        counts = pipelines.replay(pipeline, bodies, run, progress=lambda t: progress.update(t.deliveries))
    told = f"{render.count(counts['deliveries'], 'delivery')}, {render.count(counts['events'], 'event')}"
    return _end(told, counts, run, unread=len(found.skipped), json=json)


def _send(found: Captures, url: str, *, json: bool) -> int:
    from wa_webhooks import settings
    from wa_webhooks.sending import send

    secret = settings.app_secrets()[0]
    with render.Progress("sending", total=_known_total(found)) as progress:
        sent = send(found, url, secret, progress=lambda s: progress.update(s.deliveries))
    render.answers(sent)
    summary: dict[str, Any] = dict.fromkeys(("deliveries", "events", "new", "duplicates", "processed"))
    summary |= {"deliveries": sent.deliveries, "failed": sent.failed, "skipped": len(found.skipped)}
    told = f"{render.count(sent.deliveries, 'delivery')} sent to {url}"
    render.summary(told, {**summary, "statuses": dict(sent.statuses), "to": url}, json=json)
    return 3 if sent.failed else 0


def _known_total(found: Captures) -> int | None:
    """How many deliveries there will be, if every file is one."""
    many = found.stdin or any(file.suffix in (".jsonl", ".ndjson") for file in found.files)
    return None if many else len(found.files)


def reprocess(
    failed: Annotated[bool, typer.Option("--failed", help="Events that failed, dead ones included.")] = False,
    dead: Annotated[bool, typer.Option("--dead", help="Events that were given up.")] = False,
    refused: Annotated[bool, typer.Option("--refused", help="Events refused by an allow-list.")] = False,
    ids: Annotated[list[int] | None, typer.Option("--id", metavar="ID", help="Events by id.")] = None,
    types: TypesOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    lead: LeadOption = None,
    error: ErrorOption = None,
    run: RunOption = None,
    everything: Annotated[bool, typer.Option("--all", help="The whole log.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count, and stop there.")] = False,
    yes: YesOption = False,
    ignore_handlers: IgnoreHandlersOption = False,
    store: StoreOption = options.DEFAULT_STORE_URL,
    handlers: HandlersOption = None,
    allow_accounts: AccountsOption = None,
    allow_numbers: NumbersOption = None,
    max_attempts: AttemptsOption = options.DEFAULT_ATTEMPTS,
    retry_base: RetryBaseOption = options.DEFAULT_RETRY_BASE,
    json: JsonOption = False,
) -> int:
    """Run events of the log through again.

    Say which: --failed, --dead, --refused, --id, --type, --since, --until, --lead, --error, --run (all that are
    given must hold), or --all. Applying an event twice changes nothing. Exits 3 if an event failed again, 4 if none
    matches.
    """
    from wa_webhooks.errors import ConfigError, NothingMatchesError

    pipeline = options.pipeline(
        store,
        handlers=handlers,
        accounts=allow_accounts,
        numbers=allow_numbers,
        attempts=max_attempts,
        base=retry_base,
        create=False,
    )
    states = [*(["failed", "dead"] if failed else ["dead"] if dead else []), *(["refused"] if refused else [])]
    with contextlib.closing(pipeline.store):
        query = options.query(
            pipeline.store,
            types=types,
            since=since,
            until=until,
            lead=lead,
            error=error,
            run=run,
            ids=tuple(ids or ()),
            states=tuple(states),
        )
        if query.is_everything != everything:
            raise ConfigError(
                "--all does not go with other conditions" if everything else "no scope is given",
                hint="Say which events: --failed, --dead, --id, --type, --since, --lead, --error, --run, or --all.",
            )
        plan = pipeline.store.preview(query)
        if not plan["events"]:
            raise NothingMatchesError("no event matches")
        if dry_run:
            render.line(plan) if json else render.plan(plan, err=False)
            return 0
        render.plan(plan, err=True)
        pipeline.ignore_handlers = ignore_handlers
        if not ignore_handlers:
            check_handlers(pipeline, plan)
        if not yes:
            confirm(f"Reprocess {render.count(plan['events'], 'event')}?")
        return _reprocess(pipeline, query, plan["events"], handlers=handlers, json=json)


def _reprocess(pipeline: Pipeline, query: Query, planned: int, *, handlers: str | None, json: bool) -> int:
    from wa_webhooks import pipeline as pipelines

    found = {name: getattr(query, name) for name in query.__slots__}
    scope = {name: ", ".join(map(str, v)) if isinstance(v, tuple) else str(v) for name, v in found.items() if v}
    run = start("reprocess", scope, handlers)
    with _running(pipeline, run), render.Progress("reprocessing", total=planned) as progress:
        counts = pipelines.reprocess(pipeline, query, run, progress=lambda t: progress.update(t.events))
    left = max(0, planned - counts["events"])  # a worker had them at that moment
    return _end(render.count(counts["events"], "event"), counts, run, unread=left, json=json)


def check_handlers(pipeline: Pipeline, plan: dict[str, Any]) -> None:
    """Refuse to settle events without the user's handlers that they had: their part would silently not be done."""
    from wa_webhooks.errors import HandlersMissingError

    if missing := pipeline.registry.missing(", ".join(plan["by_handlers"])):
        raise HandlersMissingError(
            f"these events were handled by {', '.join(missing)}, not loaded here",
            hint="Name your handlers with --handlers, or say --ignore-handlers.",
        )


def confirm(question: str) -> None:
    """Ask before something is done; end the command if the answer is no."""
    check_somebody_is_there()
    if not typer.confirm(question, err=True):
        typer.echo("nothing done", err=True)
        raise typer.Abort


def check_somebody_is_there() -> None:
    """Refuse to go on to a question that nobody will answer."""
    from wa_webhooks.errors import ConfigError

    if not sys.stdin.isatty():
        raise ConfigError("nobody is there to ask", hint="Add --yes to go ahead.")


def start(command: str, scope: dict[str, str], handlers: str | None) -> Run:
    """Return the run for the ledger that a command is."""
    from wa_webhooks.pipeline import start_run

    try:
        who = getpass.getuser()
    except (OSError, KeyError, ImportError):  # a container's user may have no name
        who = "unknown"
    given = {"handlers": handlers} if handlers else {}
    return start_run(command, scope={**scope, **given}, started_by=who, now=datetime.now(UTC))


@contextlib.contextmanager
def _running(pipeline: Pipeline, run: Run) -> Iterator[None]:
    """Keep stdout for our own data, and say what an interrupted run left."""
    # Told to end, it ends as with Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with contextlib.redirect_stdout(sys.stderr):  # a handler may print
            yield
    except KeyboardInterrupt:
        counts = pipeline.store.run_counts(run.id)
        if left := counts["open"] + counts["pending"]:
            typer.echo(
                f"interrupted: {left} deliveries and events are left. Finish them with\n"
                f"  wa-hooks work --run {run.id}{_with_handlers(run)}\n"
                "or leave them to the workers, which take them up in 15 minutes.",
                err=True,
            )
        raise


def _with_handlers(run: Run) -> str:
    return f" --handlers {run.scope['handlers']}" if "handlers" in run.scope else ""


def _end(told: str, counts: dict[str, Any], run: Run, *, unread: int, json: bool) -> int:
    """Print the figures that scripts rely on; return the exit code."""
    new = counts["events"] - counts["duplicates"] if counts["deliveries"] else 0
    figures = {
        "deliveries": counts["deliveries"],
        "events": counts["events"],
        "new": new,
        "duplicates": counts["duplicates"],
        "processed": counts["processed"],
        "failed": counts["failed"] + counts["dead"],
        "skipped": unread + counts["refused"],
        "retrying": counts["failed"],
        "dead": counts["dead"],
        "refused": counts["refused"],
        "unread": unread,
        "by_type": counts["by_type"],
        "run": run.id,
    }
    render.summary(told, figures, json=json)
    return 3 if figures["failed"] else 0
