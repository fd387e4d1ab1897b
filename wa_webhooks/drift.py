"""What the models do not know: keys, values of enumerations and shapes that Meta does not document, or not yet.

Everything unknown is read all the same and kept in the log; this says that it was there, so that one learns of a
change of Meta's before a customer does. Pure, and cheap enough to look at every new event.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import islice
from typing import Any, get_args

from pydantic import AliasChoices
from pydantic.fields import FieldInfo

from .payload.base import Known, Shape, Tolerant, parse_timestamp
from .payload.envelope import FIELD_MODELS, VALUE_FIELDS, Entry, Envelope, Value
from .payload.messages import Body

_MOST = 20
"""Findings of one event: enough to see what changed, and no way to fill a table."""
_LONGEST = 64

KEY, VALUE, SHAPE = "key", "value", "shape"


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """One thing that the models do not know: an unknown `key`, an unknown `value` of an enumeration, or a `shape`.

    `path` names the place from the field on, `messages.statuses[].pricing.category`; `detail` is the value, or the
    shape that was found. It never holds people's data: values are told of enumerations alone.
    """

    kind: str
    path: str
    detail: str = ""


def findings(payload: Any) -> tuple[Finding, ...]:
    """Return what the models do not know in the payload of one event, each once. Never raises."""
    if not isinstance(payload, dict) or not isinstance(payload.get("entry"), list):
        return ()  # no envelope at all is told by the event itself
    if _is_known(payload):
        return ()
    return tuple(sorted(set(islice(_in_envelope(payload), _MOST))))


def _is_known(payload: dict[str, Any]) -> bool:
    """Whether there is surely nothing to be found, as nearly always: told in a third of the time of looking."""
    if not _are_keys_of(Envelope, tuple(payload)):
        return False
    for entry in payload["entry"]:
        changes = entry.get("changes") if type(entry) is dict else None
        if type(changes) is not list or not _are_keys_of(Entry, tuple(entry)):
            return False
        for change in changes:
            if type(change) is not dict or len(change) != len(_OF_A_CHANGE):
                return False
            value, model = change.get("value"), _model_of(change.get("field"))
            if type(value) is not dict or model is None or not _is_known_object(value, model):
                return False
    return True


def _model_of(field: Any) -> type[Shape] | None:
    """The model of a field's value, if there is one."""
    if type(field) is not str:
        return None
    return Value if field in VALUE_FIELDS else FIELD_MODELS.get(field)


_OF_A_CHANGE = ("field", "value")
_MANY_KEYS = 64


def _is_known_object(value: dict[str, Any], model: type[Shape]) -> bool:
    rest = _to_look_at(model, tuple(value), tuple(map(type, value.values()))) if len(value) <= _MANY_KEYS else None
    if rest is None:
        return False
    for key, rule in rest:  # noqa: SIM110 - a third faster than a generator
        if not _is_known_value(value[key], rule):
            return False
    return True


def _is_known_value(value: Any, rule: _Rule) -> bool:
    if rule.model is None:
        if rule.check is not None:
            return value == "" or rule.check(value)
        return not isinstance(value, str) or value == "" or rule.known is None or value.upper() in rule.known
    if type(value) is dict:
        return _is_known_object(value, rule.model)
    if type(value) is list:
        return all(type(each) is dict and _is_known_object(each, rule.model) for each in value)
    return True


@lru_cache(maxsize=256)
def _are_keys_of(model: type[Shape], keys: tuple[str, ...]) -> bool:
    return _rules(model).keys() >= set(keys)


@lru_cache(maxsize=4096)
def _to_look_at(
    model: type[Shape], keys: tuple[str, ...], types: tuple[type, ...]
) -> tuple[tuple[str, _Rule], ...] | None:
    """Return the keys whose values have to be looked at, in objects with these keys of these types.

    None where a key or a type is unknown. Objects differ in their values, and hardly in their keys.
    """
    rules = _rules(model)
    looked_at = []
    for key, kind in zip(keys, types, strict=True):
        rule = rules.get(key)
        if rule is None or (kind not in rule.types and kind is not type(None)):
            return None
        if kind is not type(None) and (rule.check or rule.model or rule.known):
            looked_at.append((key, rule))
    return tuple(looked_at)


def _in_envelope(payload: dict[str, Any]) -> Iterator[Finding]:
    yield from _unknown_keys(payload, _rules(Envelope), "")
    for entry in _dicts(payload.get("entry")):
        yield from _unknown_keys(entry, _rules(Entry), "entry[]")
        for change in _dicts(entry.get("changes")):
            yield from (Finding(KEY, f"entry[].changes[].{key}") for key in change if key not in ("field", "value"))
            yield from _in_value(change.get("field"), change.get("value"))


