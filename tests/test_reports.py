"""The reports: timeline, funnel, costs, calls, failures, names, opt-outs, corrections and reactions."""

import re
from contextlib import closing
from decimal import Decimal
from pathlib import Path

import pytest
from backends import SqliteMemory
from building import PHONE, START, body_of, envelope, status, value_of
from chats import (
    DAY,
    HOUR,
    VIEWS,
    Told,
    answered,
    called,
    came,
    columns,
    failed,
    moment,
    named,
    phoned,
    preferred,
    said,
    sent,
    tapped,
    unix,
    view,
    wrote,
)
from databases import Postgres

from wa_webhooks.stores.base import to_text


def timeline(*bodies):
    return columns(view("wa_lead_timeline", *bodies), "at", "kind", "direction", "what", "detail", "ref")


def test_the_timeline_has_all_that_happened_with_a_lead():
    recording = {"call_recording": {"type": "audio", "audio": {"id": "media.1"}}}
    steps = timeline(
        said("1", 0),
        sent("2", 1),
        called("3", 2),
        called("3", 40, "terminate"),
        called("3", 60, "call_recording_available", **recording),
        preferred("stop", 70),
    )
    assert steps == [
        (moment(0), "message", "inbound", "text", "hello", "wamid.1"),
        (moment(1), "status", "outbound", "sent", None, "wamid.2"),
        (moment(2), "call", "inbound", "connect", None, "wacid.3"),
        (moment(40), "call", "inbound", "terminate", "missed", "wacid.3"),
        (moment(60), "call", "inbound", "recording", "media.1", "wacid.3"),
        (moment(70), "preference", "inbound", "stop", "marketing_messages", ""),
    ]


def test_a_status_that_names_nobody_is_its_messages():
    nobody = failed("1", 9, 131026, recipient_id=None)
    assert [step[3:] for step in timeline(sent("1", 0), nobody)] == [
        ("sent", None, "wamid.1"),
        ("failed", "error 131026", "wamid.1"),
    ]


def conversion(**keys):
    told = {"id": "wamid.1", "event_name": "LeadSubmitted", **keys}
    return body_of(envelope(value_of(automatic_events=[told]), field="automatic_events"))


def test_a_conversion_is_of_who_wrote_the_message_that_it_names():
    steps = timeline(said("1", 0), conversion(timestamp=unix(5)))
    assert steps[1] == (moment(5), "conversion", None, "LeadSubmitted", None, "wamid.1")


def test_what_meta_gives_no_time_is_put_where_it_arrived():
    steps = timeline(said("1", 0), conversion())
    assert steps[1][:4] == (to_text(START), "conversion", None, "LeadSubmitted")


def funnel(*bodies):
    stages = ("messages", "sent", "delivered", "read", "played", "failed", "replies", "inferred_replies", "opt_outs")
    rows = view("wa_campaign_funnel", *bodies)
    return {(row["tag"], row["category"]): tuple(row[stage] for stage in stages) for row in rows}


def reached(ident, kind, **keys):
    return sent(ident, 0, kind, tag="camp:1", **keys)


def test_the_funnel_implies_the_earlier_stages():
    told = [reached("1", "sent"), reached("2", "delivered"), reached("3", "read"), reached("4", "played")]
    assert funnel(*told) == {("camp:1", None): (4, 4, 3, 2, 1, 0, 0, 0, 0)}


def test_a_message_counts_once_and_a_failure_only_where_it_did_not_come():
    told = [
        *(reached("1", "sent"), reached("1", "delivered"), reached("1", "read")),
        *(failed("2", 1, 131026, tag="camp:1"), reached("2", "delivered")),
        *(reached("3", "sent"), failed("3", 1, 131026)),
        failed("4", 1, 131026, tag="camp:1"),
    ]
    assert funnel(*told) == {("camp:1", None): (4, 3, 2, 1, 0, 2, 0, 0, 0)}


def test_the_funnel_goes_by_tag_and_category():
    told = [
        sent("1", 0, tag="camp:1", category="marketing"),
        failed("2", 0, 131049, tag="camp:1"),  # has no price: goes with the others of its tag
        sent("3", 0, tag="camp:2", category="marketing"),
        sent("4", 0, tag="camp:2", category="utility"),
        failed("5", 0, 131049, tag="camp:2"),  # which of the two it was, nobody knows
        sent("6", 0, category="authentication-international"),
        sent("7", 0, category="service"),
        sent("8", 0, tag="mine"),
    ]
    counts = {group: stages[0] for group, stages in funnel(*told).items()}
    assert counts == {
        ("camp:1", "marketing"): 2,
        ("camp:2", "marketing"): 1,
        ("camp:2", "utility"): 1,
        ("camp:2", None): 1,
        (None, "authentication_international"): 1,
        ("mine", None): 1,
    }


