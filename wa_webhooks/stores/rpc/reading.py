"""What the store tells of itself: the reading verbs."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from ...numbers import number_key
from ..base import STATES, Query, to_text
from .calls import Calls
from .values import all_storable, log_line, moment, row, rows

_ALL = Query()


def asked(query: Query) -> dict[str, Any]:
    """Return the conditions of a query that are set."""
    found: dict[str, Any] = {}
    for name in Query.__slots__:
        value = getattr(query, name)
        if value != getattr(_ALL, name):
            found[name] = to_text(value) if name in ("since", "until") else all_storable(value)
    return found


class Reading(Calls):
    """The reading verbs."""

    def find(self, query: Query, *, limit: int, newest: bool = False) -> list[dict[str, Any]]:
        """See `Store.find`."""
        answer = self._call("wa_find", {"query": asked(query), "limit": limit, "newest": newest}, events=list)
        return [log_line(found) for found in answer["events"]]

    def get(self, kind: str, ident: str | int) -> dict[str, Any] | None:
        """See `Store.get`."""
        number = number_key(ident) if isinstance(ident, str) and ident.isdecimal() else None
        args = {"kind": kind, "id": all_storable(ident), "number": number}
        found = self._call("wa_get", args, found=(dict, type(None)))["found"]
        return None if found is None else _record(kind, found)

    def counts(self) -> dict[str, Any]:
        """See `Store.counts`."""
        found = row(self._call("wa_counts", {}, by_type=dict, by_state=dict, app_secrets=list, workers=list))
        types, states = found.pop("by_type"), found.pop("by_state")
        total = sum(types.values())
        per_state = {state: states.get(state, 0) for state in STATES}
        per_state["processed"] = total - sum(states.values())
        return {
            **found,
            "oldest_waiting": moment(found["oldest_waiting"]),
            "events": {"total": total, **per_state, "by_type": _sorted(types)},
            "app_secrets": rows(found["app_secrets"]),
            "workers": rows(found["workers"]),
        }

    def drift(self) -> list[dict[str, Any]]:
        """See `Store.drift`."""
        return [log_line(found) for found in self._call("wa_drift_seen", {}, drift=list)["drift"]]

    def run_counts(self, run_id: str) -> dict[str, int]:
        """See `Store.run_counts`."""
        found = self._call("wa_run_counts", {"run_id": all_storable(run_id)}, by_state=dict, open=int)
        states = found.pop("by_state")
        return {**found, **{state: states.get(state, 0) for state in STATES}}

    def preview(self, query: Query) -> dict[str, Any]:
        """See `Store.preview`."""
        found = self._call("wa_preview", {"query": asked(query)}, by_type=dict, by_state=dict, by_handlers=dict)
        return {name: _sorted(value) if isinstance(value, dict) else value for name, value in found.items()}


def _sorted(counts: Mapping[str, int]) -> dict[str, int]:
    return dict(sorted(counts.items()))


def _record(kind: str, found: dict[str, Any]) -> dict[str, Any]:
    """A record with its times and payloads as stores give them."""
    if kind == "event":
        return {**log_line(found["event"]), "history": rows(found["history"])}
    record = {**row(found.pop("lead", {})), **row(found)}
    for part in ("statuses", "messages", "calls", "timeline"):
        if part in record:
            record[part] = rows(record[part])
    if "logged" in record:
        record["logged"] = [log_line(event) for event in record["logged"]]
    if kind == "delivery":
        record["body"] = base64.b64decode(record["body"])
    return record
