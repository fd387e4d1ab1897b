"""What the Postgres store promises beyond the contract: many at once, a log for ever, no word of passwords."""

import contextlib
import os
import subprocess
import sys
import threading
from contextlib import closing, contextmanager
from datetime import timedelta
from queue import Queue

import psycopg
import pytest
from backends import BACKENDS
from test_store_contract import (
    LEASE,
    NOW,
    body_of,
    claim,
    claim_events,
    fill,
    finish,
    log,
    record,
    rejection,
    run_of,
    text,
)

from wa_webhooks import stores
from wa_webhooks.errors import (
    ConfigError,
    SchemaMismatchError,
    StoreError,
    StoreRejectedError,
    StoreUnavailableError,
)
from wa_webhooks.stores.base import FAILED, Delivery, Query, Verdict


@pytest.fixture
def backend(tmp_path):
    return BACKENDS["postgres"](tmp_path)


@pytest.fixture
def other(backend):
    with closing(backend.open()) as opened:
        yield opened


@contextmanager
def transaction(backend):
    """An open transaction of somebody else's; rolled back at the end unless it was committed."""
    with closing(psycopg.connect(backend.url)) as db:
        yield db


def by_account(store, account, count, *, at=NOW):
    return record(store, *[body_of(text(f"wamid.{account}.{n}"), account=account) for n in range(count)], at=at)


# -- cursors


def insert_event(db, key):
    """What `finish` does, as far as ids are concerned."""
    db.execute("select public.wa_internal_will_insert('events'), public.wa_internal_will_insert('attempts')")
    (event,) = db.execute(
        """insert into public.wa_events (tipo_evento, payload_original, fecha_recepcion, event_key, digest,
             delivery_id, position, state) values ('unreadable', '{}', now(), %s, '', 1, 0, 'dead') returning id""",
        [key],
    ).fetchone()
    db.execute("insert into public.wa_attempts (event_id, attempt, at, state) values (%s, 1, now(), 'dead')", [event])


def test_a_follower_is_shown_nothing_behind_which_something_may_still_turn_up(backend, store):
    record(store, b"1")
    with transaction(backend) as slow, transaction(backend) as quick:
        insert_event(slow, "first")
        insert_event(quick, "second")
        quick.commit()
        assert [event["event_key"] for event in log(store)] == ["second"]
        assert [event["attempt_id"] for event in log(store)] == [None]  # no cursor to go on from
        for cursor in ("after_id", "after_attempt"):
            assert log(store, **{cursor: 0}) == []
        slow.commit()
        for cursor in ("after_id", "after_attempt"):
            assert [event["event_key"] for event in log(store, **{cursor: 0})] == ["first", "second"]
        insert_event(slow, "undone")
        insert_event(quick, "third")
        quick.commit()
        assert [event["event_key"] for event in log(store, after_id=0)] == ["first", "second"]
        slow.rollback()
        assert [event["event_key"] for event in log(store, after_id=2)] == ["third"]


def test_followers_miss_nothing_while_many_write(backend, store):
    """Real transactions, really at once: each draws its ids early, and commits when it comes to it."""
    record(store, b"1")
    writers, each = 6, 40
    done = threading.Event()
    seen = {"after_id": [], "after_attempt": []}

    def write(number):
        with closing(psycopg.connect(backend.url)) as db:
            for turn in range(each):
                insert_event(db, f"{number}.{turn}")
                db.execute("select pg_sleep(random() * 0.01)")
                db.commit()

    def follow(cursor, key):
        last = 0
        with closing(backend.open()) as mine:
            while True:
                ended = done.is_set()
                page = mine.find(Query(**{cursor: last}), limit=7)
                seen[cursor] += [event["event_key"] for event in page]
                last = page[-1][key] if page else last
                if ended and not page:
                    return

    followers = [
        threading.Thread(target=follow, args=pair) for pair in (("after_id", "id"), ("after_attempt", "attempt_id"))
    ]
    threads = [threading.Thread(target=write, args=(number,)) for number in range(writers)]
    for thread in [*threads, *followers]:
        thread.start()
    for thread in threads:
        thread.join()
    done.set()
    for thread in followers:
        thread.join()
    expected = sorted(f"{number}.{turn}" for number in range(writers) for turn in range(each))
    assert sorted(seen["after_id"]) == expected
    assert sorted(seen["after_attempt"]) == expected


