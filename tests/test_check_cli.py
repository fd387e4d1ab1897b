"""`check` as CI runs it, on a repository with a broken handler: the terminal, JUnit XML and GitHub's annotations."""

import json
import os
import re
import resource
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from building import CASES, FIXTURES, delivery, message

from wa_hooks_cli import reports
from wa_hooks_cli.main import main
from wa_webhooks.check import CaseResult, Difference, Report, What

ROOT = Path(__file__).parent.parent
GOOD = """
import json
from wa_webhooks import ActionQueued, Registry
registry = Registry()
@registry.on("message.button")
def campaign_reply(event):
    print("::error::a handler may print")
    payload = json.dumps({"campaign": event.item["button"]["payload"]})
    yield ActionQueued(idempotency_key=event.key, at=event.at, action="notify", target="crm", payload=payload)
"""
WRONG_COLUMN = GOOD.replace('action="notify"', 'action="Notify, 100%: now"')
RAISING = GOOD.replace('["button"]["payload"]', '["button"]["tapped"]')
WAMID = json.loads((FIXTURES / "messages" / "button.json").read_bytes())["entry"][0]["changes"][0]["value"][
    "messages"
][0]["id"]
EVENT = f"message:410000000000201:{WAMID}"


@pytest.fixture
def repository(tmp_path, monkeypatch, capfd):
    """A user's repository: some fixtures with their expected results, and a handler."""
    monkeypatch.chdir(tmp_path)
    Path("webhooks/taps").mkdir(parents=True)
    for name in ("text", "image", "reply"):
        shutil.copy(FIXTURES / "messages" / f"{name}.json", "webhooks")
    shutil.copy(FIXTURES / "messages" / "button.json", "webhooks/taps")
    handler(GOOD)
    assert main(["check", "webhooks", "--handlers", "shop:registry", "--update"]) == 0
    capfd.readouterr()
    return tmp_path


def handler(source):
    Path("shop.py").write_text(source)
    sys.modules.pop("shop", None)


@pytest.fixture
def check(capfd):
    """Run `check` in this process; return (exit code, stdout, stderr)."""

    def run(*arguments):
        sys.modules.pop("shop", None)
        code = main(["check", *map(str, arguments)])
        captured = capfd.readouterr()
        return code, captured.out, captured.err

    return run


def annotations(out):
    """GitHub's commands in an output, as its runner reads them: (properties, message)."""
    for line in out.splitlines():
        if found := re.fullmatch(r"::error (.*?)::(.*)", line):
            pairs = (pair.split("=", 1) for pair in found[1].split(","))
            yield {name: unescaped(value, ":,") for name, value in pairs}, unescaped(found[2])


def unescaped(text, more=""):
    assert not set(text) & set(f"\r\n{more}")
    for character in ("\r", "\n", *more):
        text = text.replace(f"%{ord(character):02X}", character)
    return text.replace("%25", "%")


def junit(file="junit.xml"):
    return ET.parse(file).getroot()  # noqa: S314 - it is our own


def line_of(text, file="webhooks/taps/button.expected.json"):
    """The one line that is `text`."""
    lines = [line.strip() for line in Path(file).read_text("utf-8").split("\n")]
    assert lines.count(text) == 1
    return lines.index(text) + 1


def line_at(properties):
    return Path(properties["file"]).read_text("utf-8").split("\n")[int(properties["line"]) - 1].strip()


def test_a_good_repository_passes_and_says_so_in_a_line(repository, check):
    code, out, err = check(
        "webhooks", "--handlers", "shop:registry", "--strict", "--github", "--junit", "r/junit.xml"
    )
    assert (code, err) == (0, "::error::a handler may print\n")
    assert re.fullmatch(r"4 fixtures, 4 events: 4 passed, 0 failed in \d\.\d\d s\n", out)
    suites = junit("r/junit.xml")
    assert (suites.tag, suites.get("tests"), suites.get("failures"), suites.get("errors")) == (
        "testsuites",
        "4",
        "0",
        "0",
    )
    assert not list(suites.iter("failure"))


