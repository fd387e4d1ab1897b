"""Where the `wa-hooks` command starts. Answers `--version` before anything heavy is imported."""

from __future__ import annotations

import sys

from wa_webhooks.version import __version__


def run() -> None:
    """Run the command line and exit with its code."""
    if sys.argv[1:] == ["--version"]:
        print(f"wa-hooks {__version__}")  # noqa: T201 - what was asked for
        return
    from .main import main

    sys.exit(main())
