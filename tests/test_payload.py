"""Meta's JSON is read with tolerance, and what cannot be read is told without telling people's data."""

import contextlib
from datetime import UTC, datetime

import pytest
from building import BSUID, JSON, PHONE, TIME, call, contact, message, status
from hypothesis import given
from hypothesis import strategies as st

from wa_webhooks.errors import PayloadError
from wa_webhooks.payload import Call, Contact, Message, Status, all_storable, parse_timestamp, read, storable, whole

AT = datetime(2026, 11, 18, 11, 6, 40, tzinfo=UTC)


@pytest.mark.parametrize(
    ("given_time", "at"),
    [
        (TIME, AT),
        (float(TIME), AT),
        (str(TIME), AT),
        (TIME + 0.5, AT.replace(microsecond=500_000)),
        (TIME * 1000, AT),
        (str(TIME * 1000), AT),
        (TIME * 1000 + 250, AT.replace(microsecond=250_000)),
        (1, datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)),
        (10**11 - 1, datetime(5138, 11, 16, 9, 46, 39, tzinfo=UTC)),
        (10**11, datetime(1973, 3, 3, 9, 46, 40, tzinfo=UTC)),
        *((nothing, None) for nothing in (True, False, None, "", " ", 0, "0", -1, "-1", -TIME, "abc", "12x", [], {})),
        *((too_much, None) for too_much in (1e300, 10**400, "9" * 400, 10**18, "inf", "nan", "-inf")),
        (AT, None),
        ([TIME], None),
    ],
)
def test_a_timestamp_is_seconds_or_milliseconds_in_any_spelling(given_time, at):
    assert parse_timestamp(given_time) == at


@given(JSON | st.floats())
def test_any_json_is_a_utc_time_or_none(value):
    at = parse_timestamp(value)
    assert at is None or at.tzinfo is UTC


@pytest.mark.parametrize(
    ("text", "stored"),
    [("a\x00b", "a\ufffdb"), ("\ud83d", "\ufffd"), ("😀\n\t", "😀\n\t"), ("\ud800\udfff", "\ufffd\ufffd"), ("", "")],
)
def test_what_no_database_takes_is_replaced(text, stored):
    assert storable(text) == stored


NOT_TEXT = [None, "", [], {}, [1], {"a": 1}, True]
NOT_AN_OBJECT = [None, "", [], "text", 7, False]


@pytest.mark.parametrize("value", NOT_TEXT)
def test_an_id_of_a_wrong_shape_reads_as_absent(value):
    assert not read(Message, message(**{"from": value, "from_user_id": value, "group_id": value})).from_
    assert not read(Contact, contact(wa_id=value, user_id=value)).wa_id
    assert not read(Contact, contact(value)).profile.name


@pytest.mark.parametrize("value", NOT_AN_OBJECT)
def test_an_object_of_a_wrong_shape_reads_as_absent(value):
    said = read(Message, message(context=value, referral=value, errors=value))
    assert (said.context, said.referral, said.errors) == (None, None, [])
    told = read(Status, status(pricing=value, conversation=value, errors=value))
    assert (told.pricing, told.conversation, told.errors) == (None, None, [])
    assert read(Contact, contact(profile=value)).profile is None


@pytest.mark.parametrize(
    ("value", "text"),
    [("x", "x"), (17, "17"), (10**20, str(10**20)), (1.5, "1.5"), ("a\x00", "a\x00")],
)
def test_an_id_may_be_a_number(value, text):
    assert read(Message, message(id=value, group_id=value)).id == text


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (20, 20),
        ("20", 20),
        (20.7, 20),
        ("20.0", 20),
        *((wrong, None) for wrong in (None, "", "x", True, [], {}, "nan", 1e400)),
        *((no_row_holds, None) for no_row_holds in (1e300, -1e300, 2**63, "9" * 30)),
    ],
)
def test_a_whole_number_may_be_text_and_nonsense_is_absent(value, number):
    told = read(Call, call(duration=value, errors=[{"code": value}]))
    assert (whole(told.duration), told.errors[0].number) == (number, number)


