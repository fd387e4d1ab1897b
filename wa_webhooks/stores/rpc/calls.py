"""Calls of the functions: what carries them, what is tried again, and whether an answer is one."""

from __future__ import annotations

import itertools
import logging
import os
import socket
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from ...errors import SchemaMismatchError, StoreUnavailableError
from ..sqlfiles import migrations
from .refusals import HOW_TO_APPLY

logger = logging.getLogger(__name__)

BACKEND = "postgres"
"""The folder of the migrations."""

_PAUSES, _PAUSES_OF_FRONT = (0.05, 0.5), (0.0,)
"""Seconds before a call is tried again. Who waits in front gets a second try at once, on a new connection, and no
third: it has a client that waits."""

_LONGEST_PAUSE = 1.0
"""Seconds that the other side may ask for and get; for longer, whoever called decides."""

_opened = itertools.count(1)


class Transport(Protocol):
    """Carries calls to the functions. One for one thread."""

    name: str

    def call(self, function: str, args: Mapping[str, Any]) -> Any:
        """Call a function in a transaction of its own, and return its answer: JSON both.

        Raises:
            StoreUnavailableError: it may have been done or not, and may succeed later.
            StoreError: it was refused.
        """
        ...

    def close(self) -> None:
        """Let go of the connection."""
        ...


class Calls:
    """What the verbs of the store stand on."""

    def __init__(
        self,
        transport: Transport,
        *,
        migrate: Callable[[], list[str]] | None = None,
        front: bool = False,
    ) -> None:
        """`migrate` applies the pending migrations; without it, their absence is told. `front` waits for nothing."""
        self.name = transport.name
        self._transport = transport
        self._apply = migrate
        self._pauses = _PAUSES_OF_FRONT if front else _PAUSES
        self._worker = f"{socket.gethostname()}:{os.getpid()}/{next(_opened)}"

    def _call(self, function: str, args: Mapping[str, Any], **shape: type | tuple[type, ...]) -> dict[str, Any]:
        """Return what a function answers: an object, with these keys of these types at least.

        Every function may be called again with the same arguments, if it is not known whether it has been done.
        """
        for pause in (*self._pauses, None):
            try:
                return self._shaped(function, self._transport.call(function, args), shape)
            except StoreUnavailableError as exc:
                if pause is None or (exc.retry_after or 0) > _LONGEST_PAUSE:
                    raise
                logger.debug("calling again: %s", exc, extra={"function": function})
                time.sleep(max(pause, exc.retry_after or 0))
        raise AssertionError  # pragma: no cover - the last one raises

    def _shaped(self, function: str, answer: Any, shape: Mapping[str, type | tuple[type, ...]]) -> dict[str, Any]:
        if not isinstance(answer, dict) or any(not isinstance(answer.get(key), kind) for key, kind in shape.items()):
            raise StoreUnavailableError(
                f"the {self.name} store gave no answer of {function}",
                hint="Something else answers in its place: look at the address, and whether the project is paused.",
            )
        return answer

    def migrate(self) -> list[str]:
        """See `Store.migrate`."""
        if self._apply is not None:
            return self._apply()
        missing, foreign = compare(self._call("wa_schema_version", {}, migrations=list)["migrations"])
        if foreign:
            raise newer(self.name, foreign)
        if missing:
            raise SchemaMismatchError(
                f"the {self.name} store lacks {', '.join(missing)}",
                hint=HOW_TO_APPLY,
            )
        return []

    def check_writable(self) -> None:
        """See `Store.check_writable`."""
        self._call("wa_check_writable", {}, writable=bool)

    def maintain(self) -> None:
        """See `Store.maintain`. Postgres does it by itself."""

    def close(self) -> None:
        """Let go of the connection."""
        self._transport.close()


def compare(applied: list[str]) -> tuple[list[str], list[str]]:
    """Return which of our migrations are missing among the applied ones, and which of those are not ours."""
    known = [migration.name for migration in migrations(BACKEND)]
    return [name for name in known if name not in applied], [name for name in applied if name not in known]


def newer(name: str, foreign: list[str]) -> SchemaMismatchError:
    """Return the error for a store that a newer version has migrated."""
    return SchemaMismatchError(
        f"the {name} store has a newer schema ({foreign[-1]}) than this version of wa-hooks",
        hint="Upgrade wa-hooks, or point WA_HOOKS_STORE at another store.",
    )
