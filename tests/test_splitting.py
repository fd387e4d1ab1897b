"""Split is total, drops nothing, and gives an event one key however it is delivered."""

import hashlib
import json
import re
from datetime import UTC, datetime

import pytest
from building import (
    ABSENT,
    ACCOUNT,
    BSUID,
    CASES,
    JSON,
    NUMBER,
    NUMBER_ID,
    PHONE,
    TIME,
    body_of,
    call,
    case_name,
    contact,
    delivery,
    envelope,
    grafted,
    message,
    status,
    value_of,
)
from hypothesis import example, given
from hypothesis import strategies as st

from wa_webhooks.events import canonical
from wa_webhooks.numbers import digits
from wa_webhooks.splitting import restore, split

LIST_REPLY = {"type": "list_reply", "list_reply": {"id": "r", "title": "R"}}
TRANSACTION = {"transaction": {"id": "t", "updated_timestamp": 5}}
GROUP = [
    status("read", recipient_participant_id="1"),
    status("read", participant_recipient_id="2"),
    status("read", recipient_participant_id="1", recipient_participant_user_id="BR.3"),
]
PAYMENTS = [status("captured", type="payment"), status("captured", type="payment", payment=TRANSACTION)]
RINGING = status("RINGING", type="call", id="wacid.C1")
TEXT = "message.text message:{P}:wamid.M1"


def notice(value, field, account=ACCOUNT):
    return body_of(envelope(value, field=field, account=account))


SHAPES = {  # name: the body, then "type key" of each event; {P} is the number's id, {A} the account's, {D} the digest
    "message": (delivery(messages=[message()]), TEXT),
    "one level deeper": (
        delivery(messages=[message("interactive", LIST_REPLY), message("system", {"type": "A b"}, id="2")]),
        "message.interactive.list_reply message:{P}:wamid.M1",
        "message.system.a_b message:{P}:2",
    ),
    "without id": (delivery(messages=[message(id="")]), "message.text message.text:{P}:{D}"),
    "without type": (delivery(messages=[message(None)]), "message.unknown message:{P}:wamid.M1"),
    "a number as id": (delivery(messages=[message(id=12)]), "message.text message:{P}:12"),
    "an id in any script": (delivery(messages=[message(id="é\n:")]), "message.text message:{P}:\\u00e9\\n:"),
    "several arrays": (
        delivery(messages=[message(), message(id="2")], statuses=[status()], errors=[{"code": 131000}]),
        TEXT,
        "message.text message:{P}:2",
        "status.delivered status:{P}:wamid.S1:delivered",
        "error.131000 error.131000:{P}:{D}",
    ),
    "group": (
        delivery(statuses=GROUP),
        *(f"status.read status:{{P}}:wamid.S1:read:{who}" for who in ("1", "2", "BR.3")),
    ),
    "payments": (
        delivery(statuses=PAYMENTS),
        "payment.captured payment:{P}:wamid.S1:captured",
        "payment.captured payment:{P}:wamid.S1:captured:t:5",
    ),
    "calls": (
        delivery("calls", calls=[call(), call("terminate")], statuses=[RINGING]),
        "call.connect call:{P}:wacid.C1:connect",
        "call.terminate call:{P}:wacid.C1:terminate",
        "call.ringing call:{P}:wacid.C1:ringing",
    ),
    "echo": (delivery("smb_message_echoes", message_echoes=[message()]), "echo.text echo:{P}:wamid.M1"),
    "old media": (delivery("history", messages=[message("image")]), "history.image history:{P}:wamid.M1:image"),
    "old chats": (
        delivery("history", history=[{}, {"errors": []}]),
        "history.chunk history.chunk:{P}:{D}",
        "history.errors history.errors:{P}:{D}",
    ),
    "another field": (delivery("new_field", messages=[message()]), TEXT),
    "no field": (delivery(ABSENT, messages=[message()]), TEXT),
    "a field that is no word": (delivery(["messages"], messages=[message()]), TEXT),
    "no number": (notice({"messages": [message()]}, "messages"), "message.text message:{A}:wamid.M1"),
    "no account": (notice({"messages": [message()]}, "messages", None), "message.text message:-:wamid.M1"),
    "notice": (
        notice({"event": "APPROVED"}, "message_template_status_update"),
        "account.template_status account.template_status:{A}:{D}",
    ),
    "notice with errors of its own": (notice({"errors": [{}, {}]}, "flows"), "account.flow account.flow:{A}:{D}"),
    "notice about a partner's client": (
        notice({"waba_info": {"waba_id": "W9"}}, "account_update"),
        "account.update account.update:W9:{D}",
    ),
    "unknown field": (notice({"x": 1}, "New Field!"), "unknown.new_field unknown.new_field:{A}:{D}"),
    "a key beside messages": (
        delivery(messages=[message()], news={"x": 1}),
        TEXT,
        "unknown.messages unknown.messages:{P}:{D}",
    ),
    "an empty array beside": (delivery(messages=[message()], statuses=[]), TEXT),
    "a long word": (delivery(messages=[message("Å" + "x" * 99)]), f"message.{'x' * 63} message:{{P}}:wamid.M1"),
    "empty arrays": (delivery(messages=[]), "empty.messages empty.messages:{P}:{D}"),
    "one bad item": (delivery(messages=["x", message()]), "unreadable unreadable:{P}:{D}", TEXT),
    "no value": (body_of({"entry": [{"changes": [{"field": "x"}]}]}), "unreadable unreadable:-:{D}"),
    "no changes": (body_of({"entry": [{}, 3]}), *["unreadable unreadable:-:{D}"] * 2),
    "no entries": (b'{"entry":[]}', "unreadable unreadable:-:{D}"),
    "no envelope": (b"[1]", "unreadable unreadable:-:{D}"),
}


