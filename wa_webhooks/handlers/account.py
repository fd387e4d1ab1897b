"""What Meta says about the account itself: its numbers, templates, flows, limits and restrictions.

Severity: *critical* means that messages or calls do not get through now, or that the account is at risk; *warning*
that they will not if nobody acts, or that something was refused; everything else is *info*.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from ..changes import AccountNoticed, Change
from ..error_codes import ACCOUNT_WIDE, failure_class
from ..events import Event, canonical
from ..payload import ErrorDetail, Shape, read
from ..payload import account as shapes
from ..payload.users import History
from .people import contact_of, lead_seen, person
from .registry import Registry

registry = Registry()

INFO, WARNING, CRITICAL = "info", "warning", "critical"


@dataclass(frozen=True, slots=True)
class _Told:
    """What a notice comes to."""

    severity: str = INFO
    subject: str | None = None
    what: str | None = None
    reason: str | None = None
    failure_class: str | None = None


@registry.on("account.*")
@registry.on("error.*")
@registry.on("user_action.*")
@registry.on("history.chunk")
@registry.on("history.errors")
@registry.on("history.thread")
def account(event: Event) -> Iterable[Change]:
    """One row with the whole notice, and how much it matters; and the lead, where one is named."""
    contact = contact_of(event)
    if who := person(event, contact, wa_id=None, bsuid=None, parent_bsuid=None):
        yield lead_seen(who, contact, event.at, inbound=False)
    yield _noticed(event, _told(event))


def _noticed(event: Event, told: _Told) -> AccountNoticed:
    return AccountNoticed(
        account_id=event.account_id,
        phone_number_id=event.phone_number_id,
        notice=event.type,
        severity=told.severity,
        subject=told.subject or None,
        what=told.what or None,
        reason=told.reason or None,
        failure_class=told.failure_class,
        at=event.at,
        detail=canonical(event.item),
    )


def _told(event: Event) -> _Told:
    if event.type.startswith("error."):
        return _error(read(ErrorDetail, event.item))
    reader = _READERS.get(event.type)
    if reader is None or not isinstance(event.item, dict):
        return _Told()
    shape, tell = reader
    return tell(read(shape, event.item))


def _error(told: ErrorDetail) -> _Told:
    kind = failure_class(told.number)
    severity = CRITICAL if kind == ACCOUNT_WIDE else WARNING
    return _Told(severity, what=told.code, reason=told.text, failure_class=kind)


def _alert(told: shapes.Alert) -> _Told:
    info = told.alert_info or told
    severity = {"CRITICAL": CRITICAL, "WARNING": WARNING}.get(_upper(info.alert_severity), INFO)
    if _upper(info.alert_status) == "NONE":
        severity = INFO  # it is over
    return _Told(severity, told.entity_id, info.alert_type, info.alert_description)


def _decision(told: shapes.Review | shapes.NumberName) -> _Told:
    severity = WARNING if _upper(told.decision) in ("REJECTED", "DEFERRED") else INFO
    if isinstance(told, shapes.NumberName):
        return _Told(severity, told.display_phone_number, told.decision, told.rejection_reason)
    return _Told(severity, what=told.decision)


_GRAVE_UPDATES = frozenset({"ACCOUNT_DELETED", "ACCOUNT_RESTRICTION", "DISABLED_UPDATE", "ACCOUNT_OFFBOARDED"})
_POOR_UPDATES = frozenset({"ACCOUNT_VIOLATION", "PARTNER_REMOVED", "PARTNER_APP_UNINSTALLED"})


def _update(told: shapes.AccountUpdate) -> _Told:
    word = _upper(told.event)
    severity = CRITICAL if word in _GRAVE_UPDATES else WARNING if word in _POOR_UPDATES else INFO
    if word not in shapes.ACCOUNT_EVENTS:
        severity = WARNING  # somebody should look
    reasons = [each.restriction_type for each in told.restriction_info]
    reasons += [told.violation_info.violation_type] if told.violation_info else []
    reasons += [told.disconnection_info.reason] if told.disconnection_info else []
    if told.ban_info:
        reasons.append(told.ban_info.waba_ban_state)
        if _upper(told.ban_info.waba_ban_state) == "REINSTATE":
            severity = INFO
    certified = told.partner_client_certification_info
    if certified:
        reasons += [certified.status, *certified.rejection_reasons]
        if _upper(certified.status) in ("FAILED", "REVOKED", "REJECTED"):
            severity = WARNING
    return _Told(severity, told.phone_number, told.event, ", ".join(filter(None, reasons)))


_TEMPLATE_SEVERITIES = {
    "REJECTED": WARNING,
    "PAUSED": CRITICAL,
    "DISABLED": CRITICAL,
    "FLAGGED": WARNING,
    "LIMIT_EXCEEDED": WARNING,
    "LOCKED": WARNING,
    "PENDING_DELETION": WARNING,
    "DELETED": WARNING,
}


def _template_status(told: shapes.TemplateStatus) -> _Told:
    reason = told.rejection_info.reason if told.rejection_info else None
    if not reason and _upper(told.reason) not in ("", "NONE"):
        reason = told.reason
    reason = reason or (told.other_info.title if told.other_info else None)
    return _Told(_TEMPLATE_SEVERITIES.get(_upper(told.event), INFO), _template(told), told.event, reason)


_QUALITIES = {"RED": CRITICAL, "YELLOW": WARNING}


def _template_quality(told: shapes.TemplateQuality) -> _Told:
    severity = _QUALITIES.get(_upper(told.new_quality_score), INFO)
    before = f"was {told.previous_quality_score}" if told.previous_quality_score else None
    return _Told(severity, _template(told), told.new_quality_score, before)


def _template_category(told: shapes.TemplateCategory | shapes.TemplateCategoryDetection) -> _Told:
    """A changed category changes the price."""
    what = told.correct_category or (told.new_category if isinstance(told, shapes.TemplateCategory) else None)
    return _Told(WARNING, _template(told), what)


def _template_components(told: shapes.TemplateComponents) -> _Told:
    return _Told(INFO, _template(told))


def _number_quality(told: shapes.NumberQuality) -> _Told:
    word = _upper(told.event)
    severity = CRITICAL if word == "FLAGGED" else WARNING if word == "DOWNGRADE" else INFO
    limit = told.max_daily_conversations_per_business or told.current_limit
    return _Told(severity, told.display_phone_number, told.event, limit)


def _security(told: shapes.Security) -> _Told:
    severity = INFO if _upper(told.event).endswith("_SUCCESS") else WARNING
    return _Told(severity, told.display_phone_number, told.event)


def _flow(told: shapes.Flow) -> _Told:
    severity = INFO
    if _upper(told.new_status) in ("BLOCKED", "THROTTLED"):
        severity = CRITICAL
    elif _upper(told.alert_state) == "ACTIVATED":
        severity = WARNING
    return _Told(severity, told.flow_id, told.event, told.new_status or told.alert_state)


def _username(told: shapes.BusinessUsername) -> _Told:
    severity = WARNING if _upper(told.status) == "DELETED" else INFO
    return _Told(severity, told.display_phone_number, told.status, told.username)


def _solution(told: shapes.PartnerSolution) -> _Told:
    severity = (
        WARNING if _upper(told.solution_status) in ("REJECTED", "DEACTIVATED", "PENDING_DEACTIVATION") else INFO
    )
    return _Told(severity, told.solution_id, told.event, told.solution_status)


def _payments(told: shapes.PaymentConfiguration) -> _Told:
    severity = INFO if _upper(told.status) == "ACTIVE" else WARNING
    return _Told(severity, told.configuration_name, told.status)


def _capability(told: shapes.Capability) -> _Told:
    limit = told.max_daily_conversations_per_business or told.max_daily_conversation_per_phone
    return _Told(INFO, what=limit)


def _settings(told: shapes.Settings) -> _Told:
    return _Told(INFO, what=told.type)


def _history(told: History) -> _Told:
    if told.errors:
        return _Told(WARNING, what=told.errors[0].code, reason=told.errors[0].text)
    progress = told.metadata.progress if told.metadata else None
    return _Told(INFO, what=f"{progress} %" if progress is not None else None)


def _template(told: shapes.Template) -> str | None:
    return told.message_template_name or told.message_template_id


def _upper(word: str | None) -> str:
    return (word or "").upper()


_READERS: dict[str, tuple[type[Shape], Callable[[Any], _Told]]] = {
    "account.alert": (shapes.Alert, _alert),
    "account.capability": (shapes.Capability, _capability),
    "account.flow": (shapes.Flow, _flow),
    "account.partner_solution": (shapes.PartnerSolution, _solution),
    "account.payment_configuration": (shapes.PaymentConfiguration, _payments),
    "account.phone_number_name": (shapes.NumberName, _decision),
    "account.phone_number_quality": (shapes.NumberQuality, _number_quality),
    "account.review": (shapes.Review, _decision),
    "account.security": (shapes.Security, _security),
    "account.settings": (shapes.Settings, _settings),
    "account.template_category": (shapes.TemplateCategory, _template_category),
    "account.template_category_detection": (shapes.TemplateCategoryDetection, _template_category),
    "account.template_components": (shapes.TemplateComponents, _template_components),
    "account.template_quality": (shapes.TemplateQuality, _template_quality),
    "account.template_status": (shapes.TemplateStatus, _template_status),
    "account.update": (shapes.AccountUpdate, _update),
    "account.username": (shapes.BusinessUsername, _username),
    "history.chunk": (History, _history),
    "history.errors": (History, _history),
}
