"""Meta's networks: asked of a registry of routes, checked, and kept in a file."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from ipaddress import ip_network
from pathlib import Path
from typing import NamedTuple

from .errors import ConfigError, WhoisError
from .networks import Network, Networks

SERVER = "whois.radb.net"
"""The registry that Meta's documentation of the webhook endpoint names (April 2026)."""

AUTONOMOUS_SYSTEM = "AS32934"
QUERY = f"-i origin {AUTONOMOUS_SYSTEM}"

STALE_DAYS = 30
"""Days after which a file should be written anew. The list changes now and then, without notice."""

_PORT = 43
_LARGEST = 8 * 2**20  # bytes of an answer; Meta's is a quarter of one MiB
_WIDEST = {4: 8, 6: 16}  # bits of a prefix, by version: nobody announces more than that as one route
_ATTRIBUTE = re.compile(r"^([A-Za-z][\w-]*):[ \t]*([^\s#]*)", re.MULTILINE)
_STAYS = "The file stays as it was."


class Listing(NamedTuple):
    """What a file holds: `fetched` is when it was asked for, or else when the file was written."""

    networks: Networks
    fetched: datetime
    source: str | None


class Refreshed(NamedTuple):
    """How a file changed."""

    networks: Networks
    added: tuple[Network, ...]
    removed: tuple[Network, ...]


