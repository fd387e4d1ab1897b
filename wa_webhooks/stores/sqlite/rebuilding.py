"""The CRM tables made of the log anew, in a scratch file, held against those of the store and put in their place.

The scratch file is one of SQLite's own temporary ones: on the disk, nameless, gone with the process however it ends.
All that is long reads one snapshot of the store; work on it goes on meanwhile. Applying catches up with that work
first, in snapshots too, and at last under the write lock, which it keeps for comparing and replacing alone.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ...errors import HandlersMissingError, StoreRejectedError, StoreUnavailableError, describe
from ..base import Difference, LoggedEvent, Rebuilt, Run, to_text
from .comparing import Comparison
from .connection import TEMPORARY, Connection, is_unavailable, translated
from .crm import apply

if TYPE_CHECKING:
    from ...changes import Change

_AT_ONCE = 500
"""Events between two words of progress; fewer new ones than that may wait for the write lock."""
_PATIENCE = 30.0
"""Seconds to wait for the write lock: much has been done by then."""

ChangesOf = Callable[[LoggedEvent], "Sequence[Change]"]
Tell = Callable[[Difference], None]


class Rebuilding(Connection):
    """The verb that recomputes."""

    def rebuild(
        self,
        changes_of: ChangesOf,
        *,
        clock: Callable[[], datetime],
        run: Run | None = None,
        agree: Callable[[Rebuilt], bool] = lambda _: True,
        progress: Callable[[int], None] = lambda _: None,
        tell: Tell = lambda _: None,
    ) -> Rebuilt:
        """See `Store.rebuild`."""
        if self.path == ":memory:":
            raise StoreRejectedError("a store in memory cannot be rebuilt", hint="Name a file with --store.")
        with translated(self.path), closing(type(self)(TEMPORARY, busy_timeout=_PATIENCE)) as scratch:
            self._check_identity()
            scratch._db.execute("ATTACH ? AS live", [self.path])  # noqa: SLF001 - another of our kind
            rebuild = Rebuild(scratch._db, self._sql, changes_of, progress, tell)  # noqa: SLF001
            found = rebuild.compare()
            if run is None or not found.differences or found.failing or not agree(found):
                return found
            rebuild.catch_up()
            with rebuild.transaction("BEGIN IMMEDIATE"):
                self._check_identity()
                return rebuild.replace(run, clock)


class Rebuild:
    """One rebuild, over a connection whose `main` is the scratch file and whose `live` is the store."""

    def __init__(
        self,
        db: sqlite3.Connection,
        sql: Mapping[str, str],
        changes_of: ChangesOf,
        progress: Callable[[int], None],
        tell: Tell,
    ) -> None:
        self.db, self.sql = db, sql
        self.changes_of, self.progress, self.tell = changes_of, progress, tell
        self.comparison = Comparison(db, sql)
        self.events = self.failing = 0
        self.seen = 0
        """The last attempt that the scratch file knows of: whatever settles an event makes one."""
        self.differing: dict[str, int] = {}
        self.stale = True
        """Whether more was applied since what differs was found."""
        self.db.execute(self.sql["rebuild_delivery"])

    @contextmanager
    def transaction(self, begin: str) -> Iterator[None]:
        """One transaction over both; its first reading is the snapshot that all of it sees."""
        self.db.execute(begin)
        try:
            self.db.execute("PRAGMA defer_foreign_keys = ON")
            yield
            self.db.execute("COMMIT")
        except BaseException:
            if self.db.in_transaction:
                self.db.execute("ROLLBACK")
            raise

    @contextmanager
    def _aside(self) -> Iterator[None]:
        """As `transaction`, and writes nothing but the scratch file."""
        try:
            with self.transaction("BEGIN"):
                yield
        except sqlite3.OperationalError as exc:
            if exc.sqlite_errorcode == sqlite3.SQLITE_FULL:
                raise StoreUnavailableError(
                    "the disk for temporary files is full",
                    hint="Set SQLITE_TMPDIR to a folder with as much room as the store takes.",
                ) from exc
            raise

    def _execute(self, name: str, parameters: Mapping[str, Any]) -> sqlite3.Cursor:
        return self.db.execute(self.sql[name], parameters)

    # -- the three steps

    def compare(self) -> Rebuilt:
        """Make the tables anew and tell what differs."""
        with self._aside():
            self._replay()
            self._find()
            for difference in self.comparison.told():
                self.tell(difference)
        return self._result(applied=False)

    def catch_up(self) -> None:
        """Apply what was settled meanwhile, until there is little of it."""
        behind = _AT_ONCE
        while behind >= _AT_ONCE:
            before = self.events
            with self._aside():
                self._replay()
                behind = self.events - before
                if behind < _AT_ONCE:
                    self._find()

    def replace(self, run: Run, clock: Callable[[], datetime]) -> Rebuilt:
        """Put the rebuilt rows in the place of those that differ; within a transaction that may write."""
        self._replay()
        self._find()
        if self.failing:  # of what came meanwhile
            return self._result(applied=False)
        self.comparison.replace()
        result = self._result(applied=True)
        row = {
            "id": run.id,
            "command": run.command,
            "scope": json.dumps(run.scope),
            "started_by": run.started_by,
            "started_at": to_text(run.started_at),
            "version": run.version,
            "finished_at": to_text(clock()),
            "counts": json.dumps({"events": result.events, "differences": result.differences}),
        }
        self._execute("rebuild_run", row)
        return result

    def _find(self) -> None:
        if self.stale:
            self.differing = self.comparison.find()
            self.stale = False

    def _result(self, *, applied: bool) -> Rebuilt:
        return Rebuilt(events=self.events, differing=dict(self.differing), failing=self.failing, applied=applied)

    # -- the log, through the handlers

    def _replay(self) -> None:
        """Apply the events that were settled since the last time."""
        since = {"seen": self.seen}
        if self._execute("rebuild_settled_again", since).fetchone():
            raise StoreUnavailableError("events were reprocessed meanwhile", hint="Try again when that is through.")
        last: int = self._execute("rebuild_last_attempt", {}).fetchone()[0]
        if last == self.seen:
            return
        for row in self._execute("rebuild_events", since):
            self._apply(row)
            self.events += 1
            if self.events % _AT_ONCE == 0:
                self.progress(self.events)
        self.progress(self.events)
        self.seen = last
        self.stale = True

    def _apply(self, row: sqlite3.Row) -> None:
        logged = LoggedEvent(
            key=row["event_key"],
            payload=json.loads(row["payload_original"]),
            position=row["position"],
            handled_by=row["handled_by"] or "",
        )
        self._execute("rebuild_event", {"id": row["id"]})
        self.db.execute("SAVEPOINT event")
        try:
            lead_id = apply(self._execute, self.changes_of(logged), event_id=row["id"], digest=row["digest"])
            self._execute("rebuild_lead_of_event", {"id": row["id"], "lead_id": lead_id})
        except HandlersMissingError:
            raise
        except (Exception, SystemExit) as exc:
            if is_unavailable(exc):
                raise
            self.db.execute("ROLLBACK TO event")
            self.failing += 1
            named = {"id": row["id"], "event_key": row["event_key"]}
            self.tell(Difference(table="wa_events", key=named, column="error", live=None, rebuilt=describe(exc)))
        self.db.execute("RELEASE event")
