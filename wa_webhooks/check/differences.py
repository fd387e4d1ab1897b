"""How what a delivery gives differs from what is expected of it: event by event, change by change, column by column.

Neither the order of events nor that of changes matters: applying them is a join.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from ..events import canonical
from .places import Place
from .results import Found
from .words import listed, plain, quoted, side_by_side

_IDS = ("wamid", "call_id", "idempotency_key", "topic", "notice", "status", "step")
_OWN_WAY = frozenset({"changes", "drift", "error"})
"""What of an event is compared in a way of its own; everything else is a column."""


class What(StrEnum):
    """What is not as it should be."""

    COLUMN = "column"
    MISSING_EVENT = "missing event"
    EXTRA_EVENT = "extra event"
    MISSING_CHANGE = "missing change"
    EXTRA_CHANGE = "extra change"
    FAILS = "fails"
    SUCCEEDS = "does not fail"
    UNKNOWN = "unknown"
    KNOWN = "known by now"
    NOT_EXPECTED = "no expected result"
    NO_RESULT = "unreadable expected result"
    NO_FIXTURE = "no fixture"


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One thing that is not as it should be.

    `event`, `type` and `subject` are the event's key, its type, and the wamid or call id that it is about. `change`
    is the kind of the change, and `column` what in it differs (`person.wa_id`, say), or in the event where there is
    no `change`. `expected` and `actual` are None where there is nothing. `notes` say of a failure in which handler
    and where. `place` is where in the expected result, `file` and `line` where that is for somebody who looks.
    """

    what: What
    event: str = ""
    type: str = ""
    subject: str | None = None
    change: str | None = None
    column: str | None = None
    expected: Any = None
    actual: Any = None
    notes: tuple[str, ...] = ()
    place: Place = ()
    file: Path | None = None
    line: int = 1

    @property
    def heading(self) -> str:
        """What differs, without the values: `message_seen.text`, `missing change lead_seen`, `fails`."""
        match self.what:
            case What.COLUMN:
                return plain(f"{self.change}.{self.column}" if self.change else str(self.column))
            case What.MISSING_CHANGE | What.EXTRA_CHANGE:
                return plain(f"{self.what} {self.change}")
            case What.UNKNOWN:
                return plain(str(self.actual))
            case What.KNOWN:
                return plain(f"no longer: {self.expected}")
            case _:
                return str(self.what)

    @property
    def values(self) -> tuple[str, str] | None:
        """What was expected and what was found, for somebody who reads; None where the heading says it all."""
        match self.what:
            case What.COLUMN:
                return side_by_side(self.expected, self.actual)
            case What.FAILS if self.expected is not None:
                return _in_short(self.expected), self._failure
            case What.SUCCEEDS:
                return f"fails: {plain(str(self.expected))}", _in_short(self.actual)
            case What.MISSING_EVENT | What.MISSING_CHANGE:
                return self._whole(self.expected), "nothing"
            case What.EXTRA_EVENT | What.EXTRA_CHANGE:
                return "nothing", self._whole(self.actual)
        return None

    @property
    def about(self) -> str:
        """What there is to say where there are no two values."""
        if self.what is What.FAILS and self.expected is None:
            return self._failure
        if self.what in (What.NOT_EXPECTED, What.NO_RESULT, What.NO_FIXTURE):
            return plain(str(self.actual))
        return ""

    @property
    def sentence(self) -> str:
        """All of it in one line: `message:...: message_seen.text: expected "Hola", found "hola"`."""
        said = f"expected {self.values[0]}, found {self.values[1]}" if self.values else self.about
        return ": ".join(part for part in (plain(self.event), self.heading, said) if part)

    @property
    def _failure(self) -> str:
        return plain(str(self.actual)) + (f" ({plain(', '.join(self.notes))})" if self.notes else "")

    def _whole(self, value: Any) -> str:
        if self.what in (What.MISSING_EVENT, What.EXTRA_EVENT):
            return _in_short(value)
        return quoted({name: inner for name, inner in value.items() if name != "kind"})


def _in_short(event: Mapping[str, Any]) -> str:
    """What an event gives: how many changes of which kinds, or that it fails."""
    if "error" in event:
        return f"fails: {plain(str(event['error']))}"
    if "refused" in event:
        return f"refused: {plain(str(event['refused']))}"
    return listed([plain(str(change.get("kind"))) for change in event.get("changes", [])], "change")


def compare(expected: Mapping[str, Any], found: Found, *, strict: bool = False) -> Iterator[Difference]:
    """Give what differs; with `strict` also what in an event the models do not know and `expected` does not state."""
    wanted, given = expected["events"], found.events
    pairs, extra = _paired(wanted, given, canonical, lambda event: event.get("key"), _whom)
    for here, there in pairs:
        event = wanted[here]
        place: Place = ("events", here)
        if there is None:
            yield Difference(what=What.MISSING_EVENT, **_about(event), expected=event, place=(*place, "key"))
            continue
        for each in _in_event(event, given[there], place, strict=strict):
            failed = each.what is What.FAILS or each.column == "error"
            yield replace(each, **_about(given[there]), notes=found.notes.get(there, ()) if failed else ())
    for there in extra:
        event = given[there]
        yield Difference(what=What.EXTRA_EVENT, **_about(event), actual=event, place=("events",))


