"""Payloads that other projects wrote, where a folder of them is given: WA_HOOKS_TEST_PAYLOADS=path pytest."""

import json
import os
from pathlib import Path

import pytest

from wa_hooks_cli.main import main

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
