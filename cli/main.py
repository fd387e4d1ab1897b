"""The app, and the one boundary where errors become a sentence and an exit code."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from wa_webhooks.errors import WaHooksError
from wa_webhooks.settings import load_dotenv
from wa_webhooks.version import __version__

from . import (
    benching,
    checking,
    copying,
    counting,
    drifting,
    inspecting,
    log,
    networking,
    rebuilding,
    replaying,
    serving,
    triggering,
    working,
)

EXIT_CODES = {
    0: "all well",
    1: "a bug in wa-hooks",
    2: "wrong usage or configuration",
    3: "it ran and found failures",
    4: "nothing matches",
    5: "the store failed",
    130: "interrupted",
}
_EPILOG = "\b\nExit codes:\n" + "\n".join(f"  {code:<4} {meaning}" for code, meaning in EXIT_CODES.items())

# Plain help: formatting it with rich would double the time that --help takes.
app = typer.Typer(
    name="wa-hooks",
    help="Receive, log, replay and reprocess WhatsApp webhooks.",
    epilog=_EPILOG,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


def _version(value: bool) -> None:
    if value:
        typer.echo(f"wa-hooks {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    _: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")] = False,
) -> None:
    pass


for module in (
    serving,
    working,
    replaying,
    rebuilding,
    log,
    counting,
    copying,
    drifting,
    triggering,
    checking,
    inspecting,
    networking,
    benching,
):
    module.register(app)


def main(arguments: list[str] | None = None) -> int:
    """Run a command; return its exit code. Never raises."""
    try:
        load_dotenv(Path.cwd())
        code = app(arguments, prog_name="wa-hooks", standalone_mode=False)
        sys.stdout.flush()
    except (KeyboardInterrupt, typer.Abort):
        return 130
    except SystemExit as exc:
        # Nothing of ours exits like this. typer does, when nobody reads our output any more (`| head`).
        return 0 if isinstance(exc.__context__, BrokenPipeError) else int(exc.code or 0)
    except OSError as exc:
        return _output_failed(exc)
    except Exception as exc:  # noqa: BLE001 - the last resort
        return _say(exc)
    return code if isinstance(code, int) else 0


def _say(exc: Exception) -> int:
    """Say what went wrong in a sentence, and what to do; return the exit code."""
    if isinstance(exc, WaHooksError):
        return _fail(str(exc), exc.hint, exc.exit_code)
    if isinstance(exc, typer.TyperException):  # wrong usage, said with the command's own usage line
        show = getattr(exc, "show", None)
        show() if show else typer.echo(exc.format_message(), err=True)
        return exc.exit_code
    if os.environ.get("WA_HOOKS_DEBUG"):
        import traceback

        traceback.print_exc()
    hint = "This is a bug. Set WA_HOOKS_DEBUG=1 to see where, and report it."
    return _fail(f"{type(exc).__name__}: {exc}", hint, 1)


def _output_failed(exc: OSError) -> int:
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes once more at its end
    if isinstance(exc, BrokenPipeError):  # nobody reads our output any more
        return 0
    return _fail(f"the output cannot be written: {exc.strerror or exc}", None, 2)


def _fail(message: str, hint: str | None, code: int) -> int:
    typer.echo(f"wa-hooks: {message}", err=True)
    if hint:
        typer.echo(f"  {hint}", err=True)
    return code
