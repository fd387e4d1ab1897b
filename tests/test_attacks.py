"""Attacks on a receiver, each over real sockets on a real process. Whatever they do, a well-behaved client beside
them is answered in time, memory stays bounded, and nothing is stored that is not signed.
"""

import contextlib
import json
import sqlite3
import ssl
import subprocess
import sys
import time
from pathlib import Path

import pytest
from attacking import Attack, Attacker, crowd, forever, one_by_one, open_files, peak_memory
from certificates import Authority
from corpus import BODY, CASES, chunks, get, post
from serving import DEADLINE, Client, delivery, recorded, serve_environment, serving, signature_of, until

pytestmark = pytest.mark.processes

SLOWEST = 0.25
"""Seconds within which 99 of 100 deliveries are answered."""
GROWTH = 220 * 2**20
"""Bytes: 128 MiB of bodies at most, one of them copied, and what connections and their heads need."""
TRIES = 5
UNTRACED = dict.fromkeys(("COVERAGE_PROCESS_CONFIG", "COVERAGE_PROCESS_START"))
"""A receiver whose lines are counted is several times slower."""
SECONDS = 3
RATE = 20
WRONG = "X-Hub-Signature-256: sha256=" + "0" * 64


def steady(port, seconds=SECONDS, *more):
    """What a well-behaved client, a process of its own, has met: statuses, and the p99 of the times in seconds."""
    script = Path(__file__).parent / "steady.py"
    command = [sys.executable, script, str(port), str(seconds), str(RATE), *more]
    ended = subprocess.run(
        command, env=serve_environment(), capture_output=True, text=True, timeout=60 + seconds, check=True
    )
    told = json.loads(ended.stdout)
    return told["statuses"], sorted(told["times"])[int(len(told["times"]) * 0.99)]


def endure(folder, attackers, *options, signed=(), tls=(), answers=None, meanwhile=lambda _served, _attack: None):
    """Attack a new receiver with what `attackers()` returns; return its log and what was recorded of the attack."""
    slow = []
    for attempt in range(TRIES):
        place = folder / str(attempt)
        place.mkdir()
        with serving(place, "--log-level", "warning", *options, **UNTRACED) as served:
            quiet = steady(served.port, 0.5, *tls)
            before = peak_memory(served.process.pid)
            with Attack(served.port, attackers()) as attack:
                statuses, p99 = steady(served.port, SECONDS, *tls)
                meanwhile(served, attack)
            over, after = time.monotonic(), peak_memory(served.process.pid)
            assert served.end() == 0
            ended = time.monotonic()
        assert ended - over < DEADLINE / 4, "connections that are gone are still waited for"
        assert set(statuses) == {200}
        if before is not None:
            assert after - before < GROWTH, f"{(after - before) // 2**20} MiB more"
        bodies = recorded(served.store)
        assert len([body for body in bodies if body.startswith(b"steady ")]) == RATE * SECONDS + RATE // 2
        assert {body for body in bodies if not body.startswith(b"steady ")} <= set(signed)
        assert "Traceback" not in served.log()
        firsts = [first for attacker in attack.attackers for first in attacker.got]
        got = {int(first.split()[1]) for first in firsts if first.startswith(b"HTTP/1.1 ")}
        assert answers is None or got == answers
        if p99 < SLOWEST:
            return served
        slow.append(f"{p99:.3f} s, {quiet[1]:.3f} s before")
    raise AssertionError(f"p99 of the well-behaved client: {', '.join(slow)}")


# -- slow and many


@pytest.mark.parametrize("processes", ["1", "2"])
def test_slow_headers(tmp_path, processes):
    head = get(*(f"X-{number}: y" for number in range(100)))
    endure(tmp_path, lambda: crowd(800, lambda _: one_by_one(head), pause=1), "--processes", processes)


def test_slow_bodies(tmp_path):
    def sends(number):
        yield post("Content-Length: 3000000" if number % 2 else "Transfer-Encoding: chunked", body=b"", signs=b"x")
        yield from forever(b"1\r\nx\r\n"[: 1 if number % 2 else 6])

    endure(tmp_path, lambda: crowd(500, sends, pause=1))


def test_idle_connections(tmp_path):
    open_files(12_000)

    def attackers():
        alone = [Attacker(sends=tuple, source="127.0.0.99", again=None) for _ in range(1800)]
        return [*alone, *crowd(3200, lambda _: (), again=None)]

    def limited(_, attack):
        until(lambda: attack.connected() <= 4000)  # of 5000; those that say nothing for long are let go as well
        assert sum(each.socket is not None for each in attack.attackers if each.source == "127.0.0.99") <= 1000

    endure(tmp_path, attackers, meanwhile=limited, answers=set())


# -- large


