"""Split a delivery into events: one for each message, status, call, and each thing that we do not know.

`split` is total and pure: it never raises, drops nothing, and gives the same events for the same bytes. Items are
found by the names of the arrays they stand in, whatever the field, so that a mislabelled change loses nothing.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from .decoding import decode, keep_undecoded, undecoded
from .errors import PayloadError
from .events import FIELD_TYPES, ITEM_KINDS, WHATSAPP_OBJECT, Event, canonical
from .numbers import digits
from .payload.base import all_storable, parse_timestamp, storable

_LONGEST_KEY = 512
"""Longer event keys are hashed: a Postgres index row holds at most about 2,700 bytes."""

_SURROUNDINGS = frozenset({"messaging_product", "metadata", "contacts"})
"""Keys of a value that describe its items and are no event of their own."""

_PHONE_KEYS = ("from", "to", "recipient_id", "recipient_participant_id", "wa_id")
_USER_KEYS = ("from_user_id", "to_user_id", "recipient_user_id", "recipient_participant_user_id", "user_id")
_PARTICIPANT_KEYS = ("recipient_participant_user_id", "recipient_participant_id", "participant_recipient_id")
"""Who of a group a status is about; three of Meta's samples use the last spelling."""

_OF_MESSAGES = frozenset({"message", "echo", "history", "status", "automatic", "payment"})
"""Kinds of items whose `id` is a message's."""

_UNSTORABLE = re.compile(r"\\u(?:0000|d[89ab]..(?!\\ud[c-f])|(?<!\\ud[89ab]..\\u)d[c-f])")
"""NUL and lone surrogates in canonical JSON."""


def split(body: bytes, received_at: datetime | None = None) -> tuple[Event, ...]:
    """Return the events of a delivery's body, in order of position; at least one. Never raises.

    `received_at` tells apart platform errors that repeat: they carry neither an id nor a time of their own.
    """
    try:
        payload = decode(body)
        return tuple(draft.event(i, received_at) for i, draft in enumerate(_drafts(payload)))
    except PayloadError as exc:
        problem = str(exc)
    key, payload = keep_undecoded(body)
    draft = _unreadable(payload, problem)
    draft.natural_key = (key,)
    return (draft.event(0),)


def restore(*, key: str, payload: Any, position: int) -> Event:
    """Return the event that `split` made, from what the log keeps of it.

    The type, times and ids are read anew, so that a newer version's reading applies; the key stays.
    """
    body = undecoded(key, payload)
    event = next(_drafts(payload)).event(position) if body is None else split(body)[0]
    return replace(event, key=key, position=position)


@dataclass(slots=True, kw_only=True)
class _Draft:
    """An event in the making: what `_drafts` found, before its key is known."""

    type: str
    payload: Any
    natural_key: tuple[Any, ...] | None = None
    at: Any = None
    account_id: str | None = None
    phone_number_id: str | None = None
    business_number: str | None = None
    message_id: str | None = None
    call_id: str | None = None
    foreign_object: str | None = None
    problem: str | None = None
    item: Any = None
    contact: Any = None

    def event(self, position: int, received_at: datetime | None = None) -> Event:
        text = canonical(self.payload)
        digest = hashlib.sha256(text.encode()).hexdigest()
        if "\\u" in text and _UNSTORABLE.search(text):
            self.item, self.contact = all_storable(self.item), all_storable(self.contact)
        return Event(
            key=self._key(digest, received_at),
            type=self.type,
            payload=self.payload,
            digest=digest,
            position=position,
            at=parse_timestamp(self.at),
            account_id=self.account_id,
            phone_number_id=self.phone_number_id,
            business_number=self.business_number,
            message_id=self.message_id,
            call_id=self.call_id,
            foreign_object=self.foreign_object,
            problem=self.problem,
            item=self.item,
            contact=self.contact,
        )

    def _key(self, digest: str, received_at: datetime | None) -> str:
        day = [f"{received_at:%Y-%m-%d}"] if received_at and self.type.startswith("error.") else []
        parts = self.natural_key or (self.type, self.phone_number_id or self.account_id or "-", digest, *day)
        key = ":".join(parts)
        if not (key.isascii() and key.isprintable()):
            key = ":".join(_key_part(part) for part in parts)
        if len(key) > _LONGEST_KEY:
            key = f"{self.type.partition('.')[0]}:sha256:{hashlib.sha256(key.encode()).hexdigest()}"
        return key


