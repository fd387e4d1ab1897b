"""What every store promises, whatever it is made of."""

import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from backends import crm
from hypothesis import given
from hypothesis import strategies as st

from wa_webhooks.changes import ActionQueued, LeadSeen, MessageSeen, Person
from wa_webhooks.errors import StoreError
from wa_webhooks.splitting import split
from wa_webhooks.stores.base import (
    CAUSES,
    DEAD,
    FAILED,
    KEPT_REJECTIONS,
    PROCESSED,
    REFUSED,
    RUN_GRACE,
    STATES,
    TRANSITIONS,
    ClaimedDelivery,
    Delivery,
    Outcome,
    Query,
    Rejection,
    Run,
    Verdict,
)

NOW = datetime(2026, 11, 24, 12, 0, 0, 123456, tzinfo=UTC)
LEASE = timedelta(seconds=60)
GIVEN_UP = Verdict(state=DEAD, error="cannot be stored")


def body_of(*messages, account="W1", number="P1"):
    value = {"metadata": {"phone_number_id": number}, "messages": list(messages)}
    entry = {"id": account, "changes": [{"field": "messages", "value": value}]}
    return json.dumps({"object": "whatsapp_business_account", "entry": [entry]}).encode()


def text(ident, words="hello", sender="5511900000012"):
    return {"id": ident, "from": sender, "timestamp": "1795000000", "type": "text", "text": {"body": words}}


def record(store, *bodies, at=NOW, **more):
    return store.append([Delivery(body=body, received_at=at, **more) for body in bodies])


def claim(store, *, limit=10, token="t", now=NOW, run_id=None):
    return store.claim_deliveries(limit=limit, token=token, now=now, until=now + LEASE, run_id=run_id)


def claim_events(store, *, limit=10, token="e", now=NOW, run_id=None):
    return store.claim_events(limit=limit, token=token, now=now, until=now + LEASE, run_id=run_id)


def seen(event, *, name="Ana", at=NOW):
    person = Person(scope=event.account_id or "", wa_id="5511900000012")
    return (
        LeadSeen(person=person, at=at, name=name, inbound=True),
        MessageSeen(
            phone_number_id="P1", wamid=event.message_id, person=person, direction="inbound", at=at, type="text"
        ),
    )


def outcome(event, claimed, *, verdict=None, changes=None):
    return Outcome(
        event=event,
        claimed=claimed,
        verdict=verdict or Verdict(state=PROCESSED),
        if_not_applied=GIVEN_UP,
        changes=seen(event) if changes is None else changes,
        handled_by="test",
    )


def outcomes(*deliveries, **more):
    return [outcome(event, d, **more) for d in deliveries for event in split(d.body)]


def finish(store, *deliveries, now=NOW, **more):
    return store.finish(outcomes(*deliveries, **more), now=now, handler_version="1", deliveries=deliveries)


def log(store, **query):
    return store.find(Query(**query), limit=1000)


# -- append


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\x00",
        b'{"text":"\\u0000"}',
        b'{"text":"\\ud83d"}',
        b"\xff\xfe not utf-8 \x80",
        b'{"a":1,"a":2}  \r\n\t',
        b"x" * 200_000,
    ],
    ids=["empty", "nul", "escaped nul", "lone surrogate", "not utf-8", "duplicate keys and space", "200 kB"],
)
def test_bodies_come_back_byte_for_byte(store, body):
    record(store, body)
    assert [delivery.body for delivery in claim(store)] == [body]


@given(bodies=st.lists(st.binary(max_size=200), max_size=8))
def test_any_bodies_come_back_in_order(store, bodies):
    record(store, *bodies)
    claimed = claim(store, limit=1000, token=uuid4().hex)  # those of earlier examples are leased
    assert [delivery.body for delivery in claimed] == bodies


def test_what_is_known_of_a_delivery_is_kept(store):
    (ident,) = record(
        store,
        b"{}",
        headers={"user-agent": "facebookexternalua"},
        source_ip="203.0.113.9",
        signature_key="0a1b2c3d",
        source="replay",
        run_id="r1",
    )
    kept = store.get("delivery", ident)
    assert kept["headers"] == {"user-agent": "facebookexternalua"}
    assert (kept["source_ip"], kept["signature_key"], kept["source"], kept["run_id"]) == (
        "203.0.113.9",
        "0a1b2c3d",
        "replay",
        "r1",
    )
    assert datetime.fromisoformat(kept["received_at"]) == NOW


