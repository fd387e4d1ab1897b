"""What people see, kept as files: a change of the output is a change of these. `make golden` writes them anew."""

import json
import os
import re
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from wa_hooks_cli.main import main
from wa_webhooks.stores import open_store
from wa_webhooks.stores.base import Rejection

ROOT = Path(__file__).parent.parent
GOLDEN = Path(__file__).parent / "golden"
FIXTURES = ROOT / "fixtures"


def expected(case):
    return json.loads((FIXTURES / f"{case}.expected.json").read_text())["events"][0]


def key_of(case):
    return expected(case)["key"]


def id_of(case):
    return expected(case).get("message_id") or expected(case)["call_id"]


CASES = {
    "tail-log": ["tail-log", "-n", "12"],
    "tail-log-json-masked": ["tail-log", "-n", "1", "--type", "message.text", "--json", "--mask"],
    "show-event": ["show", "1"],
    "show-failed-event": ["show", key_of("broken/timestamp-missing")],
    "show-delivery": ["show", "delivery:1"],
    "show-lead": ["show", "5511900000012"],
    "show-lead-unmasked": ["show", "5511900000012", "--unmask"],
    "show-call": ["show", id_of("calls/terminate-answered")],
    "show-message": ["show", id_of("statuses/read")],
    "stats": ["stats"],
    "stats-json": ["stats", "--json"],
    "tail-log-rejected": ["tail-log", "--rejected"],
    "tail-log-rejected-json": ["tail-log", "--rejected", "--json", "-n", "1"],
    "tail-log-rejected-filtered": ["tail-log", "--rejected", "--type", "message.*", "--lead", "5511900000012"],
}


def steady(text):
    """The output without what differs from run to run: times of arrival, ids of runs."""
    today = f"{datetime.now(UTC):%Y-%m-%d}"
    text = re.sub(r"\b\d{8}-\d{6}-[0-9a-f]{4}\b", "<run>", text)
    text = re.sub(rf"{today}T\d\d:\d\d:\d\d(\.\d{{6}})?Z", lambda m: "<now>".ljust(len(m[0])), text)
    return "\n".join(line.rstrip() for line in text.splitlines()) + "\n"


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    folder = tmp_path_factory.mktemp("golden")
    store = f"sqlite:{folder}/wa-hooks.db"
    kinds = ("calls", "messages", "statuses", "broken")
    main(["replay", *(str(FIXTURES / kind) for kind in kinds), "--store", store])
    with closing(open_store(store)) as opened:
        opened.reject(rejections(), now=datetime.now(UTC), more={"network": 38})
    return store


def rejections():
    unsigned = "The signature is missing or wrong."
    told = {"size": 1024, "body_sha256": "5d" * 32, "detail": unsigned}
    at = datetime.now(UTC)
    return [
        Rejection(at=at, status=400, cause="malformed", source_ip="203.0.113.9", detail="The request is malformed."),
        Rejection(at=at, status=401, cause="signature-missing", source_ip="2001:db8::7:1", size=0, detail=unsigned),
        Rejection(at=at, status=403, cause="network", source_ip="198.51.100.200", request_id="r-2"),
        Rejection(at=at, status=401, cause="signature-wrong", source_ip="203.0.113.9", request_id="r-1", **told),
    ]


@pytest.mark.parametrize("name", CASES)
def test_output(name, log, capfd, monkeypatch):
    monkeypatch.setenv("WA_HOOKS_STORE", log)
    capfd.readouterr()
    main(CASES[name])
    shown = steady("".join(capfd.readouterr()))
    golden = GOLDEN / f"{name}.txt"
    if os.environ.get("WA_HOOKS_GOLDEN") == "update":
        GOLDEN.mkdir(exist_ok=True)
        golden.write_text(shown)
    assert golden.read_text() == shown
