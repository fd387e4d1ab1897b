"""Finishing many events: together or one by one, in one slice or many, to the end or until the process dies."""

import threading
from contextlib import closing, contextmanager
from dataclasses import replace
from random import Random

import pytest
from backends import CRM_TABLES, SqliteFile, SqliteMemory, crm
from bench_drain import traffic
from building import START, Clock, body_of, envelope, message, status, value_of
from histories import happenings
from hypothesis import given
from hypothesis import strategies as st
from test_convergence import FIXTURES, batched
from test_store_contract import LEASE, NOW, claim, log, outcomes, record, text
from test_store_contract import body_of as texts

from wa_webhooks.errors import StoreUnavailableError
from wa_webhooks.pipeline import Pipeline
from wa_webhooks.stores.base import DEAD, PROCESSED, Delivery, Query
from wa_webhooks.stores.sqlite import SqliteStore
from wa_webhooks.stores.sqlite.settling import _AT_ONCE
from wa_webhooks.stores.sqlite.together import Together

LOG_TABLES = ("wa_events", "wa_attempts", "wa_delivery_work", "wa_drift")


class Crash(BaseException):
    """The process dies here."""


class OneByOne(SqliteStore):
    """A store that settles every event on its own."""

    def _transact(self, work, *, together):
        return super()._transact(work, together=False)


class Sliced(SqliteStore):
    """A store for whose write lock somebody always waits; it dies, or fails, before its n-th slice."""

    slices = 0
    fails_at, failure = None, Crash

    def _wanted(self):
        return True

    def _transact(self, work, *, together):
        self.slices += 1
        if self.slices == self.fails_at:
            raise self.failure
        return super()._transact(work, together=together)


@contextmanager
def worked(kind, bodies, *, limit=500):
    """A store of that kind that has processed the bodies."""
    with closing(kind(":memory:")) as store:
        store.append([Delivery(body=body, received_at=START) for body in bodies])
        pipeline = Pipeline(store=store, clock=Clock())
        while pipeline.process(limit=limit).deliveries:
            pass
        yield store


def everything(store):
    """Every row, as it is; the ids of messages and calls apart, which nothing refers to, and tokens."""
    found = {}
    for table in (*LOG_TABLES, *CRM_TABLES):
        rows = [dict(row) for row in store._db.execute(f"SELECT * FROM {table}")]
        for row in rows:
            row.pop("lease_token", None)
            if table in ("wa_messages", "wa_calls"):
                del row["id"]
        found[table] = sorted(rows, key=repr)
    return found


# -- together, or one by one


USUAL = [("5511900000012", "BR.1"), ("447700900123", "GB.2"), ("33639980017", None), (None, "ES.4")]
UNUSUAL = [
    ("5511900000012", None),
    ("447700900123", "BR.1"),
    ("33639980017", "FR.3"),
    ("551190000012", "BR.1"),
    (None, "GB.2"),
    ("34600000017", "ES.4"),
    ("34600000017", None),
]
PARENTS = {"BR.1": "BR.ENT.X", "GB.2": "BR.ENT.X"}


def about(random, number, unusual):
    """The ids of the person of a message: those that they usually have, or some that put a doubt on who they are."""
    phone, user = random.choice(UNUSUAL) if random.random() < unusual else USUAL[number % len(USUAL)]
    parent = PARENTS.get(user) if random.random() < unusual / 4 else None
    return {"wa_id": phone, "user_id": user, "parent_user_id": parent}


def one_of_many(random, unusual):
    """A message, status or change of number among few people, messages and seconds, so that they meet."""
    number = random.randrange(90)
    ids = {name: value for name, value in about(random, number, unusual).items() if value}
    contacts = [{**ids, "profile": {"name": random.choice(["Ana", "Bea"])}}]
    common = {"id": f"wamid.{number}", "timestamp": str(1795000000 + random.randrange(40))}
    if random.random() < unusual / 10 and "wa_id" in ids:
        moved = {"type": "user_changed_number", "wa_id": random.choice(UNUSUAL)[0] or "34600000018"}
        item = message("system", moved, **{**common, "from": ids["wa_id"]})
        return value_of(messages=[item])
    if random.random() < 0.2:
        kind = random.choice(["text", "unsupported"])
        body = {"body": random.choice("xyz")} if kind == "text" else {"type": "poll"}
        item = {**message(kind, body, **common), "from": ids.get("wa_id"), "from_user_id": ids.get("user_id")}
        return value_of(contacts=contacts, messages=[item])
    item = {**common, "status": random.choice(["sent", "delivered", "read", "played", "failed"])}
    item |= {"recipient_id": ids.get("wa_id"), "recipient_user_id": ids.get("user_id")}
    item |= {"biz_opaque_callback_data": random.choice([None, "one", "two"])}
    item |= {"pricing": random.choice([{}, {"category": "marketing", "pricing_model": "PMP", "billable": True}])}
    if item["status"] == "failed":
        item["errors"] = [{"code": random.choice([131026, 131049]), "title": "no"}]
    return value_of(contacts=random.choice([contacts, []]), statuses=[item])


