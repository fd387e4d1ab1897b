"""Who an item is about: the ids that it and the contact beside it carry.

A username user has no phone number, a payload older than April 2026 no business-scoped user id (BSUID), a failed
status often neither in its contact. So every id is optional, and what the item says goes before the contact.
"""

from __future__ import annotations

from datetime import datetime

from ..changes import LeadSeen, Person
from ..errors import PayloadError
from ..events import Event
from ..numbers import digits
from ..payload import Contact, read

_NOBODY = Contact()


def contact_of(event: Event) -> Contact:
    """Return the contact beside the event's item, or an empty one."""
    return read(Contact, event.contact) if isinstance(event.contact, dict) else _NOBODY


def person(
    event: Event, contact: Contact, *, wa_id: str | None, bsuid: str | None, parent_bsuid: str | None
) -> Person | None:
    """Return the person with the ids given, completed from the contact; None where nobody is named.

    The business's own number is nobody's, wherever it stands.
    """
    bsuid = bsuid or contact.user_id or None
    parent_bsuid = parent_bsuid or contact.parent_user_id or None
    phone = digits(wa_id)
    if phone is None or phone == event.business_number:
        phone = digits(contact.wa_id)
        if phone == event.business_number:
            phone = None
    if not (bsuid or parent_bsuid or phone):
        return None
    return Person(scope=event.account_id or "", bsuid=bsuid, parent_bsuid=parent_bsuid, wa_id=phone)


def lead_seen(who: Person, contact: Contact, at: datetime | None, *, inbound: bool) -> LeadSeen:
    """Return the change that records the lead, with the name and username that the contact tells."""
    profile = contact.profile
    return LeadSeen(
        person=who,
        at=at,
        name=(profile.name if profile else None) or None,
        username=(profile.username if profile else None) or None,
        inbound=inbound,
    )


def time_of(event: Event) -> datetime:
    """Return Meta's time of an event that cannot do without one.

    Raises:
        PayloadError: it has none.
    """
    if event.at is None:
        raise PayloadError(f"{event.type} cannot be read: timestamp: not a Unix timestamp")
    return event.at
