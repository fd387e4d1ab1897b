"""Mask people's data in what is shown: enough stays to recognise a row, not to identify a person."""

from __future__ import annotations

import re
from typing import Any

_LONG_NUMBER = re.compile(r"\d{7,}")
_SHOWN = 4


def mask(value: Any, key: str = "") -> Any:
    """Return JSON with phone numbers, ids, names and texts masked, by the keys they stand under.

    What stands deeper under such a key, and has no key of its own to go by, is masked as that key says.
    """
    if isinstance(value, dict):
        return {name: mask(inner, name if name in _MASKERS else key) for name, inner in value.items()}
    if isinstance(value, list):
        return [mask(inner, key) for inner in value]
    masker = _MASKERS.get(key)
    if masker is None or value is None or isinstance(value, bool):
        return value
    # A number under an id's key is one of ours; a phone number or a coordinate may be a number too.
    return value if masker is mask_id and not isinstance(value, str) else masker(str(value))


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


def mask_numbers(text: str) -> str:
    """Return a text with every long number masked like a phone number."""
    return _LONG_NUMBER.sub(lambda found: mask_phone(found.group()), text)


_PHONES = """
    from to wa_id new_wa_id recipient_id recipient_participant_id participant_recipient_id phone phone_number customer
    input
"""
_IDS = """
    id message_id wamid call_id ref reply_to value group_id original_message_id bsuid user_id parent_user_id
    from_user_id from_parent_user_id to_user_id to_parent_user_id recipient_user_id recipient_parent_user_id
    recipient_participant_user_id recipient_participant_parent_user_id previous_user_id previous_parent_user_id
"""
_WORDS = """
    name username body caption text title description filename formatted_name first_name last_name middle_name
    full_name emoji email street city zip address vcard sdp birthday response_json detail url latitude longitude
    unreadable payload reply_id content context referral
"""
_NUMBERS = "error error_text failed_text details message"

_MASKERS = {
    key: masker
    for keys, masker in (
        ("event_key key", mask_key),
        (_PHONES, mask_phone),
        (_IDS, mask_id),
        (_WORDS, mask_words),
        (_NUMBERS, mask_numbers),
    )
    for key in keys.split()
}
"""How to mask the value under a key. An object or an array under it is entered, not masked as a whole."""