@pytest.mark.parametrize(
    "chunk", [b"10000\r\n" + bytes(2**16) + b"\r\n", b"1\r\nx\r\n" * 10_000], ids=["large", "of a byte"]
)
def test_endless_chunks(tmp_path, chunk):
    def sends(_):
        yield chunks(b"")
        yield from forever(chunk)

    endure(tmp_path, lambda: crowd(30, sends), answers={413})


@pytest.mark.parametrize("processes", ["1", "2"])
def test_bodies_of_100_megabytes(tmp_path, processes):
    heads = [
        post("Content-Length: 100000000", body=b"", signs=b"x"),
        post("Content-Length: 100000000", "Expect: 100-continue", body=b"", signs=b"x"),
        post(body=b"", signs=b"x"),
        get("Content-Length: 100000000"),
        chunks(b"5f5e100\r\n"),
    ]

    def sends(number):
        yield heads[number % len(heads)]
        yield from forever(bytes(2**20))

    endure(tmp_path, lambda: crowd(30, sends), "--processes", processes, answers={411, 413})


def test_more_bodies_that_never_end_than_memory_may_hold(tmp_path):
    """Each is of a size that is allowed, and complete but for its last byte."""

    def sends(number):
        yield [post("Content-Length: 4000000", body=b"", signs=b"x"), get("Content-Length: 4000000")][number % 2]
        yield from [bytes(10**5)] * 39
        yield bytes(99_999)

    endure(tmp_path, lambda: crowd(100, sends), answers={503})


def test_floods_of_bodies_that_are_signed_wrongly(tmp_path):
    body = bytes(3_900_000)

    def sends(_):
        return forever(post(f"Content-Length: {len(body)}", body=body, signs=b"x"))

    endure(tmp_path, lambda: crowd(20, sends), answers={401})


def test_header_bombs(tmp_path):
    start = b"GET /healthz HTTP/1.1\r\nHost: h\r\n"
    bombs = [
        lambda: forever(get(*["X: y"] * 5000)),
        lambda: forever(get(*(f"X-{number}: y" for number in range(5000)))),
        lambda: forever(get("X: " + "y" * 2**20)),
        lambda: [start, *[b"X: " + b"y" * 100 + b"\r\n"] * 155],  # it never ends, but is not too large
        lambda: [start + b"X: ", *[b"y" * 1000] * 16],
        lambda: iter([start, *[b"X: y\r\n"] * 10**6]),
        lambda: [b"G" * 16_000],
    ]
    endure(tmp_path, lambda: crowd(400, lambda number: bombs[number % len(bombs)](), pause=0.01), answers={431})


# -- strange


SIGNATURES = [
    "\xe9" * 64,
    "sha256=" + "\xff" * 64,
    "sha256=" + "\u0661".encode().decode("latin-1") * 64,
    "sha256=" + "0" * 10_000,
    "sha256=" + "0" * 63,
    "sha256=" + "g" * 64,
    "sha256=",
    "",
    "=",
    "sha1=" + "0" * 40,
    "SHA256=" + "0" * 64,
    "sha256=" + "0" * 64 + ", sha256=" + "0" * 64,
    "sha256=sha256=" + "0" * 64,
    "sha256= " + "0" * 64,
    '"sha256=' + "0" * 64 + '"',
    "sha256=" + "0" * 64,
    "sha256=" + "%s%n" * 16,
    "{{7*7}}${jndi:ldap://h/a}",
]


def test_hostile_signature_headers(tmp_path):
    """In bursts as fast as they are taken, over connections that are begun again and again."""
    body = b'{"object":"whatsapp_business_account"}'

    def sends(number):
        given = SIGNATURES[number % len(SIGNATURES)]
        once = post(f"Content-Length: {len(body)}", body=body, signs=b"").replace(
            signature_of(b"").encode(), given.encode("latin-1")
        )
        many = get(*[f"X-Hub-Signature-256: {given}"] * 40)
        return [once * 20, many, once]

    endure(tmp_path, lambda: crowd(90, sends), answers={401})
    wrong = post(f"Content-Length: {len(body)}", body=body, signs=b"") * 50
    (tmp_path / "flood").mkdir()
    endure(tmp_path / "flood", lambda: crowd(8, lambda _: forever(wrong)), answers={401})


def entries(inside):
    return (
        b'{"object":"whatsapp_business_account","entry":[{"id":"1","changes":[{"field":"messages","value":%b}]}]}'
        % inside
    )


