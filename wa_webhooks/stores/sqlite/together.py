"""Plain events, many at a time: their rows are gathered, and written table by table.

Nearly every event is new, and about nobody, or about one person of whom the store has no doubt: who is known by all
the ids that the event names, or by none of them. The rows that come of it are the same as one by one (`leads`,
`crm`), in a fraction of the time: what has to be known is asked for together, and each table takes its rows in one
go. Every other event is left to be settled on its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..rows import place, spread_status, weigh_content
from .crm import WRITERS
from .known import Known, KnownNumber
from .ready import Ident, Ready, Who
from .statements import Row, Statements

_IN_ORDER = (
    "join_lead",
    "insert_settled",
    "put_holder",
    "put_identity",
    "insert_sighting",
    "add_status",
    "insert_message",
    "join_status",
    "join_message",
    "join_content",
    "insert_status",
    "join_call",
    "put_lead_event",
    "put_account_event",
    "queue_action",
    "count_drift",
    "split_delivery",
)
"""What is referred to comes before what refers to it, and of a message's row: what takes it as it was, what makes it,
what joins it."""


class Together:
    """The rows of some events, until they are written."""

    def __init__(self, run: Statements, now: str) -> None:
        """Attempts are made `now`."""
        self._run, self._now = run, now
        self._rows: dict[str, list[Row]] = {name: [] for name in _IN_ORDER}
        self._ordered = {name: run.ordered(name) for name in _IN_ORDER}
        self._events: list[int] = []

    def add(self, name: str, row: Mapping[str, Any]) -> None:
        """Gather a row for the statement of that name."""
        self._rows[name].append(self._ordered[name](row))

    def write(self) -> None:
        """Write what has been gathered."""
        for name, rows in self._rows.items():
            if rows:
                self._run.many(name, rows, at_once=name == "insert_settled")
                rows.clear()
        if self._events:
            self._run.execute(
                "insert_first_attempts", {"now": self._now, "first": self._events[0], "last": self._events[-1]}
            )
            self._events.clear()

    def take(self, event: Ready, known: Known, settled: Mapping[str, Any]) -> bool:
        """Gather the rows of a plain event; False if it must be settled on its own.

        `settled` are the columns of the verdict. What is `known` is kept up.
        """
        if not event.plain or event.log["key"] in known.events:
            return False
        lead_id = None
        if event.who is not None:
            lead_id = self._lead_of(event.who, known)
            if lead_id is None:
                return False
        known.events[event.log["key"]] = None
        event_id = known.new_event()
        self._events.append(event_id)
        self.add("insert_settled", {**event.log, **settled, "event_id": event_id, "lead_id": lead_id})
        if event.who is not None:
            event.who.seen["event_id"] = event_id
            event.who.seen["lead_id"] = event.who.joined["lead_id"] = lead_id
            self.add("insert_sighting", event.who.seen)
            self.add("join_lead", event.who.joined)
        for kind, changed in event.changed:
            if kind != "lead_seen":
                place(changed, event_id, event.digest, None if changed.get("person") is None else lead_id)
                self._add_change(kind, changed, known)
        return True

    # -- who it is about

    def _lead_of(self, who: Who, known: Known) -> int | None:
        """The lead of the one person of an event; None where `leads` has to find out."""
        told = known.numbers[who.scope, who.number] if who.number else None
        lead_id = self._lead_of_user(who, told, known) if who.user else self._lead_of_number(who, told, known)
        if lead_id is not None and told:
            told.known = True
            if who.user:
                told.named = True
            else:
                told.unnamed = True
        return lead_id

    def _lead_of_user(self, who: Who, told: KnownNumber | None, known: Known) -> int | None:
        if told and (told.unnamed or told.changed):
            return None  # somebody else's events may turn out to be theirs
        lead_id = known.leads.get(who.user[0])
        if any(known.leads.get(ident) != lead_id for ident in who.user[1:]):
            return None  # two who may be one
        if lead_id is not None:
            return lead_id if who.phone is None or known.leads.get(who.phone) == lead_id else None
        if told and not told.is_news:
            return None
        lead_id = known.new_lead()
        for ident in who.user:
            self._identify(ident, None, lead_id, known)
        if who.phone:
            self._identify(who.phone, who.number, lead_id, known)
        return lead_id

    def _lead_of_number(self, who: Who, told: KnownNumber | None, known: Known) -> int | None:
        if who.phone is None or told is None or told.named or told.changed:
            return None  # its history tells whose it was when
        if told.holder is not None:
            return told.holder if known.leads.get(who.phone) == told.holder else None
        if not told.is_news:
            return None
        told.holder = known.new_lead()
        self.add("put_holder", {"scope": who.scope, "number": who.number, "since": "", "lead_id": told.holder})
        self._identify(who.phone, who.number, told.holder, known)
        return told.holder

    def _identify(self, ident: Ident, number: str | None, lead_id: int, known: Known) -> None:
        scope, kind, value = ident
        known.leads[ident] = lead_id
        row = {"scope": scope, "kind": kind, "value": value, "number": number, "lead_id": lead_id}
        self.add("put_identity", row)

    # -- what it changes

    def _add_change(self, kind: str, row: dict[str, Any], known: Known) -> None:
        if kind == "status_seen":
            self._add_status(row, known)
        elif kind == "message_seen":
            self._add_message(row, known)
        else:
            WRITERS[kind](self.add, row)

    def _add_status(self, row: dict[str, Any], known: Known) -> None:
        spread_status(row)
        self.add("insert_status", row)
        message = known.messages.get((row["phone_number_id"], row["wamid"]))
        if (
            message is not None
            and message.lead_id == row["lead_id"]
            and message.lead_event_id == row["lead_event_id"]
            and message.at <= row["at"]
            and row["tag"] in (None, message.tag)
            and row["failed_at"] is None
        ):
            row["message_row"] = message.id
            self.add("add_status", row)
        else:
            self.add("join_status", row)

    def _add_message(self, row: dict[str, Any], known: Known) -> None:
        weigh_content(row)
        message = (row["phone_number_id"], row["wamid"])
        if message in known.messages:
            self.add("join_message", row)
            self.add("join_content", row)
        else:
            known.messages[message] = None  # there is going to be one
            self.add("insert_message", row)
