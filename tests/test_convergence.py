"""State is a function of the set of events: order, repetition, batching and crashes leave no trace in the CRM."""

import contextlib
import json
import os
from datetime import timedelta
from itertools import permutations
from pathlib import Path
from random import Random

import pytest
from backends import BACKENDS, SqliteMemory, crm
from building import START, Clock
from histories import as_body, happenings, together
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from wa_webhooks.pipeline import Pipeline, reprocess, start_run
from wa_webhooks.splitting import split
from wa_webhooks.stores import sqlfiles
from wa_webhooks.stores.base import PROCESSED, Delivery, Query

FIXTURES = sorted(
    file
    for file in (Path(__file__).parent.parent / "fixtures").rglob("*.json")
    if not file.name.endswith(".expected.json") and file.parent.name != "broken"
)


class Crash(BaseException):
    """The process dies here."""


class Dying:
    """A store whose process dies before or after its n-th call of a verb."""

    def __init__(self, store, verb, number, *, after):
        self._store, self._verb, self._left, self._after = store, verb, number, after
        self._dead = False

    def __getattr__(self, name):
        if self._dead:
            raise Crash  # the dead clean nothing up
        verb = getattr(self._store, name)
        if name != self._verb:
            return verb

        def call(*args, **more):
            self._left -= 1
            self._dead = self._left == 0
            if self._dead and not self._after:
                raise Crash
            result = verb(*args, **more)
            if self._dead:
                raise Crash
            return result

        return call


def state_after(tmp_path, bodies, *, size=3):
    backend = SqliteMemory(tmp_path)
    store = backend.open()
    pipeline = Pipeline(store=store, clock=Clock())
    for body in bodies:
        store.append([Delivery(body=body, received_at=START)])
        if size == 1:
            pipeline.drain()
    pipeline.drain()
    found = crm(backend, store)
    store.close()
    return found


def parts_of(body):
    """A delivery as many deliveries of one item each."""
    return [json.dumps(event.payload).encode() for event in split(body)]


@given(data=st.data())
def test_order_repetition_and_batching_of_the_fixtures_leave_no_trace(tmp_path, data):
    chosen = data.draw(st.lists(st.sampled_from(FIXTURES), min_size=1, max_size=12, unique=True))
    bodies = [file.read_bytes() for file in chosen]
    in_parts = [part for body in bodies for part in (parts_of(body) if data.draw(st.booleans()) else [body])]
    repeated = in_parts + data.draw(st.lists(st.sampled_from(in_parts), max_size=6))
    shuffled = data.draw(st.permutations(repeated))
    assert state_after(tmp_path, shuffled, size=1) == state_after(tmp_path, sorted(bodies))


def status(kind, at, **more):
    item = {"id": "wamid.S", "status": kind, "timestamp": str(at), "recipient_id": "5511900000012", **more}
    value = {"metadata": {"phone_number_id": "P1"}, "statuses": [item]}
    return json.dumps({"entry": [{"id": "W1", "changes": [{"field": "messages", "value": value}]}]}).encode()


STORY = [
    status("sent", 1795000001, biz_opaque_callback_data="camp:42"),
    status("failed", 1795000002, errors=[{"code": 131026, "title": "undeliverable"}]),
    status("delivered", 1795000003),
    status("delivered", 1795000004),
    status("read", 1795000005),
]


@pytest.mark.parametrize(
    ("told", "shown"),
    [
        (STORY[:1], "sent"),
        (STORY[:2], "failed"),
        (STORY[:3], "delivered"),
        (STORY, "read"),
        (STORY[1:2], "failed"),
        ([STORY[4], STORY[0]], "read"),
    ],
)
def test_a_status_is_a_rank_in_any_order(tmp_path, told, shown):
    states = [state_after(tmp_path, order) for order in permutations(told)]
    assert all(state == states[0] for state in states)
    (message,) = states[0]["wa_messages"]
    assert message["status"] == shown
    assert message["direction"] == "outbound"
    assert len(states[0]["wa_message_statuses"]) == len(told)


def test_the_earliest_time_of_each_status_counts(tmp_path):
    (message,) = state_after(tmp_path, STORY)["wa_messages"]
    assert message["delivered_at"] == "2026-11-18T11:06:43.000000Z"
    assert (message["failed_code"], message["tag"]) == (131026, "camp:42")


