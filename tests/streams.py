"""Byte streams without sockets: a transport that collects, and what we and h11 read in a stream."""

import asyncio
import contextlib
from typing import NamedTuple

import h11
from serving import SECRET, TOKEN

from wa_webhooks.http.protocol import Answer
from wa_webhooks.receiver.recorder import Recorder
from wa_webhooks.receiver.server import Receiver, Settings
from wa_webhooks.stores import open_store

_MOST_AFTER_REFUSAL = 3
"""Pieces: what comes after a refusal is read slowly."""
SETTINGS = Settings(app_secrets=(SECRET,), verify_token=TOKEN)


class Wire(asyncio.Transport):
    """What a connection writes to. Now and then it is full for a moment, if `full` is given: a chance."""

    def __init__(self, protocol, random=None, full=0.0):
        super().__init__({"peername": ("127.0.0.1", 1)})
        self.written = bytearray()
        self.half_closed = self.closed = self.reading_paused = False
        self._protocol = protocol
        self._random = random
        self._full = full
        self._is_full = False
        self._loop = asyncio.get_running_loop()
        self._stirred = asyncio.Event()

    async def until(self, condition):
        """Wait for something that the connection does."""
        while not condition():
            self._stirred.clear()
            await self._stirred.wait()

    def write(self, data):
        assert not self.half_closed
        assert not self.closed
        assert not self._is_full
        self.written += data
        self._stirred.set()
        if self._random and self._random.random() < self._full:
            self._is_full = True
            self._protocol.pause_writing()
            self._loop.call_soon(self._empty)

    def _empty(self):
        self._is_full = False
        self._protocol.resume_writing()

    def can_write_eof(self):
        return True

    def write_eof(self):
        self.half_closed = True

    def is_closing(self):
        return self.closed

    def close(self):
        if not self.closed:
            self.closed = True
            self._stirred.set()
            self._loop.call_soon(self._protocol.connection_lost, None)

    abort = close

    def pause_reading(self):
        self.reading_paused = True

    def resume_reading(self):
        self.reading_paused = False
        self._stirred.set()


def read_as(head, body):
    return head.method, head.path, head.query_string, body


class Watched(Receiver):
    """A receiver that keeps, by connection, the methods of the heads and the requests that it reads."""

    def admit(self, head, connection):
        vars(connection).setdefault("methods", []).append(head.method)
        super().admit(head, connection)

    def answer(self, head, body, connection):
        vars(connection).setdefault("requests", []).append(read_as(head, body))
        return super().answer(head, body, connection)


class Open(Receiver):
    """Accepts whatever can be read as a request."""

    def admit(self, head, connection):
        pass

    def answer(self, head, body, connection):
        vars(connection).setdefault("requests", []).append(read_as(head, body))
        return Answer()


def give(connection, data):
    """Have a connection take what came in, as its transport does."""
    while data:
        room = connection.get_buffer(-1)
        taken = min(len(room), len(data))
        room[:taken] = data[:taken]
        connection.buffer_updated(taken)
        data = data[taken:]


async def feed(receiver, pieces, *, random=None, full=0.0):
    """Play a client that sends `pieces` and then its end; return the connection and its wire when that is over.

    With a `random`, it waits between the pieces or not, as it falls.
    """
    connection = receiver.connection()
    wire = Wire(connection, random, full)
    connection.connection_made(wire)
    after_refusal = 0
    for piece in pieces:
        await wire.until(lambda: wire.closed or not wire.reading_paused)
        if wire.closed or after_refusal > _MOST_AFTER_REFUSAL:
            break
        after_refusal += wire.half_closed
        give(connection, piece)
        if random and random.random() < 0.3:
            await asyncio.sleep(0)
    if not wire.closed and not connection.eof_received():
        wire.close()
    await wire.until(lambda: wire.closed)
    await asyncio.sleep(0)
    return connection, wire


# -- what is read


def read_by_us(*streams):
    """The requests that we read in each stream."""

    async def main(store):
        recorder = Recorder(store.append, lambda: None)
        receiver = Open(SETTINGS, recorder, store)
        try:
            read = [(await feed(receiver, [stream]))[0] for stream in streams]
        finally:
            await receiver.drain()
            await recorder.close()
        return [vars(connection).get("requests", []) for connection in read]

    with contextlib.closing(open_store("sqlite::memory:")) as store:
        return asyncio.run(main(store))


def read_by_h11(stream):
    """The requests that h11 reads, as a server, and whether it accepted all of the stream."""
    requests = []
    connection = _h11_server(stream)
    while True:
        try:
            event = connection.next_event()
        except h11.RemoteProtocolError:
            return requests, False
        if isinstance(event, h11.Request):
            request, body = event, b""
        elif isinstance(event, h11.Data):
            body += bytes(event.data)
        elif isinstance(event, h11.EndOfMessage):
            path, _, query = request.target.decode().partition("?")
            requests.append((request.method.decode(), path, query, body))
            connection.send(h11.Response(status_code=400, headers=[("Content-Length", "0")]))
            connection.send(h11.EndOfMessage())
            if connection.our_state is h11.DONE:
                connection.start_next_cycle()
            elif _stays(request):
                connection = _h11_server(connection.trailing_data[0])
            else:
                return requests, True
        else:  # it needs more
            return requests, True


def _h11_server(stream):
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=10**8)
    connection.receive_data(stream)
    return connection


def _stays(request):
    """An HTTP/1.0 connection may be kept; h11 never does."""
    options = b",".join(value for name, value in request.headers if name == b"connection").lower()
    return request.http_version == b"1.0" and b"keep-alive" in options and b"close" not in options


class Read(NamedTuple):
    status: int
    headers: dict
    text: str


def read_answers(raw, methods):
    """The answers in `raw` as h11 reads them, as the client that asked with `methods`; 100 is none."""
    answers = []
    while raw and raw != b"HTTP/1.1 100 Continue\r\n\r\n":  # told to go on, the client left
        connection = h11.Connection(h11.CLIENT)
        method = methods[len(answers)] if len(answers) < len(methods) else "GET"
        connection.send(h11.Request(method=method, target="/", headers=[("Host", "h")]))
        connection.send(h11.EndOfMessage())
        connection.receive_data(raw)
        text = b""
        while not isinstance(event := connection.next_event(), h11.EndOfMessage):
            assert event is not h11.NEED_DATA, f"an answer is cut off: {raw!r}"
            if isinstance(event, h11.Response):
                status, headers = event.status_code, {name.decode(): value.decode() for name, value in event.headers}
            elif isinstance(event, h11.Data):
                text += bytes(event.data)
            else:
                assert event.status_code == 100
        answers.append(Read(status, headers, text.decode()))
        raw = connection.trailing_data[0]
    return answers
