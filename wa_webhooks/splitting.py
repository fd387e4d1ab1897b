"""Split a delivery into events: one for each message, status, call, and each thing that we do not know.

`split` is total and pure: it never raises, drops nothing, and gives the same events for the same bytes. Items are
found by the names of the arrays they stand in, whatever the field, so that a mislabelled change loses nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from .decoding import decode, is_storable, keep_undecoded, undecoded
from .errors import PayloadError
from .events import FIELD_TYPES, ITEM_KINDS, WHATSAPP_OBJECT, Event
from .items import NO_IDS, Ids, chat_partner, contacts_of, ids_of, key_of, label_of, message_type, text_id, told_at
from .numbers import digits
from .payload.base import all_storable, parse_timestamp
from .payload.envelope import VALUE_FIELDS

_SURROUNDINGS = frozenset({"messaging_product", "metadata", "contacts"})
"""Keys of a value that describe its items and are no event of their own."""

_AROUND = ("messaging_product", "metadata")
"""Those of them that stay with every item; contacts only with the one that they are about."""


def split(body: bytes, received_at: datetime | None = None) -> tuple[Event, ...]:
    """Return the events of a delivery's body, in order of position; at least one. Never raises.

    `received_at` tells apart platform errors that repeat: they carry neither an id nor a time of their own.
    """
    try:
        payload = decode(body)
    except PayloadError as exc:
        key, kept = keep_undecoded(body)
        return (Event(key=key, type="unreadable", payload=kept, problem=str(exc)),)
    events = tuple(_events(payload, clean=is_storable(body), day=received_at))
    for position, event in enumerate(events):
        event.position = position
    return events


def restore(*, key: str, payload: Any, position: int) -> Event:
    """Return the event that `split` made, from what the log keeps of it.

    The type, times and ids are read anew, so that a newer version's reading applies; the key stays.
    """
    body = undecoded(key, payload)
    event = next(_events(payload, clean=False, day=None)) if body is None else split(body)[0]
    event.key, event.position = key, position
    return event


def _events(payload: Any, *, clean: bool, day: datetime | None) -> Iterator[Event]:
    """The events of a decoded body; `clean` if no text in it needs to be made storable."""
    entries = payload.get("entry") if isinstance(payload, dict) else None
    if not isinstance(entries, list):
        found = "an object without an `entry` list" if isinstance(payload, dict) else _json_kind(payload)
        yield _unreadable(payload, f"the body is not a webhook envelope but {found}")
        return
    if not entries:
        yield _unreadable(payload, "the envelope has no entries")
    envelope = {name: payload[name] for name in payload if name != "entry"}
    for entry in entries:
        yield from _entry_events(envelope, entry, clean=clean, day=day)


def _entry_events(envelope: dict[str, Any], entry: Any, *, clean: bool, day: datetime | None) -> Iterator[Event]:
    changes = entry.get("changes") if isinstance(entry, dict) else None
    if not isinstance(changes, list) or not changes:
        yield _unreadable({**envelope, "entry": [entry]}, "the entry has no changes")
        return
    around = {name: entry[name] for name in entry if name != "changes"}
    for change in changes:
        if not isinstance(change, dict) or "value" not in change:
            payload = {**envelope, "entry": [{**around, "changes": [change]}]}
            yield _unreadable(payload, "the change has no value")
        else:
            yield from _Place(envelope, around, change, clean=clean, day=day).events()


class _Place:
    """Where in a delivery an item stands: everything around it that its payload keeps."""

    __slots__ = (
        "account_id",
        "around",
        "business_number",
        "change",
        "clean",
        "day",
        "entry",
        "envelope",
        "field",
        "foreign_object",
        "known",
        "phone_number_id",
        "value",
    )

    def __init__(
        self,
        envelope: dict[str, Any],
        entry: dict[str, Any],
        change: dict[str, Any],
        *,
        clean: bool,
        day: datetime | None,
    ) -> None:
        self.envelope, self.entry, self.change, self.clean, self.day = envelope, entry, change, clean, day
        self.value = value = change["value"]
        self.field = field = change.get("field")
        self.known = FIELD_TYPES.get(field) if isinstance(field, str) else None
        kind = envelope.get("object", WHATSAPP_OBJECT)
        self.foreign_object = None if kind == WHATSAPP_OBJECT else text_id(kind) or "null"
        self.account_id = text_id(entry.get("id"))
        self.phone_number_id: str | None = None
        self.business_number: str | None = None
        self.around: dict[str, Any] = {}
        if not isinstance(value, dict):
            return
        metadata = value.get("metadata")
        if isinstance(metadata, dict):
            self._is_about(metadata)
        if self.known:
            self._look_deeper(value)
        self.around = {name: value[name] for name in _AROUND if name in value}

    def _is_about(self, number: dict[str, Any]) -> None:
        self.phone_number_id = text_id(number.get("phone_number_id")) or self.phone_number_id
        self.business_number = digits(text_id(number.get("display_phone_number"))) or self.business_number

    def _look_deeper(self, value: dict[str, Any]) -> None:
        """Read whose the value is where a field of its own has that elsewhere."""
        if isinstance(client := value.get("waba_info"), dict):
            # An entry about a partner's client has the partner's id; the account it is about stands inside.
            self.account_id = text_id(client.get("waba_id")) or self.account_id
        for name in ("recipient", "phone_number_settings"):
            if isinstance(number := value.get(name), dict):
                self._is_about(number)

    def reduced(self, value: Any) -> dict[str, Any]:
        """The envelope with `value` in place of the change's own."""
        return {**self.envelope, "entry": [{**self.entry, "changes": [{**self.change, "value": value}]}]}

    def event(
        self, type_: str, value: Any, item: Any, *, at: Any = None, contact: Any = None, ids: Ids | None = None
    ) -> Event:
        """Return the event of `item`, whose payload is the envelope with `value`."""
        named, message_id, call_id = ids or NO_IDS
        event = Event(
            key="",
            type=type_,
            payload=self.reduced(value),
            at=parse_timestamp(at or self.entry.get("time")),
            account_id=self.account_id,
            phone_number_id=self.phone_number_id,
            business_number=self.business_number,
            message_id=message_id,
            call_id=call_id,
            foreign_object=self.foreign_object,
            item=item if self.clean else all_storable(item),
            contact=contact if self.clean else all_storable(contact),
        )
        where = self.phone_number_id or self.account_id or "-"
        if named is not None:
            event.key = key_of(named[0], where, *named[1:])
        else:
            # Platform errors have neither id nor time: the same one on another day is another.
            day = [f"{self.day:%Y-%m-%d}"] if self.day and type_.startswith("error.") else []
            event.key = key_of(type_, where, event.digest, *day)
        return event

    def events(self) -> Iterator[Event]:
        value = self.value
        if not isinstance(value, dict) or self.known:
            yield self._whole()
            return
        arrays = _arrays(value)
        has_standby = "standby" in value and bool(_arrays(value["standby"]))
        summary = "conversation_context" in value and isinstance(value["conversation_context"], dict)
        if not arrays and not has_standby and not summary:
            yield self._whole()
            return
        yield from self._items(value, arrays)
        if has_standby:
            yield from self._standby(value["standby"])
        if summary:
            yield self._summary(value)
        rest = {name: inner for name, inner in value.items() if name not in _SURROUNDINGS and name not in arrays}
        if rest:
            rest = {name: inner for name, inner in rest.items() if not (inner == [] and name in ITEM_KINDS)}
            for name, told in (("standby", has_standby), ("conversation_context", summary)):
                if told:
                    del rest[name]
        if rest:
            label = label_of(self.field, "absent")
            yield self.event(f"unknown.{label}", {**self.around, **rest}, rest, at=rest.get("timestamp"))

    def _items(self, holder: dict[str, Any], arrays: list[str], within: str = "") -> Iterator[Event]:
        """An event for each element of the holder's arrays; `within` is the object that the holder is, if any."""
        contacts = holder.get("contacts")
        for name in arrays:
            for item in holder[name]:
                if name == "history" and isinstance(item, dict) and not within:
                    yield from self._history(item)
                    continue
                found = contacts_of(item, contacts)
                inside = {"contacts": found, name: [item]} if found else {name: [item]}
                value = {**self.around, within: inside} if within else {**self.around, **inside}
                yield self._item(name, item, value, found[0] if found else None, within)

    def _standby(self, standby: dict[str, Any]) -> Iterator[Event]:
        """What stands inside `standby`: chats that another app is in control of."""
        arrays = _arrays(standby)
        yield from self._items(standby, arrays, "standby")
        passed_over = {"contacts", *arrays, *(name for name in ITEM_KINDS if standby.get(name) == [])}
        rest = {name: inner for name, inner in standby.items() if name not in passed_over}
        if rest:
            label = label_of(self.field, "absent")
            yield self.event(f"unknown.{label}", {**self.around, "standby": rest}, rest, at=rest.get("timestamp"))

    def _summary(self, value: dict[str, Any]) -> Event:
        """What a chat was about, for who takes it over."""
        item = value["conversation_context"]
        found = contacts_of(item, value.get("contacts"))
        beside = {"contacts": found} if found else {}
        return self.event(
            "handover.conversation_context",
            {**self.around, **beside, "conversation_context": item},
            item,
            at=item.get("timestamp"),
            contact=found[0] if found else None,
        )

    def _history(self, item: dict[str, Any]) -> Iterator[Event]:
        """An event for each message of an old chat; one for a chat or a chunk that has none."""
        threads = item.get("threads")
        if "errors" in item or not isinstance(threads, list) or not threads:
            label = "errors" if "errors" in item else "chunk"
            yield self.event(f"history.{label}", {**self.around, "history": [item]}, item)
            return
        for thread in threads:
            messages = thread.get("messages") if isinstance(thread, dict) else None
            contact = chat_partner(thread)
            if not isinstance(messages, list) or not messages:
                value = {**self.around, "history": [{**item, "threads": [thread]}]}
                yield self.event("history.thread", value, thread, contact=contact)
                continue
            for message in messages:
                alone = {**item, "threads": [{**thread, "messages": [message]}]}
                yield self._item("messages", message, {**self.around, "history": [alone]}, contact)

    def _whole(self) -> Event:
        value = self.value
        label = self.known or self._unknown(value)
        told = value if isinstance(value, dict) else {}
        if self.known == "handover":
            label = f"handover.{label_of(told.get('type'), 'unknown')}"
        contacts = told.get("contacts")
        contact = contacts[0] if isinstance(contacts, list) and contacts and isinstance(contacts[0], dict) else None
        return self.event(label, value, value, at=told.get("timestamp"), contact=contact)

    def _unknown(self, value: Any) -> str:
        """The type of a value that holds nothing we know; `empty` where it is one that holds nothing at all."""
        nothing = isinstance(value, dict) and all(
            name in _SURROUNDINGS or (inner == [] and name in ITEM_KINDS) for name, inner in value.items()
        )
        known = nothing and isinstance(self.field, str) and self.field in VALUE_FIELDS
        return f"{'empty' if known else 'unknown'}.{label_of(self.field, 'absent')}"

    def _item(self, name: str, item: Any, value: dict[str, Any], contact: Any, within: str = "") -> Event:
        if not isinstance(item, dict):
            event = self.event("unreadable", value, item)
            event.problem = f"an element of {name} is not an object"
            return event
        kind, discriminator = ITEM_KINDS[name]
        label = label_of(item.get(discriminator), "unknown") if discriminator else name
        if name == "statuses":
            kind = {"payment": "payment", "call": "call"}.get(str(item.get("type")), "status")
        elif kind in ("message", "echo") and self.field == "history":
            kind = "history"  # an old chat: nobody wrote just now
        elif kind == "echo" and within:
            sent = item.get("message")
            label = label_of(sent.get("type") if isinstance(sent, dict) else None, "unknown")
        type_ = message_type(kind, item, label) if kind in ("message", "echo") else f"{kind}.{label}"
        ids = ids_of(f"{within}.{kind}" if within else kind, kind, item, label)
        if within:
            type_ = f"{within}.{type_}"
        return self.event(type_, value, item, at=told_at(item), contact=contact, ids=ids)


def _arrays(value: Any) -> list[str]:
    """The names of the arrays of items in a change's value."""
    if not isinstance(value, dict):
        return []
    return [name for name in value if name in ITEM_KINDS and isinstance(value[name], list) and value[name]]


def _unreadable(payload: Any, problem: str) -> Event:
    event = Event(key="", type="unreadable", payload=payload, problem=problem)
    event.key = key_of("unreadable", "-", event.digest)
    kind = payload.get("object", WHATSAPP_OBJECT) if isinstance(payload, dict) else WHATSAPP_OBJECT
    event.foreign_object = None if kind == WHATSAPP_OBJECT else text_id(kind) or "null"
    return event


def _json_kind(value: Any) -> str:
    kinds = {list: "an array", str: "a string", bool: "a boolean", type(None): "null"}
    return kinds.get(type(value), "a number")
