"""Who is who: the rules of identity, each told as a short story, in every order of arrival."""

from itertools import permutations

import pytest
from backends import SqliteMemory
from building import ABSENT, ACCOUNT, START, TIME, Clock, body_of, contact, delivery, envelope, message, value_of

from wa_webhooks.numbers import digits, number_key
from wa_webhooks.pipeline import Pipeline
from wa_webhooks.stores.base import Delivery

OLD, NEW = "5511900000012", "5511900000099"


def said(at, text, phone=None, user=None, *, parent=None, name=None, wamid=None):
    """Somebody writes, known by a phone, a user id, or both."""
    ids = {"from": phone or ABSENT, "from_user_id": user or ABSENT, "from_parent_user_id": parent or ABSENT}
    about = [contact(name, wa_id=phone or ABSENT, user_id=user or ABSENT)] if name else ABSENT
    told = message(body={"body": text}, id=wamid or f"wamid.{at}", timestamp=str(TIME + at), **ids)
    return delivery(contacts=about, messages=[told])


def sent(at, phone, status="delivered"):
    told = {"id": f"wamid.S{at}", "status": status, "timestamp": str(TIME + at), "recipient_id": phone}
    return delivery(statuses=[told])


def changed(at, *, frm=None, kind="user_changed_number", **system):
    told = message("system", {"type": kind, "body": "changed", **system}, id=f"wamid.{at}", timestamp=str(TIME + at))
    told["from"] = frm
    return delivery(messages=[{key: value for key, value in told.items() if value is not None}])


def leads_after(bodies):
    """Each lead's texts and statuses in order of time, its number, user id and name: a set of people."""
    store = SqliteMemory(None).open()
    for body in bodies:
        store.append([Delivery(body=body, received_at=START)])
        Pipeline(store=store, clock=Clock()).drain()
    found = set()
    for lead in store._db.execute("SELECT id, wa_id, bsuid, name FROM wa_leads").fetchall():
        told = store._db.execute(
            "SELECT text AS told, at FROM wa_messages WHERE lead_id = :lead AND type <> 'system'"
            " UNION ALL SELECT status, at FROM wa_message_statuses WHERE lead_id = :lead ORDER BY at",
            {"lead": lead["id"]},
        ).fetchall()
        found.add((" ".join(row["told"] for row in told), lead["wa_id"], lead["bsuid"], lead["name"]))
    store.close()
    return found


STORIES = {
    "a phone alone, then with a user id: one person": (
        [said(1, "a", OLD), said(2, "b", OLD, "BR.1")],
        {("a b", OLD, "BR.1", None)},
    ),
    "the phone is hidden later: still one": (
        [said(1, "a", OLD, "BR.1"), said(2, "b", user="BR.1")],
        {("a b", OLD, "BR.1", None)},
    ),
    "a recycled number: two people, each with their own": (
        [said(1, "a", OLD, "BR.1", name="Ana"), said(2, "b", OLD, "BR.2", name="Bo"), said(3, "c", OLD)],
        {("a", OLD, "BR.1", "Ana"), ("b c", OLD, "BR.2", "Bo")},
    ),
    "two user ids with one parent: one person": (
        [said(1, "a", user="BR.1", parent="BR.ENT.1"), said(2, "b", user="BR.2", parent="BR.ENT.1")],
        {("a b", None, "BR.2", None)},
    ),
    "a new number without user ids keeps the lead": (
        [said(1, "a", OLD), changed(2, frm=OLD, wa_id=NEW), said(3, "b", NEW)],
        {("a b", NEW, None, None)},
    ),
    "under its oldest name too": (
        [said(1, "a", OLD), changed(2, frm=OLD, kind="customer_changed_number", new_wa_id=NEW), said(3, "b", NEW)],
        {("a b", NEW, None, None)},
    ),
    "a new number with user ids keeps the lead": (
        [
            said(1, "a", OLD, "BR.1"),
            changed(2, frm=OLD, wa_id=NEW, user_id="BR.2", previous_user_id="BR.1"),
            said(3, "b", NEW, "BR.2"),
        ],
        {("a b", NEW, "BR.2", None)},
    ),
    "a phone alone, a new number, and only then a user id: one person": (
        [said(1, "a", OLD), changed(2, frm=OLD, wa_id=NEW), said(3, "b", NEW, "BR.1")],
        {("a b", NEW, "BR.1", None)},
    ),
    "who writes from the number that was given up is somebody else": (
        [said(1, "a", OLD), changed(2, frm=OLD, wa_id=NEW), said(3, "b", OLD), said(4, "c", NEW)],
        {("a c", NEW, None, None), ("b", OLD, None, None)},
    ),
    "and keeps that lead with a user id": (
        [said(1, "a", OLD), changed(2, frm=OLD, wa_id=NEW), said(3, "b", OLD), said(4, "c", OLD, "BR.2")],
        {("a", NEW, None, None), ("b c", OLD, "BR.2", None)},
    ),
    "what was sent to the old number is for who had it": (
        [said(1, "a", OLD), changed(2, frm=OLD, wa_id=NEW), sent(3, OLD)],
        {("a delivered", NEW, None, None)},
    ),
    "who had the new number before is somebody else": (
        [said(1, "x", NEW), said(2, "a", OLD), changed(3, frm=OLD, wa_id=NEW), said(4, "b", NEW)],
        {("x", NEW, None, None), ("a b", NEW, None, None)},
    ),
    "a new user id for a hidden phone keeps the lead, whose number is not known any more": (
        [
            said(1, "a", OLD, "BR.1"),
            changed(2, kind="user_changed_user_id", user_id="BR.2", previous_user_id="BR.1"),
            said(3, "b", user="BR.2"),
        ],
        {("a b", None, "BR.2", None)},
    ),
    "a chain of numbers is one person": (
        [
            said(1, "a", "1555001"),
            changed(2, frm="1555001", wa_id="1555002"),
            changed(3, frm="1555002", wa_id="1555003"),
            said(4, "b", "1555003"),
        ],
        {("a b", "1555003", None, None)},
    ),
    "there and back again is one person": (
        [said(1, "a", OLD), changed(2, frm=OLD, wa_id=NEW), changed(4, frm=NEW, wa_id=OLD), said(5, "b", OLD)],
        {("a b", OLD, None, None)},
    ),
    "variants of a number are one": (
        [said(1, "a", "5511987654321"), said(2, "b", "551187654321"), said(3, "c", "5511987654321", "BR.1")],
        {("a b c", "5511987654321", "BR.1", None)},
    ),
    "another way to write the same number is no change": (
        [
            said(1, "a", "5215512345678"),
            changed(2, frm="5215512345678", wa_id="525512345678"),
            said(3, "b", "525512345678"),
        ],
        {("a b", "525512345678", None, None)},
    ),
}


