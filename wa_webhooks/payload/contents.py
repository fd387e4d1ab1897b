"""What a message contains: the object that its `type` names, one model for each."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from .base import Anything, Flag, Known, Many, Maybe, Number, Shape, Text, Time, Tolerant


class Content(Shape):
    """The object that a message's `type` names."""

    @property
    def text(self) -> str | None:
        """What a person would read."""
        return None

    @property
    def about(self) -> str | None:
        """The id of the message that it is about."""
        return None

    @property
    def reply_id(self) -> str | None:
        """What the tapped button or row carries."""
        return None


class TextContent(Content):
    """`text`. `preview_url` stands in what the business sends."""

    body: Text = None
    preview_url: Flag = None

    @property
    def text(self) -> str | None:
        """The text."""
        return self.body


class Media(Content):
    """`image`, `video`, `audio`, `document` and `sticker`. `url` is short-lived and needs the access token."""

    id: Text = None
    mime_type: Text = None
    sha256: Text = None
    caption: Text = None
    filename: Text = None
    url: Text = None
    link: Text = None
    voice: Flag = None
    animated: Flag = None

    @property
    def text(self) -> str | None:
        """The caption, or the name of the file."""
        return self.caption or self.filename


class Location(Content):
    """`location`; coordinates are numbers, and strings in places."""

    latitude: Number = None
    longitude: Number = None
    name: Text = None
    address: Text = None
    url: Text = None

    @property
    def text(self) -> str | None:
        """The name of the place, or its address."""
        return self.name or self.address


class Button(Content):
    """`button`: a tap on a template's quick reply. `payload` is what the business set when sending."""

    payload: Text = None
    words: Annotated[Text, Field(alias="text")] = None

    @property
    def text(self) -> str | None:
        """The button's own words."""
        return self.words

    @property
    def reply_id(self) -> str | None:
        """The button's payload."""
        return self.payload


class Product(Shape):
    """`order.product_items[]`; prices have decimals in spite of their documentation."""

    product_retailer_id: Text = None
    quantity: Number = None
    item_price: Number = None
    currency: Text = None


class Order(Content):
    """`order`: a cart."""

    catalog_id: Text = None
    words: Annotated[Text, Field(alias="text")] = None
    product_items: Many[Product]

    @property
    def text(self) -> str | None:
        """What the customer wrote beside it."""
        return self.words


class Reaction(Content):
    """`reaction`: without an emoji, or with an empty one, it was taken back."""

    message_id: Text = None
    emoji: Text = None

    @property
    def text(self) -> str | None:
        """The emoji."""
        return self.emoji

    @property
    def about(self) -> str | None:
        """The message reacted to."""
        return self.message_id


class Identity(Shape):
    """`identity` of a message or a system message: the key that the user's device has."""

    acknowledged: Flag = None
    created_timestamp: Time = None
    hash: Text = None


class System(Content):
    """`system`: a number or a user id that changed. Names the new ids; `new_wa_id` is the old name of `wa_id`."""

    type: Annotated[
        Text, Known("user_changed_number customer_changed_number user_changed_user_id customer_identity_changed")
    ] = None
    body: Text = None
    wa_id: Text = None
    new_wa_id: Text = None
    user_id: Text = None
    parent_user_id: Text = None
    previous_user_id: Text = None
    previous_parent_user_id: Text = None
    customer: Text = None
    identity: Annotated[Identity | str | None, Tolerant("anything")] = None

    @property
    def text(self) -> str | None:
        """Meta's sentence."""
        return self.body


class Reply(Content):
    """`interactive.button_reply` and `interactive.list_reply`."""

    id: Text = None
    title: Text = None
    description: Text = None

    @property
    def text(self) -> str | None:
        """What was tapped."""
        return self.title

    @property
    def reply_id(self) -> str | None:
        """The id that the business gave it."""
        return self.id


class FlowReply(Content):
    """`interactive.nfm_reply`: a completed flow. `response_json` is JSON in a string, now and then cut short."""

    name: Text = None
    body: Text = None
    response_json: Text = None

    @property
    def text(self) -> str | None:
        """What the chat shows of it."""
        return self.body


class CallPermissionReply(Content):
    """`interactive.call_permission_reply`."""

    response: Annotated[Text, Known("accept reject")] = None
    is_permanent: Flag = None
    expiration_timestamp: Time = None
    response_source: Annotated[Text, Known("user_action automatic")] = None

    @property
    def text(self) -> str | None:
        """Accepted or rejected."""
        return self.response


INTERACTIVE: dict[str, type[Content]] = {
    "button_reply": Reply,
    "list_reply": Reply,
    "nfm_reply": FlowReply,
    "call_permission_reply": CallPermissionReply,
}
"""What each documented `interactive.type` contains; of `product` no payload is documented."""


class Interactive(Content):
    """`interactive`: what the tap on one of the business's interactive messages gave."""

    type: Annotated[Text, Known("button_reply list_reply nfm_reply call_permission_reply product")] = None
    button_reply: Maybe[Reply] = None
    list_reply: Maybe[Reply] = None
    nfm_reply: Maybe[FlowReply] = None
    call_permission_reply: Maybe[CallPermissionReply] = None
    product: Anything = None

    @property
    def reply(self) -> Content | None:
        """The object that the inner `type` names."""
        return getattr(self, self.type, None) if self.type in INTERACTIVE else None

    @property
    def text(self) -> str | None:
        """What was tapped."""
        return self.reply.text if self.reply else None

    @property
    def reply_id(self) -> str | None:
        """What the tapped button or row carries."""
        return self.reply.reply_id if self.reply else None


class Unsupported(Content):
    """`unsupported`: what the API does not pass on; may be absent altogether."""

    type: Annotated[
        Text,
        Known(
            "button edit errors gif group_invite hsm image interactive keep_in_chat link_preview list location"
            " media_placeholder order pin poll_creation poll_update product reaction poll pool view_once"
        ),
    ] = None

    @property
    def text(self) -> str | None:
        """What it would have been."""
        return self.type


class CardName(Shape):
    """`contacts[].name` of a contact card."""

    formatted_name: Text = None
    first_name: Text = None
    last_name: Text = None
    middle_name: Text = None
    suffix: Text = None
    prefix: Text = None


class CardPhone(Shape):
    """`contacts[].phones[]`; without `wa_id` the number has no WhatsApp."""

    phone: Text = None
    wa_id: Text = None
    user_id: Text = None
    type: Text = None


class Card(Shape):
    """`messages[].contacts[]`: a contact card. `origin` stands here or on the message."""

    name: Maybe[CardName] = None
    phones: Many[CardPhone]
    emails: Anything = None
    addresses: Anything = None
    urls: Anything = None
    org: Anything = None
    birthday: Text = None
    vcard: Text = None
    origin: Annotated[Text, Known("contact_request other")] = None


class Revoke(Content):
    """`revoke`: the sender took a message back."""

    original_message_id: Text = None

    @property
    def about(self) -> str | None:
        """The message taken back."""
        return self.original_message_id
