"""The fixtures are complete: each is listed, they show all that the models know, and nobody in them exists."""

import json
import re

import pytest
from building import CASES, FIXTURES, case_name

from wa_webhooks import drift
from wa_webhooks.payload.envelope import FIELD_MODELS, Value
from wa_webhooks.payload.messages import Body

NOBODYS = re.compile(
    r"""
      1555010\d{4}        # for fiction
    | 447700900\d{3}      # for drama, says Ofcom
    | 441632960\d{3}      # likewise
    | 3363998\d{4}        # for fiction, says Arcep
    | 551190000\d{4}      # no mobile of Brazil goes on with a 0
    | 5520(9?)7000\d{4}   # nor is there an area 20
    | 52(1?)000000\d{4}   # no number of Mexico begins with 0
    | 52155000\d{5}       # nor goes on with it after the area
    | 54(9?)0000000\d{3}  # nor does one of Argentina begin so
    | 34000000\d{3}       # nor of Spain
    | 9[01]0000000\d{3}   # nor of Turkey or India
    | 2340000000\d{3}     # nor of Nigeria
    """,
    re.VERBOSE,
)
PHONE_KEYS = re.compile(r'"(?:wa_id|new_wa_id|from|to|phone|phone_number|input|recipient_id|customer)": ?"([^"]*)"')

NOT_SENT = {
    ("Group", "input"),  # a participant's key, of a group itself never
    ("Message", "media_placeholder"),  # types without an object; Meta documents none
    ("Message", "request_welcome"),
    ("Origin", "type", "AUTHENTICATION-INTERNATIONAL"),  # Meta's spelling in a price
    ("Pricing", "category", "AUTHENTICATION_INTERNATIONAL"),  # Meta's spelling in a conversation
}


def readable():
    for case in CASES:
        if case.parent.name not in ("broken", "unknown"):
            yield case, json.loads(case.read_bytes())


def known(model, found=None):
    """Every key, and every value of an enumeration, that a model and those inside it know."""
    found = {} if found is None else found
    if model in found:
        return found
    rules = drift._rules(model)
    found[model] = {(model.__name__, key) for key in rules}
    if (
        issubclass(model, Body) and model.__name__ != "Message"
    ):  # an edit, and what was sent: any of a message's kinds
        found[model] -= {(model.__name__, key) for key in (*model.contents, "contacts")}
    for key, rule in rules.items():
        found[model] |= {(model.__name__, key, word) for word in rule.known or ()}
        if rule.model:
            known(rule.model, found)
    return found


def shown(value, model):
    """The keys and values of `model` that JSON shows."""
    for each in value if isinstance(value, list) else [value]:
        rules = drift._rules(model)
        for key, inner in each.items() if isinstance(each, dict) else ():
            yield model.__name__, key
            if key in rules and rules[key].known and isinstance(inner, str):
                yield model.__name__, key, inner.upper()
            if key in rules and rules[key].model:
                yield from shown(inner, rules[key].model)


def test_every_fixture_is_listed_once():
    listed = re.findall(r"^\| `([^`]+)` \|", (FIXTURES / "README.md").read_text(), re.MULTILINE)
    assert sorted(listed) == sorted(case_name(case) for case in CASES)


def test_every_fixture_has_its_expected_result():
    assert {f"{case_name(case)}.expected" for case in CASES} == {
        case_name(path) for path in FIXTURES.rglob("*.expected.json")
    }


def test_everything_that_the_models_know_is_shown_by_a_fixture():
    models = {}
    for model in {*FIELD_MODELS.values(), Value} - {None}:
        known(model, models)
    seen = set()
    for _, body in readable():
        for entry in body["entry"]:
            for change in entry.get("changes", ()):
                if model := FIELD_MODELS.get(change.get("field"), Value):
                    seen |= set(shown(change.get("value"), model))
    missing = set().union(*models.values()) - seen
    assert missing == NOT_SENT


@pytest.mark.parametrize("case", CASES, ids=case_name)
def test_no_number_is_anybodys(case):
    text = case.read_bytes().decode("utf-8", "replace")
    for number in PHONE_KEYS.findall(text):
        plain = re.sub(r"[ +-]", "", number)
        assert not plain.isdecimal() or NOBODYS.fullmatch(plain), number
