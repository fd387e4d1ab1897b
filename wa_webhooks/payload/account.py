"""The values of management fields: the account, its numbers, templates, flows, limits and restrictions."""

from __future__ import annotations

from typing import Annotated

from .base import Anything, Known, Many, Maybe, Number, Shape, Text, Time, Words

QUALITY = Known("GREEN YELLOW RED UNKNOWN")


ACCOUNT_EVENTS = Known(
    "ACCOUNT_DELETED ACCOUNT_RESTRICTION ACCOUNT_VIOLATION AD_ACCOUNT_LINKED"
    " AUTH_INTL_PRICE_ELIGIBILITY_UPDATE BUSINESS_PRIMARY_LOCATION_COUNTRY_UPDATE DISABLED_UPDATE"
    " MM_LITE_TERMS_SIGNED PARTNER_ADDED PARTNER_REMOVED PARTNER_APP_INSTALLED PARTNER_APP_UNINSTALLED"
    " PARTNER_CLIENT_CERTIFICATION_NEEDED PARTNER_CLIENT_CERTIFICATION_STATUS_UPDATE"
    " VOLUME_BASED_PRICING_TIER_UPDATE ACCOUNT_OFFBOARDED ACCOUNT_RECONNECTED VERIFIED_ACCOUNT"
)
"""What may happen to an account: `account_update.event`."""


class AlertInfo(Shape):
    """`account_alerts.alert_info`."""

    alert_severity: Annotated[Text, Known("CRITICAL WARNING INFORMATIONAL")] = None
    alert_status: Annotated[Text, Known("ACTIVE NONE")] = None
    alert_type: Annotated[
        Text,
        Known(
            "INCREASED_CAPABILITIES_ELIGIBILITY_DEFERRED INCREASED_CAPABILITIES_ELIGIBILITY_FAILED"
            " INCREASED_CAPABILITIES_ELIGIBILITY_NEED_MORE_INFO OBA_APPROVED OBA_REJECTED PROFILE_PICTURE_LOST"
        ),
    ] = None
    alert_description: Text = None


class Alert(Shape):
    """`account_alerts`. Older samples have the parts of `alert_info` beside it."""

    entity_type: Annotated[Text, Known("BUSINESS PHONE_NUMBER CURRENT_STATUS_ID WABA")] = None
    entity_id: Text = None
    alert_info: Maybe[AlertInfo] = None
    alert_severity: Text = None
    alert_status: Text = None
    alert_type: Text = None
    alert_description: Text = None


class Review(Shape):
    """`account_review_update`."""

    decision: Annotated[Text, Known("APPROVED REJECTED PENDING DEFERRED")] = None


class WabaInfo(Shape):
    """`account_update.waba_info`: the client's account that a partner's event is about."""

    waba_id: Text = None
    owner_business_id: Text = None
    ad_account_linked: Text = None
    ad_account_id: Text = None
    partner_app_id: Text = None
    solution_id: Text = None
    solution_partner_business_ids: Words


class Violation(Shape):
    """`account_update.violation_info`."""

    violation_type: Text = None
    remediation: Text = None


class Restriction(Shape):
    """`account_update.restriction_info[]`."""

    restriction_type: Annotated[
        Text,
        Known(
            "RESTRICTED_ADD_PHONE_NUMBER_ACTION RESTRICTED_BIZ_INITIATED_MESSAGING"
            " RESTRICTED_CUSTOMER_INITIATED_MESSAGING RESTRICTED_BUSINESS_INITIATED_CALLING"
            " RESTRICTED_USER_INITIATED_CALLING RESTRICTED_USER_INITIATED_CALLING_CALL_BUTTON_HIDDEN"
            " RESTRICTED_BIZ_INITIATED_AND_USER_INITIATED_CALLING RESTRICTED_UTILITY_TEMPLATES"
            " RESTRICTED_DIRECT_SEND_UTILITY_TEMPLATES"
        ),
    ] = None
    expiration: Time = None
    remediation: Text = None


class Ban(Shape):
    """`account_update.ban_info`. The date is written out: April 17, 2025."""

    waba_ban_state: Annotated[Text, Known("DISABLE REINSTATE SCHEDULE_FOR_DISABLE")] = None
    waba_ban_date: Text = None


