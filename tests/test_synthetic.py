"""Synthetic deliveries: valid, of the type asked for, about whom they should be, never the same twice."""

import json
import random

import pytest
from building import changes_of
from hypothesis import given
from hypothesis import strategies as st

from wa_webhooks import synthetic
from wa_webhooks.changes import IdentityChanged
from wa_webhooks.drift import findings
from wa_webhooks.errors import ConfigError, PayloadError
from wa_webhooks.events import FIELD_TYPES
from wa_webhooks.handlers import builtin
from wa_webhooks.payload.account import Review, TemplateQuality
from wa_webhooks.payload.base import Known
from wa_webhooks.payload.calls import Call
from wa_webhooks.payload.contents import Interactive, System
from wa_webhooks.payload.envelope import FIELD_MODELS, VALUE_FIELDS
from wa_webhooks.payload.messages import Message
from wa_webhooks.payload.statuses import Status
from wa_webhooks.payload.users import AutomaticEvent, ContactSync, Group, Handover, Preference, UserAction
from wa_webhooks.splitting import split
from wa_webhooks.synthetic import NAMES, SCENARIOS, TEMPLATES, Asked, Maker, Person, body_of, read_lead, sequence
from wa_webhooks.synthetic.people import CAST, FICTION

AT = 1795000000
TYPES = {name.partition(":")[0] for name in NAMES}

NOT_NAMED_BY_SPLIT = set()
"""Types that `split` does not name yet."""
NOT_IN_THE_MODELS = {"unknown.new_field"}
"""Unknown on purpose."""
NAMES_NOBODY = (
    "account.",
    "error.",
    "unreadable",
    "user_action.",
    "automatic.",
    "history.chunk",
    "history.errors",
    "group.group_create",
    "group.group_delete",
    "group.group_settings_update",
    "group.group_suspend",
)
TELLS_NOTHING_APART = (
    "error.",
    "empty.",
    "handover.conversation_context",
    "history.chunk",
    "history.errors",
    "history.thread",
)
"""Meta tells these by neither an id nor a time."""

BOTH = "5215550001,MX.13491208655"
LEADS = [
    "5215550001",
    "MX.13491208655",
    BOTH,
    "MX.13491208655,@ana.s",
    "MX.ENT.77",
    "5215550001,MX.1,MX.ENT.7,@ana.s",
]


def maker(seed=1):
    return Maker(random.Random(seed))


def made(name, lead=BOTH, at=AT):
    return maker().make(name, read_lead(lead), at)


def only_event(payload):
    (event,) = split(body_of(payload))
    return event


def inside(value):
    """Every object in a payload."""
    if isinstance(value, dict):
        yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from inside(inner)


# -- the types


@pytest.mark.parametrize("lead", LEADS)
def test_every_name_gives_one_event_of_its_type_that_the_handlers_take(lead):
    for name in sorted(set(NAMES) - NOT_NAMED_BY_SPLIT - {"unreadable"}):
        payload = made(name, lead).payload
        event = only_event(payload)
        assert event.type == name.partition(":")[0]
        assert event.at is None or event.at.timestamp() == AT, name
        assert bool(changes_of(body_of(payload))) == bool(builtin().matching(event.type)), name


def test_the_unreadable_is_given_up():
    assert only_event(made("unreadable").payload).type == "unreadable"
    with pytest.raises(PayloadError):
        changes_of(body_of(made("unreadable").payload))


def test_nothing_in_it_is_unknown_to_the_models():
    for name in sorted(set(NAMES) - NOT_IN_THE_MODELS):
        assert findings(only_event(made(name).payload).payload) == (), name


def documented(model, key):
    return next(known for known in model.model_fields[key].metadata if isinstance(known, Known))