def test_a_handler_that_changes_a_column_is_named_everywhere(repository, check):
    handler(WRONG_COLUMN)
    code, out, err = check("webhooks", "--handlers", "shop:registry", "--github", "--junit", "junit.xml")
    assert code == 3
    line = line_of('"action": "notify",')
    shown, commands = out.split("::error", 1)
    assert [line.strip() for line in shown.splitlines()] == [
        "differs  webhooks/taps/button.json",
        f"message.button  {EVENT}",
        f"action_queued.action  webhooks/taps/button.expected.json:{line}",
        'expected  "notify"',
        'found     "Notify, 100%: now"',
    ]
    assert "4 fixtures, 4 events: 3 passed, 1 failed in 0." in commands
    assert "--update writes it" in err

    ((properties, said),) = annotations(out)
    assert properties["file"] == "webhooks/taps/button.expected.json"
    assert properties["title"] == "button: action_queued.action"
    assert line_at(properties) == '"action": "notify",'
    assert said.split("\n")[0] == f"message.button  {EVENT}"
    assert said.split("\n")[-2:] == ['expected  "notify"', 'found     "Notify, 100%: now"']

    suites = junit()
    (suite,) = suites
    for each in (suites, suite):
        assert (each.get("tests"), each.get("failures"), each.get("errors")) == ("4", "1", "0")
        assert float(each.get("time")) > 0
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", each.get("timestamp"))
    names = {(case.get("classname"), case.get("name"), case.get("file")) for case in suite}
    assert ("webhooks", "text", "webhooks/text.json") in names
    assert len(names) == 4
    (failing,) = (case for case in suite if len(case))
    assert (failing.get("classname"), failing.get("name")) == ("webhooks/taps", "button")
    (failure,) = failing
    assert failure.get("type") == "differs"
    assert failure.get("message") == f'{EVENT}: action_queued.action: expected "notify", found "Notify, 100%: now"'
    for part in (EVENT, "action_queued.action", '"notify"', '"Notify, 100%: now"', f"button.expected.json:{line}"):
        assert part in failure.text


def test_a_handler_that_raises_is_named_everywhere(repository, check):
    handler(RAISING)
    code, out, _ = check("webhooks", "--handlers", "shop:registry", "--github", "--junit", "junit.xml")
    assert code == 3
    ((properties, said),) = annotations(out)
    failure = next(junit().iter("failure"))
    for told in (out, said, failure.text):
        assert EVENT in told
        assert "expected  3 changes: lead_seen, message_seen, action_queued" in told
        assert "found     KeyError: 'tapped' (in handler shop.campaign_reply, at shop.py:8)" in told
    assert line_at(properties) == '"changes": ['
    assert "KeyError: 'tapped'" in failure.get("message")


def test_a_handler_that_is_gone_leaves_its_change_missing(repository, check):
    code, out, _ = check("webhooks")
    assert code == 3
    line = line_of('"kind": "action_queued",')
    assert f"missing change action_queued  webhooks/taps/button.expected.json:{line}" in out


def test_what_differs_most_often_is_said(repository, check):
    handler(GOOD.replace('"message.button"', '"message.*"').replace('event.item["button"]', '{"payload": 1}'))
    code, out, _ = check("webhooks", "--handlers", "shop:registry")
    assert code == 3
    assert "most often: extra change action_queued (3)\n4 fixtures, 4 events: 0 passed, 4 failed" in out


def test_json_keeps_its_shape_whatever_a_handler_prints(repository, check):
    handler(WRONG_COLUMN)
    code, out, err = check("webhooks", "--handlers", "shop:registry", "--json", "--github")
    assert code == 3
    results = [json.loads(line) for line in out.splitlines()]
    assert [result["verdict"] for result in results] == ["ok", "ok", "differs", "ok"]
    (found,) = (result for result in results if result["verdict"] == "differs")
    assert found.keys() >= {"path", "verdict", "events", "detail"}
    assert found["detail"] == f'{EVENT}: action_queued.action: expected "notify", found "Notify, 100%: now"'
    (difference,) = found["differences"]
    assert difference == {
        "what": "column",
        "event_key": EVENT,
        "tipo_evento": "message.button",
        "subject": WAMID,
        "change": "action_queued",
        "column": "action",
        "expected": "notify",
        "actual": "Notify, 100%: now",
        "notes": [],
        "file": "webhooks/taps/button.expected.json",
        "line": line_of('"action": "notify",'),
    }
    assert len(list(annotations(err))) == 1
    assert "3 passed, 1 failed" in err


@pytest.mark.parametrize("inside", ["", "webhooks"])
def test_annotations_name_files_from_the_top_of_the_repository(repository, check, monkeypatch, inside):
    handler(WRONG_COLUMN)
    monkeypatch.setenv("GITHUB_WORKSPACE", str(repository))
    monkeypatch.setenv("PYTHONPATH", str(repository))
    monkeypatch.syspath_prepend(str(repository))
    monkeypatch.chdir(repository / inside)
    for path in (".", repository / "webhooks"):
        _, out, _ = check(path, "--handlers", "shop:registry", "--github")
        ((properties, _),) = annotations(out)
        assert properties["file"] == "webhooks/taps/button.expected.json"
    monkeypatch.setenv("GITHUB_WORKSPACE", "/elsewhere")
    _, out, _ = check(".", "--handlers", "shop:registry", "--github")
    assert next(annotations(out))[0]["file"] == f"{'' if inside else 'webhooks/'}taps/button.expected.json"
    monkeypatch.chdir("/")
    _, out, _ = check(repository, "--handlers", "shop:registry", "--github")
    assert next(annotations(out))[0]["file"].startswith(str(repository)[1:])


