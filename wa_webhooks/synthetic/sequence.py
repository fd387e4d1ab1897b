"""From what a user asks for to a sequence of deliveries."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from ..errors import ConfigError
from .catalogue import NAMES
from .edits import Edit, apply
from .making import Maker
from .people import Person, invented
from .scenarios import SCENARIOS, Scenario, Step

_MOST_PEOPLE = 1000
_MOST_SUGGESTIONS = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is to happen: an event type or scenario, with whom, by which name, how often, when, and with which edits.

    `at` is a Unix time: the start of a scenario, the last of several events. None is `now`, or as long before it as a
    scenario takes: nothing is told before it happened. `pace` is how many real seconds one of the scenario takes.
    """

    what: str
    now: int
    at: int | None = None
    leads: Sequence[Person] = ()
    name: str | None = None
    count: int | None = None
    edits: Sequence[Edit] = ()
    pace: float = 0.0


@dataclass(frozen=True, slots=True)
class Sequenced:
    """Deliveries in order; `names_lead` is false where the type of event has no room for the lead."""

    steps: Sequence[Step]
    names_lead: bool = True

    @property
    def length(self) -> float:
        """Seconds from the first delivery to the last."""
        return self.steps[-1].after if self.steps else 0.0


def sequence(maker: Maker, asked: Asked) -> Sequenced:
    """Return the deliveries that are asked for.

    Raises:
        ConfigError: there is no such type or scenario, or an edit cannot be done.
    """
    name = asked.what.lower()
    if scenario := SCENARIOS.get(name):
        return _played(maker, name, scenario, asked)
    if name not in NAMES:
        raise ConfigError(f"{asked.what!r} is no event type and no scenario", hint=_suggestion(name))
    count = asked.count or 1
    people = _people(asked, count)
    last = asked.now if asked.at is None else asked.at
    steps, named = [], True
    for number in range(count):
        # A second apart: Meta tells many events by nothing but their time.
        made = maker.make(name, people[number % len(people)], last - (count - 1 - number))
        for edit in asked.edits:
            apply(made, edit)
        named = named and made.names_lead
        steps.append(Step(0, name, made.payload))
    return Sequenced(steps, named)


def _played(maker: Maker, name: str, scenario: Scenario, asked: Asked) -> Sequenced:
    if asked.edits:
        raise ConfigError(f"{name} is a scenario: --set goes with an event type")
    count = asked.count or (len(asked.leads) if scenario.counted == "leads" else 0) or scenario.count
    if scenario.most and count > scenario.most:
        raise ConfigError(f"{name} holds at most {scenario.most} {scenario.counted}")
    people = _people(asked, count)
    start = asked.at
    if start is None:
        length = Sequenced(scenario.play(maker, people, 0, count)).length
        start = asked.now - round(length * max(0.0, 1 - asked.pace))
    return Sequenced(scenario.play(maker, people, start, count))


def _people(asked: Asked, count: int) -> Sequence[Person]:
    """Whom the user named, or as many invented people as there may be need of."""
    people = asked.leads or [invented(number) for number in range(min(count, _MOST_PEOPLE))]
    return [replace(person, name=asked.name or person.name) for person in people]


def _suggestion(name: str) -> str:
    known = [*SCENARIOS, *NAMES]
    found = sorted((each for each in known if each.startswith(f"{name}.")), key=lambda each: ":" in each)
    found += [each for each in difflib.get_close_matches(name, known, n=_MOST_SUGGESTIONS) if each not in found]
    hint = f"Similar: {', '.join(found[:_MOST_SUGGESTIONS])}. " if found else ""
    return f"{hint}`wa-hooks trigger --list` has all."


def paced(steps: Sequence[Step], pace: float, sleep: Callable[[float], object]) -> Iterator[Step]:
    """Give each step when it is due: `pace` real seconds for each of theirs."""
    before = 0.0
    for step in steps:
        if (wait := (step.after - before) * pace) > 0:
            sleep(wait)
        before = step.after
        yield step
