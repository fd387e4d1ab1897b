"""Receivers to talk to, in a thread or as a process of its own, and a client that sends exactly what it is told."""

import asyncio
import contextlib
import hashlib
import hmac
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from typing import NamedTuple

from wa_webhooks.receiver.recorder import Recorder
from wa_webhooks.receiver.server import Receiver, Settings

SECRET = "the-app-secret-of-a-test"
TOKEN = "the-verify-token-of-a-test"
DEADLINE = 20.0
"""Seconds after which something that should have happened never will."""


def signature_of(body, secret=SECRET):
    """Computed apart from the code under test, so that the two have to agree."""
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def signed(body, **more):
    return {"X-Hub-Signature-256": signature_of(body), **more}


def request(method="POST", target="/webhook", headers=None, body=b"", *, version="HTTP/1.1"):
    """The bytes of a request with Host and, for a body or a POST, Content-Length, unless `headers` give them."""
    given = headers or {}
    made = {} if version == "HTTP/1.0" else {"Host": "test"}
    if body or method == "POST":
        made["Content-Length"] = str(len(body))
    lines = [f"{method} {target} {version}", *(f"{name}: {value}" for name, value in {**made, **given}.items())]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def delivery(body, **headers):
    return request(headers=signed(body, **headers), body=body)


def until(condition, told="it never happened"):
    """Poll until `condition` gives something true; return that."""
    deadline = time.monotonic() + DEADLINE
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.01)
    raise AssertionError(told)


class Answer(NamedTuple):
    status: int
    headers: dict
    text: str

    @property
    def closes(self):
        return self.headers["connection"] == "close"


class Client:
    """One connection; `raw` keeps all that came back on it."""

    def __init__(self, port, *, timeout=DEADLINE):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=timeout)
        self._file = self.socket.makefile("rb")
        self.raw = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self._file.close()
        self.socket.close()

    def vanish(self):
        """Reset the connection, as a client does that dies."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.close()

    def send(self, data):
        self.socket.sendall(data)

    def answer(self, method="POST"):
        """Read one answer; None where the receiver closed the connection without one."""
        status_line = self._line()
        if not status_line:
            return None
        headers = {}
        while line := self._line().strip():
            name, _, value = line.partition(b":")
            headers[name.decode().lower()] = value.strip().decode()
        length = 0 if method == "HEAD" else int(headers.get("content-length", 0))
        body = self._file.read(length)
        self.raw += body
        return Answer(int(status_line.split()[1]), headers, body.decode())

    def ask(self, data, method="POST"):
        self.send(data)
        return self.answer(method)

    def rest(self):
        """Everything until the receiver closes the connection."""
        found = self._file.read()
        self.raw += found
        return found

    def _line(self):
        line = self._file.readline()
        self.raw += line
        return line


def ask(port, *args, **kwargs):
    """Send one request, made as by `request`, on a connection of its own."""
    with Client(port) as client:
        return client.ask(request(*args, **kwargs), args[0] if args else kwargs.get("method", "POST"))


def recorded(path):
    """The bodies in the log of an SQLite store, oldest first."""
    with contextlib.closing(sqlite3.connect(path)) as db:
        return [row[0] for row in db.execute("SELECT body FROM wa_deliveries ORDER BY id")]


@contextlib.contextmanager
def locked(path):
    """Hold the write lock of an SQLite store, as another process would."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")
        yield
        db.execute("ROLLBACK")


class InThread:
    """A receiver on a loop in a thread: `port`, what it is made of, and how many connections have `ended`."""

    def __init__(self, store, settings, standing):
        self._standing = standing
        self._settings = settings
        self._store = store
        self.ended = 0
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main()), name="receiver")

    async def _main(self):
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        self.recorder = Recorder(self._store.append, lambda: None)
        self.receiver = Receiver(self._settings, self.recorder, self._store, standing=self._standing)
        server = await self._loop.create_server(self._connection, "127.0.0.1", 0, backlog=1024)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stop.wait()
        server.close()
        await self.receiver.drain()
        await self.recorder.close()
        for _ in range(5):  # what has been accepted a moment ago begins, and ends
            await asyncio.sleep(0)

    def _connection(self):
        connection = self.receiver.connection()
        lost = connection.connection_lost

        def counted(exc):
            lost(exc)
            self.ended += 1

        connection.connection_lost = counted
        return connection

    def start(self):
        self._thread.start()
        assert self._ready.wait(DEADLINE)

    def stop(self):
        """Ask it to drain; `join` waits for that."""
        with contextlib.suppress(RuntimeError):  # its loop has ended already
            self._loop.call_soon_threadsafe(self._stop.set)

    def join(self):
        self._thread.join(DEADLINE)
        assert not self._thread.is_alive()


@contextlib.contextmanager
def receiving(store, *, standing=lambda: "", **settings):
    """A receiver over `store` in a thread; `settings` are `Settings`."""
    made = InThread(store, Settings(**{"app_secrets": (SECRET,), "verify_token": TOKEN, **settings}), standing)
    made.start()
    try:
        yield made
    finally:
        made.stop()
        made.join()


class Process:
    """A `wa-hooks serve` with a store in `folder`, its stderr in a file there."""

    def __init__(self, folder, *options, store=None, before=(), **environment):
        self.store = store or folder / "log.db"
        self._log = folder / "stderr.txt"
        command = [*before, *serve_command(self.store, *options)]
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                command, env=serve_environment(**environment), cwd=folder, stderr=log, stdout=log
            )
        try:
            self.listening = until(self._listening, "it does not listen")
        except BaseException:
            self.kill()
            raise
        self.port = self.listening["port"]

    def _listening(self):
        assert self.process.poll() is None, self.log()
        lines = [json.loads(line) for line in self.log().splitlines(keepends=True) if line.endswith("\n")]
        return next((line for line in lines if line["event"] == "listening"), None)

    def log(self):
        return self._log.read_text("utf-8")

    def end(self, number=signal.SIGTERM):
        """Send a signal; return the exit code."""
        self.process.send_signal(number)
        return self.process.wait(DEADLINE)

    def kill(self):
        """End it now, if it still runs."""
        self.process.kill()
        self.process.wait(DEADLINE)


def serve_command(store, *options):
    """`store` is a path, or the URL of another kind of store."""
    url = store if "://" in str(store) else f"sqlite:{store}"
    return [sys.executable, "-m", "wa_hooks_cli", "serve", "--port", "0", "--store", url, *options]


def serve_environment(**changes):
    """This process's environment with the secrets; a change to None leaves a variable out."""
    made = {**os.environ, "WHATSAPP_APP_SECRET": SECRET, "WHATSAPP_VERIFY_TOKEN": TOKEN, **changes}
    return {name: value for name, value in made.items() if value is not None}


@contextlib.contextmanager
def serving(folder, *options, **more):
    """A `wa-hooks serve` process, killed at the end if it still runs."""
    made = Process(folder, *options, **more)
    try:
        yield made
    finally:
        made.kill()