def test_rejections_follow_one_another_without_gaps(backend, store, other):
    threads = [
        threading.Thread(target=lambda s=s: [s.reject([rejection(request_id="x")], now=NOW) for _ in range(30)])
        for s in (store, other)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [row["id"] for row in store.rejections(limit=100)] == list(range(1, 61))


def test_the_newest_before_a_time_come_in_the_order_of_their_ids(store):
    """By another way than the other queries: the times of arrival need not be in the order of the ids."""
    for number, minute in enumerate([5, 1, 4, 2, 3]):
        record(store, body_of(text(f"wamid.{number}")), at=NOW + timedelta(minutes=minute))
    for delivery in claim(store):
        finish(store, delivery)
    until = Query(until=NOW + timedelta(minutes=4))
    assert [event["message_id"] for event in store.find(until, limit=2, newest=True)] == ["wamid.3", "wamid.4"]
    assert [event["message_id"] for event in store.find(until, limit=2)] == ["wamid.1", "wamid.3"]


# -- claims


def test_claimers_at_once_never_share_and_leave_nothing(backend, store):
    ids = set(record(store, *[b"x"] * 600))
    found = Queue()

    def work(number):
        with closing(backend.open()) as mine:
            turn = 0
            while got := claim(mine, limit=7, token=f"{number}.{turn}"):
                found.put([delivery.id for delivery in got])
                turn += 1

    threads = [threading.Thread(target=work, args=(number,)) for number in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    taken = [ident for batch in list(found.queue) for ident in batch]
    assert len(taken) == len(set(taken)) == 600
    assert set(taken) == ids


def test_a_large_account_does_not_keep_a_small_one_waiting(store):
    by_account(store, "LARGE", 500)
    small = set(by_account(store, "SMALL", 3))
    middle = set(by_account(store, "MIDDLE", 40))
    claimed = claim(store, limit=60)
    ids = {delivery.id for delivery in claimed}
    assert len(claimed) == 60
    assert small <= ids
    assert len(middle & ids) == 20
    assert len(claim(store, limit=100, token="u")) == 100  # shares that are not used are not lost


def test_the_same_for_events_that_are_due(store):
    for account, count in (("LARGE", 50), ("SMALL", 2)):
        by_account(store, account, count)
    due = Verdict(state=FAILED, error="no", next_attempt_at=NOW)
    finish(store, *claim(store, limit=100), verdict=due)
    assert {event.key for event in claim_events(store, limit=10)} >= {
        "message:P1:wamid.SMALL.0",
        "message:P1:wamid.SMALL.1",
    }


def test_of_more_accounts_than_one_takes_the_oldest_is_first(store):
    """Round and round: nobody waits for ever because of the name that they have."""
    for number in range(30, 0, -1):
        by_account(store, f"A{number:02}", 2)
    order = [delivery.id for turn in range(6) for delivery in claim(store, limit=10, token=f"t{turn}")]
    assert sorted(order) == list(range(1, 61))
    assert 1 in order[:10]


def test_a_claim_whose_answer_was_lost_is_told_again_also_at_the_same_time(backend, store, other):
    record(store, *[b"x"] * 20)
    results = Queue()
    threads = [
        threading.Thread(target=lambda s=s: results.put([d.id for d in claim(s, limit=5, token="t")]))
        for s in (store, other)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results.get() == results.get()


def test_stats_show_who_works_and_what_they_have(backend, store, other):
    record(store, *[b"x"] * 5)
    assert store.counts()["workers"] == []
    with closing(psycopg.connect(backend.url)) as db:
        (now,) = db.execute("select now()").fetchone()
    claim(store, limit=3, now=now)
    claim(other, limit=1, token="u", now=now)
    workers = {worker["name"]: worker for worker in store.counts()["workers"]}
    assert {worker["deliveries"] for worker in workers.values()} == {1, 3}
    store.release("t")
    assert sum(worker["deliveries"] for worker in store.counts()["workers"]) == 1


# -- repeated, because the answer was lost


class Forgetful:
    """A transport that loses every answer once, after the commit."""

    def __init__(self, inner):
        self.inner, self.name = inner, inner.name
        self.lost = set()

    def call(self, function, args):
        answer = self.inner.call(function, args)
        if repr(args) not in self.lost:
            self.lost.add(repr(args))
            raise StoreUnavailableError("the answer was lost")
        return answer

    def close(self):
        self.inner.close()


def test_nothing_is_done_twice_because_an_answer_was_lost(store):
    store._transport = Forgetful(store._transport)
    assert record(store, body_of(text("wamid.1")), b"no json") == [1, 2]
    claimed = claim(store)
    tally = finish(store, *claimed, verdict=Verdict(state=FAILED, error="no", next_attempt_at=NOW))
    assert (tally.deliveries, tally.new, tally.failed, tally.lost) == (2, 2, 2, 0)
    (first, second) = claim_events(store)
    assert [first.id, second.id] == [1, 2]
    store.release("e")
    store.reject([rejection()], now=NOW, more={"slow": 2})
    assert store.rejection_counts(since=NOW)["total"] == 3
    counts = store.counts()
    assert (counts["deliveries"], counts["events"]["failed"]) == (2, 2)


def test_a_delivery_with_a_nonce_is_recorded_once_whoever_appends_it(store, other):
    delivery = Delivery(body=b"x", received_at=NOW, nonce="n1")
    assert store.append([delivery]) == other.append([delivery, Delivery(body=b"y", received_at=NOW)])[:1] == [1]
    assert store.counts()["deliveries"] == 2


# -- the log is for ever


@pytest.mark.parametrize("as_role", ["owner", "service_role"])
@pytest.mark.parametrize(
    "statement",
    [
        "delete from wa_deliveries",
        "delete from wa_events",
        "delete from wa_attempts",
        "delete from wa_runs",
        "truncate wa_deliveries cascade",
        "truncate wa_events cascade",
        "truncate wa_attempts",
        "truncate wa_runs",
        "update wa_deliveries set body = 'x'",
        "update wa_deliveries set received_at = now()",
        "update wa_events set payload_original = '{}'",
        "update wa_events set fecha_recepcion = now()",
        "update wa_events set tipo_evento = 'x'",
        "update wa_events set event_key = 'x' || id",
        "update wa_attempts set error = 'x'",
        "update wa_runs set command = 'x'",
    ],
)
def test_the_log_is_for_ever(backend, store, as_role, statement):
    fill(store)
    store.requeue(Query(states=(FAILED,)), run_of(), now=NOW)
    with transaction(backend) as db:
        if as_role == "service_role":
            db.execute("set role service_role")
        with pytest.raises(psycopg.Error) as refusal:
            db.execute(statement)
    assert refusal.value.sqlstate in ("P0001", "42501")
    assert len(log(store)) == 3


# -- errors


def test_a_server_that_is_not_there_is_unavailable_and_its_password_unsaid():
    with pytest.raises(StoreUnavailableError) as told:
        stores.open_store("postgresql://ana:hush@127.0.0.1:1/none")
    exc = told.value
    assert "hush" not in str(exc) + str(exc.hint)


@pytest.mark.parametrize("url", ["postgresql://ana:hu sh@[::1/x", "postgresql://ana:hush@host:port/x"])
def test_what_is_no_url_is_told_without_saying_it(url):
    with pytest.raises((ConfigError, StoreError)) as told:
        stores.open_store(url)
    assert "hu" not in str(told.value)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("sqlite:wa-hooks.db", "sqlite:wa-hooks.db"),
        ("postgresql://ana:h@u/s:h@host:5432/db", "postgresql://ana@host:5432/db"),
        (
            "postgresql://ana@host/db?sslmode=require&password=hush",
            "postgresql://ana@host/db?sslmode=require&password=...",
        ),
        ("postgresql://host/db", "postgresql://host/db"),
    ],
)
def test_a_store_is_shown_without_its_password(url, shown):
    assert stores.shown(url) == shown


@pytest.mark.parametrize("command", ["work", "doctor", "stats", "tail-log", "replay -"])
def test_no_command_says_a_password(backend, command):
    url = backend.url.replace("postgres@", "postgres:hush@")
    for store in (url, url.replace("/wa_hooks", "/none_"), url.replace("127.0.0.1", "[127.0.0.1")):
        program = subprocess.Popen(
            [sys.executable, "-m", "wa_hooks_cli", *command.split()],
            env={"PATH": os.environ["PATH"], "WA_HOOKS_STORE": store},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        with contextlib.suppress(subprocess.TimeoutExpired):
            program.wait(2.0 if command == "work" else 30)
        program.terminate()
        said, _ = program.communicate()
        assert said or command == "tail-log"
        assert "hush" not in said


def test_an_empty_database_is_looked_at_and_left_alone(backend):
    with scratch(backend) as url:
        with pytest.raises(StoreRejectedError):
            stores.open_store(url, create=False)
        with closing(psycopg.connect(url)) as db:
            assert db.execute("select count(*) from pg_tables where schemaname = 'public'").fetchone() == (0,)


def test_two_migrate_at_once_and_one_does_it(backend):
    with scratch(backend) as url:
        results = Queue()

        def open_it():
            with closing(stores.open_store(url)) as opened:
                results.put(opened.migrate())

        threads = [threading.Thread(target=open_it) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [results.get_nowait() for _ in threads] == [[], [], []]


def test_a_newer_schema_is_refused(backend):
    with scratch(backend) as url:
        stores.open_store(url).close()
        with closing(psycopg.connect(url, autocommit=True)) as db:
            db.execute("insert into wa_migrations (name) values ('9999_later')")
        with pytest.raises(SchemaMismatchError, match="newer"):
            stores.open_store(url)


@contextmanager
def scratch(backend):
    """A database without anything in it."""
    admin = psycopg.conninfo.conninfo_to_dict(backend.superuser_url)
    with closing(psycopg.connect(backend.superuser_url, autocommit=True)) as db:
        db.execute("drop database if exists wa_hooks_scratch")
        db.execute("create database wa_hooks_scratch owner postgres")
        try:
            yield f"postgresql://postgres@{admin['host']}:{admin['port']}/wa_hooks_scratch"
        finally:
            db.execute("drop database wa_hooks_scratch with (force)")


def test_a_connection_that_was_cut_is_made_anew(backend, store):
    record(store, b"1")
    with closing(psycopg.connect(backend.superuser_url, autocommit=True)) as db:
        db.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where application_name = 'wa-hooks' and pid <> pg_backend_pid()"
        )
    assert record(store, b"2") == [2]
    assert [delivery.body for delivery in claim(store)] == [b"1", b"2"]


def test_what_waits_for_nothing_is_never_recorded_far_away(store):
    with pytest.raises(StoreUnavailableError):
        store.append([Delivery(body=b"x", received_at=NOW)], wait=False)
    assert store.counts()["deliveries"] == 0


def test_a_lease_that_ended_is_anybodys_though_its_owner_still_works(store, other):
    record(store, body_of(text("wamid.1")))
    (slow,) = claim(store, token="slow")
    (quick,) = claim(other, token="quick", now=NOW + LEASE + timedelta(seconds=1))
    assert finish(other, quick).new == 1
    assert finish(store, slow).lost == 1