def test_replies_in_the_funnel_count_messages_that_were_answered():
    told = [
        *(reached("1", "sent"), answered("a", 5, "1"), answered("b", 6, "1")),
        *(sent("2", HOUR, tag="camp:1"), said("c", HOUR + 9)),
        *(sent("3", 2 * HOUR, tag="auto:1"), tapped("d", 2 * HOUR + 9, "3")),
    ]
    assert funnel(*told) == {
        ("camp:1", None): (2, 2, 0, 0, 0, 0, 1, 1, 0),
        ("auto:1", None): (1, 1, 0, 0, 0, 0, 1, 0, 0),
    }


@pytest.mark.parametrize(
    ("told", "opt_outs"),
    [
        pytest.param([preferred("stop", HOUR)], {"camp:1": 1, "camp:2": 0}, id="after the first"),
        pytest.param([preferred("stop", DAY)], {"camp:1": 0, "camp:2": 1}, id="to the last before it"),
        pytest.param([preferred("stop", 8 * DAY)], {"camp:1": 0, "camp:2": 0}, id="seven days after the last"),
        pytest.param([preferred("resume", HOUR)], {"camp:1": 0, "camp:2": 0}, id="no stop"),
        pytest.param(
            [preferred("stop", 1), preferred("resume", 2), preferred("stop", 3)],
            {"camp:1": 1, "camp:2": 0},
            id="twice",
        ),
    ],
)
def test_an_opt_out_goes_to_the_last_campaign_before_it(told, opt_outs):
    rows = view("wa_campaign_funnel", sent("1", 0, tag="camp:1"), sent("2", DAY, tag="camp:2"), *told)
    assert {row["tag"]: row["opt_outs"] for row in rows} == opt_outs


OCTOBER = -1795000000 + 1790812800  # 2026-10-01T00:00:00Z


def cost(*bodies):
    rows = view("wa_message_costs", *bodies)
    return [(row["cost_class"], row["why"].split(";")[0].split(":")[0].rstrip(".")) for row in rows]


def priced(kind="delivered", at=0, **pricing):
    return sent("1", at, kind, pricing={"pricing_model": "PMP", **pricing})


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ([priced(type="regular", category="marketing")], ("charged", "Charged at the rate of its category")),
        (
            [priced("sent", type="regular", category="marketing")],
            ("unknown", "Charged once it is delivered, which no status says yet"),
        ),
        (
            [priced("sent", type="regular", category="marketing"), sent("1", 1, "read")],
            ("charged", "Charged at the rate of its category"),
        ),
        (
            [priced(at=OCTOBER, type="regular", category="service")],
            ("charged", "A service message beyond the number's free tier"),
        ),
        (
            [priced(at=OCTOBER - 1, type="regular", category="utility")],
            ("charged", "Charged at the rate of its category"),
        ),
        (
            [priced(at=OCTOBER - 1, type="free_customer_service", category="service")],
            ("free", "Within 24 hours after the lead's last message or call"),
        ),
        (
            [priced(at=OCTOBER, type="free_customer_service", category="service")],
            ("free", "A service message within the number's free tier, as since October 2026"),
        ),
        (
            [priced(type="free_entry_point", category="marketing")],
            ("free", "Within the 72 hours after the lead came from an ad or a post"),
        ),
        ([priced(type="free_lunch")], ("free", "Meta says that it is free")),
        ([priced(type="barter")], ("unknown", "Of a price type that is not known here")),
        (
            [priced("sent", type="regular", category="marketing"), failed("1", 5, 131026)],
            ("not charged", "It failed"),
        ),
        ([failed("1", 5, 131026), priced(type="regular")], ("charged", "Charged at the rate of its category")),
        ([sent("1", 0)], ("unknown", "No status has told a price")),
        ([priced(billable=False, category="service")], ("free", "Meta says that it is not billable")),
        (
            [priced(pricing_model="CBP", billable=True, category="marketing")],
            ("charged", "Charged with its conversation, as until July 2025"),
        ),
        ([wrote("1", 0)], ("free", "Sent from the phone app, which is free")),
    ],
)
def test_what_a_message_costs(told, expected):
    assert cost(*told) == [expected]


def test_since_october_a_regular_utility_message_may_be_in_a_window():
    (row,) = view("wa_message_costs", priced(at=OCTOBER, type="regular", category="utility"))
    assert row["why"].endswith("since October 2026 also within 24 hours after the lead's last message.")


