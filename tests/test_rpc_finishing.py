"""Finishing in Postgres: the rows that SQLite has, whatever happens, by whomever, in whatever order."""

import threading
import time
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from random import Random

import pytest
from backends import CRM_TABLES, SqliteMemory, crm
from building import START, Clock, body_of, envelope, message, value_of
from databases import Postgres
from histories import happenings
from hypothesis import given, settings
from hypothesis import strategies as st
from test_convergence import FIXTURES, batched
from test_settling import one_of_many
from test_store_contract import LEASE, NOW, claim, log, outcomes, record

from wa_webhooks.changes import LeadSeen, MessageSeen
from wa_webhooks.errors import StoreRejectedError, StoreUnavailableError
from wa_webhooks.pipeline import Pipeline
from wa_webhooks.stores.base import DEAD, PROCESSED, Delivery, Query, Tally
from wa_webhooks.stores.rpc.finishing import _EVENTS_AT_ONCE

LOG_COLUMNS = ["event_key", "digest", "state", "attempts", "error", "tipo_evento", "handled_by", "error_class"]


@pytest.fixture
def backend():
    return Postgres(None)


def everything(backend, store):
    """The CRM, and what the log says of events, attempts, deliveries and drift, free of ids."""
    found = {table: sorted(map(_plain, rows)) for table, rows in crm(backend, store).items() if table in CRM_TABLES}
    for table, columns in {
        "wa_events": LOG_COLUMNS,
        "wa_attempts": ["attempt", "at", "state", "error", "error_class", "handler_version", "run_id"],
        "wa_delivery_work": ["delivery_id", "events", "duplicates"],
        "wa_drift": ["kind", "path", "detail", "events", "first_at", "last_at"],
    }.items():
        found[table] = sorted(map(_plain, backend.rows(store, f"SELECT {', '.join(columns)} FROM {table}")))
    return found


def _plain(row):
    """A row that compares alike, whether a database has truth values or not."""
    return repr(sorted((name, int(value) if isinstance(value, bool) else value) for name, value in row.items()))


@contextmanager
def worked(backend, bodies, *, limit=500):
    """A store that has processed the bodies, and the tally of it."""
    with closing(backend.open()) as store:
        store.append([Delivery(body=body, received_at=START) for body in bodies])
        pipeline, total = Pipeline(store=store, clock=Clock()), Tally()
        while (tally := pipeline.process(limit=limit)).deliveries:
            total.add(tally)
        yield store, total


def assert_alike(bodies, *, limit=500):
    backend, lite = Postgres(None), SqliteMemory(None)
    with worked(backend, bodies, limit=limit) as (one, tally), worked(lite, bodies, limit=limit) as (other, expected):
        assert tally == expected
        rows = everything(lite, other)
        found = everything(backend, one)
        for table in rows:
            assert found[table] == rows[table], table


def many(seed, unusual, size=150, accounts=("W1",)):
    """Deliveries about few people, messages and seconds, so that they meet; some come twice."""
    random = Random(seed)
    bodies = []
    for _ in range(size):
        values = [one_of_many(random, unusual) for _ in range(random.choice([1, 1, 2]))]
        bodies.append(body_of(envelope(*values, account=random.choice(accounts))))
        if random.random() < 0.1:
            bodies.append(random.choice(bodies))
    return bodies


# -- the same rows


@pytest.mark.parametrize("limit", [500, 20])
def test_of_all_fixtures(backend, limit):
    assert_alike([file.read_bytes() for file in FIXTURES] * 2, limit=limit)


@pytest.mark.parametrize("unusual", [0.0, 0.03, 0.4])
@pytest.mark.parametrize("seed", range(3))
def test_of_few_people_who_meet(backend, seed, unusual):
    assert_alike(many(seed, unusual), limit=Random(seed).choice([500, 20, 3]))


