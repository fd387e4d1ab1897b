"""Fixtures are checked against their expected results, and this project's own all pass."""

import json
import re
import sys
from pathlib import Path

import pytest
from building import CASES, FIXTURES, case_name, delivery, message

from wa_webhooks.check import EXPECTED_SUFFIX, What, check, check_body, check_paths, result_of
from wa_webhooks.errors import ConfigError, GiveUpError, NothingMatchesError
from wa_webhooks.handlers import Registry, builtin, load_registry

GOOD = delivery(messages=[message()])
BAD = delivery(messages=[message(timestamp=None)])
NEW = delivery(messages=[message("hologram", {"id": "1"})])
KEY = "message:420000000000101:wamid.M1"


@pytest.fixture
def case(tmp_path):
    path = tmp_path / "case.json"
    path.write_bytes(GOOD)
    return path


def expected_of(path):
    return path.with_name(path.stem + EXPECTED_SUFFIX)


@pytest.mark.parametrize("path", CASES, ids=case_name)
def test_every_fixture_gives_what_is_expected_of_it(path):
    assert expected_of(path).is_file()
    found = check(path, builtin(), strict=True)
    assert (found.verdict, found.detail) == ("ok", "")
    assert found.events >= 1


def test_no_expected_result_stands_alone():
    assert {expected_of(path) for path in CASES} == set(FIXTURES.rglob(f"*{EXPECTED_SUFFIX}"))


def test_the_readme_lists_every_fixture_once_and_no_other():
    listed = re.findall(r"^\| `([^`]+)` \|", (FIXTURES / "README.md").read_text("utf-8"), re.MULTILINE)
    assert sorted(listed) == sorted(case_name(path) for path in CASES)


def test_without_an_expected_result_a_fixture_passes_unless_an_event_fails(case):
    found = check(case, builtin())
    assert (found.verdict, found.passed, found.events, found.detail) == ("ok", True, 1, "")
    assert not expected_of(case).exists()
    case.write_bytes(BAD)
    found = check(case, builtin())
    assert (found.verdict, found.passed) == ("fails", False)
    assert f"{KEY}: fails: message.text cannot be read: timestamp: " in found.detail
    (difference,) = found.differences
    assert (difference.what, difference.file, difference.line) == (What.FAILS, case, 1)


def test_update_writes_what_is_found_and_then_finds_it(case):
    first = check(case, builtin(), update=True)
    assert (first.verdict, first.passed) == ("updated", True)
    written = expected_of(case).read_bytes()
    assert json.loads(written) == result_of(GOOD, builtin())
    again = check(case, builtin(), update=True)
    assert (again.verdict, again.passed) == ("ok", True)
    assert expected_of(case).read_bytes() == written
    assert check(case, builtin()).verdict == "ok"


def test_update_makes_an_expected_failure_pass(case):
    case.write_bytes(BAD)
    assert check(case, builtin(), update=True).verdict == "updated"
    assert "cannot be read" in expected_of(case).read_text("utf-8")
    assert check(case, builtin()).passed


def test_an_update_says_what_it_expects_now_and_perhaps_should_not(case):
    case.write_bytes(NEW)
    found = check(case, builtin(), update=True)
    assert found.verdict == "updated"
    assert [each.heading for each in found.differences] == [
        "unknown key messages.messages[].hologram",
        "unknown value messages.messages[].type: hologram",
    ]
    for difference in found.differences:
        assert difference.heading in line_at(difference)
    case.write_bytes(BAD)
    (difference,) = check(case, builtin(), update=True).differences
    assert difference.what is What.FAILS
    assert '"error": "message.text cannot be read' in line_at(difference)
    expected_of(case).write_text(expected_of(case).read_text("utf-8").replace("  ", " "), "utf-8")
    assert check(case, builtin(), update=True).differences == ()


def line_at(difference):
    return difference.file.read_text("utf-8").split("\n")[difference.line - 1]


