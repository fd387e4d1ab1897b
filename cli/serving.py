"""`serve`: the receiver, with its workers."""

from __future__ import annotations

import os
import re
import signal
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, cast

import typer

from . import options, spooling
from .options import (
    AccountsOption,
    AttemptsOption,
    HandlersOption,
    LogLevelOption,
    NumbersOption,
    RetryBaseOption,
    StoreOption,
)
from .spooling import NoSpoolOption, SpoolLimitOption, SpoolOption

if TYPE_CHECKING:
    from wa_webhooks.networks import Networks
    from wa_webhooks.pipeline import Pipeline
    from wa_webhooks.receiver.server import Settings

_FRONT_PATIENCE = 5.0
"""Seconds to wait for the write lock before a delivery is answered 503."""
_IN_FLIGHT = 4
"""Appends to a store over a network, of a receiver without a spool."""
_FORWARDED = ("x-forwarded-for", "forwarded")
_META_CLIENT = "client.webhooks.fbclientcerts.com"

HostOption = Annotated[str, typer.Option("--host", envvar="WA_HOOKS_HOST", help="Address to listen on.")]
PortOption = Annotated[int, typer.Option("--port", envvar="WA_HOOKS_PORT", min=0, max=65535, help="0: any free.")]
PathOption = Annotated[str, typer.Option("--path", envvar="WA_HOOKS_PATH", help="Path of the callback URL.")]
ProcessesOption = Annotated[
    int,
    typer.Option("--processes", envvar="WA_HOOKS_PROCESSES", min=1, max=64, help="Receivers that share the port."),
]
WorkersOption = Annotated[
    int,
    typer.Option(
        "--workers", envvar="WA_HOOKS_WORKERS", min=0, help="Processes that process; 0: run `work` elsewhere."
    ),
]
MaxBodyOption = Annotated[
    int, typer.Option("--max-body", envvar="WA_HOOKS_MAX_BODY", min=1, help="Largest body, in bytes.")
]
MaxConnectionsOption = Annotated[
    int,
    typer.Option(
        "--max-connections",
        envvar="WA_HOOKS_MAX_CONNECTIONS",
        min=1,
        help="Per receiver. Beyond, one is closed that has sent nothing signed lately.",
    ),
]
MaxPerAddressOption = Annotated[
    int,
    typer.Option(
        "--max-connections-per-address",
        envvar="WA_HOOKS_MAX_CONNECTIONS_PER_ADDRESS",
        min=1,
        help="Likewise, of one address that is no trusted proxy.",
    ),
]
NetworksOption = Annotated[
    str | None,
    typer.Option(
        "--allow-networks",
        envvar="WA_HOOKS_ALLOW_NETWORKS",
        metavar="FILE|CIDRS",
        help="Take webhooks from these networks alone; see `wa-hooks networks`. Default: all.",
    ),
]
ProxiesOption = Annotated[
    str | None,
    typer.Option(
        "--trust-proxies",
        envvar="WA_HOOKS_TRUST_PROXIES",
        metavar="CIDRS",
        help="Proxies that are believed where a request comes from. Default: none.",
    ),
]
ForwardedOption = Annotated[
    str,
    typer.Option(
        "--forwarded-header",
        envvar="WA_HOOKS_FORWARDED_HEADER",
        metavar="NAME",
        help="The header in which they say it: x-forwarded-for or forwarded.",
    ),
]
CertificateOption = Annotated[
    Path | None,
    typer.Option("--tls-cert", envvar="WA_HOOKS_TLS_CERT", metavar="FILE", help="Speak TLS with this chain (PEM)."),
]
KeyOption = Annotated[
    Path | None, typer.Option("--tls-key", envvar="WA_HOOKS_TLS_KEY", metavar="FILE", help="Its key (PEM).")
]
ClientCaOption = Annotated[
    Path | None,
    typer.Option(
        "--tls-client-ca",
        envvar="WA_HOOKS_TLS_CLIENT_CA",
        metavar="FILE",
        help="Take webhooks only from clients with a certificate of this authority (PEM), and with --client-name.",
    ),
]
ClientNameOption = Annotated[
    str,
    typer.Option("--client-name", envvar="WA_HOOKS_CLIENT_NAME", help="The name in the client's certificate."),
]
ClientHeaderOption = Annotated[
    str | None,
    typer.Option(
        "--client-cert-header",
        envvar="WA_HOOKS_CLIENT_CERT_HEADER",
        metavar="NAME",
        help="The header in which trusted proxies tell the subject of the certificate that they have checked.",
    ),
]


def register(app: typer.Typer) -> None:
    """Add the command to the app."""
    app.command()(serve)


