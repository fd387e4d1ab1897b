"""Who is compared: how each is started, and that it is pinned to the cores that it is given."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
PLACE = ROOT / ".venv" / "peers"
PYTHON = str(PLACE / "bin" / "python")
NODE = PLACE / "node"
SECRET, TOKEN = "the-secret-of-a-benchmark", "the-token-of-a-benchmark"  # signs nothing but benchmarks
TO_START = 30.0


def install() -> None:
    """Bring the peers into `.venv/peers`, unless these versions are there; Express only where node and npm are."""
    wanted = {name: (HERE / name).read_text() for name in ("requirements.txt", "package.json")}
    done = PLACE / "installed.json"
    wanted["node"] = str(has_node())
    if done.is_file() and json.loads(done.read_text()) == wanted:
        return
    print("installing the peers into .venv/peers", flush=True)
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(PLACE)], check=True)
    quiet = ["--quiet", "--disable-pip-version-check"]
    subprocess.run([PYTHON, "-m", "pip", "install", *quiet, "-r", str(HERE / "requirements.txt")], check=True)
    if has_node():
        NODE.mkdir()
        shutil.copy(HERE / "package.json", NODE)
        subprocess.run(["npm", "install", "--silent", "--no-audit", "--no-fund"], cwd=NODE, check=True)
    done.write_text(json.dumps(wanted))


def has_node() -> bool:
    return bool(shutil.which("node") and shutil.which("npm"))


@dataclass(frozen=True)
class Contender:
    """A receiver: `command` gives what to start for a port and a folder; `does` is what it does before it answers."""

    name: str
    does: str
    command: Callable[[int, Path], list[str]]
    commits: bool = False
    environment: dict[str, str] = field(default_factory=dict)


def _python(*arguments: str) -> Callable[[int, Path], list[str]]:
    return lambda port, _: [PYTHON, *(part.replace("PORT", str(port)) for part in arguments)]


def _uvicorn(app: str) -> Callable[[int, Path], list[str]]:
    return _python(
        *("-m", "uvicorn", app, "--host", "127.0.0.1", "--port", "PORT"), "--no-access-log", "--log-level", "warning"
    )


def wa_hooks(workers: int) -> Contender:
    """Ourselves; without workers everything recorded stays to be processed."""

    def command(port: int, folder: Path) -> list[str]:
        store = f"sqlite:{folder / 'wa-hooks.db'}"
        options = ["--port", str(port), "--store", store, "--workers", str(workers)]
        return [sys.executable, "-m", "wa_hooks_cli", "serve", *options]

    does = "durable" if not workers else "durable, and processes"
    return Contender("wa-hooks", does, command)


MEM, COMMIT = "queue in memory", "a commit each"
WA_HOOKS = wa_hooks(0)
FASTAPI = Contender("FastAPI + uvicorn", MEM, _uvicorn("with_fastapi:app"))
FASTAPI_COMMITS = Contender("FastAPI + uvicorn", COMMIT, _uvicorn("with_fastapi:app"), commits=True)
PYWA = Contender("pywa on FastAPI + uvicorn", MEM, _uvicorn("with_pywa:app"))
PYWA_ASYNC = Contender("pywa_async on FastAPI + uvicorn", MEM, _uvicorn("with_pywa_async:app"))
_GUNICORN = _python(
    *("-m", "gunicorn", "with_flask:app", "--bind", "127.0.0.1:PORT", "--log-level", "error"),
    *("--workers", "2", "--threads", "16"),  # with one thread it closes every connection, and is half as fast
)
_AIOHTTP = _python(str(HERE / "with_aiohttp.py"), "PORT")
_STDLIB = _python(str(HERE / "with_stdlib.py"), "PORT")
_EXPRESS = Contender(
    "Express",
    MEM,
    lambda port, _: ["node", str(HERE / "with_express.js"), str(port)],
    environment={"NODE_ENV": "production", "NODE_PATH": str(NODE / "node_modules")},
)


def contenders() -> list[Contender]:
    """All that can be compared here."""
    return [
        WA_HOOKS,
        FASTAPI,
        FASTAPI_COMMITS,
        PYWA,
        PYWA_ASYNC,
        Contender("aiohttp on uvloop", MEM, _AIOHTTP),
        Contender("aiohttp on uvloop", COMMIT, _AIOHTTP, commits=True),
        Contender("Flask + gunicorn, 2 workers", MEM, _GUNICORN),
        *([_EXPRESS] if has_node() else []),
        Contender("http.server, threads", MEM, _STDLIB),
    ]


class Running(NamedTuple):
    """A receiver that runs, with what it writes in `folder`."""

    port: int
    folder: Path
    pid: int


@contextlib.contextmanager
def running(contender: Contender, cores: set[int] | None):
    """Start a receiver on these cores; give it, and end it."""
    with tempfile.TemporaryDirectory(prefix=".bench-", dir=ROOT, ignore_cleanup_errors=True) as made:
        folder = Path(made)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("WA_HOOKS_")},
            "WHATSAPP_APP_SECRET": SECRET,
            "WHATSAPP_VERIFY_TOKEN": TOKEN,
            "PYTHONPATH": str(HERE),
            **({"PEER_STORE": str(folder / "peer.db")} if contender.commits else {}),
            **contender.environment,
        }
        with (folder / "log.txt").open("wb") as log, on_cores(cores):  # a child stays where it was started
            process = subprocess.Popen(
                contender.command(port, folder), env=environment, cwd=folder, stdout=log, stderr=log
            )
        try:
            _wait_for(process, port, folder / "log.txt")
            check_it_verifies(contender, port)
            yield Running(port, folder, process.pid)
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def check_it_verifies(contender: Contender, port: int) -> None:
    """End the benchmark if a receiver takes what is not signed: its figures would be no comparison."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    headers = {"Content-Type": "application/json", "X-Hub-Signature-256": "sha256=" + "0" * 64}
    connection.request("POST", "/webhook", b"{}", headers)
    status = connection.getresponse().status
    connection.close()
    if status not in (401, 403):
        sys.exit(f"{contender.name} answers {status} to a wrong signature")


def _wait_for(process: subprocess.Popen, port: int, log: Path) -> None:
    give_up = time.monotonic() + TO_START
    while time.monotonic() < give_up and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.02)
    sys.exit(f"{process.args} does not start: {log.read_text()}")


@contextlib.contextmanager
def on_cores(cores: set[int] | None):
    """Run on these cores for as long as it takes."""
    if cores is None or not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