@pytest.mark.parametrize("unusual", [0.0, 0.03, 0.4])
@pytest.mark.parametrize("seed", range(8))
def test_together_and_one_by_one_give_the_same_rows(seed, unusual):
    random = Random(seed)
    bodies = []
    for _ in range(random.choice([150, 300])):
        values = [one_of_many(random, unusual) for _ in range(random.choice([1, 1, 2]))]
        bodies.append(body_of(envelope(*values)))
        if random.random() < 0.1:
            bodies.append(random.choice(bodies))
    for limit in (500, 20):
        with worked(SqliteStore, bodies, limit=limit) as one, worked(OneByOne, bodies, limit=limit) as other:
            assert everything(one) == everything(other)


def told(at, ids, *, wamid=None, kind="sent", **more):
    """A status at a second, to somebody with these ids: (phone, user id)."""
    named = {"recipient_id": ids[0], "recipient_user_id": ids[1], "timestamp": str(1795000000 + at)}
    return value_of(statuses=[{**status(kind, id=wamid or f"wamid.{at}"), **named, **more}])


def said(at, ids, words, *, wamid):
    named = {"from": ids[0], "from_user_id": ids[1], "timestamp": str(1795000000 + at)}
    return value_of(messages=[{**message("text", {"body": words}, id=wamid), **named}])


def echoed(at, ids, words, *, wamid):
    (item,) = said(at, ids, words, wamid=wamid)["messages"]
    return value_of(
        message_echoes=[{**item, "from": "15550100101", "to": ids[0], "from_user_id": None, "to_user_id": ids[1]}]
    )


PHONE = "5511900000012"
STORIES = {
    "a number that two have had, and who had it in between": [
        [told(10, (PHONE, "BR.1")), told(15, (PHONE, "BR.2")), told(13, (PHONE, None))],
        [told(12, (PHONE, "BR.2"))],
    ],
    "a message to somebody, then to somebody else": [
        [told(1, (None, "BR.1"), wamid="m"), told(1, (None, "BR.2"))],
        [told(2, (None, "BR.2"), wamid="m", kind="delivered"), told(3, (None, "BR.1"), wamid="m", kind="read")],
    ],
    "a message told twice, and a status of it": [
        [said(1, (PHONE, "BR.1"), "one", wamid="m"), echoed(2, (PHONE, "BR.1"), "two", wamid="m")],
        [said(1, (PHONE, "BR.1"), "one", wamid="n"), told(2, (PHONE, "BR.1"), wamid="n")],
        [told(2, (PHONE, "BR.1"), wamid="o"), said(1, (PHONE, "BR.1"), "one", wamid="o")],
    ],
}


@pytest.mark.parametrize("story", STORIES)
def test_together_and_one_by_one_tell_the_same_story(story):
    bodies = [body_of(envelope(*values)) for values in STORIES[story]]
    for limit in (1, 500):
        with worked(SqliteStore, bodies, limit=limit) as one, worked(OneByOne, bodies, limit=limit) as other:
            assert everything(one) == everything(other)
            assert {event["state"] for event in log(one)} == {PROCESSED}


@given(st.lists(happenings(), min_size=1, max_size=40), st.integers(0, 2**32))
def test_together_and_one_by_one_give_the_same_rows_whatever_happens(history, seed):
    bodies = list(batched(history, Random(seed)))
    with worked(SqliteStore, bodies, limit=7) as one, worked(OneByOne, bodies, limit=7) as other:
        assert everything(one) == everything(other)


def test_together_and_one_by_one_give_the_same_rows_of_all_fixtures():
    bodies = [file.read_bytes() for file in FIXTURES]
    with worked(SqliteStore, bodies * 2) as one, worked(OneByOne, bodies * 2) as other:
        assert everything(one) == everything(other)


