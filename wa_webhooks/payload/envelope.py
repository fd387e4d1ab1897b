"""The envelope around the items, and which model each field's value has.

`splitting.split` walks an envelope itself, so that one bad item never costs its neighbours. These models are what
`drift` holds a payload against, and say in one place what Meta documents.
"""

from __future__ import annotations

from typing import Annotated

from . import account, users
from .base import Anything, Contact, Errors, Known, Many, Maybe, Shape, Text, Time, Words
from .calls import Call
from .messages import Message
from .statuses import Status


class Metadata(Shape):
    """`value.metadata`: the business's number."""

    display_phone_number: Text = None
    phone_number_id: Text = None


class Value(Shape):
    """The value of `messages`, `calls` and the other fields whose items stand in arrays."""

    messaging_product: Annotated[Text, Known("whatsapp")] = None
    metadata: Maybe[Metadata] = None
    contacts: Many[Contact]
    messages: Many[Message]
    statuses: Many[Status]
    calls: Many[Call]
    message_echoes: Many[Message]
    errors: Errors
    user_actions: Many[users.UserAction]
    user_preferences: Many[users.Preference]
    automatic_events: Many[users.AutomaticEvent]
    state_sync: Many[users.ContactSync]
    groups: Many[users.Group]
    history: Many[users.History]
    user_id_update: Many[users.UserIdUpdate]
    conversation_context: Maybe[users.ConversationContext] = None
    standby: Maybe[users.Standby] = None


FIELD_MODELS: dict[str, type[Shape] | None] = {
    "account_alerts": account.Alert,
    "account_review_update": account.Review,
    "account_settings_update": account.Settings,
    "account_update": account.AccountUpdate,
    "business_capability_update": account.Capability,
    "business_username_updates": account.BusinessUsername,
    "flows": account.Flow,
    "message_template_components_update": account.TemplateComponents,
    "message_template_quality_update": account.TemplateQuality,
    "message_template_status_update": account.TemplateStatus,
    "messaging_handovers": users.Handover,
    "partner_solutions": account.PartnerSolution,
    "payment_configuration_update": account.PaymentConfiguration,
    "phone_number_name_update": account.NumberName,
    "phone_number_quality_update": account.NumberQuality,
    "security": account.Security,
    "template_category_update": account.TemplateCategory,
    "template_correct_category_detection": account.TemplateCategoryDetection,
    # Named by Meta or seen in its dashboard, with no payload documented.
    "business_status_update": None,
    "campaign_status_update": None,
    "consumer_profile": None,
    "tracking_events": None,
}
"""Fields whose value has a shape of its own."""

VALUE_FIELDS = frozenset(
    """
    messages calls automatic_events history smb_app_state_sync smb_message_echoes message_echoes user_preferences
    group_lifecycle_update group_participants_update group_participant_update group_settings_update
    group_status_update standby user_id_update
    """.split()  # noqa: SIM905 - a list of words
)
"""Fields whose value is a `Value`."""


class Change(Shape):
    """`entry[].changes[]`."""

    field: Text = None
    value: Anything = None


class Entry(Shape):
    """`entry[]`: of one account; `time` on management fields alone."""

    id: Text = None
    time: Time = None
    changes: Many[Change]
    changed_fields: Words


class Envelope(Shape):
    """The body of a POST."""

    object: Annotated[Text, Known("whatsapp_business_account")] = None
    entry: Many[Entry]