def test_a_difference_names_the_event_the_column_and_the_line(case):
    check(case, builtin(), update=True)
    case.write_bytes(delivery(messages=[message(text={"body": "good bye"})]))
    found = check(case, builtin())
    assert (found.verdict, found.passed, found.events) == ("differs", False, 1)
    text, content = found.differences
    assert (text.event, text.type, text.subject) == (KEY, "message.text", "wamid.M1")
    assert (text.change, text.column) == ("message_seen", "text")
    assert (text.expected, text.actual) == ("hello", "good bye")
    assert text.file == expected_of(case)
    assert line_at(text).strip() == '"text": "hello",'
    assert found.detail.splitlines() == [
        f'{KEY}: message_seen.text: expected "hello", found "good bye"',
        f'{KEY}: message_seen.content: expected {{"body":"hello"}}, found {{"body":"good bye"}}',
    ]
    assert content.column == "content"


def test_the_layout_of_an_expected_result_does_not_matter_its_content_does(case):
    check(case, builtin(), update=True)
    expected = expected_of(case)
    wanted = json.loads(expected.read_bytes())
    expected.write_text(json.dumps(wanted, sort_keys=True, indent=None), "utf-8")
    assert check(case, builtin()).verdict == "ok"
    wanted["events"] *= 2
    expected.write_text(json.dumps(wanted), "utf-8")
    assert check(case, builtin()).verdict == "differs"


@pytest.mark.parametrize(
    ("raw", "line", "why"),
    [
        (b"", 1, "is not JSON: Expecting value (line 1, column 1)"),
        (b'{"events": [\n{,\n]}', 2, "is not JSON: Expecting property name"),
        (b"\xff", 1, "is not UTF-8"),
        (b"null", 1, "is no expected result"),
        (b"[]", 1, "is no expected result"),
        (b'{"events": [1]}', 1, "is no expected result"),
        (b'{"events": [{"changes": {"kind": "lead_seen"}}]}', 1, "is no expected result"),
        (b'{"events": [{"drift": [1]}]}', 1, "is no expected result"),
        (b"[" * 100_000, 1, "is no expected result"),
    ],
)
def test_an_expected_result_that_is_none_differs(case, raw, line, why):
    expected_of(case).write_bytes(raw)
    found = check(case, builtin())
    assert found.verdict == "differs"
    (difference,) = found.differences
    assert (difference.what, difference.file, difference.line) == (What.NO_RESULT, expected_of(case), line)
    assert f"case.expected.json {why}" in found.detail
    assert "--update" in found.detail
    assert check(case, builtin(), update=True).verdict == "updated"
    assert check(case, builtin()).verdict == "ok"


def test_an_editors_byte_order_mark_does_not_matter(case):
    check(case, builtin(), update=True)
    expected_of(case).write_bytes(b"\xef\xbb\xbf" + expected_of(case).read_bytes().replace(b"\n", b"\r\n"))
    assert check(case, builtin(), strict=True).verdict == "ok"


def shop(source, tmp_path, monkeypatch):
    """A registry of a user's own handlers, from a file."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shop.py").write_text(source)
    sys.modules.pop("shop", None)
    return Registry(builtin(), load_registry("shop:registry"))


def test_a_failure_names_the_handler_and_its_line(case, tmp_path, monkeypatch):
    check(case, builtin(), update=True)
    source = """
import json
from wa_webhooks import Registry
registry = Registry()
def helper():
    return json.loads("{")
@registry.on("message.*")
def broken(event):
    yield helper()
