"""What the database refused, as one of our errors: by its SQLSTATE, whatever carried the call."""

from __future__ import annotations

from collections.abc import Callable

from ...errors import SchemaMismatchError, StoreError, StoreRejectedError, StoreUnavailableError

PASSING = ("08", "53", "57", "40", "55P03", "25006", "58", "XX000")
"""Classes and codes that pass: connections, resources, shutdowns and timeouts, deadlocks, locks, a standby in the
place of the primary, the disk of the server, what a pooler says of a database that is not there."""

_LACKING = ("42883", "42P01", "42703", "3F000")
"""Functions, tables and columns that are not there."""

HOW_TO_APPLY = "Run `wa-hooks schema --write supabase`, then `supabase db push`."


def by_sqlstate(store: str, state: str, said: str) -> StoreError:
    """Return the error for what the database `said` under an SQLSTATE."""
    kind: Callable[..., StoreError] = StoreRejectedError
    hint = None
    if state.startswith("28") or state == "3D000":
        told, hint = "lets nobody in with these credentials", "Check the user, the password and the database."
    elif state.startswith(PASSING):
        kind, told = StoreUnavailableError, f"cannot do it now ({state}): {said}"
    elif state in _LACKING:
        kind, told, hint = SchemaMismatchError, f"lacks something ({state}): {said}", HOW_TO_APPLY
    elif state == "42501":
        told, hint = f"does not allow it: {said}", "Use the secret key, or a role that is the tables' owner."
    else:
        told = f"refused ({state}): {said}"
    return kind(f"the {store} store {told}", hint=hint)