@pytest.mark.parametrize("name", SHAPES)
def test_what_a_delivery_is_split_into(name):
    body, *expected = SHAPES[name]
    events = split(body)
    assert [f"{event.type} {event.key}" for event in events] == [
        text.format(P=NUMBER_ID, A=ACCOUNT, D=event.digest) for event, text in zip(events, expected, strict=True)
    ]
    assert [event.position for event in events] == list(range(len(events)))


DEEP = 100


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b"", "the body is empty"),
        (b" ", "the body is not JSON"),
        (b"{", "the body is not JSON"),
        (b'{"a":NaN}', "NaN is no JSON number"),
        (b"[-Infinity]", "-Infinity is no JSON number"),
        (b"[1e999]", "a number is too large"),
        (b"[" + b"9" * 5000 + b"]", "the body is not JSON"),
        (b'["\xe9"]', "the body is not UTF-8"),
        (b"[" * (DEEP + 1) + b"]" * (DEEP + 1), "nested too deeply"),
        (b'{"a":' * 100_000, "nested too deeply"),
        (b"[" * DEEP + b"]" * DEEP, "but an array"),
        (b'["' + b"[" * 5000 + b'\\"]"]', "but an array"),
        (b"7", "but a number"),
        (b"null", "but null"),
        # Brackets hidden from a count of bytes: in UTF-16, the first half of U+0122 looks like a quote.
        (('["\u0122",' + "[" * 5000 + "]" * 5000 + ',"\u0122"]').encode("utf-16-le"), ""),
    ],
)
def test_a_body_that_cannot_be_read_is_one_event_that_says_why(body, problem):
    (event,) = split(body)
    assert event.type == "unreadable"
    assert problem in event.problem
    assert restore(key=event.key, payload=json.loads(canonical(event.payload)), position=0) == event


def test_a_byte_order_mark_changes_nothing():
    body = delivery(messages=[message()])
    assert split(b"\xef\xbb\xbf" + body) == split(body)


def test_of_a_key_given_twice_the_last_counts():
    (event,) = split(delivery(messages=[message()]).replace(b'"id":"wamid.M1"', b'"id":"x","id":"y"'))
    assert event.message_id == "y"


def test_the_same_event_has_the_same_key_and_digest_however_its_json_is_written():
    payload = envelope(value_of(messages=[message(text={"body": "é\x00\ud83d"})]))
    turned = {name: payload[name] for name in reversed(payload)}
    (one,), (other,) = split(body_of(payload)), split(json.dumps(turned, indent=1).encode())
    assert (one.key, one.digest) == (other.key, other.digest)


def check_events(body):
    events = split(body)
    assert events
    assert split(body) == events
    for event in events:
        assert event.key.isascii()
        assert event.key.isprintable()
        assert 0 < len(event.key) <= 512
        assert re.fullmatch("[a-z0-9_.-]+", event.type)
        assert event.digest == hashlib.sha256(canonical(event.payload).encode()).hexdigest()
        # What the log keeps gives the event again, and replayed as a delivery it is the same fact.
        kept = json.loads(canonical(event.payload))
        assert restore(key=event.key, payload=kept, position=event.position) == event


def check_replay(body):
    for event in split(body):
        if event.problem is None:
            (again,) = split(body_of(event.payload))
            assert (again.key, again.digest, again.type) == (event.key, event.digest, event.type)


@given(st.binary() | st.text().map(str.encode))
@example(b"\xed\xa0\x80")
def test_any_bytes_give_events(body):
    check_events(body)


@given(JSON)
@example({"unreadable": "x"})
@example({"unreadable": "\ud800"})
@example({"unreadable": 5})
def test_any_json_gives_events(payload):
    check_events(body_of(payload))


