"""Fill templates: values for the words in them, ids that are new each time, the envelope around."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

from .catalogue import TEMPLATES, UNREADABLE
from .edits import change
from .people import Person, new_phone
from .templates import ENTRY, Template

_WORD = re.compile(r"\$([a-z_][a-z0-9_]*)([+-]\d+)?")
_OBJECT = "whatsapp_business_account"
_TELLS_WHO = frozenset({"phone", "user", "parent", "phone_alone", "user_alone", "parent_alone"})
_ABSENT = object()
_THEIRS, _OURS = b"\x12", b"\x11"
"""What a message's id says of its direction."""


@dataclass(frozen=True, slots=True)
class Business:
    """Whose webhooks they are: account (WABA) id, phone number id and the number itself."""

    account: str = "310000000000101"
    number_id: str = "410000000000201"
    number: str = "15550100200"


SECOND = Business("310000000000102", "410000000000202", "15550100300")
"""Another business of the fixtures."""


@dataclass(slots=True)
class Made:
    """One event's delivery; `item` is the event's object in it, `names_lead` whether it says whose it is."""

    type: str
    payload: dict[str, Any]
    item: Any
    names_lead: bool

    @property
    def value(self) -> Any:
        """The value of the one change."""
        changes = self.payload["entry"][0].get("changes")
        return changes[0]["value"] if changes else None


def body_of(payload: Any) -> bytes:
    """Return the bytes of a payload as Meta writes them: compact, ASCII, with escaped slashes."""
    return json.dumps(payload, separators=(",", ":")).replace("/", "\\/").encode()


class Maker:
    """Makes deliveries of one business out of a source of randomness."""

    def __init__(self, random: Random, business: Business = Business()) -> None:
        """Take random bits from `random`."""
        self.random = random
        self.business = business

    def make(
        self,
        name: str,
        who: Person,
        at: int,
        words: Mapping[str, str] | None = None,
        *,
        changes: Mapping[str, Any] | None = None,
        business: Business | None = None,
    ) -> Made:
        """Return a delivery of the template `name` about `who` at the Unix time `at`.

        `words` give some of the template's words a value (`wamid`, `tag`), and `changes` some of the item's paths.

        Raises:
            KeyError: there is no such template.
        """
        business = business or self.business
        fill = _Filling(self, who, at, business, words or {})
        if name == UNREADABLE:
            entry = {"id": business.account, "time": at, "changed_fields": ["messages"]}
            return Made(name, _envelope(entry), entry, names_lead=False)
        template: Template = TEMPLATES[name]
        item = fill(template.item)
        for path, value in (changes or {}).items():
            change(item, path, value)
        fill.words["item"] = item
        entry = {
            **fill(template.entry or ENTRY),
            "changes": [{"value": fill(template.value), "field": template.field}],
        }
        return Made(name, _envelope(entry), item, fill.names_lead)

    def message_id(self, who: Person, direction: bytes = _THEIRS) -> str:
        """Return a new id of a message."""
        ident = who.id.encode()[:255]
        inside = b"\x1c\x18" + bytes([len(ident)]) + ident + b"\x15\x02\x00" + direction + b"\x18\x14"
        return f"wamid.{_base64(inside + self.token(20).upper().encode() + bytes(1))}"

    def sent_id(self, who: Person) -> str:
        """Return a new id of a message that the business sends."""
        return self.message_id(who, _OURS)

    def call_id(self, who: Person) -> str:
        """Return a new id of a call."""
        return "wacid" + self.message_id(who).removeprefix("wamid")

    def token(self, length: int) -> str:
        """Return that many random hexadecimal digits."""
        return f"{self.random.getrandbits(4 * length):0{length}x}"


class _Filling:
    """Fills the templates of one event."""

    def __init__(self, maker: Maker, who: Person, at: int, business: Business, words: Mapping[str, str]) -> None:
        self.at = at
        self.names_lead = False
        self.words: dict[str, Any] = {
            "phone": who.phone,
            "user": who.user_id,
            "parent": who.parent_user_id,
            "username": who.username,
            "name": who.name,
            "first_name": who.name.partition(" ")[0],
            "phone_alone": None if who.user_id else who.phone,
            "user_alone": None if who.phone else who.user_id,
            "parent_alone": None if who.phone else who.parent_user_id,
            "account": business.account,
            "number_id": business.number_id,
            "number": business.number,
            "metadata": {"display_phone_number": business.number, "phone_number_id": business.number_id},
            "group": _base64(f"capi_group:{business.number}:120363000000000077".encode()),
            "ms": at * 1000,
            "category": "utility",
            "pricing": "regular",
            "tag": None,
            **words,
        }
        self.new: dict[str, Callable[[], Any]] = {
            "contacts": lambda: [self._contact(who)],
            "contacts_unnamed": lambda: [self._contact(who, username=False)],
            "contacts_bare": lambda: [self({"wa_id": "$phone"})] if who.phone else None,
            "new_phone": lambda: new_phone(maker.random.getrandbits(16)),
            "new_user": lambda: f"{who.country}.{maker.token(12)}",
            "wamid": lambda: maker.message_id(who),
            "theirs": lambda: maker.message_id(who),
            "sent": lambda: maker.sent_id(who),
            "other": lambda: maker.sent_id(who),
            "wacid": lambda: maker.call_id(who),
            "media": lambda: str(10**15 + maker.random.randrange(9 * 10**15)),
            "digits": lambda: str(10**9 + maker.random.randrange(9 * 10**9)),
            "sha256": lambda: _base64(maker.random.getrandbits(256).to_bytes(32)),
            "token": lambda: maker.token(32),
            "url": lambda: self(
                "https://lookaside.fbsbx.com/whatsapp_business/attachments/?mid=$media&source=webhook"
                "&ext=$at+300&hash=AR$token"
            ),
        }

    def __call__(self, shape: Any) -> Any:
        """Return `shape` filled: JSON of its own, nothing of it shared."""
        found = self._filled(shape)
        return None if found is _ABSENT else found

    def _filled(self, shape: Any) -> Any:
        if isinstance(shape, str):
            if word := _WORD.fullmatch(shape):
                return self._value(word)
            return _WORD.sub(self._text, shape)
        if isinstance(shape, Mapping):
            pairs = ((key, self._filled(inner)) for key, inner in shape.items())
            return {key: inner for key, inner in pairs if inner is not _ABSENT}
        if isinstance(shape, list):
            return [filled for inner in shape if (filled := self._filled(inner)) is not _ABSENT]
        return shape

    def _value(self, word: re.Match[str]) -> Any:
        name, shift = word.groups()
        if name in ("at", "time"):
            seconds = self.at + int(shift or 0)
            return str(seconds) if name == "at" else seconds
        if name not in self.words:
            self.words[name] = self.new[name]()
        value = self.words[name]
        if name in _TELLS_WHO and value is not None:
            self.names_lead = True
        return _ABSENT if value is None else value

    def _text(self, word: re.Match[str]) -> str:
        value = self._value(word)
        return "" if value is _ABSENT else str(value)

    def _contact(self, who: Person, *, username: bool = True) -> Any:
        profile = {"name": who.name, **({"username": "$username"} if username else {})}
        return self({"profile": profile, "wa_id": "$phone", "user_id": "$user", "parent_user_id": "$parent"})


def _envelope(entry: dict[str, Any]) -> dict[str, Any]:
    return {"object": _OBJECT, "entry": [entry]}


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
