"""Heads that are known: a client sends the same one again and again, but for one value."""

from __future__ import annotations

from collections.abc import Mapping

from .protocol import Head, parse_head

_MOST = 256
_LONGEST = 2048
"""How many heads are known at a time, and how long they may be, in bytes."""
_LONGEST_REQUEST = 16 * 2**10


class Heads:
    """Parses heads; of those that differ in nothing but the digits of one header, the first one alone.

    So what is known is what `parse_head` says, whatever a stranger sends: letters and digits may stand in any value.
    """

    def __init__(self, wanted: Mapping[str, str], *, varying: str, mark: str, digits: int) -> None:
        """`wanted` is for `parse_head`. The value of the header `varying` is `mark` and as many `digits` as here."""
        self._wanted = wanted
        self._varying, self._mark, self._digits = varying, mark, digits
        self._bytes = mark.encode()
        self._known: dict[bytes, Head] = {}

    def parse(self, raw: bytes) -> Head:
        """Return the request whose head is `raw`; raises as `parse_head` does."""
        head = self._again(raw, len(raw))
        if head is None:
            head = parse_head(raw, self._wanted)
            self._learn(raw, head)
        return head

    def whole(self, data: bytes) -> tuple[Head, bytes] | None:
        """Return the request that `data` is, if it is exactly one, of a known head and a small body."""
        end = data.find(b"\r\n\r\n") + 4
        if len(data) > _LONGEST_REQUEST:
            return None
        head = self._again(data, end)
        if head is None or head.length != len(data) - end:
            return None
        return head, data[end:]

    def _again(self, data: bytes, end: int) -> Head | None:
        """The head that `data` begins with, and that ends at `end`, if such a one is known."""
        start = data.find(self._bytes, 0, end) + len(self._bytes)
        behind = start + self._digits
        known = self._known.get(data[:start] + data[behind:end])
        digits = data[start:behind]
        if known is None or not digits.isalnum():
            return None
        return Head(
            known.method,
            known.path,
            known.query_string,
            {**known.headers, self._varying: self._mark + digits.decode()},
            known.length,
            known.keep_alive,
            known.expects_continue,
        )

    def _learn(self, raw: bytes, head: Head) -> None:
        start = raw.find(self._bytes) + len(self._bytes)
        behind = start + self._digits
        digits = raw[start:behind]
        # The mark stands once, as the beginning of that header's value, and in nothing else that would vary.
        once = raw.count(self._bytes) == 1 and head.headers.get(self._varying) == self._mark + digits.decode(
            "latin-1"
        )
        if once and len(digits) == self._digits and digits.isalnum() and len(raw) <= _LONGEST:
            if len(self._known) >= _MOST:
                self._known.clear()
            self._known[raw[:start] + raw[behind:]] = Head(
                head.method,
                head.path,
                head.query_string,
                dict(head.headers),
                head.length,
                head.keep_alive,
                head.expects_continue,
            )
