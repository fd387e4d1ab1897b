"""Generated histories: whatever may happen between a business and a few people, as deliveries in Meta's shapes.

The world is small on purpose, so that people, numbers, messages and times collide: a few user ids and parents,
numbers with a Brazilian variant, a few messages and calls, a dozen seconds.
"""

import json

from hypothesis import strategies as st

ACCOUNTS = ["W1", "W2"]
PHONES = ["5511900000012", "551190000012", "447700900123", "33639980017"]
"""The second lacks a digit of no importance; 551187654321 and 5511987654321 below are one number."""
VARIANTS = ["5511987654321", "551187654321"]
USERS = ["BR.1", "BR.2", "BR.3", "BR.4"]
PARENTS = ["BR.ENT.X", "BR.ENT.Y"]
TIMES = st.integers(1795000000, 1795000012)
NAMES = st.sampled_from(["Ana", "Bea", "", None])
WAMIDS = st.sampled_from(["wamid.A", "wamid.B", "wamid.C"])

PHONE = st.sampled_from(PHONES + VARIANTS)
USER = st.sampled_from(USERS)
PARENT = st.sampled_from(PARENTS)


def _some(**optional):
    return st.fixed_dictionaries({}, optional=optional)


IDS = _some(phone=PHONE, user=USER, parent=PARENT)


def _named(ids, phone, user, parent):
    names = {"phone": phone, "user": user, "parent": parent}
    return {names[kind]: value for kind, value in ids.items()}


def _item(draw, ident, **more):
    return {"id": ident, "timestamp": str(draw(TIMES)), **more}


def _contacts(draw, ids):
    about = _named(ids if draw(st.booleans()) else {}, "wa_id", "user_id", "parent_user_id")
    name = draw(NAMES)
    profile = {"profile": {"name": name, "username": draw(st.sampled_from(["ana.s", None]))}} if name else {}
    return {"contacts": [{**about, **profile}]} if about or profile else {}


def _content(draw):
    kinds = ["text", "text", "image", "reaction", "edit", "unsupported", "button", "request_welcome"]
    kind = draw(st.sampled_from(kinds))
    word = draw(st.sampled_from("xyz"))
    bodies = {
        "text": {"text": {"body": word}},
        "image": {"image": {"id": "1", "caption": word}},
        "reaction": {"reaction": {"message_id": draw(WAMIDS), "emoji": word}},
        "edit": {"edit": {"original_message_id": draw(WAMIDS), "message": {"type": "text", "text": {"body": word}}}},
        "unsupported": {"errors": [{"code": 131051}]},
        "button": {"button": {"payload": f"camp:{word}", "text": word}},
        "request_welcome": {},
    }
    return {"type": kind, **bodies[kind]}


def _message(draw, ids):
    who = _named(ids, "from", "from_user_id", "from_parent_user_id")
    return "messages", {**_contacts(draw, ids), "messages": [_item(draw, draw(WAMIDS), **who, **_content(draw))]}


def _status(draw, ids):
    who = _named(ids, "recipient_id", "recipient_user_id", "recipient_parent_user_id")
    status = draw(st.sampled_from(["sent", "delivered", "read", "played", "failed"]))
    more = {"errors": [{"code": draw(st.sampled_from([131026, 131049]))}]} if status == "failed" else {}
    more |= {"biz_opaque_callback_data": "camp:1"} if draw(st.booleans()) else {}
    told = _item(draw, draw(WAMIDS), status=status, **who, **more)
    return "messages", {**_contacts(draw, ids), "statuses": [told]}


def _payment(draw, ids):
    who = _named(ids, "recipient_id", "recipient_user_id", "recipient_parent_user_id")
    told = _item(draw, draw(WAMIDS), type="payment", status="captured", payment={"reference_id": "r1"}, **who)
    return "messages", {"statuses": [told]}


def _call(draw, ids):
    who = _named(ids, "from", "from_user_id", "from_parent_user_id")
    event = draw(st.sampled_from(["connect", "terminate", "call_recording_available"]))
    answered = event == "terminate" and draw(st.booleans())
    more = {"duration": draw(st.sampled_from([5, 7])), "start_time": "1795000003"} if answered else {}
    direction = draw(st.sampled_from(["USER_INITIATED", "BUSINESS_INITIATED"]))
    told = _item(draw, draw(st.sampled_from(["wacid.A", "wacid.B"])), event=event, direction=direction, **who, **more)
    return "calls", {**_contacts(draw, ids), "calls": [told]}