def test_every_documented_type_can_be_made():
    wanted = {f"message.{kind}" for kind in documented(Message, "type")} - {
        *("message.system", "message.interactive"),
        "message.media_placeholder",  # in old chats alone
    }
    wanted |= {f"message.interactive.{kind}" for kind in documented(Interactive, "type")}
    wanted |= {f"message.system.{kind}" for kind in documented(System, "type")}
    calls = {"RINGING", "ACCEPTED", "REJECTED"}
    wanted |= {f"call.{word.lower()}" for word in documented(Call, "event") | calls}
    wanted |= {f"status.{word}" for word in documented(Status, "status") - calls - {"captured", "pending"}}
    wanted |= {f"standby.status.{word}" for word in ("sent", "delivered", "read", "played", "failed")}
    wanted |= {f"payment.{word}" for word in ("captured", "pending", "failed")}
    for prefix, model, key in (
        ("group", Group, "type"),
        ("preference", Preference, "value"),
        ("contact_sync", ContactSync, "action"),
        ("automatic", AutomaticEvent, "event_name"),
        ("user_action", UserAction, "action_type"),
        ("handover", Handover, "type"),
    ):
        wanted |= {f"{prefix}.{word.lower()}" for word in documented(model, key)}
    files = ("text", "image", "video", "audio", "document", "sticker", "location", "contacts")
    wanted |= {f"{kind}.{word}" for kind in ("echo", "history", "standby.message") for word in files}
    wanted |= {"echo.edit", "echo.revoke", "history.media_placeholder", "history.chunk", "history.errors"}
    wanted |= {
        "handover.conversation_context",
        "identity.user_id_update",
        "unknown.new_field",
        "empty.messages",
        "unreadable",
    }
    wanted |= {"error.131000", "standby.echo.text", "standby.echo.template"}
    wanted |= set(FIELD_TYPES.values()) - {"handover"}
    assert wanted - TYPES == set()


def test_every_documented_field_is_used():
    wanted = set(FIELD_MODELS) | VALUE_FIELDS - {"group_participant_update"}  # a spelling mistake of Meta's
    assert wanted - {template.field for template in TEMPLATES.values()} == set()


@pytest.mark.parametrize(
    ("prefix", "model", "key"),
    [("account.review", Review, "decision"), ("account.template_quality", TemplateQuality, "new_quality_score")],
)
def test_variants_say_documented_words(prefix, model, key):
    found = {made(name).item[key] for name in NAMES if name.startswith(prefix)}
    assert len(found) > 1
    assert found <= documented(model, key)


def test_times_have_the_types_that_meta_gives_them():
    for name in NAMES:
        payload = made(name).payload
        (entry,) = payload["entry"]
        assert isinstance(entry.get("time", 0), int)
        timed = name.startswith(("account.", "unreadable")) and name != "account.settings"
        assert ("time" in entry) == timed
        for each in inside(payload):
            kind = int if "category" in each and "value" in each else str
            assert isinstance(each.get("timestamp", kind()), kind), name
            assert isinstance(each.get("duration", 0), int)


def test_an_item_says_what_its_variant_is_for():
    assert made("message.text:referral").item["referral"]["source_type"] == "ad"
    assert made("message.audio:voice").item["audio"]["voice"] is True
    assert "duration" in made("call.terminate").item
    assert "duration" not in made("call.terminate:missed").item
    assert made("status.failed:131026").item["errors"][0]["code"] == 131026
    assert json.loads(made("message.interactive.nfm_reply").item["interactive"]["nfm_reply"]["response_json"])
    assert made("account.template_status").item["reason"] is None


def test_the_same_randomness_gives_the_same_delivery_and_none_the_same_ids_twice():
    for name in NAMES:
        assert made(name).payload == made(name).payload
        if name.startswith(TELLS_NOTHING_APART):
            continue
        steps = sequence(maker(), Asked(what=name, now=AT, count=20, leads=[read_lead(BOTH)])).steps
        assert len({only_event(step.payload).key for step in steps}) == 20


def test_bodies_are_as_meta_writes_them():
    body = body_of({"text": "é 👍 a/b \\/"})
    assert body == rb'{"text":"\u00e9 \ud83d\udc4d a\/b \\\/"}'
    assert json.loads(body) == {"text": "é 👍 a/b \\/"}


# -- whom it is about


