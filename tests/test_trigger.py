"""`trigger` as its users run it, and scenarios through the real pipeline: what they make of the CRM tables."""

import io
import json
import random
import sys

import pytest
from backends import SqliteMemory
from building import Clock
from serving import SECRET, receiving, recorded

from wa_hooks_cli import triggering
from wa_hooks_cli.main import main
from wa_webhooks.pipeline import Pipeline
from wa_webhooks.splitting import split
from wa_webhooks.stores import open_store
from wa_webhooks.stores.base import Delivery
from wa_webhooks.synthetic import NAMES, SCENARIOS, Asked, Maker, body_of, read_lead, sequence

AT = 1795000000
PHONE = "5215550001"


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def waits(monkeypatch):
    """The waits that there would have been."""
    made = []
    monkeypatch.setattr(triggering, "sleep", made.append)
    return made


@pytest.fixture
def wa(capfd, waits):
    """Run a command in this process; return (exit code, stdout, stderr)."""

    def run(*arguments):
        code = main([str(argument) for argument in arguments])
        captured = capfd.readouterr()
        return code, captured.out, captured.err

    return run


@pytest.fixture
def receiver(tmp_path, monkeypatch):
    monkeypatch.setenv("WHATSAPP_APP_SECRET", SECRET)
    store = open_store(f"sqlite:{tmp_path}/log.db")
    with receiving(store) as made:
        made.url = f"http://127.0.0.1:{made.port}/webhook"
        made.path = tmp_path / "log.db"
        yield made
    store.close()


# -- what scenarios come to


class Told:
    """A store in memory that has been told a scenario."""

    def __init__(self, what, tmp_path, **asked):
        self.backend = SqliteMemory(tmp_path)
        self.store = self.backend.open()
        pipeline = Pipeline(store=self.store, clock=Clock(), sleep=lambda _: None)
        asked = {"leads": [read_lead(f"{PHONE},MX.1")], **asked}
        self.steps = sequence(Maker(random.Random(1)), Asked(what=what, now=AT, at=AT, **asked)).steps
        self.store.append([Delivery(body=body_of(s.payload), received_at=pipeline.clock()) for s in self.steps])
        self.tally = pipeline.drain()

    def rows(self, sql):
        return [tuple(row.values()) for row in self.backend.rows(self.store, sql)]


@pytest.fixture
def told(tmp_path):
    opened = []

    def tell(what, **asked):
        opened.append(Told(what, tmp_path, **asked))
        return opened[-1]

    yield tell
    for each in opened:
        each.store.close()


@pytest.mark.parametrize("what", SCENARIOS)
def test_every_event_of_a_scenario_is_applied(told, what):
    found = told(what)
    assert found.tally.processed == found.tally.new > 2
    assert found.rows("SELECT count(*) FROM wa_leads")[0][0] in (1, 2)  # of a batch, one for each account
    assert not found.rows("SELECT * FROM wa_drift")


def test_a_conversation_goes_to_and_fro(told):
    rows = told("conversation").rows("SELECT direction, type, status, reply_to, wamid FROM wa_messages ORDER BY at")
    assert [row[:3] for row in rows] == [
        ("inbound", "text", "received"),
        ("outbound", None, "read"),
        ("inbound", "text", "received"),
        ("outbound", None, "read"),
        ("inbound", "reaction", "received"),
    ]
    assert [row[3] for row in rows] == [None, None, rows[1][4], None, rows[3][4]]


def test_a_campaign_takes_five_ways(told):
    found = told("campaign", leads=())
    sent = found.rows(
        "SELECT status, failed_code, tag, pricing_category FROM wa_messages WHERE direction = 'outbound'"
    )
    assert sorted(row[0] for row in sent) == ["delivered", "failed", "read", "read", "read"]
    assert [row[1] for row in sent if row[0] == "failed"] == [131049]
    (tag,) = {row[2] for row in sent}
    assert tag.startswith("campaign:checkup-")
    assert {row[3] for row in sent} == {"marketing"}
    answers = found.rows(
        "SELECT m.type, m.reply_id, c.tag FROM wa_messages m JOIN wa_messages c ON c.wamid = m.reply_to ORDER BY 1"
    )
    assert answers == [("button", f"{tag}:yes", tag), ("text", None, tag)]
    assert found.rows("SELECT topic, what FROM wa_lead_events") == [("preference", "stop")]
    assert found.rows("SELECT count(*) FROM wa_leads") == [(5,)]


