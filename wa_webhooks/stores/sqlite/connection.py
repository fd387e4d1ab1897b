"""One connection to one SQLite file: pragmas, migrations, transactions, and sqlite3's errors as ours."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

from ...errors import SchemaMismatchError, StoreError, StoreRejectedError, StoreUnavailableError
from ..sqlfiles import migrations, statements
from .gate import Gate
from .statements import Statements

BACKEND = "sqlite"
TEMPORARY = ""
"""The path of a nameless file, gone when it is closed."""

_LOCKED = "Try again; `fuser` on the file shows who holds it."
_ABSENT = "Name another one, or record something first."
_ASK_AGAIN = 0.0002
_EARLY_CHECKPOINT, _LATE_CHECKPOINT = 4_000, 16_000
"""Pages of 8 KiB in the write-ahead log. Workers write the same ones again: the later, the fewer are copied."""
_CACHE = 64 * 2**10
"""KiB that a transaction may change before any of it is written: pages of indexes, mostly."""
_CHECKPOINT_FROM = 2**20
_LARGEST_LEFT_LOG = 64 * 2**20
"""Bytes of the write-ahead log: from when on `maintain` copies it into the file, and when it makes it begin anew."""
_RESTART_PATIENCE = 0.25
"""Seconds."""
_PRIMARY = 0xFF
"""The low byte of an extended result code is its family."""


class Connection:
    """What the verbs of the store stand on."""

    schema: ClassVar[str] = BACKEND
    """The folder of its migrations and statements."""

    def __init__(self, path: str, *, busy_timeout: float = 2.0, front: bool = False, create: bool = True) -> None:
        """Open `path` (`:memory:` for a store that is forgotten), migrating it as needed."""
        if not create and path != ":memory:" and not Path(path).exists():
            raise StoreRejectedError(f"there is no store at {path}", hint=_ABSENT)
        self.path = path
        self._patience = busy_timeout
        self._front = front
        self._sql = statements(self.schema)
        self._gate = Gate(None if path in (":memory:", TEMPORARY) else f"{path}-gate")
        with translated(path):
            # Statements are few and named; each is compiled once.
            self._db = sqlite3.connect(
                path,
                timeout=busy_timeout,
                isolation_level=None,
                cached_statements=256,
                check_same_thread=False,
            )
            self._db.row_factory = sqlite3.Row
            self._statements = Statements(self._db, self._sql)
            try:
                self._open(front=front, create=create)
            except BaseException:
                self._db.close()
                raise

    def _open(self, *, front: bool, create: bool) -> None:
        foreign = not create or self._db.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone()
        if foreign and not self._applied():  # somebody else's database, which is not ours to change
            raise StoreRejectedError(f"{self.path} is no store of wa-hooks", hint=_ABSENT)
        self._configure(front=front)
        self._file = self._identity()
        self.migrate()

    def _configure(self, *, front: bool) -> None:
        db = self._db
        db.execute("PRAGMA page_size = 8192")  # takes effect in a new file only; 10 % more appends
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        self._durable = True
        db.execute("PRAGMA foreign_keys = ON")
        if self.path != TEMPORARY:
            # What a statement changes is kept until it is through: by default in a file, beyond a few pages.
            db.execute("PRAGMA temp_store = MEMORY")
        if not front:
            db.execute(f"PRAGMA cache_size = -{_CACHE}")
        if not front:
            db.execute(f"PRAGMA wal_autocheckpoint = {_EARLY_CHECKPOINT}")
        else:
            # A checkpoint in the front's commit makes its requests wait; `maintain` makes them. This is for when
            # nobody calls it: the write-ahead log must not fill the disk.
            db.execute(f"PRAGMA wal_autocheckpoint = {_LATE_CHECKPOINT}")
            db.execute("PRAGMA busy_timeout = 0")
        db.execute(f"PRAGMA journal_size_limit = {_LARGEST_LEFT_LOG}")

    def _identity(self) -> tuple[int, int] | None:
        """Which file the path names at the moment; None for one without a name, and where there is none."""
        if self.path in (":memory:", TEMPORARY):
            return None
        try:
            found = Path(self.path).stat()
        except FileNotFoundError:
            return None
        return found.st_dev, found.st_ino

    def _check_identity(self) -> None:
        """Refuse to write on into a file that nobody sees any more: it would succeed, and be gone when we end."""
        if self._identity() != self._file:
            raise StoreRejectedError(
                f"the store {self.path} was moved or deleted while it was open", hint="Put it back, or restart."
            )

    def close(self) -> None:
        """Close the connection."""
        self._db.close()
        self._gate.close()

    def migrate(self) -> list[str]:
        """See `Store.migrate`. Each migration and the record of it are one transaction."""
        known = migrations(self.schema)
        names = [migration.name for migration in known]
        with translated(self.path):
            if self._applied() == names:
                return []
            with self._transaction():
                self._db.execute(
                    "CREATE TABLE IF NOT EXISTS wa_migrations (name TEXT PRIMARY KEY, applied_at TEXT NOT NULL)"
                )
                applied = self._applied()
                if foreign := [name for name in applied if name not in names]:
                    raise SchemaMismatchError(
                        f"the store {self.path} has a newer schema ({foreign[-1]}) than this version of wa-hooks",
                        hint="Upgrade wa-hooks, or point WA_HOOKS_STORE at another store.",
                    )
                pending = [migration for migration in known if migration.name not in applied]
                for migration in pending:
                    for statement in _split_script(migration.sql):
                        self._db.execute(statement)
                    self._db.execute(
                        "INSERT INTO wa_migrations VALUES (?, strftime('%Y-%m-%dT%H:%M:%fZ'))",
                        [migration.name],
                    )
                return [migration.name for migration in pending]

    def _applied(self) -> list[str]:
        exists = self._db.execute("SELECT 1 FROM sqlite_master WHERE name = 'wa_migrations'").fetchone()
        if not exists:
            return []
        return [row["name"] for row in self._db.execute("SELECT name FROM wa_migrations ORDER BY name")]

    def check_writable(self) -> None:
        """See `Store.check_writable`. Writes a page and commits it, as recording a delivery would."""
        with translated(self.path), self._transaction():
            version = self._db.execute("PRAGMA user_version").fetchone()[0]
            self._db.execute(f"PRAGMA user_version = {version}")

    def _execute(self, name: str, parameters: Mapping[str, Any]) -> sqlite3.Cursor:
        return self._statements.execute(name, parameters)

    @contextmanager
    def _transaction(self, *, durable: bool = True) -> Iterator[None]:
        """Hold the write lock from the start: what is read inside cannot change before it is written.

        What is not `durable` is not synced: a power cut may undo it, together with all that was not synced after it.
        That is enough where the log makes it good again, and a fraction of the time.
        """
        self._sync(durable=durable)
        self._in_turn("BEGIN IMMEDIATE")
        try:
            self._check_identity()
            yield
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise

    def _sync(self, *, durable: bool) -> None:
        if durable != self._durable:
            self._db.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            self._durable = durable

    def _in_turn(self, statement: str, parameters: Sequence[Any] = (), *, wait: bool = True) -> sqlite3.Cursor:
        """Execute what takes the write lock, in turn with everybody else of wa-hooks; or only if it is free.

        SQLite's own waiting is not fair: it asks ten times a second in the end, and a busy worker leaves gaps of less
        than a millisecond. So whoever waits holds the gate, and asks all the time; the others queue behind it.
        """
        patience = self._patience if wait else 0
        give_up = time.monotonic() + patience
        self._let_sqlite_wait(0)
        try:
            with self._gate.held(patience) as mine:
                if not (mine or wait):
                    raise StoreUnavailableError(f"the store {self.path} is in use")
                while True:
                    try:
                        return self._db.execute(statement, parameters)
                    except sqlite3.OperationalError as exc:
                        if exc.sqlite_errorcode & _PRIMARY != sqlite3.SQLITE_BUSY or time.monotonic() >= give_up:
                            raise
                        time.sleep(_ASK_AGAIN)
        finally:
            self._let_sqlite_wait(self._patience)

    def _let_sqlite_wait(self, seconds: float) -> None:
        if not self._front:  # it only writes, and waits by itself
            self._db.execute(f"PRAGMA busy_timeout = {seconds * 1000:.0f}")

    def _wanted(self) -> bool:
        """Whether somebody waits for the write lock: long work then commits what it has, and takes its turn again."""
        return self._gate.busy()

    def maintain(self) -> None:
        """See `Store.maintain`. Copies the write-ahead log into the file, off everybody's commits."""
        if self._file is None:
            return
        log = Path(f"{self.path}-wal")
        with translated(self.path):
            if not log.exists() or log.stat().st_size < _CHECKPOINT_FROM:
                return
            self._db.execute("PRAGMA wal_checkpoint(PASSIVE)")
            # While there is always somebody writing, it would grow for ever: now and then all have to wait for it.
            if log.stat().st_size > _LARGEST_LEFT_LOG:
                with self._gate.held(self._patience):
                    self._let_sqlite_wait(_RESTART_PATIENCE)
                    self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
                    self._let_sqlite_wait(self._patience)

    @contextmanager
    def _reading(self) -> Iterator[Callable[..., sqlite3.Cursor]]:
        """Give out `execute` over one snapshot, errors translated."""
        with translated(self.path):
            self._db.execute("BEGIN")
            try:
                yield self._db.execute
            finally:
                self._db.execute("ROLLBACK")