def test_together_and_one_by_one_give_the_same_rows_of_ordinary_traffic():
    bodies = list(traffic(1500))
    with worked(SqliteStore, bodies) as one, worked(OneByOne, bodies) as other:
        assert everything(one) == everything(other)


def test_ordinary_traffic_is_settled_together(monkeypatch):
    taken = []
    take = Together.take
    monkeypatch.setattr(Together, "take", lambda *args: taken.append(take(*args)) or taken[-1])
    with worked(SqliteStore, traffic(1500)):
        assert taken.count(True) == len(taken) == 1500


def test_a_poisonous_event_fails_alone_among_many():
    """It can be told only as it is written, with all the others."""
    bodies = [texts(text(f"wamid.{number}")) for number in range(100)]
    with closing(SqliteStore(":memory:")) as store:
        record(store, *bodies)
        deliveries = claim(store, limit=100)
        results = outcomes(*deliveries)
        seen, said = results[70].changes
        results[70] = replace(results[70], changes=(seen, replace(said, text="\ud800")))
        tally = store.finish(results, now=NOW, handler_version="1", deliveries=deliveries)
        assert (tally.processed, tally.dead, tally.deliveries) == (99, 1, 100)
        assert [event["message_id"] for event in log(store, states=(DEAD,))] == ["wamid.70"]
        assert store.counts()["messages"] == 99


# -- in slices


def large(events=200):
    """A delivery of many events, of which every tenth is there twice, and its first was delivered before."""
    items = [message(id=f"wamid.{number}", timestamp=str(1795000000 + number)) for number in range(events)]
    items += items[::10]
    statuses = [status("delivered", id=f"wamid.S{number % 7}") for number in range(50)]
    return body_of(envelope(value_of(messages=items, statuses=statuses)))


BEFORE = body_of(envelope(value_of(messages=[message(id="wamid.0", timestamp="1795000000")])))
EVENTS, DUPLICATES = 270, 1 + 20 + 43


def test_slices_come_to_the_same_as_one_transaction():
    with worked(SqliteStore, [BEFORE, large()]) as one, worked(Sliced, [BEFORE, large()]) as other:
        assert other.slices > 5
        assert everything(one) == everything(other)
        (work,) = other._db.execute("SELECT events, duplicates FROM wa_delivery_work WHERE delivery_id = 2")
        assert tuple(work) == (EVENTS, DUPLICATES)


@pytest.mark.parametrize("slice_", range(2, 11))
def test_who_dies_between_two_slices_leaves_no_trace(tmp_path, slice_):
    backend, clock = SqliteFile(tmp_path), Clock()
    dying = Sliced(str(backend.path))
    dying.fails_at = slice_
    dying.append([Delivery(body=body, received_at=START) for body in (BEFORE, large(), large())])
    with pytest.raises(Crash):
        Pipeline(store=dying, clock=clock).drain()
    partly = log(dying, delivery=2)
    dying.close()
    clock.later(minutes=5)
    with closing(backend.open()) as store:
        Pipeline(store=store, clock=clock).drain()
        works = backend.rows(store, "SELECT events, duplicates FROM wa_delivery_work ORDER BY delivery_id")
        assert [tuple(work.values()) for work in works] == [(1, 0), (EVENTS, DUPLICATES), (EVENTS, EVENTS)]
        assert {row["attempts"] for row in backend.rows(store, "SELECT attempts FROM wa_events")} == {1}
        assert log(store, delivery=2)[: len(partly)] == partly
        with worked(SqliteStore, [BEFORE, large(), large()]) as unbroken:
            assert crm(backend, store) == crm(SqliteMemory(None), unbroken)
            assert [e["event_key"] for e in log(store)] == [e["event_key"] for e in log(unbroken)]


@pytest.mark.parametrize("backend", ["sqlite-file", "sqlite-memory"], indirect=True)
def test_what_failed_before_the_process_died_is_left_to_its_schedule(store):
    """The delivery is split again; its own event, failed meanwhile, is no duplicate that is to be settled."""
    record(store, texts(*(text(f"wamid.{number}") for number in range(40))))
    (first,) = claim(store)
    half = outcomes(first)[:20]
    half[3] = replace(half[3], verdict=half[3].if_not_applied)
    store.finish(half, now=NOW, handler_version="1", deliveries=[])  # as nothing is held, nothing is done
    assert log(store) == []
    sliced = outcomes(first)
    sliced[3] = replace(sliced[3], verdict=sliced[3].if_not_applied)
    store._wanted = lambda: True
    store._transact, whole = _first_slice_only(store), store._transact
    assert store.finish(sliced, now=NOW, handler_version="1", deliveries=[first]).left == 40 - _AT_ONCE
    store._transact = whole
    (again,) = claim(store, token="other", now=NOW + LEASE)
    tally = store.finish(outcomes(again), now=NOW + LEASE, handler_version="2", deliveries=[again])
    assert (tally.new, tally.duplicates, tally.left) == (40 - _AT_ONCE, 0, 0)
    assert [event["message_id"] for event in log(store, states=(DEAD,))] == ["wamid.3"]


