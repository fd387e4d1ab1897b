"""A delivery or an event that a store cannot take as it is costs its neighbours nothing, whichever store it is."""

import json
from contextlib import closing

import pytest
from building import START, Clock, body_of, call, envelope, message, status, value_of

from wa_webhooks.changes import CallSeen
from wa_webhooks.handlers import builtin
from wa_webhooks.handlers.registry import Registry
from wa_webhooks.pipeline import Pipeline
from wa_webhooks.stores.base import FAILED, PROCESSED, Delivery, Query

LARGE = 3_000_000
POISON = {
    "nul": message(id="wamid.POISON", body={"body": "a\x00b"}),
    "nul in an id": message(id="wamid.POISON\x00"),
    "lone surrogate": message(id="wamid.POISON", body={"body": "a\ud83db"}),
    "lone surrogate in an id": message(id="wamid.POISON\ud83d"),
    "a body of 3 MB": message(id="wamid.POISON", body={"body": "x" * LARGE}),
    "an id of 10 kB": message(id="wamid.POISON" + "x" * 10_000),
    "a time beyond any calendar": message(id="wamid.POISON", timestamp="9" * 30),
    "a code beyond any column": status("failed", id="wamid.POISON", errors=[{"code": 10**40, "title": "large"}]),
    "a text that is a list in a list": message(id="wamid.POISON", body=json.loads("[" * 20 + "]" * 20)),
}


def worked(backend, *items, registry=None):
    """The events and messages of neighbours around poison: in the same delivery, in the same batch, and after it."""
    with closing(backend.open()) as store:
        pipeline = Pipeline(store=store, clock=Clock(), **({"registry": registry} if registry else {}))
        between = [message(id="wamid.1"), *items, message(id="wamid.2")]
        bodies = [
            body_of(envelope(value_of(messages=[message(id="wamid.0")]))),
            body_of(envelope(*[one(item) for item in between])),
            body_of(envelope(value_of(messages=[message(id="wamid.3")]))),
        ]
        store.append([Delivery(body=body, received_at=START) for body in bodies])
        pipeline.drain()
        store.append(
            [Delivery(body=body_of(envelope(value_of(messages=[message(id="wamid.4")]))), received_at=START)]
        )
        pipeline.drain()
        kept = [bytes(store.get("delivery", number)["body"]) for number in range(1, 4)]
        assert kept == bodies
        return store.find(Query(), limit=99), {
            number for number in range(5) if store.get("message", f"wamid.{number}") is not None
        }


def one(item):
    if "status" in item:
        return value_of(statuses=[item])
    return value_of(calls=[item]) if "event" in item else value_of(messages=[item])


@pytest.mark.parametrize("poison", POISON)
def test_its_neighbours_are_processed(backend, poison):
    events, messages = worked(backend, POISON[poison])
    assert messages == set(range(5))
    assert len(events) == 6
    assert {event["state"] for event in events if "POISON" not in str(event["message_id"])} == {PROCESSED}
    assert all(event["payload_original"] for event in events)


def test_what_no_column_takes_fails_alone(backend):
    mine = Registry()

    @mine.on("call.*")
    def too_long(_event):
        yield CallSeen(phone_number_id="P1", call_id="wacid.C1", step="connect", at=START, duration=10**40)

    registry = Registry(builtin(), mine)
    events, messages = worked(backend, call(id="wacid.POISON"), registry=registry)
    assert messages == set(range(5))
    assert [event["state"] for event in events].count(PROCESSED) == 5
    (failed,) = [event for event in events if event["state"] != PROCESSED]
    assert (failed["state"], failed["tipo_evento"]) == (FAILED, "call.connect")
