"""The receiver over real sockets: what it answers, what it records, and what no client can make it do."""

import asyncio
import contextlib
import http.client
import json
import logging
import socket
import threading
import time
from datetime import UTC, datetime

import pytest
from blackbox import (
    AGAIN,
    BODY,
    CASES,
    FORBIDDEN,
    HANDSHAKES,
    LARGE,
    NOTHING,
    PRIVATE,
    REFUSED,
)
from serving import (
    SECRET,
    TOKEN,
    Client,
    ask,
    delivery,
    locked,
    receiving,
    recorded,
    request,
    signature_of,
    signed,
    until,
)

from wa_webhooks.errors import StoreError, StoreRejectedError, StoreUnavailableError
from wa_webhooks.http import crowd
from wa_webhooks.receiver import recorder
from wa_webhooks.receiver.recorder import Recorder
from wa_webhooks.receiver.server import DEFAULT_LARGEST_BODY
from wa_webhooks.signature import key_label
from wa_webhooks.stores import open_store
from wa_webhooks.stores.base import Delivery


@pytest.fixture
def path(tmp_path):
    return tmp_path / "log.db"


@pytest.fixture
def store(path):
    opened = open_store(f"sqlite:{path}", busy_timeout=0.05)
    yield opened
    opened.close()


@pytest.fixture
def receiver(store, caplog):
    caplog.set_level(logging.INFO)
    with receiving(store) as made:
        yield made


class Slow:
    """A store whose writes wait until `go` is set; `calls` tells their order."""

    def __init__(self, store):
        self._store = store
        self.go = threading.Event()
        self.calls = []

    def append(self, deliveries, *, wait=True):
        if not wait:
            raise StoreUnavailableError
        self.calls.append("append")
        assert self.go.wait(20)
        return self._store.append(deliveries)

    def check_writable(self):
        self.calls.append("check")
        assert self.go.wait(20)
        self._store.check_writable()


@pytest.fixture
def slow(store):
    made = Slow(store)
    yield made
    made.go.set()


def logged(caplog):
    """All that the log tells, fields included."""
    return "\n".join(json.dumps(vars(record), default=repr) + (record.exc_text or "") for record in caplog.records)


def failures(caplog):
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]


def assert_nothing_leaks(text, body=BODY):
    for secret in (SECRET, TOKEN, PRIVATE, signature_of(body), signature_of(body).removeprefix("sha256=")):
        assert secret not in text


@pytest.mark.parametrize("case", CASES.values(), ids=list(CASES))
def test_the_endpoint(receiver, path, caplog, case):
    method, target, headers, body, status, text, rows = case
    with Client(receiver.port) as client:
        answer = client.ask(request(method, target, headers, body), method)
        assert (answer.status, answer.text) == (status, text)
        assert answer.headers.get("allow") in (("GET, POST", "GET, HEAD") if status == 405 else (None,))
        assert recorded(path) == [body] * rows
        assert_nothing_leaks(client.raw.decode() + logged(caplog), body)
    assert failures(caplog) == []
    assert ask(receiver.port, "GET", "/healthz").status == 200


@pytest.mark.parametrize(("query", "status", "text"), HANDSHAKES)
def test_the_handshake(receiver, path, caplog, query, status, text):
    answer = ask(receiver.port, "GET", f"/webhook?{query}")
    assert (answer.status, answer.text) == (status, text)
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "set-cookie" not in answer.headers
    assert_nothing_leaks(logged(caplog))
    assert recorded(path) == []


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        (None, "no verify token is configured"),
        ("", "no verify token is configured"),
        # What os.environ makes of bytes that are not UTF-8: nothing that a query holds is equal to it.
        ("\udcff", "The verification request does not carry the configured verify token."),
    ],
)
def test_a_token_that_nothing_matches_refuses_every_handshake(store, caplog, token, reason):
    with receiving(store, verify_token=token) as receiver:
        for given in ("", "None", "%ff", "%5Cudcff"):
            answer = ask(
                receiver.port, "GET", f"/webhook?hub.mode=subscribe&hub.verify_token={given}&hub.challenge=1"
            )
            assert answer, "the connection was dropped"
            assert (answer.status, answer.text) == (403, FORBIDDEN)
    assert {record.reason for record in caplog.records} == {reason}


