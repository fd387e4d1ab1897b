"""Postgres without anything before it: the functions called over a database URL, and migrations applied there."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from pydantic_core import from_json, to_json

from ..errors import ConfigError, StoreError, StoreRejectedError, StoreUnavailableError
from .rpc import RpcStore
from .rpc.calls import BACKEND, compare, newer
from .rpc.refusals import by_sqlstate
from .sqlfiles import migrations

if TYPE_CHECKING:
    import psycopg

NAME = "postgres"

_MIGRATING = 0x57415F6D
"""The key of the lock that whoever migrates holds: one at a time."""

_CONNECTION: dict[str, Any] = {
    "application_name": "wa-hooks",
    "client_encoding": "utf8",
    # A connection that has died without a word is found out in seconds, not hours.
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
}
_LONGEST_STATEMENT, _LONGEST_OF_FRONT = 60, 8
"""Seconds."""


class PostgresTransport:
    """One connection, made anew when it is lost."""

    name = NAME

    def __init__(self, url: str, *, busy_timeout: float = 2.0, front: bool = False) -> None:
        """Nothing is connected to yet. `busy_timeout`, in seconds, is how long to wait for a connection."""
        self._url, self._patience = url, max(2, round(busy_timeout))
        self._longest = _LONGEST_OF_FRONT if front else _LONGEST_STATEMENT
        self._db: psycopg.Connection[tuple[Any, ...]] | None = None

    def call(self, function: str, args: Mapping[str, Any]) -> Any:
        """Call a function; see `Transport.call`."""
        with self._connected() as db:
            # Not prepared on the server: behind a pooler the next statement may run on another connection.
            row = db.execute(f"select public.{function}(%s::jsonb)::text", [to_json(args).decode()]).fetchone()
        return None if row is None or row[0] is None else from_json(row[0])

    def close(self) -> None:
        """Let go of the connection."""
        if self._db is not None:
            self._db.close()
            self._db = None

    def applied(self) -> list[str] | None:
        """Return the names of the migrations that the database has; None where it has nothing of ours."""
        with self._connected() as db:
            return _applied(db)

    def migrate(self) -> list[str]:
        """Apply the pending migrations, each in a transaction with the record of it; return their names."""
        done: list[str] = []
        with self._connected() as db:
            missing, foreign = compare(_applied(db) or [])
            if not (missing or foreign):
                return done
            with _alone(db):
                missing, foreign = compare(_applied(db) or [])
                if foreign:
                    raise newer(NAME, foreign)
                for migration in migrations(BACKEND):
                    if migration.name in missing:
                        with db.transaction():
                            db.execute(migration.sql)
                        done.append(migration.name)
        return done

    @contextlib.contextmanager
    def _connected(self) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
        """Give out the connection, errors translated; one that is broken is not used again."""
        import psycopg  # noqa: PLC0415 - only who has this store needs it

        try:
            if self._db is None:
                self._db = self._connect()
            yield self._db
        except psycopg.Error as exc:
            raise translate(exc) from exc
        finally:
            if self._db is not None and (self._db.closed or self._db.broken):
                self._db.close()
                self._db = None

    def _connect(self) -> psycopg.Connection[tuple[Any, ...]]:
        import psycopg  # noqa: PLC0415 - as above

        db = psycopg.connect(
            self._url,
            autocommit=True,
            prepare_threshold=None,
            connect_timeout=self._patience,
            **_CONNECTION,
        )
        db.execute(f"set statement_timeout = '{self._longest}s'")
        return db


def open_postgres(url: str, *, busy_timeout: float = 2.0, front: bool = False, create: bool = True) -> RpcStore:
    """Open the store at a database URL, `postgresql://...`; see `open_store`."""
    _check(url)
    transport = PostgresTransport(url, busy_timeout=busy_timeout, front=front)
    try:
        if not create:
            _check_there(transport)
        store = RpcStore(transport, migrate=transport.migrate, front=front)
        store.migrate()
    except BaseException:
        transport.close()
        raise
    return store


def _check_there(transport: PostgresTransport) -> None:
    """Refuse a database that has nothing of ours: a look must not make it."""
    if transport.applied() is None:
        raise StoreRejectedError(
            "the database holds no store of wa-hooks", hint="Name another, or record something first."
        )


def _check(url: str) -> None:
    """Refuse a URL that is none, without a word of it: it may hold a password."""
    try:
        import psycopg  # noqa: PLC0415 - as above
    except ImportError as exc:
        raise ConfigError(
            "the store needs psycopg, which is not installed", hint="pip install 'wa-hooks[postgres]'"
        ) from exc
    try:
        psycopg.conninfo.conninfo_to_dict(url)
    except psycopg.Error as exc:
        raise ConfigError(
            "the store's address is no database URL",
            hint="postgresql://USER@HOST:PORT/DATABASE; special characters in it as %XX. PGPASSWORD may hold the "
            "password.",
        ) from exc


def _applied(db: psycopg.Connection[tuple[Any, ...]]) -> list[str] | None:
    if db.execute("select to_regclass('public.wa_migrations')").fetchone() == (None,):
        return None
    return [name for (name,) in db.execute("select name from public.wa_migrations order by name")]


@contextlib.contextmanager
def _alone(db: psycopg.Connection[tuple[Any, ...]]) -> Iterator[None]:
    """While nobody else migrates."""
    db.execute("select pg_advisory_lock(%s)", [_MIGRATING])
    try:
        yield
    finally:
        if not db.closed:
            db.execute("select pg_advisory_unlock(%s)", [_MIGRATING])


def translate(exc: psycopg.Error) -> StoreError:
    """Return our error for one of psycopg's, by its SQLSTATE. It tells what the server said, never the address."""
    import psycopg  # noqa: PLC0415 - as above

    if exc.sqlstate is not None:
        return by_sqlstate(NAME, exc.sqlstate, exc.diag.message_primary or "no reason given")
    if isinstance(exc, psycopg.OperationalError):
        hint = "Check that the server runs, and its address."
        return StoreUnavailableError(f"the {NAME} store cannot be reached", hint=hint)
    kind = StoreUnavailableError if isinstance(exc, psycopg.InterfaceError) else StoreRejectedError
    return kind(f"the {NAME} store failed: {exc}")
