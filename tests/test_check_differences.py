"""A difference names exactly what differs, and the line where the expected value stands."""

import copy
import json
import random

import pytest
from building import CASES, JSON
from hypothesis import assume, given
from hypothesis import strategies as st

from wa_webhooks.check import What, compare
from wa_webhooks.check.places import line_of, lines_of
from wa_webhooks.check.results import Found, result_of
from wa_webhooks.check.words import listed, plain, quoted, side_by_side
from wa_webhooks.handlers import builtin

RESULTS = [json.loads(json.dumps(result_of(path.read_bytes(), builtin()))) for path in CASES]
LEAD = {"kind": "lead_seen", "person": {"scope": "1", "wa_id": "55"}, "name": "Ana"}
OTHER_LEAD = {"kind": "lead_seen", "person": {"scope": "1", "wa_id": "44"}, "name": "Owen"}
MESSAGE = {"kind": "message_seen", "wamid": "wamid.A", "text": "Hola"}
OTHER_MESSAGE = {"kind": "message_seen", "wamid": "wamid.B", "text": "Adios"}


def event(*changes, key="message:1:wamid.A", **more):
    return {"key": key, "type": "message.text", "message_id": "wamid.A", "changes": list(changes), **more}


def failed(error="KeyError: 'x'", **more):
    found = event(error=error, **more)
    del found["changes"]
    return found


def differences(expected, actual, *, strict=False, notes=None):
    return list(compare({"events": expected}, Found(result={"events": actual}, notes=notes or {}), strict=strict))


def sentences(*arguments, **options):
    return [each.sentence for each in differences(*arguments, **options)]


@pytest.mark.parametrize(
    ("expected", "actual", "says"),
    [
        ([event(MESSAGE)], [event(MESSAGE)], []),
        ([event(LEAD, MESSAGE)], [event(MESSAGE, LEAD)], []),
        ([event(MESSAGE | {"text": None})], [event({"kind": "message_seen", "wamid": "wamid.A"})], []),
        (
            [event(MESSAGE)],
            [event(MESSAGE | {"text": "hola"})],
            ['message_seen.text: expected "Hola", found "hola"'],
        ),
        ([event(MESSAGE)], [event(MESSAGE | {"text": ""})], ['message_seen.text: expected "Hola", found ""']),
        (
            [event(MESSAGE)],
            [event(MESSAGE | {"reply_to": "w"})],
            ['message_seen.reply_to: expected nothing, found "w"'],
        ),
        ([event(MESSAGE | {"b": 1})], [event(MESSAGE | {"b": True})], ["message_seen.b: expected 1, found true"]),
        # the natural key itself
        (
            [event(MESSAGE)],
            [event(MESSAGE | {"wamid": "w"})],
            ['message_seen.wamid: expected "wamid.A", found "w"'],
        ),
        (
            [event(LEAD)],
            [event(LEAD | {"person": {"scope": "1", "wa_id": "44"}})],
            ['lead_seen.person.wa_id: expected "55", found "44"'],
        ),
        # two of a kind: each is compared with its own
        (
            [event(LEAD, OTHER_LEAD)],
            [event(OTHER_LEAD | {"name": "O"}, LEAD)],
            ['lead_seen.name: expected "Owen", found "O"'],
        ),
        (
            [event(LEAD, OTHER_LEAD)],
            [event(OTHER_LEAD | {"name": "O"}, LEAD | {"name": "A"})],
            [
                'lead_seen.name: expected "Ana", found "A"',
                'lead_seen.name: expected "Owen", found "O"',
            ],
        ),
        (
            [event(MESSAGE, OTHER_MESSAGE)],
            [event(OTHER_MESSAGE, MESSAGE | {"text": "x"})],
            ['message_seen.text: expected "Hola", found "x"'],
        ),
        (
            [event(LEAD, MESSAGE)],
            [event(MESSAGE)],
            ['missing change lead_seen: expected {"person": {"scope": "1", "wa_id": "55"}, "name": "Ana"}, found no'],
        ),
        (
            [event(MESSAGE)],
            [event(MESSAGE, OTHER_MESSAGE)],
            ['extra change message_seen: expected nothing, found {"wamid": "wamid.B", "text": "Adios"}'],
        ),
        (
            [event(MESSAGE)],
            [event(MESSAGE, type="message.image")],
            ['type: expected "message.text", found "message.image"'],
        ),
        (
            [event(MESSAGE)],
            [event(MESSAGE, at="2026-11-18T12:00:00Z")],
            ['at: expected nothing, found "2026-11-18T12:00:00Z"'],
        ),
        (
            [event(LEAD, MESSAGE)],
            [failed()],
            ["fails: expected 2 changes: lead_seen, message_seen, found KeyError: 'x' (in handler shop.broken)"],
        ),
        ([failed()], [event()], ["does not fail: expected fails: KeyError: 'x', found no changes"]),
        ([failed("a")], [failed("b")], ['error: expected "a", found "b"']),
        ([event(MESSAGE)], [event(refused="no")], ["refused", "missing change message_seen"]),
    ],
)
def test_within_an_event(expected, actual, says):
    found = sentences(expected, actual, notes={0: ("in handler shop.broken",)})
    assert len(found) == len(says)
    for sentence, said in zip(found, says, strict=True):
        assert sentence.startswith(f"message:1:wamid.A: {said}")


