"""Statuses of the business's own messages: sent, delivered, read, played, failed, and whatever Meta adds."""

from __future__ import annotations

from collections.abc import Iterable

from ..changes import Change, StatusSeen
from ..error_codes import failure_class
from ..events import Event
from ..payload import Pricing, Status, read
from .people import contact_of, lead_seen, person, time_of
from .registry import Registry

registry = Registry()

_UNPRICED = Pricing()


@registry.on("status.*")
@registry.on("standby.status.*")
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
    at = time_of(event)
    if who:
        yield lead_seen(who, contact, at, inbound=False)
    error = told.errors[0] if told.errors else None
    code = error.number if error else None
    pricing = told.priced or _UNPRICED
    talk = told.conversation
    yield StatusSeen(
        phone_number_id=event.phone_number_id or "",
        wamid=told.id,
        account_id=event.account_id,
        person=who,
        status=told.status.lower(),
        at=at,
        tag=told.biz_opaque_callback_data or None,
        conversation_id=(talk.id if talk else None) or None,
        conversation_origin=(talk.origin.type if talk and talk.origin else None) or None,
        pricing_model=pricing.pricing_model or None,
        pricing_type=pricing.type or pricing.pricing_type or None,
        pricing_category=pricing.category or None,
        billable=pricing.billable,
        error_code=code,
        error_text=error.text if error else None,
        failure_class=failure_class(code) or ("permanent" if told.status.lower() == "failed" else None),
    )