def test_a_missed_call_is_called_back(told):
    rows = told("missed-call").rows("SELECT direction, outcome, duration FROM wa_calls ORDER BY at")
    assert rows == [("USER_INITIATED", "missed", None), ("BUSINESS_INITIATED", "answered", 65)]


def test_out_of_order_ends_as_in_order(told):
    found = told("out-of-order")
    events = [event for step in found.steps for event in split(body_of(step.payload))]
    assert [event.type for event in events] == [
        *("status.read", "status.delivered", "status.sent", "message.text", "call.terminate", "call.connect")
    ]
    assert [event.at for event in events[:4]] == sorted((event.at for event in events[:4]), reverse=True)
    rows = found.rows("SELECT direction, status FROM wa_messages ORDER BY at")
    assert rows == [("inbound", "received"), ("outbound", "read")]
    assert found.rows("SELECT outcome FROM wa_calls") == [("missed",)]


def test_duplicates_are_three_events(told):
    found = told("duplicates")
    assert (found.tally.events, found.tally.new, found.tally.duplicates) == (10, 3, 7)
    assert found.rows("SELECT direction, status FROM wa_messages ORDER BY at") == [
        ("inbound", "received"),
        ("outbound", "delivered"),
    ]


def test_a_batch_is_one_delivery(told):
    found = told("batch", count=40, leads=())
    assert (len(found.steps), found.tally.new) == (1, 40)
    assert found.rows("SELECT status, count(*) FROM wa_messages GROUP BY status") == [("read", 10), ("received", 10)]
    assert found.rows("SELECT count(*) FROM wa_leads") == [(10,)]


# -- printing


def test_a_delivery_is_printed_on_a_line(wa):
    code, out, err = wa(
        *(
            "trigger",
            "message.text",
            "--set",
            "text.body=Olá",
            "--lead",
            PHONE,
            "--name",
            "Zoe",
            "--at",
            "2026-11-24",
        ),
        *("--number-id", "7", "--account", "8", "--count", "2"),
    )
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert len(lines) == 2
    assert lines[0].isascii()
    event = split(lines[1].encode())[0]
    assert (event.type, event.item["text"]["body"], event.item["from"]) == ("message.text", "Olá", PHONE)
    assert (event.phone_number_id, event.account_id, f"{event.at:%Y-%m-%d}") == ("7", "8", "2026-11-24")
    assert event.contact == {"profile": {"name": "Zoe"}, "wa_id": PHONE}


def test_pretty_is_for_people(wa):
    code, out, _ = wa("trigger", "message.text", "--set", "text.body=Olá\x1b", "--pretty")
    assert code == 0
    assert '\n  "object": "whatsapp_business_account"' in out
    assert '"body": "Olá\\u001b"' in out


@pytest.mark.parametrize("what", ["message.text", "campaign"])
def test_what_is_printed_can_be_replayed(wa, monkeypatch, what):
    _, out, _ = wa("trigger", what)
    lines = len(out.splitlines())
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(out.encode())))
    code, out, _ = wa("replay", "-", "--json")
    summary = json.loads(out)
    assert (code, summary["deliveries"], summary["new"]) == (0, lines, lines)


def test_printing_waits_if_it_is_told_to(wa, waits):
    assert wa("trigger", "conversation")[0] == 0
    assert waits == []
    assert wa("trigger", "conversation", "--speed", "original")[0] == 0
    assert sum(waits) == 47


def test_the_list_has_everything(wa):
    code, out, _ = wa("trigger", "--list")
    listed = [line.split()[0] for line in out.splitlines() if line.startswith("  ")]
    assert (code, listed) == (0, [*SCENARIOS, *NAMES])
    _, out, _ = wa("trigger", "CALL.", "--list")
    listed = [line.split()[0] for line in out.splitlines() if line.startswith("  ")]
    assert listed == [name for name in NAMES if "call." in name]


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["trigger"], 2, "nothing to trigger is named"),
        (["trigger", "mesage.text"], 2, "message.text"),
        (["trigger", "nothing", "--list"], 4, "'nothing'"),
        (["trigger", "message.text", "--set", "text.body.x=1"], 2, "text.body is a string"),
        (["trigger", "message.text", "--lead", "ana"], 2, "names no lead"),
        (["trigger", "message.text", "--at", "soon"], 2, "no time"),
        (["trigger", "message.text", "--count", "0"], 2, "count"),
        (["trigger", "batch", "--count", "1001"], 2, "at most 1000"),
        (["trigger", "conversation", "--set", "text.body=x"], 2, "is a scenario"),
        *(
            (["trigger", "conversation", "--speed", speed], 2, "is no speed")
            for speed in ("0", "-1", "x", "nan", "1e-9")
        ),
        (["trigger", "message.text", "--to", "http://127.0.0.1:9/x"], 2, "no app secret is set"),
    ],
)
def test_every_error_is_a_sentence_and_a_code(wa, arguments, code, says):
    found, out, err = wa(*arguments)
    assert (found, out) == (code, "")
    assert says in err
    assert "Traceback" not in err


