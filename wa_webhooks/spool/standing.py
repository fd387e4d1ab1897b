"""How a spool stands, and which store it is for."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How a spool stands: how much waits in it, and since when and why the store has been taking nothing.

    `bytes` of at most `limit`. `held` are deliveries that the store refuses while it takes others. Times are texts.
    """

    path: str
    deliveries: int
    held: int
    bytes: int
    limit: int
    oldest: str | None
    failing_since: str | None
    error: str | None
    sent_at: str | None

    def told(self) -> str:
        """A sentence about what waits and why; empty where nothing does."""
        waiting = f"{self.deliveries:,} deliveries wait in the spool, {self.bytes / self.limit:.0%} full"
        held = f"; {self.held:,} are held: the store refuses them" if self.held else ""
        if self.failing_since:
            return f"spooling since {self.failing_since}: {waiting}{held}"
        return f"{waiting}{held}" if self.deliveries or held else ""


def target_of(store_url: str, env: Mapping[str, str] = os.environ) -> str:
    """Return which store a URL names, without who asks: what tells one store from another."""
    parts = urlsplit(env.get("SUPABASE_URL", "") if store_url.partition(":")[0] == "supabase" else store_url)
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme.replace('postgresql', 'postgres')}://{parts.hostname or ''}{port}{parts.path.rstrip('/')}"
