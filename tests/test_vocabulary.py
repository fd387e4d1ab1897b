"""docs/vocabulary.md lists everything that Meta documents, and is true: each word has an event type and a fixture."""

import json
import re
from pathlib import Path

import pytest
from building import CASES, FIXTURES, case_name

from wa_webhooks.events import FIELD_TYPES, ITEM_KINDS
from wa_webhooks.payload import Call, Message, Status
from wa_webhooks.payload.base import Known
from wa_webhooks.payload.contents import INTERACTIVE, Interactive, System
from wa_webhooks.payload.envelope import FIELD_MODELS, VALUE_FIELDS

PAGE = Path(__file__).parent.parent / "docs" / "vocabulary.md"
LANDS = {
    "lead_seen": "wa_leads",
    "identity_changed": "wa_leads",
    "message_seen": "wa_messages",
    "status_seen": "wa_message_statuses",
    "call_seen": "wa_calls",
    "lead_noted": "wa_lead_events",
    "account_noticed": "wa_account_events",
}


def sections():
    """The rows of each table: (word, event types, tables, fixture)."""
    found = {}
    for part in PAGE.read_text().split("\n## ")[1:]:
        title, _, text = part.partition("\n")
        rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if "|" in line]
        found[title] = [
            (word.strip("`"), re.findall("`([^`]+)`", types), tables.split(", "), fixture.strip("`"))
            for word, types, tables, fixture in rows[2:]
        ]
    return found


SECTIONS = sections()
ROWS = [(title, *row) for title, rows in SECTIONS.items() for row in rows]


def known(model, key):
    return next(set(each) for each in model.model_fields[key].metadata if isinstance(each, Known))


@pytest.mark.parametrize(
    ("title", "words"),
    [
        ("Fields", set(FIELD_MODELS) | VALUE_FIELDS),
        ("Types of messages", known(Message, "type")),
        ("Interactive replies", known(Interactive, "type")),
        ("Statuses", known(Status, "status")),
        ("Steps of calls", known(Call, "event")),
        ("Changed identities", known(System, "type")),
    ],
)
def test_every_word_that_the_models_know_is_listed(title, words):
    assert {word for word, *_ in SECTIONS[title]} == words


def test_the_models_are_those_of_the_fields():
    assert set(FIELD_TYPES) == set(FIELD_MODELS)
    assert set(INTERACTIVE) < known(Interactive, "type")


@pytest.mark.parametrize(("title", "word", "types", "tables", "fixture"), ROWS, ids=lambda value: str(value)[:40])
def test_every_row_has_a_fixture_that_gives_its_event(title, word, types, tables, fixture):
    raw = (FIXTURES / f"{fixture}.json").read_text()
    if title != "Other items":
        assert f'"{word}"' in raw
    expected = json.loads((FIXTURES / f"{fixture}.expected.json").read_text())
    prefixes = [wanted.removesuffix("*") for wanted in types]
    events = [
        event
        for event in expected["events"]
        if any(
            event["type"].startswith(wanted) if wanted.endswith(".") else event["type"] == wanted
            for wanted in prefixes
        )
    ]
    assert events
    landed = {LANDS[change["kind"]] for event in events for change in event["changes"]}
    assert landed & set(tables)
    assert landed - set(tables) <= {"wa_leads"}


def goldens():
    for case in CASES:
        if case.parent.name not in ("unknown", "broken", "batches"):
            for event in json.loads(case.with_suffix(".expected.json").read_text())["events"]:
                yield case_name(case), event["type"]


def test_every_event_of_a_fixture_is_listed():
    listed = {wanted for _, _, types, _, _ in ROWS for wanted in types}
    for case, event_type in goldens():
        head = event_type.rpartition(".")[0]
        nested = event_type.count(".") > 1 or event_type.startswith("error.")
        assert event_type in listed or (nested and f"{head}.*" in listed), case


def test_every_kind_of_item_is_shown_by_a_fixture():
    shown = {event_type.partition(".")[0] for _, event_type in goldens()}
    assert {kind for kind, _ in ITEM_KINDS.values()} <= shown
