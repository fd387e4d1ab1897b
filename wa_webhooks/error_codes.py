"""What Meta's error codes mean for whoever tries again: each code's class.

Classes: *permanent* (the same again fails again), *retryable* (again soon, with backoff), *deferred* (again after a
wait of hours, or once something is lifted), *account-wide* (nothing gets through until somebody mends the account or
its settings). A code that is not listed is permanent until somebody has looked at it: retrying it in a loop helps
nobody. Source: Meta's error code and calling pages, September 2026; the classes are ours.
"""

from __future__ import annotations

PERMANENT, RETRYABLE, DEFERRED, ACCOUNT_WIDE = "permanent", "retryable", "deferred", "account-wide"

_CODES = {
    RETRYABLE: """
        1 2 4 80007 130429 131000 131016 131056 131057 133004 134101
        138004 138007 138019 138020 138021 138022 138023
    """,
    DEFERRED: """
        613 131048 131049 131064 132015 132069 133008 133009 133015 133016
        138002 138003 138005 138009 138012 138014
    """,
    ACCOUNT_WIDE: """
        0 3 10 33 190 368 131005 131030 131031 131037 131042 131044 131045 131063 133010 134011 134102
        138000 138013 138015 138018
    """,
    PERMANENT: """
        100 130403 130472 130497 131008 131009 131020 131021 131026 131041 131047 131050 131051 131052 131053 131055
        131059 131060 131062 132000 132001 132005 132007 132008 132012 132016 132018 132068 134100 135000 137000
        138001 138006 138017 139000 139001 139002 139003 139004 139100 139101 139102 139103
        147001 147002 147003 147004 147005 2593107 2593108 2593109
    """,
}
_CLASSES = {int(code): name for name, codes in _CODES.items() for code in codes.split()}
_CLASSES |= dict.fromkeys(range(200, 300), ACCOUNT_WIDE) | dict.fromkeys(range(131201, 131216), PERMANENT)


def failure_class(code: int | None) -> str | None:
    """Return the class of an error code; None where there is no code."""
    return None if code is None else _CLASSES.get(code, PERMANENT)