def test_all_of_an_append_is_recorded_or_nothing(store):
    wrong = Delivery(body=b"b", received_at=NOW, source="nowhere")
    with pytest.raises(StoreError):
        store.append([Delivery(body=b"a", received_at=NOW), wrong])
    assert store.counts()["deliveries"] == 0


# -- claims


def test_the_oldest_comes_first_one_at_a_time(store):
    record(store, b"1", b"2", b"3")
    order = [claim(store, limit=1, token=f"t{i}")[0].body for i in range(3)]
    assert order == [b"1", b"2", b"3"]


def test_what_is_leased_is_invisible_until_the_lease_ends(store):
    record(store, b"1")
    assert len(claim(store, token="a")) == 1
    assert claim(store, token="b", now=NOW + LEASE - timedelta(seconds=1)) == []
    assert len(claim(store, token="b", now=NOW + LEASE)) == 1


def test_the_same_token_again_gives_the_same_claim(store):
    record(store, b"1", b"2", b"3")
    first = claim(store, limit=2, token="a")
    assert claim(store, limit=2, token="a") == first


def test_two_claimers_never_share(backend, store):
    other = backend.open() if backend.shared else store
    record(store, *(str(i).encode() for i in range(20)))
    mine, theirs = claim(store, token="a"), claim(other, token="b")
    assert len(mine) == len(theirs) == 10
    assert not {d.id for d in mine} & {d.id for d in theirs}
    if other is not store:
        other.close()


def test_a_claim_can_be_kept_to_one_run(store):
    record(store, b"theirs")
    record(store, b"ours", run_id="r1")
    assert [d.body for d in claim(store, run_id="r1")] == [b"ours"]


def test_what_a_run_recorded_is_left_to_it_until_it_is_abandoned(store):
    """A running worker may have older handlers than the operator who replays."""
    record(store, b"ours", run_id="r1")
    assert claim(store, token="worker", now=NOW + RUN_GRACE - timedelta(seconds=1)) == []
    assert len(claim(store, token="worker", now=NOW + RUN_GRACE)) == 1


def test_what_a_run_requeued_is_left_to_it_until_it_is_abandoned(store):
    fill(store)
    store.requeue(Query(states=(DEAD,)), run_of(), now=NOW)
    assert claim_events(store, token="worker", limit=1)[0].run_id is None  # the failed one, due all the same
    assert claim_events(store, token="worker 2") == []
    assert len(claim_events(store, token="run", run_id="r1")) == 1
    assert len(claim_events(store, token="worker 3", now=NOW + RUN_GRACE)) == 2


def test_a_run_need_not_wait_for_what_was_recorded_before_it(store):
    record(store, *[b"theirs"] * 3000)
    record(store, b"ours", run_id="r1")
    assert [d.body for d in claim(store, run_id="r1")] == [b"ours"]
    record(store, b"ours too", run_id="r1")
    assert [d.body for d in claim(store, run_id="r1", token="u")] == [b"ours too"]
    claimed = [d for number in range(400) for d in claim(store, token=f"w{number}")]
    assert [d.body for d in claimed] == [b"theirs"] * 3000


def test_a_run_takes_the_lease_of_who_was_too_slow(store):
    """A worker with older handlers must not settle, late, what a run has requeued."""
    fill(store)
    (slow,) = claim_events(store, token="slow")
    store.requeue(Query(states=(FAILED,)), run_of(), now=NOW + LEASE)
    (event,) = split(json.dumps(slow.payload).encode())
    assert store.finish([outcome(event, slow)], now=NOW + LEASE, handler_version="old").lost == 1
    assert store.run_counts("r1")["pending"] == 1


