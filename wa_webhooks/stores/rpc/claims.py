"""Deliveries recorded, and work leased: append, claim and release."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import uuid4

from ...errors import StoreUnavailableError
from ..base import ClaimedDelivery, ClaimedEvent, Delivery, from_text, to_text
from .calls import Calls
from .values import all_storable, storable

_CLAIM_BYTES = 8 * 2**20
"""Bodies claimed at a time, beyond the first: bounds a worker's memory whatever Meta batches."""


class Claims(Calls):
    """The verbs with which deliveries come in, and work is taken and given back."""

    def append(self, deliveries: Sequence[Delivery], *, wait: bool = True) -> list[int]:
        """See `Store.append`. Deliveries get a nonce: the same ones again are recorded once."""
        if not wait:
            raise StoreUnavailableError(f"the {self.name} store takes its time: it is elsewhere")
        if not deliveries:
            return []
        answer = self._call("wa_append", {"deliveries": [_row(delivery) for delivery in deliveries]}, ids=list)
        return [int(ident) for ident in answer["ids"]]

    def claim_deliveries(
        self, *, limit: int, token: str, now: datetime, until: datetime, run_id: str | None = None
    ) -> list[ClaimedDelivery]:
        """See `Store.claim_deliveries`."""
        args = self._claim(limit=limit, token=token, now=now, until=until, run_id=run_id)
        answer = self._call("wa_claim_deliveries", {**args, "bytes": _CLAIM_BYTES}, deliveries=list)
        return [
            ClaimedDelivery(
                id=found["id"],
                body=base64.b64decode(found["body"]),
                received_at=from_text(found["received_at"]),
                token=token,
                run_id=found["run_id"],
            )
            for found in answer["deliveries"]
        ]

    def claim_events(
        self, *, limit: int, token: str, now: datetime, until: datetime, run_id: str | None = None
    ) -> list[ClaimedEvent]:
        """See `Store.claim_events`."""
        args = self._claim(limit=limit, token=token, now=now, until=until, run_id=run_id)
        return [
            ClaimedEvent(
                id=found["id"],
                key=found["key"],
                payload=json.loads(found["payload"]),
                position=found["position"],
                attempts=found["attempts"],
                delivery_id=found["delivery_id"],
                token=token,
                handled_by=found["handled_by"],
                run_id=run_id,
            )
            for found in self._call("wa_claim_events", args, events=list)["events"]
        ]

    def _claim(self, *, limit: int, token: str, now: datetime, until: datetime, run_id: str | None) -> dict[str, Any]:
        return {
            "limit": limit,
            "token": token,
            "now": to_text(now),
            "until": to_text(until),
            "run_id": storable(run_id),
            "worker": self._worker,
        }

    def release(self, token: str) -> None:
        """See `Store.release`."""
        self._call("wa_release", {"token": token}, released=int)


def _row(delivery: Delivery) -> dict[str, Any]:
    if delivery.nonce is None:  # kept, so that whoever appends it again means the same one
        delivery.nonce = uuid4().hex
    return {
        "body": base64.b64encode(delivery.body).decode(),
        "headers": all_storable(delivery.headers),
        "source": delivery.source,
        "source_ip": storable(delivery.source_ip),
        "received_at": to_text(delivery.received_at),
        "signature_key": delivery.signature_key,
        "run_id": storable(delivery.run_id),
        "nonce": delivery.nonce,
    }
