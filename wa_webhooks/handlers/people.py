"""Who an item is about: the ids that it and the contact beside it carry.

A username user has no phone number, a payload older than April 2026 no business-scoped user id (BSUID), a failed
status often neither in its contact. So every id is optional, and what the item says goes before the contact.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

from ..changes import LeadSeen, Person
from ..errors import PayloadError
from ..events import Event
from ..numbers import digits


class Beside(NamedTuple):
    """What stands beside an item about a person: what `payload.Contact` has, flat.

    It is read by hand: every event has one, and a model of it would be a tenth of all the time that an event takes.
    """

    name: str | None = None
    username: str | None = None
    wa_id: str | None = None
    user_id: str | None = None
    parent_user_id: str | None = None


_NOTHING = Beside()


def contact_of(event: Event) -> Beside:
    """Return what the contact beside the event's item says; nothing where there is none."""
    contact = event.contact
    if not isinstance(contact, dict):
        return _NOTHING
    profile = contact.get("profile")
    if not isinstance(profile, dict):
        profile = {}
    return Beside(
        _text(profile.get("name")),
        _text(profile.get("username")),
        _text(contact.get("wa_id")),
        _text(contact.get("user_id")),
        _text(contact.get("parent_user_id")),
    )


def _text(value: Any) -> str | None:
    if isinstance(value, str):
        return value or None
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def person(
    event: Event, contact: Beside, *, wa_id: str | None, bsuid: str | None, parent_bsuid: str | None
) -> Person | None:
    """Return the person with the ids given, completed from the contact; None where nobody is named.

    The business's own number is nobody's, wherever it stands.
    """
    bsuid = bsuid or contact.user_id
    parent_bsuid = parent_bsuid or contact.parent_user_id
    phone = digits(wa_id)
    if phone is None or phone == event.business_number:
        phone = digits(contact.wa_id)
        if phone == event.business_number:
            phone = None
    if not (bsuid or parent_bsuid or phone):
        return None
    return Person(scope=event.account_id or "", bsuid=bsuid, parent_bsuid=parent_bsuid, wa_id=phone)


def lead_seen(who: Person, contact: Beside, at: datetime | None, *, inbound: bool) -> LeadSeen:
    """Return the change that records the lead, with the name and username that the contact tells."""
    return LeadSeen(person=who, at=at, name=contact.name, username=contact.username, inbound=inbound)


def time_of(event: Event) -> datetime:
    """Return Meta's time of an event that cannot do without one.

    Raises:
        PayloadError: it has none.
    """
    if event.at is None:
        raise PayloadError(f"{event.type} cannot be read: timestamp: not a Unix timestamp")
    return event.at
