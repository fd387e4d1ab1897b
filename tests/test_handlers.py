"""What the built-in handlers make of each kind of event."""

import dataclasses
import json
from datetime import UTC, datetime, timedelta

import pytest
from building import (
    ABSENT,
    ACCOUNT,
    BSUID,
    NUMBER,
    NUMBER_ID,
    PHONE,
    TIME,
    body_of,
    call,
    changes_of,
    contact,
    delivery,
    envelope,
    grafted,
    message,
    status,
    value_of,
)
from hypothesis import example, given

from wa_webhooks.changes import AccountNoticed, CallSeen, LeadSeen, MessageSeen, Person, StatusSeen, as_json
from wa_webhooks.errors import PayloadError
from wa_webhooks.events import canonical
from wa_webhooks.handlers import builtin
from wa_webhooks.payload import all_storable, storable
from wa_webhooks.pipeline import handle
from wa_webhooks.splitting import split

AT = datetime.fromtimestamp(TIME, UTC)
ANA = Person(scope=ACCOUNT, wa_id=PHONE)
KNOWN = {"phone_number_id": NUMBER_ID, "account_id": ACCOUNT, "at": AT}
LEAD = LeadSeen(person=ANA, at=AT, inbound=True)


def only(kind, found):
    (one,) = [change for change in found if isinstance(change, kind)]
    return one


def message_seen(said, **beside):
    return only(MessageSeen, changes_of(delivery(messages=[said], **beside)))


def person_of(**arrays):
    return only(LeadSeen, changes_of(delivery(**arrays))).person


def test_a_text_makes_a_lead_and_a_message():
    lead, seen = changes_of(delivery(contacts=[contact("Ana", user_id=BSUID)], messages=[message()]))
    who = Person(scope=ACCOUNT, wa_id=PHONE, bsuid=BSUID)
    assert lead == LeadSeen(person=who, at=AT, name="Ana", inbound=True)
    assert seen == MessageSeen(
        **KNOWN,
        wamid="wamid.M1",
        person=who,
        direction="inbound",
        type="text",
        text="hello",
        content='{"body":"hello"}',
    )


BUTTON_REPLY = {"type": "button_reply", "button_reply": {"id": "b1", "title": "Yes"}}
LIST_REPLY = {"type": "list_reply", "list_reply": {"id": "r1", "title": "Row", "description": "d"}}
FLOW_REPLY = {"type": "nfm_reply", "nfm_reply": {"name": "flow", "body": "Sent", "response_json": "{"}}
EDIT = {
    "original_message_id": "wamid.0",
    "message": {"type": "text", "text": {"body": "new"}, "context": {"id": "M0"}},
}


@pytest.mark.parametrize(
    ("kind", "body", "expected"),
    [
        ("image", {"id": "1", "caption": "look"}, {"text": "look"}),
        ("audio", {"id": "1", "voice": True}, {}),
        ("document", {"id": "1", "filename": "a.pdf"}, {"text": "a.pdf"}),
        ("document", {"id": "1", "filename": "a.pdf", "caption": "here"}, {"text": "here"}),
        ("location", {"latitude": 1.5, "longitude": 2, "name": "Home"}, {"text": "Home"}),
        ("contacts", [{"name": {"formatted_name": "Bo"}}], {"text": "Bo"}),
        ("order", {"catalog_id": "1", "text": "quick", "product_items": []}, {"text": "quick"}),
        ("button", {"payload": "camp:42", "text": "Yes"}, {"text": "Yes", "reply_id": "camp:42"}),
        ("interactive", BUTTON_REPLY, {"text": "Yes", "reply_id": "b1"}),
        ("interactive", LIST_REPLY, {"text": "Row", "reply_id": "r1"}),
        ("interactive", FLOW_REPLY, {"text": "Sent"}),
        ("interactive", None, {}),
        ("reaction", {"message_id": "wamid.0", "emoji": "👍"}, {"text": "👍", "reply_to": "wamid.0"}),
        ("reaction", {"message_id": "wamid.0", "emoji": ""}, {"reply_to": "wamid.0"}),
        ("edit", EDIT, {"text": "new", "reply_to": "wamid.0"}),
        ("revoke", {"original_message_id": "wamid.0"}, {"reply_to": "wamid.0"}),
        ("request_welcome", None, {}),
        ("not_invented_yet", {"deep": {"x": 1}}, {}),
        ("not_invented_yet", "a string", {}),
        ("text", {"body": ["wrong"]}, {}),
        ("text", {"body": "a\x00b\ud83d"}, {"text": "a\ufffdb\ufffd"}),
    ],
)
def test_every_type_of_message_makes_a_lead_and_a_message(kind, body, expected):
    lead, seen = changes_of(delivery(messages=[message(kind, ABSENT if body is None else body)]))
    assert lead == LEAD
    content = None if body is None else canonical(all_storable(body))
    fixed = {"wamid": "wamid.M1", "person": ANA, "direction": "inbound", "type": kind, "content": content}
    assert seen == MessageSeen(**KNOWN, **fixed, **expected)


