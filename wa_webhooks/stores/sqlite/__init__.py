"""The SQLite store: one file, WAL, every commit on disk before it counts.

One connection for one thread. Several processes may share the file: writers take turns, readers never wait.
"""

from .connection import BACKEND
from .log import Log
from .reading import Reading

__all__ = ["SqliteStore"]


class SqliteStore(Log, Reading):
    """`Store` over one SQLite file."""

    name = BACKEND
