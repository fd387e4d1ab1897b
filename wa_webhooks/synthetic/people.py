"""Who synthetic events are about: the people of the fixtures, any number of others, or whom the user names."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """A customer, by the ids that Meta tells: a username user has no `phone`, and before 2026 nobody a `user_id`."""

    phone: str | None = None
    user_id: str | None = None
    parent_user_id: str | None = None
    username: str | None = None
    name: str

    @property
    def id(self) -> str:
        """The id that a message of theirs carries inside its own."""
        return self.phone or (self.user_id or self.parent_user_id or "").rpartition(".")[2]

    @property
    def country(self) -> str:
        """The country that their user ids begin with."""
        return (self.user_id or self.parent_user_id or "FR").partition(".")[0]


CAST = (
    Person(name="Ana Beatriz Sampaio", phone="5511900000012", user_id="BR.4f0c81e2aa91"),
    Person(name="Owen Hartwell", phone="447700900123", user_id="GB.a4471fb9c6e0"),
    Person(name="Mehmet Yıldırım", phone="900000000044", user_id="TR.e91b7c40d2f5"),  # noqa: RUF001 - his name
    Person(name="Camille Lefèvre", phone="33639980017", user_id="FR.7b19d05c33e8"),
    Person(name="Lucía Ferrándiz", username="lucia.ferrandiz", user_id="ES.03dd9a5ef817"),
    Person(name="Rahul Deshpande", phone="910000000023", user_id="IN.c2a6680f41d7"),
    Person(name="Chidinma Okafor", phone="2340000000031", user_id="NG.58e3f27ab06c"),
)
"""The people of the fixtures. Their numbers are reserved for fiction, or of no valid length or prefix."""

_FIRST = "Adèle Basile Célia Didier Élise Fabien Gaëlle Hugo Inès Jules Katia Loïc Manon Nils Odile Paul".split()  # noqa: SIM905 - a list of names
_LAST = "Aubrac Bellanger Cordier Delmas Esnault Faucon Garnault Hurel Imbert Jolivet Kerbrat Lorrain".split()  # noqa: SIM905 - likewise

FICTION = "3363998"
"""French mobile numbers that are reserved for films: this and four digits."""
_FIRST_OTHER, _FIRST_NEW = 1000, 9000
"""Where the numbers of the invented begin, and where those begin to which somebody changes."""
_OTHERS = _FIRST_NEW - _FIRST_OTHER

_BSUID = re.compile(r"[A-Z]{2}\.[A-Za-z0-9]{1,128}")
_PARENT = re.compile(r"[A-Z]{2}\.ENT\.[A-Za-z0-9]{1,128}")
_USERNAME = re.compile(r"@[A-Za-z0-9._]{1,64}")
_PHONE = re.compile(r"\d{7,15}")


def invented(number: int) -> Person:
    """Return the invented person of that number: first those of the fixtures, then others, always the same."""
    if number < len(CAST):
        return CAST[number]
    other = (number - len(CAST)) % _OTHERS
    name = f"{_FIRST[other % len(_FIRST)]} {_LAST[other // len(_FIRST) % len(_LAST)]}"
    phone = f"{FICTION}{_FIRST_OTHER + other}"
    return Person(name=name, phone=phone, user_id=f"FR.{_digest(phone)}")


def new_phone(number: int) -> str:
    """Return a number that nobody of the invented has, for somebody who changes theirs."""
    return f"{FICTION}{_FIRST_NEW + number % (10_000 - _FIRST_NEW)}"


def read_lead(text: str, name: str | None = None) -> Person:
    """Return the person that `text` names: phone number, BSUID, parent BSUID, @username, several with commas.

    Whoever has one of these ids in the fixtures gets that name, unless one is given.

    Raises:
        ConfigError: a part of it is none of these.
    """
    found: dict[str, str] = {}
    for part in (part.strip() for part in text.split(",")):
        kind, value = _kind_of(part)
        if kind in found:
            raise ConfigError(f"the lead {text!r} has two of a kind: {found[kind]} and {value}")
        found[kind] = value
    if found.keys() == {"username"}:  # Meta tells a username beside a user id only
        found["user_id"] = f"US.{_digest(found['username'])}"
    known = next((person for person in CAST if _shares_id(person, found.values())), None)
    return Person(**found, name=name or (known.name if known else _name_for(found.values())))


def _kind_of(part: str) -> tuple[str, str]:
    phone = re.sub(r"[\s()-]", "", part).removeprefix("+")
    for kind, pattern, value in (
        ("phone", _PHONE, phone),
        ("user_id", _BSUID, part),
        ("parent_user_id", _PARENT, part),
        ("username", _USERNAME, part),
    ):
        if pattern.fullmatch(value):
            return kind, value.removeprefix("@")
    raise ConfigError(
        f"{part!r} names no lead",
        hint="Give a phone number (5215550001), a business-scoped user id (MX.13491208655), @username, or several "
        "of them with commas between.",
    )


def _shares_id(person: Person, ids: object) -> bool:
    return any(value in (person.phone, person.user_id, person.username) for value in _texts(ids))


def _name_for(ids: object) -> str:
    number = int(_digest("".join(_texts(ids))), 16)
    return f"{_FIRST[number % len(_FIRST)]} {_LAST[number // len(_FIRST) % len(_LAST)]}"


def _texts(ids: object) -> Sequence[str]:
    return list(ids)  # type: ignore[call-overload, no-any-return]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]
