"""What handling an event costs, beside what pydantic alone needs to validate it: run by `make bench`.

Handling is everything but the store: parse, split, run the handlers, build the changes. Bare pydantic is
`model_validate_json` of a model of the whole body with the same fields and the same tolerance. Both take turns in one
run, round by round; what counts is the ratio of the medians.
"""

import gc
import statistics
import sys
import time
from collections.abc import Callable

from building import CASES
from pydantic import create_model

from wa_webhooks.decoding import is_storable
from wa_webhooks.drift import findings
from wa_webhooks.handlers import builtin
from wa_webhooks.payload import Message
from wa_webhooks.payload.base import Many, Maybe, Shape, Text, Time
from wa_webhooks.payload.envelope import FIELD_MODELS, Value
from wa_webhooks.pipeline import handle
from wa_webhooks.splitting import split

ROUNDS = 15
LIMIT = 4.0
"""Handling may cost this many times what bare pydantic does."""

FULL_MESSAGE = create_model(
    "FullMessage", __base__=Message, **{name: (Maybe[shape], None) for name, shape in Message.contents.items()}
)
FULL_VALUE = create_model("FullValue", __base__=Value, messages=(Many[FULL_MESSAGE], ...))


def envelope_of(value: type[Shape]) -> type[Shape]:
    """A model of a whole body whose changes have this value."""
    change = create_model("FullChange", __base__=Shape, field=(Text, None), value=(Maybe[value], None))
    entry = create_model("FullEntry", __base__=Shape, id=(Text, None), time=(Time, None), changes=(Many[change], ...))
    return create_model("FullEnvelope", __base__=Shape, object=(Text, None), entry=(Many[entry], ...))


Body = tuple[bytes, type[Shape], int]
"""The bytes of a delivery, its model, and how many events are in it."""

TRAFFIC = ("messages", "statuses", "calls")
"""The folders of what comes in numbers. The others are shown; the limit is for these."""


def bodies(*, traffic: bool) -> list[Body]:
    """The fixtures that are as Meta sends them, and that pydantic can parse: it refuses lone surrogates."""
    models = {field: envelope_of(model) for field, model in FIELD_MODELS.items() if model}
    usual = envelope_of(FULL_VALUE)
    found = []
    for case in CASES:
        if case.parent.name in ("broken", "unknown") or (case.parent.name in TRAFFIC) != traffic:
            continue
        body = case.read_bytes()
        events = split(body)
        if is_storable(body) and not any(event.problem for event in events):
            found.append((body, models.get(events[0].change.get("field"), usual), len(events)))
    return found


def bare(measured: list[Body]) -> None:
    """What pydantic alone needs."""
    for body, model, _ in measured:
        model.model_validate_json(body)


def handling(measured: list[Body]) -> None:
    """Everything but the store."""
    for body, _, _ in measured:
        for event in split(body):
            handle(event, REGISTRY)


def handling_and_drift(measured: list[Body]) -> None:
    """And the look at what the models do not know, which new events get."""
    for body, _, _ in measured:
        for event in split(body):
            handle(event, REGISTRY)
            findings(event.payload)


REGISTRY = builtin()
WAYS: tuple[Callable[[list[Body]], None], ...] = (bare, handling, handling_and_drift)


def measure(measured: list[Body]) -> dict[str, float]:
    """The median of each way, in microseconds an event."""
    events = sum(count for _, _, count in measured)
    times: dict[str, list[float]] = {way.__name__: [] for way in WAYS}
    for way in WAYS:
        way(measured)  # models are built when first used
    for _ in range(ROUNDS):
        for way in WAYS:
            gc.collect()
            start = time.perf_counter()
            way(measured)
            times[way.__name__].append((time.perf_counter() - start) / events * 1e6)
    print(f"{len(measured)} bodies with {events} events, {ROUNDS} rounds; medians, microseconds an event")
    return {name: statistics.median(rounds) for name, rounds in times.items()}


def ratios(title: str, measured: list[Body]) -> dict[str, float]:
    """Print what each way costs, and return how many times the first."""
    print(title, end=": ")
    medians = measure(measured)
    found = {name: median / medians["bare"] for name, median in medians.items()}
    for name, median in medians.items():
        print(f"  {name.replace('_', ' '):<20}{median:8.1f}{found[name]:8.2f} times bare pydantic")
    return found


def main() -> int:
    verdict = ratios("messages, statuses and calls", bodies(traffic=True))["handling"]
    ratios("everything else", bodies(traffic=False))
    passed = verdict <= LIMIT
    word = "PASS" if passed else "FAIL"
    print(f"{word}: handling costs {verdict:.2f} times bare pydantic; the limit is {LIMIT:g}")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
