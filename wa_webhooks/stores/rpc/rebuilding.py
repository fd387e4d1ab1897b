"""The CRM tables made of the log anew, held against those in Postgres and put in their place.

The work is that of the SQLite store (`sqlite/rebuilding.py`), over a copy: log and tables are fetched page by page
into temporary SQLite files, replayed and compared there. What differs is put right by one call, which does nothing if
anything was settled since.
"""

from __future__ import annotations

import dataclasses
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ...errors import StoreUnavailableError
from ..base import Difference, LoggedEvent, Rebuilt, Run, to_text
from ..sqlite import SqliteStore
from ..sqlite.comparing import CRM_TABLES, FOLLOWERS, Comparison, same
from ..sqlite.connection import TEMPORARY
from ..sqlite.rebuilding import Rebuild
from .calls import Calls
from .values import storable

if TYPE_CHECKING:
    from ...changes import Change

_ROWS_AT_ONCE = 1000
_TRIES = 3
"""How often everything is fetched, while others keep settling events."""

_LOG_TABLES = {
    "wa_attempts": ("id", "event_id", "attempt", "at", "state"),
    "wa_events": (
        *(
            "id",
            "tipo_evento",
            "payload_original",
            "fecha_recepcion",
            "event_key",
            "digest",
            "delivery_id",
            "position",
        ),
        *("lead_id", "state", "handled_by"),
    ),
    "wa_actions": ("id", "idempotency_key", "event_id", "lead_id", "action", "target", "payload"),
}
"""What is fetched of the tables beside the CRM's. Attempts first: what is settled later shows in their number."""

ChangesOf = Callable[[LoggedEvent], "Sequence[Change]"]


class Rebuilding(Calls):
    """The verb that recomputes."""

    def rebuild(
        self,
        changes_of: ChangesOf,
        *,
        clock: Callable[[], datetime],
        run: Run | None = None,
        agree: Callable[[Rebuilt], bool] = lambda _: True,
        progress: Callable[[int], None] = lambda _: None,
        tell: Callable[[Difference], None] = lambda _: None,
    ) -> Rebuilt:
        """See `Store.rebuild`. Where something is settled while it looks, it looks again, a few times."""
        agreed = False
        for _ in range(_TRIES):
            with closing(SqliteStore(TEMPORARY)) as scratch:
                copy = _Copy(self, scratch._db)  # noqa: SLF001 - another of our kind
                if not copy.fetch():
                    continue
                rebuild = Rebuild(copy.db, scratch._sql, _storable(changes_of), progress, tell)  # noqa: SLF001
                found = rebuild.compare()
                if run is None or not found.differences or found.failing or not (agreed or agree(found)):
                    return found
                agreed = True
                counts = {"events": found.events, "differences": found.differences}
                if copy.replace(rebuild.comparison, _run_row(run, clock(), counts)):
                    return dataclasses.replace(found, applied=True)
        raise StoreUnavailableError(
            "events were settled meanwhile",
            hint="Stop the workers for that long, or try again when there is less to do.",
        )


def _run_row(run: Run, finished_at: datetime, counts: dict[str, int]) -> dict[str, Any]:
    times = {"started_at": to_text(run.started_at), "finished_at": to_text(finished_at)}
    return {**dataclasses.asdict(run), **times, "counts": counts}


class _Copy:
    """The store's log and tables as of one moment, as `live` of an SQLite connection."""

    def __init__(self, calls: Calls, db: sqlite3.Connection) -> None:
        self._ask = calls._call  # noqa: SLF001 - for another part of the store
        self.db = db
        self._mark: dict[str, Any] = {}
        db.execute("PRAGMA foreign_keys = OFF")  # the copy lacks what nobody asks for
        db.execute("ATTACH '' AS live")
        for (made,) in db.execute(
            "SELECT sql FROM main.sqlite_schema WHERE type = 'table' AND name LIKE 'wa@_%' ESCAPE '@'"
        ).fetchall():
            db.execute(made.replace("CREATE TABLE ", "CREATE TABLE live.", 1))

    def fetch(self) -> bool:
        """Fetch everything; return whether nothing was settled meanwhile."""
        self._mark = self._ask("wa_rebuild_mark", {}, low=int, newer=int)
        newer = 0
        for table, columns in self._tables():
            key = ("id",) if table in _LOG_TABLES else CRM_TABLES[table]
            names = ", ".join(f'"{name}"' for name in columns)
            insert = f"INSERT INTO live.{table} ({names}) VALUES ({', '.join('?' * len(columns))})"
            for page in self._pages(table, columns, key):
                self.db.executemany(insert, page)
                if table == "wa_attempts":
                    newer += sum(row[0] > self._mark["low"] for row in page)
        self._mark["newer"] = newer
        return bool(self._ask("wa_rebuild_mark", {"low": self._mark["low"]}, newer=int)["newer"] == newer)

    def _tables(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        yield from _LOG_TABLES.items()
        for table in CRM_TABLES:
            rows = self.db.execute(f"PRAGMA main.table_xinfo({table})").fetchall()
            yield table, tuple(row["name"] for row in rows if not row["hidden"])

    def _pages(self, table: str, columns: Sequence[str], key: Sequence[str]) -> Iterator[list[list[Any]]]:
        places = [columns.index(name) for name in key]
        args: dict[str, Any] = {"table": table, "columns": columns, "key": key, "limit": _ROWS_AT_ONCE}
        while True:
            rows = self._ask("wa_rebuild_page", args, rows=list)["rows"]
            if not rows:
                return
            yield rows
            args = {**args, "after": [str(rows[-1][place]) for place in places]}

    def replace(self, comparison: Comparison, run: dict[str, Any]) -> bool:
        """Put the rows right that differ, all or none; return whether it was done."""
        tables = []
        for table, key in CRM_TABLES.items():
            columns = (*key, *comparison.columns[table])
            rebuilt = ", ".join(f"r.{name}" for name in columns)
            named = ", ".join(f"d.{name}" for name in key)
            put = f"SELECT {rebuilt} FROM temp.differing_{table} d JOIN main.{table} r ON {same(key, 'r', 'd')}"
            gone = (
                f"SELECT {named} FROM temp.differing_{table} d"
                f" WHERE NOT EXISTS (SELECT 1 FROM main.{table} r WHERE {same(key, 'r', 'd')})"
            )
            rows = {"put": self._rows(put), "delete": self._rows(gone)}
            if rows["put"] or rows["delete"]:
                tables.append({"table": table, "key": key, "columns": columns, **rows})
        followers = {table: self._rows(f"SELECT id, lead_id FROM temp.differing_{table}") for table in FOLLOWERS}
        args = {**self._mark, "run": run, "tables": tables, "followers": followers}
        return bool(self._ask("wa_replace", args, applied=bool)["applied"])

    def _rows(self, statement: str) -> list[list[Any]]:
        return [list(row) for row in self.db.execute(statement)]


def _storable(changes_of: ChangesOf) -> ChangesOf:
    """The same changes with the texts that Postgres has of them."""

    def changes(logged: LoggedEvent) -> list[Change]:
        return [_with_storable_texts(change) for change in changes_of(logged)]

    return changes


def _with_storable_texts(value: Any) -> Any:
    texts = {
        name: storable(text) if isinstance(text, str) else _with_storable_texts(text)
        for name in (field.name for field in dataclasses.fields(value))
        if isinstance(text := getattr(value, name), str) or dataclasses.is_dataclass(text)
    }
    unlike = {name: text for name, text in texts.items() if text is not getattr(value, name)}
    return dataclasses.replace(value, **unlike) if unlike else value
