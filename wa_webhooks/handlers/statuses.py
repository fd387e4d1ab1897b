"""Statuses of the business's own messages: sent, delivered, read, played, failed, and whatever Meta adds."""

from __future__ import annotations

from collections.abc import Iterable

from ..changes import Change, StatusSeen
from ..events import Event
from ..payload import Status, read, storable
from .people import contact_of, lead_seen, person
from .registry import Registry

registry = Registry()


@registry.on("status.*")
def status(event: Event) -> Iterable[Change]:
    """The lead it went to, and the step in the message's history."""
    told = read(Status, event.item)
    contact = contact_of(event)
    # In a group, `recipient_id` is the group; the person is the participant.
    in_group = bool(
        told.recipient_type == "group"
        or told.group_id
        or told.recipient_participant_id
        or told.recipient_participant_user_id
    )
    who = person(
        event,
        contact,
        wa_id=told.recipient_participant_id if in_group else told.recipient_id,
        bsuid=told.recipient_participant_user_id if in_group else told.recipient_user_id,
        parent_bsuid=told.recipient_participant_parent_user_id if in_group else told.recipient_parent_user_id,
    )
    if who:
        yield lead_seen(who, contact, told.timestamp, inbound=False)
    error = told.errors[0] if told.errors else None
    pricing = told.pricing
    conversation_id = (told.conversation or {}).get("id")
    yield StatusSeen(
        phone_number_id=event.phone_number_id or "",
        wamid=told.id,
        account_id=event.account_id,
        person=who,
        status=told.status.lower(),
        at=told.timestamp,
        tag=told.biz_opaque_callback_data,
        conversation_id=storable(conversation_id) if isinstance(conversation_id, str) else None,
        pricing_model=pricing.pricing_model if pricing else None,
        pricing_type=(pricing.type or pricing.pricing_type) if pricing else None,
        pricing_category=pricing.category if pricing else None,
        billable=pricing.billable if pricing else None,
        error_code=error.code if error else None,
        error_text=error.text if error else None,
    )