def read(path: Path) -> Listing:
    """Read a file of networks, written by `refresh` or by hand.

    Raises:
        ConfigError: it cannot be read, holds something else, or nothing.
    """
    try:
        text = path.read_text("utf-8")
        written = datetime.fromtimestamp(path.stat().st_mtime, UTC)
    except (OSError, UnicodeDecodeError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else "it is not text"
        raise ConfigError(f"cannot read {path}: {reason}", hint="Check the path and permissions.") from exc
    try:
        networks = Networks.parse(text)
    except ConfigError as exc:
        raise ConfigError(f"{path}, {exc}", hint=exc.hint) from exc
    if not networks:
        raise ConfigError(f"{path} holds no networks", hint="Write it with `wa-hooks networks --refresh`.")
    source = re.search(r"^# source: (.+)$", text, re.MULTILINE)
    stated = re.search(r"^# fetched: (\S+)$", text, re.MULTILINE)
    with contextlib.suppress(ValueError):
        if stated:
            written = datetime.fromisoformat(stated[1]).astimezone(UTC)
    return Listing(networks, written, source[1] if source else None)


def refresh(path: Path, *, server: str = SERVER, timeout: float = 30, accept_loss: bool = False) -> Refreshed:
    """Write Meta's networks, as `server` (HOST or HOST:PORT) has them, into a file, at once or not at all.

    A file that is there must be empty or one of networks. `timeout`, in seconds, is for the whole answer. With
    `accept_loss`, one that lacks more than half of the old networks is taken too; else that counts as cut off.

    Raises:
        WhoisError: no answer, or none that can be used; the file stays as it was.
        ConfigError: the file holds something else, or cannot be written.
    """
    old = read(path).networks if path.exists() and path.stat().st_size else Networks()
    new = ranges(ask(server, timeout=timeout))
    lost = [network for network in old if not (str(network[0]) in new and str(network[-1]) in new)]
    if len(lost) * 2 > len(old) and not accept_loss:
        raise WhoisError(
            f"the answer lacks {len(lost)} of the {len(old)} networks in {path}",
            hint=f"{_STAYS} If they are really gone, repeat with --yes.",
        )
    _write(path, new, server)
    before, after = set(old), set(new)
    return Refreshed(
        new,
        added=tuple(network for network in new if network not in before),
        removed=tuple(network for network in old if network not in after),
    )


def ask(server: str = SERVER, *, timeout: float = 30) -> str:
    """Return what a whois server answers to the question for the routes of Meta's autonomous system.

    Raises:
        WhoisError: it cannot be reached, takes too long, or says too much.
    """
    host, port = _host_and_port(server)
    deadline = time.monotonic() + timeout
    answer = bytearray()
    try:
        with socket.create_connection((host, port), timeout=timeout) as connection:
            connection.sendall(f"{QUERY}\r\n".encode("ascii"))
            while len(answer) <= _LARGEST:
                connection.settimeout(max(0.001, deadline - time.monotonic()))
                piece = connection.recv(2**16)
                if not piece:
                    return answer.decode("utf-8", "replace")
                answer += piece
    except OSError as exc:
        reason = "no complete answer in time" if isinstance(exc, TimeoutError) else exc.strerror or str(exc)
        raise WhoisError(
            f"cannot ask {host} port {port}: {reason}",
            hint=f"{_STAYS} Whois needs TCP port {port} to the outside; --whois names another server.",
        ) from exc
    raise _unusable(f"it is larger than {_LARGEST // 2**20} MiB")


def _host_and_port(server: str) -> tuple[str, int]:
    found = re.fullmatch(r"(?:\[([^\[\]]+)\]|([^:\[\]\s]+))(?::(\d{1,5}))?|([0-9A-Fa-f:]+)", server)
    if found is None:
        raise ConfigError(f"{server!r} is no server", hint="Write HOST or HOST:PORT.")
    return found[1] or found[2] or found[4], int(found[3] or _PORT)


def ranges(answer: str) -> Networks:
    """Return the networks of an answer, put together.

    Raises:
        WhoisError: it is empty or cut off, or one of its routes is not Meta's, or none that anybody could have.
    """
    text = answer.replace("\r\n", "\n")
    routes = list(_routes(text))
    if not routes:
        said = next((line for line in text.splitlines() if line.strip()), "nothing")
        raise _unusable(f"it has no routes; it says: {said[:100]!r}")
    if not text.endswith("\n\n\n"):  # an empty line ends an object, two end the answer
        raise _unusable("it is cut off")
    return Networks(routes)


def _routes(text: str) -> Iterator[Network]:
    for described in re.split(r"\n\n+", text):
        pairs = [(name.lower(), value) for name, value in _ATTRIBUTE.findall(described)]
        routes = [(value, 4 if name == "route" else 6) for name, value in pairs if name in ("route", "route6")]
        owners = {value.upper() for name, value in pairs if name == "origin"}
        if routes and owners != {AUTONOMOUS_SYSTEM}:
            raise _unusable(f"the route {routes[0][0]!r} belongs to {', '.join(sorted(owners)) or 'nobody'}")
        for value, version in routes:
            yield _route(value, version)


def _route(text: str, version: int) -> Network:
    try:
        network = ip_network(text)
    except ValueError as exc:
        raise _unusable(f"{text!r} is no network") from exc
    if network.version != version or network.prefixlen < _WIDEST[version] or not network.is_global:
        raise _unusable(f"{text!r} is no network that Meta could have")
    return network


def _unusable(why: str) -> WhoisError:
    return WhoisError(
        f"the answer cannot be used: {why}", hint=f"{_STAYS} Try again later, or --whois another server."
    )


def _write(path: Path, networks: Networks, server: str) -> None:
    """Replace a file, or make it: a reader finds the old one or the new one, whatever happens."""
    target = path.resolve()  # of a link, what it leads to
    lines = [
        f"# The networks of Meta ({AUTONOMOUS_SYSTEM}). wa-hooks networks --refresh replaces this file.",
        f"# source: {server}, {QUERY}",
        f"# fetched: {datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        f"# ranges: {len(networks)}",
        *map(str, networks),
    ]
    try:
        mode = target.stat().st_mode & 0o777 if target.exists() else 0o644
        handle, made = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write("\n".join(lines) + "\n")
                file.flush()
                os.fchmod(file.fileno(), mode)
                os.fsync(file.fileno())
            Path(made).replace(target)
        except BaseException:
            Path(made).unlink(missing_ok=True)
            raise
    except OSError as exc:
        raise ConfigError(
            f"cannot write {path}: {exc.strerror}", hint="Check the folder and its permissions."
        ) from exc