@settings(max_examples=20)
@given(st.lists(happenings(), min_size=1, max_size=25), st.integers(0, 2**32))
def test_whatever_happens(history, seed):
    random = Random(seed)
    assert_alike(list(batched(history, random)), limit=random.choice([1, 3, 50]))


# -- poison


def texts(*idents):
    return [body_of(envelope(value_of(messages=[message(id=ident)]))) for ident in idents]


class Unheard:
    """What no database has heard of."""


POISON = {
    "a direction that is none": {"direction": "sideways"},
    "a number that is too large": {"error_code": 10**40},
    "a number that is nearly too large": {"error_code": 2**63},
    "no number at all": {"error_code": float("nan")},
    "an endless number": {"error_code": float("inf")},
    "words for a number": {"error_code": "many"},
    "words for a time": {"at": "yesterday"},
    "no time": {"at": None},
    "no JSON": {"content": "{"},
    "a thing": {"text": Unheard()},
    "a list": {"text": ["a"]},
    "bytes": {"text": b"a"},
    "an id that no index takes": {"reply_to": "".join(Random(1).choices("abcdefghij0123456789", k=9000))},
}


@pytest.mark.parametrize("poison", POISON)
def test_a_poisonous_event_fails_alone_among_many(backend, poison):
    with closing(backend.open()) as store:
        record(store, *texts(*(f"wamid.{number}" for number in range(60))))
        deliveries = claim(store, limit=100)
        results = outcomes(*deliveries)
        seen, said = results[37].changes
        results[37] = replace(results[37], changes=(seen, replace(said, **POISON[poison])))
        tally = store.finish(results, now=NOW, handler_version="1", deliveries=deliveries)
        assert (tally.processed, tally.dead, tally.new, tally.deliveries) == (59, 1, 60, 60)
        assert [event["message_id"] for event in log(store, states=(DEAD,))] == ["wamid.37"]
        assert "cannot be stored" in log(store, states=(DEAD,))[0]["error"]
        assert [event["message_id"] for event in log(store)] == [f"wamid.{number}" for number in range(60)]
        assert store.counts()["messages"] == 59


@pytest.mark.parametrize("text", ["a\x00b", "\ud83d", "a\ud800\x00"])
def test_what_no_text_can_hold_is_replaced(backend, text):
    with closing(backend.open()) as store:
        record(store, *texts("wamid.1"))
        (delivery,) = claim(store)
        (result,) = outcomes(delivery)
        seen, said = result.changes
        person = replace(seen.person, wa_id=text)
        changes = (replace(seen, name=text, person=person), replace(said, text=text, person=person))
        tally = store.finish(
            [replace(result, changes=changes, handled_by=text)], now=NOW, handler_version="1", deliveries=[delivery]
        )
        assert tally.processed == 1
        (row,) = backend.rows(store, "SELECT text, lead_id FROM wa_messages")
        assert row["text"] == text.replace("\x00", "�").replace("\ud83d", "�").replace("\ud800", "�")
        assert row["lead_id"] is not None


def test_an_event_whose_ids_are_beyond_measure_is_logged_all_the_same(backend):
    huge = "".join(Random(1).choices("abcdefghij0123456789", k=50_000))
    with closing(backend.open()) as store:
        record(store, *texts(huge, "wamid.2"), *texts(huge))
        tally = Pipeline(store=store, clock=Clock()).drain()
        assert (tally.new, tally.duplicates, tally.deliveries) == (2, 1, 3)
        assert {event["message_id"]: event["state"] for event in log(store)}["wamid.2"] == PROCESSED


# -- answers that are lost, leases, slices


class Deaf:
    """A transport that does what it is told, and loses the answers of `wa_finish`, so many times."""

    def __init__(self, transport, times):
        self._transport, self._left, self.name = transport, times, transport.name

    def call(self, function, args):
        answer = self._transport.call(function, args)
        if function == "wa_finish" and self._left:
            self._left -= 1
            raise StoreUnavailableError("no answer")
        return answer

    def close(self):
        self._transport.close()