def named_in(delivery):
    """The people whom the handlers see in a delivery."""
    changes = changes_of(body_of(delivery.payload))
    found = [change.person for change in changes if getattr(change, "person", None)]
    return found + [change.previous for change in changes if isinstance(change, IdentityChanged)]


def can_name(name, who):
    """Whether Meta has a place for one of the person's ids in such an event."""
    if name.startswith("handover.control"):
        return bool(who.phone)
    if name.startswith("message.system.customer"):  # older than parent ids
        return bool(who.phone or who.user_id)
    return not name.startswith(NAMES_NOBODY)


@pytest.mark.parametrize("lead", LEADS)
def test_the_lead_is_who_the_event_is_about(lead):
    who = read_lead(lead)
    ids = {who.phone, who.user_id, who.parent_user_id} - {None}
    for name in NAMES:
        delivery = made(name, lead)
        assert delivery.names_lead == can_name(name, who), name
        if not delivery.names_lead:
            continue
        found = named_in(delivery)
        assert ids & {known for person in found for known in (person.wa_id, person.bsuid, person.parent_bsuid)}, name
        assert not {person.wa_id for person in found} & {person.phone for person in CAST if person.phone}, name


@pytest.mark.parametrize("name", ["message.text", "status.delivered", "call.connect", "call.connect:business"])
def test_a_username_user_has_no_phone(name):
    delivery = made(name, "MX.13491208655,@ana.s")
    assert '"wa_id"' not in json.dumps(delivery.payload)
    assert (
        {"from", "to", "recipient_id"} & delivery.item.keys() <= {"to"} if name != "call.connect:business" else True
    )
    (contact,) = delivery.value["contacts"]
    assert contact["profile"]["username"] == "ana.s"


def test_only_delivered_and_read_statuses_tell_a_username():
    shown = {status: "ana.s" in json.dumps(made(f"status.{status}", LEADS[3]).payload) for status in ("sent", "read")}
    assert shown == {"sent": False, "read": True}


@pytest.mark.parametrize(
    ("text", "person"),
    [
        ("+52 155-5000 (1)", {"phone": "5215550001"}),
        ("MX.13491208655", {"user_id": "MX.13491208655"}),
        ("5215550001, MX.1", {"phone": "5215550001", "user_id": "MX.1"}),
        ("MX.ENT.1,MX.1,@ana_s", {"parent_user_id": "MX.ENT.1", "user_id": "MX.1", "username": "ana_s"}),
    ],
)
def test_a_lead_is_named_by_any_of_its_ids(text, person):
    assert read_lead(text, "Ana") == Person(**person, name="Ana")


def test_a_lead_has_a_name_of_its_own():
    assert read_lead("5511900000012").name == "Ana Beatriz Sampaio"
    assert read_lead("5215550001").name == read_lead("5215550001").name
    alone = read_lead("@ana.s")
    assert alone.username == "ana.s"
    assert alone.user_id == read_lead("@ana.s").user_id != read_lead("@bea.s").user_id


@pytest.mark.parametrize("text", ["", "ana", "12345", "mx.1", "MX.", "5215550001,5215550002", "MX.1,", "@", "@a b"])
def test_what_names_nobody_is_said(text):
    with pytest.raises(ConfigError):
        read_lead(text)


def test_invented_people_are_many_and_theirs_are_numbers_that_nobody_has():
    people = [synthetic.invented(number) for number in range(1000)]
    assert people[: len(CAST)] == list(CAST)
    assert len({person.user_id for person in people}) == 1000
    assert all(person.phone.startswith(FICTION) and len(person.phone) == 11 for person in people[len(CAST) :])
    assert len({person.name for person in people}) > 150


# -- edits

SEGMENTS = st.text(st.characters(exclude_characters=".=/", exclude_categories=()), min_size=1, max_size=6).filter(
    lambda text: text not in ("value", "entry", "0")
)
PATHS = st.lists(SEGMENTS, min_size=1, max_size=4)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(SEGMENTS, inner, max_size=2),
    max_leaves=4,
)


