"""What Meta tells of people beside messages: preferences, contacts, groups, old chats, who is in charge of a chat."""

from __future__ import annotations

from typing import Annotated

from .base import Anything, Contact, Errors, Flag, Known, Many, Maybe, Number, Shape, Text, Time, Tolerant
from .messages import Message, StandbyEcho
from .statuses import Status


class Preference(Shape):
    """`user_preferences[]`: marketing stopped or resumed. Its timestamp is a number."""

    wa_id: Text = None
    user_id: Text = None
    parent_user_id: Text = None
    detail: Text = None
    category: Annotated[Text, Known("marketing_messages")] = None
    value: Annotated[Text, Known("stop resume signup")] = None
    signup_id: Text = None
    timestamp: Time = None


class Person(Shape):
    """Somebody in a group: `groups[]` itself, and its participants, who may be known by `input` alone."""

    wa_id: Text = None
    input: Text = None
    user_id: Text = None
    parent_user_id: Text = None
    username: Text = None
    errors: Errors


class Picture(Shape):
    """`groups[].profile_picture`."""

    mime_type: Text = None
    sha256: Text = None
    update_successful: Flag = None
    errors: Errors


class GroupText(Shape):
    """`groups[].group_subject` and `group_description`."""

    text: Text = None
    update_successful: Flag = None
    errors: Errors


class Group(Person):
    """`groups[]`."""

    timestamp: Time = None
    group_id: Text = None
    request_id: Text = None
    type: Annotated[
        Text,
        Known(
            "group_create group_delete group_participants_add group_participants_remove group_join_request_created"
            " group_join_request_revoked group_settings_update group_suspend group_suspend_cleared"
        ),
    ] = None
    subject: Text = None
    description: Text = None
    invite_link: Text = None
    join_approval_mode: Text = None
    reason: Text = None
    initiated_by: Annotated[Text, Known("business participant")] = None
    join_request_id: Text = None
    added_participants: Many[Person]
    removed_participants: Many[Person]
    failed_participants: Many[Person]
    profile_picture: Maybe[Picture] = None
    group_subject: Maybe[GroupText] = None
    group_description: Maybe[GroupText] = None


class SyncedContact(Shape):
    """`state_sync[].contact`: an entry of the phone app's contact book."""

    full_name: Text = None
    first_name: Text = None
    phone_number: Text = None
    user_id: Text = None
    parent_user_id: Text = None
    username: Text = None


class SyncMetadata(Shape):
    """`state_sync[].metadata`."""

    timestamp: Time = None
    version: Text = None


class ContactSync(Shape):
    """`state_sync[]`; edits arrive as `add`."""

    type: Annotated[Text, Known("contact")] = None
    action: Annotated[Text, Known("add remove")] = None
    contact: Maybe[SyncedContact] = None
    metadata: Maybe[SyncMetadata] = None


class CustomData(Shape):
    """`automatic_events[].custom_data`: what a purchase was worth."""

    currency: Text = None
    value: Number = None


class AutomaticEvent(Shape):
    """`automatic_events[]`: a lead or a purchase that Meta recognised in a chat; `id` is the message's."""

    id: Text = None
    event_name: Annotated[Text, Known("LeadSubmitted Purchase")] = None
    timestamp: Time = None
    ctwa_clid: Text = None
    custom_data: Maybe[CustomData] = None


class ThreadContext(Shape):
    """`threads[].context`: whose chat it is."""

    wa_id: Text = None
    user_id: Text = None
    parent_user_id: Text = None
    username: Text = None


class Thread(Shape):
    """`history[].threads[]`: one chat; `id` is the customer's phone number, where it is known."""

    id: Text = None
    context: Maybe[ThreadContext] = None
    messages: Many[Message]


class Progress(Shape):
    """`history[].metadata`: how far the copying of old chats has come."""

    phase: Number = None
    chunk_order: Number = None
    progress: Number = None


class History(Shape):
    """`history[]`; `errors` where the business declined."""

    metadata: Maybe[Progress] = None
    threads: Many[Thread]
    errors: Errors


class LinkClick(Shape):
    """`user_actions[].marketing_messages_link_click_data`."""

    click_component: Text = None
    product_id: Text = None
    click_id: Text = None
    tracking_token: Text = None


class UserAction(Shape):
    """`user_actions[]`: a tap on a marketing message's link; names neither person nor message."""

    action_type: Annotated[Text, Known("marketing_messages_link_click")] = None
    timestamp: Time = None
    marketing_messages_link_click_data: Maybe[LinkClick] = None


class Summary(Shape):
    """`conversation_context.summary`."""

    text: Text = None


class ConversationContext(Shape):
    """`conversation_context`: what the chat was about, for who takes it over."""

    type: Annotated[Text, Known("summary")] = None
    summary: Maybe[Summary] = None


class Control(Shape):
    """`control_passed` and `control_taken`."""

    previous_owner_app_id: Text = None
    previous_owner_app_role: Text = None
    previous_owner_role: Text = None
    new_owner_app_id: Text = None
    new_owner_role: Annotated[Text, Known("customer_service marketing utility ctwa ai_agent escalation")] = None
    metadata: Anything = None
    conversation_context: Maybe[ConversationContext] = None


class Sender(Shape):
    """`messaging_handovers.sender`: a phone number, or nothing; never a user id."""

    phone_number: Text = None


class Recipient(Shape):
    """`messaging_handovers.recipient`: the business's number."""

    phone_number_id: Text = None
    display_phone_number: Text = None


class Handover(Shape):
    """`messaging_handovers`."""

    messaging_product: Text = None
    sender: Maybe[Sender] = None
    recipient: Maybe[Recipient] = None
    type: Annotated[Text, Known("control_passed control_taken")] = None
    timestamp: Time = None
    control_passed: Maybe[Control] = None
    control_taken: Maybe[Control] = None


class Standby(Shape):
    """`standby`: what happens in chats that another app is in control of."""

    contacts: Many[Contact]
    messages: Many[Message]
    statuses: Many[Status]
    message_echoes: Many[StandbyEcho]


class OldAndNew(Shape):
    """An id before and after, in `user_id_update`."""

    previous: Text = None
    current: Text = None


class UserIdUpdate(Shape):
    """`user_id_update[]`: announced in June 2026, withdrawn in August; read in case it comes."""

    wa_id: Text = None
    detail: Text = None
    user_id: Annotated[OldAndNew | str | None, Tolerant("anything")] = None
    parent_user_id: Annotated[OldAndNew | str | None, Tolerant("anything")] = None
    previous_user_id: Text = None
    previous_parent_user_id: Text = None
    timestamp: Time = None
