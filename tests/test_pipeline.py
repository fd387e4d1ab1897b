"""The order of the steps, over every store: what goes in comes out once, whatever fails in between."""

import json
from datetime import timedelta
from pathlib import Path

import pytest
from backends import crm
from building import START, Clock

from wa_webhooks import pipeline as pipelines
from wa_webhooks.changes import ActionQueued, LeadSeen
from wa_webhooks.check import check_body
from wa_webhooks.errors import GiveUpError, RetryLaterError, SignatureMismatchError, StoreUnavailableError
from wa_webhooks.handlers import Registry, builtin
from wa_webhooks.origin import Origin
from wa_webhooks.pipeline import Pipeline, rebuild, receive, replay, reprocess, start_run
from wa_webhooks.retry import RetryPolicy
from wa_webhooks.signature import key_label, sign
from wa_webhooks.stores.base import DEAD, FAILED, PROCESSED, REFUSED, Delivery, Query


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def pipeline(store, clock):
    return Pipeline(store=store, clock=clock, sleep=lambda _: None)


def body_of(*messages, account="W1", number="P1", kind="messages"):
    value = {"metadata": {"phone_number_id": number}, kind: list(messages)}
    entry = {"id": account, "changes": [{"field": "messages", "value": value}]}
    return json.dumps({"object": "whatsapp_business_account", "entry": [entry]}).encode()


def text(ident, words="hello"):
    return {"id": ident, "from": "5511900000012", "timestamp": "1795000000", "type": "text", "text": {"body": words}}


def record(pipeline, *bodies):
    pipeline.store.append([Delivery(body=body, received_at=pipeline.clock()) for body in bodies])


def with_handler(pipeline, handler, pattern="message.*"):
    mine = Registry()
    mine.on(pattern)(handler)
    pipeline.registry = Registry(builtin(), mine)


def log(pipeline, **query):
    return pipeline.store.find(Query(**query), limit=1000)


def run(pipeline, command="replay"):
    return start_run(command, scope={}, started_by="test", now=pipeline.clock())


def test_a_signed_request_becomes_a_delivery_with_what_matters():
    body = body_of(text("wamid.1"))
    headers = {"x-hub-signature-256": sign(body, "new"), "user-agent": "facebookexternalua", "cookie": "x"}
    delivery = receive(body, headers, secrets=("old", "new"), received_at=START, source_ip="127.0.0.1")
    assert delivery.body == body
    assert delivery.signature_key == key_label("new")
    assert delivery.headers == {name: headers[name] for name in ("x-hub-signature-256", "user-agent")}
    with pytest.raises(SignatureMismatchError):
        receive(body + b" ", headers, secrets=("old", "new"), received_at=START)


def test_what_is_recorded_is_processed_once(pipeline):
    record(pipeline, body_of(text("wamid.1"), text("wamid.2")), body_of(text("wamid.1")))
    tally = pipeline.drain()
    assert (tally.deliveries, tally.events, tally.new, tally.duplicates, tally.processed) == (2, 3, 2, 1, 2)
    assert pipeline.drain().events == 0
    assert pipeline.store.counts()["messages"] == 2


def test_a_bad_item_does_not_touch_its_neighbours(pipeline):
    record(pipeline, body_of(text("wamid.1"), "rubbish", {"no": "id"}, text("wamid.2")))
    pipeline.drain()
    assert [event["state"] for event in log(pipeline)] == [PROCESSED, DEAD, DEAD, PROCESSED]


def test_a_failing_handler_is_retried_on_schedule_then_given_up(pipeline, clock):
    def fails(event):
        raise KeyError("mapping")

    with_handler(pipeline, fails)
    pipeline.policy = RetryPolicy(attempts=6, base=1)
    record(pipeline, body_of(text("wamid.1")))
    seen = []
    for _ in range(4):
        pipeline.drain()
        (event,) = log(pipeline)
        seen.append((event["state"], event["attempts"]))
        clock.later(hours=1)
    assert seen == [(FAILED, 1), (FAILED, 2), (DEAD, 3), (DEAD, 3)]  # a fault: half of six
    assert "KeyError: 'mapping'" in event["error"]
    assert "fails" in event["error"]
    assert event["error_class"] == "KeyError"
    assert event["procesado"] is False
    assert pipeline.store.counts()["messages"] == 0


def test_a_failed_event_waits_for_its_time(pipeline, clock):
    calls = []

    def fails_once(event):
        calls.append(clock.now)
        if len(calls) == 1:
            raise RetryLaterError("busy", delay=60)
        return ()

    with_handler(pipeline, fails_once)
    record(pipeline, body_of(text("wamid.1")))
    pipeline.drain()
    clock.later(seconds=59)
    assert pipeline.drain().events == 0
    clock.later(seconds=1)
    assert pipeline.drain().processed == 1
    assert calls == [START, START + timedelta(seconds=60)]
    assert log(pipeline)[0]["error"] is None


