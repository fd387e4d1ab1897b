"""Options that commands share, each defined once with its WA_HOOKS_* variable, and how their values are read."""

from __future__ import annotations

import re
from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from wa_webhooks.errors import ConfigError
from wa_webhooks.settings import DEFAULT_STORE

if TYPE_CHECKING:
    from wa_webhooks.handlers import Registry
    from wa_webhooks.origin import Origin
    from wa_webhooks.pipeline import Pipeline
    from wa_webhooks.retry import RetryPolicy
    from wa_webhooks.stores.base import Query, Store

StoreOption = Annotated[
    str,
    typer.Option(
        "--store", envvar="WA_HOOKS_STORE", help="Where the log is: sqlite:PATH or postgresql://...", metavar="URL"
    ),
]
HandlersOption = Annotated[
    str | None,
    typer.Option(
        "--handlers",
        envvar="WA_HOOKS_HANDLERS",
        metavar="MODULE:NAME",
        help="A registry of your own handlers.",
    ),
]
IgnoreHandlersOption = Annotated[
    bool,
    typer.Option(
        "--ignore-handlers",
        envvar="WA_HOOKS_IGNORE_HANDLERS",
        help="Go on though handlers that these events had are not loaded.",
    ),
]
AccountsOption = Annotated[
    str | None,
    typer.Option(
        "--allow-accounts",
        envvar="WA_HOOKS_ALLOW_ACCOUNTS",
        metavar="IDS",
        help="Account (WABA) ids whose events are applied, comma-separated. Default: all.",
    ),
]
NumbersOption = Annotated[
    str | None,
    typer.Option(
        "--allow-numbers",
        envvar="WA_HOOKS_ALLOW_NUMBERS",
        metavar="IDS",
        help="Phone number ids whose events are applied, comma-separated. Default: all.",
    ),
]
AttemptsOption = Annotated[
    int,
    typer.Option(
        "--max-attempts",
        envvar="WA_HOOKS_MAX_ATTEMPTS",
        min=1,
        help="Attempts at an event before it is dead; half as many where a handler is at fault.",
    ),
]
RetryBaseOption = Annotated[
    float,
    typer.Option(
        "--retry-base",
        envvar="WA_HOOKS_RETRY_BASE",
        min=0.001,
        metavar="SECONDS",
        help="Wait before the first retry; doubles each time. Ten times as long where a handler is at fault.",
    ),
]
LogLevelOption = Annotated[
    str,
    typer.Option("--log-level", envvar="WA_HOOKS_LOG_LEVEL", help="debug, info, warning or error."),
]
JsonOption = Annotated[bool, typer.Option("--json", envvar="WA_HOOKS_JSON", help="JSON lines on stdout, not masked.")]
MaskOption = Annotated[bool, typer.Option("--mask", envvar="WA_HOOKS_MASK", help="Mask people's data in --json.")]
UnmaskOption = Annotated[
    bool, typer.Option("--unmask", envvar="WA_HOOKS_UNMASK", help="Show people's data in what is for people.")
]
TypesOption = Annotated[
    list[str] | None, typer.Option("--type", metavar="TYPE", help="An event type, or a prefix: 'message.*'.")
]
SinceOption = Annotated[
    str | None,
    typer.Option("--since", metavar="TIME", help="Arrived since: 2h, 7d, 02:00, or 2026-11-24T08:00; UTC."),
]
UntilOption = Annotated[str | None, typer.Option("--until", metavar="TIME", help="Arrived before; as --since.")]
LeadOption = Annotated[
    str | None,
    typer.Option("--lead", metavar="LEAD", help="A lead's id, phone number or business-scoped user id."),
]
ErrorOption = Annotated[str | None, typer.Option("--error", metavar="TEXT", help="Whose error contains this text.")]
RunOption = Annotated[
    str | None, typer.Option("--run", metavar="RUN", help="That this replay or reprocess run touched.")
]
YesOption = Annotated[bool, typer.Option("--yes", "-y", envvar="WA_HOOKS_YES", help="Do not ask.")]