def edited(name, *texts):
    delivery = made(name)
    for text in texts:
        synthetic.apply(delivery, synthetic.read_edit(text))
    return delivery


def at(item, path):
    for key in path:
        item = item[int(key) if isinstance(item, list) else key]
    return item


@given(PATHS, VALUES)
def test_a_new_path_gets_the_json_value(path, value):
    delivery = edited("unknown.new_field", f"new.{'.'.join(path)}={json.dumps(value)}")
    assert at(delivery.item, ["new", *path]) == value


@given(PATHS, st.text(st.characters(exclude_characters="eEIN"), max_size=10))  # neither NaN nor infinite
def test_what_is_no_json_is_a_string_and_every_edit_gives_a_delivery(path, text):
    try:
        expected = json.loads(text)
        expected = text if isinstance(expected, str) else expected
    except ValueError:
        expected = text
    delivery = edited("message.text", f"new.{'.'.join(path)}={text}")
    assert at(delivery.item, ["new", *path]) == expected
    assert only_event(delivery.payload).type == "message.text"


@given(st.sampled_from(NAMES), st.text(max_size=12), st.text(max_size=12))
def test_an_edit_is_done_or_said_to_be_impossible(name, path, text):
    delivery = made(name)
    before = json.dumps(delivery.payload)
    try:
        synthetic.apply(delivery, synthetic.read_edit(f"{path}={text}"))
    except ConfigError:
        assert json.dumps(delivery.payload) == before
    assert split(body_of(delivery.payload))


@pytest.mark.parametrize(
    ("edit", "path", "value"),
    [
        ("text.body=Hola", "text.body", "Hola"),
        ("text.body=12", "text.body", "12"),
        ("text.body=true", "text.body", "true"),
        ("text.body=null", "text.body", None),
        ("text.body={}", "text.body", {}),
        ('text.body="quoted"', "text.body", '"quoted"'),
        ("text.body=a=b", "text.body", "a=b"),
        ("text.body=", "text.body", ""),
        ("timestamp=1795000001", "timestamp", "1795000001"),
        ("errors.0.code=131051", "errors", [{"code": 131051}]),
        ("n=1e999", "n", "1e999"),
        ("n=NaN", "n", "NaN"),
        ("n=" + "9" * 5000, "n", "9" * 5000),
        ("n=" + "[" * 100_000, "n", "[" * 100_000),
        ("value=x", "value", "x"),
    ],
)
def test_values_are_json_or_strings(edit, path, value):
    assert at(edited("message.text", edit).item, path.split(".")) == value


def test_paths_lead_anywhere_in_the_delivery():
    texts = ("value.metadata.phone_number_id=7", "entry.time=5", "/object=page", "/entry.0.changes.0.field=x")
    payload = edited("message.text", *texts, "value.messages.0.type=poll", "value.messages.1.id=w").payload
    (entry,) = payload["entry"]
    (change,) = entry["changes"]
    assert (payload["object"], entry["time"], change["field"]) == ("page", 5, "x")
    assert change["value"]["metadata"]["phone_number_id"] == "7"
    assert [each.get("type") for each in change["value"]["messages"]] == ["poll", None]
    assert edited("preference.stop", "value=resume").item["value"] == "resume"


@pytest.mark.parametrize(
    ("edit", "says"),
    [
        ("text.body.x.y=1", "text.body.x.y cannot be set: text.body is a string"),
        ("value.messages.2.id=1", "messages is an array, and 2 is no index up to 1"),
        ("value.messages.first=1", "messages is an array, and first is no index up to 1"),
        (f"value.messages.{'9' * 5000}=1", "is no index up to 1"),
        ("entry.id.x=1", "id.x cannot be set: id is a string"),
        ("text.body", "sets nothing"),
        ("=x", "is no path"),
        ("a..b=x", "is no path"),
        ("/=x", "is no path"),
    ],
)
def test_an_edit_that_cannot_be_done_is_named(edit, says):
    with pytest.raises(ConfigError, match=says):
        edited("message.text", edit)