def _drafts(payload: Any) -> Iterator[_Draft]:
    entries = payload.get("entry") if isinstance(payload, dict) else None
    if not isinstance(entries, list):
        found = "an object without an `entry` list" if isinstance(payload, dict) else _json_kind(payload)
        yield _unreadable(payload, f"the body is not a webhook envelope but {found}")
        return
    if not entries:
        yield _unreadable(payload, "the envelope has no entries")
    kind = payload.get("object")
    envelope = {"object": kind} if "object" in payload else {}
    foreign = None if kind == WHATSAPP_OBJECT or "object" not in payload else _id(kind) or "null"
    for entry in entries:
        for draft in _entry_drafts(envelope, entry):
            draft.foreign_object = foreign
            yield draft


def _entry_drafts(envelope: dict[str, Any], entry: Any) -> Iterator[_Draft]:
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
            yield from _Place(envelope, around, change).drafts()


class _Place:
    """Where in a delivery an item stands: everything around it that its payload keeps."""

    def __init__(self, envelope: dict[str, Any], entry: dict[str, Any], change: dict[str, Any]) -> None:
        self.envelope, self.entry, self.change = envelope, entry, change
        self.value = value = change["value"]
        self.field = change.get("field")
        # An entry about a partner's client has the partner's id; the account it is about stands inside.
        self.account_id = _inner_id(value, ("waba_info",), "waba_id") or _id(entry.get("id"))
        numbers = ("metadata", "recipient", "phone_number_settings")
        self.phone_number_id = _inner_id(value, numbers, "phone_number_id")
        self.business_number = digits(_inner_id(value, numbers, "display_phone_number"))
        self.around = (
            {name: value[name] for name in value if name in _SURROUNDINGS and name != "contacts"}
            if isinstance(value, dict)
            else {}
        )

    def reduced(self, value: Any) -> dict[str, Any]:
        """The envelope with `value` in place of the change's own."""
        return {**self.envelope, "entry": [{**self.entry, "changes": [{**self.change, "value": value}]}]}

    def draft(self, type_: str, payload: Any, *, at: Any, item: Any, contact: Any = None) -> _Draft:
        return _Draft(
            type=type_,
            payload=payload,
            at=at or self.entry.get("time"),
            item=item,
            contact=contact,
            account_id=self.account_id,
            phone_number_id=self.phone_number_id,
            business_number=self.business_number,
        )

    def drafts(self) -> Iterator[_Draft]:
        value = self.value
        if not isinstance(value, dict) or (isinstance(self.field, str) and self.field in FIELD_TYPES):
            yield self._whole()
            return
        arrays = _arrays(value)
        standby = value.get("standby")
        has_standby = bool(_arrays(standby))
        summary = isinstance(value.get("conversation_context"), dict)
        if not arrays and not has_standby and not summary:
            yield self._whole()
            return
        yield from self._items(value, arrays, self.around, value.get("contacts"))
        if has_standby:
            yield from self._standby(value["standby"])
        if summary:
            yield self._summary(value)
        passed_over = {*_SURROUNDINGS, *(name for name in ITEM_KINDS if value.get(name) == []), *arrays}
        passed_over |= {name for name, told in (("standby", has_standby), ("conversation_context", summary)) if told}
        rest = {name: value[name] for name in value if name not in passed_over}
        if rest:
            label = _label(self.field, "absent")
            payload = self.reduced({**self.around, **rest})
            yield self.draft(f"unknown.{label}", payload, at=rest.get("timestamp"), item=rest)

    def _items(
        self, holder: dict[str, Any], arrays: list[str], around: dict[str, Any], contacts: Any, within: str = ""
    ) -> Iterator[_Draft]:
        """An event for each element of the holder's arrays; `within` is the object that the holder is, if any."""
        for name in arrays:
            for item in holder[name]:
                if name == "history" and isinstance(item, dict) and not within:
                    yield from self._history(item)
                    continue
                found = _contacts_of(item, contacts)
                inside = {"contacts": found, name: [item]} if found else {name: [item]}
                payload = self.reduced({**around, within: inside} if within else {**around, **inside})
                yield self._item(name, item, payload, found[0] if found else None, within)

    def _standby(self, standby: dict[str, Any]) -> Iterator[_Draft]:
        """What stands inside `standby`: chats that another app is in control of."""
        arrays = _arrays(standby)
        yield from self._items(standby, arrays, self.around, standby.get("contacts"), "standby")
        rest = {name: standby[name] for name in standby if name not in arrays and name != "contacts"}
        rest = {name: inner for name, inner in rest.items() if not (name in ITEM_KINDS and inner == [])}
        if rest:
            payload = self.reduced({**self.around, "standby": rest})
            yield self.draft("unknown.standby", payload, at=rest.get("timestamp"), item=rest)

    def _summary(self, value: dict[str, Any]) -> _Draft:
        """What a chat was about, for who takes it over."""
        item = value["conversation_context"]
        found = _contacts_of(item, value.get("contacts"))
        beside = {"contacts": found} if found else {}
        payload = self.reduced({**self.around, **beside, "conversation_context": item})
        contact = found[0] if found else None
        return self.draft(
            "handover.conversation_context", payload, at=item.get("timestamp"), item=item, contact=contact
        )

    def _history(self, item: dict[str, Any]) -> Iterator[_Draft]:
        """An event for each message of an old chat; one for a chat or a chunk that has none."""
        threads = item.get("threads")
        if "errors" in item or not isinstance(threads, list) or not threads:
            label = "errors" if "errors" in item else "chunk"
            payload = self.reduced({**self.around, "history": [item]})
            yield self.draft(f"history.{label}", payload, at=None, item=item)
            return
        for thread in threads:
            messages = thread.get("messages") if isinstance(thread, dict) else None
            if not isinstance(messages, list) or not messages:
                payload = self.reduced({**self.around, "history": [{**item, "threads": [thread]}]})
                yield self.draft("history.thread", payload, at=None, item=thread, contact=_chat_partner(thread))
                continue
            contact = _chat_partner(thread)
            for message in messages:
                alone = {**item, "threads": [{**thread, "messages": [message]}]}
                payload = self.reduced({**self.around, "history": [alone]})
                yield self._item("messages", message, payload, contact)

    def _whole(self) -> _Draft:
        value, field = self.value, self.field
        known = FIELD_TYPES.get(field) if isinstance(field, str) else None
        label = known or f"unknown.{_label(field, 'absent')}"
        is_object = isinstance(value, dict)
        if known == "handover":
            label = f"handover.{_label(value.get('type') if is_object else None, 'unknown')}"
        contacts = value.get("contacts") if is_object else None
        contact = contacts[0] if isinstance(contacts, list) and contacts and isinstance(contacts[0], dict) else None
        at = value.get("timestamp") if is_object else None
        return self.draft(label, self.reduced(value), at=at, item=value, contact=contact)

    def _item(self, name: str, item: Any, payload: dict[str, Any], contact: Any, within: str = "") -> _Draft:
        if not isinstance(item, dict):
            draft = self.draft("unreadable", payload, at=None, item=item)
            draft.problem = f"an element of {name} is not an object"
            return draft
        kind, discriminator = ITEM_KINDS[name]
        label = _label(item.get(discriminator), "unknown") if discriminator else name
        if name == "statuses":
            kind = {"payment": "payment", "call": "call"}.get(str(item.get("type")), "status")
        elif kind in ("message", "echo") and self.field == "history":
            kind = "history"  # an old chat: nobody wrote just now
        elif kind == "echo" and within:
            sent = item.get("message")
            label = _label(sent.get("type") if isinstance(sent, dict) else None, "unknown")
        draft = self.draft(f"{kind}.{label}", payload, at=_told_at(item), item=item, contact=contact)
        if kind in ("message", "echo"):
            draft.type = _message_type(kind, item, label)
        item_id = _id(item.get("id"))
        if item_id is not None:
            _name_item(draft, kind, item_id, item, label)
        if within:
            draft.type = f"{within}.{draft.type}"
            if draft.natural_key:
                draft.natural_key = (f"{within}.{draft.natural_key[0]}", *draft.natural_key[1:])
        return draft


