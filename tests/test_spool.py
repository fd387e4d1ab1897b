"""The spool: what is kept while a store cannot be reached, and how it gets there in the end."""

import contextlib
import json
import sqlite3
import threading
import time
from datetime import UTC, datetime, timedelta

import pytest
from serving import ask, locked, receiving, recorded, signed, until

from wa_webhooks.errors import ConfigError, StoreUnavailableError
from wa_webhooks.spool import Sender, Spool, target_of
from wa_webhooks.spool.file import SPAN
from wa_webhooks.stores import is_remote, open_store
from wa_webhooks.stores.base import Delivery, Rejection

AT = datetime(2026, 11, 24, 12, tzinfo=UTC)
HERE = "postgres://here/db"


def opened(tmp_path, **more):
    return Spool(str(tmp_path / "spool.db"), **{"target": HERE, **more})


@pytest.fixture
def spool(tmp_path):
    with contextlib.closing(opened(tmp_path)) as made:
        yield made


@pytest.fixture
def remote(tmp_path):
    """The path of a store that can be made unreachable by a lock on it."""
    path = tmp_path / "remote.db"
    open_store(f"sqlite:{path}").close()
    return path


def of(business, number):
    """A delivery of one business, or of several."""
    ids = business if isinstance(business, tuple) else (business,)
    body = {"object": "whatsapp_business_account", "entry": [{"id": each} for each in ids], "n": number}
    return Delivery(body=json.dumps(body).encode(), received_at=AT + timedelta(seconds=number), headers={"a": "é"})


class Sending:
    """A sender in a thread, with a connection of its own to the spool."""

    def __init__(self, tmp_path, remote, opened_as=lambda store: store, **options):
        self._stop, self._woken = threading.Event(), threading.Event()
        self.arrived = 0

        def wait(seconds):
            self._woken.wait(min(seconds, 0.05))
            self._woken.clear()
            return not self._stop.is_set()

        def run():
            with contextlib.closing(opened(tmp_path, bounded=False)) as spool:
                sender = Sender(
                    spool,
                    lambda: opened_as(open_store(f"sqlite:{remote}", busy_timeout=0.05)),
                    wake=self._woken.set,
                    arrived=self._count,
                    **options,
                )
                sender.run(wait, patience=2)

        self._thread = threading.Thread(target=run)

    def _count(self):
        self.arrived += 1

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._woken.set()
        self._thread.join(20)
        assert not self._thread.is_alive()


def by_business(bodies):
    found = {}
    for body in bodies:
        told = json.loads(body)
        for entry in told["entry"]:
            found.setdefault(entry["id"], []).append(told["n"])
    return found


# -- the file


def test_a_delivery_comes_out_as_it_went_in(spool):
    body = bytes(range(256)) * 100
    delivery = Delivery(
        body=body,
        received_at=AT.replace(microsecond=7),
        headers={"x-hub-signature-256": "sha256=ab", "user-agent": "caf\xe9\u0000"},
        source_ip="::1",
        signature_key="12345678",
    )
    (ident,) = spool.append([delivery])
    ((place, read),) = spool.read(after=0, up_to=10, limit=10)
    assert place == ident
    assert read.nonce
    delivery.nonce = read.nonce
    assert read == delivery
    assert spool.append([of("1", number) for number in range(250)]) == list(range(2, 252))
    assert len({each.delivery.nonce for each in spool.read(after=0, up_to=300, limit=300)}) == 251


def test_a_place_is_never_given_out_again(spool):
    first = spool.append([of("1", 1), of("1", 2)])
    spool.sent(first, now=AT)
    assert spool.append([of("1", 3)]) == [3]


@pytest.mark.parametrize("gone", [[1], [2, 4], list(range(1, 100)), [SPAN], list(range(5, SPAN))])
def test_what_waits_is_counted(spool, gone):
    spool.append([of("1", number) for number in range(SPAN + 500)])
    spool.sent(gone, now=AT)
    standing = spool.standing()
    assert standing.deliveries == SPAN + 500 - len(gone)
    assert standing.oldest == ("2026-11-24T12:00:00.000000Z" if 1 not in gone else standing.oldest)
    assert standing.sent_at == "2026-11-24T12:00:00.000000Z"


def test_a_full_spool_takes_nothing_until_something_is_sent(tmp_path):
    with contextlib.closing(opened(tmp_path, limit=2**20)) as spool:
        kept = []

        def fill():
            for number in range(100):
                kept.extend(spool.append([Delivery(body=b"%2d" % number + bytes(50_000), received_at=AT)]))

        with pytest.raises(StoreUnavailableError, match="is full: it may take 1 MiB") as raised:
            fill()
        assert "--spool-limit" in raised.value.hint
        assert 15 < len(kept) < 21
        with pytest.raises(StoreUnavailableError, match="is full"):
            spool.check_writable()
        assert "full" in spool.standing().told()
        assert spool.standing().deliveries == len(kept)
        assert spool.standing().bytes <= 2**20
        with contextlib.closing(opened(tmp_path, bounded=False)) as unbounded:
            unbounded.hold(kept[0], "refused", now=AT)
            unbounded.sent(kept[1:10], now=AT)
        spool.check_writable()
        spool.append([of("1", 1)])