def seen(wa_id=None, bsuid=None, at=1795000000, name=None, parent=None):
    item = {"id": f"wamid.{wa_id}{bsuid}{at}", "timestamp": str(at), "type": "text", "text": {"body": "hi"}}
    contact = {"profile": {"name": name}} if name else {}
    if wa_id:
        item["from"] = contact["wa_id"] = wa_id
    if bsuid:
        item["from_user_id"] = contact["user_id"] = bsuid
    if parent:
        item["from_parent_user_id"] = parent
    value = {"metadata": {"phone_number_id": "P1"}, "contacts": [contact], "messages": [item]}
    return json.dumps({"entry": [{"id": "W1", "changes": [{"field": "messages", "value": value}]}]}).encode()


def test_a_phone_and_an_id_become_one_lead_once_seen_together(tmp_path):
    told = [seen(wa_id="5511900000012", at=1), seen(bsuid="BR.1", at=2), seen("5511900000012", "BR.1", at=3)]
    for order in permutations(told):
        state = state_after(tmp_path, order, size=1)
        assert len(state["wa_leads"]) == 1
        assert {row["lead_id"] for row in state["wa_messages"]} == {state["wa_leads"][0]["id"]}


def test_parents_that_are_one_make_one_lead_in_any_order(tmp_path):
    told = [
        seen(bsuid="BR.1", at=1),
        seen(bsuid="BR.2", at=2),
        seen(bsuid="BR.1", parent="BR.ENT.X", at=3),
        seen(bsuid="BR.2", parent="BR.ENT.X", at=4),
    ]
    for order in permutations(told):
        assert len(state_after(tmp_path, order, size=1)["wa_leads"]) == 1


def test_the_account_of_a_message_does_not_depend_on_order(tmp_path):
    told = [retold("one", 1), retold("one", 1).replace(b'"W1"', b'"W2"')]
    states = [state_after(tmp_path, order, size=1)["wa_messages"] for order in permutations(told)]
    assert states[0][0]["account_id"] == states[1][0]["account_id"] == "W1"


def test_reprocessing_moves_nothing_to_who_has_the_number_now(tmp_path):
    """A phone-only status belonged to the first owner; applying it again must not give it to the second."""
    backend = SqliteMemory(tmp_path)
    store = backend.open()
    pipeline = Pipeline(store=store, clock=Clock())
    for body in (seen("5511900000012", "BR.1", at=1), status("sent", 2), seen("5511900000012", "BR.2", at=3)):
        store.append([Delivery(body=body, received_at=START)])
        pipeline.drain()
    before = crm(backend, store), store.find(Query(), limit=9)
    run = start_run("reprocess", scope={}, started_by="test", now=START)
    reprocess(pipeline, Query(), run)
    assert crm(backend, store) == before[0]
    assert [e["lead_id"] for e in store.find(Query(), limit=9)] == [e["lead_id"] for e in before[1]]
    store.close()


def test_a_number_that_changed_hands_does_not_merge_two_people(tmp_path):
    told = [seen("5511900000012", "BR.1", at=1), seen("5511900000012", "BR.2", at=2)]
    for order in permutations(told):
        state = state_after(tmp_path, order, size=1)
        assert len(state["wa_leads"]) == 2
        (phone,) = [row for row in state["wa_lead_identities"] if row["kind"] == "wa_id"]
        assert "BR.2" in phone["lead_id"]


def test_a_number_that_passes_between_two_known_people_merges_nobody(tmp_path):
    told = [seen("5511900000012", "BR.1", at=1), seen(bsuid="BR.2", at=2), seen("5511900000012", "BR.2", at=3)]
    for order in permutations(told):
        state = state_after(tmp_path, order, size=1)
        assert len(state["wa_leads"]) == 2
        assert [row["lead_id"] for row in state["wa_messages"]].count(state["wa_leads"][0]["id"]) in (1, 2)


@pytest.mark.parametrize("times", [(1, 3, 2), (1, 2, 2)], ids=["newest", "tie in the same second"])
def test_the_newest_name_stays(tmp_path, times):
    told = [seen(bsuid="BR.1", at=at, name=name) for at, name in zip(times, ("Ana", "Ana Souza", "A."), strict=True)]
    for order in permutations(told):
        (lead,) = state_after(tmp_path, order, size=1)["wa_leads"]
        assert lead["name"] == "Ana Souza"


def retold(words, at):
    item = {"id": "wamid.R", "from": "5511900000012", "timestamp": str(at), "type": "text", "text": {"body": words}}
    value = {"metadata": {"phone_number_id": "P1"}, "messages": [item]}
    return json.dumps({"entry": [{"id": "W1", "changes": [{"field": "messages", "value": value}]}]}).encode()


