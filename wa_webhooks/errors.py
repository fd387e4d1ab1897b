"""Every error that wa-hooks raises on purpose, in one tree.

This module is the bottom of the import graph: it imports nothing of ours. A class carries the decisions that
its catchers would otherwise make again: the HTTP status it answers with, the exit code of a command it ends,
and whether trying again can help. The first line of its docstring is its default message. Nobody branches on text.
"""

from __future__ import annotations

from typing import ClassVar


class WaHooksError(Exception):
    """Something in wa-hooks went wrong."""

    http_status: ClassVar[int] = 500
    exit_code: ClassVar[int] = 1
    transient: ClassVar[bool] = False

    def __init__(self, message: str | None = None, *, hint: str | None = None) -> None:
        """Keep `message` (default: the docstring's first line) and `hint`, the remedy in a sentence."""
        super().__init__(message or (type(self).__doc__ or "").partition("\n")[0])
        self.hint = hint


class ConfigError(WaHooksError):
    """A setting is missing, unreadable or contradicts another."""

    exit_code = 2


class WhoisError(WaHooksError):
    """The registry of routes gave no answer that can be used."""

    exit_code = 3
    transient = True


class SignatureError(WaHooksError):
    """The request is not signed with a known app secret."""

    http_status = 401
    exit_code = 3


class SignatureMissingError(SignatureError):
    """The request carries no X-Hub-Signature-256 header of the form sha256=<64 hex digits>."""


class SignatureMismatchError(SignatureError):
    """The signature does not match the body under any configured app secret."""


class HandshakeRefusedError(WaHooksError):
    """The verification request does not carry the configured verify token."""

    http_status = 403
    exit_code = 3


class PayloadError(WaHooksError):
    """The payload is signed but cannot be read as a WhatsApp webhook."""

    # 200: it is recorded, and sending it again would not make it readable.
    http_status = 200
    exit_code = 3


class NothingMatchesError(WaHooksError):
    """Nothing matches."""

    http_status = 404
    exit_code = 4


class StoreError(WaHooksError):
    """The store refused the operation."""

    http_status = 503
    exit_code = 5


class StoreUnavailableError(StoreError):
    """The store cannot be reached or is busy.

    `retry_after` is when it wants to be asked again, in seconds; None where it did not say.
    """

    transient = True

    def __init__(
        self, message: str | None = None, *, hint: str | None = None, retry_after: float | None = None
    ) -> None:
        """Keep `retry_after`."""
        super().__init__(message, hint=hint)
        self.retry_after = retry_after


class StoreRejectedError(StoreError):
    """The store understood the operation and refused it."""


class SchemaMismatchError(StoreError):
    """The store's schema is not the one this version needs."""


class RetryLaterError(WaHooksError):
    """The handler asks for another attempt later.

    Raised by handlers. `delay` is in seconds and replaces the schedule's own; the limit of attempts still holds.
    """

    exit_code = 3
    transient = True

    def __init__(self, message: str | None = None, *, delay: float | None = None) -> None:
        """Keep `delay`, in seconds; None leaves it to the schedule."""
        super().__init__(message)
        self.delay = delay


class HandlersMissingError(WaHooksError):
    """The handlers that an event had are not loaded here."""

    exit_code = 2


class GiveUpError(WaHooksError):
    """The handler says that no further attempt can help."""

    exit_code = 3


def describe(exc: BaseException) -> str:
    """Return an error in a line: ours say it all, another's needs its class and the handler it came from."""
    if isinstance(exc, WaHooksError):
        return str(exc)
    notes = "".join(f" ({note})" for note in getattr(exc, "__notes__", ()))
    return f"{type(exc).__name__}: {exc}{notes}"