def test_a_spool_is_for_one_store(tmp_path):
    with contextlib.closing(opened(tmp_path)) as spool:
        spool.append([of("1", 1)])
    with pytest.raises(ConfigError, match="holds deliveries for postgres://here/db, not for postgres://there/db"):
        opened(tmp_path, target="postgres://there/db")
    with contextlib.closing(opened(tmp_path)) as spool:
        spool.sent([1], now=AT)
    opened(tmp_path, target="postgres://there/db").close()


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("postgresql://me:secret@db.example:6543/postgres?sslmode=require", "postgres://db.example:6543/postgres"),
        ("postgres://db.example/postgres", "postgres://db.example/postgres"),
        ("supabase", "https://abc.supabase.co"),
    ],
)
def test_a_store_is_told_from_another_without_its_secrets(url, target):
    assert target_of(url, {"SUPABASE_URL": "https://abc.supabase.co/"}) == target
    assert is_remote(url)
    assert not is_remote("sqlite:log.db")


def test_room_is_given_back(tmp_path):
    with contextlib.closing(opened(tmp_path)) as spool:
        ids = spool.append([Delivery(body=bytes(400_000), received_at=AT) for _ in range(100)])
        spool.sent(ids, now=AT)
        pages = spool._pragma("page_count")
        spool.shrink()
        assert spool._pragma("page_count") < pages


# -- the sender


def test_what_is_spooled_arrives_in_the_order_of_each_business(tmp_path, spool, remote):
    sent = [of(f"business-{number % 7}", number) for number in range(1500)]
    sent[300] = of(("business-1", "business-2", "business-3", "business-4"), 300)
    sent[301] = of(("business-1", "business-5"), 301)
    sent[700] = Delivery(body=b"not JSON", received_at=AT)
    with Sending(tmp_path, remote) as sending:
        for at in range(0, 1500, 100):
            spool.append(sent[at : at + 100])
        until(lambda: not spool.standing().deliveries)
        assert sending.arrived
    bodies = recorded(remote)
    assert sorted(bodies) == sorted(each.body for each in sent)
    bodies.remove(b"not JSON")
    assert by_business(bodies) == by_business([each.body for each in sent if each.body != b"not JSON"])


class Hesitating:
    """A store that takes its time for one delivery."""

    def __init__(self, store, over):
        self._store, self._over = store, over

    def append(self, deliveries, **options):
        if self._over.body in [each.body for each in deliveries]:
            time.sleep(0.3)
        return self._store.append(deliveries, **options)

    def __getattr__(self, name):
        return getattr(self._store, name)


@pytest.mark.parametrize("before", [0, 20])
def test_what_tells_of_several_businesses_holds_up_all_of_them(tmp_path, spool, remote, before):
    names = [f"business-{number}" for number in range(7)]
    crossing = of(tuple(names), before)
    after = [of(names[number % 7], number) for number in range(before + 1, before + 100)]
    sent = [*(of(names[number % 7], number) for number in range(before)), crossing, *after]
    spool.append(sent)
    with Sending(tmp_path, remote, opened_as=lambda store: Hesitating(store, crossing)):
        until(lambda: not spool.standing().deliveries)
    assert by_business(recorded(remote)) == by_business([each.body for each in sent])


def test_what_arrives_is_what_was_received(tmp_path, spool, remote):
    spool.append([of("1", 1)])
    with Sending(tmp_path, remote):
        until(lambda: recorded(remote))
    with contextlib.closing(open_store(f"sqlite:{remote}")) as store:
        kept = store.get("delivery", 1)
    assert (kept["headers"], kept["received_at"]) == ({"a": "é"}, "2026-11-24T12:00:01.000000Z")


def test_an_outage_is_told_and_ends(tmp_path, spool, remote, caplog):
    with locked(remote), Sending(tmp_path, remote) as sending:
        spool.append([of(f"{number % 5}", number) for number in range(600)])
        told = until(lambda: (found := spool.standing()).failing_since and found)
        assert (told.deliveries, told.error) == (600, f"the store {remote} is locked by another process")
        assert told.told().startswith(
            f"spooling since {told.failing_since}: 600 deliveries wait in the spool, 0% full"
        )
        sending._stop.set()
    assert recorded(remote) == []
    caplog.clear()
    with Sending(tmp_path, remote):
        with locked(remote):
            until(lambda: "spooling, the store takes nothing" in caplog.text)
        until(lambda: not spool.standing().deliveries)
        assert spool.standing().failing_since is None
        until(lambda: "the store takes deliveries again" in caplog.text)
    assert by_business(recorded(remote)) == by_business([of(f"{n % 5}", n).body for n in range(600)])


