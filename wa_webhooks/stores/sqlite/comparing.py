"""Two sets of CRM tables side by side: `main`, made anew in a scratch file, and `live`, those of the store.

Leads have ids of their own in either, so those in `main` are renamed first to the ids of the same leads in `live`.
What differs is found in SQL and kept by key; only what is told one by one passes through here. Replacing updates rows
where they stand: the ids of leads, messages and calls may be known outside.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence

from ..base import Difference

CRM_TABLES: Mapping[str, tuple[str, ...]] = {
    "wa_leads": ("id",),
    "wa_lead_identities": ("scope", "kind", "value"),
    "wa_lead_sightings": ("event_id", "ident"),
    "wa_number_changes": ("event_id",),
    "wa_number_holders": ("scope", "number", "since"),
    "wa_messages": ("phone_number_id", "wamid"),
    "wa_message_statuses": ("event_id",),
    "wa_calls": ("phone_number_id", "call_id"),
    "wa_lead_events": ("event_id", "topic", "ident"),
    "wa_account_events": ("event_id",),
}
"""The tables that the log adds up to, and what names a row in each: a unique key of the table."""

FOLLOWERS: Mapping[str, tuple[str, str]] = {
    "wa_events": ("event_key", "rebuild_leads_of_events"),
    "wa_actions": ("idempotency_key", "rebuild_leads_of_actions"),
}
"""The tables that stay as they are but for the lead that a row is about: what names a row beside its id, and the
statement that finds those that differ."""


class Comparison:
    """What differs between `main` and `live` of one connection, as `find` found it last."""

    def __init__(self, db: sqlite3.Connection, sql: Mapping[str, str]) -> None:
        self.db, self.sql = db, sql
        self.columns = {table: self._columns(table) for table in CRM_TABLES}
        tables = db.execute(
            "SELECT name FROM main.sqlite_schema WHERE type = 'table' AND name LIKE 'wa!_%' ESCAPE '!'"
        )
        self.of_leads = [name for (name,) in tables.fetchall() if "lead_id" in self._names(name)]

    def _names(self, table: str) -> list[str]:
        """The columns of a table, without those that are generated of others."""
        rows = self.db.execute(f"PRAGMA main.table_xinfo({table})").fetchall()
        return [row["name"] for row in rows if not row["hidden"]]

    def _columns(self, table: str) -> list[str]:
        """Those beside the key that are compared; a row's own id is nothing that the log tells."""
        return [name for name in self._names(table) if name not in (*CRM_TABLES[table], "id")]

    def find(self) -> dict[str, int]:
        """Find what differs; return how many differences each table has that has any."""
        self._rename_leads()
        for table in (*CRM_TABLES, *FOLLOWERS):
            self.db.execute(f"DROP TABLE IF EXISTS temp.differing_{table}")
        for table, key in CRM_TABLES.items():
            self.db.execute(f"CREATE TEMP TABLE differing_{table} AS {self._differing(table, key)}")
        for table, (_, statement) in FOLLOWERS.items():
            self.db.execute(f"CREATE TEMP TABLE differing_{table} AS {self.sql[statement]}")
        counts = {
            table: self.db.execute(f"SELECT coalesce(sum(cells), 0) FROM temp.differing_{table}").fetchone()[0]
            for table in (*CRM_TABLES, *FOLLOWERS)
        }
        return {table: number for table, number in counts.items() if number}

    def _differing(self, table: str, key: Sequence[str]) -> str:
        """The keys of rows that differ, and in how many columns; a row that one side lacks counts once."""
        unlike = " + ".join(f"(l.{name} IS NOT r.{name})" for name in self.columns[table])
        of_live, of_main = (", ".join(f"{side}.{name}" for name in key) for side in "lr")
        return (
            f"SELECT * FROM (SELECT {of_main}, {unlike} AS cells"
            f" FROM main.{table} r JOIN live.{table} l ON {same(key)}) WHERE cells"
            f" UNION ALL SELECT {of_main}, 1 FROM main.{table} r"
            f" WHERE NOT EXISTS (SELECT 1 FROM live.{table} l WHERE {same(key)})"
            f" UNION ALL SELECT {of_live}, 1 FROM live.{table} l"
            f" WHERE NOT EXISTS (SELECT 1 FROM main.{table} r WHERE {same(key)})"
        )

    def _rename_leads(self) -> None:
        """Give every lead of `main` the id of the one in `live` that it has most in common with."""
        names: dict[int, int] = {}
        taken: set[int] = set()
        for row in self.db.execute(self.sql["rebuild_shared"]):
            if row["rebuilt"] not in names and row["live"] not in taken:
                names[row["rebuilt"]] = row["live"]
                taken.add(row["live"])
        last = self.db.execute("SELECT coalesce(max(id), 0) FROM live.wa_leads").fetchone()[0]
        new = max([last, *taken])
        for (rebuilt,) in self.db.execute("SELECT id FROM main.wa_leads ORDER BY id").fetchall():
            if rebuilt not in names:
                new += 1
                names[rebuilt] = new
        changed = [(rebuilt, live) for rebuilt, live in names.items() if rebuilt != live]
        self.db.execute("CREATE TEMP TABLE IF NOT EXISTS lead_names (rebuilt INTEGER PRIMARY KEY, live INTEGER)")
        self.db.execute("DELETE FROM temp.lead_names")
        self.db.executemany("INSERT INTO temp.lead_names VALUES (?, ?)", changed)
        for table, column in (("wa_leads", "id"), *((table, "lead_id") for table in self.of_leads)):
            # By way of negative ids, since one's new id may be another's old one.
            self.db.execute(
                f"UPDATE main.{table} SET {column} = -(SELECT live FROM temp.lead_names WHERE rebuilt = {column})"
                f" WHERE {column} IN (SELECT rebuilt FROM temp.lead_names)"
            )
            self.db.execute(f"UPDATE main.{table} SET {column} = -{column} WHERE {column} < 0")

    def told(self) -> Iterator[Difference]:
        """Every difference found, by table and key."""
        for table, key in CRM_TABLES.items():
            yield from self._told_of(table, key)
        for table, (name, _) in FOLLOWERS.items():
            for row in self.db.execute(
                f"SELECT d.id, l.{name} AS name, l.lead_id AS live, d.lead_id AS rebuilt"
                f" FROM temp.differing_{table} d JOIN live.{table} l ON l.id = d.id ORDER BY d.id"
            ):
                named = {"id": row["id"], name: row["name"]}
                yield Difference(table=table, key=named, column="lead_id", live=row["live"], rebuilt=row["rebuilt"])

    def _told_of(self, table: str, key: Sequence[str]) -> Iterator[Difference]:
        columns = self.columns[table]
        named = ", ".join(f"d.{name}" for name in key)
        sides = [f"{side}.{name}" for name in (key[0], *columns) for side in "lr"]
        found = self.db.execute(
            f"SELECT {named}, {', '.join(sides)} FROM temp.differing_{table} d"
            f" LEFT JOIN live.{table} l ON {same(key, 'l', 'd')} LEFT JOIN main.{table} r ON {same(key, 'r', 'd')}"
            f" ORDER BY {named}"
        )
        for row in map(tuple, found):
            names, (in_live, in_main, *values) = dict(zip(key, row, strict=False)), row[len(key) :]
            if in_live is None or in_main is None:
                live, rebuilt = ("a row", None) if in_main is None else (None, "a row")
                yield Difference(table=table, key=names, column=None, live=live, rebuilt=rebuilt)
                continue
            for column, live, rebuilt in zip(columns, values[::2], values[1::2], strict=True):
                if live != rebuilt:
                    yield Difference(table=table, key=names, column=column, live=live, rebuilt=rebuilt)

    def replace(self) -> None:
        """Make the rows of `live` that differ equal to those of `main`; touch no other."""
        for table, key in CRM_TABLES.items():
            columns = self.columns[table]
            names = ", ".join((*key, *columns))
            named = ", ".join(key)
            self.db.execute(
                f"DELETE FROM live.{table} AS l WHERE ({named}) IN (SELECT {named} FROM temp.differing_{table})"
                f" AND NOT EXISTS (SELECT 1 FROM main.{table} r WHERE {same(key)})"
            )
            self.db.execute(
                f"INSERT INTO live.{table} ({names}) SELECT {', '.join(f'r.{name}' for name in (*key, *columns))}"
                f" FROM temp.differing_{table} d JOIN main.{table} r ON {same(key, 'r', 'd')} WHERE true"
                f" ON CONFLICT ({named}) DO UPDATE SET {', '.join(f'{name} = excluded.{name}' for name in columns)}"
            )
        for table in FOLLOWERS:
            self.db.execute(
                f"UPDATE live.{table} AS l"
                f" SET lead_id = (SELECT d.lead_id FROM temp.differing_{table} d WHERE d.id = l.id)"
                f" WHERE id IN (SELECT id FROM temp.differing_{table})"
            )


def same(columns: Sequence[str], one: str = "l", other: str = "r") -> str:
    """Return the condition that two rows have the same key."""
    return " AND ".join(f"{one}.{column} = {other}.{column}" for column in columns)