def test_what_is_kept_of_a_delivery(receiver, store, path):
    headers = signed(
        BODY, **{"User-Agent": "caf\xe9", "Content-Type": "application/json", "Cookie": "no", "Accept": "*"}
    )
    before = datetime.now(UTC)
    answer = ask(receiver.port, headers=headers, body=BODY)
    kept = store.get("delivery", 1)
    assert kept["body"] == BODY
    assert kept["headers"] == {
        "x-hub-signature-256": signature_of(BODY),
        "user-agent": "caf\xe9",
        "content-type": "application/json",
        "x-request-id": answer.headers["x-request-id"],
    }
    assert (kept["source"], kept["source_ip"], kept["signature_key"]) == ("serve", "127.0.0.1", key_label(SECRET))
    assert before <= datetime.fromisoformat(kept["received_at"]) <= datetime.now(UTC)


def test_which_secret_signed_is_kept_and_none_of_them_is_logged(store, caplog):
    caplog.set_level(logging.INFO)
    with receiving(store, app_secrets=("a-newer-secret", SECRET)) as receiver:
        assert ask(receiver.port, headers=signed(BODY), body=BODY).status == 200
        assert ask(receiver.port, headers={}, body=BODY).status == 401
    assert store.get("delivery", 1)["signature_key"] == key_label(SECRET)
    assert "a-newer-secret" not in logged(caplog)
    assert_nothing_leaks(logged(caplog))


def test_another_path(store):
    with receiving(store, path="/hooks/wa") as receiver:
        assert ask(receiver.port, target="/hooks/wa", headers=signed(BODY), body=BODY).status == 200
        assert ask(receiver.port, headers=signed(BODY), body=BODY).status == 404


# -- connections


def test_a_connection_serves_many_requests(receiver, path):
    with Client(receiver.port) as client:
        for number in range(3):
            answer = client.ask(delivery(b"%d" % number))
            assert (answer.status, answer.closes) == (200, False)
        assert client.ask(request(headers=signed(b"another body"), body=BODY)).status == 401
        assert client.ask(request("GET", "/healthz")).status == 200
        assert client.ask(request("HEAD", "/healthz"), "HEAD").status == 200
        assert client.ask(delivery(b"3", Connection="close")).closes
        assert client.rest() == b""
    assert recorded(path) == [b"0", b"1", b"2", b"3"]


def test_pipelined_requests_are_answered_in_order(receiver, path):
    with Client(receiver.port) as client:
        client.send(
            delivery(b"0")
            + request("GET", "/healthz", body=b"ignored")
            + request(headers=signed(b"y"), body=b"x")
            + delivery(b"1")
        )
        assert [client.answer().text for _ in range(4)] == ["ok\n", "ok\n", REFUSED, "ok\n"]
        client.send(delivery(b"2") + b"NONSENSE\r\n\r\n" + delivery(b"3"))
        assert client.answer().status == 200
        assert client.answer().status == 400
        assert client.rest() == b""
    assert recorded(path) == [b"0", b"1", b"2"]


def test_an_unsigned_body_is_refused_before_it_is_read(receiver, path):
    """Strangers must not fill the memory."""
    with Client(receiver.port) as client:
        client.send(request(headers={"Content-Length": "3000000"}))
        assert client.answer().status == 401
    with Client(receiver.port) as client:
        answer = client.ask(request(body=BODY) + delivery(b"hidden"))
        assert (answer.status, answer.closes) == (401, True)
    assert recorded(path) == []


def test_what_follows_a_refused_body_is_not_a_request(receiver, path):
    hidden = delivery(b"hidden")
    with Client(receiver.port) as client:
        client.send(request(headers=signed(hidden, **{"Transfer-Encoding": "chunked"}), body=hidden))
        assert client.answer().status == 400
        assert client.rest() == b""
    assert recorded(path) == []


@pytest.mark.parametrize(("connection", "closes"), [({}, True), ({"Connection": "keep-alive"}, False)])
def test_http_1_0(receiver, path, connection, closes):
    with Client(receiver.port) as client:
        answer = client.ask(request(headers=signed(BODY, **connection), body=BODY, version="HTTP/1.0"))
        assert (answer.status, answer.closes) == (200, closes)
    assert recorded(path) == [BODY]


