"""Messages of every type, also of types that do not exist yet: the lead and the message's content.

Inbound ones, those that the business sent from its phone app (echoes), those of chats that another app is in control
of (standby), and those of old chats (history). Only where it stands tells who wrote it.
"""

from __future__ import annotations

from collections.abc import Iterable

from ..changes import Change, MessageSeen, Person
from ..events import Event, canonical
from ..numbers import digits
from ..payload import Content, Message, read
from ..payload.contents import System
from ..payload.messages import Body, SentMessage, StandbyEcho
from .identity import identity_changed
from .people import Beside, contact_of, lead_seen, person, time_of
from .registry import Registry

registry = Registry()

INBOUND, OUTBOUND = "inbound", "outbound"


@registry.on("message.*")
@registry.on("standby.message.*")
def message(event: Event) -> Iterable[Change]:
    """The lead who wrote, and what was written; or the lead whose number or user id changed."""
    said = read(Message, event.item)
    contact = contact_of(event)
    source = "standby" if event.type.startswith("standby.") else "live"
    changed = identity_changed(event, said, contact) if said.type == "system" else None
    if changed:
        yield changed
        yield _seen(event, said, changed.person, INBOUND, source)
        return
    who = _author(event, said, contact)
    if who:
        yield lead_seen(who, contact, time_of(event), inbound=said.type != "system")
    yield _seen(event, said, who, INBOUND, source)


@registry.on("echo.*")
def echo(event: Event) -> Iterable[Change]:
    """What the business wrote in its phone app, and to whom."""
    return _sent(event, read(Message, event.item), "echo")


@registry.on("history.*")
def history(event: Event) -> Iterable[Change]:
    """A message of an old chat, from either side."""
    if event.type in ("history.chunk", "history.errors", "history.thread"):
        return  # no message: `account` has it
    said = read(Message, event.item)
    if said.to or said.to_user_id or digits(said.from_) == event.business_number:
        yield from _sent(event, said, "history")
        return
    contact = contact_of(event)
    who = _author(event, said, contact)
    if who:
        yield lead_seen(who, contact, time_of(event), inbound=True)
    yield _seen(event, said, who, INBOUND, "history")


@registry.on("standby.echo.*")
def standby_echo(event: Event) -> Iterable[Change]:
    """What another app sent in a chat that it is in control of: the body of its call to the Send API."""
    told = read(StandbyEcho, event.item)
    sent = told.message or read(SentMessage, {})
    contact = contact_of(event)
    user_id = sent.recipient if sent.recipient and "." in sent.recipient else None
    who = person(event, contact, wa_id=sent.to, bsuid=user_id, parent_bsuid=None)
    if who:
        yield lead_seen(who, contact, time_of(event), inbound=False)
    raw = event.item.get("message")
    inside = raw if isinstance(raw, dict) else {}
    kind = sent.type or ("template" if told.template else "text")
    about = inside.get(kind) or event.item.get(kind)
    content, context = sent.content(), sent.context
    yield MessageSeen(
        phone_number_id=event.phone_number_id or "",
        wamid=told.id,
        account_id=event.account_id,
        person=who,
        direction=OUTBOUND,
        source="standby",
        at=time_of(event),
        type=kind,
        text=_readable(sent, content),
        content=None if about is None else canonical(about),
        reply_to=(context.id if context else None) or (content.about if content else None) or None,
        context=canonical(inside["context"]) if context else None,
        tag=sent.biz_opaque_callback_data or None,
    )


def _sent(event: Event, said: Message, source: str) -> Iterable[Change]:
    contact = contact_of(event)
    # Samples have `from` and `to` swapped; our own number is nobody.
    ends = (end for end in (said.to, said.from_) if end and digits(end) != event.business_number)
    who = person(event, contact, wa_id=next(ends, None), bsuid=said.to_user_id, parent_bsuid=said.to_parent_user_id)
    if who:
        yield lead_seen(who, contact, time_of(event), inbound=False)
    yield _seen(event, said, who, OUTBOUND, source)


def _author(event: Event, said: Message, contact: Beside) -> Person | None:
    told = said.content() if said.type == "system" else None
    user_id = said.from_user_id or (told.user_id if isinstance(told, System) else None)
    return person(event, contact, wa_id=said.from_, bsuid=user_id, parent_bsuid=said.from_parent_user_id)


def _seen(event: Event, said: Message, who: Person | None, direction: str, source: str) -> MessageSeen:
    item, kind = event.item, said.type or None
    raw = item.get(kind)
    content, context = said.content(), said.context
    error = said.errors[0] if said.errors else None
    told = said.history_context.status if said.history_context else None
    return MessageSeen(
        phone_number_id=event.phone_number_id or "",
        wamid=said.id,
        account_id=event.account_id,
        person=who,
        direction=direction,
        source=source,
        at=time_of(event),
        type=kind,
        text=_readable(said, content),
        content=None if raw is None else canonical(raw),
        reply_to=(context.id if context else None) or (content.about if content else None) or None,
        reply_id=(content.reply_id if content else None) or None,
        context=canonical(item["context"]) if context else None,
        referral=canonical(item["referral"]) if said.referral else None,
        group_id=said.group_id or None,
        told_status=told.lower() if told else None,
        error_code=error.number if error else None,
        error_text=error.text if error else None,
    )


def _readable(said: Body, content: Content | None) -> str | None:
    """What a person would read of a message; of contact cards, the first name."""
    if content:
        return content.text or None
    name = said.contacts[0].name if said.type == "contacts" and said.contacts else None
    return (name.formatted_name if name else None) or None