@pytest.mark.parametrize("times", [(1, 3, 2), (2, 2, 2)], ids=["newest", "tie in the same second"])
def test_the_newest_content_of_a_message_stays(tmp_path, times):
    told = [retold(words, at) for words, at in zip(("one", "two", "three"), times, strict=True)]
    states = [state_after(tmp_path, order, size=1)["wa_messages"] for order in permutations(told)]
    assert all(state == states[0] for state in states)
    if len(set(times)) > 1:
        assert states[0][0]["text"] == "two"
    assert states[0][0]["at"].endswith(f"0{min(times)}.000000Z")


@pytest.mark.parametrize("times", [(2, 1, 3), (1, 1, 1)], ids=["earliest", "tie in the same second"])
def test_the_earliest_failure_of_a_message_counts(tmp_path, times):
    told = [
        status("failed", at, errors=[{"code": code, "title": f"error {code}"}])
        for code, at in zip((131026, 131049, 131050), times, strict=True)
    ]
    states = [state_after(tmp_path, order, size=1)["wa_messages"] for order in permutations(told)]
    assert all(state == states[0] for state in states)
    (message,) = states[0]
    assert message["failed_code"] == (131049 if len(set(times)) > 1 else 131026)
    assert message["failed_text"] == f"error {message['failed_code']}"


def call(at, **more):
    item = {"id": "wacid.C", "from": "5511900000012", "timestamp": str(at), "direction": "USER_INITIATED", **more}
    value = {"metadata": {"phone_number_id": "P1"}, "calls": [item]}
    return json.dumps({"entry": [{"id": "W1", "changes": [{"field": "calls", "value": value}]}]}).encode()


CONNECT = call(1795000000, event="connect")
ENDED = {"start_time": "1795000010", "end_time": "1795000030", "duration": 20}
ERRORS = {"errors": [{"code": 138021, "title": "no media"}]}


@pytest.mark.parametrize(
    ("told", "outcome"),
    [
        ([CONNECT], "ringing"),
        ([CONNECT, call(1795000030, event="terminate", status="COMPLETED", **ENDED)], "answered"),
        ([CONNECT, call(1795000030, event="terminate", status="FAILED", **ENDED, **ERRORS)], "answered"),
        ([CONNECT, call(1795000030, event="terminate", status="FAILED")], "missed"),
        ([CONNECT, call(1795000030, event="terminate", status="FAILED", **ERRORS)], "failed"),
        ([call(1795000030, event="terminate", direction="BUSINESS_INITIATED")], "unanswered"),
    ],
)
def test_a_call_ends_as_it_ended_in_any_order(tmp_path, told, outcome):
    for order in permutations(told):
        (row,) = state_after(tmp_path, order, size=1)["wa_calls"]
        assert row["outcome"] == outcome


HISTORIES = int(os.environ.get("WA_HOOKS_TEST_HISTORIES", "0"))
"""How many histories to generate, of up to 200 deliveries; by default a few of up to 12, which find most of it."""


def histories(longest=12):
    """What happens between a business and a few people, in any order; up to `longest` deliveries."""
    return st.integers(1, longest).flatmap(lambda size: st.lists(happenings(), min_size=size, max_size=size))


def batched(envelopes, random):
    """The envelopes in any order, some of them twice, some together in one delivery."""
    told = envelopes + random.sample(envelopes, min(len(envelopes), 3))
    random.shuffle(told)
    while told:
        size = random.choice([1, 1, 1, 2, 5])
        yield as_body(together(told[:size]))
        del told[:size]


def state_after_crashes(backend, bodies, random):
    """The state that workers leave who die around some verb, until one of them gets to the end."""
    store, clock = backend.open(), Clock()
    unsent = list(bodies)
    for _ in range(random.randrange(4)):
        verb = random.choice(["append", "claim_deliveries", "claim_events", "finish"])
        dying = Dying(store, verb, random.randrange(1, 6), after=random.choice([True, False]))
        with contextlib.suppress(Crash):
            while unsent:
                dying.append([Delivery(body=unsent[0], received_at=START)])
                del unsent[0]
                Pipeline(store=dying, clock=clock).process(limit=random.choice([1, 3]))
        clock.later(minutes=5)  # the dead one's leases end
    store.append([Delivery(body=each, received_at=START) for each in unsent])
    Pipeline(store=store, clock=clock).drain()
    assert {event["state"] for event in store.find(Query(), limit=9999)} == {PROCESSED}  # failing alike is no proof
    found = crm(backend, store)
    store.close()
    return found


def assert_converges(kind, history, seed):
    random = Random(seed)
    expected = state_after(None, sorted(map(as_body, history)), size=1)
    found = state_after_crashes(kind(None), batched(history, random), random)
    for table, rows in expected.items():
        assert found[table] == rows