class ExceptionCountry(Shape):
    """An element of `auth_international_rate_eligibility.exception_countries`."""

    country_code: Text = None
    start_time: Time = None


class Eligibility(Shape):
    """`account_update.auth_international_rate_eligibility`."""

    start_time: Time = None
    exception_countries: Many[ExceptionCountry]


class VolumeTier(Shape):
    """`account_update.volume_tier_info`."""

    tier_update_time: Time = None
    pricing_category: Text = None
    tier: Text = None
    effective_month: Text = None
    region: Text = None


class Disconnection(Shape):
    """`account_update.disconnection_info`."""

    reason: Annotated[
        Text,
        Known(
            "ACCOUNT_DISCONNECTED BUSINESS_DOWNGRADE CHANGE_NUMBER COMPANION_INACTIVITY PRIMARY_INACTIVITY"
            " USER_RE_REGISTERED"
        ),
    ] = None
    initiated_by: Annotated[Text, Known("SYSTEM USER")] = None


class Certification(Shape):
    """`account_update.partner_client_certification_info`."""

    client_business_id: Text = None
    status: Annotated[Text, Known("APPROVED DISCARDED FAILED PENDING REVOKED REJECTED")] = None
    rejection_reasons: Words


class AccountUpdate(Shape):
    """`account_update`."""

    event: Annotated[Text, ACCOUNT_EVENTS] = None
    phone_number: Text = None
    country: Text = None
    waba_info: Maybe[WabaInfo] = None
    violation_info: Maybe[Violation] = None
    restriction_info: Many[Restriction]
    ban_info: Maybe[Ban] = None
    auth_international_rate_eligibility: Maybe[Eligibility] = None
    volume_tier_info: Maybe[VolumeTier] = None
    disconnection_info: Maybe[Disconnection] = None
    partner_client_certification_info: Maybe[Certification] = None
    partner_client_certification_needed_info: Maybe[Certification] = None


class NumberSettings(Shape):
    """`account_settings_update.phone_number_settings`."""

    phone_number_id: Text = None
    calling: Anything = None


class Settings(Shape):
    """`account_settings_update`."""

    messaging_product: Text = None
    timestamp: Time = None
    type: Annotated[Text, Known("PHONE_NUMBER_SETTINGS")] = None
    phone_number_settings: Maybe[NumberSettings] = None


class Capability(Shape):
    """`business_capability_update`: limits, as a number or as a tier's name; -1 is unlimited."""

    max_daily_conversation_per_phone: Text = None
    max_daily_conversations_per_business: Text = None
    max_phone_numbers_per_business: Text = None
    max_phone_numbers_per_waba: Text = None


class BusinessUsername(Shape):
    """`business_username_updates`; no username where it was deleted."""

    display_phone_number: Text = None
    username: Text = None
    status: Annotated[Text, Known("approved deleted reserved")] = None


class Template(Shape):
    """What every notice about a template says of it. Its id is a number on the wire, larger than a float holds."""

    message_template_id: Text = None
    message_template_name: Text = None
    message_template_language: Text = None


class DisableInfo(Shape):
    """`message_template_status_update.disable_info`. The date is written out."""

    disable_date: Text = None


class RejectionInfo(Shape):
    """`message_template_status_update.rejection_info`."""

    reason: Text = None
    recommendation: Text = None


class OtherInfo(Shape):
    """`message_template_status_update.other_info`."""

    title: Annotated[Text, Known("FIRST_PAUSE SECOND_PAUSE RATE_LIMITING_PAUSE UNPAUSE DISABLED")] = None
    description: Text = None


class TemplateStatus(Template):
    """`message_template_status_update`."""

    event: Annotated[
        Text,
        Known(
            "APPROVED REJECTED PENDING PAUSED DISABLED FLAGGED IN_APPEAL REINSTATED DELETED PENDING_DELETION"
            " LIMIT_EXCEEDED LOCKED ARCHIVED UNARCHIVED"
        ),
    ] = None
    message_template_category: Text = None
    reason: Annotated[
        Text,
        Known(
            "NONE ABUSIVE_CONTENT CATEGORY_NOT_AVAILABLE INCORRECT_CATEGORY INVALID_FORMAT PROMOTIONAL SCAM"
            " TAG_CONTENT_MISMATCH"
        ),
    ] = None
    disable_info: Maybe[DisableInfo] = None
    rejection_info: Maybe[RejectionInfo] = None
    other_info: Maybe[OtherInfo] = None


