"""`work`: workers without a receiver."""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING, Annotated

import typer

from . import options
from .options import (
    AccountsOption,
    AttemptsOption,
    HandlersOption,
    LogLevelOption,
    NumbersOption,
    RetryBaseOption,
    StoreOption,
)

if TYPE_CHECKING:
    from wa_webhooks.pipeline import Pipeline


def register(app: typer.Typer) -> None:
    """Add the command to the app."""
    app.command()(work)


def work(
    store: StoreOption = options.DEFAULT_STORE_URL,
    drain: Annotated[
        bool, typer.Option("--drain", envvar="WA_HOOKS_DRAIN", help="Exit when nothing is due any more.")
    ] = False,
    run: Annotated[
        str | None, typer.Option("--run", metavar="RUN", help="Only what an interrupted run left; then exit.")
    ] = None,
    poll: Annotated[
        float,
        typer.Option("--poll", envvar="WA_HOOKS_POLL", min=0.01, metavar="SECONDS", help="Look again after."),
    ] = 0.5,
    handlers: HandlersOption = None,
    allow_accounts: AccountsOption = None,
    allow_numbers: NumbersOption = None,
    max_attempts: AttemptsOption = options.DEFAULT_ATTEMPTS,
    retry_base: RetryBaseOption = options.DEFAULT_RETRY_BASE,
    log_level: LogLevelOption = "info",
) -> int:
    """Process what is recorded, without receiving.

    Also what is due again. Run as many as you like, on one store.

    With --drain it exits 3 if events failed.
    """
    import logging

    from wa_webhooks import stores, worker

    from . import logs

    logs.configure(log_level)

    logger = logging.getLogger(__name__)
    pipeline = options.pipeline(
        store,
        handlers=handlers,
        accounts=allow_accounts,
        numbers=allow_numbers,
        attempts=max_attempts,
        base=retry_base,
    )
    try:
        if run:
            _check_run(pipeline, run, handlers)
        if drain or run:
            tally = pipeline.drain(run_id=run)
            typer.echo(f"processed {tally.processed}, failed {tally.failed}, dead {tally.dead}", err=True)
            return 3 if tally.failed or tally.dead else 0
        stop = threading.Event()
        caught: list[int] = []

        def on_signal(number: int, _frame: object) -> None:
            caught.append(number)
            stop.set()

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, on_signal)
        logger.info("working", extra={"store": stores.shown(store), "handlers": handlers or "built in"})
        worker.work(pipeline, stop, poll=poll)
        logger.info("stopped")
    finally:
        pipeline.store.close()
    return 130 if signal.SIGINT in caught else 0


def _check_run(pipeline: Pipeline, run: str, handlers: str | None) -> None:
    """Refuse to finish a run that there is not, or without the handlers that it had."""
    from wa_webhooks.errors import HandlersMissingError, NothingMatchesError

    found = pipeline.store.get("run", run)
    if found is None:
        raise NothingMatchesError(f"there is no run {run}")
    had = found["scope"].get("handlers")
    if had and had != handlers:
        raise HandlersMissingError(f"the run had handlers of its own: {had}", hint=f"Add --handlers {had}.")
