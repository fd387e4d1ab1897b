"""Events: what a delivery is split into, and the canonical form that identifies one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

WHATSAPP_OBJECT = "whatsapp_business_account"

FIELD_TYPES = {
    "account_alerts": "account.alert",
    "account_review_update": "account.review",
    "account_settings_update": "account.settings",
    "account_update": "account.update",
    "business_capability_update": "account.capability",
    "business_status_update": "account.business_status",
    "business_username_updates": "account.username",
    "campaign_status_update": "account.campaign_status",
    "consumer_profile": "consumer_profile",
    "flows": "account.flow",
    "message_template_components_update": "account.template_components",
    "message_template_quality_update": "account.template_quality",
    "message_template_status_update": "account.template_status",
    "messaging_handovers": "handover",
    "partner_solutions": "account.partner_solution",
    "payment_configuration_update": "account.payment_configuration",
    "phone_number_name_update": "account.phone_number_name",
    "phone_number_quality_update": "account.phone_number_quality",
    "security": "account.security",
    "template_category_update": "account.template_category",
    "template_correct_category_detection": "account.template_category_detection",
    "tracking_events": "account.tracking",
}
"""Fields whose whole value is one event, and that event's type; `handover` goes one word deeper, its value's `type`.
Any other such field is `unknown.<field>`."""

ITEM_KINDS = {
    "messages": ("message", "type"),
    "statuses": ("status", "status"),
    "calls": ("call", "event"),
    "message_echoes": ("echo", "type"),
    "errors": ("error", "code"),
    "user_actions": ("user_action", "action_type"),
    "user_preferences": ("preference", "value"),
    "automatic_events": ("automatic", "event_name"),
    "state_sync": ("contact_sync", "action"),
    "groups": ("group", "type"),
    "history": ("history", "type"),
    "user_id_update": ("identity", ""),
}
"""Arrays of items in a change's value: (first part of the type, the key whose value is the second part).

Items inside a value's `standby` have the type that they would have outside, after `standby.`; the messages of a
`history` item's threads are `history.<type>` each."""


@dataclass(slots=True, kw_only=True)
class Event:
    """One thing that happened. Not to be changed; not frozen either, which would triple the time to make one.

    `payload` is the envelope reduced to this one event: valid and replayable on its own. `at` is Meta's time, UTC,
    None where there is none. `problem` says why an event cannot be read. `item` is the one message, status ... in the
    payload, or the value where the whole of it is the event; `contact` is who stood beside it, if that is who it is
    about. Both are free of what no database column takes; `payload` is not. `business_number` is the business's own
    number in digits.
    """

    key: str
    type: str
    payload: Any
    position: int = 0
    at: datetime | None = None
    account_id: str | None = None
    phone_number_id: str | None = None
    message_id: str | None = None
    call_id: str | None = None
    foreign_object: str | None = None
    problem: str | None = None
    business_number: str | None = None
    item: Any = field(default=None, compare=False)
    contact: dict[str, Any] | None = field(default=None, compare=False)
    _text: str | None = field(default=None, compare=False, repr=False)

    @property
    def text(self) -> str:
        """The payload as canonical JSON."""
        if self._text is None:
            self._text = canonical(self.payload)
        return self._text

    @property
    def digest(self) -> str:
        """The SHA-256 (hex) of the canonical payload: two events with one key and two digests tell one fact twice."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def change(self) -> dict[str, Any]:
        """The one change in the payload, `field` and `value`; empty where there is none to be read."""
        try:
            found = self.payload["entry"][0]["changes"][0]
        except (LookupError, TypeError):
            return {}
        return found if isinstance(found, dict) else {}

    @property
    def value(self) -> Any:
        """The value of the one change."""
        return self.change.get("value")


def canonical(value: Any) -> str:
    """Return JSON as escaped ASCII with sorted keys: survives NUL and lone surrogates, equal for equal values."""
    return "".join(_sorted_chunks(value, 0))


def compact(value: Any) -> str:
    """Return JSON as `canonical` does, but with its keys in the order that they have."""
    return "".join(_chunks(value, 0))


def _chunk_maker(*, sort_keys: bool) -> Callable[[Any, int], Iterable[str]]:
    """An encoder's inside, made once: `JSONEncoder.encode` makes it anew for every small object."""
    encoder = json.JSONEncoder(ensure_ascii=True, check_circular=False, sort_keys=sort_keys, separators=(",", ":"))
    make: Any = getattr(json.encoder, "c_make_encoder", None)
    if make is None:  # a Python without the C part
        return lambda value, _: [encoder.encode(value)]
    # Circles are not looked for: there are none in what was JSON.
    fixed = (None, encoder.default, json.encoder.encode_basestring_ascii, None, ":", ",", sort_keys, False, True)
    chunks: Callable[[Any, int], Iterable[str]] = make(*fixed)
    return chunks


_sorted_chunks = _chunk_maker(sort_keys=True)
_chunks = _chunk_maker(sort_keys=False)
