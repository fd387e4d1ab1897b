"""Checking fixtures, one after the other."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from .. import captures
from ..handlers import Registry
from .differences import Difference, What, compare, without_expectation
from .files import case_of, expected_of, gather, read, write
from .places import line_of, lines_of
from .results import Found, examine


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseResult:
    """What checking one fixture gave.

    `verdict` is ok, updated, differs (from what is expected), fails (nothing is expected, and an event fails or, with
    `strict`, is not known) or orphan (an expected result without its fixture). The differences of an updated one are
    what it expects now and perhaps should not. `seconds` is how long it took.
    """

    path: Path
    verdict: str
    events: int
    differences: tuple[Difference, ...] = ()
    seconds: float = 0.0

    @property
    def passed(self) -> bool:
        """Whether the fixture is as it should be."""
        return self.verdict in ("ok", "updated")

    @property
    def detail(self) -> str:
        """What is wrong, a line each."""
        return "\n".join(difference.sentence for difference in self.differences)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What checking fixtures gave; `skipped` names the files passed over, and why."""

    results: tuple[CaseResult, ...]
    skipped: tuple[str, ...] = ()
    seconds: float = 0.0

    @property
    def failed(self) -> int:
        """How many did not pass."""
        return sum(not result.passed for result in self.results)

    @property
    def events(self) -> int:
        """How many events they gave."""
        return sum(result.events for result in self.results)

    @property
    def updated(self) -> int:
        """How many expected results were written anew."""
        return sum(result.verdict == "updated" for result in self.results)


def check_paths(paths: Sequence[str], registry: Registry, *, update: bool = False, strict: bool = False) -> Report:
    """Check the fixtures in files, folders and globs, each once, and that no expected result is left without its own.

    Raises:
        ConfigError: a path does not exist, or a file cannot be read or written.
        NothingMatchesError: there are no fixtures in them.
    """
    start = time.perf_counter()
    found, orphans = gather(paths)
    results = []
    for file in dict.fromkeys(found.files):
        if captures.is_lines(file):
            lines = captures.Captures([file])
            results += [check_body(Path(each.name), each.body, registry, strict=strict) for each in lines]
        else:
            results.append(check(file, registry, update=update, strict=strict))
    results += [_orphan(file) for file in orphans]
    seconds = time.perf_counter() - start
    return Report(results=tuple(results), skipped=tuple(found.skipped), seconds=seconds)


def check(path: Path, registry: Registry, *, update: bool = False, strict: bool = False) -> CaseResult:
    """Check one fixture; with `update`, write its expected result instead of comparing."""
    start = time.perf_counter()
    found = examine(read(path), registry)
    expected = expected_of(path)
    before = read(expected) if expected.exists() else None
    text = found.text
    if before == text.encode():
        return CaseResult(path=path, verdict="ok", events=len(found.events), seconds=time.perf_counter() - start)
    found = replace(found, result=json.loads(text))  # what is written, storable, is what is compared
    if update:
        differences = tuple(_newly_expected(before, text, found, expected))
        verdict = "updated"
        write(expected, text)
    else:
        differences = tuple(_differences(path, expected, before, found, strict=strict))
        verdict = "ok" if not differences else "fails" if before is None else "differs"
    return CaseResult(
        path=path,
        verdict=verdict,
        events=len(found.events),
        differences=differences,
        seconds=time.perf_counter() - start,
    )


def check_body(path: Path, body: bytes, registry: Registry, *, strict: bool = False) -> CaseResult:
    """Check a delivery that has no file of its own, and so no expected result; `path` says where it stands.

    That is a file, or a line of one: `log.jsonl:3`.
    """
    start = time.perf_counter()
    found = examine(body, registry)
    name, _, number = path.name.rpartition(":")
    file, line = (path.with_name(name), int(number)) if name and number.isdecimal() else (path, 1)
    differences = tuple(replace(each, file=file, line=line) for each in without_expectation(found, strict=strict))
    return CaseResult(
        path=path,
        verdict="fails" if differences else "ok",
        events=len(found.events),
        differences=differences,
        seconds=time.perf_counter() - start,
    )


def _differences(
    path: Path, expected: Path, before: bytes | None, found: Found, *, strict: bool
) -> Iterator[Difference]:
    if before is not None:
        yield from _from_expected(expected, before, found, strict=strict)
        return
    yield from (replace(each, file=path) for each in without_expectation(found, strict=strict))
    if strict:
        advice = f"{expected.name} is not there; --update writes it"
        yield Difference(what=What.NOT_EXPECTED, actual=advice, file=path)


def _from_expected(expected: Path, before: bytes, found: Found, *, strict: bool) -> Iterator[Difference]:
    try:
        text = before.decode("utf-8-sig")
        wanted = _result_in(text)
        differences = list(compare(wanted, found, strict=strict))
        lines = lines_of(text) if differences else {}
    except (ValueError, RecursionError) as exc:
        reason = f"{expected.name} {_why(exc)}; --update writes it anew"
        line = exc.lineno if isinstance(exc, json.JSONDecodeError) else 1
        yield Difference(what=What.NO_RESULT, actual=reason, file=expected, line=line)
        return
    yield from (replace(each, file=expected, line=line_of(lines, each.place)) for each in differences)


def _result_in(text: str) -> dict[str, Any]:
    """Return the expected result in a text.

    Raises:
        ValueError: it is none.
    """
    value = json.loads(text)
    if not isinstance(value, dict) or not _are(dict, value.get("events")):
        raise ValueError("no events")
    for event in value["events"]:
        if not _are(dict, event.get("changes", [])) or not _are(str, event.get("drift", [])):
            raise ValueError("no event")
    return value


def _are(kind: type, value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, kind) for each in value)


def _why(exc: Exception) -> str:
    if isinstance(exc, json.JSONDecodeError):
        return f"is not JSON: {exc.msg} (line {exc.lineno}, column {exc.colno})"
    return "is not UTF-8" if isinstance(exc, UnicodeDecodeError) else "is no expected result"


def _newly_expected(before: bytes | None, text: str, found: Found, expected: Path) -> Iterator[Difference]:
    """What an update expects that was not expected before and perhaps should not be: failures and unknown things."""
    try:
        old = _result_in(before.decode("utf-8-sig")) if before is not None else {"events": []}
    except (ValueError, RecursionError):
        old = {"events": []}
    stated = {(each.event, str(each.actual)) for each in without_expectation(Found(result=old), strict=True)}
    new = [each for each in without_expectation(found, strict=True) if (each.event, str(each.actual)) not in stated]
    lines = lines_of(text) if new else {}
    yield from (replace(each, file=expected, line=line_of(lines, each.place)) for each in new)


def _orphan(expected: Path) -> CaseResult:
    advice = f"{case_of(expected)} is not there; rename this file likewise, or delete it"
    differences = (Difference(what=What.NO_FIXTURE, actual=advice, file=expected),)
    return CaseResult(path=expected, verdict="orphan", events=0, differences=differences)
