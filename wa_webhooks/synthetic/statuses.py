"""Templates of statuses, of messages, payments and calls, and of the steps of a call."""

from __future__ import annotations

from typing import Any

from .templates import ERRORS, WHO, Shape, Template, error, within

RECIPIENT = {"recipient_id": "$phone", "recipient_user_id": "$user", "recipient_parent_user_id": "$parent"}
_IN_GROUP = {
    "recipient_id": "$group",
    "recipient_type": "group",
    "recipient_participant_id": "$phone",
    "recipient_participant_user_id": "$user",
    "recipient_participant_parent_user_id": "$parent",
}
_PRICE = {"billable": True, "pricing_model": "PMP", "type": "$pricing", "category": "$category"}
_TAG = {"biz_opaque_callback_data": "$tag"}


def _status(
    about: str, status: str, keys: Shape | None = None, *, to: Shape = RECIPIENT, contacts: str | None = "$contacts"
) -> Template:
    item = {"id": "$sent", "status": status, "timestamp": "$at", **to, **(keys or {}), **_TAG}
    return Template(about=about, field="messages", value=within("statuses", contacts=contacts), item=item)


def _failed(code: int) -> Template:
    # The user id is told only if the message was sent to one, and the contact by its phone alone.
    to = {"recipient_id": "$phone", "recipient_user_id": "$user_alone", "recipient_parent_user_id": "$parent_alone"}
    about = f"a message fails: {ERRORS[code]['title']}"
    return _status(about, "failed", {"errors": [ERRORS[code]]}, to=to, contacts="$contacts_bare")


_ENTRY_POINT = {
    "conversation": {
        "id": "$token",
        "expiration_timestamp": "$at+259200",
        "origin": {"type": "referral_conversion"},
    },
    "pricing": {
        "billable": False,
        "pricing_model": "PMP",
        "type": "free_entry_point",
        "category": "referral_conversion",
    },
}

STATUSES: dict[str, Template] = {
    "sent": _status("a message leaves", "sent", {"pricing": _PRICE}, contacts="$contacts_unnamed"),
    "sent:entry_point": _status("a message leaves in the free time after a tap on an ad", "sent", _ENTRY_POINT),
    "delivered": _status("a message reaches the phone", "delivered", {"pricing": _PRICE}),
    "delivered:group": _status("a message reaches somebody of a group", "delivered", to=_IN_GROUP),
    "read": _status("a message is read", "read"),
    "read:group": _status("somebody of a group reads a message", "read", to=_IN_GROUP),
    "played": _status("a voice message is played", "played"),
    "failed": _failed(131049),
    **{f"failed:{code}": _failed(code) for code in ERRORS},
    "deleted": _status("a status of older times", "deleted", contacts=None),
    "warning": _status("a status of older times", "warning", {"message": {"recipient_id": "$phone"}}, contacts=None),
}

_AMOUNT = {"amount": {"value": 111900, "offset": 100}, "currency": "INR"}
_REFUND = {
    "id": "rfnd_$token",
    "amount": {"value": 34950, "offset": 100},
    "speed_processed": "instant",
    "status": "success",
    "created_timestamp": "$time-10",
    "updated_timestamp": "$time",
}


def _payment(about: str, status: str, transaction: str, **keys: object) -> Template:
    item = {
        "id": "$sent",
        "type": "payment",
        "status": status,
        "timestamp": "$at",
        **RECIPIENT,
        "payment": {
            "reference_id": "order-$digits",
            **_AMOUNT,
            "transaction": {
                "id": "pay_$token",
                "type": "razorpay",
                "status": transaction,
                "created_timestamp": "$time-60",
                "updated_timestamp": "$time",
                "method": {"type": "upi"},
                **_AMOUNT,
                **keys,
            },
        },
    }
    return Template(about=about, field="messages", value=within("statuses"), item=item)


PAYMENTS: dict[str, Template] = {
    "captured": _payment("an order is paid", "captured", "success"),
    "captured:refund": _payment("an order is paid back in part", "captured", "success", refunds=[_REFUND]),
    "pending": _payment("a payment waits", "pending", "pending"),
    "failed": _payment(
        "a payment fails: no failed delivery",
        "failed",
        "failed",
        error={"code": "U30", "reason": "Declined by the bank"},
    ),
}

_SDP = (
    "v=0\r\no=- 7000003480 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\nm=audio 3480 UDP/TLS/RTP/SAVPF 111\r\n"
    "c=IN IP4 203.0.113.41\r\na=ice-ufrag:auRo\r\na=ice-pwd:inventedPasswordForTests\r\na=mid:audio\r\na=sendrecv\r\n"
    "a=rtcp-mux\r\na=rtpmap:111 opus/48000/2\r\n"
)
_THEIRS = {**WHO, "to": "$number", "direction": "USER_INITIATED"}
_BACK = {
    "from": "$number",
    "to": "$phone",
    "to_user_id": "$user",
    "to_parent_user_id": "$parent",
    "direction": "BUSINESS_INITIATED",
    **_TAG,
}
_FILE = {"id": "$media", "sha256": "$sha256", "url": "$url"}
_NO_MEDIA = error(138021, "Media not received", "No media was received from the business for 20 seconds.")


def _call(about: str, event: str, ends: Shape = _THEIRS, **keys: Any) -> Template:
    item = {"id": "$wacid", **ends, "event": event, "timestamp": "$at", **keys}
    return Template(about=about, field="calls", value=within("calls"), item=item)


def _answered(seconds: str) -> dict[str, Any]:
    return {"start_time": f"$at-{seconds}", "end_time": "$at", "duration": int(seconds)}


def _progress(about: str, status: str) -> Template:
    item = {"id": "$wacid", "type": "call", "status": status, "timestamp": "$at", **RECIPIENT, **_TAG}
    return Template(about=about, field="calls", value=within("statuses"), item=item)


CALLS: dict[str, Template] = {
    "connect": _call("a customer calls", "connect", session={"sdp_type": "offer", "sdp": _SDP}),
    "connect:business": _call("our call connects", "connect", _BACK, session={"sdp_type": "answer", "sdp": _SDP}),
    "terminate": _call("a call ends that was answered", "terminate", status="COMPLETED", **_answered("180")),
    "terminate:missed": _call("a call ends unanswered: neither start nor duration", "terminate", status="FAILED"),
    "terminate:failed": _call(
        "a call ends in which nothing was heard",
        "terminate",
        status="FAILED",
        errors=[_NO_MEDIA],
        **_answered("20"),
    ),
    "terminate:business": _call("our call ends", "terminate", _BACK, status="COMPLETED", **_answered("65")),
    "terminate:unanswered": _call("our call rings out", "terminate", _BACK, status="FAILED"),
    "call_created": _call("a call begins, with SIP", "call_created"),
    "call_recording_available": _call(
        "the recording of a call is ready",
        "call_recording_available",
        call_recording={"type": "audio", "audio": {**_FILE, "mime_type": "audio/ogg"}},
    ),
    "call_transcription_available": _call(
        "the transcript of a call is ready",
        "call_transcription_available",
        call_transcript={"document": {**_FILE, "mime_type": "application/json"}},
    ),
    "ringing": _progress("we call and their phone rings", "RINGING"),
    "accepted": _progress("they pick up our call", "ACCEPTED"),
    "rejected": _progress("they decline our call", "REJECTED"),
}
