"""Small builders of Meta's JSON, the fixtures, and JSON that nobody expects."""

import copy
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

from hypothesis import strategies as st

from wa_webhooks.handlers import builtin
from wa_webhooks.pipeline import handle
from wa_webhooks.splitting import split

FIXTURES = Path(__file__).parents[1] / "fixtures"
CASES = sorted(path for path in FIXTURES.rglob("*.json") if not path.name.endswith(".expected.json"))

ACCOUNT = "310000000000101"
NUMBER_ID = "420000000000101"
NUMBER = "15550100101"
PHONE = "5511900000012"
BSUID = "BR.2VbTq8Z1"
TIME = 1795000000
"""2026-11-18T11:06:40Z"""

ABSENT = object()
"""As a value given to a builder: leave the key out."""


def case_name(path):
    return path.relative_to(FIXTURES).as_posix().removesuffix(".json")


def body_of(payload):
    """The bytes of a payload, escaped and compact as Meta writes them."""
    return json.dumps(payload, separators=(",", ":")).encode()


def _made(**keys):
    return {key: value for key, value in keys.items() if value is not ABSENT}


def value_of(number=NUMBER_ID, **keys):
    """A change's value with its metadata: `value_of(contacts=[...], messages=[...])`."""
    metadata = {"display_phone_number": NUMBER, "phone_number_id": number}
    return _made(**{"messaging_product": "whatsapp", "metadata": metadata, **keys})


def entry_of(*values, field="messages", account=ACCOUNT, **keys):
    return _made(id=account, changes=[_made(field=field, value=value) for value in values], **keys)


def envelope(*values, field="messages", account=ACCOUNT, **keys):
    """A payload with one entry, and a change in it for each value."""
    return {"object": "whatsapp_business_account", "entry": [entry_of(*values, field=field, account=account, **keys)]}


def message(kind="text", body=ABSENT, **keys):
    """A message of PHONE's: `message("image", {"id": "1"}, group_id="G")`."""
    if kind == "text" and body is ABSENT:
        body = {"body": "hello"}
    fixed = {"from": PHONE, "id": "wamid.M1", "timestamp": str(TIME), "type": kind}
    return _made(**{**fixed, **({kind: body} if isinstance(kind, str) else {}), **keys})


def status(kind="delivered", **keys):
    fixed = {"id": "wamid.S1", "status": kind, "timestamp": str(TIME), "recipient_id": PHONE}
    return _made(**{**fixed, **keys})


def call(step="connect", **keys):
    """A step of a call that PHONE makes."""
    fixed = {"id": "wacid.C1", "event": step, "timestamp": str(TIME), "from": PHONE, "to": NUMBER}
    return _made(**{**fixed, "direction": "USER_INITIATED", **keys})


def contact(name="Ana", **keys):
    return _made(**{"profile": {"name": name}, "wa_id": PHONE, **keys})


def delivery(field="messages", **arrays):
    """The bytes of a delivery with one change: `delivery(messages=[message()])`."""
    return body_of(envelope(value_of(**arrays), field=field))


def changes_of(body):
    """What the built-in handlers make of the first event of a delivery."""
    return handle(split(body)[0], builtin())


_TEXTS = st.text(st.characters(exclude_categories=()), max_size=12)
_NAMES = """
    object entry id time changes field value metadata phone_number_id display_phone_number contacts wa_id user_id
    profile name messages statuses calls errors groups history message_echoes automatic_events user_preferences
    from to type timestamp text body interactive context referral status recipient_id event direction
    conversation pricing payment transaction code error_data details waba_info waba_id unreadable title payload
    message_id
"""
_META_KEYS = sorted(_NAMES.split())
_META_WORDS = [
    "messages",
    "calls",
    "history",
    "flows",
    "payment",
    "call",
    "text",
    "system",
    "group",
    PHONE,
    NUMBER,
    "",
]
_SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([TIME, -1, 10**40])
    | st.floats(allow_nan=False, allow_infinity=False)
    | _TEXTS
    | st.sampled_from([*_META_WORDS, str(TIME), "\x00", "\ud800", "é", "a:b"])
)
JSON = st.recursive(
    _SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(_META_KEYS) | _TEXTS, inner, max_size=4)
    ),
    max_leaves=8,
)
"""Any JSON, rather often with Meta's words in it."""

EVERYTHING = envelope(
    value_of(
        contacts=[contact(user_id=BSUID), contact("Owen", wa_id="447700900123")],
        messages=[
            message(context={"id": "wamid.0", "from": NUMBER}, referral={"source_id": "1"}),
            message("interactive", {"type": "list_reply", "list_reply": {"id": "r1", "title": "Row"}}),
            message("edit", {"original_message_id": "wamid.0", "message": {"type": "text", "text": {"body": "x"}}}),
            message("unsupported", errors=[{"code": 131051, "title": "t", "error_data": {"details": "d"}}]),
        ],
        statuses=[
            status(conversation={"id": "c1"}, pricing={"billable": True, "category": "utility"}),
            status("captured", type="payment", payment={"transaction": {"id": "t1"}}),
            status("RINGING", type="call"),
            status("read", recipient_type="group", recipient_participant_id=PHONE),
        ],
        calls=[call(), call("terminate", status=["Completed"], duration=20, start_time=str(TIME))],
        errors=[{"code": 131000}],
        user_preferences=[{"wa_id": PHONE, "value": "stop", "timestamp": TIME}],
        history=[{"metadata": {"phase": 0}, "threads": []}],
    ),
    time=TIME,
)
_PARSED = [json.loads(path.read_bytes()) for path in CASES if path.parent.name != "broken"]


def _places(value, found):
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in pairs:
        found.append((value, key))
        _places(inner, found)
    return found


@st.composite
def grafted(draw):
    """A payload of Meta's shape with arbitrary JSON grafted, or a key missing, anywhere in it."""
    payload = copy.deepcopy(draw(st.just(EVERYTHING) | st.sampled_from(_PARSED)))
    for _ in range(draw(st.integers(1, 3))):
        places = _places(payload, [])
        if not places:
            break
        holder, key = draw(st.sampled_from(places))
        if isinstance(holder, dict) and draw(st.integers(0, 4)) == 0:
            del holder[key]
        elif isinstance(holder, dict) and draw(st.integers(0, 4)) == 0:
            holder[draw(st.sampled_from(_META_KEYS) | _TEXTS)] = draw(JSON)
        else:
            holder[key] = draw(JSON)
    return payload


START = datetime(2026, 11, 24, 12, tzinfo=UTC)


class Clock:
    """A clock that the test moves."""

    def __init__(self):
        self.now = START

    def __call__(self):
        return self.now

    def later(self, **by):
        self.now += timedelta(**by)
