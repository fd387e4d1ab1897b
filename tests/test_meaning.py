"""What the stored facts mean: starts of conversations, replies to campaigns and to automatic messages."""

import random
from contextlib import closing

import histories
import pytest
from building import BSUID
from chats import (
    DAY,
    HOUR,
    VIEWS,
    Told,
    answered,
    called,
    came,
    columns,
    copied,
    failed,
    moment,
    named,
    passed_on,
    phoned,
    preferred,
    said,
    sent,
    tapped,
    view,
    wrote,
)
from hypothesis import given
from hypothesis import strategies as st

SYSTEM = {"type": "user_changed_number", "wa_id": "5511900000013"}
EDIT = {"original_message_id": "wamid.0", "message": {"type": "text", "text": {"body": "x"}}}
REVOKE = {"original_message_id": "wamid.0"}


def starts(*bodies):
    rows = view("wa_conversation_starts", *bodies)
    return columns(rows, "ref", "cause", "certainty")


FIRST = ("wamid.1", "first contact", "likely")


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        pytest.param([said("1", 0), said("2", DAY - 1)], [FIRST], id="within the window"),
        pytest.param(
            [said("1", 0), said("2", DAY)], [FIRST, ("wamid.2", "reopened", "certain")], id="exactly 24 hours later"
        ),
        pytest.param([said("1", 0), said("2", DAY - 1), said("3", 2 * DAY - 2)], [FIRST], id="each contact counts"),
        pytest.param([said("2", 0), said("1", 0)], [FIRST], id="a tie in time goes by wamid"),
        pytest.param([came("1", 0)], [("wamid.1", "ad", "certain")], id="from an ad"),
        pytest.param([came("1", 0, "post")], [("wamid.1", "post", "certain")], id="from a post"),
        pytest.param([said("1", 0), came("2", HOUR)], [FIRST, ("wamid.2", "ad", "certain")], id="an ad in a window"),
        pytest.param([said("1", 0), came("2", 0)], [("wamid.2", "ad", "certain")], id="an ad in the same second"),
        pytest.param(
            [said("1", 0, "request_welcome"), said("2", 9)], [("wamid.1", "opened", "certain")], id="chat opened"
        ),
        pytest.param(
            [said("1", 0, "request_welcome"), came("2", 9)], [("wamid.2", "ad", "certain")], id="opened from an ad"
        ),
        pytest.param(
            [said("1", 0, "request_welcome"), came("2", DAY)],
            [("wamid.1", "opened", "certain"), ("wamid.2", "ad", "certain")],
            id="opened, and a day later from an ad",
        ),
        pytest.param([called("1", 0)], [("wacid.1", "call", "certain")], id="a call"),
        pytest.param([said("1", 0), called("1", HOUR)], [FIRST], id="a call in a window"),
        pytest.param(
            [said("1", 0), called("1", DAY - 1), said("2", DAY + HOUR)], [FIRST], id="a call keeps the window open"
        ),
        pytest.param(
            [said("1", 0), phoned("2", DAY - 1, "RINGING"), phoned("2", DAY, "terminate"), said("3", DAY + HOUR)],
            [FIRST, ("wamid.3", "reopened", "certain")],
            id="a call of the business that nobody took",
        ),
        pytest.param(
            [said("1", 0), phoned("2", 1, "RINGING"), phoned("2", HOUR, "ACCEPTED"), said("3", DAY + HOUR - 1)],
            [FIRST],
            id="a call of the business that the lead took",
        ),
        pytest.param(
            [phoned("1", 0, "RINGING"), phoned("1", 9, "ACCEPTED"), said("2", HOUR)],
            [("wacid.1", "call", "certain")],
            id="begun by a call of the business",
        ),
        pytest.param([passed_on("1", 0)], [FIRST], id="while another app has the chat"),
        pytest.param([copied("1", 0)], [], id="an old chat starts nothing"),
        pytest.param([copied("1", 0), said("2", HOUR)], [], id="an old chat that goes on"),
        pytest.param(
            [copied("1", 0), said("2", DAY)], [("wamid.2", "reopened", "certain")], id="an old chat that reopens"
        ),
        pytest.param([said("1", 0), copied("1", 0)], [FIRST], id="told live and as history"),
        pytest.param([said("1", 0, "system", SYSTEM)], [], id="a notice"),
        pytest.param([said("1", 0, "edit", EDIT), said("2", 1, "revoke", REVOKE)], [], id="corrections"),
        pytest.param([said("1", 0, "unsupported", {"type": "edit"})], [], id="a correction that is not passed on"),
        pytest.param([said("1", 0, group_id="G")], [], id="in a group"),
        pytest.param([sent("1", 0, category="marketing")], [], id="the business alone"),
        pytest.param(
            [said("1", 0, "reaction", {"message_id": "wamid.0", "emoji": "👍"})],
            [("wamid.1", "first contact", "likely")],
            id="a reaction",
        ),
        pytest.param([said("1", 0, "reaction", {"message_id": "wamid.0"})], [], id="a reaction taken back"),
        pytest.param([said("1", 0, "unsupported", errors=[{"code": 131060}])], [FIRST], id="content not passed on"),
        pytest.param(
            [called("1", 0), tapped("2", 1, None, "call_permission_reply")],
            [("wacid.1", "call", "certain")],
            id="what Meta answers for the lead",
        ),
        pytest.param([tapped("2", 1, None, "call_permission_reply")], [], id="what Meta answers for the lead, alone"),
    ],
)
def test_what_starts_a_conversation(told, expected):
    assert starts(*told) == expected


