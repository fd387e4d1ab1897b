"""Where a request comes from: networks, the address behind proxies, and the name in a client's certificate.

Pure functions of what a socket, a header or a certificate says. Nothing here raises, whatever a header holds, and
nothing that a stranger writes is believed: a header counts only from a trusted proxy, and of a list only what such
proxies added.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    collapse_addresses,
    ip_address,
    ip_network,
)
from typing import Any, Literal, Self

from .errors import ConfigError

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

META_CLIENT_NAME = "client.webhooks.fbclientcerts.com"
"""The common name in the certificate that Meta presents (documentation of the webhook endpoint, April 2026)."""

_REMEMBERED = 4096
"""Addresses that are kept with what was found. A stranger with a whole IPv6 network must not fill the memory."""

_MOST_PROXIES = 32
"""Entries of a forwarding header that are looked at, from the right."""


class Networks:
    """A set of IPv4 and IPv6 networks: `address in networks`, falsy when empty, iterable in order, without overlap.

    An IPv4-mapped IPv6 address (`::ffff:192.0.2.1`, as a dual-stack socket gives it) counts as the IPv4 address.
    """

    def __init__(self, networks: Iterable[Network] = ()) -> None:
        """Take networks in any order; those within others and neighbours are put together."""
        plain = [_unmapped(network) for network in networks]
        four = collapse_addresses(network for network in plain if isinstance(network, IPv4Network))
        six = collapse_addresses(network for network in plain if isinstance(network, IPv6Network))
        self._networks: tuple[Network, ...] = (*four, *six)
        # One number line for both versions: disjoint ranges in order, so that one bisection answers.
        self._first = [_key(network[0]) for network in self._networks]
        self._last = [_key(network[-1]) for network in self._networks]
        self._contains = lru_cache(maxsize=_REMEMBERED)(self._look_up)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read networks and addresses, separated by white space or commas; `#` begins a comment.

        Raises:
            ConfigError: something else stands there, or a network with bits set behind its prefix.
        """
        found = []
        for number, line in enumerate(text.splitlines(), start=1):
            for word in line.partition("#")[0].replace(",", " ").split():
                try:
                    found.append(ip_network(word))
                except ValueError as exc:
                    raise ConfigError(
                        f"line {number}: {word[:60]!r} is no network: {_reason(exc)}",
                        hint="Write networks like 192.0.2.0/24 or 2001:db8::/32, or single addresses.",
                    ) from exc
        return cls(found)

    def __contains__(self, address: object) -> bool:
        """Tell whether an address, as text, is in one of the networks; what is no address is in none."""
        return isinstance(address, str) and bool(self._networks) and self._contains(address)

    def _look_up(self, text: str) -> bool:
        address = _address(text)
        if address is None:
            return False
        key = _key(address)
        place = bisect_right(self._first, key) - 1
        return place >= 0 and key <= self._last[place]

    def __iter__(self) -> Iterator[Network]:
        return iter(self._networks)

    def __len__(self) -> int:
        return len(self._networks)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Networks) and self._networks == other._networks

    def __hash__(self) -> int:
        return hash(self._networks)

    def __repr__(self) -> str:
        return f"Networks({', '.join(map(str, self._networks))})"


def client_address(
    peer: str, header: str | None, *, trusted: Networks, kind: Literal["x-forwarded-for", "forwarded"]
) -> str:
    """Return the address that a request comes from: of the last hop that is no trusted proxy.

    `peer` is the socket's own address; `header` is what the header named `kind` holds, its lines joined by commas in
    their order. It is believed only if the peer is trusted, and read from the right, since what stands left of a
    trusted proxy's own entry may be the stranger's. What is no address ends the reading: then it is the last trusted
    proxy's. Never raises. Addresses are returned in their short form, without port and zone; a peer that has none (a
    Unix socket's) as it is.
    """
    at = _address(peer)
    if at is None:
        return peer
    found = str(at)
    if not header or found not in trusted:
        return found
    for entry in reversed(header.rsplit(",", _MOST_PROXIES)):
        told = _address(entry if kind == "x-forwarded-for" else _forwarded_for(entry))
        if told is None:
            break
        found = str(told)
        if found not in trusted:
            break
    return found


_PAIR = re.compile(r'[ \t]*+([!#$%&\'*+.^_`|~\w-]++)=(?:"([^"\\,;]*+)"|([^",;\s\\]*+))[ \t]*+(;|\Z)', re.ASCII)


def _forwarded_for(entry: str) -> str:
    """Return what one entry of `Forwarded` (RFC 7239) says after `for=`; nothing if it is not well formed.

    Quoted text with a comma, a semicolon or a backslash is not taken: no address needs one, and an entry cut out of
    the quotes of a stranger must not read as a proxy's.
    """
    found: list[str] = []
    at = 0
    while at < len(entry):
        pair = _PAIR.match(entry, at)
        if pair is None:
            return ""
        if pair[1].lower() == "for":
            found.append(pair[2] if pair[2] is not None else pair[3])
        at = pair.end()
    return found[0] if len(found) == 1 else ""


_LONGEST = 100
"""Characters of an address with all that may stand around it."""

