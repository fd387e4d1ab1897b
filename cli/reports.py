"""What `check` found, for people, for JUnit readers and for GitHub Actions."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from wa_webhooks.check import CaseResult, Difference, Report
from wa_webhooks.check.words import plain
from wa_webhooks.errors import ConfigError

from .render import count

_MOST_HEADINGS = 6
_NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def block(result: CaseResult) -> str:
    """Return what a person reads about one fixture, a few lines."""
    lines = [f"{result.verdict}  {plain(str(result.path))}" + (", which now expects" if _is_update(result) else "")]
    event = None
    for difference in result.differences:
        if difference.event and difference.event != event:
            lines.append(f"    {_event(difference)}")
        event = difference.event
        first, *others = _lines(difference)
        lines.append(f"        {first}  {plain(str(difference.file))}:{difference.line}")
        lines += [f"            {line}" for line in others]
    return "\n".join(lines)


def _is_update(result: CaseResult) -> bool:
    return result.passed and bool(result.differences)


def _event(difference: Difference) -> str:
    return plain(f"{difference.type}  {difference.event}")


def _lines(difference: Difference) -> list[str]:
    if values := difference.values:
        return [difference.heading, f"expected  {values[0]}", f"found     {values[1]}"]
    return [": ".join(part for part in (difference.heading, difference.about) if part)]


def record(result: CaseResult) -> dict[str, Any]:
    """Return the result of one fixture as JSON."""
    return {
        "path": str(result.path),
        "verdict": result.verdict,
        "events": result.events,
        "detail": result.detail,
        "seconds": round(result.seconds, 6),
        "differences": [_as_json(difference) for difference in result.differences],
    }


def _as_json(difference: Difference) -> dict[str, Any]:
    return {
        "what": str(difference.what),
        "event_key": difference.event or None,
        "tipo_evento": difference.type or None,
        "subject": difference.subject,
        "change": difference.change,
        "column": difference.column,
        "expected": difference.expected,
        "actual": difference.actual,
        "notes": list(difference.notes),
        "file": str(difference.file),
        "line": difference.line,
    }


def summary(report: Report) -> str:
    """Return the last words: what differs most often, and how many passed."""
    told = f"{count(len(report.results), 'fixture')}, {count(report.events, 'event')}: "
    told += f"{len(report.results) - report.failed} passed, {report.failed} failed"
    told += f", {report.updated} updated" if report.updated else ""
    told += f" in {report.seconds:.2f} s"
    failed = [result for result in report.results if not result.passed]
    headings = Counter(each.heading for result in failed for each in result.differences)
    often = [f"{heading} ({number})" for heading, number in headings.most_common(_MOST_HEADINGS) if number > 1]
    return f"most often: {', '.join(often)}\n{told}" if often else told


def github_commands(report: Report) -> Iterator[str]:
    """Give GitHub's workflow commands: one error a difference, at the line where the expected value stands."""
    for result in report.results:
        for difference in () if result.passed else result.differences:
            file = _path(difference.file or result.path)
            title = _property(f"{plain(result.path.stem)}: {difference.heading}")
            at = f"file={_property(file)},line={difference.line},title={title}"
            event = [_event(difference)] if difference.event else []
            message = "\n".join([*event, *_lines(difference)])
            yield f"::error {at}::{_escaped(message)}"


def _path(file: Path) -> str:
    """A path as CI knows it: from the top of the repository, or else from the working directory."""
    absolute = Path.cwd() / file
    tops = [Path(top) for top in (os.environ.get("GITHUB_WORKSPACE"), Path.cwd()) if top]
    top = next((top for top in tops if absolute.is_relative_to(top)), None)
    return (absolute.relative_to(top) if top else absolute).as_posix()


def _escaped(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _escaped(text).replace(":", "%3A").replace(",", "%2C")


def write_junit(report: Report, file: Path) -> None:
    """Write the report as JUnit XML, one test case a fixture.

    Raises:
        ConfigError: it cannot be written.
    """
    from xml.etree import ElementTree as ET

    ended = datetime.now(UTC)
    totals = {
        "name": "wa-hooks check",
        "tests": str(len(report.results)),
        "failures": str(report.failed),
        "errors": "0",
        "skipped": "0",
        "time": f"{report.seconds:.3f}",
        "timestamp": f"{ended - timedelta(seconds=report.seconds):%Y-%m-%dT%H:%M:%S}",
    }
    suites = ET.Element("testsuites", totals)
    suite = ET.SubElement(suites, "testsuite", totals)
    for result in report.results:
        path = Path(_path(result.path))
        about = {"classname": _xml(path.parent.as_posix()), "name": _xml(path.name.removesuffix(".json"))}
        place = {"file": _xml(path.as_posix()), "time": f"{result.seconds:.3f}"}
        case = ET.SubElement(suite, "testcase", about | place)
        if not result.passed:
            first, *others = [each.sentence for each in result.differences]
            said = first + (f" (and {len(others)} more)" if others else "")
            failure = ET.SubElement(case, "failure", {"message": _xml(said), "type": result.verdict})
            failure.text = _xml(block(result))
    ET.indent(suites)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        ET.ElementTree(suites).write(file, encoding="utf-8", xml_declaration=True)
    except OSError as exc:
        raise ConfigError(f"cannot write {file}: {exc.strerror}") from exc


def _xml(text: str) -> str:
    return _NOT_IN_XML.sub("\ufffd", text)
