"""Whole tables read and written row by row, for copies."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

from ..copied import KEYS, Row
from .connection import Connection, translated

_LARGEST = 4 * 2**20


class Copying(Connection):
    """The verbs of copies."""

    def read_rows(self, table: str, *, after: Sequence[Any] | None, limit: int) -> list[dict[str, Any]]:
        """See `Store.read_rows`."""
        key = ", ".join(KEYS[table])
        behind = f" WHERE ({key}) > ({', '.join('?' * len(after))})" if after is not None else ""
        columns = self._copied_columns(table)
        source = _NOT_ADOPTED if table == "wa_delivery_work" else table
        rows: list[dict[str, Any]] = []
        size = 0
        with translated(self.path):
            statement = f"SELECT {', '.join(columns)} FROM {source}{behind} ORDER BY {key} LIMIT ?"
            for found in self._db.execute(statement, [*(after or ()), limit]):
                row = dict(found)
                if table == "wa_deliveries":
                    size += len(row["body"])
                    if rows and size > _LARGEST:
                        break
                    row["body"] = base64.b64encode(row["body"]).decode()
                rows.append(row)
        return rows

    def write_rows(self, table: str, rows: Sequence[Row]) -> None:
        """See `Store.write_rows`."""
        columns = self._copied_columns(table)
        key = " AND ".join(f"{name} = :{name}" for name in KEYS[table])
        statement = (
            f"INSERT INTO {table} ({', '.join(columns)}) SELECT {', '.join(f':{name}' for name in columns)}"
            f" WHERE NOT EXISTS (SELECT 1 FROM {table} WHERE {key})"
        )
        made = [{name: row.get(name) for name in columns} for row in rows]
        for row in made:
            if table == "wa_deliveries":
                row["body"] = base64.b64decode(str(row["body"]))
        with translated(self.path), self._transaction():
            self._db.executemany(statement, made)
            if table == "wa_deliveries":
                # What a worker does that adopts them, but for the rows of `wa_delivery_work`, which come next.
                for name in ("adopt_signature_keys", "adopted"):
                    self._execute(name, {"limit": len(made)})

    def _copied_columns(self, table: str) -> list[str]:
        if table not in KEYS:
            raise KeyError(table)
        rows = self._db.execute(f"PRAGMA table_xinfo({table})")
        return [row["name"] for row in rows if not row["hidden"] and row["name"] not in _LEASES]


_LEASES = ("lease_token", "leased_until")
_NOT_ADOPTED = """
  (SELECT delivery_id, run_id, not_before, split_at, events, duplicates FROM wa_delivery_work
   UNION ALL
   SELECT id, run_id, '', NULL, NULL, NULL FROM wa_deliveries
    WHERE id > (SELECT up_to FROM wa_adopted) AND id NOT IN (SELECT delivery_id FROM wa_delivery_work))
"""
"""Also the deliveries that no worker has adopted, as they will be then."""
