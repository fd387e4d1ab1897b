"""What else happens with a lead: preferences, payments, groups, synced contacts, conversions, handovers."""

from __future__ import annotations

from collections.abc import Iterable

from ..changes import Change, LeadNoted, Person
from ..events import Event, canonical
from ..payload import Status, read
from ..payload.users import AutomaticEvent, ContactSync, Group, Handover, Preference
from ..payload.users import Person as Participant
from .people import Beside, contact_of, lead_seen, person
from .registry import Registry

registry = Registry()


@registry.on("preference.*")
def preference(event: Event) -> Iterable[Change]:
    """The lead stopped or resumed marketing messages."""
    told = read(Preference, event.item)
    contact = contact_of(event)
    who = person(event, contact, wa_id=told.wa_id, bsuid=told.user_id, parent_bsuid=told.parent_user_id)
    return _noted(event, who, contact, "preference", told.value, ref=told.category)


@registry.on("payment.*")
def payment(event: Event) -> Iterable[Change]:
    """How far a lead's payment has come; a refund tells it once more."""
    told = read(Status, event.item)
    contact = contact_of(event)
    who = person(
        event,
        contact,
        wa_id=told.recipient_id or told.from_,
        bsuid=told.recipient_user_id,
        parent_bsuid=told.recipient_parent_user_id,
    )
    ref = told.payment.reference_id if told.payment else None
    return _noted(event, who, contact, "payment", told.status.lower(), ref=ref)


@registry.on("contact_sync.*")
def contact_sync(event: Event) -> Iterable[Change]:
    """An entry of the phone app's contact book; its name is the one that the business gave."""
    told = read(ContactSync, event.item)
    book = told.contact
    contact = Beside((book.full_name or book.first_name) or None, book.username or None) if book else Beside()
    who = person(
        event,
        contact,
        wa_id=book.phone_number if book else None,
        bsuid=book.user_id if book else None,
        parent_bsuid=book.parent_user_id if book else None,
    )
    return _noted(event, who, contact, "contact", told.action)


@registry.on("automatic.*")
def automatic(event: Event) -> Iterable[Change]:
    """A lead or a purchase that Meta recognised in a chat; names the message alone, mostly."""
    told = read(AutomaticEvent, event.item)
    contact = contact_of(event)
    who = person(event, contact, wa_id=None, bsuid=None, parent_bsuid=None)
    return _noted(event, who, contact, "conversion", told.event_name, ref=told.id)


@registry.on("group.*")
def group(event: Event) -> Iterable[Change]:
    """What happened to a group: a note for everybody whom it names, or one without a lead."""
    told = read(Group, event.item)
    failed = f"{told.type}:failed"
    around = failed if told.errors else told.type
    people: dict[Person, tuple[Beside, str | None]] = {}
    groups = ((around, [told]), (told.type, told.added_participants), (told.type, told.removed_participants))
    for what, named in (*groups, (failed, told.failed_participants)):
        for each in named:
            contact = Beside(username=each.username or None)
            if who := _participant(event, each, contact):
                people.setdefault(who, (contact, what))
    for who, (contact, what) in people.items():
        yield from _noted(event, who, contact, "group", what, ref=told.group_id)
    if not people:
        yield from _noted(event, None, Beside(), "group", around, ref=told.group_id)


@registry.on("handover.*")
def handover(event: Event) -> Iterable[Change]:
    """Another app took the chat over; told of a phone number alone, so never of a username user."""
    told = read(Handover, event.item)
    contact = contact_of(event)
    who = person(
        event, contact, wa_id=told.sender.phone_number if told.sender else None, bsuid=None, parent_bsuid=None
    )
    control = told.control_passed or told.control_taken
    what = event.type.partition(".")[2]
    return _noted(event, who, contact, "handover", what, ref=control.new_owner_role if control else None)


@registry.on("empty.*")
@registry.on("unknown.*")
def named(event: Event) -> Iterable[Change]:
    """Nothing that anybody knows; but whoever stands beside it is a lead."""
    contact = contact_of(event)
    if who := person(event, contact, wa_id=None, bsuid=None, parent_bsuid=None):
        yield lead_seen(who, contact, event.at, inbound=False)


@registry.on("consumer_profile")
def consumer_profile(event: Event) -> Iterable[Change]:
    """A field that Meta names and does not document: whoever it names, and all of it."""
    item = event.item if isinstance(event.item, dict) else {}
    contact = contact_of(event)
    about = read(Participant, item)
    who = _participant(event, about, contact)
    return _noted(event, who, contact, "profile", "update")


def _participant(event: Event, told: Participant, contact: Beside) -> Person | None:
    phone = told.wa_id or told.input
    return person(
        event,
        contact,
        wa_id=phone if phone and phone.lstrip("+").isdecimal() else None,
        bsuid=told.user_id,
        parent_bsuid=told.parent_user_id,
    )


def _noted(
    event: Event, who: Person | None, contact: Beside, topic: str, what: str | None, *, ref: str | None = None
) -> Iterable[Change]:
    if who:
        yield lead_seen(who, contact, event.at, inbound=False)
    yield LeadNoted(
        account_id=event.account_id,
        phone_number_id=event.phone_number_id,
        person=who,
        topic=topic,
        what=what or "unknown",
        ref=ref or None,
        at=event.at,
        detail=canonical(event.item),
    )
