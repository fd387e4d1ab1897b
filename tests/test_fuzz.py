"""Mutated payloads, made of the fixtures by one who knows their structure: nothing raises, nothing is lost.

A few thousand each time; WA_HOOKS_TEST_MUTANTS=100000 for as many as one likes, WA_HOOKS_TEST_SEED for others.
"""

import contextlib
import copy
import json
import os
from random import Random

import pytest
from backends import SqliteFile
from building import CASES, START, Clock

from wa_webhooks.decoding import undecoded
from wa_webhooks.drift import findings
from wa_webhooks.errors import PayloadError
from wa_webhooks.events import FIELD_TYPES
from wa_webhooks.handlers import builtin
from wa_webhooks.pipeline import Pipeline, handle
from wa_webhooks.splitting import restore, split
from wa_webhooks.stores.base import DEAD, PROCESSED, REFUSED, Delivery, Query

MUTANTS = int(os.environ.get("WA_HOOKS_TEST_MUTANTS", "3000"))
SEED = int(os.environ.get("WA_HOOKS_TEST_SEED", "20261118"))
PARSED = [json.loads(case.read_bytes()) for case in CASES if case.parent.name != "broken"]
STRANGE = [
    *(None, True, False, 0, -1, 1.5, 10**20, 1e300, "", " ", "0", "-1", "x" * 5000, [], {}, [[]], {"": ""}),
    *(
        "\x00",
        "\ud800",
        "\udc00\ud800",
        "é😀",
        "\u202e",
        "=1+1",
        "'; DROP TABLE wa_events; --",
        "<script>",
        "../../x",
    ),
    *("1795000000", 1795000000, 1795000000123, "NaN", "text", "messages", "payment", "call", "5511900000012", "BR.1"),
]


def places(value, found):
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in list(pairs):
        found.append((value, key))
        places(inner, found)
    return found


def part_of(random):
    """Something that stands somewhere in some fixture."""
    holder, key = random.choice(places(random.choice(PARSED), []))
    return copy.deepcopy(holder[key])


def mutate(payload, random):
    """Change one thing: drop, double, replace, rename, move, nest or flatten it."""
    found = places(payload, [])
    if not found:
        return
    holder, key = random.choice(found)
    kind = random.randrange(8)
    if kind == 0 and isinstance(holder, dict):
        del holder[key]
    elif kind == 1 and isinstance(holder, list):
        holder.insert(key, copy.deepcopy(holder[key]))
    elif kind == 2:
        holder[key] = part_of(random)
    elif kind == 3 and isinstance(holder, dict):
        holder[str(random.choice(STRANGE))] = holder.pop(key)
    elif kind == 4:
        other, place = random.choice(found)
        holder[key] = copy.deepcopy(other[place])
    elif kind == 5:
        holder[key] = random.choice([[holder[key]], {"value": holder[key]}, json.dumps(holder[key])])
    elif kind == 6 and isinstance(holder[key], int | str):
        holder[key] = (
            str(holder[key]) if isinstance(holder[key], int) else random.choice([len(holder[key]), [holder[key]]])
        )
    else:
        holder[key] = copy.deepcopy(random.choice(STRANGE))


def mutants(number, seed=SEED):
    random = Random(seed)
    for _ in range(number):
        payload = copy.deepcopy(random.choice(PARSED))
        for _ in range(random.choice([1, 1, 2, 3, 8])):
            mutate(payload, random)
        raw = json.dumps(payload, ensure_ascii=random.random() < 0.8).encode("utf-8", "surrogatepass")
        if random.random() < 0.02:  # and a few whose bytes are wrong
            at = random.randrange(len(raw))
            raw = raw[:at] + bytes([random.randrange(256)]) + raw[at + random.randrange(2) :]
        yield raw


def leaves(value):
    """Every value in a piece of JSON that is no object and no array, as JSON."""
    if isinstance(value, dict):
        for inner in value.values():
            yield from leaves(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from leaves(inner)
    else:
        yield json.dumps(value)


def items_of(payload):
    """How many items a payload holds, counted apart from the code: the elements of arrays in each change."""
    found = 0
    entries = payload.get("entry") if isinstance(payload, dict) else None
    for entry in entries if isinstance(entries, list) else []:
        changes = entry.get("changes") if isinstance(entry, dict) else None
        for change in changes if isinstance(changes, list) else []:
            if not isinstance(change, dict) or change.get("field") in list(FIELD_TYPES):
                continue  # its value is one event, whatever stands in it
            value = change.get("value")
            arrays = (
                [value.get(name) for name in ("messages", "statuses", "calls")] if isinstance(value, dict) else []
            )
            found += sum(len(array) for array in arrays if isinstance(array, list))
    return found


def test_nothing_raises_and_nothing_is_dropped():
    registry = builtin()
    for raw in mutants(MUTANTS):
        events = split(raw)
        assert events
        if (kept := undecoded(events[0].key, events[0].payload)) is not None:
            assert kept == raw  # no JSON
            continue
        payload = json.loads(raw)
        whole = [event for event in events if event.payload == payload]
        assert whole or len(events) >= items_of(payload)
        # Whatever was in the delivery is in some event, but for contacts that are about none of them.
        if not whole:
            held = set(leaves([event.payload for event in events]))
            assert {leaf for leaf in leaves(without_contacts(payload)) if leaf not in held} == set()
        for event in events:
            findings(event.payload)
            again = restore(key=event.key, payload=json.loads(event.text), position=event.position)
            assert (again.type, again.digest) == (event.type, event.digest)
            with contextlib.suppress(PayloadError):  # told, logged, and given up
                handle(event, registry)


def without_contacts(value):
    if isinstance(value, dict):
        return {name: without_contacts(inner) for name, inner in value.items() if name != "contacts"}
    return [without_contacts(inner) for inner in value] if isinstance(value, list) else value


@pytest.mark.parametrize("size", [50])
def test_the_bytes_of_every_delivery_can_be_read_back_and_every_event_has_an_outcome(tmp_path, size):
    store = SqliteFile(tmp_path).open()
    pipeline = Pipeline(store=store, clock=Clock())
    waiting = []
    sent = {}
    for raw in mutants(MUTANTS // 2, SEED + 1):
        waiting.append(raw)
        if len(waiting) == size:
            sent |= dict(
                zip(store.append([Delivery(body=each, received_at=START) for each in waiting]), waiting, strict=True)
            )
            waiting.clear()
    pipeline.drain()
    for ident, raw in sent.items():
        assert store.get("delivery", ident)["body"] == raw
    assert store.counts()["backlog"] == 0
    after = 0
    while events := store.find(Query(after_id=after), limit=1000):
        after = events[-1]["id"]
        for event in events:
            assert event["state"] in (PROCESSED, DEAD, REFUSED)
            assert event["state"] == PROCESSED or event["error"]
            assert "cannot be stored" not in (event["error"] or "")
    store.close()