class TemplateQuality(Template):
    """`message_template_quality_update`."""

    previous_quality_score: Annotated[Text, QUALITY] = None
    new_quality_score: Annotated[Text, QUALITY] = None


class TemplateButton(Shape):
    """`message_template_components_update.message_template_buttons[]`."""

    message_template_button_type: Annotated[
        Text,
        Known(
            "CATALOG COPY_CODE EXTENSION FLOW MPM ORDER_DETAILS OTP PHONE_NUMBER POSTBACK REMINDER SEND_LOCATION SPM"
            " QUICK_REPLY URL VOICE_CALL"
        ),
    ] = None
    message_template_button_text: Text = None
    message_template_button_url: Text = None
    message_template_button_phone_number: Text = None


class TemplateComponents(Template):
    """`message_template_components_update`; the element is the text of the body."""

    message_template_element: Text = None
    message_template_title: Text = None
    message_template_footer: Text = None
    message_template_buttons: Many[TemplateButton]


class TemplateCategory(Template):
    """`template_category_update`: done, or impending; of the latter `new_category` is the one that it still has."""

    previous_category: Text = None
    new_category: Text = None
    correct_category: Text = None
    category_update_timestamp: Time = None


class TemplateCategoryDetection(Template):
    """`template_correct_category_detection`."""

    category: Text = None
    correct_category: Text = None


class PartnerSolution(Shape):
    """`partner_solutions`."""

    event: Annotated[Text, Known("SOLUTION_CREATED SOLUTION_UPDATED")] = None
    solution_id: Text = None
    solution_status: Annotated[Text, Known("ACTIVE DEACTIVATED DRAFT INITIATED PENDING_DEACTIVATION REJECTED")] = None


class PaymentConfiguration(Shape):
    """`payment_configuration_update`."""

    configuration_name: Text = None
    provider_name: Text = None
    provider_mid: Text = None
    status: Text = None
    created_timestamp: Time = None
    updated_timestamp: Time = None


class NumberName(Shape):
    """`phone_number_name_update`."""

    display_phone_number: Text = None
    decision: Annotated[Text, Known("APPROVED REJECTED PENDING DEFERRED")] = None
    requested_verified_name: Text = None
    rejection_reason: Text = None


class NumberQuality(Shape):
    """`phone_number_quality_update`; both limits were removed in February 2026."""

    display_phone_number: Text = None
    event: Annotated[Text, Known("ONBOARDING THROUGHPUT_UPGRADE FLAGGED UNFLAGGED UPGRADE DOWNGRADE")] = None
    old_limit: Text = None
    current_limit: Text = None
    max_daily_conversations_per_business: Text = None


class Security(Shape):
    """`security`: the PIN of two-step verification."""

    display_phone_number: Text = None
    event: Annotated[Text, Known("PIN_CHANGED PIN_RESET_REQUEST PIN_REQUEST_SUCCESS PIN_RESET_SUCCESS")] = None
    requester: Text = None


class FlowError(Shape):
    """`flows.errors[]`."""

    error_type: Text = None
    error_rate: Number = None
    error_count: Number = None


class Flow(Shape):
    """`flows`: a flow's state, or how its endpoint fares."""

    event: Annotated[
        Text,
        Known(
            "FLOW_STATUS_CHANGE CLIENT_ERROR_RATE ENDPOINT_ERROR_RATE ENDPOINT_LATENCY ENDPOINT_AVAILABILITY"
            " FLOW_VERSION_EXPIRY_WARNING"
        ),
    ] = None
    flow_id: Text = None
    message: Text = None
    old_status: Text = None
    new_status: Annotated[Text, Known("DRAFT PUBLISHED DEPRECATED BLOCKED THROTTLED")] = None
    alert_state: Annotated[Text, Known("ACTIVATED DEACTIVATED")] = None
    threshold: Number = None
    error_rate: Number = None
    requests_count: Number = None
    p50_latency: Number = None
    p90_latency: Number = None
    availability: Number = None
    errors: Many[FlowError]
