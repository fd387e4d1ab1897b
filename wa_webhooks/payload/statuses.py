"""`statuses[]`: of messages, of payments, and of calls that the business makes."""

from __future__ import annotations

from typing import Annotated

from pydantic import AliasChoices, Field

from .base import Anything, Errors, Flag, Known, Many, Maybe, Number, Required, Shape, Text, Time

CATEGORIES = Known(
    "authentication authentication-international authentication_international marketing marketing_lite utility"
    " service referral_conversion group_marketing group_utility group_service general_purpose_ai user_initiated"
    " business_initiated"
)


class Origin(Shape):
    """`conversation.origin`."""

    type: Annotated[Text, CATEGORIES] = None


class Pricing(Shape):
    """`statuses[].pricing`. `pricing_type` is an alias of `type` in some versions."""

    billable: Flag = None
    pricing_model: Annotated[Text, Known("CBP PMP")] = None
    type: Annotated[Text, Known("regular free_customer_service free_entry_point free_group_customer_service")] = None
    pricing_type: Text = None
    category: Annotated[Text, CATEGORIES] = None


class Conversation(Shape):
    """`statuses[].conversation`: since v24 only inside a free entry point's window. Groups may have pricing here."""

    id: Text = None
    expiration_timestamp: Time = None
    origin: Maybe[Origin] = None
    pricing: Maybe[Pricing] = None


class Amount(Shape):
    """An amount of money: `value / offset`."""

    value: Number = None
    offset: Number = None


class Method(Shape):
    """`transaction.method`."""

    type: Text = None


class PaymentError(Shape):
    """`transaction.error`."""

    code: Text = None
    reason: Text = None


class Refund(Shape):
    """`transaction.refunds[]`."""

    id: Text = None
    amount: Maybe[Amount] = None
    speed_processed: Text = None
    status: Text = None
    created_timestamp: Time = None
    updated_timestamp: Time = None


class Transaction(Shape):
    """`payment.transaction`."""

    id: Text = None
    type: Text = None
    status: Annotated[Text, Known("pending success failed")] = None
    amount: Maybe[Amount] = None
    currency: Text = None
    created_timestamp: Time = None
    updated_timestamp: Time = None
    method: Maybe[Method] = None
    error: Maybe[PaymentError] = None
    refunds: Many[Refund]


class Payment(Shape):
    """`statuses[].payment`: no schema of Meta's could be read, only what resellers pass on."""

    reference_id: Text = None
    amount: Maybe[Amount] = None
    currency: Text = None
    receipt: Text = None
    transaction: Maybe[Transaction] = None


class Status(Shape):
    """`statuses[]` of messages (`type` absent), payments (`payment`) and calls (`call`)."""

    id: Required
    status: Annotated[
        Required,
        Known("sent delivered read played failed deleted warning captured pending RINGING ACCEPTED REJECTED"),
    ]
    timestamp: Time = None
    type: Annotated[Text, Known("payment call")] = None
    from_: Annotated[Text, Field(alias="from")] = None
    recipient_id: Text = None
    recipient_type: Annotated[Text, Known("group individual")] = None
    recipient_user_id: Text = None
    recipient_parent_user_id: Annotated[
        # The second name was the first until May 2026.
        Text, Field(validation_alias=AliasChoices("recipient_parent_user_id", "parent_recipient_user_id"))
    ] = None
    recipient_participant_id: Annotated[
        # Three of Meta's samples use the second spelling.
        Text, Field(validation_alias=AliasChoices("recipient_participant_id", "participant_recipient_id"))
    ] = None
    recipient_participant_user_id: Text = None
    recipient_participant_parent_user_id: Text = None
    recipient_identity_key_hash: Text = None
    group_id: Text = None
    biz_opaque_callback_data: Text = None
    template_id: Text = None
    conversation: Maybe[Conversation] = None
    pricing: Maybe[Pricing] = None
    errors: Errors
    payment: Maybe[Payment] = None
    message: Anything = None
    """What an old warning is about."""

    @property
    def priced(self) -> Pricing | None:
        """The pricing, wherever it stands."""
        return self.pricing or (self.conversation.pricing if self.conversation else None)