def test_a_client_that_waits_to_be_told_to_send(receiver, path):
    whole = delivery(BODY, Expect="100-Continue")
    with Client(receiver.port) as client:
        assert client.ask(whole.removesuffix(BODY)).status == 100
        assert client.ask(BODY).status == 200
        refused = client.ask(request(headers={"Expect": "100-continue", "Content-Length": "4000001"}))
        assert (refused.status, refused.closes) == (413, True)
    assert recorded(path) == [BODY]


def test_a_request_in_many_pieces(receiver, path):
    with Client(receiver.port) as client:
        client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in delivery(BODY):
            client.send(bytes([byte]))
        assert client.answer().status == 200
    assert recorded(path) == [BODY]


def test_a_client_that_has_closed_its_half_gets_its_answer(receiver, path):
    with Client(receiver.port) as client:
        client.send(delivery(BODY))
        client.socket.shutdown(socket.SHUT_WR)
        assert client.answer().status == 200
        assert client.rest() == b""
    assert recorded(path) == [BODY]


@pytest.mark.parametrize("part", [b"P", delivery(BODY)[:40], delivery(BODY)[:-1]])
@pytest.mark.parametrize("how", ["half", "close", "reset"])
def test_a_client_that_leaves_in_the_middle_is_forgotten(receiver, path, caplog, part, how):
    with Client(receiver.port) as client:
        client.send(part)
        if how == "half":
            client.socket.shutdown(socket.SHUT_WR)
            assert client.rest() == b""
        elif how == "reset":
            client.vanish()
    until(lambda: receiver.ended == 1)
    assert recorded(path) == []
    assert failures(caplog) == []


def test_a_client_that_leaves_before_the_answer_has_delivered(slow, path, caplog):
    with receiving(slow) as receiver:
        client = Client(receiver.port)
        client.send(delivery(BODY))
        until(lambda: slow.calls)
        client.vanish()
        slow.go.set()
        assert ask(receiver.port, headers=signed(b"next"), body=b"next").status == 200
    assert recorded(path) == [BODY, b"next"]
    assert failures(caplog) == []


def test_clients_that_take_no_notice_of_a_refusal(receiver, caplog):
    for _ in range(20):
        client = Client(receiver.port)
        client.send(b"NONSENSE\r\n\r\n")
        client.vanish()
    until(lambda: receiver.ended == 20)
    assert failures(caplog) == []


def test_a_client_that_never_reads_its_answers_is_dropped(store, caplog):
    # Its connection must end with its patience, or each such client holds a socket for ever.
    def ask_on(client):
        while True:
            client.send(request("GET", "/healthz") * 10_000)

    with receiving(store, patience=0.3) as receiver:
        with Client(receiver.port) as client, pytest.raises(ConnectionError):
            ask_on(client)
        assert ask(receiver.port, "GET", "/healthz").status == 200
    assert failures(caplog) == []


def test_many_connections_at_once(receiver, path):
    bodies = [b"%d" % number for number in range(300)]
    clients = [Client(receiver.port) for _ in bodies]
    try:
        for client, body in zip(clients, bodies, strict=True):
            client.send(delivery(body))
        assert {client.answer().status for client in clients} == {200}
    finally:
        for client in clients:
            client.close()
    assert sorted(recorded(path)) == sorted(bodies)


# -- limits


@pytest.mark.parametrize(("size", "status"), [(999, 200), (1000, 200), (1001, 413)])
def test_the_largest_body(store, path, size, status):
    body = b"x" * size
    with receiving(store, largest_body=1000) as receiver:
        assert ask(receiver.port, headers=signed(body), body=body).status == status
    assert recorded(path) == [body] * (status == 200)


def test_the_default_limit_takes_what_meta_sends_and_refuses_the_next_byte(receiver, path):
    body = b"x" * DEFAULT_LARGEST_BODY
    assert ask(receiver.port, headers=signed(body), body=body).status == 200
    assert recorded(path) == [body]
    assert ask(receiver.port, headers=signed(body + b"x"), body=body + b"x").status == 413


