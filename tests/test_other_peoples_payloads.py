"""Payloads that other projects wrote, where a folder of them is given: WA_HOOKS_TEST_PAYLOADS=path pytest."""

import json
import os
from pathlib import Path

import pytest

from wa_hooks_cli.main import main
from wa_webhooks.events import FIELD_TYPES
from wa_webhooks.payload.envelope import VALUE_FIELDS
from wa_webhooks.stores import open_store
from wa_webhooks.stores.base import PROCESSED, Query

GIVEN = os.environ.get("WA_HOOKS_TEST_PAYLOADS")
FOLDER = Path(GIVEN or ".").resolve()
pytestmark = pytest.mark.skipif(not GIVEN, reason="no folder is given")


def counted():
    """The separate count: walk the raw JSON, know nothing of wa-hooks."""
    found = {"messages": 0, "statuses": 0, "calls": 0, "deliveries": 0}
    for file in FOLDER.rglob("*"):
        if not file.name.endswith((".json", ".raw.txt")):
            continue
        found["deliveries"] += 1
        try:
            payload = json.loads(file.read_bytes())
        except ValueError:
            continue
        for entry in payload.get("entry") or [] if isinstance(payload, dict) else []:
            for change in entry.get("changes") or []:
                for name in ("messages", "statuses", "calls"):
                    found[name] += len(change.get("value", {}).get(name) or [])
    return found


def test_all_of_them_go_through_and_none_is_lost(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    expected = counted()
    assert main(["replay", str(FOLDER), "--json"]) in (0, 3)
    captured = capfd.readouterr()
    assert "Traceback" not in captured.err
    summary = json.loads(captured.out)
    kinds = {}
    for event_type, count in summary["by_type"].items():
        kinds[event_type.partition(".")[0]] = kinds.get(event_type.partition(".")[0], 0) + count
    assert summary["deliveries"] == expected["deliveries"]
    assert kinds["message"] == expected["messages"]
    # The progress of a call comes as a status in Meta's JSON, and is a step of the call in the log.
    assert kinds["status"] + kinds.get("payment", 0) + kinds["call"] == expected["statuses"] + expected["calls"]
    assert summary["events"] == sum(kinds.values())
    main(["tail-log", "--json", "-n", "9999"])
    logged = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert all(event["procesado"] or event["error"] for event in logged)
    main(["replay", str(FOLDER), "--json"])
    again = json.loads(capfd.readouterr().out)
    assert (again["new"], again["duplicates"]) == (0, again["events"])


@pytest.fixture
def replayed(tmp_path, monkeypatch):
    """The store with all of them in it."""
    monkeypatch.chdir(tmp_path)
    main(["replay", str(FOLDER), "--json"])
    store = open_store("sqlite:wa-hooks.db", create=False)
    yield store
    store.close()


def whole_envelopes():
    """The bodies that their manifest does not call invalid or a part of an envelope."""
    told = [json.loads(line) for line in (FOLDER / "manifest.jsonl").read_text().splitlines()]
    good = (one for one in told if one["kind"].startswith("envelope") and not one["deliberately_invalid"])
    return {(FOLDER / one["path"]).read_bytes() for one in good}


def test_only_what_is_no_envelope_is_unreadable(replayed):
    good = whole_envelopes()
    assert good
    for event in replayed.find(Query(types=("unreadable",)), limit=999):
        body = replayed.get("delivery", event["delivery_id"])["body"]
        has_entries = b'"entry"' in body and json.loads(body)["entry"]
        assert body not in good or not has_entries


def test_only_what_the_reference_does_not_list_is_unknown(replayed):
    for event in replayed.find(Query(types=("unknown.*",)), limit=999):
        (change,) = event["payload_original"]["entry"][0]["changes"]
        field, value = change.get("field"), change["value"]
        listed = field in FIELD_TYPES or field in VALUE_FIELDS
        assert not listed or set(value) - {"messaging_product", "metadata", "contacts"}


NAMES = ("wa_id", "user_id", "from", "from_user_id", "recipient_id", "recipient_user_id", "to_user_id")


def people_in(value, ours):
    """The ids of people under the keys that Meta has for them; the business's own number is nobody's."""
    if isinstance(value, list):
        return {found for inner in value for found in people_in(inner, ours)}
    if not isinstance(value, dict):
        return set()
    if "phones" in value:
        return set()  # a contact card: about somebody else
    found = {str(value[name]).lstrip("+") for name in NAMES if isinstance(value.get(name), str | int)}
    inside = {found for name, inner in value.items() if name != "context" for found in people_in(inner, ours)}
    return {ident for ident in found | inside if ident and ident != ours}


def test_every_event_that_names_a_person_is_tied_to_a_lead(replayed):
    tied = 0
    for event in replayed.find(Query(states=(PROCESSED,)), limit=999):
        (change,) = event["payload_original"]["entry"][0]["changes"]
        value = change["value"]
        metadata = value.get("metadata", {}) if isinstance(value, dict) else {}
        ours = str(metadata.get("display_phone_number", "")).replace(" ", "").replace("-", "").lstrip("+")
        if people_in(value, ours):
            assert event["lead_id"], event
            tied += 1
    assert tied > 100
