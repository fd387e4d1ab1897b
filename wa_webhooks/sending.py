"""Send captured deliveries to any receiver, signed as Meta would sign them; the bodies stay as they are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from . import signature
from .captures import Capture
from .errors import ConfigError, WaHooksError
from .retry import patiently
from .version import __version__

if TYPE_CHECKING:
    import httpx

_MOST_UNREACHABLE = 3

ACCEPTED = 200
"""Meta counts nothing else as received."""


class TargetUnavailableError(WaHooksError):
    """The receiver cannot be reached."""

    exit_code = 3
    transient = True


@dataclass(slots=True)
class Sent:
    """How a target answered: `statuses` counts by HTTP status, `failures` says each one that was not 200."""

    deliveries: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    gave_up: bool = False

    @property
    def failed(self) -> int:
        """Deliveries not answered with 200."""
        return self.deliveries - self.statuses[str(ACCEPTED)]


def send(
    captures: Iterable[Capture],
    url: str,
    secret: str,
    *,
    timeout: float = 10.0,
    progress: Callable[[Sent], None] | None = None,
) -> Sent:
    """POST each capture to `url` in order, over one connection; return how it was answered.

    What cannot be connected is tried three times; after three deliveries in a row that could not, the rest are not
    sent. A redirect is a failure, as for Meta.
    """
    import httpx  # noqa: PLC0415 - only this command needs it

    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL as exc:
        raise ConfigError(f"{url!r} is no URL: {exc}") from exc
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise ConfigError(f"{url!r} is no http or https URL")
    sent = Sent()
    unreachable = 0
    with httpx.Client(timeout=timeout, follow_redirects=False) as client:
        for capture in captures:
            sent.deliveries += 1
            try:
                status = str(patiently(lambda body=capture.body: _post(client, url, body, secret)))  # type: ignore[misc]
            except TargetUnavailableError as exc:
                status, reason = "unreachable", str(exc)
                unreachable += 1
            else:
                reason = f"answered {status}"
                unreachable = 0
            sent.statuses[status] += 1
            if status != str(ACCEPTED):
                sent.failures.append(f"{capture.name}: {reason}")
            if progress:
                progress(sent)
            if unreachable == _MOST_UNREACHABLE:
                sent.gave_up = True
                break
    return sent


def _post(client: httpx.Client, url: str, body: bytes, secret: str) -> int:
    import httpx  # noqa: PLC0415 - as above

    headers = {
        "Content-Type": "application/json",
        "User-Agent": f"wa-hooks/{__version__}",
        signature.HEADER: signature.sign(body, secret),
    }
    try:
        return client.post(url, content=body, headers=headers).status_code
    except httpx.TransportError as exc:
        raise TargetUnavailableError(f"cannot be reached: {exc}") from exc