ENDED = {"start_time": unix(10), "end_time": unix(30), "duration": 20}
LATE = {"errors": [{"code": 138021, "title": "no media"}]}


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ([called("1", 0)], ("inbound", "ringing", None, None, None)),
        ([called("1", 0), called("1", 45, "terminate")], ("inbound", "missed", 45, None, None)),
        ([called("1", 0), called("1", 30, "terminate", **ENDED)], ("inbound", "answered", 10, 20, None)),
        (
            [called("1", 0), called("1", 30, "terminate", **ENDED, **LATE)],
            ("inbound", "answered", 10, 20, "retryable"),
        ),
        (
            [called("1", 0), called("1", 30, "terminate", start_time=unix(10), end_time=unix(30))],
            ("inbound", "answered", 10, 20, None),
        ),
        ([called("1", 0), called("1", 9, "terminate", **LATE)], ("inbound", "failed", 9, None, "retryable")),
        (
            [phoned("1", 0, "RINGING"), phoned("1", 30, "terminate")],
            ("outbound", "unanswered", 30, None, None),
        ),
        ([phoned("1", 0, "RINGING"), phoned("1", 7, "REJECTED")], ("outbound", "rejected", 7, None, None)),
        (
            [phoned("1", 0, "RINGING"), phoned("1", 8, "ACCEPTED"), phoned("1", 8, "connect")],
            ("outbound", "answered", 8, None, None),
        ),
        ([phoned("1", 0, "connect")], ("outbound", "ringing", None, None, None)),
        ([called("1", 30, "terminate")], ("inbound", "missed", None, None, None)),
        ([called("1", 30), called("1", 29, "terminate")], ("inbound", "missed", None, None, None)),
    ],
)
def test_how_a_call_went(told, expected):
    rows = view("wa_call_log", *told)
    assert columns(rows, "direction", "outcome", "ring_seconds", "duration", "failure_class") == [expected]


def account_error(code):
    return body_of(envelope(value_of(errors=[{"code": code, "title": f"error {code}"}])))


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ([failed("1", 5, 131026)], [("message", "wamid.1", moment(5), 131026, "permanent", 0)]),
        ([failed("1", 5, 131049)], [("message", "wamid.1", moment(5), 131049, "deferred", 0)]),
        ([failed("1", 5, 131026), sent("1", 6, "read")], [("message", "wamid.1", moment(5), 131026, "permanent", 1)]),
        ([sent("1", 5)], []),
        (
            [said("1", 0, "unsupported", errors=[{"code": 131060, "title": "x"}])],
            [("inbound message", "wamid.1", moment(0), 131060, "permanent", 0)],
        ),
        (
            [called("1", 0), called("1", 9, "terminate", **LATE)],
            [("call", "wacid.1", moment(9), 138021, "retryable", 0)],
        ),
        ([called("1", 0), called("1", 9, "terminate")], []),
        ([account_error(131042)], [("account", None, to_text(START), 131042, "account-wide", 0)]),
        (
            [called("1", 9, "terminate", **LATE), account_error(138021)],
            [("call", "wacid.1", moment(9), 138021, "retryable", 0)],
        ),
    ],
)
def test_what_failed(told, expected):
    assert columns(view("wa_failures", *told), "what", "ref", "at", "code", "failure_class", "overridden") == expected


def test_a_failure_belongs_to_the_lead_of_its_message():
    (row,) = view("wa_failures", sent("1", 0), failed("1", 9, 131026, recipient_id=None))
    assert row["lead_id"] == PHONE


def test_every_name_has_its_times():
    told = [named("1", 0, "Ana"), named("2", 9, "Ana", username="ana.s"), named("3", 5, "Bea"), named("4", 5, "Ana")]
    rows = view("wa_lead_names", *told)
    assert sorted(columns(rows, "kind", "value", "first_at", "last_at", "times", "is_current")) == [
        ("name", "Ana", moment(0), moment(9), 3, 1),
        ("name", "Bea", moment(5), moment(5), 1, 0),
        ("username", "ana.s", moment(9), moment(9), 1, 1),
    ]


def test_the_current_name_is_the_leads():
    """As `wa_leads` has it, also in a tie."""
    told = [named("1", 5, "Ana"), named("2", 5, "Bea"), named("3", 1, "Cid")]
    (current,) = [row["value"] for row in view("wa_lead_names", *told) if row["is_current"]]
    assert current == view("wa_leads", *told)[0]["name"] == "Bea"


