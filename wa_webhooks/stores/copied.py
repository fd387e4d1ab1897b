"""The tables that a copy of a store has, in the order in which they are written, and rows on their way.

A row is a mapping of the columns as SQLite has them; `body` is in base64.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

Row = Mapping[str, Any]

KEYS: Mapping[str, tuple[str, ...]] = {
    "wa_runs": ("id",),
    "wa_leads": ("id",),
    "wa_deliveries": ("id",),
    "wa_delivery_work": ("delivery_id",),
    "wa_events": ("id",),
    "wa_attempts": ("id",),
    "wa_actions": ("id",),
    "wa_lead_identities": ("scope", "kind", "value"),
    "wa_lead_sightings": ("event_id", "ident"),
    "wa_number_changes": ("event_id",),
    "wa_number_holders": ("scope", "number", "since"),
    "wa_lead_events": ("event_id", "topic", "ident"),
    "wa_messages": ("id",),
    "wa_message_statuses": ("event_id",),
    "wa_calls": ("id",),
    "wa_account_events": ("event_id",),
    "wa_drift": ("kind", "path", "detail"),
    "wa_rejections": ("id",),
    "wa_rejection_counts": ("hour", "cause"),
}
"""Each table, and what its rows are in order by."""

JSON_COLUMNS = frozenset({"headers", "counts", "content", "context", "referral"})
"""Columns of JSON, of which the text may be written in another way; `payload_original` keeps its own."""
_JSON_OF = frozenset(
    {("wa_runs", "scope"), ("wa_lead_events", "detail"), ("wa_account_events", "detail"), ("wa_actions", "payload")}
)
_OWN = frozenset({"lease_token", "leased_until", "nonce", "account"})
"""What a store keeps for itself: leases end with a copy, and nonces have had their time."""
_LOST = str.maketrans({"\0": "\ufffd"})


def is_json(table: str, column: str) -> bool:
    """Whether a column holds JSON as text."""
    return column in JSON_COLUMNS or (table, column) in _JSON_OF


def key_of(table: str, row: Row) -> list[Any]:
    """Return what names a row in its table."""
    return [row[name] for name in KEYS[table]]


def plain(table: str, row: Row) -> dict[str, Any]:
    """Return a row as it is the same in every store: Postgres takes no NUL in a text, so it is U+FFFD everywhere."""
    return {name: _plain(table, name, value) for name, value in row.items() if _kept(table, name)}


def _kept(table: str, name: str) -> bool:
    return name not in _OWN and not (table == "wa_delivery_work" and name == "size")


def _plain(table: str, name: str, value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if name == "body":
        return value.replace("\n", "")
    if name == "payload_original":
        return value
    if is_json(table, name):
        with suppress(ValueError, RecursionError):  # as it is, then
            return json.dumps(_without_nul(json.loads(value)), separators=(",", ":"))
    return value.translate(_LOST)


def _without_nul(value: Any) -> Any:
    if isinstance(value, str):
        return value.translate(_LOST).encode("utf-8", "surrogatepass").decode("utf-8", "replace")
    if isinstance(value, dict):
        return {_without_nul(key): _without_nul(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_without_nul(inner) for inner in value]
    return value


def _sorted(table: str, name: str, value: Any) -> Any:
    """JSON with its keys in order: some databases keep none."""
    if isinstance(value, str) and is_json(table, name):
        with suppress(ValueError, RecursionError):
            return json.dumps(json.loads(value), sort_keys=True)
    return value


class Digest:
    """How many rows of a table there are, and a hash over all of them."""

    def __init__(self, table: str) -> None:
        """Rows are added in order."""
        self._table = table
        self.rows = 0
        self._hash = hashlib.sha256()

    def add(self, rows: Sequence[Row]) -> None:
        """Add rows that are `plain`."""
        for row in rows:
            self.rows += 1
            told = {name: _sorted(self._table, name, value) for name, value in row.items()}
            self._hash.update(json.dumps(told, sort_keys=True).encode())

    @property
    def hex(self) -> str:
        """The hash in hex digits."""
        return self._hash.hexdigest()
