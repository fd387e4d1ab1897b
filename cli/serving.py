"""`serve` and `work`."""

from __future__ import annotations

import os
import re
import signal
import threading
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from . import options
from .options import (
    AccountsOption,
    AttemptsOption,
    HandlersOption,
    NumbersOption,
    RetryBaseOption,
    StoreOption,
)

if TYPE_CHECKING:
    import logging

    from wa_webhooks.pipeline import Pipeline

_FRONT_PATIENCE = 5.0
"""Seconds to wait for the write lock before a delivery is answered 503."""

LogLevelOption = Annotated[
    str,
    typer.Option("--log-level", envvar="WA_HOOKS_LOG_LEVEL", help="debug, info, warning or error."),
]


def register(app: typer.Typer) -> None:
    """Add the commands to the app."""
    app.command()(serve)
    app.command()(work)


def serve(
    store: StoreOption = options.DEFAULT_STORE_URL,
    host: Annotated[str, typer.Option("--host", envvar="WA_HOOKS_HOST", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", envvar="WA_HOOKS_PORT", min=0, max=65535, help="0: any free.")
    ] = 8080,
    path: Annotated[
        str, typer.Option("--path", envvar="WA_HOOKS_PATH", help="Path of the callback URL.")
    ] = "/webhook",
    processes: Annotated[
        int, typer.Option("--processes", envvar="WA_HOOKS_PROCESSES", min=1, max=64, help="Receivers on the port.")
    ] = 1,
    workers: Annotated[
        int,
        typer.Option("--workers", envvar="WA_HOOKS_WORKERS", min=0, help="0: receive only; run `work` elsewhere."),
    ] = 1,
    max_connections: Annotated[
        int,
        typer.Option(
            "--max-connections",
            envvar="WA_HOOKS_MAX_CONNECTIONS",
            min=1,
            help="Per receiver. Beyond, the one that was of least use lately is closed.",
        ),
    ] = 4000,
    max_per_address: Annotated[
        int,
        typer.Option(
            "--max-connections-per-address",
            envvar="WA_HOOKS_MAX_CONNECTIONS_PER_ADDRESS",
            min=1,
            help="Likewise, of one address.",
        ),
    ] = 1000,
    max_body: Annotated[
        int, typer.Option("--max-body", envvar="WA_HOOKS_MAX_BODY", min=1, help="Largest body, in bytes.")
    ] = 4_000_000,
    handlers: HandlersOption = None,
    allow_accounts: AccountsOption = None,
    allow_numbers: NumbersOption = None,
    max_attempts: AttemptsOption = options.DEFAULT_ATTEMPTS,
    retry_base: RetryBaseOption = options.DEFAULT_RETRY_BASE,
    log_level: LogLevelOption = "info",
) -> int:
    """Receive webhooks, record them, and process them.

    Needs WHATSAPP_APP_SECRET; WHATSAPP_VERIFY_TOKEN to answer Meta's verification of the callback URL.
    GET /healthz says that it is alive, GET /readyz that it can record. SIGTERM drains and exits 0.
    """
    from wa_webhooks import serving, settings
    from wa_webhooks.errors import ConfigError
    from wa_webhooks.receiver.server import Settings
    from wa_webhooks.stores import open_store

    if not re.fullmatch(r"/[!-~]*", path) or set(path) & set("?#") or path in ("/healthz", "/readyz"):
        raise ConfigError(f"{path!r} is no path for the callback URL", hint="Write it like /webhook.")

    def configure() -> Settings:
        return Settings(
            app_secrets=settings.app_secrets(),
            verify_token=settings.verify_token(),
            path=path,
            largest_body=max_body,
            most_connections=max_connections,
            most_per_address=max_per_address,
        )

    def open_pipeline() -> Pipeline:
        return options.pipeline(
            store,
            handlers=handlers,
            accounts=allow_accounts,
            numbers=allow_numbers,
            attempts=max_attempts,
            base=retry_base,
        )

    logger = _logs(log_level)

    def listening(at: str, on: int) -> None:
        _say_listening(at, on, path, store)
        if settings.verify_token() is None:
            logger.warning("no verify token is set: Meta's check of the callback URL will be refused")

    served = serving.Serving(
        configure=configure,
        open_front=partial(open_store, store, front=True, busy_timeout=_FRONT_PATIENCE),
        open_pipeline=open_pipeline,
        processes=processes,
        workers=workers,
    )
    by = serving.serve(served, host=host, port=port, listening=listening)
    logger.info("stopped")
    return 130 if by == signal.SIGINT else 0


def _check_run(pipeline: Pipeline, run: str, handlers: str | None) -> None:
    """Refuse to finish a run that there is not, or without the handlers that it had."""
    from wa_webhooks.errors import HandlersMissingError, NothingMatchesError

    found = pipeline.store.get("run", run)
    if found is None:
        raise NothingMatchesError(f"there is no run {run}")
    had = found["scope"].get("handlers")
    if had and had != handlers:
        raise HandlersMissingError(f"the run had handlers of its own: {had}", hint=f"Add --handlers {had}.")


def _logs(level: str) -> logging.Logger:
    import logging

    from . import logs

    logs.configure(level)
    return logging.getLogger(__name__)


def _say_listening(host: object, port: object, path: str, store: str) -> None:
    from . import logs

    shown = f"[{host}]" if ":" in str(host) else host
    logs.say(
        f"listening on http://{shown}:{port}{path}, recording into {store}",
        {"event": "listening", "host": host, "port": port, "path": path, "store": store, "pid": os.getpid()},
    )


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
    from wa_webhooks import worker

    logger = _logs(log_level)
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
        logger.info("working", extra={"store": store, "handlers": handlers or "built in"})
        worker.work(pipeline, stop, poll=poll)
        logger.info("stopped")
    finally:
        pipeline.store.close()
    return 130 if signal.SIGINT in caught else 0
