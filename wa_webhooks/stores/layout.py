"""The `supabase` folder of a project: our migrations and functions laid out in it, in Supabase's own form."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from ..edge import functions
from ..errors import ConfigError
from .sqlfiles import migrations

BACKENDS = {"sqlite": "sqlite", "postgres": "postgres", "supabase": "postgres"}
"""The folder of migrations of each backend: Supabase is Postgres."""

_OURS = re.compile(r"(\d{14})_wa_hooks_(.+)\.sql")
_STAMP = "%Y%m%d%H%M%S"


class Laid(NamedTuple):
    """A file of ours; `written` is whether it had to be."""

    path: Path
    written: bool


def lay_out(folder: Path, *, now: datetime) -> list[Laid]:
    """Write what is missing of our migrations and functions into a `supabase` folder; return all of them.

    A migration that is there stays under the time that it has; a new one comes after all others, also the user's.

    Raises:
        ConfigError: a migration is there with another text, or the folder cannot be written to.
    """
    try:
        return [*_migrations(folder / "migrations", now), *_functions(folder)]
    except OSError as exc:
        raise ConfigError(f"cannot write {exc.filename or folder}: {exc.strerror}") from exc


def _migrations(folder: Path, now: datetime) -> list[Laid]:
    folder.mkdir(parents=True, exist_ok=True)
    there = {found[2]: file for file in folder.glob("*.sql") if (found := _OURS.fullmatch(file.name))}
    stamp = _after_all(folder, now)
    laid = []
    for migration in migrations("postgres"):
        file = there.get(migration.name)
        if file is None:
            file = folder / f"{stamp:{_STAMP}}_wa_hooks_{migration.name}.sql"
            file.write_text(migration.sql, "utf-8")
            stamp += timedelta(seconds=1)
        elif file.read_text("utf-8") != migration.sql:
            raise ConfigError(
                f"{file} is not what this version of wa-hooks has under that name",
                hint="A migration never changes. Take back what was edited, or use the version that wrote it.",
            )
        laid.append(Laid(file, migration.name not in there))
    return laid


def _after_all(folder: Path, now: datetime) -> datetime:
    """Return a time after those of all migrations that there are: Supabase applies none before the last one."""
    newest = now.astimezone(UTC).replace(microsecond=0)
    for file in folder.glob("*.sql"):
        try:
            at = datetime.strptime(file.name[:14], _STAMP).replace(tzinfo=UTC)
        except ValueError:
            continue
        newest = max(newest, at + timedelta(seconds=1))
    return newest


def _functions(folder: Path) -> list[Laid]:
    laid = []
    for name, text in functions().items():
        file = folder / name
        changed = not file.is_file() or file.read_text("utf-8") != text
        if changed:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, "utf-8")
        laid.append(Laid(file, changed))
    return laid
