"""Signed requests as Meta sends them, made for a few microseconds each.

Bodies are those of `synthetic`, cut once into a pattern with holes. Nobody in them exists.
"""

from __future__ import annotations

import json
import re
import time
from collections import deque
from collections.abc import Iterator, Mapping
from itertools import count, cycle, islice
from random import Random, SystemRandom
from typing import NamedTuple

from .. import signature
from ..synthetic import Maker, Person, body_of, invented

PEOPLE = 8000
"""How many leads the traffic is about."""

REPLIES = (1, 4, 7)
"""After which of ten messages somebody answers one: 30 %."""

DELIVERED_AFTER, READ_AFTER = 40, 200
"""How many messages are sent until one is delivered, and until it is read."""

_AT = 4_242_424_242
_HOLE = re.compile(rb"<(phone|user|name|wamid|other|words)>|(%d)" % _AT)
_WHO = Person(phone="<phone>", user_id="<user>", name="<name>")
_IDS = {"sent": "<wamid>", "wamid": "<wamid>", "other": "<other>"}
_WORDS = b"Good morning, I read about your clinic and would like to know when you have time for me next week. "
_TEXT_BODY = 1000
"""Bytes of the body of one of `texts`."""


class _Lead(NamedTuple):
    person: Person
    holes: Mapping[bytes, bytes]


class _Message(NamedTuple):
    lead: _Lead
    wamid: bytes


class Traffic:
    """Requests to one URL, signed under one secret; every message has an id of its own."""

    def __init__(self, host: str, port: int, path: str, secret: str, random: Random | None = None) -> None:
        """Take ids from `random`: runs with the same one send the same."""
        self._maker = Maker(random or SystemRandom())
        self._secret = secret
        at = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self._head = (
            f"POST {path} HTTP/1.1\r\nHost: {at}\r\nAccept: */*\r\nUser-Agent: facebookexternalua\r\n"
            "Content-Type: application/json\r\n"
        ).encode()
        known = (invented(number) for number in range(PEOPLE))
        self._leads = cycle([_lead(person) for person in known if person.phone and person.user_id])
        self._statuses = [self._pattern(f"status.{status}") for status in ("sent", "delivered", "read")]
        self._reply = self._pattern("message.text:reply")
        self._text = self._pattern("message.text", {"text.body": "<words>"})

    def mixed(self) -> Iterator[bytes]:
        """Yield, without end, what comes of sending messages: three statuses of each, and replies to 30 %.

        One event a delivery, which is the most requests that they can be. A status comes after others' statuses, as
        in reality; those of messages sent before the start too.
        """
        sent, delivered, read = self._statuses
        recent = deque(islice(self._messages(), READ_AFTER), maxlen=READ_AFTER + 1)
        for number, message in enumerate(self._messages()):
            recent.append(message)
            yield self._request(sent, message)
            yield self._request(delivered, recent[-1 - DELIVERED_AFTER])
            yield self._request(read, recent[0])
            if number % 10 in REPLIES:
                reply = self._maker.message_id(recent[0].lead.person).encode()
                yield self._request(self._reply, _Message(recent[0].lead, reply), other=recent[0].wamid)

    def texts(self) -> Iterator[bytes]:
        """Yield, without end, text messages of about a kilobyte each."""
        short = len(self._body(self._text, self._received(), words=b""))
        words = (_WORDS * (_TEXT_BODY // len(_WORDS) + 1))[: _TEXT_BODY - short]
        for _ in count():
            yield self._request(self._text, self._received(), words=words)

    def _messages(self) -> Iterator[_Message]:
        for lead in self._leads:
            yield _Message(lead, self._maker.sent_id(lead.person).encode())

    def _received(self) -> _Message:
        lead = next(self._leads)
        return _Message(lead, self._maker.message_id(lead.person).encode())

    def _pattern(self, name: str, changes: Mapping[str, str] | None = None) -> bytes:
        body = body_of(self._maker.make(name, _WHO, _AT, _IDS, changes=changes).payload)
        return _HOLE.sub(lambda hole: b"%%(%b)b" % (hole[1] or b"at"), body.replace(b"%", b"%%"))

    def _body(self, pattern: bytes, message: _Message, **more: bytes) -> bytes:
        lead, wamid = message
        holes = {name.encode(): value for name, value in more.items()}
        return pattern % {**lead.holes, b"wamid": wamid, b"at": b"%d" % time.time(), **holes}

    def _request(self, pattern: bytes, message: _Message, **more: bytes) -> bytes:
        body = self._body(pattern, message, **more)
        signed = signature.sign(body, self._secret).encode()
        return b"%bContent-Length: %d\r\n%b: %b\r\n\r\n%b" % (self._head, len(body), _SIGNED, signed, body)


_SIGNED = signature.HEADER.encode()


def _lead(person: Person) -> _Lead:
    holes = {"phone": person.phone, "user": person.user_id, "name": json.dumps(person.name)[1:-1]}
    return _Lead(person, {name.encode(): (value or "").encode() for name, value in holes.items()})
