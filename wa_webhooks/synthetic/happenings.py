"""Templates of groups, preferences, contacts, handovers and whatever else happens with people."""

from __future__ import annotations

from .templates import OURS, Template, within

_MEMBER = {"wa_id": "$phone", "user_id": "$user", "parent_user_id": "$parent", "username": "$username"}


def _group(about: str, field: str, kind: str, **keys: object) -> Template:
    item = {"timestamp": "$at", "group_id": "$group", "type": kind, **keys}
    return Template(about=about, field=f"group_{field}", value=within("groups", contacts=None), item=item)


_TITLE = {"text": "Saturday patients", "update_successful": True}
_REQUESTS: dict[str, object] = {"request_id": "$token"}
_JOINING: dict[str, object] = {"join_request_id": "$token", **_MEMBER}

GROUPS: dict[str, Template] = {
    template.item["type"]: template
    for template in (
        _group(
            "a group is made",
            "lifecycle_update",
            "group_create",
            subject="Saturday patients",
            invite_link="https://chat.whatsapp.com/$token",
            join_approval_mode="approval_required",
            **_REQUESTS,
        ),
        _group("a group is deleted", "lifecycle_update", "group_delete", **_REQUESTS),
        _group(
            "somebody joins",
            "participants_update",
            "group_participants_add",
            reason="invite_link",
            added_participants=[_MEMBER],
        ),
        _group(
            "somebody leaves",
            "participants_update",
            "group_participants_remove",
            initiated_by="participant",
            removed_participants=[_MEMBER],
        ),
        _group("somebody asks to join", "participants_update", "group_join_request_created", **_JOINING),
        _group("somebody no longer asks to join", "participants_update", "group_join_request_revoked", **_JOINING),
        _group(
            "a group gets another name", "settings_update", "group_settings_update", group_subject=_TITLE, **_REQUESTS
        ),
        _group("a group is suspended", "status_update", "group_suspend"),
        _group("a group is suspended no longer", "status_update", "group_suspend_cleared"),
    )
}


def _preference(about: str, value: str, detail: str, **keys: object) -> Template:
    who = {"wa_id": "$phone", "user_id": "$user", "parent_user_id": "$parent"}
    told = {"detail": detail, "category": "marketing_messages", "value": value, "timestamp": "$time", **keys}
    return Template(about=about, field="user_preferences", value=within("user_preferences"), item={**who, **told})


def _synced(about: str, action: str, **names: str) -> Template:
    entry = {
        **names,
        "phone_number": "$phone",
        "user_id": "$user",
        "parent_user_id": "$parent",
        "username": "$username",
    }
    item = {"type": "contact", "action": action, "contact": entry, "metadata": {"timestamp": "$at"}}
    return Template(about=about, field="smb_app_state_sync", value=within("state_sync", contacts=None), item=item)


def _automatic(about: str, name: str, **keys: object) -> Template:
    item = {"id": "$wamid", "event_name": name, "timestamp": "$at", "ctwa_clid": "AR$token", **keys}
    value = within("automatic_events", contacts=None)
    return Template(about=about, field="automatic_events", value=value, item=item)


_SUMMARY = {"type": "summary", "summary": {"text": "Asks about Saturday, and whether their insurance is accepted."}}


def _handover(about: str, kind: str, **control: object) -> Template:
    item = {
        "messaging_product": "whatsapp",
        "sender": {"phone_number": "$phone"},
        "recipient": {"display_phone_number": "$number", "phone_number_id": "$number_id"},
        "type": kind,
        "timestamp": "$at",
        kind: {"new_owner_app_id": "840000000000801", **control},
    }
    return Template(about=about, field="messaging_handovers", value="$item", item=item)


_CLICK = {"click_component": "cta_url", "click_id": "click-$token", "tracking_token": "trk-$token"}

OTHERS: dict[str, Template] = {
    "preference.stop": _preference("a customer stops marketing", "stop", "User requested to stop marketing messages"),
    "preference.resume": _preference(
        "a customer wants marketing again", "resume", "User requested to resume marketing messages"
    ),
    "preference.signup": _preference(
        "a customer signs up for marketing", "signup", "User signed up for marketing messages", signup_id="$digits"
    ),
    "contact_sync.add": _synced("a contact of the phone app", "add", full_name="$name", first_name="$first_name"),
    "contact_sync.remove": _synced("a contact of the phone app is deleted", "remove"),
    "automatic.leadsubmitted": _automatic("Meta takes a chat for a lead", "LeadSubmitted"),
    "automatic.purchase": _automatic(
        "Meta takes a chat for a purchase", "Purchase", custom_data={"currency": "EUR", "value": 79.9}
    ),
    "user_action.marketing_messages_link_click": Template(
        about="a tap on a marketing link: names no person",
        field="messages",
        value=within("user_actions", contacts=None),
        item={
            "action_type": "marketing_messages_link_click",
            "timestamp": "$at",
            "marketing_messages_link_click_data": _CLICK,
        },
    ),
    "handover.control_passed": _handover(
        "a chat passes to another app",
        "control_passed",
        previous_owner_role="ai_agent",
        new_owner_role="escalation",
        metadata="ticket 88",
        conversation_context=_SUMMARY,
    ),
    "handover.control_taken": _handover(
        "another app takes a chat over",
        "control_taken",
        previous_owner_role="marketing",
        new_owner_role="customer_service",
    ),
    "handover.conversation_context": Template(
        about="what the chat was about, for who takes it",
        field="messages",
        value={**OURS, "contacts": "$contacts", "conversation_context": "$item"},
        item=_SUMMARY,
    ),
    "identity.user_id_update": Template(
        about="a new user id, in a field that Meta withdrew",
        field="user_id_update",
        value=within("user_id_update"),
        item={
            "wa_id": "$phone",
            "detail": "User id was updated",
            "user_id": {"previous": "$user", "current": "$new_user"},
            "timestamp": "$at",
        },
    ),
    "consumer_profile": Template(
        about="a field of which Meta documents no payload",
        field="consumer_profile",
        value="$item",
        item={**OURS, "contacts": "$contacts", "timestamp": "$at"},
    ),
}