def test_what_is_released_is_anybodys_at_once(store):
    fill(store)
    record(store, b"1")
    assert (len(claim(store, token="a")), len(claim_events(store, token="a"))) == (1, 1)
    store.release("a")
    assert (len(claim(store, token="b")), len(claim_events(store, token="b"))) == (1, 1)
    store.release("nobody's")
    assert claim(store, token="c") == claim_events(store, token="c") == []


def test_large_bodies_are_claimed_a_few_at_a_time(store):
    record(store, *[b"x" * 3_000_000] * 4)
    assert 1 <= len(claim(store)) < 4


# -- finish


def test_a_finished_delivery_is_an_event_with_its_rows(store):
    record(store, body_of(text("wamid.1")))
    (delivery,) = claim(store)
    tally = finish(store, delivery)
    assert (tally.deliveries, tally.events, tally.new, tally.processed) == (1, 1, 1, 1)
    (event,) = log(store)
    assert event["event_key"] == "message:P1:wamid.1"
    assert event["tipo_evento"] == "message.text"
    assert event["procesado"] is True
    assert event["state"] == PROCESSED
    assert event["error"] is None
    assert event["attempts"] == 1
    assert event["delivery_id"] == delivery.id
    assert event["payload_original"] == json.loads(delivery.body)
    assert datetime.fromisoformat(event["fecha_recepcion"]) == NOW
    assert store.get("lead", event["lead_id"])["name"] == "Ana"
    counts = store.counts()
    assert (counts["leads"], counts["messages"], counts["backlog"]) == (1, 1, 0)


def test_finishing_twice_is_finishing_once(backend, store):
    record(store, body_of(text("wamid.1")))
    (delivery,) = claim(store)
    finish(store, delivery)
    before = crm(backend, store)
    again = finish(store, delivery)
    assert again.lost == 1
    assert again.new == again.processed == 0
    assert crm(backend, store) == before
    assert log(store)[0]["attempts"] == 1


def test_who_lost_the_lease_changes_nothing(store):
    record(store, body_of(text("wamid.1")))
    (slow,) = claim(store, token="slow")
    (quick,) = claim(store, token="quick", now=NOW + LEASE)
    assert finish(store, slow).lost == 1
    assert log(store) == []
    assert finish(store, quick).new == 1


def test_a_duplicate_changes_nothing(backend, store):
    record(store, body_of(text("wamid.1")), body_of(text("wamid.1")))
    first, second = claim(store)
    finish(store, first)
    before = crm(backend, store)
    tally = finish(store, second)
    assert (tally.events, tally.new, tally.duplicates) == (1, 0, 1)
    assert crm(backend, store) == before
    assert len(log(store)) == 1


def test_another_telling_of_a_fact_is_kept_as_a_variant(store):
    record(store, body_of(text("wamid.1", "hello")), body_of(text("wamid.1", "goodbye")))
    deliveries = claim(store)
    tally = finish(store, *deliveries)
    assert (tally.new, tally.duplicates) == (2, 0)
    keys = [event["event_key"] for event in log(store)]
    assert keys[0] == "message:P1:wamid.1"
    assert keys[1].startswith("message:P1:wamid.1~")
    record(store, body_of(text("wamid.1", "goodbye")))
    assert finish(store, *claim(store, token="t2")).duplicates == 1


def test_a_failure_is_logged_and_comes_back_when_due(store):
    record(store, body_of(text("wamid.1")))
    (delivery,) = claim(store)
    later = NOW + timedelta(minutes=5)
    verdict = Verdict(state=FAILED, error="KeyError: 'x'", error_class="KeyError", next_attempt_at=later)
    assert finish(store, delivery, verdict=verdict).failed == 1
    (event,) = log(store)
    assert (event["state"], event["procesado"], event["error"]) == (FAILED, False, "KeyError: 'x'")
    assert store.counts()["messages"] == 0
    assert claim_events(store, now=later - timedelta(seconds=1)) == []
    (claimed,) = claim_events(store, now=later)
    assert (claimed.key, claimed.attempts) == ("message:P1:wamid.1", 1)
    assert claimed.payload == event["payload_original"]
    (restored,) = split(json.dumps(claimed.payload).encode())
    tally = store.finish([outcome(restored, claimed)], now=later, handler_version="2")
    assert tally.processed == 1
    (event,) = log(store)
    assert (event["state"], event["attempts"], event["error"]) == (PROCESSED, 2, None)
    history = store.get("event", event["id"])["history"]
    assert [(a["attempt"], a["state"], a["error"]) for a in history] == [
        (1, FAILED, "KeyError: 'x'"),
        (2, PROCESSED, None),
    ]