def test_a_start_says_of_which_number_it_is_and_why():
    elsewhere = said("2", HOUR).replace(b'"420000000000101"', b'"420000000000102"')
    one, other = view("wa_conversation_starts", said("1", 0), elsewhere)
    assert one["phone_number_id"] != other["phone_number_id"]
    assert one["why"] == "The lead wrote; no earlier contact with this number is known."
    (again,) = view("wa_conversation_starts", copied("1", 0), called("2", DAY))
    assert again["why"] == "The lead called; the last contact was 24 hours ago or longer."
    assert (again["previous_at"], again["by"], again["direction"]) == (moment(0), "call", "inbound")
    (ad,) = view("wa_conversation_starts", came("1", 0))
    assert (ad["source_id"], ad["why"]) == ("ad.1", "Meta says that the message came from an ad.")


def test_a_conversation_goes_on_under_another_user_id():
    """Whoever is one lead in the end was one all along."""
    known = said("2", HOUR, **{"from": None}, from_user_id=BSUID)
    both = said("3", 2 * HOUR, from_user_id=BSUID)
    assert starts(said("1", 0), known, both) == [FIRST]


def replies(*bodies, sql=()):
    rows = view("wa_campaign_replies", *bodies, sql=sql)
    return columns(rows, "wamid", "how", "certainty", "campaign_wamid", "tag")


