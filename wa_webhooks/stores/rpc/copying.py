"""Whole tables read and written row by row, for copies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..copied import Row
from .calls import Calls
from .values import storable

_LARGEST = 6 * 2**20
"""Bytes of rows in one answer."""


class Copying(Calls):
    """The verbs of copies."""

    def read_rows(self, table: str, *, after: Sequence[Any] | None, limit: int) -> list[dict[str, Any]]:
        """See `Store.read_rows`."""
        args = {"table": table, "after": None if after is None else list(after), "limit": limit, "bytes": _LARGEST}
        rows: list[dict[str, Any]] = self._call("wa_copy_read", args, rows=list)["rows"]
        return rows

    def write_rows(self, table: str, rows: Sequence[Row]) -> None:
        """See `Store.write_rows`."""
        made = [
            {name: storable(value) if isinstance(value, str) else value for name, value in row.items()}
            for row in rows
        ]
        if table == "wa_deliveries":  # each needs one; nobody will append it again
            made = [{**row, "nonce": f"copied-{row['id']}"} for row in made]
        self._call("wa_copy_write", {"table": table, "rows": made}, written=int)
