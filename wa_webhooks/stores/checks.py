"""What `doctor` asks of a store over a network before it opens it: where it is, and who would be let in."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from .. import settings
from ..errors import StoreError, StoreRejectedError, WaHooksError
from . import open_store

_SLOW = 1.0
"""Seconds that a call may take; a receiver answers within a few."""


class Check(NamedTuple):
    """One check: `remedy` is None if it passed."""

    name: str
    finding: str
    remedy: str | None = None


def checks(url: str, env: Mapping[str, str]) -> Iterator[Check]:
    """Yield what there is to say of a store over a network; nothing for one on this machine's disk."""
    if url == "supabase":
        try:
            address, key = settings.supabase_project(env)
        except WaHooksError:
            return  # the store itself says it
        yield _address(address)
        yield _key(key)
        if publishable := env.get("SUPABASE_PUBLISHABLE_KEY") or env.get("SUPABASE_ANON_KEY"):
            yield _browsers(address, publishable)
    if url == "supabase" or url.startswith(("postgresql:", "postgres:")):
        yield from _distance(url)


def _address(address: str) -> Check:
    on_loopback = address.startswith(("http://127.0.0.1", "http://localhost", "http://[::1]"))
    plain = address.startswith("http://") and not on_loopback
    remedy = "Use https://: the key travels with every request." if plain else None
    return Check("project", address, remedy)


def _key(key: str) -> Check:
    if key.startswith("sb_secret_"):
        return Check("key", "a secret key")
    return Check("key", "a legacy key: Supabase withdraws these; a secret key (sb_secret_...) takes its place")


def _browsers(address: str, key: str) -> Check:
    """Whether the key that browsers have can call anything of ours."""
    from .supabase import SupabaseTransport  # noqa: PLC0415 - as the stores

    try:
        transport = SupabaseTransport(address, key)
    except ImportError:
        return Check("browsers", "not tried: supabase-py is not installed", "pip install 'wa-hooks[supabase]'")
    try:
        transport.call("wa_counts", {})
    except StoreRejectedError:
        return Check("browsers", "their key may do nothing")
    except StoreError as exc:
        return Check("browsers", f"not known: {exc}")
    finally:
        transport.close()
    return Check(
        "browsers", "the publishable key can read the log", "Apply the migrations again: they take its rights away."
    )


def _distance(url: str) -> Iterator[Check]:
    """How long a call takes."""
    try:
        store = open_store(url, create=False)
    except WaHooksError:
        return  # the store itself says it
    try:
        store.check_writable()
        started = time.monotonic()
        store.check_writable()
        took = time.monotonic() - started
    except StoreError:
        return  # likewise
    finally:
        store.close()
    remedy = "Run `serve` and `work` closer to the database." if took > _SLOW else None
    yield Check("distance", f"a call takes {took * 1000:.0f} ms", remedy)
