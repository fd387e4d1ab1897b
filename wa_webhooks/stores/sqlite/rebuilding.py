"""The CRM tables made of the log anew, in a scratch file, and held against those of the store.

Leads have ids of their own in either, so the scratch file's are renamed first to those of the leads that were seen in
the same events. Applying changes the rows that differ and no others, in one transaction.
"""

from __future__ import annotations

import json
import sqlite3
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import HandlersMissingError, StoreRejectedError, StoreUnavailableError
from ..base import Difference, LoggedEvent, Rebuilt, Run, to_text
from .connection import Connection, translate, translated
from .crm import apply

if TYPE_CHECKING:
    from ...changes import Change

CRM_TABLES: Mapping[str, tuple[str, ...]] = {
    "wa_leads": ("id",),
    "wa_lead_identities": ("scope", "kind", "value"),
    "wa_lead_sightings": ("event_id", "ident"),
    "wa_number_changes": ("event_id",),
    "wa_number_holders": ("scope", "number", "since"),
    "wa_messages": ("phone_number_id", "wamid"),
    "wa_message_statuses": ("event_id",),
    "wa_calls": ("phone_number_id", "call_id"),
    "wa_lead_events": ("event_id", "topic", "ident"),
    "wa_account_events": ("event_id",),
}
"""The tables that the log adds up to, and what names a row in each. Not `wa_actions`: what was done is done."""

_OF_LEADS = (
    "wa_lead_identities",
    "wa_lead_sightings",
    "wa_number_holders",
    "wa_messages",
    "wa_message_statuses",
    "wa_calls",
    "wa_lead_events",
    "wa_events",
)
"""The tables with a `lead_id`."""
_MOST_DIFFERENCES = 1000
"""Those that are told one by one; more are counted."""
_AT_ONCE = 500
"""Events between two words of progress."""

ChangesOf = Callable[[LoggedEvent], "Sequence[Change]"]
Progress = Callable[[int], None]


class Rebuilding(Connection):
    """The verb that recomputes."""

    def rebuild(
        self, changes_of: ChangesOf, *, now: datetime, run: Run | None = None, progress: Progress = lambda _: None
    ) -> Rebuilt:
        """See `Store.rebuild`."""
        if self.path == ":memory:":
            raise StoreRejectedError("a store in memory cannot be rebuilt", hint="Name a file with --store.")
        with (
            tempfile.TemporaryDirectory(prefix="wa-hooks-") as folder,
            translated(self.path),
            closing(type(self)(str(Path(folder) / "scratch.db"))) as scratch,
        ):
            return scratch._rebuild_of(self.path, changes_of, now, run, progress)  # noqa: SLF001 - another of our kind

    def _rebuild_of(
        self, path: str, changes_of: ChangesOf, now: datetime, run: Run | None, progress: Progress
    ) -> Rebuilt:
        self._db.execute("ATTACH ? AS live", [path])
        return _Rebuild(self._db, self._sql).run(changes_of, now, run, progress)


