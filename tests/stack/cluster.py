"""A Postgres server of the tests' own, with the roles that a Supabase project has."""

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
from pathlib import Path

import psycopg
from psycopg import sql

from .processes import Process, free_port

SUPERUSER = "supabase_admin"
"""As on Supabase, where nobody but Supabase itself is one."""

SQL = Path(__file__).parent / "sql"
_INITIAL = ("--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync", "--no-instructions")
_FAST = ("fsync=off", "full_page_writes=off", "autovacuum_naptime=5s")
"""What is lost with these is lost in a power cut alone: a crash of the server itself loses nothing committed."""


class Cluster:
    """One server under `folder`, which its user must be able to enter. Nobody needs a password."""

    def __init__(self, programs, folder, *, settings=()):
        self.port = free_port()
        self._folder = folder
        self._data = folder / "data"
        user = _user()
        if user:
            shutil.chown(folder, user, user)
        identity = {"user": user, "group": user, "extra_groups": []} if user else {}
        subprocess.run(
            [programs / "initdb", "-D", self._data, "-U", SUPERUSER, *_INITIAL],
            check=True,
            capture_output=True,
            env={"PATH": os.environ["PATH"]},
            cwd=folder,
            **identity,
        )
        given = {"listen_addresses=127.0.0.1", "max_connections=200", "unix_socket_directories=", *_FAST, *settings}
        options = [part for setting in sorted(given) for part in ("-c", setting)]
        self._process = Process(
            [programs / "postgres", "-D", self._data, "-p", str(self.port), *options],
            folder / "postgres.log",
            user=user,
            ending=signal.SIGINT,  # a fast shutdown: clients are not waited for
        )
        self.start()

    def url(self, database="postgres", user="postgres"):
        return f"postgresql://{user}@127.0.0.1:{self.port}/{database}"

    def connect(self, database="postgres", user=SUPERUSER, **options):
        return psycopg.connect(self.url(database, user), autocommit=True, connect_timeout=5, **options)

    def run(self, statements, database="postgres", user=SUPERUSER):
        """Run SQL, of one statement or of many, in one transaction."""
        with self.connect(database, user) as connection, connection.transaction():
            connection.execute(statements)

    def run_file(self, name, database="postgres", user=SUPERUSER):
        self.run((SQL / name).read_text("utf-8"), database, user)

    def create_database(self, name, template=None):
        """Make a database, owned as on Supabase; with a `template`, a copy of that."""
        named = sql.Identifier(name)
        made = sql.SQL("create database {} template {} owner postgres").format(
            named, sql.Identifier(template or "template0")
        )
        path = sql.SQL('alter database {} set search_path = "$user", public, extensions').format(named)
        with self.connect() as connection:
            connection.execute(made)
            connection.execute(path)

    def drop_database(self, name):
        with self.connect() as connection:
            connection.execute(sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(name)))

    def start(self):
        self._process.start(self._answers)

    def stop(self, *, crash=False):
        """Stop the server: connections are cut. With `crash` it has no time for anything."""
        self._process.stop(signal.SIGQUIT if crash else None)

    def restart(self, *, crash=False):
        self.stop(crash=crash)
        self.start()

    def _answers(self):
        with contextlib.suppress(psycopg.OperationalError):
            self.connect().close()
            return True
        return False


def _user():
    """Who runs the server: Postgres refuses to be run by root."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name).pw_name
    raise AssertionError("no user to run Postgres as")
