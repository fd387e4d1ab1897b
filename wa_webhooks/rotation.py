"""What a rotation of the app secret has come to: which secrets signed deliveries, and which are still needed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from .signature import key_label

STILL_SENT = timedelta(days=7)
"""How long Meta repeats what was not answered 200: until then, what an older secret signed may come again."""

CURRENT, OLDER, GONE, UNLABELLED = (
    "current",
    "older",
    "not configured any more",
    "by its position: an earlier version had no labels",
)

_LABEL = re.compile("[0-9a-f]{8}")


def standing(used: Iterable[Mapping[str, Any]], secrets: Sequence[str] | None) -> list[dict[str, Any]]:
    """Return the app secrets that signed deliveries, each with its `standing`; then those configured that did not.

    `used` is what `Store.counts` says, `secrets` the configured ones, newest first. Where that is None, nobody knows
    the standing.
    """
    places: dict[str, str] = {}
    for secret in secrets or ():
        places.setdefault(key_label(secret), OLDER if places else CURRENT)
    rows = [{**row, "standing": _standing(row["label"], places) if secrets else None} for row in used]
    seen = {row["label"] for row in rows}
    never = {"deliveries": 0, "first_at": None, "last_at": None}
    return rows + [{"label": label, **never, "standing": said} for label, said in places.items() if label not in seen]


def _standing(label: str, places: Mapping[str, str]) -> str:
    return places.get(label) or (GONE if _LABEL.fullmatch(label) else UNLABELLED)


def advice(rows: Iterable[Mapping[str, Any]], now: datetime) -> str | None:
    """Say how far a rotation is, of what `standing` gave; None where no older secret is configured."""
    by_standing = [(row["standing"], row) for row in rows]
    older = [row for place, row in by_standing if place == OLDER]
    current = next((row for place, row in by_standing if place == CURRENT), None)
    if not older or current is None:
        return None
    if not current["deliveries"]:
        return f"no delivery was signed with the current one, {current['label']}, yet: reset it in the app dashboard"
    return "; ".join(_about(row, now) for row in older)


def _about(row: Mapping[str, Any], now: datetime) -> str:
    last = row["last_at"]
    until = datetime.fromisoformat(last) + STILL_SENT if last else now
    if until > now:
        return f"the older {row['label']} was last needed at {last[:16]}Z: keep it until {until:%Y-%m-%dT%H:%MZ}"
    return f"the older {row['label']} is not needed any more: take it out"
