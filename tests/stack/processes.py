"""Programs of the stack as processes that end with the tests, however those end."""

import os
import random
import shutil
import signal
import socket
import subprocess
import time

DEADLINE = 30.0
_LOWEST, _HIGHEST = 15000, 32000
"""Below the ports that the system gives to outgoing connections: one of those must not take ours in a restart."""


def free_port():
    for port in random.sample(range(_LOWEST, _HIGHEST), 200):
        with socket.socket() as tried:
            try:
                tried.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("no free port")


def until(ready, what, *, deadline=DEADLINE):
    end = time.monotonic() + deadline
    while not ready():
        assert time.monotonic() < end, what
        time.sleep(0.01)


class Process:
    """A program, started, stopped and started again with the same arguments; it writes to a file `log`."""

    def __init__(self, command, log, *, environment=None, user=None, ending=signal.SIGTERM):
        self._command = [*self._tied(ending), *command]
        self._environment = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", **(environment or {})}
        self._user = {"user": user, "group": user, "extra_groups": []} if user else {}
        self._ending = ending
        self.log = log
        self._running = None

    @staticmethod
    def _tied(ending):
        """The kernel ends the program when the tests are gone, also when they were killed."""
        setpriv = shutil.which("setpriv")
        return [setpriv, f"--pdeathsig={signal.Signals(ending).name.removeprefix('SIG')}"] if setpriv else []

    @property
    def pid(self):
        return self._running.pid

    def start(self, ready):
        """Start it and wait until `ready()`."""
        with self.log.open("ab") as log:
            self._running = subprocess.Popen(
                self._command,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                **self._user,
            )

        def up():
            assert self._running.poll() is None, f"{self._command} ended: {self.log.read_text('utf-8', 'replace')}"
            return ready()

        until(up, f"{self._command} does not come up: see {self.log}")

    def stop(self, how=None):
        """End it, `how` by another signal than usual, and wait for that."""
        if self._running is None:
            return
        if self._running.poll() is None:
            self._running.send_signal(how or self._ending)
        try:
            self._running.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            self._running.kill()
            self._running.wait()
        self._running = None