"""
    found = check(case, shop(source, tmp_path, monkeypatch))
    (difference,) = found.differences
    assert (difference.what, difference.subject) == (What.FAILS, "wamid.M1")
    assert difference.notes == ("in handler shop.broken", "at shop.py:6")
    assert line_at(difference).strip() == '"changes": ['
    assert found.detail == (
        f"{KEY}: fails: expected 2 changes: lead_seen, message_seen, found JSONDecodeError: Expecting property name "
        "enclosed in double quotes: line 1 column 2 (char 1) (in handler shop.broken, at shop.py:6)"
    )


def test_a_wrong_change_names_only_the_handler(case):
    registry = Registry(builtin())
    registry.on("message.*")(lambda _: [1])
    (difference,) = check(case, registry).differences
    assert difference.actual == "TypeError: a handler gives changes, not int"
    assert len(difference.notes) == 1


def test_whatever_a_handler_raises_is_a_result(case):
    registry = Registry(builtin())
    registry.on("message.*")(lambda _: {}["absent"])
    found = check(case, registry)
    assert found.verdict == "fails"
    assert found.detail.startswith(f"{KEY}: fails: KeyError: 'absent' (in handler test_check.")
    asked = Registry()

    @asked.on("*")
    def give_up(event):
        raise GiveUpError("no use")

    assert check(case, asked).detail.startswith(f"{KEY}: fails: no use (in handler test_check.")


@pytest.mark.parametrize("text", ["a\x00b", "\ud83d", "é😀\u2028"])
def test_hostile_text_makes_an_expected_result_that_can_be_written_and_met(case, text):
    case.write_bytes(delivery(messages=[message(text={"body": text}, id=text)]))
    assert check(case, builtin(), update=True).verdict == "updated"
    assert check(case, builtin()).verdict == "ok"
    assert check(case, builtin(), update=True).verdict == "ok"


def test_an_event_of_a_foreign_object_is_refused_and_not_handled():
    (shown,) = result_of(GOOD.replace(b"whatsapp_business_account", b"page"), builtin())["events"]
    assert shown["refused"] == "the delivery's object is not whatsapp_business_account"
    assert not {"changes", "error"} & shown.keys()


# -- strict: an expected result is consent


def test_strict_fails_on_what_is_not_known_and_not_stated(case):
    case.write_bytes(NEW)
    assert check(case, builtin()).passed
    found = check(case, builtin(), strict=True)
    assert found.verdict == "fails"
    assert [(each.what, each.file, each.line) for each in found.differences] == [
        (What.UNKNOWN, case, 1),
        (What.UNKNOWN, case, 1),
        (What.NOT_EXPECTED, case, 1),
    ]
    assert "unknown value messages.messages[].type: hologram" in found.detail
    check(case, builtin(), update=True)
    assert check(case, builtin(), strict=True).passed


def test_strict_fails_on_what_has_become_unknown_or_known_since(case):
    case.write_bytes(NEW)
    check(case, builtin(), update=True)
    expected = expected_of(case)
    expected.write_text(expected.read_text("utf-8").replace("unknown key messages", "unknown key contacts"), "utf-8")
    assert check(case, builtin()).passed  # what is known is no matter of events and changes
    unknown, known = check(case, builtin(), strict=True).differences
    assert (unknown.what, unknown.actual) == (What.UNKNOWN, "unknown key messages.messages[].hologram")
    assert line_at(unknown).strip() == '"type": "message.hologram",'
    assert (known.what, known.expected) == (What.KNOWN, "unknown key contacts.messages[].hologram")
    assert known.expected in line_at(known)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (delivery("brand_new_field", thing=1), "unknown value entry[].changes[].field: brand_new_field"),
        (b"", "fails: the body is empty\n"),
        (delivery(messages=[message(text=5)]), "other shape messages.messages[].text: a number"),
        (delivery(messages=[message(novelty=1)]), "unknown key messages.messages[].novelty"),
    ],
)
def test_strict_without_an_expected_result_names_what_is_unknown(case, body, says):
    case.write_bytes(body)
    assert says in check(case, builtin(), strict=True).detail
    check(case, builtin(), update=True)
    assert check(case, builtin(), strict=True).passed


def test_strict_asks_for_an_expected_result(case):
    found = check(case, builtin(), strict=True)
    assert (found.verdict, found.detail) == (
        "fails",
        "no expected result: case.expected.json is not there; --update writes it",
    )


def test_what_is_refused_is_not_looked_into(case):
    body = delivery("feed", thing=1).replace(b"whatsapp_business_account", b"page")
    assert check_body(case, body, builtin(), strict=True).passed


# -- which files


def make(folder, *names):
    for name in names:
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(GOOD)


def verdicts(*paths, **options):
    return {
        result.path.name: result.verdict for result in check_paths([*map(str, paths)], builtin(), **options).results
    }


def test_an_expected_result_without_its_fixture_does_not_pass(tmp_path):
    make(tmp_path, "a.json", "b/c.raw")
    assert verdicts(tmp_path, update=True) == {"a.json": "updated", "c.raw": "updated"}
    assert {file.name for file in tmp_path.rglob(f"*{EXPECTED_SUFFIX}")} == {"a.expected.json", "c.raw.expected.json"}
    assert verdicts(tmp_path) == {"a.json": "ok", "c.raw": "ok"}
    (tmp_path / "a.json").rename(tmp_path / "renamed.json")
    orphaned = {"renamed.json": "ok", "c.raw": "ok", "a.expected.json": "orphan"}
    assert verdicts(tmp_path) == orphaned
    assert verdicts(tmp_path, update=True) == orphaned | {"renamed.json": "updated"}
    assert verdicts(tmp_path / "*.json") == {"renamed.json": "ok", "a.expected.json": "orphan"}
    assert verdicts(tmp_path / "a.expected.json") == {"a.expected.json": "orphan"}
    (tmp_path / "renamed.json").unlink()
    (tmp_path / "renamed.expected.json").unlink()
    assert verdicts(tmp_path / "*.json") == {"a.expected.json": "orphan"}
    (result,) = check_paths([str(tmp_path / "a.expected.json"), str(tmp_path / "a.*")], builtin()).results
    assert not result.passed
    assert result.detail == "no fixture: a.json is not there; rename this file likewise, or delete it"


def test_a_fixture_is_checked_once_however_it_is_named(tmp_path):
    make(tmp_path, "a.json", "b.json")
    check_paths([str(tmp_path)], builtin(), update=True)
    shells = sorted(tmp_path.glob("*.json"))
    assert len(shells) == 4
    assert verdicts(*shells, tmp_path) == {"a.json": "ok", "b.json": "ok"}
    assert len(check_paths([*map(str, shells), str(tmp_path)], builtin()).results) == 2
    assert verdicts(tmp_path / "b.expected.json") == {"b.json": "ok"}


def test_nothing_to_check_is_said(tmp_path):
    with pytest.raises(NothingMatchesError):
        check_paths([str(tmp_path)], builtin())
    with pytest.raises(ConfigError, match="there is no file"):
        check_paths([str(tmp_path / "none")], builtin())
    with pytest.raises(ConfigError, match="fixtures are files"):
        check_paths(["-"], builtin())


def test_the_lines_of_a_capture_are_checked_one_by_one(tmp_path):
    lines = tmp_path / "log.jsonl"
    lines.write_bytes(b"\n".join([GOOD, NEW, b"", BAD]))
    assert verdicts(tmp_path) == {"log.jsonl:1": "ok", "log.jsonl:2": "ok", "log.jsonl:4": "fails"}
    report = check_paths([str(lines)], builtin(), strict=True)
    assert [result.verdict for result in report.results] == ["ok", "fails", "fails"]
    places = {(each.file, each.line) for result in report.results for each in result.differences}
    assert places == {(lines, 2), (lines, 4)}
    (tmp_path / "log.jsonl.expected.json").write_text("{}")
    assert verdicts(tmp_path)["log.jsonl.expected.json"] == "orphan"  # nothing is ever compared with it


def test_other_lines_are_said_to_be_passed_over(tmp_path):
    make(tmp_path, "a.json")
    (tmp_path / "other.jsonl").write_text('{"a": 1}')
    report = check_paths([str(tmp_path)], builtin())
    assert report.skipped == (f"{tmp_path / 'other.jsonl'}: its lines are no payloads",)


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs /proc")
def test_what_cannot_be_written_is_said(tmp_path):
    make(tmp_path, "a.json")
    (tmp_path / "a.expected.json").symlink_to("/proc/version")
    with pytest.raises(ConfigError, match="cannot write"):
        check_paths([str(tmp_path)], builtin(), update=True)