def _call_progress(draw, ids):
    who = _named(ids, "recipient_id", "recipient_user_id", "recipient_parent_user_id")
    status = draw(st.sampled_from(["RINGING", "ACCEPTED", "REJECTED"]))
    return "calls", {"statuses": [_item(draw, "wacid.A", type="call", status=status, **who)]}


def _echo(draw, ids):
    who = _named(ids, "to", "to_user_id", "to_parent_user_id")
    return "smb_message_echoes", {"message_echoes": [_item(draw, draw(WAMIDS), **who, **_content(draw))]}


def _standby(draw, ids):
    _, value = draw(st.sampled_from([_message, _status]))(draw, ids)
    return "standby", {"standby": value}


def _history(draw, ids):
    about = _named(ids, "wa_id", "user_id", "parent_user_id")
    told = draw(st.sampled_from(["SENT", "DELIVERED", "READ", "PENDING", "ERROR"]))
    content = draw(st.sampled_from([{"type": "media_placeholder"}, {"type": "text", "text": {"body": "old"}}]))
    side = {"to": "33639980017"} if draw(st.booleans()) else {"from": ids.get("phone")}
    said = _item(draw, draw(WAMIDS), **side, **content, history_context={"status": told})
    return "history", {"history": [{"metadata": {"phase": 0}, "threads": [{"context": about, "messages": [said]}]}]}


def _preference(draw, ids):
    who = _named(ids, "wa_id", "user_id", "parent_user_id")
    told = {**who, "category": "marketing_messages", "value": draw(st.sampled_from(["stop", "resume"]))}
    return "user_preferences", {"user_preferences": [{**told, "timestamp": draw(TIMES)}]}


def _contact_sync(draw, ids):
    entry = {**_named(ids, "phone_number", "user_id", "parent_user_id"), "full_name": draw(NAMES)}
    told = {"type": "contact", "action": "add", "contact": entry, "metadata": {"timestamp": draw(TIMES)}}
    return "smb_app_state_sync", {"state_sync": [told]}


def _group(draw, ids):
    people = [_named(who, "wa_id", "user_id", "parent_user_id") for who in (ids, draw(IDS))]
    told = {"timestamp": str(draw(TIMES)), "group_id": "G", "type": "group_participants_add"}
    return "group_participants_update", {"groups": [{**told, "added_participants": people}]}


def _identity(draw, ids):
    """A number or a user id that changed, as far as the message says so."""
    old = draw(IDS)
    system = {
        "type": draw(st.sampled_from(["user_changed_number", "user_changed_user_id"])),
        **_named(ids, "wa_id", "user_id", "parent_user_id"),
        **{
            f"previous_{kind}": old[name]
            for name, kind in (("user", "user_id"), ("parent", "parent_user_id"))
            if name in old
        },
    }
    who = {"from": old["phone"]} if "phone" in old else {}
    ident = draw(st.sampled_from(["wamid.X", "wamid.Y"]))
    return "messages", {"messages": [_item(draw, ident, type="system", system=system, **who)]}


KINDS = [
    *(_message, _message, _status, _status, _call, _call_progress, _echo, _standby, _history),
    *(_preference, _payment, _contact_sync, _group, _identity, _identity),
]


@st.composite
def happenings(draw, kinds=KINDS):
    """One thing that happened, as an envelope with one item."""
    field, value = draw(st.sampled_from(kinds))(draw, draw(IDS))
    value["metadata"] = {"phone_number_id": draw(st.sampled_from(["P1", "P1", "P2"]))}
    account = draw(st.sampled_from(["W1", "W1", "W1", "W2"]))
    return {
        "object": "whatsapp_business_account",
        "entry": [{"id": account, "changes": [{"field": field, "value": value}]}],
    }


def together(envelopes):
    """One delivery of several envelopes."""
    return {**envelopes[0], "entry": [entry for envelope in envelopes for entry in envelope["entry"]]}


def as_body(envelope):
    return json.dumps(envelope).encode()
