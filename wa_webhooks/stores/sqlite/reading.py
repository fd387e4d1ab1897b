"""What the SQLite store tells of itself: the reading verbs."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from typing import Any

from ...numbers import number_key
from ..base import LOG_KEYS, PROCESSED, STATES, Query, to_text
from .connection import Connection

_CONDITIONS = {
    "ids": "e.id IN (SELECT value FROM json_each(:ids))",
    "keys": "e.event_key IN (SELECT value FROM json_each(:keys))",
    "since": "e.fecha_recepcion >= :since",
    "until": "e.fecha_recepcion < :until",
    "error": "instr(lower(e.error), lower(:error)) > 0",
    # What failed has no lead yet: it is found by the lead's ids in its payload, among the few that are not processed.
    "lead": """(e.lead_id = :lead OR e.lead_id IS NULL AND e.state <> 'processed' AND EXISTS (
        SELECT 1 FROM wa_lead_identities i WHERE i.lead_id = :lead AND instr(e.payload_original, i.value) > 0))""",
    "run": "(e.run_id = :run OR e.id IN (SELECT event_id FROM wa_attempts WHERE run_id = :run))",
    "mentions": "instr(e.payload_original, :mentions) > 0",
    "delivery": "e.delivery_id = :delivery",
    "message": "e.message_id = :message",
    "call": "e.call_id = :call",
    "after_id": "e.id > :after_id",
    "after_attempt": "a.id > :after_attempt",
}


def where(query: Query) -> tuple[str, dict[str, Any]]:
    """Return a query's conditions in SQL, over wa_events as `e`, and their parameters."""
    clauses: list[str] = []
    parameters: dict[str, Any] = {}
    for name, clause in _CONDITIONS.items():
        value = getattr(query, name)
        if value is None or value == ():
            continue
        clauses.append(clause)
        if isinstance(value, tuple):
            value = json.dumps(value)
        parameters[name] = to_text(value) if hasattr(value, "astimezone") else value
    if query.states:
        clauses.append(_states(query.states))
    if query.types:
        clauses.append(_types(query.types, parameters))
    return " AND ".join(clauses) or "1", parameters


def _states(states: tuple[str, ...]) -> str:
    """Written out, with what the partial index over unprocessed events says, so that the planner may use it."""
    named = ", ".join(f"'{state}'" for state in STATES if state in states)
    unprocessed = "" if PROCESSED in states else "e.state <> 'processed' AND "
    return f"{unprocessed}e.state IN ({named or 'NULL'})"


def _types(types: tuple[str, ...], parameters: dict[str, Any]) -> str:
    """An event type each, or the range of those with a prefix: both are looked up in the index."""
    clauses = []
    for number, wanted in enumerate(types):
        name = f"type_{number}"
        if wanted.endswith(".*"):
            clauses.append(f"(e.tipo_evento >= :{name} AND e.tipo_evento < :{name}_end)")
            parameters |= {name: wanted[:-1], f"{name}_end": f"{wanted[:-2]}/"}  # the character after the dot
        else:
            clauses.append(f"e.tipo_evento = :{name}")
            parameters[name] = wanted
    return f"({' OR '.join(clauses)})"


def _columns(*, attempt: str) -> str:
    return ", ".join(f"e.{key}" for key in LOG_KEYS) + f", {attempt} AS attempt_id"