def _first_slice_only(store):
    transact, calls = store._transact, []

    def once(work, *, together):
        calls.append(work)
        if len(calls) > 1:
            raise StoreUnavailableError("busy")
        return transact(work, together=together)

    return once


def test_a_store_that_fails_between_two_slices_is_asked_again():
    """What is settled is settled and counted once."""
    with closing(Sliced(":memory:")) as store:
        store.fails_at, store.failure = 4, StoreUnavailableError("busy")
        record(store, BEFORE, large())
        tally = Pipeline(store=store, clock=Clock(), sleep=lambda _: None).process()
        assert (tally.deliveries, tally.events, tally.lost, tally.left) == (2, EVENTS + 1, 0, 0)
        assert (tally.new, tally.duplicates) == (EVENTS + 1 - DUPLICATES, DUPLICATES)
        assert {event["attempts"] for event in log(store)} == {1}


def test_who_loses_the_lease_between_two_slices_leaves_the_rest_to_others(tmp_path):
    backend = SqliteFile(tmp_path)
    slow, quick = Sliced(str(backend.path)), backend.open()
    record(slow, BEFORE, large())
    mine = claim(slow, token="slow")
    lost = []

    def another_takes_over():
        if not lost:
            lost.append(claim(quick, token="quick", now=NOW + LEASE))
        return True

    slow._wanted = another_takes_over
    # The other's claim has to wait for the commit: it is made right after the first slice.
    transact = slow._transact

    def then(work, *, together):
        slow._wanted = lambda: True
        tally = transact(work, together=together)
        another_takes_over()
        return tally

    slow._transact = then
    tally = slow.finish(outcomes(*mine), now=NOW, handler_version="1", deliveries=mine)
    assert tally.events + tally.lost == EVENTS + 1
    assert tally.lost > 0
    (theirs,) = lost[0]
    rest = quick.finish(outcomes(theirs), now=NOW, handler_version="1", deliveries=[theirs])
    assert tally.new + rest.new == EVENTS + 1 - DUPLICATES
    (work,) = backend.rows(quick, "SELECT events, duplicates FROM wa_delivery_work WHERE delivery_id = 2")
    assert tuple(work.values()) == (EVENTS, DUPLICATES)
    assert {event["attempts"] for event in quick.find(Query(), limit=999)} == {1}
    slow.close()
    quick.close()


def test_others_write_while_much_is_finished(tmp_path):
    """A delivery of thousands of events does not keep the front waiting until it is through."""
    backend = SqliteFile(tmp_path)
    many = body_of(envelope(value_of(messages=[message(id=f"wamid.{number}") for number in range(4000)])))
    with closing(backend.open()) as store, closing(backend.open(front=True)) as front:
        record(store, many)
        (delivery,) = claim(store)
        results = outcomes(delivery)
        began, ended, appended = threading.Event(), threading.Event(), []

        def receive():
            began.wait()
            while not ended.is_set():
                appended.extend(front.append([Delivery(body=b"{}", received_at=NOW)]))

        thread = threading.Thread(target=receive)
        thread.start()
        began.set()
        tally = store.finish(results, now=NOW, handler_version="1", deliveries=[delivery])
        ended.set()
        thread.join()
        assert tally.processed == 4000
        assert len(appended) > 10


def test_recording_is_synced_and_finishing_need_not_be(tmp_path):
    """What a power cut undoes of finishing is done again, from deliveries that are on the disk."""
    with closing(SqliteFile(tmp_path).open()) as store:
        record(store, texts(text("wamid.1")))
        assert store._db.execute("PRAGMA synchronous").fetchone()[0] == 2  # FULL
        (delivery,) = claim(store)
        store.finish(outcomes(delivery), now=NOW, handler_version="1", deliveries=[delivery])
        assert store._db.execute("PRAGMA synchronous").fetchone()[0] == 1  # NORMAL
        record(store, texts(text("wamid.2")))
        assert store._db.execute("PRAGMA synchronous").fetchone()[0] == 2