def test_what_is_dead_is_not_claimed(store):
    record(store, body_of(text("wamid.1")))
    finish(store, *claim(store), verdict=Verdict(state=DEAD, error="no"))
    assert claim_events(store, now=NOW + timedelta(days=9)) == []


@pytest.mark.parametrize("state", [FAILED, DEAD, REFUSED])
def test_a_second_delivery_settles_what_was_not_processed(store, state):
    """Deduplication must not eat the recovery: the sender or an operator sends again what had failed."""
    record(store, body_of(text("wamid.1")), body_of(text("wamid.1")))
    first, second = claim(store)
    finish(store, first, verdict=Verdict(state=state, error="no", next_attempt_at=NOW))
    tally = finish(store, second)
    assert (tally.duplicates, tally.processed) == (1, 1)
    (event,) = log(store)
    assert (event["state"], event["attempts"]) == (PROCESSED, 2)
    assert store.counts()["messages"] == 1


def test_a_second_failing_delivery_leaves_the_schedule_alone(store):
    record(store, body_of(text("wamid.1")), body_of(text("wamid.1")))
    first, second = claim(store)
    finish(store, first, verdict=Verdict(state=FAILED, error="one", next_attempt_at=NOW))
    finish(store, second, verdict=Verdict(state=FAILED, error="two", next_attempt_at=NOW + LEASE))
    (event,) = log(store)
    assert (event["error"], event["attempts"]) == ("one", 1)


def test_an_event_is_all_or_nothing_and_fails_alone(backend, store):
    """The second change of one event cannot be stored: its first is undone, its neighbours are not."""
    record(store, body_of(text("wamid.1"), text("wamid.2"), text("wamid.3")))
    (delivery,) = claim(store)
    results = outcomes(delivery)
    person = Person(scope="W1", wa_id="5511900000099")
    poison = (
        LeadSeen(person=person, at=NOW, name="Nobody"),
        MessageSeen(phone_number_id="P1", wamid="wamid.2", direction="sideways", at=NOW),
    )
    results[1] = replace(results[1], changes=poison)
    tally = store.finish(results, now=NOW, handler_version="1", deliveries=[delivery])
    assert (tally.processed, tally.dead) == (2, 1)
    states = [(event["message_id"], event["state"]) for event in log(store)]
    assert states == [("wamid.1", PROCESSED), ("wamid.2", DEAD), ("wamid.3", PROCESSED)]
    assert "cannot be stored" in log(store)[1]["error"]
    assert store.get("lead", "5511900000099") is None
    assert {row["wamid"] for row in backend.rows(store, "SELECT wamid FROM wa_messages")} == {"wamid.1", "wamid.3"}


def test_an_action_is_queued_once(backend, store):
    record(store, body_of(text("wamid.1"), text("wamid.2")))
    action = ActionQueued(idempotency_key="welcome:1", at=NOW, action="http", target="x", payload="{}")
    finish(store, *claim(store), changes=(action,))
    assert len(backend.rows(store, "SELECT * FROM wa_actions")) == 1


def test_one_event_may_be_about_two_people_who_turn_out_to_be_one(store):
    def lead_seen(**ids):
        return LeadSeen(person=Person(scope="W1", **ids), at=NOW)

    record(store, body_of(text("wamid.1")), body_of(text("wamid.2")))
    first, second = claim(store)
    finish(store, first, changes=(lead_seen(bsuid="BR.1"), lead_seen(bsuid="BR.2")))
    assert store.counts()["leads"] == 2
    one = lead_seen(bsuid="BR.1", parent_bsuid="BR.ENT.X")
    finish(store, second, changes=(one, lead_seen(bsuid="BR.2", parent_bsuid="BR.ENT.X")))
    assert store.counts()["leads"] == 1
    assert [event["state"] for event in log(store)] == [PROCESSED, PROCESSED]


