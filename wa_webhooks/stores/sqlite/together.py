"""Plain events, many at a time: their rows are gathered, and written table by table.

Nearly every event is new, and about nobody, or about one person of whom the store has no doubt: who is known by all
the ids that the event names, or by none of them. The rows that come of it are the same as one by one (`leads`,
`crm`), in a fraction of the time: what has to be known is asked for together, and each table takes its rows in one
go. Every other event is left to be settled on its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .crm import WRITERS, place, spread_status, weigh_content
from .known import Known, KnownNumber
from .leads import Sighting, joined_of, number_of, seen_of, user_ids
from .ready import Ready
from .statements import Row, Statements

if TYPE_CHECKING:
    from ...changes import Person

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
    "insert_attempt",
    "count_drift",
    "split_delivery",
)
"""What is referred to comes before what refers to it, and of a message's row: what takes it as it was, what makes it,
what joins it."""
_LOGS = frozenset({"insert_settled", "insert_attempt"})
"""Into tables with triggers."""


class Together:
    """The rows of some events, until they are written."""

    def __init__(self, run: Statements) -> None:
        self._run = run
        self._rows: dict[str, list[Row]] = {name: [] for name in _IN_ORDER}
        self._ordered = {name: run.ordered(name) for name in _IN_ORDER}

    def add(self, name: str, row: Mapping[str, Any]) -> None:
        """Gather a row for the statement of that name."""
        self._rows[name].append(self._ordered[name](row))

    def write(self) -> None:
        """Write what has been gathered."""
        for name, rows in self._rows.items():
            if rows:
                self._run.many(name, rows, at_once=name in _LOGS)
                rows.clear()

    def take(self, event: Ready, known: Known, settled: Mapping[str, Any]) -> bool:
        """Gather the rows of a plain event; False if it must be settled on its own.

        `settled` are the columns of the verdict. What is `known` is kept up.
        """
        if not event.plain or event.log["key"] in known.events:
            return False
        lead_id = None
        if event.sighting is not None:
            lead_id = self._lead_of(event.sighting, known)
            if lead_id is None:
                return False
        known.events[event.log["key"]] = None
        event_id = known.new_event()
        row = {**event.log, **settled, "event_id": event_id, "id": event_id, "lead_id": lead_id}
        self.add("insert_settled", row)
        self.add("insert_attempt", row)
        if event.sighting is not None and lead_id is not None:
            seen = seen_of(event.sighting, lead_id)
            seen["event_id"] = event_id
            self.add("insert_sighting", seen)
            self.add("join_lead", joined_of(seen))
        for kind, changed in event.changed:
            place(changed, event_id, event.digest, None if changed.get("person") is None else lead_id)
            if kind == "status_seen":
                self._add_status(changed, known)
            elif kind == "message_seen":
                self._add_message(changed, known)
            else:
                WRITERS[kind](self.add, changed)
        return True

    # -- who it is about

    def _lead_of(self, sighting: Sighting, known: Known) -> int | None:
        """The lead of the one person of an event; None where `leads` has to find out."""
        person = sighting.person
        ids = [(person.scope, kind, value) for kind, value in user_ids(person)]
        number = number_of(person)
        told = known.numbers.setdefault(number, KnownNumber()) if number else None
        if ids:
            lead_id = self._lead_of_user(person, ids, told, known)
        else:
            assert number  # noqa: S101 - somebody has at least one id
            assert told  # noqa: S101
            lead_id = self._lead_of_number(person, told, known)
        if lead_id is not None and told:
            told.known = True
            told.named, told.unnamed = told.named or bool(ids), told.unnamed or not ids
        return lead_id

    def _lead_of_user(
        self, person: Person, ids: list[tuple[str, str, str]], told: KnownNumber | None, known: Known
    ) -> int | None:
        found = {known.leads.get(ident) for ident in ids}
        if len(found) > 1 or (told and (told.unnamed or told.changed)):
            return None  # two who may be one; or somebody else's events may turn out to be theirs
        (lead_id,) = found
        phone = (person.scope, "wa_id", person.wa_id) if person.wa_id else None
        if lead_id is not None:
            return lead_id if phone is None or known.leads.get(phone) == lead_id else None
        if told and not told.is_news:
            return None
        lead_id = known.new_lead()
        for ident in (*ids, *([phone] if phone else [])):
            self._identify(ident, lead_id, person, known)
        return lead_id

    def _lead_of_number(self, person: Person, told: KnownNumber, known: Known) -> int | None:
        if told.named or told.changed:
            return None  # its history tells whose it was when
        phone = (person.scope, "wa_id", str(person.wa_id))
        if told.holder is not None:
            return told.holder if known.leads.get(phone) == told.holder else None
        if not told.is_news:
            return None
        told.holder = known.new_lead()
        holder = {"scope": person.scope, "number": person.number, "since": "", "lead_id": told.holder}
        self.add("put_holder", holder)
        self._identify(phone, told.holder, person, known)
        return told.holder

    def _identify(self, ident: tuple[str, str, str], lead_id: int, person: Person, known: Known) -> None:
        scope, kind, value = ident
        number = person.number if kind == "wa_id" else None
        known.leads[ident] = lead_id
        row = {"scope": scope, "kind": kind, "value": value, "number": number, "lead_id": lead_id}
        self.add("put_identity", row)

    # -- messages

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
            self._touch(row, known)

    def _add_message(self, row: dict[str, Any], known: Known) -> None:
        weigh_content(row)
        if (row["phone_number_id"], row["wamid"]) in known.messages:
            self.add("join_message", row)
            self.add("join_content", row)
        else:
            self.add("insert_message", row)
        self._touch(row, known)

    def _touch(self, row: dict[str, Any], known: Known) -> None:
        """A message's row is as it will be: what is known of it holds no longer."""
        known.messages[row["phone_number_id"], row["wamid"]] = None
