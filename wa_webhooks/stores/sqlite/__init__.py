"""The SQLite store: one file, WAL, every commit on disk before it counts.

One connection for one thread. Several processes may share the file: writers take turns, readers never wait.
"""

from .claims import Claims
from .connection import BACKEND
from .copying import Copying
from .reading import Reading
from .rebuilding import Rebuilding
from .rejecting import Rejecting
from .runs import Runs
from .settling import Settling

__all__ = ["SqliteStore"]


class SqliteStore(Claims, Settling, Runs, Reading, Rebuilding, Rejecting, Copying):
    """`Store` over one SQLite file."""

    name = BACKEND