def test_text_that_no_database_takes_does_not_stop_an_event(store):
    record(store, body_of({**text("wamid.\x00\ud83d"), "id": "wamid.\x00\ud83d"}))
    (delivery,) = claim(store)
    assert finish(store, delivery, changes=()).processed == 1


# -- find, get, counts


def fill(store):
    record(store, body_of(text("wamid.1", sender="5511900000012")))
    record(store, body_of(text("wamid.2"), number="P2"), at=NOW + timedelta(hours=1))
    record(store, b"not json", at=NOW + timedelta(hours=2))
    first, second, third = claim(store)
    finish(store, first)
    finish(store, second, verdict=Verdict(state=FAILED, error="Timeout: slow", next_attempt_at=NOW))
    finish(store, third, verdict=Verdict(state=DEAD, error="not JSON"))


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({}, [1, 2, 3]),
        ({"ids": (1, 3)}, [1, 3]),
        ({"states": (FAILED, DEAD)}, [2, 3]),
        ({"types": ("message.*",)}, [1, 2]),
        ({"types": ("message.text", "unreadable")}, [1, 2, 3]),
        ({"types": ("message",)}, []),
        ({"since": NOW + timedelta(hours=1)}, [2, 3]),
        ({"until": NOW + timedelta(hours=1)}, [1]),
        ({"since": NOW + timedelta(minutes=1), "until": NOW + timedelta(hours=2)}, [2]),
        ({"error": "TIMEOUT"}, [2]),
        ({"message": "wamid.2"}, [2]),
        ({"lead": 1}, [1, 2]),  # the second failed before it had a lead, and names the same phone
        ({"mentions": "5511900000012"}, [1, 2]),
        ({"mentions": "nobody"}, []),
        ({"run": "r0"}, []),
        ({"delivery": 3}, [3]),
        ({"keys": ("message:P1:wamid.1",)}, [1]),
        ({"after_id": 1}, [2, 3]),
        ({"after_attempt": 2}, [3]),
        ({"states": (DEAD,), "types": ("message.*",)}, []),
    ],
)
def test_find_selects_what_it_is_asked_for(store, query, found):
    fill(store)
    assert [event["id"] for event in log(store, **query)] == found
    if "after_attempt" not in query:
        assert store.preview(Query(**query))["events"] == len(found)


def test_find_gives_the_first_or_the_last(store):
    fill(store)
    assert [event["id"] for event in store.find(Query(), limit=2)] == [1, 2]
    assert [event["id"] for event in store.find(Query(), limit=2, newest=True)] == [2, 3]


def test_a_percent_sign_in_an_error_is_no_wildcard(store):
    fill(store)
    assert log(store, error="%") == []


def test_counts_add_up(store):
    fill(store)
    record(store, b"waiting", at=NOW + timedelta(hours=3))
    counts = store.counts()
    assert counts["deliveries"] == 4
    assert counts["backlog"] == 1
    assert datetime.fromisoformat(counts["oldest_waiting"]) == NOW + timedelta(hours=3)
    assert counts["events"] == {
        "total": 3,
        "pending": 0,
        "processed": 1,
        "failed": 1,
        "dead": 1,
        "refused": 0,
        "by_type": {"message.text": 2, "unreadable": 1},
    }


@pytest.mark.parametrize("kind", ["event", "delivery", "lead", "message", "call"])
def test_what_is_not_there_is_none(store, kind):
    assert store.get(kind, 4711 if kind in ("event", "delivery", "lead") else "wamid.none") is None


# -- runs


def run_of(ident="r1"):
    return Run(id=ident, command="reprocess", scope={"states": "dead"}, started_by="ana", started_at=NOW, version="1")


def test_requeued_events_are_pending_and_belong_to_the_run(store):
    fill(store)
    assert store.requeue(Query(states=(DEAD, FAILED)), run_of(), now=NOW) == 2
    assert store.run_counts("r1")["pending"] == 2
    assert [event.key for event in claim_events(store, run_id="r1")] == [e["event_key"] for e in log(store)[1:]]
    assert claim_events(store, run_id="other", token="o") == []