def test_who_lost_the_answer_is_told_the_same(backend):
    with closing(backend.open()) as store:
        store._transport = Deaf(store._transport, 2)
        record(store, *texts("wamid.1", "wamid.2", "wamid.1"))
        tally = Pipeline(store=store, clock=Clock()).drain()
        assert (tally.new, tally.duplicates, tally.processed, tally.lost) == (2, 1, 2, 0)
        assert {event["attempts"] for event in log(store)} == {1}


def test_a_delivery_of_many_events_is_finished_call_by_call(backend):
    items = [message(id=f"wamid.{number}") for number in range(2 * _EVENTS_AT_ONCE + 20)]
    items += items[:: _EVENTS_AT_ONCE // 2]
    before = texts("wamid.0")
    assert_alike([*before, body_of(envelope(value_of(messages=items)))])


def test_what_was_settled_before_the_store_failed_is_told(backend):
    items = [message(id=f"wamid.{number}") for number in range(_EVENTS_AT_ONCE + 20)]
    with closing(backend.open()) as store:
        record(store, body_of(envelope(value_of(messages=items))))
        (delivery,) = claim(store)
        results = outcomes(delivery)
        call, calls = store._transport.call, []

        def once(function, args):
            calls.append(function)
            if len(calls) > 1:
                raise StoreRejectedError("no more")
            return call(function, args)

        store._transport.call = once
        assert store.finish(results, now=NOW, handler_version="1", deliveries=[delivery]).left == 20
        store._transport.call = call
        done = len(results) - 20
        rest = store.finish(results, now=NOW, handler_version="1", deliveries=[delivery], after=done)
        assert (rest.new, rest.duplicates, rest.left, rest.deliveries) == (20, 0, 0, 1)
        (work,) = backend.rows(store, "SELECT events, duplicates FROM wa_delivery_work")
        assert tuple(work.values()) == (len(results), 0)


def test_what_takes_too_long_for_one_call_is_done_in_smaller_ones(backend):
    """Supabase ends a call after eight seconds; here it is a fifth of one, and each event takes its time."""
    backend.run(
        None,
        "create function wa_test_slow() returns trigger language plpgsql as"
        " $$ begin perform pg_sleep(0.005); return new; end $$;"
        "create trigger wa_test_slow before insert on wa_events for each row execute function wa_test_slow()",
    )
    try:
        with closing(backend.open()) as store:
            with store._transport._connected() as db:
                db.execute("set statement_timeout = '200ms'")
            record(store, *texts(*(f"wamid.{number}" for number in range(100))))
            pipeline, tries = Pipeline(store=store), 0
            while store.counts()["events"]["processed"] < 100:
                with suppress(StoreUnavailableError):
                    pipeline.process()
                tries += 1
                assert tries < 10
    finally:
        backend.run(None, "drop trigger wa_test_slow on wa_events; drop function wa_test_slow()")


def test_who_begins_a_delivery_anew_counts_no_duplicates_of_its_own(backend):
    items = [message(id=f"wamid.{number}") for number in range(_EVENTS_AT_ONCE + 20)]
    with closing(backend.open()) as store:
        record(store, body_of(envelope(value_of(messages=items))))
        (first,) = claim(store)
        call = store._transport.call
        store._transport.call = lambda function, args: call(function, args) if len(args["events"]) > 20 else 1 / 0
        with pytest.raises(ZeroDivisionError):
            store.finish(outcomes(first), now=NOW, handler_version="1", deliveries=[first])
        store._transport.call = call
        (again,) = claim(store, token="other", now=NOW + LEASE)
        tally = store.finish(outcomes(again), now=NOW + LEASE, handler_version="1", deliveries=[again])
        assert (tally.new, tally.duplicates) == (20, 0)
        assert {event["attempts"] for event in store.find(Query(), limit=9999)} == {1}


def test_what_the_database_cannot_do_now_is_no_fault_of_an_event(backend):
    with closing(backend.open()) as store:
        record(store, *texts("wamid.1", "wamid.2"))
        deliveries = claim(store)
        backend.run(store, "alter table wa_messages rename to wa_messages_gone")
        try:
            with pytest.raises(Exception, match="lacks"):
                store.finish(outcomes(*deliveries), now=NOW, handler_version="1", deliveries=deliveries)
        finally:
            backend.run(store, "alter table wa_messages_gone rename to wa_messages")
        assert log(store) == []
        assert store.finish(outcomes(*deliveries), now=NOW, handler_version="1", deliveries=deliveries).processed == 2


# -- several at once


@pytest.mark.parametrize(("seed", "unusual"), [(1, 0.0), (2, 0.1), (3, 0.4)])
def test_several_workers_come_to_what_one_does(backend, seed, unusual):
    bodies = many(seed, unusual, 250, accounts=("W1", "W1", "W2", "W3"))
    with closing(backend.open()) as store:
        store.append([Delivery(body=body, received_at=START) for body in bodies])
        tallies = at_once(backend, [seed * 10 + number for number in range(4)])
        with worked(SqliteMemory(None), bodies) as (other, expected):
            assert sum(tally.new for tally in tallies) == expected.new
            assert sum(tally.duplicates for tally in tallies) == expected.duplicates
            assert sum(tally.lost for tally in tallies) == 0
            rows, found = crm(SqliteMemory(None), other), crm(backend, store)
            for table in CRM_TABLES:
                assert sorted(map(_plain, found[table])) == sorted(map(_plain, rows[table])), table
        assert {row["attempts"] for row in backend.rows(store, "SELECT attempts FROM wa_events")} == {1}


def at_once(backend, seeds):
    """Workers in threads, a connection each, until nothing is left; return their tallies."""
    tallies, failures = [], []

    def work(seed):
        random, total = Random(seed), Tally()
        try:
            with closing(backend.open()) as store:
                pipeline = Pipeline(store=store, clock=lambda: START + timedelta(seconds=1))
                idle = 0
                while idle < 5:
                    tally = pipeline.process(limit=random.choice([1, 5, 30]))
                    total.add(tally)
                    idle = 0 if tally.deliveries or tally.lost else idle + 1
                    time.sleep(0.01 if idle else 0)
        except Exception as exc:  # noqa: BLE001 - the test tells what it was
            failures.append(exc)
        tallies.append(total)

    threads = [threading.Thread(target=work, args=[seed]) for seed in seeds]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    return tallies


def test_two_who_finish_the_same_apply_it_once(backend):
    """One lost its lease to the other, and both finish at the same moment."""
    with closing(backend.open()) as store, closing(backend.open()) as other:
        for number in range(10):
            record(store, *texts(f"wamid.{number}"))
            mine = claim(store, token=f"mine{number}")
            theirs = claim(other, token=f"theirs{number}", now=NOW + LEASE)
            tallies = []

            def finish(by, deliveries, tallies=tallies):
                tallies.append(by.finish(outcomes(*deliveries), now=NOW, handler_version="1", deliveries=deliveries))

            threads = [
                threading.Thread(target=finish, args=[by, each]) for by, each in ((store, mine), (other, theirs))
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert sorted((tally.new, tally.lost) for tally in tallies) == [(0, 1), (1, 0)]
        assert {event["attempts"] for event in log(store)} == {1}


def test_changes_are_told_apart_from_their_copies():
    """What is passed to `finish` is not changed."""
    with closing(SqliteMemory(None).open()) as store:
        record(store, *texts("wamid.1"))
        (result,) = outcomes(*claim(store))
        before = repr(result)
        from wa_webhooks.stores.rpc.finishing import Parts  # noqa: PLC0415 - of this test alone

        list(Parts([result], [], now=NOW, handler_version="1").calls(0))
        assert repr(result) == before
        assert [type(change) for change in result.changes] == [LeadSeen, MessageSeen]
