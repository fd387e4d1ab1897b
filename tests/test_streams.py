"""Streams of bytes into a connection in memory: whatever they are and wherever they are cut.

A few thousand each time; WA_HOOKS_TEST_STREAMS=50000 for as many as one likes, WA_HOOKS_TEST_SEED for others.
"""

import asyncio
import hashlib
import hmac
import logging
import os
from itertools import pairwise
from random import Random

import pytest
from corpus import get
from hypothesis import given
from hypothesis import strategies as st
from serving import SECRET
from spoiling import SCRAPS, cut, good, made
from streams import SETTINGS, Watched, Wire, feed, give, read_answers, read_by_h11, read_by_us

from wa_webhooks.receiver.recorder import Recorder
from wa_webhooks.stores import open_store

STREAMS = int(os.environ.get("WA_HOOKS_TEST_STREAMS", "3000"))
SEED = int(os.environ.get("WA_HOOKS_TEST_SEED", "20261124"))
TOGETHER = 50
"""Streams at a time: they share commits."""
REFUSALS = {400, 404, 405, 408, 411, 413, 414, 431, 501, 505}


class Failures(logging.Handler):
    """Formats all that is logged, and keeps what should never be."""

    def __init__(self):
        super().__init__()
        self.found = []

    def emit(self, record):
        told = self.format(record)
        if record.levelno >= logging.ERROR or record.exc_info:
            self.found.append(told)


@pytest.fixture
def failures():
    handler = Failures()
    logger = logging.getLogger("wa_webhooks")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    asyncio_logger = logging.getLogger("asyncio")
    asyncio_logger.addHandler(handler)
    yield handler.found
    asyncio_logger.removeHandler(handler)
    logger.removeHandler(handler)
    logger.setLevel(level)
    logger.propagate = True


@pytest.fixture
def store():
    opened = open_store("sqlite::memory:")
    yield opened
    opened.close()


def signed_rightly(delivery):
    expected = hmac.new(SECRET.encode(), delivery.body, hashlib.sha256).hexdigest()
    return delivery.headers["x-hub-signature-256"] == f"sha256={expected}"


class Fed:
    """What came of one stream: the answers, and how many deliveries were recorded meanwhile."""

    def __init__(self, connection, wire):
        self.methods = vars(connection).get("methods", [])
        self.requests = vars(connection).get("requests", [])
        self.answers = read_answers(bytes(wire.written), self.methods)
        self.outcome = [(answer.status, answer.text, answer.headers["connection"]) for answer in self.answers]

    def check(self):
        """There is no answer too many, and none after the last."""
        refused = [answer for answer in self.answers if answer.status in REFUSALS]
        assert len(self.answers) <= len(self.methods) + 1
        assert len(self.answers) <= len(self.requests) + 1
        assert all(answer.headers["connection"] == "close" for answer in refused)
        assert all(answer.headers["connection"] == "keep-alive" for answer in self.answers[:-1])
        ids = [answer.headers["x-request-id"] for answer in self.answers]
        assert len(set(ids)) == len(ids)


async def play(store, streams, random):
    """Feed each stream whole and in pieces; return how often each status was answered."""
    recorded = []

    def append(deliveries):
        recorded.extend(deliveries)
        return store.append(deliveries)

    recorder = Recorder(append, lambda: None)
    receiver = Watched(SETTINGS, recorder, store)
    statuses = {}

    async def both(stream, number):
        whole = Fed(*await feed(receiver, [stream]))
        pieces = cut(stream, random)
        in_pieces = Fed(*await feed(receiver, pieces, random=Random(number), full=0.1))
        assert whole.outcome == in_pieces.outcome, (stream, pieces)
        for fed in (whole, in_pieces):
            fed.check()
            for answer in fed.answers:
                statuses[answer.status] = statuses.get(answer.status, 0) + 1
        assert whole.requests == in_pieces.requests == read_by_h11(stream)[0][: len(whole.requests)], stream
        return sum(
            method == "POST" and answer.status == 200
            for fed in (whole, in_pieces)
            for method, answer in zip(fed.methods, fed.answers, strict=False)
        )

    acknowledged = 0
    streams = list(streams)
    try:
        for start in range(0, len(streams), TOGETHER):
            together = [both(stream, start + place) for place, stream in enumerate(streams[start : start + TOGETHER])]
            acknowledged += sum(await asyncio.gather(*together))
    finally:
        await receiver.drain()
        await recorder.close()
    assert len(recorded) == acknowledged
    assert all(signed_rightly(delivery) for delivery in recorded)
    return statuses


def test_no_stream_does_any_harm_wherever_it_is_cut(store, failures):
    statuses = asyncio.run(play(store, made(STREAMS, SEED), Random(SEED)))
    assert failures == []
    assert {200, 400, 401, 404, 405, 411, 413, 414, 431, 501, 505} <= set(statuses)
    assert statuses[200] > STREAMS / 2, "too few are good"
    assert statuses[400] > STREAMS / 4, "too few are bad"


# -- what one connection may cost the others