@given(grafted())
@example(envelope(value_of(messages=[message()], news=1), time=TIME))
@example(envelope({"messages": [message()]}, field={}))
def test_any_json_grafted_into_an_envelope_gives_events(payload):
    check_events(body_of(payload))
    check_replay(body_of(payload))


@pytest.mark.parametrize("case", CASES, ids=case_name)
def test_every_event_of_every_fixture_can_be_restored_and_replayed(case):
    body = case.read_bytes()
    check_events(body)
    check_replay(body)


ITEMS = st.one_of(
    st.builds(
        lambda ident, text, who: ("messages", message(id=ident, text={"body": text}, **{"from": who})),
        st.sampled_from("ABC"),
        st.sampled_from("xy"),
        st.sampled_from([PHONE, "2", ""]),
    ),
    st.builds(
        lambda ident, kind, at: ("statuses", status(kind, id=ident, timestamp=at)),
        st.sampled_from("ABC"),
        st.sampled_from(["sent", "read"]),
        st.sampled_from([str(TIME), TIME + 1]),
    ),
    st.builds(lambda ident, step: ("calls", call(step, id=ident)), st.sampled_from("AB"), st.sampled_from("xy")),
    st.just(("messages", "not an object")),
)
CONTACTS = st.lists(st.sampled_from([contact(), contact("Bo", wa_id="2"), {"profile": {"name": "C"}}]), max_size=2)


@given(st.lists(ITEMS, min_size=1), CONTACTS)
def test_batched_or_alone_the_events_are_the_same(items, contacts):
    arrays = {}
    for name, item in items:
        arrays.setdefault(name, []).append(item)
    together = split(delivery(contacts=contacts, **arrays))
    apart = [event for name, item in items for event in split(delivery(contacts=contacts, **{name: [item]}))]
    assert len(together) == len(items)
    assert {(e.key, e.digest) for e in together} == {(e.key, e.digest) for e in apart}
    entries = [json.loads(delivery(contacts=contacts, **{name: [item]}))["entry"][0] for name, item in items]
    one_post = split(body_of({"object": "whatsapp_business_account", "entry": entries}))
    assert [(e.key, e.digest) for e in one_post] == [(e.key, e.digest) for e in apart]


@pytest.mark.parametrize(
    ("contacts", "item", "chosen"),
    [
        ([contact("A"), contact("B", wa_id="2")], message(), "A"),
        ([contact("A"), contact("B", wa_id="2")], message(**{"from": "2"}), "B"),
        ([contact("A"), contact("B", wa_id="+2 2-2")], message(**{"from": "222"}), "B"),
        ([contact("A"), contact("B", wa_id=222)], message(**{"from": "222"}), "B"),
        ([contact("A"), contact("B", wa_id="222")], message(**{"from": 222}), "B"),
        ([contact("A", wa_id="3"), contact("B", wa_id="", user_id=BSUID)], message(from_user_id=BSUID), "B"),
        ([contact("A")], message(**{"from": "2"}), None),
        ([{"profile": {"name": "A"}}], message(), "A"),
        ([{"profile": {"name": "A"}}, {"profile": {"name": "B"}}], message(), None),
        ([{"profile": {"name": "A"}}, {"profile": {"name": "B"}}], message(**{"from": "+"}), None),
        ("x", message(), None),
    ],
)
def test_the_contact_that_is_about_an_item_goes_with_it(contacts, item, chosen):
    (event,) = split(delivery(contacts=contacts, messages=[item]))
    assert (event.contact or {"profile": {"name": None}})["profile"]["name"] == chosen
    assert event.item == item
    assert event.business_number == NUMBER


def test_platform_errors_that_repeat_are_told_apart_by_the_day_only():
    body = delivery(errors=[{"code": 131000}])
    keys = [split(body, datetime(2026, 11, day, hour, tzinfo=UTC))[0].key for day, hour in ((1, 1), (1, 9), (2, 1))]
    assert keys[0] == keys[1] != keys[2]


def test_a_long_id_is_hashed_into_the_key_and_kept_in_the_event():
    one, other = split(delivery(messages=[message(id="a" * 600), message(id="a" * 601)]))
    assert re.fullmatch("message:sha256:[0-9a-f]{64}", one.key)
    assert one.key != other.key
    assert one.message_id == "a" * 600


@pytest.mark.parametrize(
    ("phone", "number"),
    [
        ("+55 11 90000-0012", PHONE),
        (PHONE, PHONE),
        (" +55 11 90000-0012", PHONE),
        ("+", None),
        ("", None),
        (None, None),
    ],
)
def test_a_phone_number_is_its_digits(phone, number):
    assert digits(phone) == number
