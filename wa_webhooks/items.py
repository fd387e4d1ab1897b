"""What an item says of itself: its ids, its type, its time, and whom it is about. Total, whatever its shape."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from .numbers import digits
from .payload.base import storable

_LONGEST_KEY = 512
"""Longer event keys are hashed: a Postgres index row holds at most about 2,700 bytes."""

_PHONE_KEYS = ("from", "to", "recipient_id", "recipient_participant_id", "wa_id")
_USER_KEYS = ("from_user_id", "to_user_id", "recipient_user_id", "recipient_participant_user_id", "user_id")
_PARTICIPANT_KEYS = ("recipient_participant_user_id", "recipient_participant_id", "participant_recipient_id")
"""Who of a group a status is about; three of Meta's samples use the last spelling."""

_OF_MESSAGES = frozenset({"message", "echo", "history", "status", "automatic", "payment"})
"""Kinds of items whose `id` is a message's."""

Ids = tuple[tuple[str, ...] | None, str | None, str | None]
"""The natural key without the place, if there is one; the message's id; the call's id."""

NO_IDS: Ids = (None, None, None)


def ids_of(prefix: str, kind: str, item: Mapping[str, Any], label: str) -> Ids:
    """What names an item with an id, and ties its event to the message or call."""
    item_id = text_id(item.get("id"))
    if item_id is None:
        return NO_IDS
    if kind == "call":
        return (prefix, item_id, label), None, item_id
    if kind not in _OF_MESSAGES:
        return NO_IDS
    more: tuple[str, ...] = (label,)
    if kind in ("message", "echo"):
        more = ()
    elif kind == "status":
        for name in _PARTICIPANT_KEYS:
            if name in item and (participant := text_id(item[name])):
                more = (label, participant)
                break
    elif kind == "payment":
        more = (label, *_transaction_of(item))
    return (prefix, item_id, *more), item_id, None


def key_of(*parts: str) -> str:
    """Return an event key: ASCII, printable, and short enough for an index."""
    key = ":".join(parts)
    if not (key.isascii() and key.isprintable()):
        key = ":".join(_key_part(part) for part in parts)
    if len(key) > _LONGEST_KEY:
        key = f"{parts[0].partition('.')[0]}:sha256:{hashlib.sha256(key.encode()).hexdigest()}"
    return key


def told_at(item: dict[str, Any]) -> Any:
    """The time that an item tells; that of a synced contact stands deeper."""
    at = item.get("timestamp")
    if at is None and isinstance(about := item.get("metadata"), dict):
        return about.get("timestamp")
    return at


def chat_partner(thread: Any) -> dict[str, Any] | None:
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


def _transaction_of(item: Mapping[str, Any]) -> tuple[str, ...]:
    """What tells two reports of one payment apart: a refund repeats `captured`."""
    payment = item.get("payment")
    transaction = payment.get("transaction") if isinstance(payment, dict) else None
    if not isinstance(transaction, dict):
        return ()
    parts = (text_id(transaction.get("id")), text_id(transaction.get("updated_timestamp")))
    return tuple(part for part in parts if part)


def message_type(kind: str, item: Mapping[str, Any], label: str) -> str:
    """`message.text`, and one level deeper where the type alone says little: `message.interactive.list_reply`."""
    body = item.get(label)
    inner = body.get("type") if label in ("interactive", "system") and isinstance(body, dict) else None
    return f"{kind}.{label}.{label_of(inner, 'unknown')}" if inner else f"{kind}.{label}"


def contacts_of(item: Any, contacts: Any) -> list[Any]:
    """The contact that is about this item: one that shares an id with it, or the only one if no id says otherwise."""
    if not contacts or not isinstance(item, dict) or not isinstance(contacts, list):
        return []
    first = contacts[0]
    phone = first.get("wa_id") if isinstance(first, dict) else None
    if phone and (item.get("from") == phone or item.get("recipient_id") == phone):
        return [first]  # as nearly always
    phones = [phone for name in _PHONE_KEYS if name in item and (phone := digits(text_id(item[name])))]
    users = [user for name in _USER_KEYS if name in item and (user := text_id(item[name]))]
    known = [contact for contact in contacts if isinstance(contact, dict)]
    for contact in known:
        if digits(text_id(contact.get("wa_id"))) in phones or text_id(contact.get("user_id")) in users:
            return [contact]
    if len(known) != 1:
        return []
    contradicted = (phones and digits(text_id(known[0].get("wa_id")))) or (users and text_id(known[0].get("user_id")))
    return [] if contradicted else known


def text_id(value: Any) -> str | None:
    """An id as text, whether Meta sent a string or a number; None where there is none."""
    if isinstance(value, str):
        return (value if value.isascii() and "\x00" not in value else storable(value)) or None
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else None


def _key_part(part: Any) -> str:
    text = str(part)
    return text if text.isascii() and text.isprintable() else json.dumps(text)[1:-1]


def label_of(value: Any, fallback: str) -> str:
    """A word for an event type from a value that Meta controls: lower case, no surprises, at most 64 characters."""
    text = str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
    return _word(text) or fallback


@lru_cache(maxsize=1024)
def _word(text: str) -> str:
    return re.sub(r"[^a-z0-9_-]+", "_", text.lower())[:64].strip("_")