@pytest.mark.parametrize(
    ("told", "state", "may_send"),
    [
        pytest.param([said("1", 0)], None, 1, id="nothing said"),
        pytest.param([preferred("stop", 5)], ("stop", moment(5), "certain"), 0, id="stop"),
        pytest.param(
            [preferred("stop", 5), preferred("resume", 9)], ("resume", moment(9), "certain"), 1, id="resume"
        ),
        pytest.param(
            [preferred("resume", 5), preferred("stop", 9)], ("stop", moment(9), "certain"), 0, id="stop again"
        ),
        pytest.param([preferred("resume", 5), preferred("stop", 5)], ("stop", moment(5), "certain"), 0, id="a tie"),
        pytest.param([preferred("signup", 5)], ("signup", moment(5), "certain"), 1, id="signup"),
        pytest.param([failed("1", 5, 131050)], ("stop", moment(5), "inferred"), 0, id="refused"),
        pytest.param(
            [preferred("resume", 5), failed("1", 9, 131050)], ("stop", moment(9), "inferred"), 0, id="refused later"
        ),
        pytest.param(
            [failed("1", 5, 131050), preferred("resume", 9)], ("resume", moment(9), "certain"), 1, id="resumed later"
        ),
        pytest.param(
            [preferred("stop", 5), failed("1", 9, 131050)], ("stop", moment(5), "certain"), 0, id="said, then refused"
        ),
        pytest.param([failed("1", 5, 131050), sent("1", 9, "read")], None, 1, id="refused, and read all the same"),
        pytest.param([failed("1", 5, 131026)], None, 1, id="another failure"),
        pytest.param([preferred("stop", 5, category="reminders")], None, 1, id="another category"),
    ],
)
def test_whether_marketing_may_be_sent(told, state, may_send):
    newest = [row for row in view("wa_lead_optouts", *told) if row["category"] == "marketing_messages"]
    assert columns(newest, "state", "at", "certainty") == ([state] if state else [])
    (lead,) = view("wa_lead_marketing", *told)
    assert (lead["may_send"], lead["state"]) == (may_send, state and state[0])


def test_metas_limit_says_from_when_on_to_try_again():
    (lead,) = view("wa_lead_marketing", failed("1", 0, 131049), failed("2", HOUR, 131049))
    assert (lead["may_send"], lead["not_before"]) == (1, moment(DAY + HOUR))


def edited(ident, at, text, of="1"):
    return said(
        ident, at, "edit", {"original_message_id": f"wamid.{of}", "message": {"type": "text", "text": {"body": text}}}
    )


def test_the_newest_correction_counts():
    told = [
        said("1", 0),
        edited("2", 5, "two"),
        edited("3", 9, "three"),
        edited("4", 7, "four"),
        edited("0", 9, "zero"),
    ]
    (row,) = view("wa_message_edits", *told)
    assert (row["wamid"], row["text"], row["edited_at"], row["edits"]) == ("wamid.1", "three", moment(9), 4)
    assert (row["revoked_at"], row["lead_id"], row["direction"]) == (None, PHONE, "inbound")


def test_what_was_taken_back_keeps_its_time():
    told = [edited("2", 5, "two"), said("3", 9, "revoke", {"original_message_id": "wamid.1"})]
    (row,) = view("wa_message_edits", *told)
    assert (row["wamid"], row["text"], row["edits"], row["revoked_at"]) == ("wamid.1", "two", 1, moment(9))
    (row,) = view("wa_message_edits", wrote("2", 5, "revoke", {"original_message_id": "wamid.1"}))
    assert (row["direction"], row["edits"], row["revoked_at"]) == ("outbound", 0, moment(5))


def reacted(ident, at, emoji=None, **keys):
    body = {"message_id": "wamid.S1", **({"emoji": emoji} if emoji is not None else {})}
    return said(ident, at, "reaction", body, **keys)


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ([reacted("1", 0, "👍")], [("wamid.S1", "👍", "wamid.1")]),
        ([reacted("1", 0, "👍"), reacted("2", 5, "❤️")], [("wamid.S1", "❤️", "wamid.2")]),
        ([reacted("1", 0, "👍"), reacted("2", 5)], []),
        ([reacted("1", 0, "👍"), reacted("2", 5, "")], []),
        ([reacted("1", 0, "👍"), reacted("2", 5), reacted("3", 9, "x")], [("wamid.S1", "x", "wamid.3")]),
        ([reacted("1", 0, "a"), reacted("2", 0, "b")], [("wamid.S1", "b", "wamid.2")]),
    ],
)
def test_the_reaction_that_stands(told, expected):
    assert columns(view("wa_message_reactions", *told), "wamid", "emoji", "reaction_wamid") == expected


