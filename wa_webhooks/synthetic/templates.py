"""What a template is, and the words that stand in it for what differs from event to event.

A template is JSON in which `$name` stands for a value: the whole string for any value (its key is left out where
there is none), inside other text for its text. `making` has the values:

- whose: `$phone` `$user` `$parent` `$username` `$name` `$first_name`, `$contacts` (the array beside an item;
  `$contacts_unnamed` without the username, `$contacts_bare` with nothing but a phone); `$phone_alone` where there is
  no user id, `$user_alone` and `$parent_alone` where there is no phone; `$new_phone` `$new_user`: what they change
  to.
- ours: `$account` `$number_id` `$number`, `$metadata` (both), `$group`.
- when: `$at` as a string, `$time` as a number, both with seconds added (`$at-20`), `$ms` in milliseconds.
- new each time, the same throughout one event: `$wamid` (of their message), `$sent` (of ours), `$other` and `$theirs`
  (of ours or theirs that it is about), `$wacid`, `$media`, `$url`, `$sha256`, `$token`, `$digits`.
- given by scenarios: `$tag`, and `$category` and `$pricing` with a default.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Shape = Mapping[str, Any]

ENTRY = {"id": "$account"}
MANAGEMENT = {**ENTRY, "time": "$time"}
"""The entry around a management field; the others tell no time."""

WHO = {"from": "$phone", "from_user_id": "$user", "from_parent_user_id": "$parent"}
OURS = {"messaging_product": "whatsapp", "metadata": "$metadata"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """How one type of event is delivered: the change's `value` with `$item` where the item stands."""

    about: str
    field: str
    value: Any
    item: Shape
    entry: Shape | None = None


def within(array: str, *, contacts: str | None = "$contacts") -> dict[str, Any]:
    """Return the value of a change whose items stand in an array, with the contacts beside them."""
    beside = {"contacts": contacts} if contacts else {}
    return {**OURS, **beside, array: ["$item"]}


def noticed(about: str, field: str, item: Shape, entry: Shape = MANAGEMENT) -> Template:
    """Return the template of a field whose whole value is the event."""
    return Template(about=about, field=field, value="$item", item=item, entry=entry)


def variants(name: str, field: str, base: Shape, **variants: tuple[str, Shape]) -> dict[str, Template]:
    """Return the templates of one field: the first under the plain name, the others behind a colon."""
    found = {
        f"{name}:{variant}": noticed(about, field, {**base, **keys}) for variant, (about, keys) in variants.items()
    }
    _, (about, keys) = next(iter(variants.items()))
    return {name: noticed(about, field, {**base, **keys}), **found}


def error(code: int, title: str, details: str) -> dict[str, Any]:
    """Return an element of `errors`."""
    return {"code": code, "title": title, "message": title, "error_data": {"details": details}, "href": _HREF}


_HREF = "https://developers.facebook.com/documentation/business-messaging/whatsapp/support/error-codes/"

ERRORS = {
    code: error(code, title, details)
    for code, title, details in (
        (130429, "Rate limit hit", "More messages were sent from this number than its throughput allows."),
        (130472, "User's number is part of an experiment", "Nothing was sent, since the recipient is part of one."),
        (131000, "Something went wrong", "The message could not be sent for an unknown reason."),
        (131026, "Message undeliverable", "The recipient has no WhatsApp, or too old a version of it."),
        (131031, "Account has been locked", "The account is restricted for breaking the rules."),
        (131042, "Business eligibility payment issue", "There is no valid payment method."),
        (131047, "Re-engagement message", "More than 24 hours have passed since the recipient last wrote."),
        (131048, "Spam rate limit hit", "Too many earlier messages were blocked or reported as spam."),
        (131049, "Not delivered to maintain healthy engagement", "The recipient gets enough marketing already."),
        (131050, "User stopped marketing messages", "The recipient does not want marketing of this business."),
        (131056, "Pair rate limit hit", "Too many messages to this recipient in a short time."),
    )
}
"""Errors by code: those of the platform, and those of messages that fail."""
