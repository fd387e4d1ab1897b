"""Phone numbers: which ways of writing one mean the same person.

Meta may give a Brazilian, Mexican or Argentine mobile number with or without a digit that others dial. Such variants
are equal here, and only for looking people up: what is stored, shown and sent to is what Meta gave. User ids are no
phone numbers and never come here. Source: Meta's reference of sending messages, and reports of integrators.
"""

from __future__ import annotations

_BRAZIL_WITHOUT_NINE = 12
_WITH_MOBILE_DIGIT = 13


def digits(phone: str | None) -> str | None:
    """Return a phone number as Meta's `wa_id` writes it: without plus, spaces and hyphens."""
    if not phone:
        return None
    return phone if phone.isdecimal() else phone.replace(" ", "").replace("-", "").lstrip("+") or None


def number_key(wa_id: str) -> str:
    """Return the one form that all variants of a number share.

    Brazil: mobiles have had a 9 after the area code since 2016, and older registrations lack it. Mexico: 521 was the
    mobile prefix until 2019. Argentina: 549 is dialled from abroad, 54 within.
    """
    size = len(wa_id)
    if wa_id.startswith("55") and size == _BRAZIL_WITHOUT_NINE and wa_id[4] in "6789":
        return f"{wa_id[:4]}9{wa_id[4:]}"
    if wa_id.startswith(("521", "549")) and size == _WITH_MOBILE_DIGIT:
        return wa_id[:2] + wa_id[3:]
    return wa_id
