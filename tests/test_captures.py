"""Captured deliveries are found where paths lead, and their bytes are left alone."""

import io
import json

import pytest
from building import CASES, FIXTURES, delivery, message, status

from wa_webhooks.captures import gather
from wa_webhooks.errors import ConfigError, NothingMatchesError
from wa_webhooks.splitting import split

ONE, TWO = delivery(messages=[message()]), delivery(statuses=[status(recipient_id="é")])
PRETTY = json.dumps(json.loads(ONE), indent=2).encode() + b"\n"
ODD = b"\xef\xbb\xbf \x00\xff\r\n{\r"


def taken(*paths, stdin=b""):
    return list(gather([str(path) for path in paths], io.BytesIO(stdin)))


def bodies(*paths, stdin=b""):
    return [capture.body for capture in taken(*paths, stdin=stdin)]


@pytest.fixture
def folder(tmp_path):
    for name, body in {
        "b.json": TWO,
        "a.json": ODD,
        "a.expected.json": b"{}",
        "c.raw": PRETTY,
        "d.raw.txt": b"",
        "inner/e.json": ONE,
        "lines.jsonl": ONE + b"\n\n" + TWO + b"\r\n",
        "manifest.jsonl": b'{"file":"a.json"}\n',
        "notes.ndjson": b"not JSON\n",
        "README.md": b"{}",
        "f.txt": ONE,
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(body)
    return tmp_path


def test_a_folder_gives_its_deliveries_in_order_of_name_byte_for_byte(folder):
    found = taken(folder)
    assert [capture.body for capture in found] == [ODD, TWO, PRETTY, b"", ONE, ONE, TWO]
    names = ["a.json", "b.json", "c.raw", "d.raw.txt", "inner/e.json", "lines.jsonl:1", "lines.jsonl:3"]
    assert [capture.name for capture in found] == [f"{folder}/{name}" for name in names]


def test_lines_that_are_no_payloads_are_passed_over_by_name(folder):
    skipped = gather([str(folder)], io.BytesIO()).skipped
    assert skipped == [f"{folder}/{name}: its lines are no payloads" for name in ("manifest.jsonl", "notes.ndjson")]


def test_a_file_that_is_named_is_taken_if_it_may_be_a_payload(folder):
    names = ["f.txt", "manifest.jsonl", "a.json"]
    assert bodies(*(folder / name for name in names)) == [ONE, b'{"file":"a.json"}', ODD]
    assert bodies(folder / "a.json", folder / "a.json") == [ODD, ODD]


def test_what_is_no_payload_by_its_name_and_content_is_refused(folder):
    """The log never forgets what it was given by mistake."""
    (folder / "notes.md").write_text("# notes")
    for name, told in (("notes.md", "is no JSON"), ("a.expected.json", "is an expected result")):
        with pytest.raises(ConfigError, match=told):
            bodies(folder / name)


def test_masked_lines_of_the_log_are_not_taken_for_people():
    line = b'{"payload_original": {"entry": []}, "event_key": "x", "masked": true}'
    with pytest.raises(ConfigError, match="masked"):
        bodies("-", stdin=line)


@pytest.mark.parametrize("data", [b"", b"  \n"])
def test_an_empty_standard_input_holds_nothing(data):
    with pytest.raises(NothingMatchesError):
        bodies("-", stdin=data)


def test_a_standard_input_that_is_no_json_is_refused():
    with pytest.raises(ConfigError, match="standard input is no JSON"):
        bodies("-", stdin=b"2026-11-24T08:00:00Z  12  processed")


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("?.json", ["a.json", "b.json"]),
        ("**/*.json", ["a.json", "b.json", "inner/e.json"]),
        ("[bc].*", ["b.json", "c.raw"]),
        ("inner/*", ["inner/e.json"]),
    ],
)
def test_a_glob_leaves_out_what_a_folder_does(folder, pattern, found):
    assert [capture.name for capture in taken(folder / pattern)] == [f"{folder}/{name}" for name in found]


def test_a_file_whose_name_looks_like_a_glob_is_a_file(tmp_path):
    file = tmp_path / "[a].json"
    file.write_bytes(ONE)
    assert bodies(file) == [ONE]


def test_paths_are_taken_in_the_order_given_standard_input_too(folder):
    found = taken(folder / "b.json", "-", folder / "a.json", stdin=PRETTY)
    assert [capture.body for capture in found] == [TWO, PRETTY, ODD]


@pytest.mark.parametrize(
    ("data", "given"),
    [
        (ONE, [ONE]),
        (PRETTY, [PRETTY]),
        (b"[\n{}\n]", [b"[\n{}\n]"]),
        (b"{\n}", [b"{\n}"]),
        (ONE + b"\n" + TWO, [ONE, TWO]),
        (ONE + b"\r\n\n" + TWO + b"\n", [ONE, TWO]),
    ],
)
def test_standard_input_is_one_delivery_or_one_a_line(data, given):
    assert bodies("-", stdin=data) == given


def log_line(event):
    row = {"id": 7, "tipo_evento": event.type, "payload_original": event.payload, "event_key": event.key}
    return json.dumps(row).encode() + b"\n"


@pytest.mark.parametrize("body", [ONE, TWO, b"{", b"\xff", b"[1]"])
@pytest.mark.parametrize("times", [1, 3])
def test_lines_of_the_log_give_the_events_that_they_hold(body, times, tmp_path):
    (event,) = split(body)
    lines = log_line(event) * times
    file = tmp_path / "log.jsonl"
    file.write_bytes(lines)
    for found in (bodies("-", stdin=lines), bodies(file), bodies(tmp_path)):
        assert [split(each)[0].key for each in found] == [event.key] * times


def test_a_text_that_speaks_of_the_log_is_not_taken_for_a_line_of_it():
    body = delivery(messages=[message(text={"body": '"payload_original"'})])
    assert bodies("-", stdin=body) == [body]


def test_a_path_that_does_not_exist_is_named(tmp_path):
    for path in (tmp_path / "absent.json", tmp_path / "*.json"):
        with pytest.raises(ConfigError, match="there is no file") as refused:
            taken(path)
        assert str(path) in str(refused.value)


def test_where_no_payload_is_found_nothing_matches(tmp_path):
    with pytest.raises(NothingMatchesError):
        taken(tmp_path)
    (tmp_path / "x.expected.json").write_bytes(b"{}")
    for path in (tmp_path, tmp_path / "*.json"):
        with pytest.raises(NothingMatchesError):
            taken(path)


def test_the_fixtures_are_a_folder_of_captures():
    assert [capture.body for capture in taken(FIXTURES)] == [path.read_bytes() for path in CASES]