@pytest.mark.parametrize(
    ("keys", "text"),
    [
        ({"title": "t", "message": "m", "error_data": {"details": "d"}}, "d"),
        ({"title": "t", "message": "m", "error_data": "plain"}, "plain"),
        ({"title": "t", "message": "m", "error_data": {"details": ""}}, "m"),
        ({"title": "t", "message": "m", "error_data": {"details": [5]}}, "m"),
        ({"title": "t", "error_data": [1]}, "t"),
        ({"title": "t", "details": "old"}, "old"),
        ({}, None),
    ],
)
def test_the_most_telling_text_of_an_error(keys, text):
    said = read(Message, message(errors=["no object", {"code": 131051, **keys}]))
    assert [(error.number, error.text) for error in said.errors] == [(131051, text)]


@pytest.mark.parametrize("name", ["recipient_parent_user_id", "parent_recipient_user_id"])
def test_both_names_of_a_parent_user_id_are_read(name):
    assert read(Status, status(**{name: BSUID})).recipient_parent_user_id == BSUID


@pytest.mark.parametrize("name", ["recipient_participant_id", "participant_recipient_id"])
def test_both_spellings_of_a_participant_are_read(name):
    assert read(Status, status(**{name: PHONE})).recipient_participant_id == PHONE


@pytest.mark.parametrize(
    ("value", "result"), [("FAILED", "FAILED"), (["Completed"], "COMPLETED"), ([], None), ({}, None)]
)
def test_a_calls_status_may_be_a_list(value, result):
    assert read(Call, call("terminate", status=value)).result == result


@pytest.mark.parametrize("key", ["new", "", "body", "from_", "model_extra", "__class__"])
def test_unknown_keys_are_no_reason_to_refuse(key):
    said = read(Message, {**message(), key: {"x": [1]}})
    assert (said.id, said.from_) == ("wamid.M1", PHONE)
    assert said.content().text == "hello"


@pytest.mark.parametrize(
    ("kind", "body", "text"),
    [
        ("text", {"body": "x"}, "x"),
        ("text", [1], None),
        ("text", {"body": {}}, None),
        ("edit", {"message": {"type": "text", "text": {"body": "y"}}}, "y"),
        ("edit", {"message": {"type": "edit", "edit": {}}}, None),
        ("interactive", {"type": "list_reply", "list_reply": {"title": "z"}}, "z"),
        ("interactive", {"type": "type"}, None),
    ],
)
def test_the_content_stands_under_the_type(kind, body, text):
    content = read(Message, message(kind, body)).content()
    assert (content.text if content else None) == text


@pytest.mark.parametrize(
    "kind", ["new", "body", "id", "from", "context", "errors", "model_extra", "content", None, 3]
)
def test_a_type_that_names_no_content_has_none(kind):
    assert read(Message, {**message(), "type": kind, "context": {"id": "1"}}).content() is None


def test_json_is_made_storable_as_a_whole():
    value = {"a\x00": ["\ud800", {"b": 1, "c": None}], "d": "\ud83d\ude00"}
    assert all_storable(value) == {"a\ufffd": ["\ufffd", {"b": 1, "c": None}], "d": "\ufffd\ufffd"}


REQUIRED = {
    Message: (message, "id"),
    Status: (status, "id status"),
    Call: (call, "id event"),
}


@pytest.mark.parametrize(
    ("shape", "key"), [(shape, key) for shape, (_, keys) in REQUIRED.items() for key in keys.split()]
)
@pytest.mark.parametrize("wrong", [None, "", {"secret": "4711"}, ["4711 secret"], True, "missing"])
def test_what_an_item_cannot_do_without_is_named_and_no_value_told(shape, key, wrong):
    item = {**REQUIRED[shape][0](), "text": {"body": "4711 secret"}, key: wrong}
    if wrong == "missing":
        del item[key]
    with pytest.raises(PayloadError) as refused:
        read(shape, item)
    assert f"{shape.__name__.lower()} cannot be read: {key}:" in str(refused.value)
    for told in ("4711", "secret", PHONE, "hello"):
        assert told not in str(refused.value)


@pytest.mark.parametrize("shape", [Message, Status, Call, Contact])
@given(item=st.dictionaries(st.sampled_from(["id", "timestamp", "status", "event", "errors", "profile"]), JSON))
def test_any_object_is_read_or_refused_with_a_payload_error(shape, item):
    with contextlib.suppress(PayloadError):
        assert isinstance(read(shape, item), shape)
