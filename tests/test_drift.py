"""Looking for what the models do not know: the quick look that nearly every event gets agrees with the long one."""

import copy
from random import Random

from building import CASES, JSON
from hypothesis import given
from hypothesis import strategies as st

from wa_webhooks import drift
from wa_webhooks.drift import findings
from wa_webhooks.splitting import split

PAYLOADS = [event.payload for case in CASES for event in split(case.read_bytes()) if isinstance(event.payload, dict)]


def at_length(payload):
    """What is found without the quick look."""
    return tuple(sorted(set(drift._in_envelope(payload)))) if isinstance(payload.get("entry"), list) else ()


def places_in(value):
    """Every object and array in JSON."""
    if isinstance(value, dict | list):
        yield value
        for inner in value.values() if isinstance(value, dict) else value:
            yield from places_in(inner)


def test_the_quick_look_finds_nothing_where_there_is_nothing():
    for payload in PAYLOADS:
        assert findings(payload) == at_length(payload)
    known = [drift._is_known(payload) for payload in PAYLOADS if isinstance(payload.get("entry"), list)]
    assert known.count(True) > 0.9 * len(known)


@given(st.sampled_from(PAYLOADS), st.integers(0, 2**32), JSON)
def test_the_quick_look_overlooks_nothing(payload, seed, strange):
    """One key or element of a payload is replaced by anything."""
    changed, random = copy.deepcopy(payload), Random(seed)
    place = random.choice(list(places_in(changed)))
    if isinstance(place, dict):
        place[random.choice([*place, "status", "from", "new"])] = strange
    elif place:
        place[random.randrange(len(place))] = strange
    assert findings(changed) == at_length(changed)[: drift._MOST]
