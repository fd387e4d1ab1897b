"""The commands, as their users run them: what they print where, and how they exit."""

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest
from backends import plain_database

from wa_hooks_cli.main import EXIT_CODES, main
from wa_webhooks.signature import key_label, sign

FIXTURES = Path(__file__).parent.parent / "fixtures"
TEXT = FIXTURES / "messages" / "text.json"
BROKEN_HANDLER = """
from wa_webhooks import Registry
registry = Registry()
@registry.on("message.*")
def broken(event):
    raise KeyError("price of 5511900000012")
"""

EVENTS = [
    event["type"]
    for golden in (Path(__file__).parents[1] / "fixtures" / "messages").glob("*.expected.json")
    for event in json.loads(golden.read_text())["events"]
]
"""The types of all the events in fixtures/messages."""
MESSAGES = [event_type for event_type in EVENTS if event_type.startswith("message.")]


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")


@pytest.fixture
def wa(capfd):
    """Run a command in this process; return (exit code, stdout, stderr)."""

    def run(*arguments):
        code = main([str(argument) for argument in arguments])
        captured = capfd.readouterr()
        return code, captured.out, captured.err

    return run


def process(*arguments, **more):
    command = [sys.executable, "-m", "wa_hooks_cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, check=False, **more)


def crm_dump():
    with plain_database("wa-hooks.db") as plain:
        tables = ("wa_leads", "wa_lead_identities", "wa_messages", "wa_message_statuses", "wa_calls", "wa_actions")
        return {table: plain.execute(f"SELECT * FROM {table}").fetchall() for table in tables}


# -- errors: one sentence, what to do, the right code


def newer_schema():
    main(["replay", str(TEXT)])
    with plain_database("wa-hooks.db") as plain:
        plain.execute("INSERT INTO wa_migrations VALUES ('9999_future', '2030-01-01')")


def no_database():
    Path("wa-hooks.db").write_text("this is no database, and long enough for a header " * 40)


def a_log():
    main(["replay", str(TEXT)])


def an_empty_folder():
    Path("empty").mkdir()


def a_body():
    Path("body").write_bytes(b"{}")
    os.environ["WHATSAPP_APP_SECRET"] = "s3cret"


@pytest.mark.parametrize(
    ("before", "arguments", "code", "says"),
    [
        (None, ["replay", "nowhere.json"], 2, "there is no file nowhere.json"),
        (an_empty_folder, ["replay", "empty"], 4, "no payloads in empty"),
        (an_empty_folder, ["check", "empty"], 4, "no payloads in empty"),
        (None, ["check", "nowhere"], 2, "there is no file nowhere"),
        (None, ["replay", TEXT, "--to", "http://127.0.0.1:9/x"], 2, "no app secret is set"),
        (a_body, ["replay", TEXT, "--to", "ftp://x"], 2, "no http or https URL"),
        (a_body, ["replay", TEXT, "--to", "http:///x"], 2, "no http or https URL"),
        (a_body, ["replay", TEXT, "--to", "http://127.0.0.1:9/x"], 3, "cannot be reached"),
        (None, ["replay", TEXT, "--store", "oracle:x"], 2, "names no store"),
        (None, ["replay", TEXT, "--store", "sqlite:no/folder.db"], 5, "cannot be opened"),
        (None, ["replay", TEXT, "--handlers", "nothing:x"], 2, "cannot load handlers"),
        (None, ["replay", TEXT, "--handlers", "json"], 2, "does not name a registry"),
        (newer_schema, ["stats"], 5, "newer schema (9999_future)"),
        (newer_schema, ["replay", TEXT], 5, "newer schema (9999_future)"),
        (no_database, ["stats"], 5, "is not an SQLite file"),
        (None, ["stats"], 5, "there is no store at wa-hooks.db"),
        (None, ["tail-log"], 5, "there is no store at wa-hooks.db"),
        (None, ["show", "1"], 5, "there is no store at wa-hooks.db"),
        (None, ["reprocess", "--failed"], 5, "there is no store at wa-hooks.db"),
        (a_log, ["show", "99"], 4, "nothing has the id 99"),
        (a_log, ["show", "wamid.none"], 4, "nothing has the id"),
        (a_log, ["tail-log", "--since", "yesterday"], 2, "is no time"),
        (a_log, ["tail-log", "--state", "lost"], 2, "is no state"),
        (a_log, ["tail-log", "--lead", "5599999999999"], 4, "no event matches"),
        (a_log, ["tail-log", "--type", "message.nope"], 4, "no event matches"),
        (a_log, ["reprocess"], 2, "no scope is given"),
        (a_log, ["reprocess", "--all", "--failed"], 2, "does not go with"),
        (a_log, ["reprocess", "--failed"], 4, "no event matches"),
        (a_log, ["reprocess", "--all"], 2, "nobody is there to ask"),
        (None, ["serve"], 2, "no app secret is set"),
        (a_body, ["serve", "--path", "webhook"], 2, "is no path"),
        (None, ["verify-signature", "x"], 2, "no app secret is set"),
        (a_body, ["verify-signature", "nowhere", "--signature", "x"], 2, "cannot read nowhere"),
        (a_body, ["verify-signature", "body"], 2, "no signature is given"),
        (a_body, ["verify-signature", "body", "--signature", "x"], 3, "no X-Hub-Signature-256"),
        (a_body, ["verify-signature", "body", "--signature", sign(b"{}", "other")], 3, "does not match"),
        (None, ["schema", "--backend", "oracle"], 2, "no backend"),
        (None, ["nonsense"], 2, "No such command"),
        (None, ["serve", "--port", "x"], 2, "port"),
        (None, [], 2, "Usage"),
    ],
)
def test_every_error_is_a_sentence_and_a_code(wa, monkeypatch, before, arguments, code, says):
    monkeypatch.setenv("WHATSAPP_APP_SECRET", "")
    monkeypatch.delenv("WHATSAPP_APP_SECRET")
    if before:
        before()
        wa("--help")  # drops what the preparation printed
    found, out, err = wa(*arguments)
    assert found == code
    assert says in err + out
    assert "Traceback" not in err
    assert code in EXIT_CODES
    if code not in (2, 3):
        assert out == ""


def test_a_locked_store_is_said_and_loses_nothing(wa):
    wa("replay", TEXT)
    other = sqlite3.connect("wa-hooks.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    code, out, err = wa("replay", FIXTURES / "statuses")
    assert (code, out) == (5, "")
    assert "is locked by another process" in err
    assert wa("stats")[0] == 0
    other.execute("ROLLBACK")
    other.close()
    assert wa("replay", FIXTURES / "statuses")[0] == 0


def test_a_bug_is_said_to_be_one(wa, monkeypatch):
    monkeypatch.setattr("wa_webhooks.captures.gather", lambda *_: 1 / 0)
    code, _, err = wa("replay", TEXT)
    assert code == 1
    assert "This is a bug" in err
    assert "Traceback" not in err
    monkeypatch.setenv("WA_HOOKS_DEBUG", "1")
    assert "Traceback" in wa("replay", TEXT)[2]


# -- the main job


def test_replay_then_everything_again_changes_no_row(wa):
    code, out, _ = wa("replay", FIXTURES, "--json")
    first = json.loads(out)
    assert code == 3  # the broken fixtures
    assert first["deliveries"] == len([f for f in FIXTURES.rglob("*.json") if ".expected." not in f.name])
    assert first["events"] == first["new"] + first["duplicates"]
    assert first["failed"] > 0
    before = crm_dump()
    code, out, _ = wa("replay", FIXTURES, "--json")
    again = json.loads(out)
    assert (code, again["new"], again["duplicates"]) == (0, 0, first["events"])
    wa("reprocess", "--all", "--yes")
    assert crm_dump() == before


def test_a_failing_handler_is_logged_retried_and_reprocessed(wa):
    """The whole story of an incident: it fails, waits, is mended, is applied, and doing it again changes nothing."""
    Path("shop.py").write_text(BROKEN_HANDLER)
    sys.modules.pop("shop", None)
    code, out, _ = wa(
        "replay", FIXTURES / "messages", "--handlers", "shop:registry", "--retry-base", "0.01", "--json"
    )
    summary = json.loads(out)
    assert code == 3
    assert summary["failed"] == len(MESSAGES)
    (line,) = wa("tail-log", "-n", "1", "--state", "failed", "--json")[1].splitlines()
    event = json.loads(line)
    assert event["procesado"] is False
    assert "KeyError: 'price of 5511900000012'" in event["error"]
    assert event["next_attempt_at"] > event["fecha_recepcion"]
    shown = wa("tail-log", "-n", "1", "--state", "failed")[1]
    assert "KeyError" in shown
    assert "5511900000012" not in shown
    deadline = time.monotonic() + 30
    while wa("tail-log", "--state", "failed", "--json", "-n", "99")[1]:  # the schedule brings it to its end
        assert time.monotonic() < deadline
        wa("work", "--drain", "--handlers", "shop:registry", "--retry-base", "0.01")
    assert len(wa("tail-log", "--state", "dead", "--json", "-n", "99")[1].splitlines()) == len(MESSAGES)
    code, _, err = wa("reprocess", "--failed", "--yes")
    assert code == 2  # their part would silently not be done
    assert "shop.broken, not loaded here" in err
    Path("shop.py").write_text(BROKEN_HANDLER.replace("raise KeyError", "return; raise KeyError"))
    sys.modules.pop("shop", None)
    code, out, err = wa("reprocess", "--failed", "--yes", "--json", "--handlers", "shop:registry")
    assert (code, json.loads(out)["processed"], json.loads(out)["failed"]) == (0, len(MESSAGES), 0)
    assert f"{len(MESSAGES)} events" in err
    before = crm_dump()
    assert wa("reprocess", "--failed", "--yes")[0] == 4
    assert wa("reprocess", "--type", "message.image", "--yes")[0] == 2
    assert wa("reprocess", "--type", "message.image", "--yes", "--ignore-handlers")[0] == 0
    assert wa("replay", FIXTURES / "messages")[0] == 0
    assert crm_dump() == before
    history = json.loads(wa("show", event["id"], "--json")[1])["history"]
    assert [attempt["state"] for attempt in history][-2:] == ["dead", "processed"]
    assert history[-1]["run_id"]


def test_replay_reads_standard_input_and_its_own_log(wa):
    assert process("replay", "-", input=TEXT.read_bytes()).returncode == 0
    lines = process("tail-log", "--json").stdout
    again = process("replay", "-", "--json", "--store", "sqlite:other.db", input=lines)
    assert json.loads(again.stdout)["new"] == 1
    assert process("replay", "-", "--json", input=lines * 3).stdout.count(b'"duplicates": 3') == 1


def test_a_dry_run_changes_nothing(wa):
    wa("replay", FIXTURES / "messages")
    before = crm_dump()
    code, out, _ = wa("reprocess", "--type", "message.image", "--dry-run", "--json")
    assert code == 0
    assert json.loads(out)["events"] == 2
    assert json.loads(out)["by_type"] == {"message.image": 2}
    assert wa("reprocess", "--type", "message.image", "--dry-run")[1] == "2 events (2 processed): 2 message.image\n"
    assert crm_dump() == before


@pytest.mark.processes
def test_an_interrupted_run_says_how_to_finish_it(wa):
    Path("slow.py").write_text(
        "import time\nfrom wa_webhooks import Registry\nregistry = Registry()\n"
        "@registry.on('*')\ndef slow(event):\n    print('handling', flush=True)\n    time.sleep(0.2)\n"
    )
    command = [sys.executable, "-m", "wa_hooks_cli", "replay", FIXTURES / "messages", "--handlers", "slow:registry"]
    replay = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert replay.stderr.readline() == "handling\n"  # what a handler prints does not mix with our data
    replay.send_signal(signal.SIGINT)
    out, err = replay.communicate()
    assert (replay.returncode, out) == (130, "")
    run = re.search(r"wa-hooks work --run (\S+)", err)[1]
    assert "interrupted" in err
    assert f"wa-hooks work --run {run} --handlers slow:registry" in err
    assert "interrupted" in wa("show", run)[1]
    assert wa("work", "--run", run)[0] == 2  # its handlers' part would silently not be done
    assert wa("work", "--run", "nope")[0] == 4
    Path("slow.py").write_text(Path("slow.py").read_text().replace("0.2", "0"))
    assert wa("work", "--run", run, "--handlers", "slow:registry")[0] == 0
    assert wa("stats")[1].startswith("waiting\n  nothing")
    assert run in wa("show", run)[1]
    assert len(wa("tail-log", "--run", run, "--json", "-n", "99")[1].splitlines()) == len(EVENTS)


# -- looking


def test_a_phone_number_is_found_however_it_is_written(wa):
    wa("replay", TEXT)
    assert wa("show", "+44 7700 900-123")[0] == 0
    assert "message.text" in wa("tail-log", "--lead", "44 7700 900123")[1]


def test_an_explicit_number_of_lines_holds_with_since_too(wa):
    wa("replay", FIXTURES / "messages")
    assert len(wa("tail-log", "--since", "1h", "-n", "2", "--json")[1].splitlines()) == 2


def test_a_look_changes_nobody_elses_database(wa):
    with closing(sqlite3.connect("other.db")) as other:
        other.execute("CREATE TABLE theirs (a)")
    commands = (["stats"], ["tail-log"], ["show", "1"], ["reprocess", "--failed"], ["doctor"], ["work", "--drain"])
    for command in (*commands, ["replay", TEXT]):
        code, out, err = wa(*command, "--store", "sqlite:other.db")
        assert code in (3, 5)
        assert "is no store of wa-hooks" in out + err
    with closing(sqlite3.connect("other.db")) as other:
        assert other.execute("SELECT name FROM sqlite_master").fetchall() == [("theirs",)]


def test_who_has_only_failures_is_found_by_what_support_has_at_hand(wa):
    Path("shop.py").write_text(BROKEN_HANDLER)
    sys.modules.pop("shop", None)
    wa("replay", TEXT, "--handlers", "shop:registry")
    for command in (["show", "+447700900123"], ["tail-log", "--lead", "447700900123"]):
        code, out, _ = wa(*command)
        assert (code, "failed" in out, "447700900123" in out) == (0, True, False)
    assert wa("reprocess", "--lead", "447700900123", "--yes", "--ignore-handlers")[0] == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_output_that_cannot_be_written_is_no_bug(wa):
    wa("replay", TEXT)
    for command in ("stats", "schema", "tail-log"):
        shell = f"{sys.executable} -m wa_hooks_cli {command} > /dev/full"
        done = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, check=False)
        assert done.returncode == 2
        assert "the output cannot be written" in done.stderr
        assert "bug" not in done.stderr


@pytest.mark.processes
def test_following_waits_for_a_store_and_makes_none(wa):
    command = [sys.executable, "-m", "wa_hooks_cli", "tail-log", "-f", "--json", "--poll", "0.05"]
    tail = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert "there is no store" in tail.stderr.readline()
        assert not Path("wa-hooks.db").exists()
        wa("replay", TEXT)
        assert json.loads(tail.stdout.readline())["tipo_evento"] == "message.text"
    finally:
        tail.terminate()
        tail.wait()
        tail.stdout.close()
        tail.stderr.close()


SURFACE = {
    *("id", "tipo_evento", "payload_original", "fecha_recepcion", "procesado", "error"),
    *("event_key", "event_at", "lead_id", "state", "attempts", "delivery_id"),
}


def test_the_json_of_the_log_has_what_scripts_rely_on(wa):
    wa("replay", FIXTURES / "messages")
    lines = wa("tail-log", "--json", "-n", "100")[1].splitlines()
    assert len(lines) == len(EVENTS)
    for line in lines:
        event = json.loads(line)
        assert set(event) >= SURFACE
        assert isinstance(event["payload_original"], dict)
        assert isinstance(event["procesado"], bool)
        assert "attempt_id" not in event
    assert len(wa("tail-log", "--json", "-n", "3")[1].splitlines()) == 3
    assert len(wa("tail-log", "--json", "--since", "1h")[1].splitlines()) == len(EVENTS)
    assert wa("tail-log", "--json", "--until", "1h")[1] == ""


def test_stats_as_json_is_one_object(wa):
    wa("replay", FIXTURES / "messages", FIXTURES / "calls")
    (line,) = wa("stats", "--json")[1].splitlines()
    stats = json.loads(line)
    assert {"deliveries", "events", "leads", "messages", "message_statuses", "calls"} <= set(stats)
    assert {"total", "pending", "processed", "failed", "dead", "refused", "by_type"} <= set(stats["events"])


@pytest.mark.parametrize("ident", ["1", "delivery:1", "lead:1", "447700900123", "+447700900123", "GB.a4471fb9c6e0"])
def test_show_finds_by_whatever_is_at_hand(wa, ident):
    wa("replay", TEXT)
    code, out, _ = wa("show", ident)
    assert code == 0
    assert "447700900123" not in out
    assert "owen" not in out.lower()
    assert json.loads(wa("show", ident, "--json")[1])["kind"] in ("event", "delivery", "lead")


def test_people_are_masked_unless_asked_for(wa):
    wa("replay", FIXTURES / "messages")
    people = ("447700900123", "Owen", "Dr. Prado", "5511900000012", "Sampaio")
    for command in (["show", "447700900123"], ["show", "5511900000012"], ["tail-log", "-n", "99"]):
        assert not any(person in wa(*command)[1] for person in people)
    shown = wa("show", "447700900123", "--unmask")[1]
    assert all(person in shown for person in people[:3])
    assert all(person in wa("tail-log", "--json", "-n", "99")[1] for person in people)
    assert not any(person in wa("tail-log", "--json", "--mask", "-n", "99")[1] for person in people)


def test_hostile_text_cannot_move_the_cursor(wa):
    hostile = FIXTURES / "people" / "name-is-hostile.json"
    assert "\\u202e" in hostile.read_text()
    assert wa("replay", hostile)[0] == 0
    shown = wa("show", "447700900123", "--unmask")[1]
    assert "<b>Owen</b>" in shown
    for character in "\x1b\u202e":
        assert character not in shown
    assert "name" in shown
    assert len([line for line in shown.splitlines() if "HYPERLINK" in line and "Owen" in line]) == 1


def test_output_that_nobody_reads_on_is_no_error(wa):
    wa("replay", FIXTURES)
    command = f"{sys.executable} -m wa_hooks_cli tail-log --json -n 999 | head -1; exit ${{PIPESTATUS[0]}}"
    piped = subprocess.run(["bash", "-c", command], capture_output=True, check=False)
    assert (piped.returncode, piped.stderr) == (0, b"")
    assert json.loads(piped.stdout)


@pytest.mark.processes
def test_tail_log_follows_through_a_busy_store(wa):
    wa("replay", TEXT)
    command = [sys.executable, "-m", "wa_hooks_cli", "tail-log", "-f", "--json", "--poll", "0.05"]
    tail = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert json.loads(tail.stdout.readline())["tipo_evento"] == "message.text"  # history first
        exclusive = sqlite3.connect("wa-hooks.db", isolation_level=None)
        exclusive.execute("BEGIN IMMEDIATE")
        exclusive.execute("ROLLBACK")
        wa("replay", FIXTURES / "messages" / "image.json")
        assert json.loads(tail.stdout.readline())["tipo_evento"] == "message.image"
        exclusive.close()
    finally:
        tail.terminate()
        tail.wait()
        tail.stdout.close()
        tail.stderr.close()


def test_verify_signature_holds_and_explains(wa, monkeypatch):
    monkeypatch.setenv("WHATSAPP_APP_SECRET", "new,old")
    Path("body").write_bytes(b"{}")
    assert wa("verify-signature", "body", "--signature", sign(b"{}", "old"))[:2] == (
        0,
        f"verifies with app secret 2 of 2, label {key_label('old')}\n",
    )
    code, out, _ = wa("verify-signature", "body", "--signature", sign(b"{ }", "new"), "--explain")
    assert code == 3
    assert "no configured app secret matches" in out


def test_doctor_finds_what_is_wrong_and_says_the_remedy(wa, monkeypatch):
    code, out, _ = wa("doctor")
    assert code == 3
    assert "FAIL  app secret" in out
    assert "Set WHATSAPP_APP_SECRET" in out
    monkeypatch.setenv("WHATSAPP_APP_SECRET", "x")
    monkeypatch.setenv("WHATSAPP_VERIFY_TOKEN", "y")
    wa("replay", TEXT)
    code, out, _ = wa("doctor", "--json")
    checks = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    assert all(check["ok"] for check in checks)


def test_schema_prints_sql_that_makes_a_store(wa):
    out = wa("schema")[1]
    with plain_database(":memory:") as plain:
        plain.executescript(out)
        assert plain.execute("SELECT count(*) FROM wa_events").fetchone() == (0,)


def test_settings_come_from_a_dotenv_file_too(wa):
    Path(".env").write_text("WA_HOOKS_STORE=sqlite:from-dotenv.db\nPATH=/nowhere\n")
    found = process("replay", TEXT)
    assert found.returncode == 0
    assert Path("from-dotenv.db").exists()


def test_check_says_what_differs(wa):
    Path("case.json").write_bytes(TEXT.read_bytes())
    assert wa("check", "case.json")[0] == 0
    assert wa("check", "case.json", "--update")[0] == 0
    expected = Path("case.expected.json")
    expected.write_text(expected.read_text().replace("message.text", "message.image"))
    code, out, _ = wa("check", ".")
    assert code == 3
    assert "type  case.expected.json:5" in out
    assert 'expected  "message.image"' in out
    assert 'found     "message.text"' in out
    assert "1 fixture, 1 event: 0 passed, 1 failed" in out