def test_missing_and_extra_events_are_said_to_be():
    a, b, c = event(MESSAGE), event(LEAD, key="k2", message_id="2"), event(key="k3", message_id="3", refused="no")
    assert sentences([a, b], [b, a]) == []
    assert sentences([a, b], [a, c]) == [
        "k2: missing event: expected 1 change: lead_seen, found nothing",
        "k3: extra event: expected nothing, found refused: no",
    ]
    missing, extra = differences([a, b], [a, failed(key="k4", message_id="4")])
    assert (missing.what, missing.subject, missing.place) == (What.MISSING_EVENT, "2", ("events", 1, "key"))
    assert (extra.what, extra.subject, extra.place) == (What.EXTRA_EVENT, "4", ("events",))
    assert extra.sentence == "k4: extra event: expected nothing, found fails: KeyError: 'x'"


def test_an_event_with_another_key_is_still_the_same_message():
    assert sentences([event(MESSAGE)], [event(MESSAGE, key="other")]) == [
        'other: key: expected "message:1:wamid.A", found "other"'
    ]


def test_events_of_one_key_are_told_apart_by_what_they_hold():
    first, second = event(MESSAGE), event(MESSAGE | {"text": "Hola!"})
    assert sentences([first, second], [second, first]) == []
    assert sentences([first, first], [first]) != []
    (difference,) = differences([first, second], [second | {"at": "x"}, first])
    assert difference.place[:2] == ("events", 1)


def test_what_is_unknown_counts_when_strict():
    known, unknown, other = event(MESSAGE), event(MESSAGE, drift=["a", "b"]), event(MESSAGE, drift=["b", "c"])
    assert sentences([known], [unknown]) == sentences([unknown], [other]) == []
    assert sentences([unknown], [unknown], strict=True) == []
    assert [(each.what, each.heading, each.place[2:]) for each in differences([unknown], [other], strict=True)] == [
        (What.UNKNOWN, "c", ("type",)),
        (What.KNOWN, "no longer: a", ("drift", 0)),
    ]


# -- any column of any fixture


def columns_of(result):
    """Where every column of a result stands."""
    for number, each in enumerate(result["events"]):
        yield from (("events", number, name) for name in each if name not in ("changes", "drift", "key"))
        for position, change in enumerate(each.get("changes", [])):
            for name, value in change.items():
                inside = ("events", number, "changes", position, name)
                if isinstance(value, dict):
                    yield from ((*inside, inner) for inner in value)
                elif name != "kind":
                    yield inside


def holder_of(result, place):
    for step in place[:-1]:
        result = result[step]
    return result


@given(data=st.data())
def test_any_one_column_that_is_altered_is_the_one_that_is_named(data):
    actual = data.draw(st.sampled_from(RESULTS))
    place = data.draw(st.sampled_from(sorted(columns_of(actual), key=str)))
    expected = copy.deepcopy(actual)
    holder = holder_of(expected, place)
    before = holder[place[-1]]
    gone = data.draw(st.booleans()) and place[-1] != "error"
    if gone:
        del holder[place[-1]]
    else:
        holder[place[-1]] = altered = data.draw(st.sampled_from(["altered", "", 4711, True, "5511900000012\n:é"]))
        assume(json.dumps(altered) != json.dumps(before))
    found = differences(expected["events"], actual["events"], strict=True)
    (difference,) = found
    event = actual["events"][place[1]]
    change = event["changes"][place[3]] if place[2] == "changes" else None
    assert difference.what is What.COLUMN
    assert (difference.event, difference.type) == (event["key"], event["type"])
    assert difference.subject == (event.get("message_id") or event.get("call_id"))
    assert difference.change == (change["kind"] if change else None)
    assert difference.column == ".".join(place[4:] if change else place[2:])
    assert (difference.expected, difference.actual) == (None if gone else altered, before)
    text = json.dumps(expected, indent=2, ensure_ascii=False)
    line = text.split("\n")[line_of(lines_of(text), difference.place) - 1]
    if gone:
        assert line.strip().startswith('"kind"' if change else '"key"')
    else:
        assert line.strip().rstrip(",") == f'"{place[-1]}": {json.dumps(altered, ensure_ascii=False)}'


