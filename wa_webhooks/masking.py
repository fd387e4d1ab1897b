"""Mask people's data in what is shown: enough stays to recognise a row, not to identify a person."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

Masker = Callable[[str], str]

_LONG = 7
_LONG_NUMBER = re.compile(r"\d{7,}")
_EMAIL = re.compile(r"[^\s<>\"']+@[^\s<>\"']+")
_SHOWN = 4


def mask(value: Any) -> Any:
    """Return JSON with people's data masked, by the keys it stands under.

    Keys that are known to name nobody are shown. Phone numbers, ids and texts are masked each in its way, and what
    stands under a key that nobody knows is masked like a text: a flow's answers can be anything.
    """
    return _mask(value, None)


def _mask(value: Any, masker: Masker | None) -> Any:
    if isinstance(value, dict):
        return {name: _mask(inner, _masker_of(name, masker)) for name, inner in value.items()}
    if isinstance(value, list):
        return [_mask(inner, masker) for inner in value]
    if masker is None or value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return masker(value)
    # A number under an id's key or an unknown one is a count of ours or Meta's, unless it is as long as a phone's.
    short = len(str(value)) < _LONG and masker in (mask_id, mask_unknown)
    return value if short else masker(str(value))


def mask_value(name: str, value: Any) -> Any:
    """Return one value masked as it would be under its key."""
    return _mask(value, _masker_of(name, None))


def _masker_of(name: str, outer: Masker | None) -> Masker | None:
    if name in _SHOWN_KEYS:
        return None
    return _MASKERS.get(name) or outer or mask_unknown


def mask_phone(phone: str) -> str:
    """Return a phone number with its first and last two digits: 55…10."""
    return f"{phone[:2]}…{phone[-2:]}" if len(phone) > _SHOWN else "…"


def mask_id(ident: str) -> str:
    """Return an id's last characters. A wamid holds the phone number in base64, so it is masked like one."""
    if ident.isdecimal():
        return mask_phone(ident)
    kind = next((part for part in ("wamid.", "wacid.") if ident.startswith(part)), "")
    rest = ident.removeprefix(kind)
    return f"{kind}…{rest[-6:]}" if len(rest) > 2 * _SHOWN else ident


def mask_key(key: str) -> str:
    """Return an event key with the ids and phone numbers in it masked; what it is about stays readable."""
    kind, where, *parts = key.split(":") if key.count(":") > 1 else (key, "")
    masked = [mask_phone(part) if part.isdecimal() and len(part) > _SHOWN else mask_id(part) for part in parts]
    return ":".join([kind, where, *masked]) if parts else mask_id(key)


def mask_words(text: str) -> str:
    """Return how long a text is: •••(12)."""
    return f"•••({len(text)})" if text else text


def mask_unknown(text: str) -> str:
    """Return what stands under a key that nobody knows, masked like a text."""
    return mask_words(text)


def mask_numbers(text: str) -> str:
    """Return a text with every long number masked like a phone number, and every e-mail address like a text."""
    without = _EMAIL.sub(lambda found: mask_words(found.group()), text)
    return _LONG_NUMBER.sub(lambda found: mask_phone(found.group()), without)


_PHONES = """
    from to wa_id new_wa_id recipient_id recipient_participant_id participant_recipient_id phone phone_number customer
    input number old_number new_number
"""
_IDS = """
    id ident message_id wamid call_id ref reply_to value group_id original_message_id bsuid user_id parent_user_id
    from_user_id from_parent_user_id to_user_id to_parent_user_id recipient_user_id recipient_parent_user_id
    recipient_participant_user_id recipient_participant_parent_user_id previous_user_id previous_parent_user_id
"""
_WORDS = """
    name username body caption text title description filename formatted_name first_name last_name middle_name
    full_name emoji email street city zip address vcard sdp birthday response_json detail url latitude longitude
    unreadable payload reply_id content context referral tag biz_opaque_callback_data
"""
_NUMBERS = "error error_text failed_text details message"
_SHOWN_KEYS = frozenset(
    """
    account_id action alert_severity alert_state alert_status alert_type animated at attempt attempts availability
    backlog ban_info billable body_size business_initiated call_created catalog_id category chunk_order code command
    connect_at accepted_at rejected_at terminate_at ringing_at content-type correct_category counts country currency
    current_limit decision delivered_at delivery_id direction display_phone_number duplicates duration effective_month
    end_time ended_at entity_id entity_type error_class error_code error_count error_rate error_type event event_at
    event_id event_name events expiration expiration_timestamp failed_at failed_code fecha_recepcion field
    finished_at first_event_at flow_id forwarded frequently_forwarded handled_by handler_version href is_permanent
    item_price kind last_event_at last_inbound_at lead_id masked max_daily_conversations_per_business media_type
    message_template_category message_template_id message_template_language message_template_name messaging_product
    mime_type new_category new_quality_score new_status next_attempt_at notice object old_limit old_status origin
    outcome owner_business_id p50_latency p90_latency paired_at phase phone_number_id played_at position
    previous_category previous_quality_score pricing_category pricing_model pricing_type procesado
    product_retailer_id progress quantity read_at reason received_at recipient_type region rejection_reason
    remediation requests_count requested_verified_name response response_source restriction_type result run_id scope
    sdp_type sent_at sha256 signature_key solution_id solution_status source source_ip source_type split_at start_time
    since started_at started_by state status step threshold tier timestamp tipo_evento type user-agent version
    violation_type voice what severity subject topic conversation_origin failure_class failed_class told_rank
    created_at recording_at transcript_at wa_id_at bsuid_at name_at username_at waba_ban_date waba_ban_state waba_id
    """.split()  # noqa: SIM905 - a list of words
)

_MASKERS = {
    key: masker
    for keys, masker in (
        ("event_key key idempotency_key", mask_key),
        (_PHONES, mask_phone),
        (_IDS, mask_id),
        (_WORDS, mask_words),
        (_NUMBERS, mask_numbers),
    )
    for key in keys.split()
}
"""How to mask the value under a key; what stands deeper and has no key of its own to go by is masked likewise."""