def test_a_lead_that_has_no_place_is_said(wa):
    _, out, err = wa("trigger", "account.update:disabled", "--lead", PHONE)
    assert "note:" in err
    assert PHONE not in out
    assert wa("trigger", "handover.control_passed", "--lead", "MX.1,@ana")[2]
    assert wa("trigger", "message.text", "--lead", "MX.1,@ana")[2] == ""


# -- sending


def test_it_is_signed_and_sent(wa, receiver, waits):
    code, out, err = wa("trigger", "message.text", "--lead", PHONE, "--to", receiver.url)
    assert (code, out) == (0, "")
    assert err == f"1 delivery sent to {receiver.url}: 1 answered 200\n"
    (body,) = recorded(receiver.path)
    assert split(body)[0].item["from"] == PHONE
    assert waits == []


def test_a_scenario_is_sent_with_its_waits_and_told_line_by_line(wa, receiver, waits):
    code, out, err = wa("trigger", "missed-call", "--to", receiver.url)
    assert (code, out) == (0, "")
    assert err.splitlines()[:3] == [
        "missed-call: 6 deliveries in 148 seconds; --speed max does not wait",
        "  0:00  call.connect                  answered 200",
        "  0:43  call.terminate:missed         answered 200",
    ]
    assert waits == [43, 32, 8, 65]
    assert [split(body)[0].type for body in recorded(receiver.path)] == [
        *("call.connect", "call.terminate", "call.ringing", "call.accepted", "call.connect", "call.terminate")
    ]


@pytest.mark.parametrize(("speed", "slept"), [("10", 4.7), ("max", 0), ("0.5", 94)])
def test_a_scenario_runs_as_fast_as_one_wants(wa, receiver, waits, speed, slept):
    assert wa("trigger", "conversation", "--to", receiver.url, "--speed", speed)[0] == 0
    assert sum(waits) == pytest.approx(slept)


def test_many_are_sent_without_a_line_each(wa, receiver):
    code, out, err = wa("trigger", "message.text", "--count", "100", "--to", receiver.url, "--json")
    assert (code, err) == (0, "")
    assert json.loads(out) == {"deliveries": 100, "failed": 0, "statuses": {"200": 100}, "to": receiver.url}
    assert len(recorded(receiver.path)) == 100


def test_what_is_not_answered_200_fails(wa, receiver, monkeypatch):
    monkeypatch.setenv("WHATSAPP_APP_SECRET", "another")
    code, _, err = wa("trigger", "out-of-order", "--speed", "max", "--to", receiver.url)
    assert code == 3
    assert "  0:13  status.read                   answered 401\n" in err
    assert "has another app secret" in err
    assert err.count("answered 401") == 8  # a line each, the reason, the sum
    assert recorded(receiver.path) == []


def test_nobody_there_is_given_up(wa, monkeypatch):
    monkeypatch.setenv("WHATSAPP_APP_SECRET", SECRET)
    monkeypatch.setattr("wa_webhooks.sending.patiently", lambda post: post())
    code, _, err = wa("trigger", "conversation", "--speed", "max", "--to", "http://127.0.0.1:9/x")
    assert code == 3
    assert err.count("cannot be reached") == 3
    assert "gave up" in err


def test_ctrl_c_stops_between_two_deliveries(wa, receiver, monkeypatch):
    def interrupted(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(triggering, "sleep", interrupted)
    code, out, err = wa("trigger", "missed-call", "--to", receiver.url)
    assert (code, out) == (130, "")
    assert err.endswith("interrupted: 1 of 6 were sent\n")
    assert len(recorded(receiver.path)) == 1


def test_settings_come_from_the_environment(wa, receiver, waits, monkeypatch):
    for name, value in (("TO", receiver.url), ("COUNT", 2), ("ACCOUNT", "8"), ("NUMBER_ID", "7"), ("SPEED", "max")):
        monkeypatch.setenv(f"WA_HOOKS_{name}", str(value))
    assert wa("trigger", "missed-call")[0] == 0
    events = [split(body)[0] for body in recorded(receiver.path)]
    assert len(events) == 12
    assert {(event.account_id, event.phone_number_id) for event in events} == {("8", "7")}
    assert waits == []
