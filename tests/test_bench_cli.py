"""`wa-hooks bench`: against a receiver of its own, and against others, good and bad ones."""

import json
from pathlib import Path

import pytest
from answering import answering
from serving import SECRET, recorded, serving

from wa_hooks_cli.main import main
from wa_webhooks.bench import target

SHORT = ["bench", "--rate", "40", "--seconds", "0.5", "--json"]
KEYS = [
    "rate",
    "seconds",
    "requests",
    "answered_200",
    "errors",
    "p50_ms",
    "p95_ms",
    "p99_ms",
    "max_ms",
    "over_1s",
    "backlog",
    "backlog_seconds",
    "drained_after_seconds",
    "cores",
    "connections",
    "generator_late_p99_ms",
    "verdict",
    "reasons",
]


def measured(capfd):
    said = capfd.readouterr()
    return [json.loads(line) for line in said.out.splitlines()], said.err


@pytest.mark.processes
def test_it_measures_a_receiver_of_its_own_and_leaves_nothing(tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("WA_HOOKS_MAX_BODY", "1")  # its receiver has no settings of this environment
    code = main([*SHORT, "--rate", "30", "--folder", str(tmp_path), "--", "--log-level", "debug"])
    found, said = measured(capfd)
    assert [list(each) for each in found] == [KEYS, KEYS]
    assert [each["rate"] for each in found] == [40, 30]
    for each in found:
        assert each["answered_200"] == each["requests"] > 0
        assert each["errors"] == {}
        assert each["p50_ms"] <= each["p95_ms"] <= each["p99_ms"] <= each["max_ms"]
        assert each["backlog_seconds"] == round(each["backlog"] / each["rate"], 2)
        assert each["drained_after_seconds"] is not None
        assert (each["verdict"] == "PASS") == (each["reasons"] == [])
    assert code == (0 if all(each["verdict"] == "PASS" for each in found) else 3)
    assert said.splitlines() == ["40 requests/s for 0.5 s", "30 requests/s for 0.5 s"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.processes
def test_without_workers_nothing_is_said_of_them(tmp_path, capfd):
    main(["bench", "--rate", "40", "--seconds", "0.5", "--workers", "0", "--folder", str(tmp_path)])
    head, row, _, *told = capfd.readouterr().out.splitlines()
    assert head.split("  ")[0] == "requests/s"
    assert row.split()[0] == "40"
    assert row.split()[-1] in ("PASS", "FAIL", "VOID")
    assert row.split()[-4:-2] == ["-", "-"]
    assert told[-1].startswith("Meta's line: ")


@pytest.mark.processes
def test_its_receiver_has_secrets_of_its_own_and_shows_them_to_nobody(tmp_path, monkeypatch):
    monkeypatch.setenv("WHATSAPP_APP_SECRET", SECRET)
    monkeypatch.setenv("WA_HOOKS_PATH", "/elsewhere")
    with target.started(tmp_path, []) as receiver:
        command = Path(f"/proc/{receiver.pid}/cmdline")
        if command.exists():
            assert receiver.secret not in command.read_text()
        assert receiver.secret != SECRET
        assert receiver.path == "/webhook"
        assert receiver.counts()["deliveries"] == 0


@pytest.mark.processes
def test_a_receiver_that_does_not_start_is_told_with_its_reason(tmp_path, capfd):
    assert main([*SHORT, "--folder", str(tmp_path), "--", "--max-body", "none"]) == 3
    found, said = measured(capfd)
    assert found == []
    assert "`wa-hooks serve` did not start" in said
    assert "--max-body" in said


def test_a_folder_that_cannot_be_written_to_is_said(tmp_path, capfd):
    assert main([*SHORT, "--folder", str(tmp_path / "absent")]) == 2
    assert "nothing can be written to" in measured(capfd)[1]


@pytest.mark.processes
def test_a_receiver_that_runs_already_is_measured_with_its_store(tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("WHATSAPP_APP_SECRET", SECRET)
    with serving(tmp_path) as receiver:
        url = f"http://127.0.0.1:{receiver.port}/webhook"
        main([*SHORT, "--to", url, "--store", f"sqlite:{receiver.store}", "--yes"])
        (found,), _ = measured(capfd)
        assert found["answered_200"] == found["requests"] > 0
        assert found["backlog"] is not None
        assert found["cores"] is None  # whose process it is, nobody knows
        assert len(recorded(receiver.store)) > found["answered_200"]  # and what warmed it up


@pytest.mark.processes
def test_what_is_answered_200_and_not_recorded_fails(tmp_path, monkeypatch, capfd):
    """The receiver answers, but the store is another one's."""
    monkeypatch.setenv("WHATSAPP_APP_SECRET", SECRET)
    with serving(tmp_path) as other, answering(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n") as receiver:
        url = f"http://127.0.0.1:{receiver.port}/webhook"
        assert main([*SHORT, "--to", url, "--store", f"sqlite:{other.store}", "--yes"]) == 3
    (found,), _ = measured(capfd)
    assert f"{found['answered_200']} were answered 200 and are not in the store" in found["reasons"]


def test_a_slow_receiver_fails(monkeypatch, capfd):
    monkeypatch.setenv("WHATSAPP_APP_SECRET", SECRET)
    with answering(lambda _: 0.3) as receiver:
        assert main([*SHORT, "--to", f"http://127.0.0.1:{receiver.port}/webhook", "--yes"]) == 3
    (found,), _ = measured(capfd)
    assert found["verdict"] == "FAIL"
    assert "the median is over 250 ms" in found["reasons"]
    assert found["p50_ms"] >= 300
    assert found["backlog"] is None


def test_a_receiver_with_another_secret_is_told_before_anything_is_measured(monkeypatch, capfd):
    monkeypatch.setenv("WHATSAPP_APP_SECRET", SECRET)
    with answering(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n") as receiver:
        assert main([*SHORT, "--to", f"http://127.0.0.1:{receiver.port}/webhook", "--yes"]) == 3
    found, said = measured(capfd)
    assert found == []
    assert "answered 401" in said
    assert "WHATSAPP_APP_SECRET" in said


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--to", "https://127.0.0.1/webhook", "--yes"], "is no http URL"),
        (["--to", "http://127.0.0.1:x/", "--yes"], "is no URL"),
        (["--to", "http://127.0.0.1:1/webhook"], "nobody is there to ask"),
        (["--to", "http://127.0.0.1:1/webhook", "--yes", "--", "--max-body", "9"], "it takes no options"),
    ],
)
def test_what_cannot_be_measured_is_refused(options, told, monkeypatch, capfd):
    monkeypatch.setenv("WHATSAPP_APP_SECRET", SECRET)
    assert main([*SHORT, *options]) == 2
    assert told in measured(capfd)[1]
