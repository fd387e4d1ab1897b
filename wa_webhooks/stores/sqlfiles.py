"""The SQL that ships with the package: migrations and named statements, in files, one folder a backend."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

_FOLDER = Path(__file__).parent / "sql"
_NAME = "-- name: "


class Migration(NamedTuple):
    """One migration: `name` is its file's, without the ending; never edited once released."""

    name: str
    sql: str


def migrations(backend: str) -> list[Migration]:
    """Return the migrations of a backend, in order."""
    files = sorted((_FOLDER / backend).glob("[0-9]*.sql"))
    return [Migration(file.stem, file.read_text("utf-8")) for file in files]


def statements(backend: str) -> dict[str, str]:
    """Return the named statements of a backend: each stands under a line `-- name: <name>`."""
    text = (_FOLDER / backend / "queries.sql").read_text("utf-8")
    blocks = ("\n" + text).split("\n" + _NAME)[1:]
    return {name.strip(): sql.strip() for name, _, sql in (block.partition("\n") for block in blocks)}