def test_an_error_that_passes_is_tried_again_within_the_attempt(pipeline):
    calls = []

    def flaky(event):
        calls.append(1)
        if len(calls) < 3:
            raise ConnectionError
        return ()

    with_handler(pipeline, flaky)
    record(pipeline, body_of(text("wamid.1")))
    assert pipeline.drain().processed == 1
    assert (len(calls), log(pipeline)[0]["attempts"]) == (3, 1)


def test_a_handler_that_gives_up_is_not_asked_again(pipeline):
    def gives_up(event):
        raise GiveUpError("not ours")

    with_handler(pipeline, gives_up)
    record(pipeline, body_of(text("wamid.1")))
    assert pipeline.drain().dead == 1
    assert log(pipeline)[0]["error"] == "not ours"


def test_reprocess_applies_what_failed_once_the_cause_is_gone(backend, pipeline):
    def broken(event):
        raise ValueError("broken")

    with_handler(pipeline, broken)
    record(pipeline, body_of(text("wamid.1"), text("wamid.2")), body_of(text("wamid.3")))
    pipeline.drain()
    pipeline.registry = builtin()
    pipeline.ignore_handlers = True
    first = run(pipeline, "reprocess")
    counts = reprocess(pipeline, Query(states=(FAILED, DEAD)), first)
    assert (counts["events"], counts["processed"], counts["failed"]) == (3, 3, 0)
    assert {event["run_id"] for event in log(pipeline)} == {first.id}
    before = crm(backend, pipeline.store)
    reprocess(pipeline, Query(), run(pipeline, "reprocess"))
    replay(pipeline, [body_of(text("wamid.1")), body_of(text("wamid.3"))], run(pipeline))
    assert crm(backend, pipeline.store) == before
    ledger = backend.rows(pipeline.store, "SELECT * FROM wa_runs ORDER BY started_at, id")
    assert {row["command"] for row in ledger} == {"reprocess", "replay"}
    assert all(row["finished_at"] for row in ledger)


def test_replay_counts_what_it_did(pipeline):
    bodies = [body_of(text("wamid.1")), body_of(text("wamid.1"), text("wamid.2")), b"not json"]
    counts = replay(pipeline, bodies, run(pipeline))
    found = {name: counts[name] for name in ("deliveries", "events", "duplicates", "processed", "dead")}
    assert found == {"deliveries": 3, "events": 4, "duplicates": 1, "processed": 2, "dead": 1}


def test_replay_leaves_what_others_recorded_to_the_workers(pipeline):
    record(pipeline, body_of(text("wamid.theirs")))
    replay(pipeline, [body_of(text("wamid.ours"))], run(pipeline))
    assert [event["message_id"] for event in log(pipeline)] == ["wamid.ours"]


@pytest.mark.parametrize(
    ("origin", "states"),
    [
        (Origin(), [PROCESSED, PROCESSED]),
        (Origin(accounts=frozenset({"W1"})), [PROCESSED, REFUSED]),
        (Origin(phone_numbers=frozenset({"P2"})), [REFUSED, PROCESSED]),
    ],
)
def test_events_of_foreign_accounts_are_logged_and_not_applied(pipeline, origin, states):
    pipeline.origin = origin
    record(pipeline, body_of(text("wamid.1")), body_of(text("wamid.2"), account="W2", number="P2"))
    pipeline.drain()
    assert [event["state"] for event in log(pipeline)] == states
    assert pipeline.store.counts()["messages"] == states.count(PROCESSED)
    for event in log(pipeline, states=(REFUSED,)):
        assert "allow-list" in event["error"]


def test_another_products_webhook_is_refused(pipeline):
    record(pipeline, body_of(text("wamid.1")).replace(b"whatsapp_business_account", b"page"))
    pipeline.drain()
    (event,) = log(pipeline)
    assert (event["state"], event["tipo_evento"]) == (REFUSED, "message.text")


def test_a_store_that_is_busy_for_a_moment_is_asked_again(pipeline, monkeypatch):
    record(pipeline, body_of(text("wamid.1")))
    finish, failures = pipeline.store.finish, iter([StoreUnavailableError("busy")])

    def busy_once(*args, **more):
        for failure in failures:
            raise failure
        return finish(*args, **more)

    monkeypatch.setattr(pipeline.store, "finish", busy_once)
    assert pipeline.drain().processed == 1


