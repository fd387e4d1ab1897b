"""Named checks of an installation, each failure with its remedy."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import stat
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from . import rotation, settings, tls, whois
from .errors import ConfigError, WaHooksError
from .handlers import builtin, load_registry
from .networks import Networks
from .signature import key_label
from .stores import open_store, shown
from .stores.checks import checks

_SQLITE_NEEDED = (3, 32, 0)  # generated columns came with 3.31, iif() with 3.32
_LEAST_FREE = 100 * 2**20
_LEAST_VALID = 21  # days; authorities that renew by themselves do so a month before


class CheckResult(NamedTuple):
    """One check: `remedy` is None if it passed."""

    name: str
    finding: str
    remedy: str | None = None


def examine(store_url: str, handlers: str | None, env: Mapping[str, str] = os.environ) -> Iterator[CheckResult]:
    """Yield the result of every check."""
    yield _sqlite_version()
    yield _attempt("app secret", lambda: _secrets(env))
    yield _attempt("verify token", lambda: _token(env))
    yield from _secret_files(env)
    yield _attempt("store", lambda: _store(store_url))
    for check in checks(store_url, env):
        yield CheckResult(*check)
    yield from _rotation(store_url, env)
    yield from _disk(store_url)
    yield _attempt("handlers", lambda: _handlers(handlers))
    yield from _origin(env)


def _attempt(name: str, check: Callable[[], str]) -> CheckResult:
    try:
        return CheckResult(name, check())
    except WaHooksError as exc:
        return CheckResult(name, str(exc), exc.hint or "See docs/operations.md.")


def _sqlite_version() -> CheckResult:
    remedy = None
    if sqlite3.sqlite_version_info < _SQLITE_NEEDED:
        remedy = f"Use a Python built with SQLite {'.'.join(map(str, _SQLITE_NEEDED))} or later."
    return CheckResult("sqlite", f"version {sqlite3.sqlite_version}", remedy)


def _secrets(env: Mapping[str, str]) -> str:
    labels = [key_label(secret) for secret in settings.app_secrets(env)]
    if len(labels) == 1:
        return f"set, label {labels[0]}"
    return f"{len(labels)} set, labels {', '.join(labels)}: a rotation is under way"


def _token(env: Mapping[str, str]) -> str:
    if settings.verify_token(env) is None:
        raise WaHooksError(
            "not set: Meta cannot verify the callback URL",
            hint="Set WHATSAPP_VERIFY_TOKEN to the token that you type in the app dashboard.",
        )
    return "set"


def _secret_files(env: Mapping[str, str]) -> Iterator[CheckResult]:
    for name in ("WHATSAPP_APP_SECRET_FILE", "WHATSAPP_VERIFY_TOKEN_FILE", "WA_HOOKS_TLS_KEY"):
        path = env.get(name)
        if path and Path(path).exists():
            mode = Path(path).stat().st_mode
            loose = mode & (stat.S_IRWXG | stat.S_IRWXO) & ~stat.S_IRGRP
            remedy = f"chmod 600 {path}" if loose else None
            yield CheckResult(name, f"mode {stat.filemode(mode)}", remedy)


def _store(url: str) -> str:
    store = open_store(url, create=False)
    try:
        store.check_writable()
        counts = store.counts()
    finally:
        store.close()
    return f"{shown(url)}: writable, {counts['events']['total']} events, {counts['backlog']} deliveries waiting"


def _rotation(url: str, env: Mapping[str, str]) -> Iterator[CheckResult]:
    """How far a rotation of the app secret is, where one is under way and the store can tell."""
    try:
        secrets = settings.app_secrets(env)
        store = open_store(url, create=False)
        with contextlib.closing(store):
            used = store.counts()["app_secrets"]
    except WaHooksError:
        return  # said already
    if said := rotation.advice(rotation.standing(used, secrets), datetime.now(UTC)):
        yield CheckResult("rotation", said)


def _disk(url: str) -> Iterator[CheckResult]:
    scheme, _, path = url.partition(":")
    folder = Path(path).resolve().parent
    if scheme == "sqlite" and path != ":memory:" and folder.exists():
        free = shutil.disk_usage(folder).free
        remedy = "Free space on the disk of the store." if free < _LEAST_FREE else None
        yield CheckResult("disk", f"{free // 2**20} MiB free", remedy)


def _handlers(reference: str | None) -> str:
    if reference is None:
        builtin()
        return "built in"
    load_registry(reference)
    return f"built in and {reference}"


def _origin(env: Mapping[str, str]) -> Iterator[CheckResult]:
    """What the variables of `serve` name to tell Meta from others by, and itself from others."""
    if networks := env.get("WA_HOOKS_ALLOW_NETWORKS"):
        yield _attempt("networks", lambda: _networks(networks))
    certificate, key, authority = (
        Path(env[name]) if env.get(name) else None
        for name in ("WA_HOOKS_TLS_CERT", "WA_HOOKS_TLS_KEY", "WA_HOOKS_TLS_CLIENT_CA")
    )
    if certificate:
        yield _attempt("certificate", lambda: _certificate(certificate, key))
    if authority:
        yield _attempt("authority", lambda: _valid(authority, "Get the authority's new certificate."))


def _networks(named: str) -> str:
    file = Path(named)
    if not file.is_file():
        try:
            return f"{len(Networks.parse(named))} named"
        except ConfigError as exc:
            raise ConfigError(f"{named} is no file, and on {exc}", hint=exc.hint) from exc
    listing = whois.read(file)
    age = (datetime.now(UTC) - listing.fetched).days
    if age >= whois.STALE_DAYS:
        raise ConfigError(
            f"{file} is {age} days old", hint=f"wa-hooks networks --refresh {file}, and send SIGHUP to `serve`."
        )
    return f"{len(listing.networks)} in {file}, of {listing.fetched:%Y-%m-%d}"


def _certificate(certificate: Path, key: Path | None) -> str:
    tls.server_context(certificate, key)
    return _valid(certificate, "Renew the certificate, and send SIGHUP to `serve`.")


def _valid(file: Path, remedy: str) -> str:
    until = tls.expiry(file)
    left = (until - datetime.now(UTC)).days
    if left < _LEAST_VALID:
        told = f"expires in {left} days" if left >= 0 else "has expired"
        raise ConfigError(f"{file} {told}, on {until:%Y-%m-%d}", hint=remedy)
    return f"{file} is valid until {until:%Y-%m-%d}"