class _Rebuild:
    """One rebuild, over a connection whose `main` is the scratch file and whose `live` is the store."""

    def __init__(self, db: sqlite3.Connection, sql: Mapping[str, str]) -> None:
        self.db, self.sql = db, sql
        db.execute("PRAGMA main.synchronous = OFF")  # it is thrown away
        self.failures: list[Difference] = []
        self.columns = {table: self._columns(table) for table in CRM_TABLES}

    def run(self, changes_of: ChangesOf, now: datetime, run: Run | None, progress: Progress) -> Rebuilt:
        with self._transaction("BEGIN"):  # its first reading is the snapshot of the store that all of it sees
            events = self._replay(changes_of, progress, done=0)
            result = self._compare(events)
        if run is None or not result.differing or self.failures:
            return result
        with self._transaction("BEGIN IMMEDIATE"):
            events += self._replay(changes_of, progress, done=events)  # what was settled since
            self._check_nothing_was_taken_back()
            result = self._compare(events)
            if not self.failures:
                self._replace()
                self._enter(run, now, result)
        return result

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[None]:
        self.db.execute(begin)
        try:
            self.db.execute("PRAGMA defer_foreign_keys = ON")
            yield
            self.db.execute("COMMIT")
        except BaseException:
            if self.db.in_transaction:
                self.db.execute("ROLLBACK")
            raise

    def _execute(self, name: str, parameters: Mapping[str, Any]) -> sqlite3.Cursor:
        return self.db.execute(self.sql[name], parameters)

    def _columns(self, table: str) -> list[str]:
        """The names of a table's columns, without what is generated or an id of the row's own."""
        own_id = "id" if CRM_TABLES[table] != ("id",) else ""
        rows = self.db.execute(f"PRAGMA main.table_xinfo({table})").fetchall()
        return [row["name"] for row in rows if not row["hidden"] and row["name"] != own_id]

    # -- the log, through the handlers

    def _replay(self, changes_of: ChangesOf, progress: Progress, *, done: int) -> int:
        """Apply the processed events that the scratch file lacks; return how many."""
        self._execute("rebuild_deliveries", {})
        number = 0
        for number, row in enumerate(self._execute("rebuild_events", {}), start=1):
            self._execute("rebuild_event", dict(row))
            self._apply(row, changes_of)
            if number % _AT_ONCE == 0:
                progress(done + number)
        progress(done + number)
        return number

    def _apply(self, row: sqlite3.Row, changes_of: ChangesOf) -> None:
        logged = LoggedEvent(
            key=row["event_key"],
            payload=json.loads(row["payload_original"]),
            position=row["position"],
            handled_by=row["handled_by"] or "",
        )
        self.db.execute("SAVEPOINT event")
        try:
            lead_id = apply(self._execute, changes_of(logged), event_id=row["id"], digest=row["digest"])
            self.db.execute("UPDATE main.wa_events SET lead_id = ? WHERE id = ?", [lead_id, row["id"]])
        except HandlersMissingError:
            raise
        except (Exception, SystemExit) as exc:
            if isinstance(exc, sqlite3.Error) and isinstance(translate(exc, ""), StoreUnavailableError):
                raise
            self.db.execute("ROLLBACK TO event")
            told = f"{type(exc).__name__}: {exc}"
            self.failures.append(
                Difference(table="wa_events", key=_name(row), column="error", live=None, rebuilt=told)
            )
        self.db.execute("RELEASE event")

    # -- the rows, side by side

    def _compare(self, events: int) -> Rebuilt:
        self._rename_leads()
        differing = 0
        told: list[Difference] = []
        for found in self._differences():
            differing += 1
            if len(told) < _MOST_DIFFERENCES:
                told.append(found)
        return Rebuilt(events=events, differing=differing, differences=told, failures=list(self.failures))

    def _rename_leads(self) -> None:
        """Give every lead of the scratch file the id of the one in the store that was seen where it was."""
        names: dict[int, int] = {}
        taken: set[int] = set()
        for row in self._execute("rebuild_shared", {}):
            if row["rebuilt"] not in names and row["live"] not in taken:
                names[row["rebuilt"]] = row["live"]
                taken.add(row["live"])
        new = self.db.execute("SELECT coalesce(max(id), 0) FROM live.wa_leads").fetchone()[0]
        for row in self.db.execute("SELECT id FROM main.wa_leads ORDER BY id").fetchall():
            if row["id"] not in names:
                new += 1
                names[row["id"]] = new
        changed = [(rebuilt, live) for rebuilt, live in names.items() if rebuilt != live]
        self.db.execute("CREATE TEMP TABLE IF NOT EXISTS lead_names (rebuilt INTEGER PRIMARY KEY, live INTEGER)")
        self.db.execute("DELETE FROM temp.lead_names")
        self.db.executemany("INSERT INTO temp.lead_names VALUES (?, ?)", changed)
        for table, column in (("wa_leads", "id"), *((table, "lead_id") for table in _OF_LEADS)):
            # By way of negative ids, since one's new id may be another's old one.
            self.db.execute(
                f"UPDATE main.{table} SET {column} = -(SELECT live FROM temp.lead_names WHERE rebuilt = {column})"
                f" WHERE {column} IN (SELECT rebuilt FROM temp.lead_names)"
            )
            self.db.execute(f"UPDATE main.{table} SET {column} = -{column} WHERE {column} < 0")

    def _differences(self) -> Iterator[Difference]:
        for table, key in CRM_TABLES.items():
            yield from self._in_rows(table, key)
            yield from self._rows_of_one("main", "live", table, key)
            yield from self._rows_of_one("live", "main", table, key)
        for row in self._execute("rebuild_leads_of_events", {}):
            yield Difference(
                table="wa_events", key=_name(row), column="lead_id", live=row["live"], rebuilt=row["rebuilt"]
            )

    def _in_rows(self, table: str, key: tuple[str, ...]) -> Iterator[Difference]:
        others = [column for column in self.columns[table] if column not in key]
        named = ", ".join(f"r.{column}" for column in key)
        both = ", ".join(f"l.{column} AS live_{column}, r.{column} AS rebuilt_{column}" for column in others)
        unlike = " OR ".join(f"l.{column} IS NOT r.{column}" for column in others)
        for row in self.db.execute(
            f"SELECT {named}, {both} FROM main.{table} r JOIN live.{table} l ON {_same(key, 'l', 'r')} WHERE {unlike}"
        ):
            for column in others:
                live, rebuilt = row[f"live_{column}"], row[f"rebuilt_{column}"]
                if live != rebuilt:
                    yield Difference(table=table, key=_key(row, key), column=column, live=live, rebuilt=rebuilt)

    def _rows_of_one(self, here: str, there: str, table: str, key: tuple[str, ...]) -> Iterator[Difference]:
        """The rows that one side has alone."""
        named = ", ".join(f"a.{column}" for column in key)
        live, rebuilt = ("a row", None) if here == "live" else (None, "a row")
        for row in self.db.execute(
            f"SELECT {named} FROM {here}.{table} a"
            f" WHERE NOT EXISTS (SELECT 1 FROM {there}.{table} b WHERE {_same(key, 'b', 'a')})"
        ):
            yield Difference(table=table, key=_key(row, key), column=None, live=live, rebuilt=rebuilt)

    # -- the store, made equal

    def _check_nothing_was_taken_back(self) -> None:
        if self._execute("rebuild_taken_back", {}).fetchone():
            raise StoreUnavailableError("events were reprocessed meanwhile", hint="Try again when that is through.")

    def _replace(self) -> None:
        """Remove the rows that differ and put the rebuilt ones in their place; rows that are alike stay untouched."""
        for table in CRM_TABLES:
            # By key and then the rest, so that the key's index finds the row.
            key = CRM_TABLES[table]
            columns = [*key, *(column for column in self.columns[table] if column not in key)]
            names = ", ".join(columns)
            self.db.execute(
                f"DELETE FROM live.{table} AS l"
                f" WHERE NOT EXISTS (SELECT 1 FROM main.{table} r WHERE {_same(columns, 'r', 'l')})"
            )
            self.db.execute(
                f"INSERT INTO live.{table} ({names}) SELECT {names} FROM main.{table} r"
                f" WHERE NOT EXISTS (SELECT 1 FROM live.{table} l WHERE {_same(key, 'l', 'r')})"
            )
        self._execute("rebuild_lead_ids", {})
        self._execute("rebuild_actions", {})

    def _enter(self, run: Run, now: datetime, result: Rebuilt) -> None:
        row = {
            "id": run.id,
            "command": run.command,
            "scope": json.dumps(run.scope),
            "started_by": run.started_by,
            "started_at": to_text(run.started_at),
            "version": run.version,
            "finished_at": to_text(now),
            "counts": json.dumps({"events": result.events, "differing": result.differing}),
        }
        self._execute("rebuild_run", row)


def _same(columns: Sequence[str], one: str, other: str) -> str:
    return " AND ".join(f"{one}.{column} IS {other}.{column}" for column in columns)


def _key(row: sqlite3.Row, key: tuple[str, ...]) -> str:
    return " ".join(str(row[column]) for column in key)


def _name(row: sqlite3.Row) -> str:
    return f"{row['id']} {row['event_key']}"
