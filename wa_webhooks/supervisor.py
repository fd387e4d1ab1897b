"""Several processes as one: started together, started again when they die, ended in order.

Children are forked, so this must run before there are threads. Each holds the reading end of a pipe, the lifeline,
whose writing end only the supervisor has: it ends when the supervisor does, however that died.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import FrameType
from typing import NoReturn

logger = logging.getLogger(__name__)

_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 5.0
_ASK_AGAIN = 0.01
_HEALTHY = 30.0
"""Seconds after which a child counts as started well."""
_CAUGHT = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)


@dataclass(frozen=True, slots=True)
class Role:
    """What a child does: `run` returns its exit code, and gets the lifeline's descriptor."""

    name: str
    run: Callable[[int], int]
    grace: float = 20.0
    """Seconds that it has to end, before it is killed."""


class Bell:
    """Wakes processes that wait, across a fork. Rung without a wait, it is kept for the next."""

    def __init__(self) -> None:
        """Make it before the processes that use it."""
        self._heard, self._rung = os.pipe()
        for end in (self._heard, self._rung):
            os.set_blocking(end, False)

    def ring(self) -> None:
        """Wake whoever waits."""
        with contextlib.suppress(BlockingIOError):  # it has been rung often enough
            os.write(self._rung, b"\0")

    def wait(self, seconds: float, lifeline: int) -> bool:
        """Wait until it rings, but at most so long; return whether the supervisor is still there."""
        heard, _, _ = select.select([self._heard, lifeline], [], [], seconds)
        if self._heard in heard:
            with contextlib.suppress(BlockingIOError):  # another process was faster
                os.read(self._heard, 2**16)
        return lifeline not in heard


@dataclass(slots=True)
class _Child:
    role: Role
    started: float
    pause: float


class Supervisor:
    """Runs roles until it is told to end. They end by name, in the order in which the names first appear."""

    def __init__(self, roles: Sequence[Role]) -> None:
        """Nothing is started yet."""
        self._roles = roles
        self._children: dict[int, _Child] = {}
        self._due: list[tuple[float, Role, float]] = []  # when to start again, and the pause before that
        self._caught: list[int] = []
        self._lifeline, self._held = os.pipe()
        self._signalled, self._signal = os.pipe()
        for end in (self._signalled, self._signal):
            os.set_blocking(end, False)

    def run(self, started: Callable[[], None]) -> int:
        """Run until SIGTERM or SIGINT; return its number. SIGHUP is passed on. `started` is called once."""
        before = {number: signal.signal(number, self._catch) for number in _CAUGHT}
        signal.set_wakeup_fd(self._signal, warn_on_full_buffer=False)
        try:
            for role in self._roles:
                self._start(role, 0)
            started()
            while not (by := [number for number in self._caught if number != signal.SIGHUP]):
                self._watch()
            for name in dict.fromkeys(role.name for role in self._roles):
                self._end(name)
            return by[0]
        finally:
            signal.set_wakeup_fd(-1)
            for number, handler in before.items():
                signal.signal(number, handler)
            os.close(self._held)  # whoever is left ends by that

    def _catch(self, number: int, _frame: FrameType | None) -> None:
        if number != signal.SIGCHLD:  # that one is there to wake us
            self._caught.append(number)

    def _start(self, role: Role, pause: float) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, _CAUGHT)  # a signal must not meet the child before it can take it
        try:
            pid = os.fork()
            if pid == 0:
                self._be(role)
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _CAUGHT)
        self._children[pid] = _Child(role, time.monotonic(), pause)

    def _be(self, role: Role) -> NoReturn:
        """The child, from its first moment to its last."""
        code = 1
        try:
            signal.set_wakeup_fd(-1)
            for number in _CAUGHT:
                signal.signal(number, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to all; the supervisor sees to it
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _CAUGHT)
            os.close(self._held)
            code = role.run(self._lifeline)
        except BaseException:
            logger.exception("a process failed", extra={"role": role.name})
        finally:
            logging.shutdown()
            sys.stdout.flush()
            os._exit(code)

    def _watch(self) -> None:
        """Wait for something to happen, and see to it."""
        now = time.monotonic()
        select.select(
            [self._signalled], [], [], max(0.0, min([at for at, _, _ in self._due], default=now + 60) - now)
        )
        with contextlib.suppress(BlockingIOError):
            os.read(self._signalled, 2**10)
        if signal.SIGHUP in self._caught:
            self._caught = [number for number in self._caught if number != signal.SIGHUP]
            self._tell(signal.SIGHUP)
        now = time.monotonic()
        for child, code in self._dead():
            pause = min(_LONGEST_PAUSE, max(_FIRST_PAUSE, 0.0 if now - child.started > _HEALTHY else child.pause * 2))
            extra = {"role": child.role.name, "exit": code, "pause": pause}
            logger.error("a process died and is started again", extra=extra)
            self._due.append((now + pause, child.role, pause))
        for due in [due for due in self._due if due[0] <= now]:
            self._due.remove(due)
            self._start(due[1], due[2])

    def _dead(self) -> Iterator[tuple[_Child, int]]:
        """Whose processes have ended, and how."""
        for pid in list(self._children):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                yield self._children.pop(pid), os.waitstatus_to_exitcode(status)

    def _tell(self, number: int, name: str | None = None) -> float:
        """Send a signal to all, or to those of a name; return the longest time that they have to end."""
        told = {pid: child.role for pid, child in self._children.items() if name in (None, child.role.name)}
        for pid in told:
            os.kill(pid, number)
        return max([role.grace for role in told.values()], default=0.0)

    def _end(self, name: str) -> None:
        give_up = time.monotonic() + self._tell(signal.SIGTERM, name)
        while any(child.role.name == name for child in self._children.values()):
            for child, code in self._dead():
                if code not in (0, -signal.SIGTERM):  # killed by it before it could see to it: fine
                    logger.warning("a process ended badly", extra={"role": child.role.name, "exit": code})
            if time.monotonic() > give_up:
                logger.warning("a process does not end and is killed", extra={"role": name})
                self._tell(signal.SIGKILL, name)
                give_up = math.inf
            time.sleep(_ASK_AGAIN)
