"""wa-hooks: receive, log, replay and reprocess WhatsApp Business Platform webhooks.

The public names, loaded when first used, so that importing the package costs nothing.
"""

from __future__ import annotations

from .version import __version__

_HOMES = {
    "changes": [
        "AccountNoticed",
        "ActionQueued",
        "CallSeen",
        "IdentityChanged",
        "LeadNoted",
        "LeadSeen",
        "MessageSeen",
        "Person",
        "StatusSeen",
    ],
    "errors": ["GiveUpError", "RetryLaterError", "WaHooksError"],
    "events": ["Event"],
    "handlers": ["Registry"],
    "origin": ["Origin"],
    "pipeline": ["Pipeline", "receive"],
    "retry": ["RetryPolicy"],
    "signature": ["sign", "verify"],
    "splitting": ["split"],
    "stores": ["Store", "open_store"],
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = ["__version__", *_HOME_OF]  # noqa: PLE0604 - all of them are strings


def __getattr__(name: str) -> object:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415 - `wa-hooks --version` imports this package, and no more

    return getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)