CAMPAIGN = sent("C", 0, tag="camp:42")
MARKETING = sent("C", 0, category="marketing")
TO_IT = answered("1", HOUR, "C")
BUTTON = {"payload": "camp:42:yes", "text": "Yes"}


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        pytest.param([CAMPAIGN, TO_IT], [("reply", "certain", "C", "camp:42")], id="by its tag"),
        pytest.param([MARKETING, TO_IT], [("reply", "certain", "C", None)], id="by its price"),
        pytest.param(
            [sent("C", 0, category="authentication-international"), TO_IT],
            [("reply", "certain", "C", None)],
            id="a template of any category",
        ),
        pytest.param([sent("C", 0, category="service"), TO_IT], [], id="no template"),
        pytest.param([sent("C", 0, category="marketing", tag="auto:x"), TO_IT], [], id="an automatic template"),
        pytest.param([TO_IT], [], id="a message that nobody knows"),
        pytest.param([said("0", 0), answered("1", HOUR, "0")], [], id="a message of the lead's own"),
        pytest.param([MARKETING, answered("1", 9 * DAY, "C")], [("reply", "certain", "C", None)], id="days later"),
        pytest.param([MARKETING, tapped("1", 9, "C", "nfm_reply")], [("reply", "certain", "C", None)], id="a flow"),
        pytest.param(
            [CAMPAIGN, answered("1", 9, "C", "button", BUTTON)],
            [("quick reply", "certain", "C", "camp:42")],
            id="quick reply",
        ),
        pytest.param(
            [said("1", 9, "button", BUTTON)], [("quick reply", "certain", None, None)], id="quick reply, nothing else"
        ),
        pytest.param(
            [answered("1", 9, "C", "button", BUTTON)],
            [("quick reply", "certain", "C", None)],
            id="quick reply to what nobody knows",
        ),
        pytest.param([came("1", 9)], [("ad referral", "certain", None, None)], id="ad"),
        pytest.param([came("1", 9, "post")], [("post referral", "likely", None, None)], id="post"),
        pytest.param([CAMPAIGN, came("1", 9)], [("ad referral", "certain", None, None)], id="an ad after a campaign"),
        pytest.param([CAMPAIGN, said("1", DAY - 1)], [("after it", "inferred", "C", "camp:42")], id="after it"),
        pytest.param([CAMPAIGN, said("1", DAY)], [], id="24 hours after it"),
        pytest.param([CAMPAIGN, sent("C", 9, "delivered"), said("1", 8)], [], id="before it was delivered"),
        pytest.param(
            [CAMPAIGN, sent("C", 9, "read"), said("0", 8), said("1", 10)],
            [("after it", "inferred", "C", "camp:42")],
            id="after it was read",
        ),
        pytest.param([sent("0", 0, tag="camp:42"), said("1", 0)], [], id="in the same second"),
        pytest.param(
            [CAMPAIGN, said("1", 9), said("2", 10)], [("after it", "inferred", "C", "camp:42")], id="only one"
        ),
        pytest.param([CAMPAIGN, sent("X", 5), said("1", 9)], [], id="something else in between"),
        pytest.param([CAMPAIGN, wrote("X", 5), said("1", 9)], [], id="somebody else in between"),
        pytest.param(
            [CAMPAIGN, failed("X", 5, 131047), said("1", 9)],
            [("after it", "inferred", "C", "camp:42")],
            id="in between what never came",
        ),
        pytest.param([failed("C", 0, 131026, tag="camp:42"), said("1", 9)], [], id="it never came"),
        pytest.param(
            [failed("C", 0, 131026, tag="camp:42"), sent("C", 1, "delivered"), said("1", 9)],
            [("after it", "inferred", "C", "camp:42")],
            id="it came in spite of a failure",
        ),
        pytest.param(
            [sent("D", 0, tag="camp:43"), CAMPAIGN, said("1", 9)],
            [("after it", "inferred", "D", "camp:43")],
            id="two in one second",
        ),
        pytest.param([CAMPAIGN, answered("1", 9, "elsewhere")], [], id="replies to something else"),
        pytest.param([CAMPAIGN, said("1", 9, group_id="G")], [], id="in a group"),
        pytest.param(
            [CAMPAIGN, said("1", 9, "reaction", {"message_id": "wamid.C", "emoji": "👍"})], [], id="a reaction"
        ),
        pytest.param(
            [CAMPAIGN, tapped("1", 9, None, "call_permission_reply")], [], id="what Meta answers for the lead"
        ),
        pytest.param([CAMPAIGN, said("1", 9, "edit", EDIT)], [], id="a correction"),
    ],
)
def test_what_answers_a_campaign(told, expected):
    named_so = [("wamid.1", how, sure, wamid and f"wamid.{wamid}", tag) for how, sure, wamid, tag in expected]
    assert replies(*told) == named_so