@pytest.mark.parametrize("story", STORIES)
def test_the_story_has_one_end_in_every_order(story):
    bodies, people = STORIES[story]
    for order in permutations(bodies):
        assert leads_after(order) == people


@pytest.mark.parametrize(
    ("written", "key"),
    [
        ("551187654321", "5511987654321"),  # Brazil, without the 9
        ("5511987654321", "5511987654321"),
        ("551132654321", "551132654321"),  # a landline has none
        ("5215512345678", "525512345678"),  # Mexico, with the old prefix
        ("525512345678", "525512345678"),
        ("5491112345678", "541112345678"),  # Argentina, as it is dialled from abroad
        ("541112345678", "541112345678"),
        ("447700900123", "447700900123"),
        ("52155", "52155"),
        ("", ""),
    ],
)
def test_variants_of_a_number_share_a_key(written, key):
    assert number_key(written) == key
    assert number_key(key) == key


@pytest.mark.parametrize(
    ("written", "plain"), [("+55 11 9-1", "551191"), ("5511", "5511"), ("", None), (None, None), ("+", None)]
)
def test_a_number_is_its_digits(written, plain):
    assert digits(written) == plain


def test_a_lead_is_found_by_any_way_to_write_its_number():
    store = SqliteMemory(None).open()
    store.append([Delivery(body=said(1, "a", "5215512345678", "MX.1"), received_at=START)])
    Pipeline(store=store, clock=Clock()).drain()
    for ident in ("5215512345678", "525512345678", "MX.1"):
        assert store.get("lead", ident)["wa_id"] == "5215512345678"
    assert store.get("lead", "525512345679") is None
    store.close()


def test_who_changed_numbers_is_found_by_both():
    store = SqliteMemory(None).open()
    for body in (said(1, "a", OLD), changed(2, frm=OLD, wa_id=NEW)):
        store.append([Delivery(body=body, received_at=START)])
    Pipeline(store=store, clock=Clock()).drain()
    assert store.get("lead", OLD)["id"] == store.get("lead", NEW)["id"]
    store.close()


def test_an_event_without_a_time_ties_its_lead_and_tells_no_time():
    store = SqliteMemory(None).open()
    body = body_of(envelope(value_of(contacts=[contact("Ana")])))
    store.append([Delivery(body=body, received_at=START)])
    Pipeline(store=store, clock=Clock()).drain()
    (lead,) = store._db.execute("SELECT * FROM wa_leads").fetchall()
    assert (lead["name"], lead["scope"], lead["first_event_at"], lead["last_event_at"]) == (
        "Ana",
        ACCOUNT,
        None,
        None,
    )
    store.close()
