"""Inbound messages of every type, also of types that do not exist yet: the lead and the message's content."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..changes import Change, MessageSeen
from ..events import Event, canonical
from ..payload import Message, read, storable
from .people import contact_of, lead_seen, person
from .registry import Registry

registry = Registry()

_READABLE_KEYS = ("body", "caption", "text", "title", "name", "filename", "emoji")
"""Where a message's object keeps what a person would read, best first."""


@registry.on("message.*")
def message(event: Event) -> Iterable[Change]:
    """The lead who wrote, and what was written."""
    said = read(Message, event.item)
    contact = contact_of(event)
    who = person(
        event,
        contact,
        wa_id=said.from_,
        bsuid=said.from_user_id,
        parent_bsuid=said.from_parent_user_id,
    )
    if who:
        yield lead_seen(who, contact, said.timestamp, inbound=True)
    body = said.body()
    error = said.errors[0] if said.errors else None
    yield MessageSeen(
        phone_number_id=event.phone_number_id or "",
        wamid=said.id,
        account_id=event.account_id,
        person=who,
        direction="inbound",
        at=said.timestamp,
        type=said.type,
        text=_readable(body),
        content=None if body is None else canonical(body),
        reply_to=(said.context.id if said.context else None) or _about(body),
        context=canonical(event.item["context"]) if said.context else None,
        reply_id=_reply_id(body),
        referral=canonical(said.referral) if said.referral else None,
        group_id=said.group_id,
        error_code=error.code if error else None,
        error_text=error.text if error else None,
    )


def _about(body: Any) -> str | None:
    """The message that a reaction, an edit or a revocation is about."""
    if not isinstance(body, dict):
        return None
    about = body.get("message_id") or body.get("original_message_id")
    return storable(about) if isinstance(about, str) and about else None


def _inner(body: Any) -> Any:
    """The reply inside an `interactive` object, the new text inside an `edit`, or the body itself."""
    if isinstance(body, dict) and isinstance(body.get("message"), dict):
        return _inner(body["message"])
    if isinstance(body, dict) and isinstance(body.get("type"), str) and isinstance(body.get(body["type"]), dict):
        return body[body["type"]]
    return body


def _readable(body: Any) -> str | None:
    found = _inner(body)
    if not isinstance(found, dict):
        return None
    texts = (found.get(key) for key in _READABLE_KEYS)
    return next((storable(text) for text in texts if isinstance(text, str) and text), None)


def _reply_id(body: Any) -> str | None:
    found = _inner(body)
    if not isinstance(found, dict):
        return None
    # A template's quick reply carries `payload`, an interactive reply `id` and `title`; media have an `id` alone.
    value = found.get("payload") or (found.get("id") if "title" in found else None)
    return storable(value) if isinstance(value, str) and value else None
