"""`tail-log --rejected` and the figures of `stats`: what was refused, for people and for pipes."""

import json
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest

from wa_hooks_cli.main import main
from wa_webhooks.stores import open_store
from wa_webhooks.stores.base import Rejection

NOW = datetime.now(UTC)


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def store():
    with closing(open_store("sqlite:wa-hooks.db")) as opened:
        yield opened


@pytest.fixture
def wa(capfd):
    def run(*arguments):
        code = main([str(argument) for argument in arguments])
        captured = capfd.readouterr()
        return code, captured.out, captured.err

    return run


def rejections(*causes, at=NOW, **more):
    return [Rejection(at=at, status=401, cause=cause, request_id=cause, **more) for cause in causes]


def causes(out):
    return [json.loads(line)["cause"] for line in out.splitlines()]


def test_the_last_rejections_are_a_table_for_people_and_lines_for_pipes(wa, store):
    known = {"size": 12, "body_sha256": "ab" * 32, "detail": "The signature is missing or wrong."}
    store.reject(rejections("malformed"), now=NOW)
    store.reject([Rejection(at=NOW, status=401, cause="signature-wrong", source_ip="203.0.113.9", **known)], now=NOW)
    heading, first, second = wa("tail-log", "--rejected")[1].splitlines()
    assert heading.split() == ["time", "status", "cause", "source", "bytes", "request", "answered"]
    assert first.split()[1:] == ["401", "malformed", "-", "malformed"]
    assert second.split()[1:6] == ["401", "signature-wrong", "203.0.113.9", "12", "-"]
    assert second.endswith("  The signature is missing or wrong.")
    (line,) = wa("tail-log", "--rejected", "--json", "-n", "1")[1].splitlines()
    row = json.loads(line)
    assert datetime.fromisoformat(row.pop("at")) == NOW
    assert row == {
        "id": 2,
        "status": 401,
        "cause": "signature-wrong",
        "source_ip": "203.0.113.9",
        "request_id": None,
        **known,
    }


def test_which_rejections_is_a_number_or_a_time(wa, store):
    store.reject(rejections(*(["old"] * 600), at=NOW - timedelta(days=3)), now=NOW)
    store.reject(rejections(*(["slow"] * 30), at=NOW - timedelta(hours=2)) + rejections("network"), now=NOW)
    assert causes(wa("tail-log", "--rejected", "--json")[1]) == ["slow"] * 19 + ["network"]
    assert causes(wa("tail-log", "--rejected", "--json", "-n", "3")[1]) == ["slow", "slow", "network"]
    assert causes(wa("tail-log", "--rejected", "--json", "--since", "3h")[1]) == ["slow"] * 30 + ["network"]
    assert len(causes(wa("tail-log", "--rejected", "--json", "--since", "9d")[1])) == 631  # in several pages
    assert causes(wa("tail-log", "--rejected", "--json", "--since", "3h", "-n", "2")[1]) == ["slow", "network"]
    assert set(causes(wa("tail-log", "--rejected", "--json", "--until", "1d")[1])) == {"old"}
    assert wa("tail-log", "--rejected", "-n", "0") == (0, "", "")


def test_nothing_rejected_is_said_by_the_exit_code_of_a_filter_alone(wa, store):
    assert wa("tail-log", "--rejected") == (0, "", "")
    store.reject(rejections("slow", at=NOW - timedelta(days=3)), now=NOW)
    code, out, err = wa("tail-log", "--rejected", "--since", "1h")
    assert (code, out) == (4, "")
    assert "no rejection matches" in err


@pytest.mark.parametrize(
    "given",
    [
        ["--type", "message.text"],
        ["--state", "failed"],
        ["--lead", "5511900000012"],
        ["--error", "KeyError"],
        ["--run", "r1"],
        ["--type", "x", "--run", "r1"],
    ],
)
def test_what_chooses_events_is_refused(wa, store, given):
    code, _, err = wa("tail-log", "--rejected", *given)
    assert code == 2
    assert f"{', '.join(given[::2])} cannot go with --rejected" in err
    assert "--since" in err


def test_what_a_stranger_sent_does_not_reach_the_terminal(wa, store):
    store.reject(rejections("slow", source_ip="\x1b[2J\x00", detail="\x1b]0;title\x07\n\ud83d"), now=NOW)
    out = wa("tail-log", "--rejected")[1]
    assert len(out.splitlines()) == 2
    assert out.replace("\n", "").isprintable()


def test_following_shows_what_is_rejected_next(store):
    store.reject(rejections("old", "slow"), now=NOW)
    command = [sys.executable, "-m", "wa_hooks_cli", "tail-log", "--rejected", "-f", "-n", "1", "--poll", "0.05"]
    with subprocess.Popen([*command, "--json"], stdout=subprocess.PIPE, text=True) as tail:
        try:
            assert json.loads(tail.stdout.readline())["cause"] == "slow"
            store.reject(rejections("network", "malformed"), now=NOW)
            assert [json.loads(tail.stdout.readline())["id"] for _ in range(2)] == [3, 4]
            store.reject(rejections("handshake"), now=NOW)
            assert json.loads(tail.stdout.readline())["cause"] == "handshake"
        finally:
            tail.terminate()


def test_stats_count_all_that_was_rejected_and_the_last_day_by_cause(wa, store):
    def stats():
        return json.loads(wa("stats", "--json")[1])["rejections"]

    assert stats() == {"total": 0, "last_24h": {}, "last_at": None}
    assert "rejections\n  total  0\n\n" in wa("stats")[1]
    store.reject(rejections("slow", at=NOW - timedelta(days=3)), now=NOW)
    store.reject(rejections("network"), now=NOW, more={"network": 40, "malformed": 2})
    told = stats()
    assert datetime.fromisoformat(told.pop("last_at")) == NOW
    assert told == {"total": 44, "last_24h": {"network": 41, "malformed": 2}}
    assert "rejections of the last 24 hours\n  network    41\n  malformed  2\n\n" in wa("stats")[1]