@pytest.mark.parametrize("target", ["/webhook", "/nowhere"])
@pytest.mark.parametrize("size", [4 * 2**20, 30 * 2**20])
def test_a_client_that_sends_all_of_a_large_body_first_can_read_why_not(receiver, target, size):
    connection = http.client.HTTPConnection("127.0.0.1", receiver.port, timeout=20)
    try:
        connection.request("POST", target, bytes(size))
        answer = connection.getresponse()
        assert (answer.status, answer.read()) == (
            (413, LARGE.encode()) if target == "/webhook" else (404, NOTHING.encode())
        )
    finally:
        connection.close()


@pytest.mark.parametrize(
    "part", [b"P", b"POST /webhook HTTP/1.1\r\n", delivery(BODY).removesuffix(BODY), delivery(BODY)[:-1]]
)
def test_a_slow_client_is_told_so(store, path, caplog, part):
    with receiving(store, patience=0.05) as receiver, Client(receiver.port) as client:
        answer = client.ask(part)
        assert (answer.status, answer.text, answer.closes) == (408, "The request did not come in time.\n", True)
        assert client.rest() == b""
    assert recorded(path) == []
    assert failures(caplog) == []


def test_a_silent_client_is_let_go_without_a_word(store):
    with receiving(store, idle=0.05) as receiver, Client(receiver.port) as client:
        assert client.answer() is None
    with receiving(store, idle=0.5) as receiver, Client(receiver.port) as client:
        assert client.ask(delivery(BODY)).status == 200
        assert client.answer() is None


# -- the store


def test_a_locked_store_means_503_until_it_is_free(receiver, path, caplog):
    assert ask(receiver.port, headers=signed(b"1"), body=b"1").status == 200
    with locked(path), Client(receiver.port) as client:
        answer = client.ask(delivery(BODY))
        assert (answer.status, answer.text, answer.headers["retry-after"]) == (503, AGAIN, "5")
        assert not answer.closes
        assert client.ask(request("GET", "/readyz")).status == 503
        assert client.ask(request("GET", "/healthz")).status == 200
    assert ask(receiver.port, "GET", "/readyz").status == 200
    assert ask(receiver.port, headers=signed(b"2"), body=b"2").status == 200
    assert recorded(path) == [b"1", b"2"]
    assert_nothing_leaks(logged(caplog))
    assert failures(caplog) == []


def test_a_store_that_was_deleted_is_not_recorded_into(receiver, path):
    # The connection would go on writing into a file that no longer has a name.
    assert ask(receiver.port, headers=signed(b"1"), body=b"1").status == 200
    for file in path.parent.glob(path.name + "*"):
        file.unlink()
    assert ask(receiver.port, headers=signed(BODY), body=BODY).status == 503
    assert ask(receiver.port, "GET", "/readyz").status == 503


def test_a_store_that_is_read_only_for_a_while(receiver, store, path):
    assert ask(receiver.port, headers=signed(b"1"), body=b"1").status == 200
    store._db.execute("PRAGMA query_only = ON")
    assert ask(receiver.port, headers=signed(b"2"), body=b"2").status == 503
    assert ask(receiver.port, "GET", "/readyz").status == 503
    store._db.execute("PRAGMA query_only = OFF")
    assert ask(receiver.port, headers=signed(b"3"), body=b"3").status == 200
    assert recorded(path) == [b"1", b"3"]


def test_a_store_that_was_replaced_is_not_recorded_into_unseen(receiver, path, tmp_path):
    assert ask(receiver.port, headers=signed(b"1"), body=b"1").status == 200
    for file in path.parent.glob(path.name + "*"):
        file.rename(tmp_path / f"old-{file.name}")
    open_store(f"sqlite:{path}").close()
    answer = ask(receiver.port, headers=signed(BODY), body=BODY)
    assert recorded(path) == [BODY] * (answer.status == 200)


def test_deliveries_do_not_queue_behind_probes(slow):
    # Each probe of a locked store waits for it in turn: anybody could keep deliveries from their 503 for minutes.
    with receiving(slow) as receiver:
        probes = [Client(receiver.port) for _ in range(20)]
        try:
            for probe in probes:
                probe.send(request("GET", "/readyz"))
            until(lambda: busy(receiver) == len(probes))
            with Client(receiver.port) as client:
                client.send(delivery(BODY))
                until(lambda: busy(receiver) == len(probes) + 1)
                slow.go.set()
                assert client.answer().status == 200
            assert {probe.answer().status for probe in probes} == {200}
        finally:
            for probe in probes:
                probe.close()
    assert "append" in slow.calls[:3]


