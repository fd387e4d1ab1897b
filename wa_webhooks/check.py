"""Check fixtures: every one parses and, where its expected result lies beside it, gives exactly that.

A fixture is a file with the bytes of one delivery, `<case>.json`; beside it `<case>.expected.json` says which events
and changes it gives.
"""

from __future__ import annotations

import difflib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .changes import as_json
from .errors import WaHooksError
from .events import Event
from .handlers import Registry
from .origin import Origin
from .payload import storable
from .pipeline import handle
from .splitting import split

EXPECTED_SUFFIX = ".expected.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseResult:
    """What checking one fixture gave. `verdict` is ok, updated, differs or fails; `detail` says what is wrong."""

    path: Path
    verdict: str
    events: int
    detail: str = ""

    @property
    def passed(self) -> bool:
        """Whether the fixture is as it should be."""
        return self.verdict in ("ok", "updated")


def result_of(body: bytes, registry: Registry) -> dict[str, Any]:
    """Return the events of a delivery and their changes as JSON: what an expected result holds."""
    return {"events": [_event(event, registry) for event in split(body)]}


def _event(event: Event, registry: Registry) -> dict[str, Any]:
    shown: dict[str, Any] = {"key": event.key, "type": event.type}
    if event.at:
        shown["at"] = event.at.isoformat().replace("+00:00", "Z")
    for name in ("account_id", "phone_number_id", "message_id", "call_id"):
        if (value := getattr(event, name)) is not None:
            shown[name] = value
    if refusal := Origin().refusal(event):
        shown["refused"] = refusal
        return shown
    try:
        shown["changes"] = [as_json(change) for change in handle(event, registry)]
    except WaHooksError as exc:
        shown["error"] = str(exc)
    except (Exception, SystemExit) as exc:  # noqa: BLE001 - a user's handler may raise anything; its result is that it fails
        shown["error"] = f"{type(exc).__name__}: {exc}"
    return shown


def check(path: Path, registry: Registry, *, update: bool = False) -> CaseResult:
    """Check one fixture; with `update`, write its expected result instead of comparing."""
    found = result_of(path.read_bytes(), registry)
    events = len(found["events"])
    expected = path.with_name(path.name.removesuffix(".json") + EXPECTED_SUFFIX)
    text = storable(json.dumps(found, indent=2, ensure_ascii=False)) + "\n"
    if update:
        before = expected.read_text("utf-8") if expected.exists() else None
        if before == text:
            return CaseResult(path=path, verdict="ok", events=events)
        expected.write_text(text, "utf-8")
        return CaseResult(path=path, verdict="updated", events=events)
    if expected.exists():
        wanted = expected.read_text("utf-8")
        if _loads(wanted) == json.loads(text):
            return CaseResult(path=path, verdict="ok", events=events)
        diff = difflib.unified_diff(wanted.splitlines(), text.splitlines(), "expected", "found", lineterm="")
        return CaseResult(path=path, verdict="differs", events=events, detail="\n".join(diff))
    return _without_expectation(path, found)


def check_body(path: Path, body: bytes, registry: Registry) -> CaseResult:
    """Check a delivery that has no file of its own, and so no expected result; `path` says where it stands."""
    return _without_expectation(path, result_of(body, registry))


def _without_expectation(path: Path, found: dict[str, Any]) -> CaseResult:
    errors = [f"{event['key']}: {event['error']}" for event in found["events"] if "error" in event]
    verdict = "fails" if errors else "ok"
    return CaseResult(path=path, verdict=verdict, events=len(found["events"]), detail="\n".join(errors))


def _loads(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None
