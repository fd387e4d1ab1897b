"""What a delivery gives, as JSON: what an expected result holds."""

from __future__ import annotations

import json
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .. import drift, pipeline
from ..changes import as_json
from ..errors import WaHooksError
from ..events import Event
from ..handlers import Registry
from ..origin import Origin
from ..payload import storable
from ..splitting import split

UNREADABLE = "unreadable"
_OURS = f"{Path(__file__).parents[1]}/"
_UNKNOWN = {drift.KEY: "unknown key", drift.VALUE: "unknown value", drift.SHAPE: "other shape"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a delivery gives. `notes` says, for an event that fails, by its position: in which handler and where."""

    result: dict[str, Any]
    notes: Mapping[int, tuple[str, ...]] = field(default_factory=dict)

    @property
    def events(self) -> list[dict[str, Any]]:
        """The events in it."""
        events: list[dict[str, Any]] = self.result["events"]
        return events

    @property
    def text(self) -> str:
        """The result as an expected result is written: one value a line, so that a diff shows what changed."""
        return storable(json.dumps(self.result, indent=2, ensure_ascii=False)) + "\n"


def result_of(body: bytes, registry: Registry) -> dict[str, Any]:
    """Return the events of a delivery and their changes as JSON: what an expected result holds."""
    return examine(body, registry).result


def examine(body: bytes, registry: Registry) -> Found:
    """Return what a delivery gives. Never raises: what a handler raises is its event's error."""
    notes: dict[int, tuple[str, ...]] = {}
    events = [_event(event, registry, notes) for event in split(body)]
    return Found(result={"events": events}, notes=notes)


def _event(event: Event, registry: Registry, notes: dict[int, tuple[str, ...]]) -> dict[str, Any]:
    shown: dict[str, Any] = {"key": event.key, "type": event.type}
    if event.at:
        shown["at"] = event.at.isoformat().replace("+00:00", "Z")
    for name in ("account_id", "phone_number_id", "message_id", "call_id"):
        if (value := getattr(event, name)) is not None:
            shown[name] = value
    if refusal := Origin().refusal(event):
        shown["refused"] = refusal
        return shown
    if event.type != UNREADABLE and (unknown := _unknown(event)):
        shown["drift"] = unknown
    try:
        shown["changes"] = [as_json(change) for change in pipeline.handle(event, registry)]
    except (Exception, SystemExit) as exc:  # noqa: BLE001 - a user's handler may raise anything; its result is that it fails
        shown["error"] = str(exc) if isinstance(exc, WaHooksError) else f"{type(exc).__name__}: {exc}"
        if event.type != UNREADABLE:  # the delivery is at fault, not the handler that says so
            notes[event.position] = _notes(exc)
    return shown


def _unknown(event: Event) -> list[str]:
    """What the models do not know in an event, a line each."""
    found = [
        f"{_UNKNOWN[each.kind]} {each.path}" + (f": {each.detail}" if each.detail else "")
        for each in drift.findings(event.payload)
    ]
    if not found and event.type.startswith("unknown."):
        return [f"unknown type {event.type}"]
    return found


def _notes(exc: BaseException) -> tuple[str, ...]:
    """In which handler it was raised and what else failed, as the pipeline noted it; the line, if it is not ours."""
    noted = tuple(getattr(exc, "__notes__", ()))
    lines = [(frame.f_code.co_filename, number) for frame, number in traceback.walk_tb(exc.__traceback__)]
    files = [file for file, _ in lines]
    inside = lines[len(files) - files[::-1].index(pipeline.__file__) :] if pipeline.__file__ in files else []
    if not inside or inside[0][0].startswith(_OURS):
        return noted
    # The deepest line of the handler's own file: what a library raises is where the handler called it.
    file, number = [each for each in inside if each[0] == inside[0][0]][-1]
    return (*noted, f"at {_short(file)}:{number}")


def _short(filename: str) -> str:
    path = Path(filename)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else filename