def test_ids_beyond_the_span_and_many_left(tmp_path, spool, remote):
    many = [of(f"{number % 3}", number) for number in range(3 * SPAN)]
    spool.append(many)
    spool.sent(list(range(1, SPAN + 7)), now=AT)
    with Sending(tmp_path, remote):
        until(lambda: not spool.standing().deliveries)
    assert sorted(recorded(remote)) == sorted(each.body for each in many[SPAN + 6 :])


def test_a_delivery_that_is_refused_alone_is_held_and_the_rest_goes_on(tmp_path, spool, remote, caplog):
    with contextlib.closing(sqlite3.connect(remote)) as db:
        db.execute(
            "CREATE TRIGGER refuses BEFORE INSERT ON wa_deliveries WHEN instr(NEW.body, '\"n\": 77}') "
            "BEGIN SELECT RAISE(ABORT, 'not this one'); END"
        )
    spool.append([of("1", number) for number in range(100)])
    with Sending(tmp_path, remote):
        until(lambda: not spool.standing().deliveries)
    assert len(recorded(remote)) == 99
    assert spool.standing().held == 1
    assert "1 are held: the store refuses them" in spool.standing().told()
    assert "a delivery is held in the spool, the store refuses it" in caplog.text
    with contextlib.closing(sqlite3.connect(remote)) as db:
        db.execute("DROP TRIGGER refuses")
    with Sending(tmp_path, remote):
        until(lambda: not spool.standing().held)
    assert len(recorded(remote)) == 100


def test_a_store_that_refuses_everything_is_waited_for(tmp_path, spool, remote):
    with contextlib.closing(sqlite3.connect(remote)) as db:
        db.execute(
            "CREATE TRIGGER refuses BEFORE INSERT ON wa_deliveries BEGIN SELECT RAISE(ABORT, 'nothing at all'); END"
        )
    spool.append([of("1", number) for number in range(100)])
    with Sending(tmp_path, remote):
        until(lambda: spool.standing().held == 3 and spool.standing().failing_since)
        assert spool.standing().deliveries == 97
        with contextlib.closing(sqlite3.connect(remote)) as db:
            db.execute("DROP TRIGGER refuses")
        until(lambda: not spool.standing().deliveries)
    assert len(recorded(remote)) == 97
    with Sending(tmp_path, remote):
        until(lambda: not spool.standing().held)
    assert sorted(recorded(remote)) == sorted(of("1", number).body for number in range(100))


def test_one_sends_and_the_other_takes_over(tmp_path, spool, remote):
    with Sending(tmp_path, remote) as first, Sending(tmp_path, remote) as second:
        spool.append([of("1", number) for number in range(50)])
        until(lambda: len(recorded(remote)) == 50)
        assert 0 in (first.arrived, second.arrived)
        (first if first.arrived else second)._stop.set()
        spool.append([of("1", 50)])
        until(lambda: len(recorded(remote)) == 51)


def test_rejections_wait_too_and_a_flood_of_them_is_counted(tmp_path, spool, remote):
    refused = [Rejection(at=AT, status=401, cause="signature-wrong", detail="x")] * 3
    for _ in range(150):
        spool.reject(refused, now=AT, more={"slow": 2})
    assert sum(len(row["told"]) for row in spool.rejected(limit=1000)) == 300
    with Sending(tmp_path, remote):
        until(lambda: not spool.rejected(limit=1))
    with contextlib.closing(open_store(f"sqlite:{remote}")) as store:
        counted = store.rejection_counts(since=AT - timedelta(days=1))
    assert counted["by_cause"] == {"signature-wrong": 450, "slow": 300}
    assert len(store_rejections(remote)) == 300


def store_rejections(remote):
    with contextlib.closing(open_store(f"sqlite:{remote}")) as store:
        return store.rejections(limit=1000)


# -- the receiver over it


def test_the_receiver_says_that_it_spools(tmp_path, spool, remote):
    with receiving(spool, standing=lambda: spool.standing().told()) as receiver:
        assert ask(receiver.port, "GET", "/readyz").text == "ready\n"
        with locked(remote), Sending(tmp_path, remote):
            assert ask(receiver.port, headers=signed(b"1"), body=b"1").status == 200
            told = until(lambda: "since" in (text := ask(receiver.port, "GET", "/readyz").text) and text)
            assert told.startswith("ready, spooling since 20")
            assert "1 deliveries wait in the spool, 0% full" in told
            assert ask(receiver.port, "GET", "/readyz").status == 200
        assert ask(receiver.port, headers={}, body=b"1").status == 401


def test_the_receiver_of_a_full_spool_answers_503(tmp_path):
    with contextlib.closing(opened(tmp_path, limit=2**20)) as spool, receiving(spool) as receiver:
        body = bytes(60_000)
        until(lambda: ask(receiver.port, headers=signed(body), body=body).status == 503)
        answer = ask(receiver.port, "GET", "/readyz")
        assert (answer.status, answer.text) == (503, "Deliveries cannot be recorded.\n")