def test_the_context_says_what_is_replied_to():
    assert message_seen(message(context={"id": "wamid.0"})).reply_to == "wamid.0"
    forwarded = message_seen(message(context={"forwarded": True}))
    assert (forwarded.reply_to, forwarded.context) == (None, '{"forwarded":true}')
    reaction = message("reaction", {"message_id": "wamid.0"}, context={"id": "wamid.9"})
    assert message_seen(reaction).reply_to == "wamid.9"


def test_an_ad_a_group_and_an_error_are_kept_with_the_message():
    errors = [{"code": "131060", "title": "t", "error_data": {"details": "d"}}]
    seen = message_seen(message("unsupported", ABSENT, referral={"source_id": "7"}, group_id="G", errors=errors))
    assert (seen.referral, seen.group_id, seen.error_code, seen.error_text) == ('{"source_id":"7"}', "G", 131060, "d")


@pytest.mark.parametrize(
    ("item", "beside", "who"),
    [
        ({}, {}, {"wa_id": PHONE}),
        ({"from": "+55 11 90000-0012"}, {}, {"wa_id": PHONE}),
        ({"from": ABSENT, "from_user_id": BSUID}, {}, {"bsuid": BSUID}),
        (
            {"from": "", "from_user_id": BSUID, "from_parent_user_id": "BR.ENT.1"},
            {},
            {"bsuid": BSUID, "parent_bsuid": "BR.ENT.1"},
        ),
        ({"from": ABSENT}, {"user_id": BSUID, "wa_id": ABSENT}, {"bsuid": BSUID}),
        (
            {},
            {"user_id": BSUID, "parent_user_id": "BR.ENT.1"},
            {"wa_id": PHONE, "bsuid": BSUID, "parent_bsuid": "BR.ENT.1"},
        ),
        ({"from_user_id": BSUID}, {"user_id": "BR.other"}, {"wa_id": PHONE, "bsuid": BSUID}),
    ],
)
def test_a_lead_has_whatever_ids_the_item_and_its_contact_carry(item, beside, who):
    contacts = [contact(**beside)] if beside else []
    assert person_of(contacts=contacts, messages=[message(**item)]) == Person(scope=ACCOUNT, **who)


def test_a_username_user_has_a_username_and_no_phone():
    contacts = [{"profile": {"name": "Lu", "username": "lu.s"}, "user_id": BSUID}]
    lead = changes_of(delivery(contacts=contacts, messages=[message(from_user_id=BSUID, **{"from": ABSENT})]))[0]
    assert lead == LeadSeen(
        person=Person(scope=ACCOUNT, bsuid=BSUID), at=AT, name="Lu", username="lu.s", inbound=True
    )


def test_a_message_of_nobody_is_still_a_message():
    (seen,) = changes_of(delivery(messages=[message(**{"from": ABSENT})]))
    assert (seen.wamid, seen.person) == ("wamid.M1", None)


