"""`python -m wa_hooks_cli`."""

from .entry import run

run()
