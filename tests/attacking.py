"""What an attack is tried with: raw sockets by the hundred that send what they are told, and a look at memory."""

import contextlib
import resource
import selectors
import socket
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from serving import DEADLINE


def open_files(number):
    """Let this process, and what it starts, have that many files open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if resource.RLIM_INFINITY != hard < number:
        pytest.skip(f"NOT TESTED: {number} connections; that needs a limit of open files (ulimit -Hn) above {hard}")
    if resource.RLIM_INFINITY != soft < number:
        resource.setrlimit(resource.RLIMIT_NOFILE, (number, hard))


def peak_memory(pid):
    """The most bytes that a process and its children have had at once, each; None where there is no /proc."""
    peak = 0
    for each in _family(pid):
        with contextlib.suppress(FileNotFoundError):  # it has ended
            status = Path(f"/proc/{each}/status").read_text("ascii")
            peak += int(status.partition("VmHWM:")[2].split()[0]) * 1024
    return peak or None


def _family(pid):
    yield pid
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in children.read_text("ascii").split():
            yield from _family(int(child))


@dataclass(eq=False, kw_only=True)
class Attacker:
    """One connection at a time. It sends what `sends()` yields, `pause` seconds apart, and reads what comes unless it
    is `deaf`. When all is sent it `leaves` or stays; when it has no connection any more it comes `again`, so many
    seconds later, or never.
    """

    sends: object
    source: str = "127.0.0.1"
    pause: float = 0.0
    deaf: bool = False
    leaves: bool = False
    again: float | None = 0.02
    socket: object = None
    got: list = field(default_factory=list)
    """The beginning of what came, of each connection that got anything."""


class Attack:
    """Attackers at work, driven by one thread."""

    def __init__(self, port, attackers):
        self.attackers = attackers
        self.sent = self.connections = 0
        self._port = port
        self._ready, self._over = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="attack")
        self._selector = selectors.DefaultSelector()
        # Of each: what it sends, the rest of what is being sent, when to go on, and whether nothing has come yet.
        self._state = {attacker: [iter(()), b"", float("inf"), True] for attacker in attackers}

    def __enter__(self):
        self._thread.start()
        assert self._ready.wait(2 * DEADLINE)
        return self

    def __exit__(self, *_):
        self._over.set()
        self._thread.join(DEADLINE)
        assert not self._thread.is_alive()

    def connected(self):
        """How many are, at the moment."""
        return sum(attacker.socket is not None for attacker in self.attackers)

    def _run(self):
        for attacker in self.attackers:
            self._connect(attacker)
        self._ready.set()
        while not self._over.is_set():
            for key, events in self._selector.select(0.02):
                if events & selectors.EVENT_READ:
                    self._read(key.data)
                if events & selectors.EVENT_WRITE and key.data.socket:
                    self._write(key.data)
            self._go_on()
        for attacker in self.attackers:
            self._close(attacker)
        self._selector.close()

    def _go_on(self):
        now = time.monotonic()
        for attacker in self.attackers:
            state = self._state[attacker]
            if state[2] > now:
                continue
            state[2] = float("inf")
            if attacker.socket:
                self._watch(attacker, writing=True)
            else:
                self._connect(attacker)

    def _connect(self, attacker):
        made = socket.socket()
        try:
            made.settimeout(0)
            # Reset at the end: thousands of ports that wait for late packets would be missed by other tests.
            made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            made.bind((attacker.source, 0))
            made.connect_ex(("127.0.0.1", self._port))
        except OSError:  # no port is left for the moment
            made.close()
            self._state[attacker][2] = time.monotonic() + 1
            return
        self.connections += 1
        attacker.socket = made
        self._state[attacker] = [iter(attacker.sends()), b"", float("inf"), True]
        self._selector.register(made, selectors.EVENT_WRITE, attacker)

    def _close(self, attacker):
        if attacker.socket:
            with contextlib.suppress(KeyError):
                self._selector.unregister(attacker.socket)
            attacker.socket.close()
            attacker.socket = None
            if attacker.again is not None:
                self._state[attacker][2] = time.monotonic() + attacker.again

    def _watch(self, attacker, *, writing):
        events = (0 if attacker.deaf else selectors.EVENT_READ) | (selectors.EVENT_WRITE if writing else 0)
        with contextlib.suppress(KeyError):
            self._selector.unregister(attacker.socket)
        if events:
            self._selector.register(attacker.socket, events, attacker)

    def _read(self, attacker):
        try:
            got = attacker.socket.recv(2**16)
        except BlockingIOError:
            return
        except OSError:
            got = b""
        if not got:
            self._close(attacker)
        elif self._state[attacker][3]:
            self._state[attacker][3] = False
            attacker.got.append(got[:300])

    def _write(self, attacker):
        stream, rest, _, _ = state = self._state[attacker]
        try:
            if not rest:
                rest = next(stream)
            sent = attacker.socket.send(rest)
        except StopIteration:
            if attacker.leaves:
                self._close(attacker)
            else:
                self._watch(attacker, writing=False)
            return
        except BlockingIOError:
            sent = 0
        except OSError:
            self._close(attacker)
            return
        self.sent += sent
        state[1] = rest[sent:]
        pausing = attacker.pause and not state[1]
        if pausing:
            state[2] = time.monotonic() + attacker.pause
        self._watch(attacker, writing=not pausing)


def address(number):
    """One of ten addresses that attackers have; a well-behaved client has none of them."""
    return f"127.0.0.{2 + number % 10}"


def crowd(number, sends, **more):
    """That many attackers, from ten addresses; `sends(number)` returns what each sends."""
    return [Attacker(sends=lambda n=n: sends(n), source=address(n), **more) for n in range(number)]


def forever(piece):
    while True:
        yield piece


def one_by_one(data):
    return (data[place : place + 1] for place in range(len(data)))