def test_an_edit_of_a_value_that_is_not_there_is_named():
    with pytest.raises(ConfigError, match="x cannot be set: the value is null"):
        edited("unreadable", "value.x=1")


# -- sequences


def test_several_events_end_now_and_are_each_about_another_person():
    steps = sequence(maker(), Asked(what="Message.Text", now=AT, count=3)).steps
    events = [only_event(step.payload) for step in steps]
    assert [event.at.timestamp() for event in events] == [AT - 2, AT - 1, AT]
    assert [event.contact["wa_id"] for event in events] == [person.phone for person in CAST[:3]]
    assert {step.after for step in steps} == {0}


def test_a_name_is_everybodys():
    for what in ("message.text", "conversation"):
        steps = sequence(maker(), Asked(what=what, now=AT, count=2, name="Zoe")).steps
        assert {only_event(step.payload).contact["profile"]["name"] for step in steps} == {"Zoe"}


@pytest.mark.parametrize("what", SCENARIOS)
@pytest.mark.parametrize("pace", [0, 0.1, 1])
def test_no_scenario_tells_what_has_not_happened_yet(what, pace):
    found = sequence(maker(), Asked(what=what, now=AT, pace=pace))
    assert [step.after for step in found.steps] == sorted(step.after for step in found.steps)
    for step in found.steps:
        for event in split(body_of(step.payload)):
            assert event.at.timestamp() <= AT + step.after * pace + 1
    started = sequence(maker(), Asked(what=what, now=AT, at=5000))
    assert all(0 < e.at.timestamp() < 6000 for step in started.steps for e in split(body_of(step.payload)))


def test_scenarios_are_about_whom_one_says():
    leads = [read_lead("5215550001"), read_lead("MX.13491208655,@ana.s")]
    for what in SCENARIOS:
        for step in sequence(maker(), Asked(what=what, now=AT, leads=leads)).steps:
            for event in split(body_of(step.payload)):
                assert set(event.contact) & {"wa_id", "user_id"} if event.contact else event.type == "status.failed"
                told = json.dumps(event.payload)
                assert "5215550001" in told or "MX.13491208655" in told


def test_waits_are_those_between_the_steps():
    waits = []
    found = sequence(maker(), Asked(what="missed-call", now=AT))
    assert list(synthetic.paced(found.steps, 0.5, waits.append)) == list(found.steps)
    assert sum(waits) == found.length * 0.5 == 74
    assert list(synthetic.paced(found.steps, 0, waits.append))
    assert len(waits) == 4


def test_a_batch_holds_what_its_events_hold_alone():
    (step,) = sequence(maker(), Asked(what="batch", now=AT, count=1000)).steps
    events = split(body_of(step.payload))
    assert len(events) == len({event.key for event in events}) == 1000
    assert len({event.phone_number_id for event in events}) == 2
    assert len({event.contact["user_id"] for event in events}) == 250
    again = synthetic.together([event.payload for event in events])
    assert {(e.key, e.text) for e in split(body_of(again))} == {(e.key, e.text) for e in events}
    assert max(event.at.timestamp() for event in events) <= AT


def test_a_number_that_is_given_is_the_only_one():
    business = synthetic.Business(number_id="7")
    (step,) = sequence(Maker(random.Random(1), business), Asked(what="batch", now=AT)).steps
    assert {event.phone_number_id for event in split(body_of(step.payload))} == {"7"}


@pytest.mark.parametrize(
    ("asked", "says", "hint"),
    [
        ({"what": "mesage.txt"}, "no event type", "message.text"),
        ({"what": "message"}, "no event type", "message.text, message.image"),
        ({"what": "zzz"}, "no event type", "--list"),
        ({"what": "batch", "count": 1001}, "at most 1000", ""),
        ({"what": "batch", "edits": [synthetic.read_edit("a=b")]}, "--set goes with an event type", ""),
    ],
)
def test_what_cannot_be_made_is_said(asked, says, hint):
    with pytest.raises(ConfigError, match=says) as raised:
        sequence(maker(), Asked(now=AT, **asked))
    assert hint in (raised.value.hint or "")
