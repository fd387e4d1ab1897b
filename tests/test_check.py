"""Fixtures are checked against their expected results, and this project's own all pass."""

import json
import re

import pytest
from building import CASES, FIXTURES, case_name, delivery, message

from wa_webhooks.check import EXPECTED_SUFFIX, check, result_of
from wa_webhooks.errors import GiveUpError
from wa_webhooks.handlers import Registry, builtin

GOOD = delivery(messages=[message()])
BAD = delivery(messages=[message(timestamp=None)])


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
    found = check(path, builtin())
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
    assert "message:420000000000101:wamid.M1: message.text cannot be read: timestamp: " in found.detail


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


def test_a_difference_is_shown_line_by_line(case):
    check(case, builtin(), update=True)
    case.write_bytes(delivery(messages=[message(text={"body": "good bye"})]))
    found = check(case, builtin())
    assert (found.verdict, found.passed, found.events) == ("differs", False, 1)
    lines = found.detail.splitlines()
    assert lines[:2] == ["--- expected", "+++ found"]
    assert any(line.startswith("-") and '"text": "hello"' in line for line in lines)
    assert any(line.startswith("+") and '"text": "good bye"' in line for line in lines)


def test_the_layout_of_an_expected_result_does_not_matter_its_content_does(case):
    check(case, builtin(), update=True)
    expected = expected_of(case)
    wanted = json.loads(expected.read_bytes())
    expected.write_text(json.dumps(wanted, sort_keys=True, indent=None), "utf-8")
    assert check(case, builtin()).verdict == "ok"
    wanted["events"] *= 2
    expected.write_text(json.dumps(wanted), "utf-8")
    assert check(case, builtin()).verdict == "differs"


@pytest.mark.parametrize("text", ["", "{", "null", "[]"])
def test_an_expected_result_that_is_none_differs(case, text):
    expected_of(case).write_text(text, "utf-8")
    assert check(case, builtin()).verdict == "differs"
    assert check(case, builtin(), update=True).verdict == "updated"


def test_whatever_a_handler_raises_is_a_result(case):
    registry = Registry(builtin())
    registry.on("message.*")(lambda _: {}["absent"])
    found = check(case, registry)
    assert (found.verdict, found.detail) == ("fails", "message:420000000000101:wamid.M1: KeyError: 'absent'")
    asked = Registry()

    @asked.on("*")
    def give_up(event):
        raise GiveUpError("no use")

    assert check(case, asked).detail == "message:420000000000101:wamid.M1: no use"


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