def _in_value(field: Any, value: Any) -> Iterator[Finding]:
    if not isinstance(field, str):
        return
    if field in FIELD_MODELS:
        model = FIELD_MODELS[field]
    elif field in VALUE_FIELDS:
        model = Value
    else:
        yield Finding(VALUE, "entry[].changes[].field", field[:_LONGEST])
        return
    if not isinstance(value, dict):
        yield Finding(SHAPE, field, _shape_of(value))
    elif model:
        yield from _in_object(value, _rules(model), field)


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


@dataclass(frozen=True, slots=True)
class _Rule:
    """What a model says of one key."""

    types: frozenset[type]
    check: Callable[[Any], bool] | None
    model: type[Shape] | None
    known: frozenset[str] | None


Rules = Mapping[str, _Rule]


def _in_object(value: dict[str, Any], rules: Rules, path: str) -> Iterator[Finding]:
    for key, inner in value.items():
        rule = rules.get(key)
        if rule is None:
            yield Finding(KEY, f"{path}.{key[:_LONGEST]}")
        elif inner is None or inner == "":
            continue
        elif type(inner) not in rule.types or (rule.check and not rule.check(inner)):
            yield Finding(SHAPE, f"{path}.{key}", _shape_of(inner))
        elif rule.model is not None:
            yield from _inside(inner, rule.model, f"{path}.{key}")
        elif rule.known is not None and isinstance(inner, str) and inner.upper() not in rule.known:
            yield Finding(VALUE, f"{path}.{key}", inner[:_LONGEST])


def _inside(value: Any, model: type[Shape], path: str) -> Iterator[Finding]:
    if isinstance(value, dict):
        yield from _in_object(value, _rules(model), path)
    elif isinstance(value, list):
        for each in value:
            if isinstance(each, dict):
                yield from _in_object(each, _rules(model), f"{path}[]")
            else:
                yield Finding(SHAPE, f"{path}[]", _shape_of(each))


def _unknown_keys(value: dict[str, Any], rules: Rules, path: str) -> Iterator[Finding]:
    for key in value:
        if key not in rules:
            yield Finding(KEY, f"{path}.{key[:_LONGEST]}".lstrip("."))


@cache
def _rules(model: type[Shape]) -> Rules:
    """Return what a model says of each key, by every name that the key has."""
    rules = {key: _rule(info) for name, info in model.model_fields.items() for key in _keys(name, info)}
    if issubclass(model, Body):
        rules |= {key: _Rule(_TYPES["object"], None, shape, None) for key, shape in model.contents.items()}
    return rules


def _keys(name: str, info: FieldInfo) -> list[str]:
    alias = info.validation_alias
    if isinstance(alias, AliasChoices):
        return [choice for choice in alias.choices if isinstance(choice, str)]
    return [alias if isinstance(alias, str) else name]


def _rule(info: FieldInfo) -> _Rule:
    known = next((each for each in info.metadata if isinstance(each, Known)), None)
    shape = next((each.shape for each in info.metadata if isinstance(each, Tolerant)), "text")
    if "time" in info.metadata:
        shape = "time"
    upper = frozenset(word.upper() for word in known) if known else None
    return _Rule(_TYPES[shape], _CHECKS.get(shape), _model_in(info.annotation), upper)


def _model_in(annotation: Any) -> type[Shape] | None:
    """The model that a field's annotation names, however deep: `Contact | None`, `list[Contact]`."""
    if isinstance(annotation, type) and issubclass(annotation, Shape):
        return annotation
    return next((found for inner in get_args(annotation) if (found := _model_in(inner))), None)


def _is_number(value: Any) -> bool:
    try:
        float(value)
    except ValueError:
        return False
    return True


_WRITTEN = frozenset({str, int, float})
_TYPES: Mapping[str, frozenset[type]] = {
    "text": _WRITTEN,
    "number": _WRITTEN,
    "time": _WRITTEN,
    "boolean": frozenset({bool}),
    "object": frozenset({dict}),
    "list": frozenset({list}),
    "anything": frozenset({str, int, float, bool, dict, list}),
}
"""What decoded JSON has for each shape: exact types, since a boolean is no number."""
_CHECKS: Mapping[str, Callable[[Any], bool]] = {
    "number": _is_number,
    "time": lambda value: parse_timestamp(value) is not None,
}


def _shape_of(value: Any) -> str:
    shapes = {dict: "an object", list: "an array", str: "a string", bool: "a boolean", type(None): "null"}
    return shapes.get(type(value), "a number")
