"""What messages contain, by `type` or `interactive.<type>` or `system.<type>`, and variants of it: (about, keys)."""

from __future__ import annotations

from .templates import Shape, error

_FILE = {"id": "$media", "sha256": "$sha256", "url": "$url"}
_REPLY = {"context": {"from": "$number", "id": "$other"}}
_PRICE = {"currency": "EUR"}
_CARD = {
    "name": {"formatted_name": "Bronwen Hartwell", "first_name": "Bronwen", "last_name": "Hartwell"},
    "phones": [{"phone": "+44 7700 900456", "wa_id": "447700900456", "type": "CELL"}],
    "emails": [{"email": "bronwen@hartwell.example", "type": "HOME"}],
    "org": {"company": "Hartwell & Daughter"},
    "origin": "other",
}
_REQUESTED = {"phones": [{"phone": "$phone", "wa_id": "$phone", "type": "CELL"}], "origin": "contact_request"}
_AD = {
    "source_url": "https://ads.aurora-dental.example/smile",
    "source_id": "120250000000000771",
    "source_type": "ad",
    "headline": "A smile for the holidays",
    "body": "Check-up and cleaning without waiting.",
    "media_type": "image",
    "image_url": "https://scontent.example/aurora-smile.jpg",
    "ctwa_clid": "AR$token",
}
_HELLO = {"text": {"body": "Hello, are you open on Saturday?"}}


def _interactive(kind: str, **reply: object) -> Shape:
    return {**_REPLY, "interactive": {"type": kind, kind: reply}}


def _permission(**reply: object) -> Shape:
    return _interactive("call_permission_reply", **reply)


CONTENTS: dict[str, tuple[str, Shape]] = {
    "text": ("a text", _HELLO),
    "text:reply": (
        "an answer to a message of ours",
        {**_REPLY, "text": {"body": "Yes, ten o'clock suits me."}},
    ),
    "text:forwarded": ("a text, forwarded: a context without an id", {"context": {"forwarded": True}, **_HELLO}),
    "text:frequently_forwarded": (
        "a text, forwarded more than five times",
        {"context": {"frequently_forwarded": True}, **_HELLO},
    ),
    "text:referral": (
        "the first message after a tap on an ad",
        {"text": {"body": "Hello, I would like to know more."}, "referral": _AD},
    ),
    "text:product": (
        "a question about a product of the catalogue",
        {
            "context": {
                "from": "$number",
                "id": "$other",
                "referred_product": {"catalog_id": "510000000000301", "product_retailer_id": "chai-masala-250g"},
            },
            "text": {"body": "Is this one still available?"},
        },
    ),
    "text:group": ("a text in a group", {"group_id": "$group", "text": {"body": "Shall we meet at ten?"}}),
    "image": ("a photo", {"image": {**_FILE, "mime_type": "image/jpeg", "caption": "This one here"}}),
    "video": ("a video", {"video": {**_FILE, "mime_type": "video/mp4"}}),
    "audio": ("a sound file", {"audio": {**_FILE, "mime_type": "audio/mpeg", "voice": False}}),
    "audio:voice": (
        "a voice note",
        {"audio": {**_FILE, "mime_type": "audio/ogg; codecs=opus", "voice": True}},
    ),
    "document": (
        "a document",
        {"document": {**_FILE, "mime_type": "application/pdf", "filename": "insurance 2026.pdf"}},
    ),
    "sticker": ("a sticker", {"sticker": {**_FILE, "mime_type": "image/webp", "animated": True}}),
    "location": (
        "a place",
        {
            "location": {
                "latitude": 48.8583701,
                "longitude": 2.2944813,
                "name": "The tower",
                "address": "By the river",
            }
        },
    ),
    "contacts": ("a contact card", {"contacts": [_CARD]}),
    "contacts:requested": ("the answer to a request for the contact", {**_REPLY, "contacts": [_REQUESTED]}),
    "button": (
        "a tap on a template's quick reply",
        {**_REPLY, "button": {"payload": "campaign:checkup:yes", "text": "Yes, please"}},
    ),
    "button:no_context": (
        "a tap on a template's quick reply, with its payload alone",
        {"button": {"payload": "campaign:checkup:yes", "text": "Yes, please"}},
    ),
    "order": (
        "a cart",
        {
            "order": {
                "catalog_id": "510000000000301",
                "text": "Please pack the cardamom separately",
                "product_items": [
                    {"product_retailer_id": "cardamom-100g", "quantity": 2, "item_price": 7.99, **_PRICE},
                    {"product_retailer_id": "chai-masala-250g", "quantity": 1, "item_price": 9, **_PRICE},
                ],
            }
        },
    ),
    "reaction": ("an emoji on a message of ours", {"reaction": {"message_id": "$other", "emoji": "👍"}}),
    "reaction:removed": ("an emoji taken back", {"reaction": {"message_id": "$other"}}),
    "reaction:empty": (
        "an emoji taken back, told as an empty one",
        {"reaction": {"message_id": "$other", "emoji": ""}},
    ),
    "interactive": ("a tap of which Meta tells nothing", {}),
    "interactive.button_reply": (
        "a tap on a reply button",
        _interactive("button_reply", id="slot-10", title="Ten o'clock"),
    ),
    "interactive.list_reply": (
        "a row chosen from a list",
        _interactive("list_reply", id="cleaning", title="Cleaning", description="45 minutes"),
    ),
    "interactive.nfm_reply": (
        "a completed flow",
        _interactive(
            "nfm_reply",
            name="flow",
            body="Sent",
            response_json='{"flow_token": "flow-$token", "full_name": "$name", "pain": 7, "first_visit": false}',
        ),
    ),
    "interactive.nfm_reply:address": (
        "an address that was asked for",
        _interactive(
            "nfm_reply",
            name="address_message",
            body="Sent",
            response_json='{"values": {"name": "$name", "address": "12 Quiet Lane", "city": "Nowhere"}}',
        ),
    ),
    "interactive.call_permission_reply": (
        "permission to call, for a week",
        _permission(
            response="accept", is_permanent=False, expiration_timestamp="$time+604800", response_source="user_action"
        ),
    ),
    "interactive.call_permission_reply:permanent": (
        "permission to call, for good",
        _permission(response="accept", is_permanent=True, response_source="user_action"),
    ),
    "interactive.call_permission_reply:automatic": (
        "permission to call, since they called",
        _permission(
            response="accept", is_permanent=False, expiration_timestamp="$time+604800", response_source="automatic"
        ),
    ),
    "interactive.call_permission_reply:reject": (
        "permission to call refused",
        _permission(response="reject", response_source="user_action"),
    ),
    "interactive.product": (
        "a product; Meta documents no payload",
        _interactive("product", catalog_id="510000000000301", product_retailer_id="chai-masala-250g"),
    ),
    "unsupported": (
        "a poll, which the API does not pass on",
        {
            "unsupported": {"type": "poll_creation"},
            "errors": [error(131051, "Message type unknown", "Message type is currently not supported.")],
        },
    ),
    "unsupported:unavailable": (
        "content to be seen in the phone app alone",
        {"errors": [error(131060, "This message is unavailable", "Open the phone to see this message.")]},
    ),
    "unsupported:bare": ("what is not supported, without any detail", {}),
    "unknown": (
        "the old shape of what is not supported",
        {
            "errors": [
                {"code": 131051, "title": "Unsupported message type", "details": "Message type is not supported"}
            ]
        },
    ),
    "request_welcome": ("a chat opened for the first time", {}),
    "edit": (
        "a message corrected",
        {
            "edit": {
                "original_message_id": "$theirs",
                "message": {
                    "context": {"id": "M0"},
                    "type": "text",
                    "text": {"body": "Hello, are you open on Sunday?"},
                },
            }
        },
    ),
    "revoke": ("a message taken back", {"revoke": {"original_message_id": "$theirs"}}),
}

