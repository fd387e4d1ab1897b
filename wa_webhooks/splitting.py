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
from .events import FIELD_TYPES, ITEM_KINDS, WHATSAPP_OBJECT, Event, digest_of, digits
from .payload import parse_timestamp, storable

_LONGEST_KEY = 512
"""Longer event keys are hashed: a Postgres index row holds at most about 2,700 bytes."""

_SURROUNDINGS = frozenset({"messaging_product", "metadata", "contacts"})
"""Keys of a value that describe its items and are no event of their own."""

_PHONE_KEYS = ("from", "to", "recipient_id", "recipient_participant_id", "wa_id")
_USER_KEYS = ("from_user_id", "to_user_id", "recipient_user_id", "recipient_participant_user_id", "user_id")
_PARTICIPANT_KEYS = ("recipient_participant_user_id", "recipient_participant_id", "participant_recipient_id")
"""Who of a group a status is about; three of Meta's samples use the last spelling."""


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
    message_id: str | None = None
    call_id: str | None = None
    foreign_object: str | None = None
    problem: str | None = None

    def event(self, position: int, received_at: datetime | None = None) -> Event:
        digest = digest_of(self.payload)
        day = [f"{received_at:%Y-%m-%d}"] if received_at and self.type.startswith("error.") else []
        parts = self.natural_key or (self.type, self.phone_number_id or self.account_id or "-", digest, *day)
        key = ":".join(_key_part(part) for part in parts)
        if len(key) > _LONGEST_KEY:
            key = f"{self.type.partition('.')[0]}:sha256:{hashlib.sha256(key.encode()).hexdigest()}"
        return Event(
            key=key,
            type=self.type,
            payload=self.payload,
            digest=digest,
            position=position,
            at=parse_timestamp(self.at),
            account_id=self.account_id,
            phone_number_id=self.phone_number_id,
            message_id=self.message_id,
            call_id=self.call_id,
            foreign_object=self.foreign_object,
            problem=self.problem,
        )


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
        place = _Place(envelope=envelope, entry=around, change=change)
        if not isinstance(change, dict) or "value" not in change:
            yield _unreadable(place.payload(change), "the change has no value")
        else:
            yield from place.drafts()


@dataclass(slots=True, kw_only=True)
class _Place:
    """Where in a delivery an item stands: everything around it that its payload keeps."""

    envelope: dict[str, Any]
    entry: dict[str, Any]
    change: Any

    def payload(self, change: Any) -> dict[str, Any]:
        return {**self.envelope, "entry": [{**self.entry, "changes": [change]}]}

    def reduced(self, value: Any) -> dict[str, Any]:
        """The envelope with `value` in place of the change's own."""
        return self.payload({**self.change, "value": value})

    def draft(self, **attributes: Any) -> _Draft:
        value = self.change["value"]
        # An entry about a partner's client has the partner's id; the account it is about stands inside.
        account = _inner_id(value, ("waba_info",), "waba_id") or _id(self.entry.get("id"))
        number = _inner_id(value, ("metadata", "recipient", "phone_number_settings"), "phone_number_id")
        return _Draft(account_id=account, phone_number_id=number, **attributes)

    def drafts(self) -> Iterator[_Draft]:
        value = self.change["value"]
        arrays = _arrays(value) if _id(self.change.get("field")) not in FIELD_TYPES else []
        if not arrays:
            yield self._whole()
            return
        around = {name: value[name] for name in value if name in _SURROUNDINGS and name != "contacts"}
        for name in arrays:
            for item in value[name]:
                contacts = _contacts_of(item, value.get("contacts"))
                beside = {**around, "contacts": contacts} if contacts else around
                yield self._item(name, item, self.reduced({**beside, name: [item]}))
        passed_over = {*_SURROUNDINGS, *(name for name in ITEM_KINDS if value.get(name) == []), *arrays}
        rest = {name: value[name] for name in value if name not in passed_over}
        if rest:
            field = _label(self.change.get("field"), "absent")
            at = rest.get("timestamp") or self.entry.get("time")
            yield self.draft(type=f"unknown.{field}", payload=self.reduced({**around, **rest}), at=at)

    def _whole(self) -> _Draft:
        field = self.change.get("field")
        known = FIELD_TYPES.get(field) if isinstance(field, str) else None
        value = self.change["value"]
        at = value.get("timestamp") if isinstance(value, dict) else None
        return self.draft(
            type=known or f"unknown.{_label(field, 'absent')}",
            payload=self.payload(self.change),
            at=at or self.entry.get("time"),
        )

    def _item(self, name: str, item: Any, payload: dict[str, Any]) -> _Draft:
        if not isinstance(item, dict):
            draft = self.draft(type="unreadable", payload=payload)
            draft.problem = f"an element of {name} is not an object"
            return draft
        kind, discriminator = ITEM_KINDS[name]
        label = _label(item.get(discriminator), "unknown")
        if name == "statuses":
            kind = {"payment": "payment", "call": "call"}.get(str(item.get("type")), "status")
        elif name == "history":
            label = "errors" if "errors" in item else "chunk"
        elif name == "messages" and self.change.get("field") == "history":
            kind = "history"  # an old chat's media: nobody wrote just now
        draft = self.draft(type=f"{kind}.{label}", payload=payload)
        about = item.get("metadata")
        told = about.get("timestamp") if isinstance(about, dict) else None
        draft.at = item.get("timestamp") or told or self.entry.get("time")
        if kind in ("message", "echo"):
            draft.type = _message_type(kind, item, label)
        item_id = _id(item.get("id"))
        if item_id is not None:
            _name_item(draft, kind, item_id, item, label)
        return draft


def _name_item(draft: _Draft, kind: str, item_id: str, item: Mapping[str, Any], label: str) -> None:
    """Give an item with an id its natural key, and tie its event to the message or call."""
    where = draft.phone_number_id or draft.account_id or "-"
    if kind in ("message", "echo"):
        draft.message_id = item_id
        draft.natural_key = (kind, where, item_id)
    elif kind == "status":
        draft.message_id = item_id
        participant = next((found for name in _PARTICIPANT_KEYS if (found := _id(item.get(name)))), None)
        draft.natural_key = (kind, where, item_id, label, *([participant] if participant else ()))
    elif kind == "call":
        draft.call_id = item_id
        draft.natural_key = (kind, where, item_id, label)
    elif kind in ("automatic", "history"):
        draft.message_id = item_id
        draft.natural_key = (kind, where, item_id, label)
    elif kind == "payment":
        draft.message_id = item_id
        draft.natural_key = (kind, where, item_id, label, *_transaction_of(item))


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
