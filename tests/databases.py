"""The stores that are made of functions in Postgres, over the real parts of `stack`."""

import atexit
import os
from contextlib import closing
from datetime import datetime
from functools import cache
from types import MappingProxyType

import psycopg
import pytest
from psycopg import sql
from psycopg.rows import dict_row
from psycopg.types.string import TextLoader
from stack import MissingPartError, Stack
from stack.cluster import SUPERUSER

from wa_webhooks.stores import open_store
from wa_webhooks.stores.base import to_text
from wa_webhooks.stores.supabase import open_supabase

_KEPT = ("wa_migrations", "wa_health", "wa_tag_meanings")
"""Tables whose rows come with the schema."""

_TABLES = """
select tablename from pg_tables where schemaname = 'public' and tablename like 'wa\\_%%' and tablename <> all (%s)
"""
_RESTARTED = sql.SQL("""
select setval(format('%I.%I', schemaname, sequencename)::regclass, start_value, false) from pg_sequences
 where schemaname = 'public' and sequencename like 'wa\\_%'
""")


@cache
def _started():
    try:
        started = Stack()
    except MissingPartError as exc:
        return exc
    atexit.register(started.close)
    return started


def shared_stack():
    """Return the stack of this session, started with the first test that needs it; it ends with the session."""
    found = _started()
    if isinstance(found, MissingPartError):
        pytest.skip(f"NOT TESTED: nothing over Postgres and Supabase, which needs {found}")
    return found


@cache
def shared_project(number):
    """Return a project that tests share, one after the other."""
    return shared_stack().project()


def empty(project):
    """Empty the tables, which for everybody but a superuser with the triggers off refuse it."""
    with project.connect() as db, db.transaction():
        found = db.execute(_TABLES, [list(_KEPT)]).fetchall()
        # A twentieth of the time that truncation takes, which makes files.
        parts = [sql.SQL("delete from public.{}").format(sql.Identifier(name)) for (name,) in found]
        db.execute(sql.SQL("; ").join([sql.SQL("set local session_replication_role = replica"), *parts, _RESTARTED]))


class Postgres:
    """A database, emptied before each test; every `open` is another connection to it."""

    shared = True
    environment = MappingProxyType({})

    def __init__(self, tmp_path, number=0):
        self.project = shared_project(number)
        self.url = self.project.url
        self.superuser_url = self.project.cluster.url(self.project.database, SUPERUSER)
        empty(self.project)

    def open(self, **options):
        return open_store(self.url, **options)

    def sibling(self):
        """Another store of the same kind, empty."""
        return type(self)(None, 1)

    def rows(self, store, statement, *parameters):
        """Rows as SQLite has them: times are texts, JSON is text."""
        with closing(self._connect()) as db:
            for kind in ("json", "jsonb"):
                db.adapters.register_loader(kind, TextLoader)
            found = db.cursor(row_factory=dict_row).execute(_positional(statement), parameters or None).fetchall()
        return [{name: to_text(v) if isinstance(v, datetime) else v for name, v in row.items()} for row in found]

    def run(self, store, statement):
        with closing(self._connect()) as db:
            db.execute(statement)

    def _connect(self):
        return psycopg.connect(self.project.url, autocommit=True)


class Supabase(Postgres):
    """The same through supabase-py, the gateway and PostgREST."""

    def __init__(self, tmp_path, number=0):
        super().__init__(tmp_path, number)
        self.url = "supabase"
        self.environment = self.project.environment

    def open(self, *, create=True, **options):
        return open_supabase(env={**os.environ, **self.environment}, **options)


def _positional(statement):
    return statement.replace("%", "%%").replace("?", "%s") if "?" in statement else statement
