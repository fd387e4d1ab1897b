"""All templates by name: an event type, or one and a variant of it, `message.text:referral`."""

from __future__ import annotations

from typing import Any

from .account import ACCOUNT
from .contents import CONTENTS, ECHOED, OLD, SENT, SENT_BY_API, SYSTEM
from .happenings import GROUPS, OTHERS
from .notices import MESSAGE_TEMPLATES, PLATFORM_ERRORS, STRANGE
from .statuses import CALLS, PAYMENTS, STATUSES
from .templates import OURS, WHO, Shape, Template, error, within

_FROM_OURS = {"from": "$number", "to": "$phone", "to_user_id": "$user", "to_parent_user_id": "$parent"}
_IN_STANDBY = {**OURS, "standby": {"contacts": "$contacts", "messages": ["$item"]}}


def _message(kind: str, content: Shape, who: Shape = WHO) -> dict[str, Any]:
    plain = kind.partition(":")[0].partition(".")[0]
    return {**who, "id": "$wamid", "timestamp": "$at", "type": plain, **content}


def _received() -> dict[str, Template]:
    found = {}
    for kind, (about, content) in CONTENTS.items():
        item = _message(kind, content)
        found[f"message.{kind}"] = Template(about=about, field="messages", value=within("messages"), item=item)
    for kind, (about, content) in SYSTEM.items():
        item = {"id": "$wamid", "timestamp": "$at", "type": "system", **content}
        value = within("messages", contacts=None)
        found[f"message.system.{kind}"] = Template(about=about, field="messages", value=value, item=item)
    return found


def _echoes() -> dict[str, Template]:
    found = {}
    for kind in ECHOED:
        about, content = CONTENTS[kind]
        if kind == "text":
            content = SENT
        if kind in ("edit", "revoke"):  # of what the business itself wrote
            content = {kind: {**content[kind], "original_message_id": "$other"}}
        found[f"echo.{kind}"] = Template(
            about=f"from the business's phone app: {about}",
            field="smb_message_echoes",
            value=within("message_echoes"),
            item=_message(kind, content, _FROM_OURS) | {"id": "$sent"},
        )
    template = found["echo.text"]
    found["echo.text:message_echoes"] = Template(
        about="the same under another field", field="message_echoes", value=template.value, item=template.item
    )
    return found


def _history() -> dict[str, Template]:
    def of_chat(item: Any) -> dict[str, Any]:
        about = {"wa_id": "$phone", "user_id": "$user", "parent_user_id": "$parent", "username": "$username"}
        thread = {"id": "$phone", "context": about, "messages": [item] if item else []}
        return {**OURS, "history": [{"metadata": _progress(0), "threads": [thread]}]}

    def old(kind: str, about: str, content: Shape, who: Shape = WHO) -> Template:
        item = _message(kind, content, who) | {"history_context": {"status": "READ"}}
        return Template(about=f"of an old chat: {about}", field="history", value=of_chat("$item"), item=item)

    declined = error(2593109, "History sharing is turned off", "The business did not share its chats.")
    ours = {**_FROM_OURS, "id": "$sent"}
    media = old("image", *CONTENTS["image"])
    return {
        **{f"history.{kind}": old(kind, *CONTENTS[kind]) for kind in OLD},
        "history.text:sent": old("text", "a text of the business's", SENT, ours),
        "history.media_placeholder": old("media_placeholder", "a file that comes later", {}),
        "history.image:media": Template(
            about="of an old chat: a photo that comes later",
            field="history",
            value=within("messages"),
            item=media.item,
        ),
        "history.chunk": Template(
            about="how far the copying of old chats has come",
            field="history",
            value=within("history", contacts=None),
            item={"metadata": _progress(100), "threads": []},
        ),
        "history.thread": Template(
            about="an old chat without messages",
            field="history",
            value={**OURS, "history": ["$item"]},
            item={"metadata": _progress(0), "threads": of_chat(None)["history"][0]["threads"]},
        ),
        "history.errors": Template(
            about="the business did not share its old chats",
            field="history",
            value=within("history", contacts=None),
            item={"errors": [declined]},
        ),
    }


def _progress(done: int) -> dict[str, Any]:
    return {"phase": 2 if done else 0, "chunk_order": 1, "progress": done}


def _standby() -> dict[str, Template]:
    """What an app sees of chats that another one is in control of."""
    found = {
        f"standby.{name}": Template(
            about=f"in standby: {template.about}", field="standby", value=_IN_STANDBY, item=template.item
        )
        for name, template in _received().items()
        if ":" not in name and not name.startswith("message.system")
    }
    for status, template in STATUSES.items():
        if ":" not in status:
            value = {**OURS, "standby": {"contacts": "$contacts", "statuses": ["$item"]}}
            about = f"in standby: {template.about}"
            found[f"standby.status.{status}"] = Template(
                about=about, field="standby", value=value, item=template.item
            )
    for kind, (about, content) in SENT_BY_API.items():
        to = {"messaging_product": "whatsapp", "to": "$phone", "recipient": "$user_alone"}
        item = {"id": "$sent", "timestamp": "$at", "message": {**to, "type": kind, **content}}
        found[f"standby.echo.{kind}"] = Template(
            about=f"in standby: the other app sends {about}",
            field="standby",
            value={**OURS, "standby": {"contacts": "$contacts", "message_echoes": ["$item"]}},
            item=item,
        )
    return found


def _prefixed(prefix: str, templates: dict[str, Template]) -> dict[str, Template]:
    return {f"{prefix}.{name}": template for name, template in templates.items()}


TEMPLATES: dict[str, Template] = {
    **_received(),
    **_prefixed("status", STATUSES),
    **_prefixed("payment", PAYMENTS),
    **_prefixed("call", CALLS),
    **_echoes(),
    **_history(),
    **_standby(),
    **_prefixed("group", GROUPS),
    **OTHERS,
    **ACCOUNT,
    **MESSAGE_TEMPLATES,
    **PLATFORM_ERRORS,
    **STRANGE,
}
"""Every template by its name."""

UNREADABLE = "unreadable"
"""A body without items: of an app whose webhooks leave the values out."""

NAMES = (*TEMPLATES, UNREADABLE)
