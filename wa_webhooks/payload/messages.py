"""`messages[]` and `message_echoes[]`: every type of message and what it contains."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import AliasChoices, Field

from .base import Anything, Errors, Flag, Known, Many, Maybe, Number, Required, Shape, Text, Time, Tolerant


class ReferredProduct(Shape):
    """`context.referred_product`: the product of the catalogue that a question is about."""

    catalog_id: Text = None
    product_retailer_id: Text = None


class Context(Shape):
    """`messages[].context`: the message replied to, or only a mark that the message was forwarded."""

    # The Send API, whose bodies stand in standby echoes, has the second name.
    id: Annotated[Text, Field(validation_alias=AliasChoices("id", "message_id"))] = None
    from_: Annotated[Text, Field(alias="from")] = None
    from_user_id: Text = None
    from_parent_user_id: Text = None
    forwarded: Flag = None
    frequently_forwarded: Flag = None
    referred_product: Maybe[ReferredProduct] = None


class WelcomeMessage(Shape):
    """`referral.welcome_message`."""

    text: Text = None


class Referral(Shape):
    """`messages[].referral`: the ad or post that the message came from."""

    source_url: Text = None
    source_id: Text = None
    source_type: Annotated[Text, Known("ad post")] = None
    headline: Text = None
    body: Text = None
    media_type: Annotated[Text, Known("image video")] = None
    image_url: Text = None
    video_url: Text = None
    thumbnail_url: Text = None
    ctwa_clid: Text = None
    welcome_message: Maybe[WelcomeMessage] = None


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


class HistoryContext(Shape):
    """`history_context`: how far a message of an old chat had come."""

    status: Annotated[Text, Known("DELIVERED ERROR PENDING PLAYED READ SENT")] = None


Contents = dict[str, type[Content]]


class Body(Shape):
    """What a message contains: one object, named by `type`. Also the inside of an edit."""

    contents: ClassVar[Contents] = {
        "text": TextContent,
        "image": Media,
        "video": Media,
        "audio": Media,
        "document": Media,
        "sticker": Media,
        "location": Location,
        "interactive": Interactive,
        "button": Button,
        "order": Order,
        "reaction": Reaction,
        "system": System,
        "unsupported": Unsupported,
        "revoke": Revoke,
    }
    """Models of the objects that stand under a type's name. They are read only when asked for: there are many, and a
    message has one."""

    type: Text = None
    contacts: Many[Card]
    context: Maybe[Context] = None

    def content(self) -> Content | None:
        """What stands under the key that `type` names; None where nothing does, or nothing that can be read."""
        shape = self.contents.get(self.type or "")
        found = (self.model_extra or {}).get(self.type or "")
        return shape.model_validate(found) if shape and isinstance(found, dict) else None


class Edit(Content):
    """`edit`: the sender corrected a message; the new content is a message of its own."""

    original_message_id: Text = None
    message: Maybe[Body] = None

    @property
    def text(self) -> str | None:
        """The corrected text."""
        inside = self.message.content() if self.message else None
        return inside.text if inside else None

    @property
    def about(self) -> str | None:
        """The message corrected."""
        return self.original_message_id


class Message(Body):
    """`messages[]` and `message_echoes[]`; `to` where the business wrote, `from` where the customer did."""

    contents: ClassVar[Contents] = {**Body.contents, "edit": Edit}

    id: Required
    timestamp: Time = None
    type: Annotated[
        Text,
        Known(
            "text image video audio document sticker location contacts interactive button order reaction system"
            " unsupported unknown request_welcome edit revoke media_placeholder"
        ),
    ] = None
    from_: Annotated[Text, Field(alias="from")] = None
    from_user_id: Text = None
    from_parent_user_id: Text = None
    from_logical_id: Text = None
    to: Text = None
    to_user_id: Text = None
    to_parent_user_id: Text = None
    group_id: Text = None
    referral: Maybe[Referral] = None
    errors: Errors
    identity: Maybe[Identity] = None
    origin: Annotated[Text, Known("contact_request other")] = None
    request_welcome: Anything = None
    media_placeholder: Anything = None
    history_context: Maybe[HistoryContext] = None


class SentMessage(Body):
    """A message as the Send API takes it; also of types that are never received."""

    contents: ClassVar[Contents] = {name: shape for name, shape in Body.contents.items() if name != "interactive"}

    interactive: Anything = None
    messaging_product: Text = None
    recipient_type: Text = None
    to: Text = None
    recipient: Text = None
    template: Anything = None
    biz_opaque_callback_data: Text = None


class StandbyEcho(Shape):
    """`standby.message_echoes[]`: what another app sent; `message` is the body of its call to the Send API."""

    id: Required
    timestamp: Time = None
    message: Maybe[SentMessage] = None
    template: Anything = None
    flow: Anything = None
