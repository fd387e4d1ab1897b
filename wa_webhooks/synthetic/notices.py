"""Templates of what Meta says about message templates; of the platform's errors, and of what nobody knows yet."""

from __future__ import annotations

from .templates import ERRORS, OURS, Template, noticed, variants, within

_TEMPLATE = {
    "message_template_id": 910000000000401,
    "message_template_name": "checkup_dec",
    "message_template_language": "en_US",
}
MESSAGE_TEMPLATES: dict[str, Template] = {
    **variants(
        "account.template_status",
        "message_template_status_update",
        {**_TEMPLATE, "message_template_category": "MARKETING"},
        approved=("a template is approved", {"event": "APPROVED", "reason": None}),
        rejected=(
            "a template is rejected",
            {
                "event": "REJECTED",
                "reason": "TAG_CONTENT_MISMATCH",
                "rejection_info": {
                    "reason": "The text does not match the language chosen.",
                    "recommendation": "Choose the language of the text.",
                },
            },
        ),
        paused=(
            "a template is paused for its quality",
            {
                "event": "PAUSED",
                "reason": "NONE",
                "other_info": {"title": "FIRST_PAUSE", "description": "It is paused for three hours."},
            },
        ),
        disabled=(
            "a template is disabled",
            {"event": "DISABLED", "reason": "NONE", "disable_info": {"disable_date": "November 24, 2026"}},
        ),
        flagged=("a template may be disabled", {"event": "FLAGGED", "reason": "NONE"}),
    ),
    **variants(
        "account.template_quality",
        "message_template_quality_update",
        _TEMPLATE,
        yellow=("a template's quality falls", {"previous_quality_score": "GREEN", "new_quality_score": "YELLOW"}),
        red=("a template's quality is bad", {"previous_quality_score": "YELLOW", "new_quality_score": "RED"}),
        green=("a template's quality is good again", {"previous_quality_score": "RED", "new_quality_score": "GREEN"}),
    ),
    "account.template_components": noticed(
        "a template's text changes",
        "message_template_components_update",
        {
            **_TEMPLATE,
            "message_template_element": "Your check-up is due. Shall we find a time?",
            "message_template_title": "Check-up",
            "message_template_footer": "Aurora Dental",
            "message_template_buttons": [
                {"message_template_button_type": "QUICK_REPLY", "message_template_button_text": "Yes, please"},
                {
                    "message_template_button_type": "URL",
                    "message_template_button_text": "Our hours",
                    "message_template_button_url": "https://aurora-dental.example/hours",
                },
            ],
        },
    ),
    **variants(
        "account.template_category",
        "template_category_update",
        _TEMPLATE,
        changed=(
            "a template gets another category",
            {"previous_category": "UTILITY", "new_category": "MARKETING"},
        ),
        impending=(
            "a template will get another category",
            {
                "new_category": "UTILITY",
                "correct_category": "MARKETING",
                "category_update_timestamp": "$time+86400",
            },
        ),
    ),
    "account.template_category_detection": noticed(
        "a template has the wrong category",
        "template_correct_category_detection",
        {**_TEMPLATE, "category": "UTILITY", "correct_category": "MARKETING"},
    ),
}

PLATFORM_ERRORS: dict[str, Template] = {
    f"error.{code}": Template(
        about=f"an error of the platform: {told['title']}",
        field="messages",
        value=within("errors", contacts=None),
        item=told,
    )
    for code, told in ERRORS.items()
}

STRANGE: dict[str, Template] = {
    "unknown.new_field": Template(
        about="a field that does not exist yet",
        field="new_field",
        value="$item",
        item={**OURS, "contacts": "$contacts", "event": "NEW", "id": "$token"},
    ),
    "empty.messages": Template(
        about="a known field without anything in it",
        field="messages",
        value="$item",
        item={**OURS, "contacts": "$contacts"},
    ),
}
"""What nobody knows yet, or what tells nothing."""