LINES = 20
"""How many lines of a log are shown, unless told."""

DEFAULT_ATTEMPTS = 10
DEFAULT_RETRY_BASE = 30.0
DEFAULT_STORE_URL = DEFAULT_STORE

_AGO = re.compile(r"(\d+)([smhdw])")
_CLOCK = re.compile(r"\d\d:\d\d(:\d\d)?")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
SHORTEST_PHONE = 7


def point_in_time(text: str | None) -> datetime | None:
    """Return the time that an option names: how long ago, or a date and time, UTC unless it says otherwise."""
    if text is None:
        return None
    if ago := _AGO.fullmatch(text.strip()):
        return datetime.now(UTC) - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
    now = datetime.now(UTC)
    try:
        if _CLOCK.fullmatch(text.strip()):  # the last time that it was so late
            at = datetime.combine(now.date(), time.fromisoformat(text.strip()), UTC)
            return at if at <= now else at - timedelta(days=1)
        at = datetime.fromisoformat(text.strip())
    except ValueError as exc:
        raise ConfigError(f"{text!r} is no time", hint="Write 30m, 2h, 7d, 02:00, or 2026-11-24T08:00.") from exc
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def plain_id(text: str) -> str:
    """Return an id as the log has it: a phone number in digits, however it is written."""
    digits = re.sub(r"[\s()-]", "", text).lstrip("+")
    return digits if digits.isdecimal() else text


def _about(store: Store, text: str) -> dict[str, Any]:
    """Return the condition that `text` means: a lead's id (also `lead:3`), a phone number or a BSUID.

    Somebody whose every event failed is no lead yet: then it is whatever mentions the number or the id.
    """
    named = plain_id(text.removeprefix("lead:"))
    if named.isdecimal() and len(named) < SHORTEST_PHONE:
        return {"lead": int(named)}
    found = store.get("lead", named)
    return {"lead": int(found["id"])} if found else {"mentions": named}


def query(
    store: Store,
    *,
    types: list[str] | None,
    since: str | None,
    until: str | None,
    lead: str | None,
    error: str | None,
    run: str | None,
    **more: Any,
) -> Query:
    """Return the query that the options shared by tail-log and reprocess describe."""
    from wa_webhooks.stores.base import Query

    return Query(
        types=tuple(types or ()),
        since=point_in_time(since),
        until=point_in_time(until),
        **(_about(store, lead) if lead else {}),
        error=error,
        run=run,
        **more,
    )


def registry(handlers: str | None) -> Registry:
    """Return the built-in handlers, and the user's after them."""
    from wa_webhooks.handlers import Registry, builtin, load_registry

    return Registry(builtin(), load_registry(handlers)) if handlers else builtin()


def origin(accounts: str | None, numbers: str | None) -> Origin:
    """Return the allow-lists that the options give."""
    from wa_webhooks.origin import Origin

    return Origin(accounts=_ids(accounts), phone_numbers=_ids(numbers))


def policy(attempts: int, base: float) -> RetryPolicy:
    """Return the retry policy that the options give."""
    from wa_webhooks.retry import LONGEST_RETRY, RetryPolicy

    return RetryPolicy(attempts=attempts, base=base, cap=max(LONGEST_RETRY, base))


def pipeline(
    store_url: str,
    *,
    handlers: str | None = None,
    accounts: str | None = None,
    numbers: str | None = None,
    attempts: int = DEFAULT_ATTEMPTS,
    base: float = DEFAULT_RETRY_BASE,
    create: bool = True,
) -> Pipeline:
    """Return a pipeline over a store of its own."""
    from wa_webhooks.pipeline import Pipeline
    from wa_webhooks.stores import open_store

    handlers_given, lists, schedule = registry(handlers), origin(accounts, numbers), policy(attempts, base)
    # The store last, so that a wrong option leaves none open.
    return Pipeline(
        store=open_store(store_url, create=create), registry=handlers_given, origin=lists, policy=schedule
    )


def _ids(text: str | None) -> frozenset[str]:
    return frozenset(part.strip() for part in (text or "").split(",") if part.strip())