def test_a_handlers_action_is_queued_once_however_often_it_is_repeated(backend, pipeline):
    def welcome(event):
        key = f"welcome:{event.message_id}"
        yield ActionQueued(idempotency_key=key, at=event.at, action="http", target="crm", payload="{}")

    with_handler(pipeline, welcome)
    record(pipeline, body_of(text("wamid.1")), body_of(text("wamid.1", "edited")))
    pipeline.drain()
    reprocess(pipeline, Query(), run(pipeline, "reprocess"))
    assert len(backend.rows(pipeline.store, "SELECT * FROM wa_actions")) == 1


@pytest.mark.parametrize("change", [LeadSeen(person="ana", at=START), "no change", {"kind": "lead_seen"}, None])
def test_a_malformed_change_fails_its_event_alone(pipeline, change):
    with_handler(pipeline, lambda _: [change], pattern="message.image")
    image = {**text("wamid.1"), "type": "image", "image": {"id": "1"}}
    record(pipeline, body_of(image, text("wamid.2")), body_of(text("wamid.3")))
    pipeline.drain()
    assert [(e["message_id"], e["state"]) for e in log(pipeline)] == [
        ("wamid.1", FAILED),
        ("wamid.2", PROCESSED),
        ("wamid.3", PROCESSED),
    ]


def test_handlers_slower_than_the_lease_do_nothing_twice(pipeline, clock):
    handled = []

    def slow(event):
        handled.append(event.message_id)
        clock.later(seconds=7)

    with_handler(pipeline, slow)
    record(pipeline, *(body_of(text(f"wamid.{number}")) for number in range(30)))
    while pipeline.process(limit=20).events or clock.now < START + timedelta(minutes=9):
        clock.later(seconds=1)
    assert sorted(handled) == sorted(f"wamid.{number}" for number in range(30))
    assert {event["state"] for event in log(pipeline)} == {PROCESSED}


def test_a_worker_without_an_events_handlers_does_not_settle_it(pipeline, clock):
    """Restarted without --handlers, it must not do half of the work and call it done."""
    done = []

    def notify(event):
        if not done:
            done.append("failed")
            raise ConnectionError
        done.append("notified")

    with_handler(pipeline, notify)
    pipeline.policy = RetryPolicy(base=1)
    mine, pipeline.registry = pipeline.registry, pipeline.registry
    record(pipeline, body_of(text("wamid.1")))
    pipeline.sleep = lambda _: done.clear()
    pipeline.drain()
    assert log(pipeline)[0]["state"] == FAILED
    pipeline.registry = builtin()
    clock.later(minutes=1)
    pipeline.drain()
    (event,) = log(pipeline)
    assert (event["state"], event["attempts"], event["error_class"]) == (FAILED, 2, "HandlersMissingError")
    assert "notify" in event["error"]
    pipeline.registry = mine
    done.append("failed")
    clock.later(hours=1)
    assert pipeline.drain().processed == 1
    assert done[-1] == "notified"


def test_what_an_interruption_left_is_anybodys_at_once(pipeline):
    def interrupted(event):
        raise KeyboardInterrupt

    with_handler(pipeline, interrupted, pattern="message.image")
    image = {**text("wamid.2"), "type": "image", "image": {"id": "1"}}
    record(pipeline, body_of(text("wamid.1")), body_of(image))
    with pytest.raises(KeyboardInterrupt):
        pipeline.drain()
    pipeline.registry = builtin()
    assert pipeline.drain().processed == 2


def test_all_doors_end_in_the_same_function(backend, pipeline, monkeypatch):
    """A worker, replay and reprocess attempt an event in one place; they, rebuild and check handle it in one."""
    attempts, handled = [], []
    attempt, handles = Pipeline._attempt, pipelines.handle

    def watched(self, event, claimed, *, made):
        attempts.append(event.key)
        return attempt(self, event, claimed, made=made)

    def seen(event, registry):
        handled.append(event.key)
        return handles(event, registry)

    monkeypatch.setattr(Pipeline, "_attempt", watched)
    monkeypatch.setattr(pipelines, "handle", seen)
    first, second = "message:P1:wamid.1", "message:P1:wamid.2"
    record(pipeline, body_of(text("wamid.1")))
    pipeline.drain()
    replay(pipeline, [body_of(text("wamid.2"))], run(pipeline))
    reprocess(pipeline, Query(keys=(first,)), run(pipeline, "reprocess"))
    assert attempts == handled == [first, second, first]
    check_body(Path("case.json"), body_of(text("wamid.1")), builtin())
    if backend.shared:
        rebuild(pipeline)
    assert handled[3:] == ([first, first, second] if backend.shared else [first])


def test_run_ids_sort_by_time():
    early = start_run("replay", scope={}, started_by="x", now=START)
    late = start_run("replay", scope={}, started_by="x", now=START + timedelta(seconds=1))
    assert early.id < late.id
    assert early.version == pipelines.__version__