def test_requeue_leaves_alone_what_a_worker_holds(store):
    fill(store)
    assert len(claim_events(store)) == 1
    assert store.requeue(Query(states=(DEAD, FAILED)), run_of(), now=NOW) == 1
    assert store.requeue(Query(states=(FAILED,)), run_of("r2"), now=NOW + LEASE) == 1


def test_a_run_is_entered_once_and_ended(backend, store):
    store.save_run(run_of(), counts=None)
    store.save_run(run_of(), counts=None)
    store.save_run(run_of(), finished_at=NOW, counts={"events": 3})
    (row,) = backend.rows(store, "SELECT * FROM wa_runs")
    assert (row["command"], row["started_by"]) == ("reprocess", "ana")
    assert json.loads(row["scope"]) == {"states": "dead"}
    assert json.loads(row["counts"]) == {"events": 3}


# -- app secrets


def secrets_in(store):
    return [(row["label"], row["deliveries"]) for row in store.counts()["app_secrets"]]


def test_which_app_secrets_signed_is_counted_exactly_at_every_moment(store):
    later = NOW + timedelta(days=3)
    assert secrets_in(store) == []
    record(store, b"1", b"2", signature_key="0ld")
    record(store, b"3", signature_key="0ld", at=later)
    record(store, b"4", signature_key="new", at=later + LEASE)
    record(store, b"not signed")
    expected = [("new", 1), ("0ld", 3)]
    assert secrets_in(store) == expected  # nobody has adopted them
    for token in "abc":
        claim(store, limit=2, token=token)
        assert secrets_in(store) == expected
    record(store, b"5", signature_key="0ld")
    assert secrets_in(store) == [("new", 1), ("0ld", 4)]
    claim(store, token="d", limit=100)
    _, old = store.counts()["app_secrets"]
    assert [datetime.fromisoformat(old[name]) for name in ("first_at", "last_at")] == [NOW, later]
    assert old["deliveries"] == 4


def test_a_delivery_that_a_run_takes_first_counts_once(store):
    record(store, *[b"theirs"] * 1500, signature_key="k")
    record(store, b"ours", run_id="r1", signature_key="k")
    claim(store, run_id="r1", token="run")
    assert secrets_in(store) == [("k", 1501)]
    while claim(store, limit=500, token=uuid4().hex):
        assert secrets_in(store) == [("k", 1501)]


# -- rejections


def rejection(cause="signature-wrong", *, at=NOW, status=401, **more):
    return Rejection(at=at, status=status, cause=cause, **more)


def kept(store, **query):
    return [row["request_id"] for row in store.rejections(**{"limit": 100, **query})]


def test_what_is_known_of_a_rejection_is_kept(store):
    known = {
        "status": 401,
        "cause": "signature-wrong",
        "source_ip": "203.0.113.9",
        "size": 12,
        "body_sha256": "ab" * 32,
        "request_id": "r1",
        "detail": "The signature is missing or wrong.",
    }
    store.reject([Rejection(at=NOW, **known), rejection("malformed", status=400)], now=NOW)
    first, second = store.rejections(limit=10)
    assert first == {"id": 1, "at": first["at"], **known}
    assert datetime.fromisoformat(first["at"]) == NOW
    assert second == {**dict.fromkeys(first), "id": 2, "at": first["at"], "status": 400, "cause": "malformed"}


def test_the_last_rejections_or_the_next_ones_oldest_first(store):
    store.reject([rejection(request_id=str(n), at=NOW + timedelta(minutes=n)) for n in range(1, 7)], now=NOW)
    assert kept(store) == list("123456")
    assert kept(store, limit=2) == ["5", "6"]
    assert kept(store, limit=2, after_id=0) == ["1", "2"]
    assert kept(store, after_id=5) == ["6"]
    between = {"since": NOW + timedelta(minutes=2), "until": NOW + timedelta(minutes=5)}
    assert kept(store, **between) == ["2", "3", "4"]
    assert kept(store, **between, limit=1) == ["4"]
    assert kept(store, **between, after_id=2) == ["3", "4"]
    assert kept(store, since=NOW + timedelta(days=1)) == []


