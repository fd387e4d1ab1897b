"""On which line of a JSON text each value stands, so that a difference can point there."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

Place = tuple[str | int, ...]
"""The way to a value: `("events", 0, "changes", 1, "text")`."""

_TOKENS = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s{}\[\],:"]+')


def lines_of(text: str) -> dict[Place, int]:
    """Return on which line, from 1, each value of a JSON text begins; what has a key begins with it."""
    lines: dict[Place, int] = {}
    way: list[str | int | None] = []  # the key in each object and the index in each array that is open
    line, end = 1, 0
    for token in _TOKENS.finditer(text):
        line += text.count("\n", end, token.start())
        end = token.start()
        match token.group():
            case "," if way and isinstance(way[-1], int):
                way[-1] += 1
            case ",":
                way[-1:] = [None]
            case "}" | "]":
                del way[-1:]
            case ":":
                pass
            case found if way and way[-1] is None:
                way[-1] = str(json.loads(found))
                lines[_place(way)] = line
            case found:
                lines.setdefault(_place(way), line)
                if found in "{[":
                    way.append(None if found == "{" else 0)
    return lines


def line_of(lines: Mapping[Place, int], place: Place) -> int:
    """Return the line of a value, or of the innermost thing around it that is there."""
    return next((lines[place[:end]] for end in range(len(place), 0, -1) if place[:end] in lines), 1)


def _place(way: list[str | int | None]) -> Place:
    return tuple(step for step in way if step is not None)
