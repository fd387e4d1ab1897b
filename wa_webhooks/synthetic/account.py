"""Templates of what Meta says about the account: its numbers, flows, limits and restrictions."""

from __future__ import annotations

from .templates import Shape, Template, noticed, variants

_CLIENT = {"waba_info": {"waba_id": "$account", "owner_business_id": "620000000000502"}}
_PARTNER = {"id": "610000000000501", "time": "$time"}
"""The entry of a partner's event has the partner's id; the account it is about stands inside."""


def _alert(severity: str, kind: str, text: str) -> Shape:
    return {
        "alert_info": {
            "alert_severity": severity,
            "alert_status": "ACTIVE",
            "alert_type": kind,
            "alert_description": text,
        }
    }


def _rate(event: str, state: str, **keys: object) -> Shape:
    return {"event": event, "message": "The flow's endpoint is being watched.", "alert_state": state, **keys}


ACCOUNT: dict[str, Template] = {
    **variants(
        "account.alert",
        "account_alerts",
        {"entity_type": "PHONE_NUMBER", "entity_id": "$number_id"},
        warning=(
            "a higher limit is put off",
            _alert("WARNING", "INCREASED_CAPABILITIES_ELIGIBILITY_DEFERRED", "It will be looked at again later."),
        ),
        critical=(
            "a higher limit is refused",
            _alert("CRITICAL", "INCREASED_CAPABILITIES_ELIGIBILITY_FAILED", "Refused."),
        ),
        info=("the business is verified", _alert("INFORMATIONAL", "OBA_APPROVED", "The account is official now.")),
    ),
    **variants(
        "account.review",
        "account_review_update",
        {},
        approved=("the account is approved", {"decision": "APPROVED"}),
        rejected=("the account is turned down", {"decision": "REJECTED"}),
    ),
    **variants(
        "account.update",
        "account_update",
        {},
        restriction=(
            "the account may not start conversations for some days",
            {
                "event": "ACCOUNT_RESTRICTION",
                "restriction_info": [
                    {"restriction_type": "RESTRICTED_BIZ_INITIATED_MESSAGING", "expiration": "$time+259200"}
                ],
            },
        ),
        disabled=(
            "the account is disabled",
            {
                "event": "DISABLED_UPDATE",
                "ban_info": {"waba_ban_state": "DISABLE", "waba_ban_date": "November 24, 2026"},
            },
        ),
        reinstated=(
            "the account is enabled again",
            {
                "event": "DISABLED_UPDATE",
                "ban_info": {"waba_ban_state": "REINSTATE", "waba_ban_date": "November 25, 2026"},
            },
        ),
        violation=(
            "the account broke a rule",
            {
                "event": "ACCOUNT_VIOLATION",
                "violation_info": {"violation_type": "SCAM", "remediation": "Ask for a review."},
            },
        ),
        offboarded=(
            "the phone app is disconnected",
            {
                "event": "ACCOUNT_OFFBOARDED",
                "phone_number": "$number",
                "disconnection_info": {"reason": "PRIMARY_INACTIVITY", "initiated_by": "SYSTEM"},
            },
        ),
        reconnected=("the phone app is connected again", {"event": "ACCOUNT_RECONNECTED", "phone_number": "$number"}),
        deleted=("the account is deleted", {"event": "ACCOUNT_DELETED"}),
        country=(
            "the account's country changes",
            {"event": "BUSINESS_PRIMARY_LOCATION_COUNTRY_UPDATE", "country": "PT"},
        ),
        tier=(
            "another price by volume",
            {
                "event": "VOLUME_BASED_PRICING_TIER_UPDATE",
                "volume_tier_info": {
                    "tier_update_time": "$time",
                    "pricing_category": "UTILITY",
                    "tier": "25000001:50000000",
                    "effective_month": "2026-11",
                    "region": "Brazil",
                },
            },
        ),
    ),
    "account.update:partner_added": noticed(
        "a client joins a partner: the entry is the partner's",
        "account_update",
        {"event": "PARTNER_ADDED", **_CLIENT},
        _PARTNER,
    ),
    "account.update:partner_removed": noticed(
        "a client leaves a partner", "account_update", {"event": "PARTNER_REMOVED", **_CLIENT}, _PARTNER
    ),
    "account.settings": noticed(
        "the calling settings of a number change",
        "account_settings_update",
        {
            "messaging_product": "whatsapp",
            "timestamp": "$at",
            "type": "PHONE_NUMBER_SETTINGS",
            "phone_number_settings": {
                "phone_number_id": "$number_id",
                "calling": {"status": "ENABLED", "call_icon_visibility": "DEFAULT"},
            },
        },
        {"id": "$account"},
    ),
    "account.capability": noticed(
        "new limits",
        "business_capability_update",
        {
            "max_daily_conversations_per_business": "TIER_10K",
            "max_phone_numbers_per_business": 20,
            "max_phone_numbers_per_waba": 10,
        },
    ),
    **variants(
        "account.username",
        "business_username_updates",
        {"display_phone_number": "$number"},
        approved=("the business's username is approved", {"username": "aurora.dental", "status": "approved"}),
        deleted=("the username is deleted", {"status": "deleted"}),
    ),
    "account.partner_solution": noticed(
        "a partner's solution changes",
        "partner_solutions",
        {"event": "SOLUTION_UPDATED", "solution_id": "630000000000503", "solution_status": "ACTIVE"},
        _PARTNER,
    ),
    "account.payment_configuration": noticed(
        "payments are set up",
        "payment_configuration_update",
        {
            "configuration_name": "kaveri-payments",
            "provider_name": "razorpay",
            "provider_mid": "acc_Kv7Rh0Invent1",
            "status": "Active",
            "created_timestamp": "$time-86400",
            "updated_timestamp": "$time",
        },
    ),
    **variants(
        "account.phone_number_name",
        "phone_number_name_update",
        {"display_phone_number": "$number", "requested_verified_name": "Aurora Dental"},
        approved=("a display name is approved", {"decision": "APPROVED", "rejection_reason": None}),
        rejected=(
            "a display name is turned down",
            {"decision": "REJECTED", "rejection_reason": "NAME_FORMAT_UNACCEPTABLE"},
        ),
    ),
    **variants(
        "account.phone_number_quality",
        "phone_number_quality_update",
        {"display_phone_number": "$number", "max_daily_conversations_per_business": "TIER_10K"},
        flagged=("a number's quality is bad", {"event": "FLAGGED"}),
        upgrade=("a number may send more", {"event": "THROUGHPUT_UPGRADE"}),
        onboarding=("a number is registered", {"event": "ONBOARDING"}),
    ),
    **variants(
        "account.security",
        "security",
        {"display_phone_number": "$number", "requester": "730000000000601"},
        reset=("somebody asks to reset the PIN", {"event": "PIN_RESET_REQUEST"}),
        changed=("the PIN changes", {"event": "PIN_CHANGED"}),
    ),
    **variants(
        "account.flow",
        "flows",
        {"flow_id": "810000000000701"},
        published=(
            "a flow is published",
            {
                "event": "FLOW_STATUS_CHANGE",
                "message": "The flow's status changed.",
                "old_status": "DRAFT",
                "new_status": "PUBLISHED",
            },
        ),
        throttled=(
            "a flow is throttled",
            {
                "event": "FLOW_STATUS_CHANGE",
                "message": "The flow's status changed.",
                "old_status": "PUBLISHED",
                "new_status": "THROTTLED",
            },
        ),
        errors=(
            "a flow's endpoint fails often",
            _rate(
                "ENDPOINT_ERROR_RATE",
                "ACTIVATED",
                error_rate=14.28,
                threshold=10,
                requests_count=400,
                errors=[{"error_type": "TIMEOUT_ERROR", "error_rate": 14.28, "error_count": 57}],
            ),
        ),
        latency=(
            "a flow's endpoint is slow",
            _rate(
                "ENDPOINT_LATENCY",
                "ACTIVATED",
                p50_latency=900,
                p90_latency=2800,
                threshold=1000,
                requests_count=400,
            ),
        ),
    ),
    "account.business_status": noticed(
        "a field of which Meta documents no payload", "business_status_update", {"status": "ACTIVE"}
    ),
    "account.campaign_status": noticed(
        "a field of which Meta documents no payload", "campaign_status_update", {"status": "ACTIVE"}
    ),
    "account.tracking": noticed(
        "a field of which Meta documents no payload", "tracking_events", {"event": "link_click"}
    ),
}
