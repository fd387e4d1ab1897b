"""How values are written for somebody who reads: on one line, and nothing in them moves a cursor."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

_LONGEST = 120
_BEFORE = 24
"""How much of a long text is shown before the place where two begin to differ."""


def plain(text: str) -> str:
    """Return a text with everything that is not printable escaped; payloads are other people's."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def quoted(value: Any, start: int = 0) -> str:
    """Return a value as JSON; of a long text what stands from `start` on, and of anything else long its beginning.

    A text that is JSON itself, as `content` is, is not quoted: backslashes would hide it.
    """
    if value is None:
        return "nothing"
    if not isinstance(value, str):
        text = plain(json.dumps(value, ensure_ascii=False))
        return f"{text[:_LONGEST]}…" if len(text) > _LONGEST else text
    shown = value[start : start + _LONGEST]
    before, after = "…" * (start > 0), "…" * (start + _LONGEST < len(value))
    text = shown if value.startswith(("{", "[")) else json.dumps(shown, ensure_ascii=False)
    return f"{before}{plain(text)}{after}"


def side_by_side(expected: Any, actual: Any) -> tuple[str, str]:
    """Return two values as JSON; of long texts, which differ somewhere, the part where they begin to."""
    start = 0
    if isinstance(expected, str) and isinstance(actual, str) and max(len(expected), len(actual)) > _LONGEST:
        pairs = enumerate(zip(expected, actual, strict=False))
        differs = next((i for i, (a, b) in pairs if a != b), min(len(expected), len(actual)))
        start = max(0, differs - _BEFORE)
    return quoted(expected, start), quoted(actual, start)


def listed(kinds: Sequence[str], noun: str) -> str:
    """Return `no changes`, `1 change: lead_seen`, `3 changes: lead_seen, 2 action_queued`."""
    if not kinds:
        return f"no {noun}s"
    named = ", ".join(kind if number == 1 else f"{number} {kind}" for kind, number in Counter(kinds).items())
    return f"{len(kinds)} {noun}{'s' * (len(kinds) > 1)}: {named}"
