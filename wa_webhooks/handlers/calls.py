"""Calls: connect, terminate, and the progress of calls that the business makes (ringing, accepted, rejected)."""

from __future__ import annotations

from collections.abc import Iterable

from ..changes import CallSeen, Change
from ..error_codes import failure_class
from ..events import Event
from ..numbers import digits
from ..payload import Call, Status, parse_timestamp, read, whole
from .people import contact_of, lead_seen, person, time_of
from .registry import Registry

registry = Registry()

BUSINESS_INITIATED = "BUSINESS_INITIATED"
USER_INITIATED = "USER_INITIATED"


@registry.on("call.*")
def call(event: Event) -> Iterable[Change]:
    """The lead on the other end, and the call's step."""
    return _step(event) if "event" in event.item else _progress(event)


def _step(event: Event) -> Iterable[Change]:
    told = read(Call, event.item)
    contact = contact_of(event)
    ours = event.business_number
    direction = told.direction.upper() if told.direction else None
    if direction is None and ours:
        direction = BUSINESS_INITIATED if digits(told.from_) == ours else USER_INITIATED
    outbound = direction == BUSINESS_INITIATED
    # `from` and `to` are swapped in a sample of Meta's, so the contact goes first, and our own number is nobody.
    ends = (told.to, told.from_) if outbound else (told.from_, told.to)
    who = person(
        event,
        contact,
        wa_id=next((end for end in (contact.wa_id, *ends) if end and digits(end) != ours), None),
        bsuid=told.to_user_id or told.from_user_id,
        parent_bsuid=told.to_parent_user_id or told.from_parent_user_id,
    )
    at = time_of(event)
    if who:
        yield lead_seen(who, contact, at, inbound=not outbound)
    error = told.errors[0] if told.errors else None
    code = error.number if error else None
    recording = told.call_recording.file if told.call_recording else None
    transcript = told.call_transcript.file if told.call_transcript else None
    yield CallSeen(
        phone_number_id=event.phone_number_id or "",
        call_id=told.id,
        account_id=event.account_id,
        person=who,
        step=told.event.lower(),
        at=at,
        direction=direction,
        result=told.result,
        started_at=parse_timestamp(told.start_time),
        ended_at=parse_timestamp(told.end_time),
        duration=whole(told.duration),
        tag=told.biz_opaque_callback_data or None,
        cta_payload=told.cta_payload or None,
        deeplink_payload=told.deeplink_payload or None,
        recording_id=recording.id if recording else None,
        transcript_id=transcript.id if transcript else None,
        error_code=code,
        error_text=error.text if error else None,
        failure_class=failure_class(code),
    )


def _progress(event: Event) -> Iterable[Change]:
    told = read(Status, event.item)
    contact = contact_of(event)
    who = person(
        event,
        contact,
        wa_id=told.recipient_id,
        bsuid=told.recipient_user_id,
        parent_bsuid=told.recipient_parent_user_id,
    )
    if who:
        yield lead_seen(who, contact, time_of(event), inbound=False)
    error = told.errors[0] if told.errors else None
    code = error.number if error else None
    yield CallSeen(
        phone_number_id=event.phone_number_id or "",
        call_id=told.id,
        account_id=event.account_id,
        person=who,
        step=told.status.lower(),
        at=time_of(event),
        direction=BUSINESS_INITIATED,
        tag=told.biz_opaque_callback_data or None,
        error_code=code,
        error_text=error.text if error else None,
        failure_class=failure_class(code),
    )