def _told_at(item: dict[str, Any]) -> Any:
    """The time that an item tells; that of a synced contact stands deeper."""
    at = item.get("timestamp")
    if at is None and isinstance(about := item.get("metadata"), dict):
        return about.get("timestamp")
    return at


def _chat_partner(thread: Any) -> dict[str, Any] | None:
    """Whose chat a thread is, as a contact."""
    if not isinstance(thread, dict):
        return None
    about = thread.get("context")
    about = about if isinstance(about, dict) else {}
    found = {name: about[name] for name in ("wa_id", "user_id", "parent_user_id") if about.get(name)}
    if "wa_id" not in found and thread.get("id"):
        found["wa_id"] = thread["id"]
    if about.get("username"):
        found["profile"] = {"username": about["username"]}
    return found or None


def _name_item(draft: _Draft, kind: str, item_id: str, item: Mapping[str, Any], label: str) -> None:
    """Give an item with an id its natural key, and tie its event to the message or call."""
    where = draft.phone_number_id or draft.account_id or "-"
    if kind == "call":
        draft.call_id = item_id
        draft.natural_key = (kind, where, item_id, label)
        return
    if kind not in _OF_MESSAGES:
        return
    draft.message_id = item_id
    if kind in ("message", "echo"):
        draft.natural_key = (kind, where, item_id)
    elif kind == "status":
        participant = next((found for name in _PARTICIPANT_KEYS if (found := _id(item.get(name)))), None)
        draft.natural_key = (kind, where, item_id, label, *([participant] if participant else ()))
    elif kind == "payment":
        draft.natural_key = (kind, where, item_id, label, *_transaction_of(item))
    else:
        draft.natural_key = (kind, where, item_id, label)


