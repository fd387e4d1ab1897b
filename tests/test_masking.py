"""What is shown to people names nobody."""

import json

import pytest
from building import BSUID, JSON, call, contact, message, status
from hypothesis import given
from hypothesis import strategies as st

from wa_webhooks.masking import mask, mask_id, mask_numbers, mask_phone, mask_words


@pytest.mark.parametrize(
    ("shown", "whole", "masked"),
    [
        (mask_phone, "5511900000012", "55…12"),
        (mask_phone, "12345", "12…45"),
        (mask_phone, "1234", "…"),
        (mask_phone, "", "…"),
        (mask_id, "wamid.HBgNNTUxMTkwMDAwMDAxMhUCABIYFDNB", "wamid.…IYFDNB"),
        (mask_id, "wacid.ABCDEFGHIJKL", "wacid.…GHIJKL"),
        (mask_id, "BR.13491208655302741918", "…741918"),
        (mask_id, "stop", "stop"),
        (mask_words, "Ana Lima", "•••(8)"),
        (mask_words, "", ""),
        (mask_numbers, "5511900000012 and 447700900123: code 131026", "55…12 and 44…23: code 131026"),
        (mask_numbers, "no number", "no number"),
    ],
)
def test_enough_stays_to_recognise_a_value(shown, whole, masked):
    assert shown(whole) == masked


@pytest.mark.parametrize(
    ("value", "masked"),
    [
        ({"from": "5511900000012"}, {"from": "55…12"}),
        ({"from": 5511900000012}, {"from": "55…12"}),
        ({"wa_id": None, "text": True, "name": None}, {"wa_id": None, "text": True, "name": None}),
        ({"text": {"body": "hello"}}, {"text": {"body": "•••(5)"}}),
        ({"text": "hello"}, {"text": "•••(5)"}),
        ([[{"a": {"wa_id": ["5511900000012"]}}]], [[{"a": {"wa_id": ["55…12"]}}]]),
        ({"latitude": -23.55052}, {"latitude": "•••(9)"}),
        ({"type": "text", "timestamp": "1795000000"}, {"type": "text", "timestamp": "1795000000"}),
        ({"display_phone_number": "15550100101"}, {"display_phone_number": "15550100101"}),
        (
            {"a": "Ana", "pin": "1234", "doc": 12345678900, "n": 3},
            {"a": "•••(3)", "pin": "•••(4)", "doc": "•••(11)", "n": 3},
        ),
        (
            {"user_id": {"previous": BSUID, "current": BSUID}},
            {"user_id": {"previous": mask_id(BSUID), "current": mask_id(BSUID)}},
        ),
        (
            {"value": {"status": "delivered", "timestamp": "1795000000"}},
            {"value": {"status": "delivered", "timestamp": "1795000000"}},
        ),
        ({"error": "cannot bill <ana@example.org> 5511900000012"}, {"error": "cannot bill <•••(15)> 55…12"}),
        ("5511900000012", "5511900000012"),
        (7, 7),
    ],
)
def test_json_is_masked_by_its_keys_at_any_depth(value, masked):
    assert mask(value) == masked


def shape(value):
    if isinstance(value, dict):
        return {key: shape(inner) for key, inner in value.items()}
    return [shape(inner) for inner in value] if isinstance(value, list) else None


@given(JSON)
def test_any_json_is_masked_and_keeps_its_shape(value):
    before = json.dumps(value)
    assert shape(mask(value)) == shape(value)
    assert json.dumps(value) == before


GREEK, CYRILLIC = (
    st.characters(min_codepoint=0x3B1, max_codepoint=0x3C9),
    st.characters(min_codepoint=0x430, max_codepoint=0x44F),
)
PHONES = st.text("0123456789", min_size=9, max_size=15)
NAMES = st.text(GREEK, min_size=3, max_size=20)
TEXTS = st.text(CYRILLIC, min_size=3, max_size=30)
USERS = st.text("0123456789", min_size=12, max_size=20).map("BR.".__add__)