@settings(max_examples=HISTORIES or settings.default.max_examples)
@given(histories(200 if HISTORIES else 12), st.integers(0, 2**32))
def test_state_is_a_function_of_the_set_of_events(history, seed):
    assert_converges(SqliteMemory, history, seed)


@pytest.mark.parametrize("kind", ["postgres", "supabase"])
@settings(max_examples=HISTORIES // 20 or 30)
@given(history=histories(200 if HISTORIES else 12), seed=st.integers(0, 2**32))
def test_it_is_the_same_in_postgres(kind, history, seed):
    """As SQLite has it, so that a store moved from one to the other stays what it was."""
    assert_converges(BACKENDS[kind], history, seed)


ORDER_DEPENDENT = {
    "names: the last to arrive": ("join_lead", "(excluded.name_at, excluded.name) > (name_at, name)", "1"),
    "content: the first to arrive": ("join_content", ":content_evidence >= content_evidence", "0"),
    "statuses: the last to arrive": ("join_status", "at = min(at, excluded.at)", "at = excluded.at"),
    "calls: the first to arrive": ("join_call", "at = min(at, excluded.at)", "at = at"),
    "numbers: whoever came last": (
        "entry_before",
        "ORDER BY at DESC, rank DESC, ident DESC",
        "ORDER BY lead_id DESC",
    ),
}


@pytest.mark.parametrize("merge", ORDER_DEPENDENT)
def test_a_merge_that_depends_on_the_order_is_found(merge, monkeypatch):
    name, join, wrong = ORDER_DEPENDENT[merge]
    known = sqlfiles.statements("sqlite")
    assert join in known[name]
    broken = {**known, name: known[name].replace(join, wrong)}
    monkeypatch.setattr("wa_webhooks.stores.sqlite.connection.statements", lambda _: broken)

    @settings(max_examples=1000, database=None, derandomize=True, phases=[Phase.generate])
    @given(histories(20), st.integers(0, 2**32))
    def states_agree(history, seed):
        bodies = list(map(as_body, history))
        shuffled = Random(seed).sample(bodies, len(bodies))
        assert state_after(None, shuffled, size=1) == state_after(None, sorted(bodies), size=1)

    with pytest.raises(AssertionError):
        states_agree()


@given(histories(6))
def test_applying_everything_again_changes_nothing(tmp_path, history):
    backend = SqliteMemory(tmp_path)
    store = backend.open()
    pipeline = Pipeline(store=store, clock=Clock())
    store.append([Delivery(body=as_body(each), received_at=START) for each in history])
    pipeline.drain()
    before = crm(backend, store)
    assert {event["state"] for event in store.find(Query(), limit=99)} == {PROCESSED}  # failing alike is no proof
    leads = [event["lead_id"] for event in store.find(Query(), limit=99)]
    reprocess(pipeline, Query(), start_run("reprocess", scope={}, started_by="test", now=START))
    assert crm(backend, store) == before
    assert [event["lead_id"] for event in store.find(Query(), limit=99)] == leads
    store.close()


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.parametrize("verb", ["append", "claim_deliveries", "claim_events", "finish"])
def test_a_crash_at_any_verb_leaves_no_trace(backend, verb, number, after):
    """The process dies around a call of the store; another one carries on, and the sender sends again."""
    bodies = [file.read_bytes() for file in FIXTURES if file.parent.name in ("statuses", "people", "batches")]
    store, clock = backend.open(), Clock()
    dying = Dying(store, verb, number, after=after)
    pipeline = Pipeline(store=dying, clock=clock)
    acknowledged = 0
    try:
        for body in bodies:
            dying.append([Delivery(body=body, received_at=START)])
            acknowledged += 1
            pipeline.process(limit=1)
    except Crash:
        pass
    else:
        pytest.fail(f"{verb} was not called {number} times")
    clock.now += timedelta(minutes=5)  # the dead one's leases end
    survivor = Pipeline(store=store, clock=clock)
    for body in bodies[acknowledged:]:
        store.append([Delivery(body=body, received_at=START)])
    survivor.drain()
    unbroken = backend.sibling().open()
    for body in bodies:
        unbroken.append([Delivery(body=body, received_at=START)])
    Pipeline(store=unbroken, clock=Clock()).drain()
    assert crm(backend, store) == crm(backend, unbroken)
    assert {e["event_key"] for e in store.find(Query(), limit=9999)} == {
        e["event_key"] for e in unbroken.find(Query(), limit=9999)
    }
    store.close()
    unbroken.close()