BODIES = [
    b"[" * 1_000_000,
    entries(b"[" * 100_000 + b"]" * 100_000),
    entries(b'{"a":' * 50_000 + b"1" + b"}" * 50_000),
    entries(b'{"messages":[{"id":"a","id":"b","from":"1","from":"2","type":"text","type":"image"}],"messages":[]}'),
    b'{"object":"whatsapp_business_account","object":"page","entry":[],"entry":[{}]}',
    entries(b'{"messages":[{"id":"wamid.\\u0000","from":"1\\u0000","type":"text","text":{"body":"\\u0000"}}]}'),
    entries(b'{"messages":[{"id":"wamid.\\ud800","from":"1","type":"text","text":{"body":"\\udc00\\ud800"}}]}'),
    entries(b'{"messages":[{"id":"\0","from":"1","type":"text"}]}'),
    entries(b'{"messages":[{"id":"\xed\xa0\x80","from":"1","type":"text"}]}'),
    entries(b'{"messages":[{"id":"\xff","from":"1","type":"text"}]}'),
    entries(b'{"statuses":[{"id":"w","status":"sent","timestamp":"%b"}]}' % (b"9" * 5000)),
    entries(b'{"n":%b}' % (b"9" * 100_000)),
    entries(b'{"n":1e999999,"m":-Infinity,"o":NaN}'),
    "\ufeff{}".encode(),
    "{}".encode("utf-16"),
    bytes(range(256)),
    b"\0",
    b"null",
]


def test_hostile_bodies(tmp_path):
    """Signed, they are recorded byte for byte and processed; unsigned, they are not."""

    def sends(number):
        body = BODIES[number % len(BODIES)]
        return [post(f"Content-Length: {len(body)}", body=body, signs=body + b" ")]

    def deliver(served, _):
        for body in BODIES:
            with Client(served.port) as client:
                assert client.ask(delivery(body)).status == 200
        until(lambda: unsplit(served.store) == 0, "not all are processed")

    served = endure(tmp_path, lambda: crowd(90, sends, pause=0.1), signed=BODIES, answers={401}, meanwhile=deliver)
    assert [body for body in recorded(served.store) if not body.startswith(b"steady ")] == BODIES


def unsplit(store):
    """How many deliveries no worker has made events of yet."""
    with contextlib.closing(sqlite3.connect(store)) as db:
        return db.execute(
            "SELECT count(*) FROM wa_deliveries WHERE id NOT IN (SELECT delivery_id FROM wa_events)"
        ).fetchone()[0]


def test_the_corpus_again_and_again(tmp_path):
    cases = [case.raw for case in CASES.values() if case.statuses and case.statuses[-1] not in (200, 401)]

    def sends(number):
        return [cases[number % len(cases)]]

    endure(tmp_path, lambda: crowd(2 * len(cases), sends, pause=0.05), signed=[BODY, b""])


# -- TLS


def hello():
    """The first bytes of a client that shakes hands."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        ssl.create_default_context().wrap_bio(incoming, outgoing, server_hostname="localhost").do_handshake()
    return outgoing.read()


@pytest.mark.parametrize("processes", ["1", "2"])
def test_bad_handshakes(tmp_path, processes):
    authority = Authority(tmp_path)
    mine = authority.issue("mine", "/CN=localhost")
    first = hello()
    ways = [
        (),
        (first[:1],),
        (first[:-1],),
        (first,),
        (first, bytes(1000)),
        (first + b"\x14\x03\x03\0\x01\x01" * 10,),
        (first[:60] + bytes(60) + first[120:],),
        (get() * 20,),
        (b"\x16\x03\x01\xff\xff" + bytes(2**16),),
        (b"\x15\x03\x01\0\x02\x02\0",),
        (b"\x80\x2e\x01\x03\x01",),
        (bytes(range(256)) * 100,),
        forever(b"\x16\x03\x01\0\x01\0"),
    ]

    def attackers():
        stay = crowd(200, lambda number: ways[number % len(ways)], pause=0.1, again=0.2)
        return [*stay, *crowd(30, lambda number: ways[number % len(ways)], leaves=True, again=0.1)]

    options = ("--tls-cert", str(mine.cert), "--tls-key", str(mine.key), "--processes", processes)
    endure(tmp_path, attackers, *options, tls=(str(authority.cert),))


# -- rude


def test_clients_that_never_read(tmp_path):
    ask = get() * 100 + get(target="/readyz") * 10 + post("Content-Length: 1", body=b"x", signs=b"") * 100
    endure(tmp_path, lambda: crowd(20, lambda _: forever(ask), deaf=True, again=None))


@pytest.mark.parametrize("processes", ["1", "2"])
def test_connections_that_come_and_go(tmp_path, processes):
    ways = [(), (get(),), (get()[:-3],), (post("Content-Length: 100", body=b"x"),), (b"\x16\x03",), (get() * 20,)]
    endure(
        tmp_path, lambda: crowd(100, lambda number: ways[number % len(ways)], leaves=True), "--processes", processes
    )
