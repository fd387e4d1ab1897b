"""Scenarios: sequences of deliveries, each with the second at which it arrives."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .making import SECOND, Business, Made, Maker
from .people import Person

LARGEST_BATCH = 1000
"""Meta puts no more updates into one delivery."""


@dataclass(frozen=True, slots=True)
class Step:
    """One delivery: how many seconds after the start it arrives, what it tells, and its payload."""

    after: float
    about: str
    payload: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """A sequence for `count` of something; `most` is None where there may be any number."""

    about: str
    counted: str = "leads"
    count: int = 1
    most: int | None = None
    play: Callable[[Maker, Sequence[Person], int, int], list[Step]]
    """Of a maker, people to choose from, the Unix time of the start, and the count."""


Words = Mapping[str, str]


class _Story:
    """What happens with one lead, from `start` on."""

    def __init__(self, maker: Maker, who: Person, start: int, begins: int) -> None:
        self.maker, self.who, self.start, self.begins = maker, who, start, begins
        self.steps: list[Step] = []

    def happens(
        self,
        at: int,
        name: str,
        words: Words | None = None,
        *,
        arrives: int | None = None,
        changes: Mapping[str, Any] | None = None,
    ) -> Made:
        """Add the delivery of an event that happens `at` and arrives then, or later."""
        made = self.maker.make(name, self.who, self.start + self.begins + at, words, changes=changes)
        self.arrives(at if arrives is None else arrives, name, made.payload)
        return made

    def arrives(self, after: int, about: str, payload: dict[str, Any]) -> None:
        """Add a delivery."""
        self.steps.append(Step(self.begins + after, about, payload))

    def writes(self, at: int, body: str, *, about: str | None = None) -> None:
        """Add a text of the lead's, or an answer to the message `about`."""
        name = "message.text:reply" if about else "message.text"
        self.happens(at, name, {"other": about} if about else None, changes={"text.body": body})

    def reached(self, words: Words, **statuses: int) -> str:
        """Add the statuses of a message that the business sends, each with its second; return its id."""
        ident = self.maker.sent_id(self.who)
        for status, at in statuses.items():
            self.happens(at, f"status.{status}", {**words, "sent": ident})
        return ident


def _told(tell: Callable[[_Story, int], None], *, apart: int) -> Callable[..., list[Step]]:
    """The sequence in which `tell` happens with each lead, `apart` seconds after the one before."""

    def play(maker: Maker, people: Sequence[Person], start: int, count: int) -> list[Step]:
        steps: list[Step] = []
        for number in range(count):
            story = _Story(maker, people[number % len(people)], start, number * apart)
            tell(story, number)
            steps += story.steps
        return sorted(steps, key=lambda step: step.after)

    return play


_SERVICE = {"category": "service", "pricing": "free_customer_service"}


def _conversation(story: _Story, _: int) -> None:
    story.writes(0, "Hello, are you open on Saturday?")
    answer = story.reached(_SERVICE, sent=7, delivered=8, read=13)
    story.writes(31, "Ten o'clock suits me. Thank you!", about=answer)
    answer = story.reached(_SERVICE, sent=38, delivered=39, read=42)
    story.happens(47, "message.reaction", {"other": answer})


def _campaign(tag: str) -> Callable[[_Story, int], None]:
    """Five leads take five ways; the next ones the same again."""
    words = {"tag": tag, "category": "marketing"}

    def accepts(story: _Story) -> None:
        sent = story.reached(words, sent=0, delivered=3, read=20)
        story.happens(27, "message.button", {"other": sent}, changes={"button.payload": f"{tag}:yes"})

    def keeps_silent(story: _Story) -> None:
        story.reached(words, sent=0, delivered=2)

    def is_not_reached(story: _Story) -> None:
        story.reached(words, sent=0, failed=4)

    def opts_out(story: _Story) -> None:
        story.reached(words, sent=0, delivered=2, read=15)
        story.happens(22, "preference.stop")

    def answers(story: _Story) -> None:
        sent = story.reached(words, sent=0, read=33)  # the chat is open: Meta leaves `delivered` out
        story.writes(45, "Next week, please.", about=sent)

    ways = (accepts, keeps_silent, is_not_reached, opts_out, answers)
    return lambda story, number: ways[number % len(ways)](story)