class Reading(Connection):
    """The reading half of `SqliteStore`. Every verb sees one snapshot."""

    def find(self, query: Query, *, limit: int, newest: bool = False) -> list[dict[str, Any]]:
        """See `Store.find`."""
        conditions, parameters = where(query)
        if query.after_attempt is None:
            columns = _columns(attempt="(SELECT max(a.id) FROM wa_attempts a WHERE a.event_id = e.id)")
            source, order = "wa_events e", "e.id"
        else:
            columns, source, order = (
                _columns(attempt="a.id"),
                "wa_attempts a JOIN wa_events e ON e.id = a.event_id",
                "a.id",
            )
        direction = "DESC" if newest else "ASC"
        statement = f"SELECT {columns} FROM {source} WHERE {conditions} ORDER BY {order} {direction} LIMIT :limit"  # noqa: S608 - made of constants
        with self._reading() as execute:
            rows = [_log_line(row) for row in execute(statement, {**parameters, "limit": limit})]
        return rows[::-1] if newest else rows

    def get(self, kind: str, ident: str | int) -> dict[str, Any] | None:
        """See `Store.get`."""
        readers: dict[str, Callable[..., dict[str, Any] | None]] = {
            "event": self._event,
            "delivery": self._delivery,
            "message": self._message,
            "call": self._call,
            "lead": self._lead,
            "run": self._run,
        }
        with self._reading() as execute:
            return readers[kind](execute, ident)

    def _rows(self, execute: Callable[..., sqlite3.Cursor], name: str, ident: str | int) -> list[dict[str, Any]]:
        return [dict(row) for row in execute(self._sql[name], {"id": ident})]

    def _events(self, execute: Callable[..., sqlite3.Cursor], query: Query) -> list[dict[str, Any]]:
        conditions, parameters = where(query)
        columns = _columns(attempt="NULL")
        statement = f"SELECT {columns} FROM wa_events e WHERE {conditions} ORDER BY e.id"  # noqa: S608 - constants
        return [_log_line(row) for row in execute(statement, parameters)]

    def _event(self, execute: Callable[..., sqlite3.Cursor], ident: str | int) -> dict[str, Any] | None:
        query = Query(ids=(ident,)) if isinstance(ident, int) else Query(keys=(ident,))
        events = self._events(execute, query)
        if not events:
            return None
        return {**events[0], "history": self._rows(execute, "get_attempts", events[0]["id"])}

    def _delivery(self, execute: Callable[..., sqlite3.Cursor], ident: str | int) -> dict[str, Any] | None:
        rows = self._rows(execute, "get_delivery", ident)
        if not rows:
            return None
        headers = json.loads(rows[0]["headers"])
        logged = self._events(execute, Query(delivery=int(ident)))
        return {**rows[0], "headers": headers, "body_size": len(rows[0]["body"]), "logged": logged}

    def _message(self, execute: Callable[..., sqlite3.Cursor], ident: str | int) -> dict[str, Any] | None:
        rows = self._rows(execute, "get_messages", ident)
        events = self._events(execute, Query(message=str(ident)))
        if not rows and not events:
            return None
        statuses = self._rows(execute, "get_statuses", ident)
        return {"wamid": ident, "messages": rows, "statuses": statuses, "logged": events}

    def _call(self, execute: Callable[..., sqlite3.Cursor], ident: str | int) -> dict[str, Any] | None:
        rows = self._rows(execute, "get_calls", ident)
        events = self._events(execute, Query(call=str(ident)))
        return {"call_id": ident, "calls": rows, "logged": events} if rows or events else None

    def _lead(self, execute: Callable[..., sqlite3.Cursor], ident: str | int) -> dict[str, Any] | None:
        if isinstance(ident, str):
            named = {"id": ident, "number": number_key(ident) if ident.isdecimal() else None}
            owners = [dict(row) for row in execute(self._sql["get_lead_by_identity"], named)]
            if not owners:
                return None
            ident = owners[0]["lead_id"]
        rows = self._rows(execute, "get_lead", ident)
        if not rows:
            return None
        identities = self._rows(execute, "get_identities", ident)
        return {**rows[0], "identities": identities, "timeline": self._rows(execute, "get_timeline", ident)}

    def _run(self, execute: Callable[..., sqlite3.Cursor], ident: str | int) -> dict[str, Any] | None:
        rows = self._rows(execute, "get_run", ident)
        return {**rows[0], **{k: json.loads(rows[0][k] or "null") for k in ("scope", "counts")}} if rows else None

    def counts(self) -> dict[str, Any]:
        """See `Store.counts`."""
        with self._reading() as execute:
            deliveries = dict(execute(self._sql["count_deliveries"]).fetchone())
            oldest = execute(self._sql["oldest_open"]).fetchone()["received_at"]
            states = _by(execute(self._sql["count_states"]), "state")
            types = _by(execute(self._sql["count_types"]), "tipo_evento")
            rows = dict(execute(self._sql["count_rows"]).fetchone())
            waiting = dict(execute(self._sql["count_waiting"]).fetchone())
            keys = [dict(row) for row in execute(self._sql["count_signature_keys"])]
        per_state = {state: states.get(state, 0) for state in STATES}
        return {
            "deliveries": deliveries["total"],
            "backlog": deliveries["total"] - deliveries["split"],
            "oldest_waiting": oldest,
            "events": {"total": sum(per_state.values()), **per_state, "by_type": types},
            **waiting,
            **rows,
            "app_secrets": keys,
        }

    def drift(self) -> list[dict[str, Any]]:
        """See `Store.drift`."""
        with self._reading() as execute:
            rows = [dict(row) for row in execute(self._sql["get_drift"])]
        return [{**row, "payload_original": json.loads(row["payload_original"])} for row in rows]

    def run_counts(self, run_id: str) -> dict[str, int]:
        """See `Store.run_counts`."""
        with self._reading() as execute:
            deliveries = dict(execute(self._sql["run_deliveries"], {"run_id": run_id}).fetchone())
            states = _by(execute(self._sql["run_events"], {"run_id": run_id}), "state")
        return {**deliveries, **{state: states.get(state, 0) for state in STATES}}

    def preview(self, query: Query) -> dict[str, Any]:
        """See `Store.preview`."""
        conditions, parameters = where(query)
        scope = f"FROM wa_events e WHERE {conditions}"
        with self._reading() as execute:
            totals = execute(f"SELECT count(*) AS events, count(DISTINCT lead_id) AS leads {scope}", parameters)
            found = dict(totals.fetchone())
            for name, column in (("by_type", "tipo_evento"), ("by_state", "state"), ("by_handlers", "handled_by")):
                grouped = f"SELECT {column}, count(*) AS events {scope} GROUP BY {column} ORDER BY {column}"
                found[name] = _by(execute(grouped, parameters), column)
        return found


def _by(rows: sqlite3.Cursor, column: str) -> dict[str, int]:
    return {row[column] or "": row["events"] for row in rows}


def _log_line(row: sqlite3.Row) -> dict[str, Any]:
    line = dict(row)
    line["payload_original"] = json.loads(line["payload_original"])
    line["procesado"] = bool(line["procesado"])
    return line
