"""`verify-signature`, `schema` and `doctor`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from . import options, render
from .options import HandlersOption, JsonOption, StoreOption


def register(app: typer.Typer) -> None:
    """Add the commands to the app."""
    app.command("verify-signature")(verify_signature)
    app.command()(schema)
    app.command()(doctor)


def verify_signature(
    body: Annotated[str, typer.Argument(metavar="BODY", help="A file with the raw body; - for standard input.")],
    signature: Annotated[
        str | None,
        typer.Option(
            "--signature",
            envvar="WA_HOOKS_SIGNATURE",
            metavar="HEADER",
            help="The value of X-Hub-Signature-256.",
        ),
    ] = None,
    explain: Annotated[
        bool, typer.Option("--explain", envvar="WA_HOOKS_EXPLAIN", help="Say why it does not verify.")
    ] = False,
) -> int:
    """Verify the signature of a body.

    With the configured app secrets. Exits 0 if it holds, 3 if not.
    """
    from wa_webhooks import settings
    from wa_webhooks import signature as signatures
    from wa_webhooks.errors import ConfigError, SignatureError

    secrets = settings.app_secrets()
    if signature is None:
        raise ConfigError("no signature is given", hint="Add --signature with the value of X-Hub-Signature-256.")
    if signature.lower().startswith(f"{signatures.HEADER.lower()}:"):
        signature = signature.partition(":")[2]  # the whole header line was pasted
    try:
        raw = sys.stdin.buffer.read() if body == "-" else Path(body).read_bytes()
    except OSError as exc:
        raise ConfigError(f"cannot read {body}: {exc.strerror}") from exc
    try:
        position = signatures.verify(raw, signature, secrets)
    except SignatureError as exc:
        if not explain:
            exc.hint = exc.hint or "--explain says why."
            raise
        why = signatures.explain(raw, signature, secrets)
        if why is None:
            raise
        typer.echo(f"does not verify: {why.cause}\n  {why.remedy}")
        return 3
    label = signatures.key_label(secrets[position])
    typer.echo(f"verifies with app secret {position + 1} of {len(secrets)}, label {label}")
    return 0


def schema(
    backend: Annotated[
        str, typer.Option("--backend", envvar="WA_HOOKS_BACKEND", help="sqlite, postgres or supabase.")
    ] = "sqlite",
    write: Annotated[
        Path | None,
        typer.Option(
            "--write",
            envvar="WA_HOOKS_WRITE",
            metavar="DIR",
            help="Lay out migrations and the Edge Function in this `supabase` folder instead.",
        ),
    ] = None,
) -> int:
    """Print the SQL of the store, or lay it out for Supabase.

    Connects to nothing. What --write finds there already stays.
    """
    from wa_webhooks.errors import ConfigError
    from wa_webhooks.stores.layout import BACKENDS
    from wa_webhooks.stores.sqlfiles import migrations

    if write is not None:
        return _lay_out(write)
    if backend not in BACKENDS:
        raise ConfigError(f"there is no backend {backend!r}", hint=f"The backends are {', '.join(BACKENDS)}.")
    for migration in migrations(BACKENDS[backend]):
        typer.echo(f"-- migration {migration.name}\n{migration.sql}")
    return 0


def _lay_out(folder: Path) -> int:
    from datetime import UTC, datetime

    from wa_webhooks.stores.layout import lay_out

    laid = lay_out(folder, now=datetime.now(UTC))
    for file in laid:
        typer.echo(f"{'written' if file.written else 'as it was':<9} {file.path}")
    if any(file.written for file in laid):
        typer.echo("Next: `supabase db push`; docs/supabase.md has the rest.", err=True)
    return 0


def doctor(
    store: StoreOption = options.DEFAULT_STORE_URL, handlers: HandlersOption = None, json: JsonOption = False
) -> int:
    """Check the installation.

    Secrets, store, disk and handlers. Says how to mend what fails, and exits 3 then.
    """
    from wa_webhooks import doctor as examination

    results = list(examination.examine(store, handlers))
    for result in results:
        if json:
            render.line(
                {
                    "check": result.name,
                    "ok": result.remedy is None,
                    "finding": result.finding,
                    "remedy": result.remedy,
                }
            )
        else:
            typer.echo(f"{'ok' if result.remedy is None else 'FAIL':<5} {result.name:<14} {result.finding}")
            if result.remedy:
                typer.echo(f"{'':<20} {result.remedy}")
    return 3 if any(result.remedy for result in results) else 0
