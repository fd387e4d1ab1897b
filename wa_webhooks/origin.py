"""Which accounts and numbers events may come from.

Checked behind the 200: a signed delivery for a foreign account is recorded and its events are refused with a reason,
since a refusal at the door would make Meta repeat it for seven days.
"""

from __future__ import annotations

from dataclasses import dataclass

from .events import WHATSAPP_OBJECT, Event


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Allow-lists of WhatsApp Business Account ids and phone number ids; an empty one allows all."""

    accounts: frozenset[str] = frozenset()
    phone_numbers: frozenset[str] = frozenset()

    def refusal(self, event: Event) -> str | None:
        """Return why the event is refused, or None."""
        if event.foreign_object is not None:
            return f"the delivery's object is not {WHATSAPP_OBJECT}"
        if self.accounts and event.account_id is not None and event.account_id not in self.accounts:
            return f"account {event.account_id} is not on the allow-list"
        number = event.phone_number_id
        if self.phone_numbers and number is not None and number not in self.phone_numbers:
            return f"phone number id {number} is not on the allow-list"
        return None
