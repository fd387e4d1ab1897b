"""TLS of the receiver, and the client certificates that it asks for."""

from __future__ import annotations

import ssl
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


def _reason(exc: Exception) -> str:
    if isinstance(exc, ssl.SSLError):
        return (exc.reason or "it is no PEM file").lower().replace("_", " ")
    return exc.strerror if isinstance(exc, OSError) and exc.strerror else str(exc)