class Broken:
    """A store that fails as it is told."""

    def __init__(self, error):
        self._error = error

    def append(self, deliveries, *, wait=True):
        raise self._error

    def check_writable(self):
        raise self._error


@pytest.mark.parametrize(
    "error",
    [
        StoreUnavailableError(),
        StoreRejectedError(),
        StoreError("x"),
        RuntimeError(PRIVATE),
        MemoryError(),
        OSError(28, "full"),
    ],
)
def test_whatever_the_store_raises_nothing_is_acknowledged(error):
    with receiving(Broken(error)) as receiver, Client(receiver.port) as client:
        for _ in range(2):
            assert client.ask(delivery(BODY)).status == 503
        assert PRIVATE.encode() not in client.raw


def recorded_by(append, *bodies):
    """What became of deliveries that were recorded at the same time."""

    async def main():
        made = Recorder(append, lambda: None)
        found = []
        for body in bodies:
            made.record(Delivery(body=body, received_at=datetime.now(UTC)), found.append)
        await made.close()
        return found

    return asyncio.run(main())


def test_deliveries_of_one_moment_share_a_commit():
    batches = []

    def append(deliveries, *, wait=True):
        batches.append([delivery.body for delivery in deliveries])
        return list(range(len(deliveries)))

    assert recorded_by(append, b"1", b"2", b"3") == [None] * 3
    assert batches == [[b"1", b"2", b"3"]]


def test_a_batch_that_fails_fails_as_a_whole():
    def append(_deliveries, *, wait=True):
        raise StoreUnavailableError

    assert [type(error) for error in recorded_by(append, b"1", b"2")] == [StoreUnavailableError] * 2


class Timed:
    """A store whose commits take as long as `takes` says, and that knows who asked for them."""

    def __init__(self, *takes, free=True):
        self.takes, self.free, self.asked = list(takes), free, []

    def append(self, deliveries, *, wait=True):
        if not (wait or self.free):
            raise StoreUnavailableError
        self.asked.append(threading.current_thread().name)
        time.sleep(self.takes.pop(0))
        return list(range(len(deliveries)))


def asked_by(store):
    """Record one delivery after the other; return what became of each."""

    async def main():
        made, found = Recorder(store.append, lambda: None), []
        for number in range(len(store.takes)):
            done = asyncio.get_running_loop().create_future()
            made.record(Delivery(body=b"%d" % number, received_at=datetime.now(UTC)), done.set_result)
            found.append(await done)
        await made.close()
        return found

    return asyncio.run(main())


THREAD = "wa-hooks-recorder"


def test_a_quick_commit_is_made_on_the_loop():
    store = Timed(0, 0, 0)
    assert asked_by(store) == [None] * 3
    assert THREAD not in store.asked


def test_after_a_slow_commit_the_loop_is_kept_free():
    store = Timed(0, 2 * recorder._SLOW, 0, 2 * recorder._DISTRUST, 0)
    assert asked_by(store) == [None] * 5
    assert [name == THREAD for name in store.asked] == [False, False, True, True, False]


def test_commits_keep_apart_unless_everybody_waits(monkeypatch):
    monkeypatch.setattr(recorder, "_APART", 60)
    batches = []

    def append(deliveries, *, wait=True):
        batches.append([delivery.body for delivery in deliveries])
        return list(range(len(deliveries)))

    async def main():
        made = Recorder(append, lambda: None)
        made.senders = lambda: 2
        futures = [asyncio.get_running_loop().create_future() for _ in range(3)]
        for number, future in enumerate(futures):
            made.record(Delivery(body=b"%d" % number, received_at=datetime.now(UTC)), future.set_result)
            if number == 1:
                for _ in range(9):  # another may still come: it would wait for a minute
                    await asyncio.sleep(0)
                assert len(batches) == 1
            else:
                await future
        await made.close()

    asyncio.run(main())
    assert batches == [[b"0"], [b"1", b"2"]]


def test_where_somebody_else_writes_the_thread_waits_for_him():
    store = Timed(0, 0, free=False)
    assert asked_by(store) == [None] * 2
    assert store.asked == [THREAD] * 2


