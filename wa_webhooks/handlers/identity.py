"""Phone numbers and user ids that change: the lead stays the same one."""

from __future__ import annotations

from collections.abc import Iterable

from ..changes import Change, IdentityChanged, LeadNoted, Person
from ..events import Event, canonical
from ..numbers import digits, number_key
from ..payload import Message, read
from ..payload.contents import System
from ..payload.users import OldAndNew, UserIdUpdate
from .people import Beside, contact_of, lead_seen, person, time_of
from .registry import Registry

registry = Registry()

_MOVES = frozenset({"user_changed_number", "customer_changed_number", "user_changed_user_id"})


def identity_changed(event: Event, said: Message, contact: Beside) -> IdentityChanged | None:
    """Return what a system message says of a person's ids; None if it says nothing of them.

    `from` is the old number. Older versions name the new one `new_wa_id`, and know no user ids.
    """
    told = said.content()
    if not isinstance(told, System) or told.type not in _MOVES:
        return None
    old = digits(said.from_)
    if old == event.business_number:
        old = None
    return _change(
        event,
        new=(
            digits(told.wa_id) or digits(told.new_wa_id),
            told.user_id or (None if told.previous_user_id else said.from_user_id or contact.user_id),
            told.parent_user_id or None,
        ),
        old=(old, told.previous_user_id or None, told.previous_parent_user_id or None),
    )


@registry.on("identity.*")
def user_id_update(event: Event) -> Iterable[Change]:
    """A field that Meta announced and withdrew: read in case it comes."""
    told = read(UserIdUpdate, event.item)
    contact = contact_of(event)
    old_user, new_user = _pair(told.user_id, told.previous_user_id)
    old_parent, new_parent = _pair(told.parent_user_id, told.previous_parent_user_id)
    phone = digits(told.wa_id) or digits(contact.wa_id)
    change = _change(event, new=(phone, new_user, new_parent), old=(None, old_user, old_parent))
    who = change.person if change else person(event, contact, wa_id=phone, bsuid=new_user, parent_bsuid=new_parent)
    if change:
        yield change
    elif who:
        yield lead_seen(who, contact, time_of(event), inbound=False)
    yield LeadNoted(
        account_id=event.account_id,
        phone_number_id=event.phone_number_id,
        person=who,
        topic="identity",
        what="user_id_update",
        at=event.at,
        detail=canonical(event.item),
    )


def _pair(value: OldAndNew | str | None, previous: str | None) -> tuple[str | None, str | None]:
    if isinstance(value, OldAndNew):
        return value.previous or previous or None, value.current or None
    return previous or None, value or None


Ids = tuple[str | None, str | None, str | None]


def _change(event: Event, *, new: Ids, old: Ids) -> IdentityChanged | None:
    scope = event.account_id or ""
    if new[0] and old[0] and number_key(new[0]) == number_key(old[0]):
        old = (None, old[1], old[2])  # another way to write the same number
    if not any(new) or not any(old):
        return None
    return IdentityChanged(
        person=Person(scope=scope, wa_id=new[0], bsuid=new[1], parent_bsuid=new[2]),
        previous=Person(scope=scope, wa_id=old[0], bsuid=old[1], parent_bsuid=old[2]),
        at=time_of(event),
    )