def test_a_status_is_a_step_of_the_message_and_no_inbound_lead():
    told = status(
        "SENT",
        biz_opaque_callback_data="camp:42",
        conversation={"id": "c\x00"},
        pricing={"billable": True, "pricing_model": "PMP", "pricing_type": "regular", "category": "marketing"},
    )
    lead, seen = changes_of(delivery(statuses=[told]))
    assert lead == LeadSeen(person=ANA, at=AT, inbound=False)
    assert seen == StatusSeen(
        **KNOWN,
        wamid="wamid.S1",
        person=ANA,
        status="sent",
        tag="camp:42",
        conversation_id="c\ufffd",
        billable=True,
        pricing_model="PMP",
        pricing_type="regular",
        pricing_category="marketing",
    )


def test_a_failed_status_says_why_and_an_unknown_one_is_kept():
    failed = status("failed", errors=[{"code": 131026, "error_data": "undeliverable"}])
    seen = only(StatusSeen, changes_of(delivery(statuses=[failed])))
    assert (seen.status, seen.error_code, seen.error_text) == ("failed", 131026, "undeliverable")
    assert only(StatusSeen, changes_of(delivery(statuses=[status("Not Yet")]))).status == "not yet"


@pytest.mark.parametrize(
    ("keys", "who"),
    [
        ({"recipient_type": "group", "recipient_participant_id": "1"}, {"wa_id": "1"}),
        ({"recipient_participant_id": "1"}, {"wa_id": "1"}),
        ({"recipient_participant_user_id": BSUID}, {"bsuid": BSUID}),
        ({"group_id": "G", "participant_recipient_id": "1"}, {"wa_id": "1"}),
        ({"recipient_user_id": BSUID}, {"wa_id": PHONE, "bsuid": BSUID}),
        ({"recipient_id": "", "recipient_user_id": BSUID}, {"bsuid": BSUID}),
    ],
)
def test_a_status_is_about_its_recipient_and_in_a_group_about_the_participant(keys, who):
    assert person_of(statuses=[status(**keys)]) == Person(scope=ACCOUNT, **who)


@pytest.mark.parametrize("keys", [{"recipient_type": "group"}, {"group_id": "G"}, {"recipient_id": None}])
def test_a_group_is_nobody(keys):
    (seen,) = changes_of(delivery(statuses=[status(**keys)]))
    assert (type(seen), seen.person) == (StatusSeen, None)


def test_the_end_of_a_call():
    told = call(
        "TERMINATE",
        status=["Failed"],
        duration="20",
        start_time=str(TIME),
        end_time=TIME + 20,
        biz_opaque_callback_data="t",
        errors=[{"code": 138021, "message": "no media"}],
    )
    lead, seen = changes_of(delivery("calls", calls=[told]))
    assert lead == LEAD
    assert seen == CallSeen(
        **KNOWN,
        call_id="wacid.C1",
        person=ANA,
        step="terminate",
        direction="USER_INITIATED",
        result="FAILED",
        started_at=AT,
        ended_at=AT + timedelta(seconds=20),
        duration=20,
        tag="t",
        error_code=138021,
        error_text="no media",
        failure_class="retryable",
    )


OURS, THEIRS = {"from": NUMBER, "to": PHONE}, {"from": PHONE, "to": NUMBER}


@pytest.mark.parametrize(
    ("keys", "beside", "inbound"),
    [
        ({**THEIRS}, [], True),
        ({**OURS}, [], True),  # swapped
        ({**OURS, "direction": "BUSINESS_INITIATED"}, [], False),
        ({**THEIRS, "direction": "business_initiated"}, [], False),  # swapped
        ({**THEIRS, "direction": "BUSINESS_INITIATED"}, [contact()], False),
        ({**THEIRS}, [contact("The clinic", wa_id=NUMBER)], True),
        ({**THEIRS, "direction": ABSENT}, [], True),
        ({**OURS, "direction": ABSENT}, [], False),
        ({**OURS, "from": "+1 555-010-0101", "direction": None}, [], False),
    ],
)
def test_the_other_end_of_a_call_is_the_person_and_our_own_number_nobody(keys, beside, inbound):
    lead, seen = changes_of(delivery("calls", contacts=beside, calls=[call(**keys)]))
    assert (lead.person, lead.inbound, seen.person) == (ANA, inbound, ANA)
    assert seen.direction == ("USER_INITIATED" if inbound else "BUSINESS_INITIATED")


