"""Events: what a delivery is split into, and the canonical form that identifies one."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

WHATSAPP_OBJECT = "whatsapp_business_account"

FIELD_TYPES = {
    "account_alerts": "account.alert",
    "account_review_update": "account.review",
    "account_settings_update": "account.settings",
    "account_update": "account.update",
    "business_capability_update": "account.capability",
    "business_username_updates": "account.username",
    "flows": "account.flow",
    "message_template_components_update": "account.template_components",
    "message_template_quality_update": "account.template_quality",
    "message_template_status_update": "account.template_status",
    "partner_solutions": "account.partner_solution",
    "payment_configuration_update": "account.payment_configuration",
    "phone_number_name_update": "account.phone_number_name",
    "phone_number_quality_update": "account.phone_number_quality",
    "security": "account.security",
    "template_category_update": "account.template_category",
    "template_correct_category_detection": "account.template_category_detection",
    "messaging_handovers": "handover",
    "standby": "standby",
}
"""Fields whose whole value is one event, and that event's type. Any other such field is `unknown.<field>`."""

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
}
"""Arrays of items in a change's value: (first part of the type, the key whose value is the second part)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One thing that happened.

    `payload` is the envelope reduced to this one event: valid and replayable on its own. `digest` is the SHA-256
    (hex) of its canonical form: two events with one `key` and different digests are two variants of one fact.
    `at` is Meta's time, UTC, None where there is none. `problem` says why an event cannot be read.
    """

    key: str
    type: str
    payload: Any
    digest: str
    position: int
    at: datetime | None = None
    account_id: str | None = None
    phone_number_id: str | None = None
    message_id: str | None = None
    call_id: str | None = None
    foreign_object: str | None = None
    problem: str | None = None

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

    @property
    def item(self) -> Any:
        """The one item in the value, or the value itself where the whole value is the event."""
        value = self.value
        field = self.change.get("field")
        if isinstance(value, dict) and not (isinstance(field, str) and field in FIELD_TYPES):
            for name in ITEM_KINDS:
                if isinstance(value.get(name), list) and value[name]:
                    return value[name][0]
        return value

    @property
    def contact(self) -> dict[str, Any] | None:
        """The contact that stood beside the item, if there was one that is about it."""
        contacts = self.value.get("contacts") if isinstance(self.value, dict) else None
        found = contacts[0] if isinstance(contacts, list) and contacts else None
        return found if isinstance(found, dict) else None

    @property
    def business_number(self) -> str | None:
        """The business's own number in digits: `metadata.display_phone_number`."""
        metadata = self.value.get("metadata") if isinstance(self.value, dict) else None
        number = metadata.get("display_phone_number") if isinstance(metadata, dict) else None
        return digits(number) if isinstance(number, str) else None


def canonical(value: Any) -> str:
    """Return JSON as escaped ASCII with sorted keys: survives NUL and lone surrogates, equal for equal values."""
    return json.dumps(value, ensure_ascii=True, sort_keys=True, separators=(",", ":"))


def digest_of(value: Any) -> str:
    """Return the SHA-256 of the canonical JSON of `value`, in hex."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()


def digits(phone: str | None) -> str | None:
    """Return a phone number as Meta's `wa_id` writes it: without plus, spaces and hyphens."""
    return phone.replace(" ", "").replace("-", "").lstrip("+") or None if phone else None