def serve(
    store: StoreOption = options.DEFAULT_STORE_URL,
    host: HostOption = "127.0.0.1",
    port: PortOption = 8080,
    path: PathOption = "/webhook",
    processes: ProcessesOption = 1,
    workers: WorkersOption = 1,
    max_body: MaxBodyOption = 4_000_000,
    max_connections: MaxConnectionsOption = 4000,
    max_per_address: MaxPerAddressOption = 1000,
    spool: SpoolOption = spooling.DEFAULT_SPOOL,
    no_spool: NoSpoolOption = False,
    spool_limit: SpoolLimitOption = spooling.DEFAULT_SPOOL_MIB,
    allow_networks: NetworksOption = None,
    trust_proxies: ProxiesOption = None,
    forwarded_header: ForwardedOption = _FORWARDED[0],
    tls_cert: CertificateOption = None,
    tls_key: KeyOption = None,
    tls_client_ca: ClientCaOption = None,
    client_name: ClientNameOption = _META_CLIENT,
    client_cert_header: ClientHeaderOption = None,
    handlers: HandlersOption = None,
    allow_accounts: AccountsOption = None,
    allow_numbers: NumbersOption = None,
    max_attempts: AttemptsOption = options.DEFAULT_ATTEMPTS,
    retry_base: RetryBaseOption = options.DEFAULT_RETRY_BASE,
    log_level: LogLevelOption = "info",
) -> int:
    """Receive webhooks, record them, and process them.

    Needs WHATSAPP_APP_SECRET; WHATSAPP_VERIFY_TOKEN to answer Meta's verification of the callback URL.
    GET /healthz says that it is alive, GET /readyz that it can record. SIGTERM drains and exits 0. SIGHUP reads
    secrets, networks and certificates again.

    With a store over a network, deliveries are answered once they are in the --spool on this machine's disk, and sent
    to the store from there, so that it may be down for a while.
    """
    import logging

    from wa_webhooks import serving, settings, stores

    from . import logs

    def configure() -> Settings:
        settings.load_dotenv(Path.cwd())
        return _settings(
            path,
            max_body=max_body,
            connections=(max_connections, max_per_address),
            networks=allow_networks,
            proxies=trust_proxies,
            forwarded=forwarded_header,
            tls=(tls_cert, tls_key, tls_client_ca),
            client=(client_name, client_cert_header),
        )

    def open_pipeline() -> Pipeline:
        return options.pipeline(
            store,
            handlers=handlers,
            accounts=allow_accounts,
            numbers=allow_numbers,
            attempts=max_attempts,
            base=retry_base,
        )

    def listening(at: str, on: int) -> None:
        shown = f"{'https' if tls_cert else 'http'}://{f'[{at}]' if ':' in at else at}:{on}{path}"
        into = stores.shown(store)
        said = {"event": "listening", "host": at, "port": on, "path": path, "store": into, "pid": os.getpid()}
        logs.say(f"listening on {shown}, recording into {into}{f', by way of {spool}' if spools else ''}", said)
        if settings.verify_token() is None:
            logger.warning("no verify token is set: Meta's check of the callback URL will be refused")

    logs.configure(log_level)
    logger = logging.getLogger(__name__)
    remote = stores.is_remote(store)
    spools = remote and not no_spool
    served = serving.Serving(
        configure=configure,
        open_spool=partial(spooling.open_spool, spool, store, spool_limit) if spools else None,
        in_flight=_IN_FLIGHT if remote else 1,
        open_store=partial(stores.open_store, store, front=True, busy_timeout=_FRONT_PATIENCE),
        open_pipeline=open_pipeline,
        processes=processes,
        workers=workers,
    )
    by = serving.serve(served, host=host, port=port, listening=listening)
    logger.info("stopped")
    return 130 if by == signal.SIGINT else 0


def _settings(
    path: str,
    *,
    max_body: int,
    connections: tuple[int, int],
    networks: str | None,
    proxies: str | None,
    forwarded: str,
    tls: tuple[Path | None, Path | None, Path | None],
    client: tuple[str, str | None],
) -> Settings:
    """What the options say, and the secrets of the environment, once they make sense together."""
    from wa_webhooks import settings
    from wa_webhooks.errors import ConfigError
    from wa_webhooks.receiver.server import Settings
    from wa_webhooks.tls import server_context

    certificate, key, client_ca = tls
    name, header = client
    if not re.fullmatch(r"/[!-~]*", path) or set(path) & set("?#") or path in ("/healthz", "/readyz"):
        raise ConfigError(f"{path!r} is no path for the callback URL", hint="Write it like /webhook.")
    if forwarded not in _FORWARDED:
        raise ConfigError(f"{forwarded!r} is no forwarding header", hint=f"It is {' or '.join(_FORWARDED)}.")
    if (key or client_ca) and not certificate:
        raise ConfigError("--tls-key and --tls-client-ca need --tls-cert")
    if header and client_ca:
        raise ConfigError("--client-cert-header is for proxies that speak TLS, --tls-client-ca for speaking it here")
    if header and not proxies:
        raise ConfigError("--client-cert-header needs --trust-proxies: anybody else could write the header")
    return Settings(
        app_secrets=settings.app_secrets(),
        verify_token=settings.verify_token(),
        path=path,
        largest_body=max_body,
        most_connections=connections[0],
        most_per_address=connections[1],
        networks=_networks(networks, "--allow-networks"),
        proxies=_networks(proxies, "--trust-proxies"),
        forwarded=cast("Literal['x-forwarded-for', 'forwarded']", forwarded),
        tls=server_context(certificate, key, client_ca) if certificate else None,
        client_name=name if header or client_ca else None,
        client_header=header,
    )


def _networks(text: str | None, option: str) -> Networks:
    """The networks that an option names, or the file that it names holds."""
    from wa_webhooks.errors import ConfigError
    from wa_webhooks.networks import Networks

    if text is None:
        return Networks()
    try:
        if Path(text).is_file():
            text = Path(text).read_text("utf-8")
        found = Networks.parse(text)
    except (OSError, UnicodeDecodeError, ConfigError) as exc:
        raise ConfigError(
            f"{option}: {exc}", hint="Give a file, or networks like 192.0.2.0/24, comma-separated."
        ) from exc
    if not found:
        raise ConfigError(f"{option} names no network")
    return found