def test_a_reply_says_why():
    (row,) = view("wa_campaign_replies", CAMPAIGN, TO_IT)
    assert row["why"] == "Replies to a message with the tag camp:42."
    (row,) = view("wa_campaign_replies", MARKETING, said("1", 9))
    assert row["why"] == "The first message within 24 hours after a template of the category marketing."
    assert row["category"] == "marketing"
    (row,) = view("wa_campaign_replies", said("1", 9, "button", BUTTON))
    assert row["reply_id"] == "camp:42:yes"
    (row,) = view("wa_campaign_replies", came("1", 9))
    assert row["source_id"] == "ad.1"


def test_what_a_tag_means_can_be_added():
    told = [sent("C", 0, tag="spring-sale"), answered("1", 9, "C")]
    assert replies(*told) == []
    add = "INSERT INTO wa_tag_meanings VALUES ('spring', 'campaign'), ('', 'automatic')"
    assert replies(*told, sql=[add]) == [("wamid.1", "reply", "certain", "wamid.C", "spring-sale")]
    (row,) = view("wa_automatic_replies", sent("C", 0, tag="hello"), answered("1", 9, "C"), sql=[add])
    assert row["tag"] == "hello"  # the longest prefix counts


AUTOMATIC = sent("A", 0, tag="auto:hello")


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        pytest.param([AUTOMATIC, answered("1", 9, "A")], [("1", "reply", "certain", "A")], id="by its tag"),
        pytest.param([AUTOMATIC, tapped("1", 9, "A")], [("1", "reply", "certain", "A")], id="a choice by its tag"),
        pytest.param(
            [sent("A", 0, category="utility", tag="auto:x"), answered("1", 9, "A", "button", BUTTON)],
            [("1", "reply", "certain", "A")],
            id="a quick reply of an automatic template",
        ),
        pytest.param([tapped("1", 9, "A")], [("1", "choice", "likely", "A")], id="a button"),
        pytest.param(
            [sent("A", 0), tapped("1", 9, "A", "list_reply")], [("1", "choice", "likely", "A")], id="a list"
        ),
        pytest.param([tapped("1", 9, None, "nfm_reply")], [("1", "choice", "likely", None)], id="a flow, no context"),
        pytest.param([CAMPAIGN, tapped("1", 9, "C")], [], id="a choice of a campaign"),
        pytest.param([tapped("1", 9, "A", "call_permission_reply")], [], id="what Meta answers for the lead"),
        pytest.param([AUTOMATIC, said("1", DAY - 1)], [("1", "after it", "inferred", "A")], id="after it"),
        pytest.param([AUTOMATIC, said("1", DAY)], [], id="24 hours after it"),
        pytest.param([AUTOMATIC, sent("X", 5), said("1", 9)], [], id="something else in between"),
        pytest.param(
            [said("0", 0), wrote("A", 10), answered("1", 99, "A")], [("1", "reply", "likely", "A")], id="a greeting"
        ),
        pytest.param(
            [said("0", 0), wrote("A", 0), answered("1", 99, "A")], [("1", "reply", "likely", "A")], id="at once"
        ),
        pytest.param([said("0", 0), wrote("A", 11), answered("1", 99, "A")], [], id="11 seconds: a person"),
        pytest.param(
            [said("0", 0), wrote("A", 2), said("1", 99)], [("1", "after it", "inferred", "A")], id="after a greeting"
        ),
        pytest.param(
            [said("0", 0), wrote("A", 2), wrote("B", 3), answered("1", 99, "B")],
            [("1", "reply", "likely", "B")],
            id="a greeting in two parts",
        ),
        pytest.param(
            [wrote("P", -HOUR), said("0", 0), wrote("A", 5), answered("1", 99, "A")],
            [],
            id="a quick answer in a talk",
        ),
        pytest.param(
            [sent("P", -HOUR, category="marketing"), said("0", 0), wrote("A", 5), answered("1", 99, "A")],
            [("1", "reply", "likely", "A")],
            id="an away message after a campaign",
        ),
        pytest.param([said("0", 0), sent("A", 2), answered("1", 99, "A")], [], id="not from the phone app"),
        pytest.param([wrote("A", 0), said("0", 5), answered("1", 99, "A")], [], id="before the lead wrote"),
        pytest.param(
            [
                said("0", 0, "reaction", {"message_id": "wamid.Z", "emoji": "x"}),
                wrote("A", 2),
                answered("1", 99, "A"),
            ],
            [],
            id="nobody greets a reaction",
        ),
    ],
)
def test_what_answers_an_automatic_message(told, expected):
    rows = view("wa_automatic_replies", *told)
    found = columns(rows, "wamid", "how", "certainty", "automatic_wamid")
    assert found == [(f"wamid.{one}", how, sure, to and f"wamid.{to}") for one, how, sure, to in expected]


