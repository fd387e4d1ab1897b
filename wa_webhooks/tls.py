"""TLS of the receiver, and the client certificates that it asks for."""

from __future__ import annotations

import re
import ssl
from datetime import UTC, datetime
from pathlib import Path

from .errors import ConfigError


def server_context(certificate: Path, key: Path | None, client_ca: Path | None = None) -> ssl.SSLContext:
    """Return the context of a server: TLS 1.2 or later, with the chain and the key in these PEM files.

    With `client_ca`, clients are asked for a certificate. One that this authority has not signed ends the handshake;
    who has none at all is let in, so that health checks work, and has to be refused by what he asks for.

    Raises:
        ConfigError: a file cannot be read or used.
    """
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(certificate, key, password=lambda: b"")  # else it would ask on the terminal
    except (OSError, ValueError) as exc:
        raise ConfigError(
            f"cannot use the certificate {certificate} with the key {key or certificate}: {_reason(exc)}",
            hint="Give the chain to --tls-cert and its key, not encrypted, to --tls-key, both PEM.",
        ) from exc
    if client_ca:
        try:
            context.load_verify_locations(client_ca)
        except (OSError, ValueError) as exc:
            raise ConfigError(f"cannot use the certificate authority {client_ca}: {_reason(exc)}") from exc
        context.verify_mode = ssl.CERT_OPTIONAL
    return context


def expiry(file: Path) -> datetime:
    """Return when the first of the certificates in a PEM file expires.

    Raises:
        ConfigError: it cannot be read, or holds no certificate.
    """
    try:
        found = _CERTIFICATE.findall(file.read_text("ascii", "replace"))
        return min(_not_after(ssl.PEM_cert_to_DER_cert(pem)) for pem in found)
    except (OSError, ValueError, IndexError) as exc:
        reason = _reason(exc) if isinstance(exc, OSError) else "it holds no certificate"
        raise ConfigError(f"cannot read {file}: {reason}", hint="Give certificates in PEM.") from exc


_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
_VERSION = 0xA0
_UTC_TIME = 0x17


def _not_after(der: bytes) -> datetime:
    """Return when a certificate (RFC 5280) expires: ssl tells that of the other side's alone."""
    fields = _values(_values(_values(der)[0][1])[0][1])
    has_version = fields[0][0] == _VERSION  # then serial number, algorithm, issuer, validity
    tag, written = _values(fields[3 + has_version][1])[1]
    text = written.decode("ascii")
    if tag == _UTC_TIME:
        text = ("19" if text >= "50" else "20") + text
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)


def _values(der: bytes) -> list[tuple[int, bytes]]:
    """Cut DER into (tag, content), one level deep."""
    found = []
    at = 0
    while at < len(der):
        tag, length = der[at], der[at + 1]
        at += 2
        if length & 0x80:  # the length's own length comes first
            more = length & 0x7F
            length, at = int.from_bytes(der[at : at + more]), at + more
        found.append((tag, der[at : at + length]))
        at += length
    return found


def _reason(exc: Exception) -> str:
    if isinstance(exc, ssl.SSLError):
        return (exc.reason or "it is no PEM file").lower().replace("_", " ")
    return exc.strerror if isinstance(exc, OSError) and exc.strerror else str(exc)
