"""The spool's file: SQLite, every delivery on disk before it counts. Receivers write, one sender reads."""

from __future__ import annotations

import json
import os
import secrets
import sqlite3
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from itertools import chain
from types import MappingProxyType
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from pydantic_core import from_json, to_json

from ..errors import ConfigError, StoreError, StoreUnavailableError
from ..stores.base import Delivery, Rejection, from_text, to_text
from ..stores.sqlite.connection import Connection, translate

DEFAULT_LIMIT = 2**30
"""Bytes."""
SPAN = 4000
"""Ids, from the oldest delivery that the store does not have, within which a sender may leave gaps."""

_ROWS_AT_ONCE = 100
_VALUES = "(?, ?, ?, ?, ?, ?, ?)"
_WRITES_TOLD = 100
"""Of rejections, which come together once a second; older ones are only counted."""
_NONE: Mapping[str, int] = MappingProxyType({})
_LEAST_LEFT = 64 * 2**10
"""Bytes of the limit; with less than this left, the spool is full."""
_MANY_FREE_PAGES = 4000
_PAGES_AT_ONCE = 500


class Spooled(NamedTuple):
    """A delivery of the spool and its place in it."""

    id: int
    delivery: Delivery


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How a spool stands: how much waits in it, and since when and why the store has been taking nothing.

    `bytes` of at most `limit`. `held` are deliveries that the store refuses while it takes others. Times are texts.
    """

    path: str
    deliveries: int
    held: int
    bytes: int
    limit: int
    oldest: str | None
    failing_since: str | None
    error: str | None
    sent_at: str | None

    def told(self) -> str:
        """A sentence about what waits and why; empty where nothing does."""
        waiting = f"{self.deliveries:,} deliveries wait in the spool, {self.bytes / self.limit:.0%} full"
        held = f"; {self.held:,} are held: the store refuses them" if self.held else ""
        if self.failing_since:
            return f"spooling since {self.failing_since}: {waiting}{held}"
        return f"{waiting}{held}" if self.deliveries or held else ""


class Spool(Connection):
    """One connection to the file, for one thread."""

    schema = "spool"

    def __init__(
        self,
        path: str,
        *,
        target: str,
        limit: int = DEFAULT_LIMIT,
        bounded: bool = True,
        busy_timeout: float = 5.0,
    ) -> None:
        """Open the spool of the store `target`, made if need be; it takes up to `limit` bytes.

        A sender, which makes room, is not `bounded` by the limit.

        Raises:
            ConfigError: what it holds is for another store.
            StoreError: it cannot be opened.
        """
        self._limit = limit
        self._bounded = bounded
        self._target = target
        super().__init__(path, busy_timeout=busy_timeout, front=True)
        try:
            self._claim(target)
        except BaseException:
            self.close()
            raise

    def _configure(self, *, front: bool) -> None:
        self._db.execute("PRAGMA page_size = 8192")
        self._db.execute("PRAGMA auto_vacuum = INCREMENTAL")  # so that an outage's room is given back
        super()._configure(front=front)
        self._page = self._pragma("page_size")
        if self._bounded:
            self._db.execute(f"PRAGMA max_page_count = {max(32, self._limit // self._page)}")

    def _pragma(self, name: str) -> int:
        return int(self._db.execute(f"PRAGMA {name}").fetchone()[0])

    def _claim(self, target: str) -> None:
        with self._spooling():
            known = self._db.execute(self._sql["state"]).fetchone()["target"]
            if known == target:
                return
            with self._transaction():
                if known and not self._empty():
                    raise ConfigError(
                        f"the spool {self.path} holds deliveries for {known}, not for {target}",
                        hint="Serve that store until they are sent, or name another spool with --spool.",
                    )
                self._execute("set_target", {"target": target})

    def _empty(self) -> bool:
        tables = ("spool_deliveries", "spool_held", "spool_rejections")
        found = " UNION ALL ".join(f"SELECT EXISTS (SELECT 1 FROM {table})" for table in tables)  # noqa: S608 - ours
        return not any(row[0] for row in self._db.execute(found))

    # -- what a receiver needs

    def append(self, deliveries: Sequence[Delivery], *, wait: bool = True) -> list[int]:
        """Keep deliveries durably, all or none, and return their places. As `Store.append`."""
        rows = [_row(delivery) for delivery in deliveries]
        chunks = [rows[at : at + _ROWS_AT_ONCE] for at in range(0, len(rows), _ROWS_AT_ONCE)]
        last = 0
        with self._spooling(sum(len(delivery.body) for delivery in deliveries)):
            if len(chunks) == 1:
                self._sync(durable=True)
                self._check_identity()
                last = self._in_turn(*self._insertion(rows), wait=wait).lastrowid or 0
            elif not wait:
                raise StoreUnavailableError("so many deliveries take their time")
            else:
                with self._transaction():
                    for chunk in chunks:
                        last = self._db.execute(*self._insertion(chunk)).lastrowid or 0
        return list(range(last - len(rows) + 1, last + 1))

    def _insertion(self, rows: Sequence[tuple[Any, ...]]) -> tuple[str, list[Any]]:
        return self._sql["spool_deliveries"] + ", ".join([_VALUES] * len(rows)), list(chain.from_iterable(rows))

    def reject(self, rejections: Sequence[Rejection], *, now: datetime, more: Mapping[str, int] = _NONE) -> None:
        """Keep rejections until the store has them. In a long outage, the older ones are only counted."""
        told = to_json([asdict(rejection) for rejection in rejections]).decode()
        row = {"at": to_text(now), "kept": len(rejections), "told": told, "more": json.dumps(dict(more))}
        with self._spooling(), self._transaction(durable=False):
            self._execute("spool_rejections", row)
            for old in self._execute("rejections_to_count", {"kept": _WRITES_TOLD}).fetchall():
                counted = Counter(json.loads(old["more"]))
                counted.update(each["cause"] for each in json.loads(old["told"]))
                self._execute("count_alone", {"id": old["id"], "more": json.dumps(counted)})

    def check_writable(self) -> None:
        """Return if a delivery could be kept now; raise why not."""
        with self._spooling():
            if self._used() + _LEAST_LEFT > self._limit:
                raise self._full()
        super().check_writable()

    def _used(self) -> int:
        return (self._pragma("page_count") - self._pragma("freelist_count")) * self._page

    def _full(self) -> StoreError:
        return StoreUnavailableError(
            f"the spool {self.path} is full: it may take {self._limit / 2**20:,.0f} MiB",
            hint="It empties once the store can be reached; or give it more room with --spool-limit.",
        )

    def standing(self) -> Standing:
        """Return how the spool stands."""
        with self._spooling():
            self._db.execute("BEGIN")
            try:
                state = dict(self._execute("state", {}).fetchone())
                state.pop("target")
                first = self._execute("first_delivery", {}).fetchone()
                return Standing(
                    path=self.path,
                    deliveries=self._count(first["id"]) if first else 0,
                    held=self._execute("count_held", {}).fetchone()["held"],
                    bytes=self._used(),
                    limit=self._limit,
                    oldest=first["received_at"] if first else None,
                    **state,
                )
            finally:
                self._db.execute("ROLLBACK")

    def _count(self, first: int) -> int:
        """How many deliveries there are. Beyond `SPAN` none is missing, so they need not be counted."""
        last: int = self._execute("last_delivery", {}).fetchone()["id"]
        scope = {"first": first, "last": first + SPAN}
        counted: int = self._execute("count_from", scope).fetchone()["deliveries"]
        return counted + max(0, last - scope["last"])

    # -- what the sender needs

    def again(self) -> Spool:
        """Return another connection, for another thread."""
        return Spool(self.path, target=self._target, limit=self._limit, bounded=self._bounded)

    def first(self) -> int | None:
        """Return the id of the oldest delivery."""
        with self._spooling():
            found = self._execute("first_delivery", {}).fetchone()
        return found["id"] if found else None

    def read(self, *, after: int, up_to: int, limit: int) -> list[Spooled]:
        """Return up to `limit` deliveries behind the place `after`, in order."""
        with self._spooling():
            rows = self._execute("read_deliveries", {"after": after, "up_to": up_to, "limit": limit}).fetchall()
        return [_spooled(row) for row in rows]

    def sent(self, ids: Sequence[int], *, now: datetime) -> None:
        """Forget deliveries that the store has. Where that is lost, they are sent again, and known by their nonce."""
        with self._spooling(), self._transaction(durable=False):
            self._execute("forget_deliveries", {"ids": json.dumps(list(ids))})
            self._execute("sending", {"now": to_text(now)})

    def failing(self, error: str, *, now: datetime) -> None:
        """Take note that the store takes nothing, and why."""
        with self._spooling(), self._transaction(durable=False):
            self._execute("failing", {"now": to_text(now), "error": error})

    def hold(self, ident: int, error: str, *, now: datetime) -> None:
        """Put a delivery aside that the store refuses."""
        with self._spooling(), self._transaction():
            self._execute("hold_delivery", {"id": ident, "now": to_text(now), "error": error})
            self._execute("forget_deliveries", {"ids": f"[{ident}]"})

    def held(self, *, limit: int = 100) -> list[Spooled]:
        """Return deliveries that were put aside."""
        with self._spooling():
            return [_spooled(row) for row in self._execute("read_held", {"limit": limit}).fetchall()]

    def release(self, ident: int) -> None:
        """Forget a delivery that was put aside, once the store has it."""
        with self._spooling(), self._transaction(durable=False):
            self._execute("forget_held", {"id": ident})

    def rejected(self, *, limit: int) -> list[dict[str, Any]]:
        """Return rejections that wait: rows of `id`, `at`, `told` and `more`, as `Store.reject` wants them."""
        with self._spooling():
            rows = self._execute("read_rejections", {"limit": limit}).fetchall()
        return [
            {
                "id": row["id"],
                "at": from_text(row["at"]),
                "told": [Rejection(**{**each, "at": from_text(each["at"])}) for each in json.loads(row["told"])],
                "more": json.loads(row["more"]),
            }
            for row in rows
        ]

    def forget_rejected(self, first: int, last: int) -> None:
        """Forget rejections that the store has."""
        with self._spooling(), self._transaction(durable=False):
            self._execute("forget_rejections", {"first": first, "last": last})

    def shrink(self) -> None:
        """Give some room back to the disk, if much is free; nobody waits long for it."""
        with self._spooling():
            if self._pragma("freelist_count") > _MANY_FREE_PAGES:
                self._in_turn(f"PRAGMA incremental_vacuum({_PAGES_AT_ONCE})").fetchall()

    @contextmanager
    def _spooling(self, size: int = 0) -> Iterator[None]:
        """Raise our errors; `size` is that of the bodies to be written, in bytes."""
        try:
            yield
        except sqlite3.Error as exc:
            full = getattr(exc, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
            if full and self._used() + size + _LEAST_LEFT > self._limit:  # else it is the disk that is full
                raise self._full() from exc
            raise translate(exc, self.path, what="spool") from exc


def target_of(store_url: str, env: Mapping[str, str] = os.environ) -> str:
    """Return which store a URL names, without who asks: what tells one store from another."""
    parts = urlsplit(env.get("SUPABASE_URL", "") if store_url.partition(":")[0] == "supabase" else store_url)
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme.replace('postgresql', 'postgres')}://{parts.hostname or ''}{port}{parts.path.rstrip('/')}"


def _row(delivery: Delivery) -> tuple[Any, ...]:
    return (
        delivery.nonce or secrets.token_hex(16),
        to_json(delivery.headers).decode(),
        delivery.source,
        delivery.source_ip,
        to_text(delivery.received_at),
        delivery.signature_key,
        delivery.body,
    )


def _spooled(row: sqlite3.Row) -> Spooled:
    return Spooled(
        row["id"],
        Delivery(
            body=row["body"],
            received_at=from_text(row["received_at"]),
            headers=from_json(row["headers"]),
            source=row["source"],
            source_ip=row["source_ip"],
            signature_key=row["signature_key"],
            nonce=row["nonce"],
        ),
    )
