"""The named statements over one connection, and how their parameters get in.

In the files parameters are named. They are bound by position, which takes half the time: a statement's names say the
order in which a row's values go.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import Any

Row = tuple[Any, ...]
Ordered = Callable[[Mapping[str, Any]], Row]

_COMMENT = re.compile(r"--[^\n]*")
_PARAMETER = re.compile(r":([a-z_]+)")
_VALUES = re.compile(r"\bVALUES\s*(\(.*\))\s*\Z", re.DOTALL)
_AT_ONCE = 8
"""Rows of one statement, where `many` is told to put several into one."""


class Statements:
    """Runs statements by their names."""

    def __init__(self, db: sqlite3.Connection, sql: Mapping[str, str]) -> None:
        """`sql` has each statement with its parameters named."""
        self._db, self._sql = db, sql
        self._known: dict[str, tuple[str, Ordered]] = {}

    def execute(self, name: str, parameters: Mapping[str, Any]) -> sqlite3.Cursor:
        """Run one with the parameters that it names; there may be more."""
        sql, ordered = self._known.get(name) or self._learn(name)
        return self._db.execute(sql, ordered(parameters))

    def ordered(self, name: str) -> Ordered:
        """Return what puts the parameters of a statement in order, for `many`."""
        return (self._known.get(name) or self._learn(name))[1]

    def many(self, name: str, rows: Sequence[Row], *, at_once: bool = False) -> None:
        """Run one for each of the rows.

        `at_once` puts several rows into one statement: a table with triggers has a journal kept for each statement.
        """
        sql = (self._known.get(name) or self._learn(name))[0]
        if at_once and len(rows) >= _AT_ONCE:
            full = len(rows) - len(rows) % _AT_ONCE
            together = [sum(rows[start : start + _AT_ONCE], ()) for start in range(0, full, _AT_ONCE)]
            self._db.executemany(self._wide(name, sql), together)
            rows = rows[full:]
        if rows:
            self._db.executemany(sql, rows)

    def _learn(self, name: str) -> tuple[str, Ordered]:
        sql = _COMMENT.sub("", self._sql[name])
        names = _PARAMETER.findall(sql)
        self._known[name] = _PARAMETER.sub("?", sql), _in_order(names)
        return self._known[name]

    def _wide(self, name: str, sql: str) -> str:
        """The INSERT `sql` with that many rows instead of one."""
        key = f"{name} x {_AT_ONCE}"
        if key not in self._known:
            wide = _VALUES.sub(lambda found: f"VALUES {', '.join([found[1]] * _AT_ONCE)}", sql)
            self._known[key] = wide, _in_order([])
        return self._known[key][0]


def _in_order(names: Sequence[str]) -> Ordered:
    if len(names) > 1:
        return itemgetter(*names)
    return lambda row: tuple(row[name] for name in names)