@given(data=st.data())
def test_the_order_of_events_and_changes_does_not_matter(data):
    actual = data.draw(st.sampled_from(RESULTS))
    expected = copy.deepcopy(actual)
    shuffle = random.Random(data.draw(st.integers(0, 99))).shuffle
    shuffle(expected["events"])
    for each in expected["events"]:
        shuffle(each.get("changes", []))
    assert sentences(expected["events"], actual["events"], strict=True) == []


# -- places


def places_in(value, way=()):
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in pairs:
        yield (*way, key)
        yield from places_in(inner, (*way, key))


@given(value=JSON, indent=st.sampled_from([None, 0, 1, 2]), ascii_only=st.booleans())
def test_every_value_of_any_json_is_found_on_its_line(value, indent, ascii_only):
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
    lines = lines_of(text)
    assert set(lines) >= set(places_in(value))
    for place in places_in(value):
        line = text.split("\n")[lines[place] - 1]
        if isinstance(place[-1], str):
            assert f"{json.dumps(place[-1], ensure_ascii=ascii_only)}: " in line
    assert indent is not None or set(lines.values()) <= {1}


def test_a_layout_of_somebody_elses_is_read_all_the_same():
    text = '{ "events"\n:\n[\n{"key"\n: "a,b:{", "changes": [\r\n { "kind":\n"x" }, 5,\n\n[6]]}]\n}'
    lines = lines_of(text)
    place = ("events", 0, "changes")
    assert [line_of(lines, (*place, *rest)) for rest in ((0,), (0, "kind"), (1,), (2,), (2, 0))] == [6, 6, 7, 9, 9]
    assert lines["events", 0, "key"] == 4


def test_what_is_not_there_is_pointed_to_by_what_is_around_it():
    lines = lines_of('{\n"events": [\n{\n"key": "a"}]}')
    assert line_of(lines, ("events", 0, "changes", 3, "text")) == 3
    assert line_of(lines, ("nothing",)) == line_of({}, ()) == 1


@pytest.mark.parametrize("text", ["", "}", "]],", '{"', ":", '[{"a":1}}}},,', "\ud800"])
def test_what_is_no_json_has_lines_too(text):
    assert isinstance(lines_of(text), dict)


# -- words


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "nothing"),
        (True, "true"),
        (1.5, "1.5"),
        ("", '""'),
        ("é😀", '"é😀"'),
        ('a"b\n', '"a\\"b\\n"'),
        ("\u202e\x1b[2J\ud800\x00", '"\\u202e\\u001b[2J\\ud800\\u0000"'),
        ('{"a":"\u202e\n"}', '{"a":"\\u202e\\n"}'),
        ({"a": ["\u200b"]}, '{"a": ["\\u200b"]}'),
        ("x" * 200, '"' + "x" * 120 + '"…'),
        ([0] * 200, "[" + "0, " * 39 + "0,…"),
    ],
)
def test_a_value_is_one_printable_line(value, shown):
    assert quoted(value) == shown
    assert shown.isprintable()


def test_long_texts_are_shown_from_where_they_differ():
    one, other = "a" * 300 + "X" + "b" * 300, "a" * 300 + "Y"
    assert side_by_side(one, other) == (f'…"{"a" * 24}X{"b" * 95}"…', f'…"{"a" * 24}Y"')
    assert side_by_side("a" * 300, "a" * 299) == (f'…"{"a" * 25}"', f'…"{"a" * 24}"')
    assert side_by_side("ab", "ac") == ('"ab"', '"ac"')
    assert side_by_side("a" * 300, None)[1] == "nothing"


@given(st.text(st.characters(exclude_categories=())))
def test_no_text_moves_the_cursor(text):
    assert plain(text).isprintable()
    assert quoted(text).isprintable()


def test_kinds_are_counted():
    assert listed(["a", "b", "a"], "change") == "3 changes: 2 a, b"
    assert listed(["a"], "change") == "1 change: a"