def _play_campaign(maker: Maker, people: Sequence[Person], start: int, count: int) -> list[Step]:
    return _told(_campaign(f"campaign:checkup-{maker.token(6)}"), apart=1)(maker, people, start, count)


def _missed_call(story: _Story, _: int) -> None:
    missed = {"wacid": story.maker.call_id(story.who)}
    story.happens(0, "call.connect", missed)
    story.happens(43, "call.terminate:missed", missed)
    back = {"wacid": story.maker.call_id(story.who)}
    story.happens(75, "call.ringing", back)
    story.happens(83, "call.accepted", back)
    story.happens(83, "call.connect:business", back)
    story.happens(148, "call.terminate:business", back)


def _out_of_order(story: _Story, _: int) -> None:
    ours = {**_SERVICE, "sent": story.maker.sent_id(story.who)}
    story.happens(12, "status.read", ours, arrives=13)
    story.happens(8, "status.delivered", ours, arrives=14)
    story.happens(7, "status.sent", ours, arrives=15)
    story.happens(0, "message.text", arrives=17)
    call = {"wacid": story.maker.call_id(story.who)}
    story.happens(60, "call.terminate:missed", call, arrives=61)
    story.happens(20, "call.connect", call, arrives=63)


def _duplicates(story: _Story, _: int) -> None:
    message = story.happens(0, "message.text")
    story.arrives(2, "message.text, again", message.payload)
    story.reached(_SERVICE, sent=7, delivered=8)
    statuses = [step.payload for step in story.steps[-2:]]
    everything = together([*statuses, message.payload])
    story.arrives(11, "all of it in one delivery", everything)
    story.arrives(16, "all of it, again", everything)


def _batch(maker: Maker, people: Sequence[Person], start: int, count: int) -> list[Step]:
    """Of each lead a text, and the statuses of the answer; every other lead writes to another number."""
    made: list[dict[str, Any]] = []
    ours = (maker.business, SECOND) if maker.business == Business() else (maker.business,)
    for number in range(count):
        lead, part = divmod(number, 4)
        who, business = people[lead % len(people)], ours[lead % len(ours)]
        if part == 0:
            sent = maker.sent_id(who)
        name = ("message.text", "status.sent", "status.delivered", "status.read")[part]
        at = start - 12 + 4 * part - (count // 4 - lead)  # it has been going on for a little while
        made.append(maker.make(name, who, at, {**_SERVICE, "sent": sent}, business=business).payload)
    return [Step(0, f"{count} events", together(made))]


def together(payloads: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return one delivery of several: an entry for each account, a change for each field and number."""
    entries: dict[str, dict[str, Any]] = {}
    values: dict[tuple[str, str, str], dict[str, Any]] = {}
    for payload in payloads:
        (entry,) = payload["entry"]
        (change,) = entry["changes"]
        merged = entries.setdefault(entry["id"], {**entry, "changes": []})
        place = (entry["id"], change["field"], change["value"]["metadata"]["phone_number_id"])
        if place not in values:
            values[place] = {}
            merged["changes"].append({"value": values[place], "field": change["field"]})
        _merge(values[place], change["value"])
    return {**payloads[0], "entry": list(entries.values())}


def _merge(into: dict[str, Any], value: Mapping[str, Any]) -> None:
    for name, inner in value.items():
        if not isinstance(inner, list):
            into[name] = inner
            continue
        there = into.setdefault(name, [])
        there += [each for each in inner if name != "contacts" or each not in there]


SCENARIOS: dict[str, Scenario] = {
    "conversation": Scenario(
        about="a question, our answer and how far it came, an answer to it, a reaction",
        play=_told(_conversation, apart=5),
    ),
    "campaign": Scenario(
        about="a template to several leads: read, failed, a quick reply, an opt-out, an answer",
        count=5,
        play=_play_campaign,
    ),
    "missed-call": Scenario(
        about="a call that nobody answers, and our call back, which is answered", play=_told(_missed_call, apart=5)
    ),
    "out-of-order": Scenario(
        about="read before delivered before sent, statuses before the message, a call's end before its start",
        play=_told(_out_of_order, apart=5),
    ),
    "duplicates": Scenario(
        about="the same deliveries again, also re-batched: three events for each lead",
        play=_told(_duplicates, apart=5),
    ),
    "batch": Scenario(
        about="one delivery of many messages and statuses, of several leads and numbers",
        counted="events",
        count=100,
        most=LARGEST_BATCH,
        play=_batch,
    ),
}
