"""`messages[]` and `message_echoes[]`, whatever their type."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import AliasChoices, Field

from .base import Anything, Errors, Flag, Known, Many, Maybe, Required, Shape, Text, Time
from .contents import (
    Button,
    Card,
    Content,
    Identity,
    Interactive,
    Location,
    Media,
    Order,
    Reaction,
    Revoke,
    System,
    TextContent,
    Unsupported,
)


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
