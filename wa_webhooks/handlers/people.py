"""Who an item is about: the ids that it and the contact beside it carry.

A username user has no phone number, a payload older than April 2026 no business-scoped user id (BSUID), a failed
status often neither in its contact. So every id is optional, and what the item says goes before the contact.
"""

from __future__ import annotations

from datetime import datetime

from ..changes import LeadSeen, Person
from ..events import Event, digits
from ..payload import Contact, read


def contact_of(event: Event) -> Contact:
    """Return the contact beside the event's item, or an empty one."""
    return read(Contact, event.contact) if isinstance(event.contact, dict) else Contact()


def person(
    event: Event, contact: Contact, *, wa_id: str | None, bsuid: str | None, parent_bsuid: str | None
) -> Person | None:
    """Return the person with the ids given, completed from the contact; None where nobody is named.

    The business's own number is nobody's, wherever it stands.
    """
    phones = (digits(phone) for phone in (wa_id, contact.wa_id))
    found = Person(
        scope=event.account_id or "",
        bsuid=bsuid or contact.user_id,
        parent_bsuid=parent_bsuid or contact.parent_user_id,
        wa_id=next((phone for phone in phones if phone and phone != event.business_number), None),
    )
    return found if found.bsuid or found.parent_bsuid or found.wa_id else None


def lead_seen(who: Person, contact: Contact, at: datetime, *, inbound: bool) -> LeadSeen:
    """Return the change that records the lead, with the name and username that the contact tells."""
    profile = contact.profile
    return LeadSeen(
        person=who,
        at=at,
        name=profile.name if profile else None,
        username=profile.username if profile else None,
        inbound=inbound,
    )