def _transaction_of(item: Mapping[str, Any]) -> tuple[str, ...]:
    """What tells two reports of one payment apart: a refund repeats `captured`."""
    payment = item.get("payment")
    transaction = payment.get("transaction") if isinstance(payment, dict) else None
    if not isinstance(transaction, dict):
        return ()
    parts = (_id(transaction.get("id")), _id(transaction.get("updated_timestamp")))
    return tuple(part for part in parts if part)


def _message_type(kind: str, item: Mapping[str, Any], label: str) -> str:
    """`message.text`, and one level deeper where the type alone says little: `message.interactive.list_reply`."""
    body = item.get(label)
    inner = body.get("type") if label in ("interactive", "system") and isinstance(body, dict) else None
    return f"{kind}.{label}.{_label(inner, 'unknown')}" if inner else f"{kind}.{label}"


def _arrays(value: Any) -> list[str]:
    """The names of the arrays of items in a change's value, in the order of `ITEM_KINDS`."""
    if not isinstance(value, dict):
        return []
    return [name for name in ITEM_KINDS if isinstance(value.get(name), list) and value[name]]


def _contacts_of(item: Any, contacts: Any) -> list[Any]:
    """The contact that is about this item: one that shares an id with it, or the only one if no id says otherwise."""
    if not isinstance(item, dict) or not isinstance(contacts, list):
        return []
    known = [contact for contact in contacts if isinstance(contact, dict)]
    phones = {phone for name in _PHONE_KEYS if (phone := digits(_id(item.get(name))))}
    users = {user for name in _USER_KEYS if (user := _id(item.get(name)))}
    for contact in known:
        if digits(_id(contact.get("wa_id"))) in phones or _id(contact.get("user_id")) in users:
            return [contact]
    if len(known) != 1:
        return []
    contradicted = (phones and digits(_id(known[0].get("wa_id")))) or (users and _id(known[0].get("user_id")))
    return [] if contradicted else known


def _unreadable(payload: Any, problem: str) -> _Draft:
    return _Draft(type="unreadable", payload=payload, problem=problem)


def _json_kind(value: Any) -> str:
    kinds = {list: "an array", str: "a string", bool: "a boolean", type(None): "null"}
    return kinds.get(type(value), "a number")


def _id(value: Any) -> str | None:
    """An id as text, whether Meta sent a string or a number; None where there is none."""
    if isinstance(value, str):
        return storable(value) or None
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else None


def _inner_id(value: Any, objects: tuple[str, ...], name: str) -> str | None:
    """The id `name` in the first of the value's `objects` that has it."""
    if not isinstance(value, dict):
        return None
    inner = (value.get(key) for key in objects)
    return next((found for each in inner if isinstance(each, dict) and (found := _id(each.get(name)))), None)


def _key_part(part: Any) -> str:
    text = str(part)
    return text if text.isascii() and text.isprintable() else json.dumps(text)[1:-1]


def _label(value: Any, fallback: str) -> str:
    """A word for an event type from a value that Meta controls: lower case, no surprises, at most 64 characters."""
    text = str(value).lower() if isinstance(value, str | int) and not isinstance(value, bool) else ""
    return re.sub(r"[^a-z0-9_-]+", "_", text)[:64].strip("_") or fallback
