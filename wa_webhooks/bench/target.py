"""What is measured: a `wa-hooks serve` with a store that is thrown away, or a receiver that runs already."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ..errors import ConfigError, WaHooksError
from ..stores import open_store
from ..stores.base import Store

_TO_LISTEN = 30.0
_TO_END = 60.0
_OURS = ("WA_HOOKS_", "WHATSAPP_", "SUPABASE_")
_HTTP = 80


class TargetUnavailableError(WaHooksError):
    """The receiver to be measured does not run."""

    exit_code = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A receiver: its address and path, the secret to sign with, and where it is known, its store and its process."""

    host: str
    port: int
    path: str
    secret: str
    store: Store | None = None
    pid: int | None = None

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        return self.host, self.port

    def counts(self) -> Mapping[str, Any] | None:
        """Return what is in its store, as `Store.counts`; None where the store is not known."""
        return self.store.counts() if self.store else None

    def cpu(self) -> float | None:
        """Return the CPU seconds that its processes have used so far; None where that is not known."""
        return cpu_of(self.pid) if self.pid else None


def running(url: str, secret: str, store: Store | None) -> Target:
    """Return the receiver at `url`, which somebody else has started.

    Raises:
        ConfigError: it is no http URL.
    """
    try:
        parts = urlsplit(url)
        port = parts.port or _HTTP
    except ValueError as exc:
        raise ConfigError(f"{url!r} is no URL: {exc}") from exc
    if parts.scheme != "http" or not parts.hostname:
        raise ConfigError(
            f"{url!r} is no http URL", hint="Behind TLS, measure the receiver itself: http://127.0.0.1:8080/webhook."
        )
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Target(host=parts.hostname, port=port, path=path, secret=secret, store=store)


@contextlib.contextmanager
def started(folder: Path, options: Sequence[str]) -> Iterator[Target]:
    """Start a receiver with these options of `serve`, its store in a new folder inside `folder`; end and delete it.

    It has secrets of its own, and of the settings in the environment none.

    Raises:
        ConfigError: nothing can be written to `folder`.
        TargetUnavailableError: it does not start.
    """
    try:
        made = tempfile.TemporaryDirectory(prefix=".wa-hooks-bench-", dir=folder, ignore_cleanup_errors=True)
    except OSError as exc:
        raise ConfigError(f"nothing can be written to {folder}: {exc.strerror}", hint="Name another folder.") from exc
    with made as inside, contextlib.ExitStack() as opened:
        place = Path(inside).resolve()
        secret = secrets.token_hex(16)
        environment = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
        environment |= {"WHATSAPP_APP_SECRET": secret, "WHATSAPP_VERIFY_TOKEN": secrets.token_hex(16)}
        store = f"sqlite:{place / 'bench.db'}"
        command = [sys.executable, "-m", "wa_hooks_cli", "serve", "--port", "0", "--store", store, *options]
        log = place / "log.txt"
        with log.open("wb") as written:
            process = subprocess.Popen(  # noqa: S603 - this program, with the options that the user gave
                command, env=environment, cwd=place, stdout=written, stderr=written
            )
        opened.callback(_end, process)
        at = _listening(process, log)
        reading = open_store(store, create=False)
        opened.callback(reading.close)
        yield Target(host=at["host"], port=at["port"], path=at["path"], secret=secret, store=reading, pid=process.pid)


def _listening(process: subprocess.Popen[bytes], log: Path) -> dict[str, Any]:
    give_up = time.monotonic() + _TO_LISTEN
    while process.poll() is None and time.monotonic() < give_up:
        for line in log.read_bytes().splitlines():
            with contextlib.suppress(ValueError):
                said = json.loads(line)
                if isinstance(said, dict) and said.get("event") == "listening":
                    return said
        time.sleep(0.02)
    said = log.read_text("utf-8", "replace").strip()
    raise TargetUnavailableError(f"`wa-hooks serve` did not start: {said or 'it said nothing'}")


def _end(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(_TO_END)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def cpu_of(pid: int) -> float | None:
    """Return the CPU seconds of a process and its descendants; None where the system (no Linux) does not tell."""
    parents: dict[int, tuple[int, float]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            # pid (name) state ppid ... utime stime: the name may hold spaces and brackets
            fields = stat.read_text().rpartition(")")[2].split()
            ticks = int(fields[11]) + int(fields[12])
            parents[int(stat.parent.name)] = int(fields[1]), ticks / os.sysconf("SC_CLK_TCK")
    if pid not in parents:
        return None
    total, of = 0.0, {pid}
    while of:
        total += sum(parents[each][1] for each in of)
        of = {child for child, (parent, _) in parents.items() if parent in of}
    return total