def with_connection(store, play):
    """Run `play(connection, wire)` with a connection of a receiver over `store`."""

    async def main():
        recorder = Recorder(store.append, lambda: None)
        receiver = Watched(SETTINGS, recorder, store)
        connection = receiver.connection()
        wire = Wire(connection)
        connection.connection_made(wire)
        try:
            await play(connection, wire)
        finally:
            wire.close()
            await receiver.drain()
            await recorder.close()

    asyncio.run(main())


def test_requests_in_a_row_leave_others_their_turn(store, failures):
    async def play(connection, wire):
        give(connection, get() * 100)
        turns = []
        while (answered := len(read_answers(bytes(wire.written), []))) < 100:
            turns.append(answered)
            await asyncio.sleep(0)
        assert max(after - before for before, after in pairwise([0, *turns, 100])) <= 8

    with_connection(store, play)
    assert failures == []


@pytest.mark.parametrize("target", ["/healthz", "/readyz"])
def test_what_is_sent_ahead_stays_with_the_client(store, failures, target):
    """Pipelined requests are taken as fast as they are answered, not faster."""
    request = get(target=target)
    ahead = request * (60_000 // len(request))

    async def play(connection, wire):
        most = sent = 0
        while sent < 8 or connection._buffer:
            if not wire.reading_paused and sent < 8:
                give(connection, ahead)
                sent += 1
            most = max(most, len(connection._buffer))
            await asyncio.sleep(0)
        await wire.until(lambda: not connection.busy)
        assert wire.written.count(b"HTTP/1.1 200") == 8 * (60_000 // len(request))
        assert most < 2**18

    with_connection(store, play)
    assert failures == []


@pytest.mark.parametrize("how", ["paused", "gone"])
def test_nothing_is_written_to_a_client_that_does_not_read_or_is_gone(store, failures, how):
    async def play(connection, wire):
        if how == "paused":
            connection.pause_writing()
        else:
            wire.close()
        give(connection, get() * 20)
        for _ in range(20):
            await asyncio.sleep(0)
        assert wire.written == b""
        if how == "paused":
            connection.resume_writing()
            await wire.until(lambda: wire.written.count(b"HTTP/1.1 200") == 20)

    with_connection(store, play)
    assert failures == []


# -- against h11


def test_whatever_we_read_in_a_stream_h11_reads_as_well():
    streams = list(made(STREAMS, SEED + 1))
    number = 0
    for stream, ours in zip(streams, read_by_us(*streams), strict=True):
        theirs, _ = read_by_h11(stream)
        assert ours == theirs[: len(ours)], stream
        number += len(ours)
    assert number > STREAMS / 2


def test_what_is_as_it_should_be_is_read_by_both():
    random = Random(SEED)
    streams = [b"".join(good(random, stays=True) for _ in range(4)) for _ in range(200)]
    for stream, ours in zip(streams, read_by_us(*streams), strict=True):
        assert (ours, True) == read_by_h11(stream)
        assert len(ours) == 4


HEADER_LINES = st.sampled_from([scrap for scrap in SCRAPS if scrap.endswith(b"\r\n")]) | st.tuples(
    st.sampled_from(
        [b"Content-Length", b"Transfer-Encoding", b"Connection", b"Host", b"Expect", b"X", b"content-length"]
    ),
    st.sampled_from([b":", b": ", b" :", b":\t", b"\t: "]),
    st.sampled_from([b"5", b"0", b"chunked", b"identity", b"close", b"keep-alive", b"100-continue", b"h"])
    | st.binary(max_size=4),
    st.sampled_from([b"\r\n", b"\r\n", b"\r\n", b"\n", b"\r", b" \r\n", b"\r\n "]),
).map(b"".join)
REQUESTS = st.tuples(
    st.sampled_from([b"POST", b"GET", b"HEAD", b"PUT", b"CONNECT"]),
    st.sampled_from([b" /webhook", b" /?a=%00", b" *", b" http://h/", b" h:1"]),
    st.sampled_from([b" HTTP/1.1\r\n", b" HTTP/1.1\r\n", b" HTTP/1.0\r\n", b" HTTP/1.1\n", b"\r\n"]),
    st.sampled_from([b"Host: h\r\n", b"Host: h\r\n", b""]),
    st.lists(HEADER_LINES, max_size=4).map(b"".join),
    st.sampled_from([b"\r\n", b"\r\n", b"\n", b""]),
    st.sampled_from(
        [b"", b"hello", b"5\r\nhello\r\n0\r\n\r\n", b"0\r\n\r\n", b"5\nhello\n0\n\n", b"5;a\r\nhello\r\n0\r\n"]
    )
    | st.binary(max_size=12),
).map(b"".join)


@given(st.lists(REQUESTS, min_size=1, max_size=4).map(b"".join))
def test_whatever_we_read_in_a_made_up_stream_h11_reads_as_well(stream):
    (ours,) = read_by_us(stream)
    theirs, _ = read_by_h11(stream)
    assert ours == theirs[: len(ours)]