def everywhere(phone, name, text, user):
    """By name: payloads with somebody's data wherever Meta writes it, and rows of ours with it."""
    people = {"from_user_id": user, "to_user_id": user, "from_parent_user_id": user, "to_parent_user_id": user}
    said = {"from": phone, "to": phone, **people}
    card = {
        "name": {"formatted_name": name, "first_name": name, "last_name": name, "middle_name": name},
        "phones": [{"phone": phone, "wa_id": phone, "type": "CELL"}],
        "emails": [{"email": text}],
        "addresses": [{"street": text, "city": text, "zip": text}],
        "birthday": text,
        "vcard": text,
    }
    bodies = {
        "text": {"body": text},
        "image": {"caption": text},
        "document": {"filename": name, "caption": text},
        "location": {"name": name, "address": text, "url": text},
        "contacts": [card],
        "interactive": {"type": "list_reply", "list_reply": {"id": "r", "title": text, "description": text}},
        "button": {"payload": text, "text": text},
        "reaction": {"emoji": text, "message_id": "wamid.x"},
        "order": {"text": text},
        "edit": {"message": {"type": "text", "text": {"body": text}}},
        "system": {"body": text, "wa_id": phone, "new_wa_id": phone, "customer": phone, "user_id": user,
                   "previous_user_id": user, "previous_parent_user_id": user},
    }  # fmt: skip
    replies = {"interactive": {"type": "nfm_reply", "nfm_reply": {"body": text, "response_json": text}}}
    participant = {"wa_id": phone, "user_id": user, "username": name}
    recipient = {
        "recipient_id": phone,
        "recipient_user_id": user,
        "recipient_parent_user_id": user,
        "recipient_participant_id": phone,
        "participant_recipient_id": phone,
        "recipient_participant_user_id": user,
        "recipient_participant_parent_user_id": user,
    }
    lead = {"name": name, "username": name, "wa_id": phone, "bsuid": user, "text": text, "content": f'"{text}"'}
    synced = {"full_name": name, "first_name": name, "phone_number": phone, "user_id": user}
    return {
        "contacts": [
            contact(profile={"name": name, "username": name}, wa_id=phone, user_id=user, parent_user_id=user)
        ],
        "messages": [message(kind, body, **said) for kind, body in (*bodies.items(), *replies.items())],
        "statuses": [status(**recipient)],
        "failed": [status("failed", errors=[{"error_data": {"details": f"not on WhatsApp: {phone}"}}])],
        "calls": [call(session={"sdp": text}, **said)],
        "history": [{"threads": [{"id": phone, "context": participant, "messages": [message(**said)]}]}],
        "groups": [{"added_participants": [participant], **participant, "description": text}],
        "joining": [{"added_participants": [{"input": phone}]}],
        "state_sync": [{"contact": synced}],
        "handover": [{"sender": {"phone_number": phone}, "conversation_context": {"summary": {"text": text}}}],
        "user_preferences": [{"wa_id": phone, "detail": text}],
        "lead row": lead,
        "event row": {"unreadable": text, "context": f'{{"from":"{phone}"}}', "event_key": f"status:{user}"},
        "error row": {"error": f"{phone} failed", "error_text": f"to {phone}", "failed_text": phone},
    }


@pytest.mark.parametrize("place", everywhere("", "", "", ""))
@given(phone=PHONES, name=NAMES, text=TEXTS, user=USERS)
def test_no_phone_name_text_or_id_of_anybody_is_left(place, phone, name, text, user):
    payload = {place: everywhere(phone, name, text, user)[place]}
    before, after = (json.dumps(shown, ensure_ascii=False) for shown in (payload, mask(payload)))
    assert any(value in before for value in (phone, name, text, user))
    assert not [value for value in (phone, name, text, user) if value in after], after


def test_a_wamid_hides_the_phone_number_in_it():
    wamid = "wamid.HBgNNTUxMTkwMDAwMDAxMhUCABIYFDNBMTIzNDU2Nzg5MABCDEF="
    assert "NTUxMTkwMDAwMDAxM" not in json.dumps(mask({"id": wamid, "context": {"id": wamid}, "user_id": BSUID}))