@pytest.mark.parametrize(
    ("keys", "beside"),
    [
        ({**THEIRS}, []),
        ({**OURS, "direction": "BUSINESS_INITIATED"}, []),
        ({**THEIRS, "direction": "BUSINESS_INITIATED"}, [contact()]),
        ({**OURS}, [contact()]),
    ],
)
def test_where_our_number_is_not_told_the_contact_decides_and_then_the_direction(keys, beside):
    metadata = {"phone_number_id": NUMBER_ID}
    assert person_of(metadata=metadata, contacts=beside, calls=[call(**keys)]) == ANA


def test_a_call_with_our_number_at_both_ends_is_nobodys():
    (seen,) = changes_of(delivery("calls", calls=[call(**{"from": NUMBER, "to": NUMBER})]))
    assert seen.person is None
    caller = call(from_user_id=BSUID, **{"from": ABSENT})
    assert person_of(calls=[caller]) == Person(scope=ACCOUNT, bsuid=BSUID)


def test_the_progress_of_our_call_is_a_step_of_it():
    told = status("RINGING", type="call", id="wacid.C1", biz_opaque_callback_data="t")
    lead, seen = changes_of(delivery("calls", statuses=[told]))
    assert (lead.person, lead.inbound) == (ANA, False)
    fixed = {"call_id": "wacid.C1", "person": ANA, "step": "ringing", "direction": "BUSINESS_INITIATED", "tag": "t"}
    assert seen == CallSeen(**KNOWN, **fixed)


@pytest.mark.parametrize(
    ("field", "notice", "value"),
    [
        ("message_template_status_update", "account.template_status", {"event": "APPROVED", "reason": None}),
        ("flows", "account.flow", {"event": "ENDPOINT_ERROR_RATE", "flow_id": "1", "errors": [{"error_count": 4}]}),
        ("account_review_update", "account.review", "APPROVED"),
    ],
)
def test_a_notice_is_kept_whole(field, notice, value):
    (seen,) = changes_of(body_of(envelope(value, field=field, time=TIME)))
    assert (seen.account_id, seen.notice, seen.at, seen.detail) == (ACCOUNT, notice, AT, canonical(value))


def test_a_platform_error_is_a_notice_and_what_nobody_knows_changes_nothing():
    seen = only(AccountNoticed, changes_of(delivery(errors=[{"code": 131000}])))
    assert (seen.notice, seen.detail, seen.phone_number_id) == ("error.131000", '{"code":131000}', NUMBER_ID)
    assert changes_of(delivery(x=1)) == ()


@pytest.mark.parametrize("body", [b"{", b"[]", delivery(messages=["x"])])
def test_what_cannot_be_read_is_given_up_with_the_reason(body):
    with pytest.raises(PayloadError, match=r".") as refused:
        changes_of(body)
    assert str(refused.value) == split(body)[0].problem


def leaves(change):
    for value in dataclasses.astuple(change):
        yield from value if isinstance(value, tuple) else (value,)


@given(grafted())
@example(envelope(value_of(messages=[message()]), account="a\x00b"))
@example(envelope(value_of("\ud800", calls=[call(duration=1e300)])))
def test_any_event_gives_changes_that_a_database_takes_or_a_payload_error(payload):
    for event in split(body_of(payload)):
        try:
            found = handle(event, builtin())
        except PayloadError:
            continue
        for change in found:
            json.dumps(as_json(change))
            for value in leaves(change):
                assert value is None or isinstance(value, str | int | datetime)
                assert not isinstance(value, str) or storable(value) == value
                assert not isinstance(value, int) or abs(value) < 2**63