def without_expectation(found: Found, *, strict: bool = False) -> Iterator[Difference]:
    """Give what is wrong where nothing is expected: events that fail; with `strict` also what is unknown in them.

    The places are those that it would have in an expected result.
    """
    for position, event in enumerate(found.events):
        about, place = _about(event), ("events", position)
        if "error" in event:
            notes = found.notes.get(position, ())
            yield Difference(what=What.FAILS, **about, actual=event["error"], notes=notes, place=(*place, "error"))
        for number, unknown in enumerate(event.get("drift", ()) if strict else ()):
            yield Difference(what=What.UNKNOWN, **about, actual=unknown, place=(*place, "drift", number))


def _in_event(
    expected: Mapping[str, Any], actual: Mapping[str, Any], place: Place, *, strict: bool
) -> Iterator[Difference]:
    yield from _columns(expected, actual, place, without=_OWN_WAY)
    if strict:
        yield from _drift(expected.get("drift", []), actual.get("drift", []), place)
    match expected.get("error"), actual.get("error"):
        case None, None:
            yield from _changes(expected.get("changes", []), actual.get("changes", []), place)
        case None, error:
            inside = (*place, "changes" if "changes" in expected else "key")
            yield Difference(what=What.FAILS, expected=expected, actual=error, place=inside)
        case error, None:
            yield Difference(what=What.SUCCEEDS, expected=error, actual=actual, place=(*place, "error"))
        case _:
            yield from _columns(expected, actual, place, only="error")


def _drift(expected: Sequence[str], actual: Sequence[str], place: Place) -> Iterator[Difference]:
    for unknown in actual:
        if unknown not in expected:
            yield Difference(what=What.UNKNOWN, actual=unknown, place=(*place, "type"))
    for position, unknown in enumerate(expected):
        if unknown not in actual:
            yield Difference(what=What.KNOWN, expected=unknown, place=(*place, "drift", position))


def _changes(
    expected: Sequence[Mapping[str, Any]], actual: Sequence[Mapping[str, Any]], place: Place
) -> Iterator[Difference]:
    pairs, extra = _paired(expected, actual, canonical, _whose, _which, lambda change: change.get("kind"))
    for here, there in pairs:
        change, inside = expected[here], (*place, "changes", here)
        kind = str(change.get("kind"))
        if there is None:
            yield Difference(what=What.MISSING_CHANGE, change=kind, expected=change, place=(*inside, "kind"))
        else:
            yield from (replace(each, change=kind) for each in _columns(change, actual[there], inside))
    for there in extra:
        kind = str(actual[there].get("kind"))
        yield Difference(what=What.EXTRA_CHANGE, change=kind, actual=actual[there], place=(*place, "changes"))


def _columns(
    expected: Mapping[str, Any],
    actual: Mapping[str, Any],
    place: Place,
    *,
    only: str | None = None,
    without: frozenset[str] = frozenset(),
) -> Iterator[Difference]:
    left, right = _flat(expected), _flat(actual)
    for way in left | right:
        if way[0] in without or (only and way != (only,)):
            continue
        here, there = left.get(way), right.get(way)
        if canonical(here) != canonical(there):
            inside = (*place, *way) if way in left else (*place, "kind" if "kind" in expected else "key")
            yield Difference(what=What.COLUMN, column=".".join(way), expected=here, actual=there, place=inside)


def _flat(record: Mapping[str, Any]) -> dict[tuple[str, ...], Any]:
    """The columns of a record, those of an object in it (a person) each by itself; null is as good as none."""
    columns: dict[tuple[str, ...], Any] = {}
    for name, value in record.items():
        if isinstance(value, dict):
            columns.update(((name, key), inner) for key, inner in value.items() if inner is not None)
        elif value is not None:
            columns[name,] = value
    return columns


def _about(event: Mapping[str, Any]) -> dict[str, Any]:
    subject = event.get("message_id") or event.get("call_id")
    return {"event": str(event.get("key")), "type": str(event.get("type")), "subject": subject}


def _whom(event: Mapping[str, Any]) -> Any:
    return [event.get(name) for name in ("type", "message_id", "call_id")]


def _whose(change: Mapping[str, Any]) -> Any:
    return [_which(change), change.get("person")]


def _which(change: Mapping[str, Any]) -> Any:
    return [change.get(name) for name in ("kind", *_IDS)]


def _paired(
    expected: Sequence[Any], actual: Sequence[Any], *identities: Callable[[Any], Any]
) -> tuple[list[tuple[int, int | None]], list[int]]:
    """Return for each position in `expected` its counterpart's or None, and the positions in `actual` left over.

    Those belong together that agree in the first of `identities`; of the rest, those that agree in the next.
    """
    left, right = dict(enumerate(expected)), dict(enumerate(actual))
    pairs: dict[int, int] = {}
    for identity in identities:
        waiting = defaultdict(list)
        for there, each in right.items():
            waiting[canonical(identity(each))].append(there)
        for here, each in list(left.items()):
            if found := waiting.get(canonical(identity(each))):
                pairs[here] = found.pop(0)
                del left[here], right[pairs[here]]
    return [(here, pairs.get(here)) for here in range(len(expected))], list(right)