def _split_script(sql: str) -> Iterator[str]:
    """Yield the statements of a script; `executescript` would commit the transaction first."""
    statement = ""
    for line in sql.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


@contextmanager
def translated(path: str) -> Iterator[None]:
    """Raise our errors in place of sqlite3's."""
    try:
        yield
    except sqlite3.Error as exc:
        raise translate(exc, path) from exc


def translate(exc: sqlite3.Error, path: str, *, what: str = "store") -> StoreError:
    """Return our error for one of sqlite3's, by its result code; `what` is the file."""
    code = getattr(exc, "sqlite_errorcode", None)
    family = code & _PRIMARY if code is not None else None
    kind, told, hint = _FAMILIES.get(family, (StoreRejectedError, f"refused: {exc}", None))
    return kind(f"the {what} {path} {told}", hint=hint)


def is_unavailable(exc: BaseException) -> bool:
    """Whether it is the database that cannot be used at the moment, whatever is asked of it."""
    return isinstance(exc, sqlite3.Error) and isinstance(translate(exc, ""), StoreUnavailableError)


_FAMILIES: dict[int | None, tuple[type[StoreError], str, str | None]] = {
    sqlite3.SQLITE_BUSY: (StoreUnavailableError, "is locked by another process", _LOCKED),
    sqlite3.SQLITE_LOCKED: (StoreUnavailableError, "is locked by another process", _LOCKED),
    sqlite3.SQLITE_FULL: (StoreUnavailableError, "is on a full disk", "Free space; what is recorded is safe."),
    sqlite3.SQLITE_IOERR: (StoreUnavailableError, "cannot be read or written", "Check its disk."),
    sqlite3.SQLITE_CANTOPEN: (StoreRejectedError, "cannot be opened", "Check that its folder exists."),
    sqlite3.SQLITE_READONLY: (StoreRejectedError, "cannot be written", "Check its owner and permissions."),
    sqlite3.SQLITE_PERM: (StoreRejectedError, "cannot be written", "Check its owner and permissions."),
    sqlite3.SQLITE_NOTADB: (StoreRejectedError, "is not an SQLite file", "Name another with --store."),
    sqlite3.SQLITE_CORRUPT: (StoreRejectedError, "is damaged", "Restore it from a backup."),
}
