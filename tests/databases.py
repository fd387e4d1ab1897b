"""Databases of a real Postgres server, for the stores that are made of functions in it."""

import os
from contextlib import closing
from datetime import datetime
from functools import cache

import psycopg
import pytest
from psycopg import sql
from psycopg.rows import dict_row
from psycopg.types.string import TextLoader

from wa_webhooks.stores import open_store
from wa_webhooks.stores.base import to_text

_KEPT = ("wa_migrations", "wa_health", "wa_tag_meanings")
"""Tables whose rows come with the schema."""


@cache
def server():
    """The URL of a server whose superuser we are, without the database."""
    if url := os.environ.get("WA_HOOKS_TEST_POSTGRES"):
        return url
    pytest.skip("needs a Postgres server: WA_HOOKS_TEST_POSTGRES=postgresql://SUPERUSER@HOST:PORT")


@cache
def database(number):
    """Make a database with our schema, once a session; return its URL."""
    name = f"wa_hooks_test_{os.getpid()}_{number}"
    with closing(psycopg.connect(f"{server()}/postgres", autocommit=True)) as db:
        for statement in ("drop database if exists {}", "create database {} owner postgres"):
            db.execute(sql.SQL(statement).format(sql.Identifier(name)))
    url = f"{server()}/{name}"
    owner = psycopg.conninfo.make_conninfo(url, user="postgres")
    parts = psycopg.conninfo.conninfo_to_dict(owner)
    owned = f"postgresql://postgres@{parts['host']}:{parts['port']}/{name}"
    open_store(owned).close()
    return url, owned


def empty(url):
    """Empty the tables of a database, which for everybody else refuses it."""
    with closing(psycopg.connect(url, autocommit=True)) as db, db.transaction():
        found = db.execute(
            "select tablename from pg_tables where schemaname = 'public' and tablename like 'wa\\_%%'"
            " and tablename <> all (%s)",
            [list(_KEPT)],
        )
        tables = sql.SQL(", ").join(sql.Identifier("public", name) for (name,) in found)
        db.execute("set local session_replication_role = replica")
        db.execute(sql.SQL("truncate {} restart identity").format(tables))


class Postgres:
    """A database, emptied before each test; every `open` is another connection to it."""

    shared = True

    def __init__(self, tmp_path, number=0):
        self.superuser_url, self.url = database(number)
        empty(self.superuser_url)

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
        return psycopg.connect(self.url, autocommit=True)


def _positional(statement):
    return statement.replace("%", "%%").replace("?", "%s") if "?" in statement else statement
