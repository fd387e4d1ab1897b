"""`networks`: where Meta sends from."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import render
from .options import YesOption

if TYPE_CHECKING:
    from wa_webhooks.networks import Networks

_EXPLANATION = """\
Meta sends from the networks of {system}, IPv4 and IPv6. The list changes; Meta recommends mutual TLS instead
(serve --tls-client-ca, or --client-cert-header behind a proxy that checks the certificate).

Its source is the registry of routes RADB:
  whois -h {server} -- '{query}' | grep '^route'
The same, checked, in a file:
  wa-hooks networks --refresh meta-networks.txt
  wa-hooks serve --allow-networks meta-networks.txt
Refresh it at least every {days} days, and send SIGHUP to `serve` then; `wa-hooks doctor` watches its age."""


def register(app: typer.Typer) -> None:
    """Add the command to the app."""
    app.command()(networks)


def networks(
    file: Annotated[Path | None, typer.Argument(metavar="[FILE]", help="Print what this file holds.")] = None,
    refresh: Annotated[
        Path | None,
        typer.Option("--refresh", envvar="WA_HOOKS_REFRESH", metavar="FILE", help="Ask, check, and write this file."),
    ] = None,
    whois: Annotated[
        str | None,
        typer.Option("--whois", envvar="WA_HOOKS_WHOIS", metavar="HOST[:PORT]", help="Ask this server, not RADB's."),
    ] = None,
    timeout: Annotated[
        float,
        typer.Option(
            "--timeout", envvar="WA_HOOKS_TIMEOUT", min=0.1, metavar="SECONDS", help="For the whole answer."
        ),
    ] = 30,
    yes: YesOption = False,
) -> int:
    """Say which networks Meta sends from, and keep them in a file for `serve --allow-networks`.

    With --refresh it asks the registry of routes that Meta names, and prints what was added (+) and removed (-).
    An answer that is empty, cut off or not plausible changes nothing, and neither does one that lacks more than half
    of what the file has, unless --yes. Exits 3 then.
    """
    from wa_webhooks import whois as registry
    from wa_webhooks.errors import ConfigError

    if file and refresh:
        raise ConfigError("both a file to print and one to refresh are given", hint="Give one of them.")
    if refresh:
        changed = registry.refresh(refresh, server=whois or registry.SERVER, timeout=timeout, accept_loss=yes)
        for sign, found in (("+", changed.added), ("-", changed.removed)):
            for network in found:
                typer.echo(f"{sign} {network}")
        told = f"{len(changed.added)} added, {len(changed.removed)} removed"
        typer.echo(f"wrote {refresh}: {_counted(changed.networks)}; {told}", err=True)
    elif file:
        listing = registry.read(file)
        for network in listing.networks:
            typer.echo(str(network))
        told = f" from {listing.source}" if listing.source else ""
        typer.echo(f"{_counted(listing.networks)}{told}, of {listing.fetched:%Y-%m-%d}", err=True)
        if (datetime.now(UTC) - listing.fetched).days >= registry.STALE_DAYS:
            typer.echo(f"That is long ago; refresh it: wa-hooks networks --refresh {file}", err=True)
    else:
        typer.echo(
            _EXPLANATION.format(
                system=registry.AUTONOMOUS_SYSTEM,
                server=registry.SERVER,
                query=registry.QUERY,
                days=registry.STALE_DAYS,
            )
        )
    return 0


def _counted(networks: Networks) -> str:
    four = sum(network.version == 4 for network in networks)  # noqa: PLR2004
    return f"{render.count(len(networks), 'network')} ({four} IPv4, {len(networks) - four} IPv6)"