def test_everybody_has_a_reaction_of_their_own():
    other = reacted("2", 5, "b", **{"from": "447700900123"})
    ours = wrote("3", 9, "reaction", {"message_id": "wamid.S1", "emoji": "c"})
    rows = view("wa_message_reactions", reacted("1", 0, "a"), other, ours)
    assert columns(rows, "lead_id", "direction", "emoji") == [
        (PHONE, "inbound", "a"),
        ("447700900123", "inbound", "b"),
        (PHONE, "outbound", "c"),
    ]


def test_a_group_message_has_many_statuses_and_one_row():
    people = [
        status("read", id="wamid.1", recipient_type="group", recipient_participant_id=who, timestamp=unix(5))
        for who in (PHONE, "447700900123")
    ]
    told = body_of(envelope(value_of(statuses=people)))
    assert len(view("wa_outbound_messages", told)) == 1
    assert len(view("wa_lead_timeline", told)) == 2


def test_an_ad_is_a_start_and_a_reply():
    assert len(view("wa_conversation_starts", came("1", 0))) == len(view("wa_campaign_replies", came("1", 0))) == 1


MEANING = (Path(__file__).parents[1] / "docs" / "meaning.md").read_text()


def test_the_document_tells_every_view_and_column():
    sections = dict(re.findall(r"^### `(\w+)`\n(.*?)(?=^##)", MEANING, re.MULTILINE | re.DOTALL))
    assert set(sections) == VIEWS
    with closing(Told([])) as told:
        for name, text in sections.items():
            columns_of = [row["name"] for row in told.backend.rows(told.store, f"PRAGMA table_info({name})")]
            missing = set(columns_of) - set(re.findall(r"`(\w+)`", text))
            assert not missing, (name, missing)


STORY = [
    came("1", 0),
    sent("2", 9, "delivered", tag="campaign:checkup:ana"),
    answered("3", 99, "2"),
    said("6", 0, **{"from": "447700900123"}),
    sent("7", 150, "read", tag="campaign:checkup:bea", recipient_id="447700900123"),
    sent("8", 160, "delivered", tag="campaign:checkup:bea", recipient_id="447700900123"),
    sent("9", 170, "sent", tag="campaign:spring", category="marketing"),
    failed("10", 180, 131049, tag="campaign::x", category="marketing"),
    sent("11", 190, tag="Campaign:other"),
    called("4", DAY),
    called("4", DAY + 9, "terminate"),
    failed("5", 2 * DAY, 131026),
    failed("12", 100 * 365 * DAY, 131049, recipient_id="447700900123"),
]


def asked(query, backend):
    """What a query of the document finds, in no order. On Postgres, a comment replaces the line above it."""
    if isinstance(backend, Postgres):
        query = re.sub(r"^.*\n *-- Postgres: ", "", query, flags=re.MULTILINE)
    with closing(Told(STORY, backend=backend)) as told:
        if query.startswith("INSERT"):
            backend.run(told.store, query)
            query = "SELECT * FROM wa_tag_meanings"
        rows = backend.rows(told.store, query)
        backend.run(told.store, "DELETE FROM wa_tag_meanings WHERE prefix IN ('newsletter-', 'bot/')")
    plain = [{name: float(v) if isinstance(v, Decimal) else v for name, v in row.items()} for row in rows]
    return sorted(plain, key=lambda row: str([float(v) if isinstance(v, int) else v for v in row.values()]))


QUERIES = re.findall(r"```sql\n(.*?)```", MEANING, re.DOTALL)


@pytest.mark.parametrize("query", QUERIES)
def test_what_the_document_says_to_ask_finds_the_same_everywhere(query, backend, monkeypatch):
    monkeypatch.setenv("PGTZ", "UTC")
    rows = asked(query, backend)
    assert rows
    assert rows == asked(query, SqliteMemory(None))


def test_what_those_that_are_hard_to_read_find():
    (parts,) = (query for query in QUERIES if "AS campaign" in query)
    assert columns(asked(parts, SqliteMemory(None)), "campaign", "messages", "delivered") == [
        ("campaign:", 1, 0),
        ("campaign:checkup", 3, 3),
        ("campaign:spring", 1, 0),
    ]
    (waited,) = (query for query in QUERIES if "minutes_to_answer" in query)
    assert columns(asked(waited, SqliteMemory(None)), "cause", "minutes_to_answer") == [
        ("ad", 0),
        ("first contact", 3),  # 150 seconds
    ]
    (whom,) = (query for query in QUERIES if "may_send" in query)
    assert columns(asked(whom, SqliteMemory(None)), "recipient") == [(PHONE,)]
