"""Changes: what an event does to the CRM tables, as data.

A handler returns changes, a store applies them. Applying is a join: commutative, associative and idempotent, so
that any order, repetition or interruption of events ends in the same rows. Each field says how it joins:

* earliest: the smaller time wins (first seen, delivered at);
* latest: the larger time wins (last seen);
* newest: the value with the larger (time, value) wins, absent values never win (names, texts).

Every field is text, a number, a boolean, a time or None, and every change turns into JSON. Changes are values: nobody
alters them. Those that come in every event are not frozen all the same, since freezing triples the time to make one.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar

from .numbers import number_key


@dataclass(slots=True, kw_only=True, unsafe_hash=True)
class Person:
    """Who an event is about, by whatever ids the event carries; at least one is set.

    `scope` is the account (WABA) within which the ids mean something: another portfolio knows the same person by
    another `bsuid`. `wa_id` is a phone number in digits; a username user has none.
    """

    scope: str
    bsuid: str | None = None
    parent_bsuid: str | None = None
    wa_id: str | None = None

    @property
    def user_id(self) -> str | None:
        """The best id that stays theirs when their phone number becomes somebody else's."""
        return self.bsuid or self.parent_bsuid

    @property
    def number(self) -> str | None:
        """What all variants of the phone number share."""
        return number_key(self.wa_id) if self.wa_id else None

    @property
    def ident(self) -> str | None:
        """The best of all the ids."""
        return self.user_id or self.wa_id


@dataclass(slots=True, kw_only=True)
class LeadSeen:
    """A lead was there: made if new, its ids joined, its name and username newest, first and last event widened.

    Without a time, which some events lack, it is as if it had been before everything else.
    """

    kind: ClassVar[str] = "lead_seen"

    person: Person
    at: datetime | None
    name: str | None = None
    username: str | None = None
    inbound: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentityChanged:
    """A lead has a new phone number or user id: `person` is who they are from `at` on, `previous` who they were.

    The lead stays the same one. The old number is nobody's from then on, until somebody else is seen with it. A new
    id without a number means that the number is not known any more.
    """

    kind: ClassVar[str] = "identity_changed"

    person: Person
    previous: Person
    at: datetime


@dataclass(slots=True, kw_only=True)
class MessageSeen:
    """A message exists, with what this event tells of it. Joined by (`phone_number_id`, `wamid`), newest content.

    `source` is where it was told: `live`, `echo` (the business's phone app sent it), `standby` (another app was in
    control of the chat) or `history` (an old chat, copied). `text` is what a person would read: body, caption, button
    title. `content` is the object that `type` names, as canonical JSON. `reply_to` is the wamid (or wacid) replied to
    or reacted to; `reply_id` what the tapped button or row carries; `context` and `referral` are Meta's objects as
    JSON. `tag` is the business's own (`biz_opaque_callback_data`), where what it sent is told. `told_status` is how
    far a message of an old chat had come, in Meta's word.
    """

    kind: ClassVar[str] = "message_seen"

    phone_number_id: str
    wamid: str
    account_id: str | None = None
    person: Person | None = None
    direction: str
    source: str = "live"
    at: datetime
    type: str | None = None
    text: str | None = None
    content: str | None = None
    reply_to: str | None = None
    reply_id: str | None = None
    context: str | None = None
    referral: str | None = None
    group_id: str | None = None
    told_status: str | None = None
    tag: str | None = None
    error_code: int | None = None
    error_text: str | None = None


@dataclass(slots=True, kw_only=True)
class StatusSeen:
    """A business message reached a status. One history row an event; each status' earliest time on the message.

    `failure_class` says what an error means for whoever tries again: see `error_codes`.
    """

    kind: ClassVar[str] = "status_seen"

    phone_number_id: str
    wamid: str
    account_id: str | None = None
    person: Person | None = None
    status: str
    at: datetime
    tag: str | None = None
    conversation_id: str | None = None
    conversation_origin: str | None = None
    pricing_model: str | None = None
    pricing_type: str | None = None
    pricing_category: str | None = None
    billable: bool | None = None
    error_code: int | None = None
    error_text: str | None = None
    failure_class: str | None = None


@dataclass(slots=True, kw_only=True)
class CallSeen:
    """A step of a call: `connect`, `terminate`, `ringing`, `accepted`, `rejected` or another. Joined by `call_id`.

    `duration` is in seconds; it, `started_at` and `ended_at` are there only if the call was picked up. `recording_id`
    and `transcript_id` are ids of media, which Meta keeps for some days.
    """

    kind: ClassVar[str] = "call_seen"

    phone_number_id: str
    call_id: str
    account_id: str | None = None
    person: Person | None = None
    step: str
    at: datetime
    direction: str | None = None
    result: str | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    duration: int | None = None
    tag: str | None = None
    cta_payload: str | None = None
    deeplink_payload: str | None = None
    recording_id: str | None = None
    transcript_id: str | None = None
    error_code: int | None = None
    error_text: str | None = None
    failure_class: str | None = None


@dataclass(slots=True, kw_only=True)
class LeadNoted:
    """Something else happened with a lead: one row for each event, topic and person.

    Topics: `preference` (`what` stop, resume ..., `ref` the category), `payment` (status, reference), `group` (what
    happened, group id), `contact` (add, remove), `conversion` (event name, wamid), `identity`, `handover` (what, new
    owner's role), `profile`. `detail` is Meta's object as JSON. `person` is None where the event names nobody.
    """

    kind: ClassVar[str] = "lead_noted"

    account_id: str | None = None
    phone_number_id: str | None = None
    person: Person | None = None
    topic: str
    what: str
    ref: str | None = None
    at: datetime | None
    detail: str


@dataclass(slots=True, kw_only=True)
class AccountNoticed:
    """Meta told something about the account, a number, a template or a flow. One row an event.

    `severity` is info, warning or critical: critical stops messages, warning will if nobody acts. `subject` is what
    it is about (a template's name, a number, a flow), `what` Meta's word for it, `reason` its explanation;
    `failure_class` is that of an error's code.
    """

    kind: ClassVar[str] = "account_noticed"

    account_id: str | None
    phone_number_id: str | None = None
    notice: str
    severity: str = "info"
    subject: str | None = None
    what: str | None = None
    reason: str | None = None
    failure_class: str | None = None
    at: datetime | None
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionQueued:
    """Something is to be done outside. Once for each `idempotency_key`, whatever is repeated."""

    kind: ClassVar[str] = "action_queued"

    idempotency_key: str
    at: datetime
    action: str
    target: str
    payload: str
    person: Person | None = None


Change = LeadSeen | IdentityChanged | MessageSeen | StatusSeen | CallSeen | LeadNoted | AccountNoticed | ActionQueued


def as_json(change: Change) -> dict[str, Any]:
    """Return the change as JSON: its kind and every field that is set, times in RFC 3339."""
    return {"kind": change.kind, **_set_fields(dataclasses.asdict(change))}


def _set_fields(fields: dict[str, Any]) -> dict[str, Any]:
    shown: dict[str, Any] = {}
    for name, value in fields.items():
        if isinstance(value, dict):
            shown[name] = _set_fields(value)
        elif isinstance(value, datetime):
            shown[name] = value.isoformat().replace("+00:00", "Z")
        elif value is not None:
            shown[name] = value
    return shown