_WITH_PORT = re.compile(r"\[([^\[\]]++)\](?::\d{1,5})?|(\d[\d.]*+):\d{1,5}", re.ASCII)


def _address(text: str) -> Address | None:
    """Read an address as sockets and headers write it: perhaps in brackets, with a port, with a zone; or None."""
    return _read_address(text) if len(text) <= _LONGEST else None


@lru_cache(maxsize=_REMEMBERED)
def _read_address(text: str) -> Address | None:
    text = text.strip(" \t")
    if written := _WITH_PORT.fullmatch(text):
        text = written[1] or written[2]
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address):
        return address.ipv4_mapped or IPv6Address(int(address))  # without its zone
    return address


def _key(address: Address) -> int:
    """Return a number that orders all addresses: IPv4 before IPv6."""
    return int(address) if isinstance(address, IPv4Address) else (1 << 32) + int(address)


_MAPPED_PREFIX = 96


def _unmapped(network: Network) -> Network:
    if isinstance(network, IPv6Network) and network.prefixlen >= _MAPPED_PREFIX:
        mapped = network[0].ipv4_mapped
        if mapped:
            return IPv4Network((mapped, network.prefixlen - _MAPPED_PREFIX))
    return network


def _reason(exc: ValueError) -> str:
    return "bits are set behind its prefix" if "host bits" in str(exc) else "it is neither IPv4 nor IPv6"


# -- names in certificates


def certificate_names(peercert: Mapping[str, Any]) -> frozenset[str]:
    """Return the names in a verified certificate, as `ssl.SSLSocket.getpeercert` gives it: common and DNS names."""
    subject = (pair for part in peercert.get("subject", ()) for pair in part)
    common = (value for kind, value in subject if kind.lower() in _COMMON_NAMES)
    return frozenset([*common, *(value for kind, value in peercert.get("subjectAltName", ()) if kind == "DNS")])


_COMMON_NAMES = frozenset({"cn", "commonname", "2.5.4.3"})
_ATTRIBUTE = re.compile(
    r"\s*+([A-Za-z][\w-]*+|\d[\d.]*+)\s*+="  # its type, or the type's number
    r'(?:\s*+"((?:[^"\\]|\\.)*+)"\s*+|((?:[^,;+"\\]|\\.)*+))([,;+]|\Z)',  # its value, in quotes or not
    re.ASCII,
)
_ESCAPE = re.compile(r"\\(?:([0-9A-Fa-f]{2})|(.))")
_SLASH = re.compile(r"/(?=(?:[A-Za-z][\w-]*+|\d[\d.]*+)=)", re.ASCII)
_ENVOY_PART = r'(?:By|Hash|Cert|Chain|Subject|URI|DNS)=(?:"(?:[^"\\]|\\.)*+"|[^",;]*+)'
_ENVOY = re.compile(rf"{_ENVOY_PART}(?:;{_ENVOY_PART})*+", re.IGNORECASE)
_ENVOY_SUBJECT = re.compile(r'(?:\A|;)Subject="((?:[^"\\]|\\.)*+)"', re.IGNORECASE)


@lru_cache(maxsize=64)
def subject_name(header: str) -> str | None:
    """Return the common name of a certificate's subject as a proxy writes it; None if there is none, or several.

    Reads RFC 2253 (`CN=name,O=...`: nginx's `$ssl_client_s_dn`, Caddy, `X-Amzn-Mtls-Clientcert-Subject` of AWS), the
    older `/O=.../CN=name` (HAProxy, nginx's `$ssl_client_s_dn_legacy`) and Envoy's `X-Forwarded-Client-Cert` of one
    certificate. The older form does not escape slashes: who has the organisation `x/CN=name` certified, and no common
    name, passes for `name`. Never raises.
    """
    text = header.lstrip()
    if _ENVOY.fullmatch(text):
        subjects = _ENVOY_SUBJECT.findall(text)
        text = subjects[0] if len(subjects) == 1 else ""
    if text.startswith("/"):
        pairs = [(part.partition("=")[0], part.partition("=")[2]) for part in _SLASH.split(text)[1:]]
    else:
        pairs = _attributes(text)
    names = [value for kind, value in pairs if kind.lower() in _COMMON_NAMES]
    return names[0] if len(names) == 1 and names[0] and not names[0].startswith("#") else None


def _attributes(text: str) -> list[tuple[str, str]]:
    """Return the (type, value) pairs of a subject after RFC 2253; none if anything in it is not well formed."""
    found: list[tuple[str, str]] = []
    at = 0
    while attribute := _ATTRIBUTE.match(text, at):
        value = attribute[2] if attribute[2] is not None else _stripped(attribute[3])
        found.append((attribute[1], _ESCAPE.sub(_unescaped, value)))
        if not attribute[4]:
            return found
        at = attribute.end()
    return []


def _stripped(value: str) -> str:
    """Return a value without the spaces around it; one that is escaped at its end belongs to it."""
    bare = value.strip(" ")
    escaped = (len(bare) - len(bare.rstrip("\\"))) % 2
    return f"{bare} " if escaped else bare


def _unescaped(escape: re.Match[str]) -> str:
    return chr(int(escape[1], 16)) if escape[1] else escape[2]
