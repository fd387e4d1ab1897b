"""Which handlers see which events.

A pattern is an event type, `*`, or a prefix ending in `.*` (`message.*` sees `message.interactive.list_reply`).
All matching handlers run, in the order of registration; one that fails does not stop the others from being tried,
but the event's changes are applied all or none.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterable

from ..changes import Change
from ..errors import ConfigError
from ..events import Event

_BUILT_IN = frozenset({"account", "calls", "identity", "messages", "notes", "statuses", "unreadable"})
"""Our own modules: a handler of theirs that is gone has another in its place."""

Handler = Callable[[Event], Iterable[Change] | None]


class Registry:
    """An ordered list of (pattern, handler)."""

    def __init__(self, *others: Registry) -> None:
        """Start with the handlers of `others`, in order."""
        self.entries: list[tuple[str, Handler]] = [entry for other in others for entry in other.entries]
        self._found: dict[str, tuple[Handler, ...]] = {}
        self._missing: dict[str, list[str]] = {}
        self._labels: dict[str, str] = {}

    def on(self, pattern: str) -> Callable[[Handler], Handler]:
        """Return a decorator that registers a handler for the types that match `pattern`."""
        plain = pattern.removesuffix(".*")
        if pattern != "*" and (not plain or "*" in plain):
            raise ConfigError(f"{pattern!r} is no pattern: use an event type, a prefix ending in .*, or *")

        def register(handler: Handler) -> Handler:
            self.entries.append((pattern, handler))
            self._found.clear()
            self._missing.clear()
            self._labels.clear()
            return handler

        return register

    def matching(self, event_type: str) -> tuple[Handler, ...]:
        """Return the handlers for an event type, in order of registration."""
        if event_type not in self._found:
            self._found[event_type] = tuple(h for pattern, h in self.entries if _matches(pattern, event_type))
        return self._found[event_type]

    def names(self, event_type: str = "*") -> list[str]:
        """Return the names of the handlers for an event type; of all there are for `*`."""
        handlers = [h for _, h in self.entries] if event_type == "*" else self.matching(event_type)
        return [name_of(handler) for handler in handlers]

    def label(self, event_type: str) -> str:
        """Return the names of the handlers for an event type as the log has them, in one text."""
        if event_type not in self._labels:
            self._labels[event_type] = ", ".join(self.names(event_type))
        return self._labels[event_type]

    def missing(self, handled_by: str) -> list[str]:
        """Return those of the user's handlers named in a log row's `handled_by` that are not loaded here."""
        if handled_by not in self._missing:
            gone = {name for name in handled_by.split(", ") if name}.difference(self.names())
            self._missing[handled_by] = sorted(name for name in gone if name.partition(".")[0] not in _BUILT_IN)
        return self._missing[handled_by]


def name_of(handler: Handler) -> str:
    """Return a handler's name as the log shows it: `messages.message`, `shop.campaign_reply`."""
    module = getattr(handler, "__module__", "").removeprefix("wa_webhooks.handlers.")
    return f"{module}.{getattr(handler, '__qualname__', type(handler).__name__)}"


def _matches(pattern: str, event_type: str) -> bool:
    if pattern.endswith(".*"):
        return event_type.startswith(pattern[:-1])
    return pattern in ("*", event_type)


def load_registry(reference: str) -> Registry:
    """Return the user's registry named `package.module:attribute`, looked up from the working directory too.

    Raises:
        ConfigError: it cannot be imported, or is not a `Registry`.
    """
    module_name, separator, attribute = reference.partition(":")
    if not separator or not module_name or not attribute:
        raise ConfigError(f"{reference!r} does not name a registry", hint="Write it as package.module:registry.")
    if "" not in sys.path:
        sys.path.append("")  # the working directory; last, so that a file there takes no library's place
    try:
        found = getattr(importlib.import_module(module_name), attribute)
    except (Exception, SystemExit) as exc:
        raise ConfigError(
            f"cannot load handlers from {reference!r}: {type(exc).__name__}: {exc}",
            hint="Check the name, and that the module imports on its own.",
        ) from exc
    if not isinstance(found, Registry):
        raise ConfigError(f"{reference!r} is {type(found).__name__}, not a wa_webhooks.handlers.Registry")
    return found
