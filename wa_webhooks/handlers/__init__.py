"""Handlers: pure functions from one event to changes, one module for each kind of event."""

from .registry import Handler, Registry, load_registry, name_of

__all__ = ["Handler", "Registry", "builtin", "load_registry", "name_of"]


def builtin() -> Registry:
    """Return a registry of the handlers that wa-hooks brings."""
    from . import account, calls, identity, messages, notes, statuses, unreadable  # noqa: PLC0415 - the models cost start-up time

    modules = (messages, statuses, calls, identity, notes, account, unreadable)
    return Registry(*(module.registry for module in modules))
