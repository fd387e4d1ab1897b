"""Supabase: the functions called through its Data API, by supabase-py over an HTTP client of our own.

Of our own for three reasons. supabase-py's loses requests whenever the other side ends an HTTP/2 connection; it keeps
to no timeout of ours; and its errors have no status. So the answer is looked at where it comes in.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from .. import settings
from ..errors import ConfigError, SchemaMismatchError, StoreError, StoreRejectedError, StoreUnavailableError
from .rpc import RpcStore
from .rpc.refusals import HOW_TO_APPLY, by_sqlstate

if TYPE_CHECKING:
    import ssl

    import httpx

NAME = "supabase"

_LONGEST_ANSWER, _LONGEST_OF_FRONT = 20.0, 10.0
"""Seconds without a byte of an answer. The database gives up a statement after 8."""

_KEPT_ALIVE = 20.0
"""Seconds that an idle connection is kept; servers close them after 30 and more."""

_PASSING = frozenset({402, 408, 425, 429})
"""What passes besides 5xx: a project over its quota, slow, early or too many requests."""

_SQLSTATE_LENGTH = 5
_UNREADY = ("PGRST000", "PGRST001", "PGRST002", "PGRST003")
_LACKING = ("PGRST106", "PGRST202", "PGRST203", "PGRST204", "PGRST205")
_WRONG_KEY = "Check SUPABASE_SECRET_KEY, and that it is a key of the project that SUPABASE_URL names."
_WRONG_URL = "Check SUPABASE_URL: https://<ref>.supabase.co, and nothing after it."


class SupabaseTransport:
    """Connections to one project, kept open."""

    name = NAME

    def __init__(self, url: str, key: str, *, busy_timeout: float = 2.0, front: bool = False) -> None:
        """Nothing is connected to yet. `busy_timeout`, in seconds, is how long to wait for a connection."""
        import httpx  # noqa: PLC0415 - only who has this store needs it, and it takes its time
        import supabase  # noqa: PLC0415 - likewise

        patience = max(2.0, busy_timeout)
        self._http = httpx.Client(
            verify=_trusted(),
            http2=False,
            follow_redirects=False,  # one would make a GET of a POST
            timeout=httpx.Timeout(_LONGEST_OF_FRONT if front else _LONGEST_ANSWER, connect=patience, pool=patience),
            limits=httpx.Limits(max_connections=8, keepalive_expiry=_KEPT_ALIVE),
            event_hooks={"response": [_look_at]},
        )
        options = supabase.ClientOptions(httpx_client=self._http, auto_refresh_token=False, persist_session=False)
        try:
            self._client = supabase.create_client(url.rstrip("/"), key, options)
        except supabase.SupabaseException as exc:
            self._http.close()
            raise ConfigError(f"the Supabase client does not take it: {exc}", hint=_WRONG_URL) from exc

    def call(self, function: str, args: Mapping[str, Any]) -> Any:
        """Call a function; see `Transport.call`."""
        import httpx  # noqa: PLC0415 - as above
        from supabase import PostgrestAPIError  # noqa: PLC0415 - as above

        if self._http.is_closed:
            raise StoreError(f"the {NAME} store is closed")
        try:
            return self._client.rpc(function, {"args": args}).execute().data
        except httpx.InvalidURL as exc:
            raise StoreRejectedError(f"the {NAME} store has no such address: {exc}", hint=_WRONG_URL) from exc
        except httpx.HTTPError as exc:
            raise StoreUnavailableError(
                f"the {NAME} store cannot be reached: {type(exc).__name__}: {exc}",
                hint="Check the network, SUPABASE_URL, and whether the project is paused.",
            ) from exc
        except PostgrestAPIError as exc:
            raise StoreUnavailableError(f"the {NAME} store gave an answer that is none: {exc}") from exc
        except ValueError as exc:  # before it was sent: no JSON, or no UTF-8
            raise StoreRejectedError(f"the {NAME} store takes JSON: {exc}") from exc

    def close(self) -> None:
        """Let go of the connections."""
        self._http.close()


def open_supabase(*, busy_timeout: float = 2.0, front: bool = False, env: Mapping[str, str] = os.environ) -> RpcStore:
    """Open the store in the project that `env` names. It must have the schema: nothing here can make it.

    Raises:
        ConfigError: the project or its key is not set, or supabase-py is not installed.
        StoreError: it cannot be reached, or lacks a migration.
    """
    url, key = settings.supabase_project(env)
    try:
        transport = SupabaseTransport(url, key, busy_timeout=busy_timeout, front=front)
    except ImportError as exc:
        raise ConfigError(
            "the store needs supabase-py, which is not installed", hint="pip install 'wa-hooks[supabase]'"
        ) from exc
    store = RpcStore(transport, front=front)
    try:
        store.migrate()
    except BaseException:
        store.close()
        raise
    return store


@cache
def _trusted() -> ssl.SSLContext:
    """Whom to trust: read once, it takes longer than a call."""
    import httpx  # noqa: PLC0415 - as above

    return httpx.create_ssl_context()


def _look_at(response: httpx.Response) -> None:
    """Raise our error for every answer that is not what a function returns."""
    if response.is_success and response.headers.get("content-type", "").startswith("application/json"):
        return
    response.read()
    error = refusal(response.status_code, response.content)
    if isinstance(error, StoreUnavailableError):
        error.retry_after = _seconds(response.headers.get("retry-after"))
    raise error


def refusal(status: int, body: bytes) -> StoreError:
    """Return the error for an answer: by the code in it if it has one, else by its status."""
    told = _json(body)
    code, said = str(told.get("code") or ""), str(told.get("message") or "no reason given")
    if code.startswith(_UNREADY) or told.get("code") == "":  # it has lost the database in the middle
        return StoreUnavailableError(f"the {NAME} store cannot do it now ({code}): {said}")
    if code.startswith(_LACKING):
        return SchemaMismatchError(f"the {NAME} store lacks something ({code}): {said}", hint=HOW_TO_APPLY)
    if len(code) == _SQLSTATE_LENGTH:
        return by_sqlstate(NAME, code, said)
    if code.startswith("PGRST3") or status in {401, 403}:
        return StoreRejectedError(f"the {NAME} store does not take the key ({status}): {said}", hint=_WRONG_KEY)
    return _by_status(status, said)


def _by_status(status: int, said: str) -> StoreError:
    if status in _PASSING or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return StoreUnavailableError(f"the {NAME} store cannot do it now ({status})")
    if status < HTTPStatus.BAD_REQUEST:
        return StoreUnavailableError(
            f"something else answers in place of the {NAME} store ({status})",
            hint="A proxy or a portal of the network, or a project that is paused.",
        )
    hint = _WRONG_URL if status == HTTPStatus.NOT_FOUND else None
    return StoreRejectedError(f"the {NAME} store refused it ({status}): {said}", hint=hint)


def _json(body: bytes) -> dict[str, Any]:
    with contextlib.suppress(ValueError, RecursionError):
        found = json.loads(body)
        if isinstance(found, dict):
            return found
    return {}


def _seconds(value: str | None) -> float | None:
    """What a Retry-After header asks for: seconds, or a time."""
    if value is None:
        return None
    if value.strip().isdecimal():
        return float(value)
    with contextlib.suppress(ValueError):
        at = parsedate_to_datetime(value)
        return max(0.0, (at - datetime.now(UTC)).total_seconds()) if at.tzinfo else None
    return None