def test_the_chat_of_one_number_is_no_matter_of_another():
    elsewhere = sent("X", 5).replace(b'"420000000000101"', b'"420000000000102"')
    assert replies(CAMPAIGN, elsewhere, said("1", 9)) == [("wamid.1", "after it", "inferred", "wamid.C", "camp:42")]


TIMES = st.sampled_from([0, 0, 1, 9, HOUR, DAY - 1, DAY, DAY + 1, 2 * DAY])
WHO = st.sampled_from([{}, {"from": "447700900123"}, {"from_user_id": BSUID}, {"from": None, "from_user_id": BSUID}])


@st.composite
def happenings(draw):
    """Something that happens, at a time that is a boundary of something else."""
    at, number = draw(TIMES), draw(st.integers(1, 4))
    ours, theirs = f"O{number}", f"I{number}{at}"
    return draw(
        st.sampled_from(
            [
                said(theirs, at, **draw(WHO)),
                came(theirs, at),
                answered(theirs, at, ours),
                tapped(theirs, at, ours),
                said(theirs, at, "button", BUTTON),
                said(theirs, at, "request_welcome"),
                said(theirs, at, "reaction", {"message_id": f"wamid.{ours}", "emoji": draw(st.sampled_from("ab"))}),
                said(theirs, at, "edit", {**EDIT, "original_message_id": f"wamid.I{number}0"}),
                said(theirs, at, "revoke", {"original_message_id": f"wamid.I{number}0"}),
                said(theirs, at, "unsupported", errors=[{"code": 131060}]),
                copied(theirs, at),
                wrote(f"E{number}", at),
                sent(
                    ours,
                    at,
                    draw(st.sampled_from(["sent", "read"])),
                    category=draw(st.sampled_from(["service", "utility"])),
                ),
                sent(ours, at, "delivered", tag=draw(st.sampled_from(["camp:1", "auto:1", "other"]))),
                failed(ours, at, draw(st.sampled_from([131049, 131050, 131026]))),
                called(theirs, at),
                called(theirs, at, "terminate", errors=[{"code": 138021}]),
                phoned(theirs, at, draw(st.sampled_from(["RINGING", "ACCEPTED", "terminate"]))),
                preferred(draw(st.sampled_from(["stop", "resume"])), at),
                named(theirs, at, draw(st.sampled_from(["Ana", "Bea"])), username="ana"),
            ]
        )
    )


def meaning(bodies):
    with closing(Told(bodies)) as told:
        return {name: told.rows(name) for name in sorted(VIEWS)}


@given(st.lists(happenings(), min_size=2, max_size=12), st.integers(0, 99))
def test_the_views_are_a_function_of_what_happened(history, seed):
    shuffled = random.Random(seed).sample([*history, history[0]], len(history) + 1)
    assert meaning(shuffled) == meaning(history)


@given(st.lists(histories.happenings(), min_size=2, max_size=10), st.integers(0, 99))
def test_so_they_are_where_people_and_numbers_collide(history, seed):
    bodies = [histories.as_body(envelope) for envelope in history]
    assert meaning(random.Random(seed).sample(bodies, len(bodies))) == meaning(bodies)


def test_every_view_is_tried():
    with closing(Told([said("1", 0)])) as told:
        found = told.backend.rows(told.store, "SELECT name FROM sqlite_master WHERE type = 'view'")
    assert {row["name"] for row in found} == VIEWS