SYSTEM: dict[str, tuple[str, Shape]] = {
    "user_changed_number": (
        "a new phone number, and so a new user id",
        {
            "from": "$phone",
            "system": {
                "type": "user_changed_number",
                "body": "$name changed from $phone to $new_phone",
                "wa_id": "$new_phone",
                "user_id": "$new_user",
                "previous_user_id": "$user",
                "previous_parent_user_id": "$parent",
            },
        },
    ),
    "customer_changed_number": (
        "a new phone number by its old name, without user ids",
        {
            "from": "$phone",
            "from_user_id": "$user_alone",
            "system": {
                "type": "customer_changed_number",
                "body": "$name changed from $phone to $new_phone",
                "new_wa_id": "$new_phone",
                "customer": "$phone",
            },
        },
    ),
    "user_changed_user_id": (
        "a new user id, the phone hidden",
        {
            "from": "$phone_alone",
            "system": {
                "type": "user_changed_user_id",
                "body": "$name changed their number",
                "user_id": "$new_user",
                "previous_user_id": "$user",
                "previous_parent_user_id": "$parent",
            },
        },
    ),
    "customer_identity_changed": (
        "a new key on the customer's device",
        {
            "from": "$phone",
            "from_user_id": "$user",
            "system": {
                "type": "customer_identity_changed",
                "body": "$name's security code changed",
                "customer": "$phone",
                "identity": {"acknowledged": False, "created_timestamp": "$ms", "hash": "$sha256"},
            },
        },
    ),
}
"""System messages: no contacts stand beside them, and who they are about they say themselves."""

SENT = {"text": {"body": "Yes, from nine to one. See you on Saturday!"}}
"""A text of the business's."""

ECHOED = ("text", "image", "video", "audio", "document", "sticker", "location", "contacts", "edit", "revoke")
"""What the business writes in its phone app."""

OLD = ("text", "image", "video", "audio", "document", "sticker", "location", "contacts", "reaction")
"""What old chats hold, beside placeholders of media."""

SENT_BY_API: dict[str, tuple[str, Shape]] = {
    "text": ("a text", SENT),
    "image": ("a photo", {"image": {"id": "$media", "caption": "Our new room"}}),
    "document": ("a document", {"document": {"id": "$media", "filename": "estimate.pdf"}}),
    "interactive": (
        "buttons",
        {
            "interactive": {
                "type": "button",
                "body": {"text": "When does it suit you?"},
                "action": {"buttons": [{"type": "reply", "reply": {"id": "slot-10", "title": "Ten o'clock"}}]},
            }
        },
    ),
    "template": (
        "a template",
        {"template": {"name": "checkup_dec", "language": {"code": "en"}, "components": []}},
    ),
}
"""Bodies of calls to the Send API, as an app in standby sees them."""
