"""All connections together: how many there may be, and how much they may keep in memory.

When there is no room, somebody gives way: first of those that have not sent a signed delivery yet, then of the rest,
in each case whoever has not for the longest time.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Callable, Container, Iterator
from http import HTTPStatus
from typing import TYPE_CHECKING

from .protocol import Refusal

if TYPE_CHECKING:
    from .connection import Connection

_MOST_HELD = 128 * 2**20
"""Bytes of bodies in memory, on their way in or waiting to be recorded."""
_SWEEP = 0.25
"""Seconds between looks at the deadlines."""


class Crowd:
    """Connections: strangers, and those that have sent a signed delivery, each with the longest silent first."""

    def __init__(self, *, most: int, most_per_address: int, dropped: Callable[[Connection], None]) -> None:
        """`dropped` is told who gave way. `unlimited` are addresses of which there may be any number: proxies."""
        self._most = most
        self._most_per_address = most_per_address
        self.unlimited: Container[str] = ()
        self._dropped = dropped
        self._strangers: dict[Connection, None] = {}
        self._known: dict[Connection, None] = {}
        self._per_address: Counter[str] = Counter()
        self._receiving: dict[Connection, None] = {}  # bodies on their way in, the longest first
        self._held = 0
        self.refused: set[Connection] = set()
        """Those that are only read on from until they have noticed."""

    def enter(self, connection: Connection) -> bool:
        """Make room for a connection; return whether there is any."""
        address = connection.peer
        if self._per_address[address] >= self._most_per_address and address not in self.unlimited:
            room = self._drop(address)
        else:
            room = len(self._strangers) + len(self._known) < self._most or self._drop(None)
        if room:
            self._strangers[connection] = None
            self._per_address[address] += 1
        else:
            self._dropped(connection)
        return room

    def _drop(self, address: str | None) -> bool:
        """Let one go that waits for no answer, of one address if one is given."""
        for member in self.members():
            if not member.busy and address in (None, member.peer):
                self._dropped(member)
                self.leave(member)
                member.abort()
                return True
        return False

    def touch(self, connection: Connection) -> None:
        """It has sent a signed delivery: it goes last."""
        if self._known.pop(connection, connection) is None or self._strangers.pop(connection, connection) is None:
            self._known[connection] = None

    def senders(self) -> int:
        """How many have sent a signed delivery."""
        return len(self._known)

    def members(self) -> Iterator[Connection]:
        """All, in the order in which they give way."""
        return itertools.chain(self._strangers, self._known)

    def leave(self, connection: Connection) -> None:
        """It is gone."""
        if self._known.pop(connection, connection) is None or self._strangers.pop(connection, connection) is None:
            self._per_address[connection.peer] -= 1
            if not self._per_address[connection.peer]:
                del self._per_address[connection.peer]
        self.refused.discard(connection)
        if not connection.busy:
            self.hold(connection, 0)

    def hold(self, connection: Connection, size: int, *, receiving: bool = False) -> None:
        """Count `size` bytes as kept for a connection. Where that is too much, the slowest to send gives way.

        Raises:
            Refusal: it is the slowest itself.
        """
        self._held += size - connection.held
        connection.held = size
        if receiving:
            self._receiving.setdefault(connection)
        else:
            self._receiving.pop(connection, None)
        while size and self._held > _MOST_HELD:
            slowest = next(iter(self._receiving), connection)
            refusal = Refusal(
                HTTPStatus.SERVICE_UNAVAILABLE, "Too much is being received; send it again.", cause="overloaded"
            )
            if slowest is connection:
                raise refusal
            slowest.refuse(refusal)

    async def sweep(self) -> None:
        """Let go of whoever is too late, for ever."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(_SWEEP)
            now = loop.time()
            for connection in [member for member in self.members() if member.deadline < now]:
                connection.expire()

    async def disperse(self, patience: float) -> None:
        """End connections as soon as they wait for no answer, within `patience` seconds; then all."""
        give_up = asyncio.get_running_loop().time() + patience
        for member in [member for member in self.members() if not member.engaged]:
            member.end()
        while self._per_address and asyncio.get_running_loop().time() < give_up:  # noqa: ASYNC110 - members go one by one
            await asyncio.sleep(0.01)
        for member in list(self.members()):
            member.abort()
