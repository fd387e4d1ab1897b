"""Which events are refused for where they come from."""

import pytest
from building import ACCOUNT, NUMBER_ID, body_of, delivery, envelope, message, value_of

from wa_webhooks.origin import Origin
from wa_webhooks.splitting import split

OURS = {"accounts": frozenset({ACCOUNT}), "phone_numbers": frozenset({NUMBER_ID})}


@pytest.mark.parametrize(
    ("lists", "account", "number", "reason"),
    [
        ({}, "other", "other", None),
        (OURS, ACCOUNT, NUMBER_ID, None),
        ({"accounts": frozenset({"x", ACCOUNT})}, ACCOUNT, "other", None),
        ({"phone_numbers": frozenset({NUMBER_ID})}, "other", NUMBER_ID, None),
        (OURS, "other", NUMBER_ID, "account other is not on the allow-list"),
        (OURS, ACCOUNT, "other", "phone number id other is not on the allow-list"),
        (OURS, ACCOUNT + "0", NUMBER_ID, f"account {ACCOUNT}0 is not on the allow-list"),
    ],
)
def test_allow_lists(lists, account, number, reason):
    payload = envelope(value_of(number, messages=[message()]), account=account)
    (event,) = split(body_of(payload))
    assert Origin(**lists).refusal(event) == reason


def test_an_event_about_no_number_is_judged_by_its_account_alone():
    (event,) = split(body_of(envelope({"decision": "APPROVED"}, field="account_review_update")))
    assert Origin(**OURS).refusal(event) is None
    assert Origin(accounts=frozenset({"other"})).refusal(event) is not None


def test_an_unreadable_body_is_refused_by_no_list():
    (event,) = split(b"{")
    assert Origin(**OURS).refusal(event) is None


@pytest.mark.parametrize("kind", ["page", "instagram", None, [], 7])
def test_a_foreign_object_is_refused_even_without_lists(kind):
    payload = {**envelope(value_of(messages=[message()])), "object": kind}
    (event,) = split(body_of(payload))
    assert Origin().refusal(event) == "the delivery's object is not whatsapp_business_account"


def test_an_absent_object_is_not_foreign():
    payload = envelope(value_of(messages=[message()]))
    del payload["object"]
    (event,) = split(body_of(payload))
    assert Origin().refusal(event) is None


def test_in_one_delivery_each_event_is_judged_alone():
    payload = envelope(value_of("other", messages=[message()]))
    payload["entry"] += envelope(value_of(messages=[message()]))["entry"]
    assert [Origin(**OURS).refusal(event) is None for event in split(body_of(payload))] == [False, True]
    assert [event.phone_number_id for event in split(delivery(messages=[message()]))] == [NUMBER_ID]
