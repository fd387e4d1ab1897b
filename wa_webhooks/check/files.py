"""Fixtures and their expected results as files: which there are, and which belongs to which."""

from __future__ import annotations

import glob
import io
from collections.abc import Iterable, Sequence
from pathlib import Path

from .. import captures
from ..captures import EXPECTED_SUFFIX
from ..errors import ConfigError, NothingMatchesError


def gather(paths: Sequence[str]) -> tuple[captures.Captures, list[Path]]:
    """Return the fixtures in paths, and the expected results that have none.

    A shell's `*.json` names expected results too: they stand for their fixtures.

    Raises:
        ConfigError: a path does not exist.
        NothingMatchesError: there is neither in them.
    """
    if "-" in paths:
        raise ConfigError("fixtures are files", hint="Name files, folders or globs.")
    expected = dict.fromkeys(file for path in paths for file in _expected_results(path))
    orphans = [file for file in expected if _fixture_of(file) is None]
    fixtures = {path: _fixture_of(Path(path)) if _is_expected(Path(path)) else path for path in paths}
    named = [str(fixture) for fixture in fixtures.values() if fixture is not None]
    try:
        return captures.gather(named, io.BytesIO()) if named else captures.Captures(), orphans
    except NothingMatchesError:
        if not orphans:
            raise
    return captures.Captures(), orphans


def _expected_results(path: str) -> Iterable[Path]:
    if Path(path).is_dir():
        return sorted(Path(path).rglob(f"*{EXPECTED_SUFFIX}"))
    if Path(path).exists():
        return [Path(path)] if _is_expected(Path(path)) else []
    matches = sorted(glob.glob(path, recursive=True))  # noqa: PTH207 - takes absolute patterns too
    return [Path(match) for match in matches if match.endswith(EXPECTED_SUFFIX)]


def _is_expected(file: Path) -> bool:
    return file.name.endswith(EXPECTED_SUFFIX) and file.is_file()


def expected_of(fixture: Path) -> Path:
    """Return where the expected result of a fixture is."""
    return fixture.with_name(fixture.name.removesuffix(".json") + EXPECTED_SUFFIX)


def case_of(expected: Path) -> str:
    """Return the name that the fixture of an expected result would have."""
    return f"{expected.name.removesuffix(EXPECTED_SUFFIX)}.json"


def _fixture_of(expected: Path) -> Path | None:
    """Return the fixture beside an expected result: `case.json`, or what is not called so, `case.raw`."""
    names = (case_of(expected), expected.name.removesuffix(EXPECTED_SUFFIX))
    files = (expected.with_name(name) for name in names)
    return next((file for file in files if file.is_file() and not captures.is_lines(file)), None)


def read(file: Path) -> bytes:
    """Return what is in a file.

    Raises:
        ConfigError: it cannot be read.
    """
    try:
        return file.read_bytes()
    except OSError as exc:
        raise ConfigError(f"cannot read {file}: {exc.strerror}") from exc


def write(file: Path, text: str) -> None:
    """Write a file.

    Raises:
        ConfigError: it cannot be written.
    """
    try:
        file.write_text(text, "utf-8")
    except OSError as exc:
        raise ConfigError(f"cannot write {file}: {exc.strerror}") from exc