def test_what_waits_for_a_commit_is_bounded(slow, path, monkeypatch):
    monkeypatch.setattr(crowd, "_MOST_HELD", 10)
    with receiving(slow) as receiver, Client(receiver.port) as first, Client(receiver.port) as second:
        first.send(delivery(b"x" * 10))
        until(lambda: slow.calls)
        answer = second.ask(delivery(b"y"))
        assert (answer.status, answer.headers["retry-after"], answer.closes) == (503, "5", True)
        slow.go.set()
        assert first.answer().status == 200
        assert first.ask(delivery(b"z")).status == 200
    assert recorded(path) == [b"x" * 10, b"z"]


def test_whoever_sends_slowest_gives_way(receiver, path, monkeypatch):
    monkeypatch.setattr(crowd, "_MOST_HELD", 2000)
    with Client(receiver.port) as slowest, Client(receiver.port) as slow:
        slowest.send(delivery(b"x" * 1500)[:-1])
        until(lambda: held(receiver) == 1499)
        slow.send(delivery(b"y" * 1500)[:-1])
        assert slowest.answer().status == 503
        assert slow.ask(b"y").status == 200
    assert recorded(path) == [b"y" * 1500]
    until(lambda: held(receiver) == 0)


def test_beyond_the_limit_the_connection_of_least_use_is_closed(store, path):
    with receiving(store, most_connections=3) as receiver, contextlib.ExitStack() as stack:
        clients = [stack.enter_context(Client(receiver.port)) for _ in range(3)]
        assert clients[0].ask(delivery(b"1")).status == 200
        for client in clients:
            client.socket.settimeout(5)
        newcomer = stack.enter_context(Client(receiver.port))
        assert newcomer.ask(delivery(b"2")).status == 200
        with contextlib.suppress(ConnectionError):
            assert clients[1].answer() is None
        assert clients[0].ask(delivery(b"3")).status == 200
    assert recorded(path) == [b"1", b"2", b"3"]


def test_one_address_has_no_more_than_its_share(store):
    with receiving(store, most_per_address=2) as receiver, contextlib.ExitStack() as stack:
        first, second, third = (stack.enter_context(Client(receiver.port)) for _ in range(3))
        assert third.ask(request("GET", "/healthz")).status == 200
        assert second.ask(request("GET", "/healthz")).status == 200
        with contextlib.suppress(ConnectionError):
            assert first.answer() is None


def members(receiver):
    return list(receiver.receiver._crowd.members())


def busy(receiver):
    return sum(member.busy for member in members(receiver))


def held(receiver):
    return receiver.receiver._crowd._held


# -- the end


def test_draining_answers_what_is_in_flight_and_ends_what_is_idle(slow, path):
    with receiving(slow) as receiver:
        with Client(receiver.port) as idle, Client(receiver.port) as partly, Client(receiver.port) as busy:
            assert idle.ask(request("GET", "/healthz")).closes is False
            partly.send(b"POST /webhook")
            busy.send(delivery(BODY) + delivery(b"too late"))
            until(lambda: slow.calls)
            receiver.stop()
            assert idle.answer() is None
            assert partly.answer() is None
            slow.go.set()
            answer = busy.answer()
            assert (answer.status, answer.closes) == (200, True)
            assert busy.answer() is None
            receiver.join()
        with pytest.raises(ConnectionRefusedError):
            Client(receiver.port)
    assert recorded(path) == [BODY]


def test_draining_waits_for_a_body_but_not_for_ever(store, path):
    with receiving(store) as receiver, Client(receiver.port) as client:
        client.send(delivery(BODY)[:-1])
        until(lambda: any(member.engaged for member in members(receiver)))
        receiver.stop()
        until(lambda: receiver.receiver.closing)
        answer = client.ask(BODY[-1:])
        assert (answer.status, answer.closes) == (200, True)
    with receiving(store, drain=0.05) as receiver, Client(receiver.port) as client:
        client.send(delivery(b"never whole")[:-1])
        until(lambda: any(member.engaged for member in members(receiver)))
        receiver.stop()
        assert client.answer() is None
        receiver.join()
    assert recorded(path) == [BODY]