def test_hostile_names_and_texts_stay_where_they_belong(tmp_path, monkeypatch, check):
    monkeypatch.chdir(tmp_path)
    folder = Path("a,b:c%0A=::x")
    folder.mkdir()
    hostile = "\x1b[2J\r\n::error::x\x00\ufffe\ud800]]><&\"'\u202e"
    file = folder / "d\x1b\n,e.json"
    file.write_bytes(delivery(messages=[message(text={"body": hostile}, id=hostile)]))
    assert check(folder, "--update")[0] == 0
    (expected,) = folder.glob("*.expected.json")
    expected.write_text(expected.read_text("utf-8").replace("hello", "x").replace("]]>", "]]&gt;"), "utf-8")
    code, out, _ = check(folder, "--github", "--junit", "junit.xml")
    assert code == 3
    found = list(annotations(out))
    assert len(found) == len([line for line in out.splitlines() if line.lstrip().startswith("::")]) == 2
    for properties, said in found:
        assert Path(properties.pop("file")) == expected
        assert all(line.isprintable() for line in (*properties.values(), *said.split("\n")))
    before_commands = out[: out.index("::error")]
    assert all(line.isprintable() for line in before_commands.split("\n"))
    (case,) = junit().iter("testcase")
    assert case.get("file") == f"{folder}/d\ufffd\n,e.json"


def test_what_xml_forbids_is_replaced(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    forbidden = "a\x00\x08\x0b\ufffe\uffff\ud800b\t\U0001f600"
    difference = Difference(what=What.NO_FIXTURE, event=forbidden, type=forbidden, file=Path(forbidden))
    result = CaseResult(path=Path(forbidden), verdict="orphan", events=0, differences=(difference,))
    reports.write_junit(Report(results=(result,)), Path("junit.xml"))
    (case,) = junit().iter("testcase")
    assert case.get("name") == "a" + "\ufffd" * 6 + "b\t\U0001f600"
    assert case[0].get("type") == "orphan"


def test_a_report_that_cannot_be_written_is_said(repository, check):
    code, _, err = check("webhooks/text.json", "--junit", "webhooks")
    assert code == 2
    assert "cannot write webhooks" in err


def test_a_fixture_that_was_renamed_does_not_pass(repository, check):
    Path("webhooks/text.json").rename("webhooks/hello.json")
    code, out, _ = check("webhooks", "--handlers", "shop:registry", "--github", "--junit", "junit.xml")
    assert code == 3
    assert "orphan  webhooks/text.expected.json" in out
    ((properties, said),) = annotations(out)
    assert (properties["file"], properties["line"]) == ("webhooks/text.expected.json", "1")
    assert said == "no fixture: text.json is not there; rename this file likewise, or delete it"
    assert len(list(junit().iter("failure"))) == 1


def test_what_an_update_writes_and_perhaps_should_not_is_said(repository, check):
    Path("webhooks/new.json").write_bytes((FIXTURES / "unknown" / "message-type.json").read_bytes())
    code, out, _ = check("webhooks", "--handlers", "shop:registry", "--strict", "--github")
    assert code == 3
    assert [properties["file"] for properties, _ in annotations(out)] == ["webhooks/new.json"] * 3
    code, out, _ = check("webhooks", "--handlers", "shop:registry", "--update", "--github")
    assert code == 0
    assert "updated  webhooks/new.json, which now expects\n" in out
    line = line_of('"unknown key messages.messages[].hologram",', "webhooks/new.expected.json")
    assert f"unknown key messages.messages[].hologram  webhooks/new.expected.json:{line}" in out
    assert "5 passed, 0 failed, 1 updated" in out
    assert list(annotations(out)) == []
    assert check("webhooks", "--handlers", "shop:registry", "--strict")[0] == 0


def test_options_come_from_the_environment(repository, check, monkeypatch):
    monkeypatch.setenv("WA_HOOKS_STRICT", "1")
    monkeypatch.setenv("WA_HOOKS_JUNIT", "junit.xml")
    monkeypatch.setenv("WA_HOOKS_GITHUB", "1")
    monkeypatch.setenv("WA_HOOKS_HANDLERS", "shop:registry")
    assert check("webhooks")[0] == 0
    Path("webhooks/text.expected.json").unlink()
    code, out, _ = check("webhooks")
    assert (code, len(list(annotations(out)))) == (3, 1)
    assert Path("junit.xml").exists()


def test_what_the_documents_say_to_run_in_ci_runs(repository, check):
    document = (ROOT / "docs" / "ci.md").read_text()
    commands = re.findall(r"^ *(?:- )?wa-hooks check (webhooks .*)$", document, re.MULTILINE)
    assert len(commands) == 3
    for command in commands:
        assert check(*command.split())[0] == 0
    assert Path("report.xml").exists()


@pytest.mark.processes
def test_three_hundred_fixtures_take_less_than_two_seconds(tmp_path):
    folders = -(-300 // len(CASES))
    for number in range(folders):
        shutil.copytree(FIXTURES, tmp_path / str(number))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    command = [sys.executable, "-m", "wa_hooks_cli", "check", tmp_path, "--strict", "--junit", tmp_path / "junit.xml"]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0, done.stdout
    assert f"{folders * len(CASES)} fixtures" in done.stdout
    # The time of the processor: what else the machine does must not decide.
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 2
