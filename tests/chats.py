"""What happens between people and a business, as deliveries; and the views over it, in any order of arrival."""

import random
from contextlib import closing
from datetime import UTC, datetime

from backends import SqliteMemory
from building import (
    ABSENT,
    NUMBER,
    PHONE,
    START,
    TIME,
    Clock,
    body_of,
    call,
    contact,
    envelope,
    message,
    status,
    value_of,
)

from wa_webhooks.pipeline import Pipeline
from wa_webhooks.stores.base import PROCESSED, Delivery, Query, to_text

HOUR, DAY = 3600, 86400
VIEWS = {
    "wa_lead_timeline",
    "wa_conversation_starts",
    "wa_outbound_messages",
    "wa_chat_messages",
    "wa_campaign_replies",
    "wa_automatic_replies",
    "wa_campaign_funnel",
    "wa_message_costs",
    "wa_call_log",
    "wa_failures",
    "wa_lead_names",
    "wa_lead_optouts",
    "wa_lead_marketing",
    "wa_message_edits",
    "wa_message_reactions",
}


def moment(seconds):
    """The time that many seconds after TIME, as stores write it."""
    return to_text(datetime.fromtimestamp(TIME + seconds, UTC))


def unix(seconds):
    return str(TIME + seconds)


def said(ident, at, kind="text", body=ABSENT, **keys):
    """The lead writes `wamid.<ident>`."""
    item = message(kind, body, id=f"wamid.{ident}", timestamp=unix(at), **keys)
    return body_of(envelope(value_of(messages=[item])))


def answered(ident, at, to, kind="text", body=ABSENT):
    """The lead replies to `wamid.<to>`."""
    return said(ident, at, kind, body, context={"from": NUMBER, "id": f"wamid.{to}"})


def tapped(ident, at, to, kind="button_reply"):
    """The lead chooses something in an interactive message; without its context if `to` is None."""
    inside = {"nfm_reply": {"response_json": "{}"}}.get(kind, {"id": "row", "title": "Row"})
    if kind == "call_permission_reply":
        inside = {"response": "accept", "response_source": "automatic"}
    context = {} if to is None else {"context": {"from": NUMBER, "id": f"wamid.{to}"}}
    return said(ident, at, "interactive", {"type": kind, kind: inside}, **context)


def came(ident, at, source_type="ad"):
    """The lead writes after a tap on an ad or a post."""
    return said(ident, at, referral={"source_id": "ad.1", "source_type": source_type})


def sent(ident, at, kind="sent", category=None, tag=None, **keys):
    """A status of the business's message `wamid.<ident>`."""
    pricing = {"pricing": {"pricing_model": "PMP", "type": "regular", "category": category}} if category else {}
    marked = {"biz_opaque_callback_data": tag} if tag else {}
    item = status(kind, id=f"wamid.{ident}", timestamp=unix(at), **{**pricing, **marked, **keys})
    return body_of(envelope(value_of(statuses=[item])))


def failed(ident, at, code, **keys):
    return sent(ident, at, "failed", errors=[{"code": code, "title": f"error {code}"}], **keys)


def wrote(ident, at, kind="text", body=None, **keys):
    """The business writes in its phone app."""
    inside = {"body": "hello"} if kind == "text" else body
    item = {
        "from": NUMBER,
        "to": PHONE,
        "id": f"wamid.{ident}",
        "timestamp": unix(at),
        "type": kind,
        kind: inside,
        **keys,
    }
    return body_of(envelope(value_of(message_echoes=[item]), field="smb_message_echoes"))


def copied(ident, at, *, ours=False, told="READ"):
    """A message of an old chat."""
    ends = {"from": NUMBER, "to": PHONE} if ours else {"from": PHONE}
    item = {**ends, "id": f"wamid.{ident}", "timestamp": unix(at), "type": "text", "text": {"body": "old"}}
    thread = {"id": PHONE, "messages": [{**item, "history_context": {"status": told}}]}
    return body_of(envelope(value_of(history=[{"metadata": {"phase": 0}, "threads": [thread]}]), field="history"))


def passed_on(ident, at):
    """The lead writes while another app is in control of the chat."""
    inside = {"messages": [message(id=f"wamid.{ident}", timestamp=unix(at))]}
    return body_of(envelope(value_of(standby=inside), field="standby"))


def called(ident, at, step="connect", **keys):
    """A step of the call `wacid.<ident>` from the lead."""
    item = call(step, id=f"wacid.{ident}", timestamp=unix(at), **keys)
    return body_of(envelope(value_of(calls=[item]), field="calls"))


def phoned(ident, at, step, **keys):
    """A step of the call `wacid.<ident>` from the business: RINGING, ACCEPTED, REJECTED or terminate."""
    if step.isupper():
        item = status(step, id=f"wacid.{ident}", timestamp=unix(at), type="call")
        return body_of(envelope(value_of(statuses=[item]), field="calls"))
    ends = {"from": NUMBER, "to": PHONE, "direction": "BUSINESS_INITIATED"}
    return called(ident, at, step, **ends, **keys)


def preferred(value, at, **keys):
    told = {"wa_id": PHONE, "category": "marketing_messages", "value": value, "timestamp": TIME + at, **keys}
    return body_of(envelope(value_of(user_preferences=[told]), field="user_preferences"))


def named(ident, at, name, **profile):
    """The lead writes, under a name."""
    item = message(id=f"wamid.{ident}", timestamp=unix(at))
    who = contact(name, profile={"name": name, **profile})
    return body_of(envelope(value_of(contacts=[who], messages=[item])))


class Told:
    """A store that was told of these deliveries, in this order."""

    def __init__(self, bodies, sql=(), backend=None):
        self.backend = backend or SqliteMemory(None)
        self.store = self.backend.open()
        for statement in sql:
            self.backend.run(self.store, statement)
        self.store.append([Delivery(body=body, received_at=START) for body in bodies])
        Pipeline(store=self.store, clock=Clock()).drain()
        states = {event["state"] for event in self.store.find(Query(), limit=9999)}
        assert states <= {PROCESSED}  # what fails shows nothing

    def close(self):
        self.store.close()

    def rows(self, view):
        """The rows of a view, free of internal ids: leads by the ids they were seen with."""
        names = {}
        seen = "SELECT DISTINCT lead_id, ident FROM wa_lead_sightings ORDER BY ident"
        for row in self.backend.rows(self.store, seen):
            names.setdefault(row["lead_id"], []).append(row["ident"])
        found = self.backend.rows(self.store, f"SELECT * FROM {view}")
        for row in found:
            if row.get("lead_id") is not None:
                row["lead_id"] = "+".join(names[row["lead_id"]])
        return sorted(found, key=lambda row: (str(row.get("at")), repr(row)))


def orders(bodies):
    """A few orders of the same deliveries."""
    shuffled = [random.Random(seed).sample(bodies, len(bodies)) for seed in range(3)]
    return [bodies, bodies[::-1], *shuffled]


def view(name, *bodies, sql=()):
    """The rows of a view, the same ones in any order of arrival."""
    results = []
    for order in orders(list(bodies)):
        with closing(Told(order, sql)) as told:
            results.append(told.rows(name))
    assert all(result == results[0] for result in results)
    return results[0]


def columns(rows, *names):
    """The rows' columns of these names, as tuples."""
    return [tuple(row[name] for name in names) for row in rows]