def test_the_newest_rejections_are_kept_and_all_are_counted(store):
    page = 1000
    for number in range(KEPT_REJECTIONS // page):
        store.reject([rejection(request_id=f"{number}")] * page, now=NOW)
    store.reject([rejection(request_id="new")] * 3, now=NOW)
    ids = [row["id"] for row in store.rejections(limit=2 * KEPT_REJECTIONS)]
    assert (len(ids), ids[0], ids[-1]) == (KEPT_REJECTIONS, 4, KEPT_REJECTIONS + 3)
    assert store.rejection_counts(since=NOW)["total"] == KEPT_REJECTIONS + 3
    store.reject([rejection(request_id="at once")] * (KEPT_REJECTIONS + 1), now=NOW)
    assert set(kept(store, limit=2 * KEPT_REJECTIONS)) == {"at once"}


def test_rejections_are_counted_by_cause_with_those_that_are_not_kept(store):
    assert store.rejection_counts(since=NOW) == {"total": 0, "last_at": None, "by_cause": {}}
    day_before, later = NOW - timedelta(days=1), NOW + timedelta(minutes=5)
    store.reject([rejection(at=day_before), rejection("slow", at=day_before - timedelta(hours=1))], now=NOW)
    store.reject([rejection(), rejection("malformed")], now=later, more={"malformed": 5, "network": 70, "slow": 0})
    store.reject([], now=later, more={"network": 1})
    store.reject([], now=later + timedelta(days=9))  # of nothing, nothing is known
    counts = store.rejection_counts(since=day_before)
    assert counts["total"] == 80
    assert datetime.fromisoformat(counts["last_at"]) == later
    assert list(counts["by_cause"].items()) == [("network", 71), ("malformed", 6), ("signature-wrong", 2)]
    assert len(store.rejections(limit=100)) == 4


@pytest.mark.parametrize(
    "text",
    ["203.0.113.9\x00", "\ud83d", "caf\udce9", "'; DROP TABLE wa_rejections; --", "\x1b[2J", "x" * 10**6],
    ids=["nul", "lone surrogate", "not utf-8", "sql", "escape", "a million characters"],
)
def test_whatever_a_stranger_sent_can_be_kept_and_is_short(store, text):
    told = {"source_ip": text, "body_sha256": text, "request_id": text, "detail": text, "cause": text}
    store.reject([Rejection(at=NOW, status=400, size=10**30, **told)], now=NOW, more={text: 2})
    (row,) = store.rejections(limit=10)
    assert all(0 < len(row[name]) < 1000 for name in told)
    assert json.dumps(row).isascii()
    row["detail"].encode()
    assert row["size"] > 10**18
    assert store.rejection_counts(since=NOW)["by_cause"] == {row["cause"]: 3}


def test_rejections_are_kept_all_or_none(store):
    with pytest.raises(StoreError):
        store.reject([rejection(), rejection(status=None)], now=NOW, more={"slow": 1})
    assert store.rejections(limit=10) == []
    assert store.rejection_counts(since=NOW)["total"] == 0


def test_causes_are_slugs():
    assert all(re.fullmatch(r"[a-z-]+", cause) and said for cause, said in CAUSES.items())


# -- the schema


def test_the_states_of_the_schema_are_those_of_the_code(backend, store):
    assert set(TRANSITIONS) == set(STATES)
    assert set().union(*TRANSITIONS.values()) <= set(STATES)
    record(store, body_of(text("wamid.1")))
    finish(store, *claim(store))
    for state in STATES:
        backend.run(store, f"UPDATE wa_events SET state = '{state}'")
        assert log(store)[0]["procesado"] is (state == PROCESSED)
    with pytest.raises(Exception, match=r"(?i)check"):
        backend.run(store, "UPDATE wa_events SET state = 'lost'")


def test_opening_again_migrates_nothing(store):
    assert store.migrate() == []


def test_a_store_that_can_record_says_so(store):
    store.check_writable()


def test_claimed_deliveries_say_when_they_arrived(store):
    record(store, b"1")
    (claimed,) = claim(store)
    assert claimed == ClaimedDelivery(id=claimed.id, body=b"1", received_at=NOW, token="t", run_id=None)
