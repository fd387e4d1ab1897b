"""Several processes as one, with real processes: started again when they die, ended in order, never left behind."""

import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from serving import DEADLINE, ask, recorded, serving, signed, until

pytestmark = pytest.mark.processes

FRAME = """
import logging, os, signal, sys, threading, time
from wa_webhooks.supervisor import Bell, Role, Supervisor
logging.basicConfig(level="INFO", stream=sys.stderr)

def tell(*words):
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())

def until_told(name, *, then=0):
    def run(lifeline):
        ended = threading.Event()
        signal.signal(signal.SIGTERM, lambda *_: ended.set())
        signal.signal(signal.SIGHUP, lambda *_: tell("hup", name))
        tell("start", name, os.getpid())
        bell = Bell()
        while not ended.is_set() and bell.wait(0.02, lifeline):
            pass
        tell("end", name)
        return then
    return run
"""


class Family:
    """A supervisor in a process of its own; `lines` is what it and its children said."""

    def __init__(self, folder, roles):
        script = (
            FRAME + textwrap.dedent(roles) + "\ntell('ended by', Supervisor(roles).run(lambda: tell('started')))\n"
        )
        self._said = folder / "said.txt"
        with self._said.open("wb") as out, (folder / "errors.txt").open("wb") as err:
            self.process = subprocess.Popen([sys.executable, "-c", script], stdout=out, stderr=err)
        self._errors = folder / "errors.txt"

    def lines(self):
        return self._said.read_text("ascii").splitlines()

    def errors(self):
        return self._errors.read_text("utf-8")

    def pids(self, name):
        return [int(line.split()[2]) for line in self.lines() if line.startswith(f"start {name} ")]

    def end(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        assert self.process.wait(DEADLINE) == 0
        return self.lines()


@pytest.fixture
def family(tmp_path):
    made = []

    def make(roles):
        made.append(Family(tmp_path, roles))
        return made[0]

    yield make
    made[0].process.kill()
    made[0].process.wait()


def gone(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


TWO = """
roles = [Role("receiver", until_told("receiver")), Role("worker", until_told("worker"))]
"""


def test_they_end_by_name_in_order(family):
    made = family(TWO)
    until(lambda: made.pids("worker") and made.pids("receiver"))
    lines = made.end()
    assert lines[-3:] == ["end receiver", "end worker", f"ended by {signal.SIGTERM.value}"]
    assert made.errors() == ""


def test_sigint_is_told_apart(family):
    made = family(TWO)
    until(lambda: made.pids("worker") and made.pids("receiver"))
    assert made.end(signal.SIGINT)[-1] == f"ended by {signal.SIGINT.value}"


def test_sighup_is_passed_on(family):
    made = family(TWO)
    until(lambda: made.pids("worker") and made.pids("receiver"))
    made.process.send_signal(signal.SIGHUP)
    until(lambda: {"hup receiver", "hup worker"} <= set(made.lines()))
    made.end()


def test_whoever_dies_is_started_again(family):
    made = family(TWO)
    until(lambda: made.pids("worker") and made.pids("receiver"))
    for deaths in (1, 2, 3):
        os.kill(made.pids("worker")[-1], signal.SIGKILL)
        until(lambda many=deaths + 1: len(made.pids("worker")) == many)
    assert len(made.pids("receiver")) == 1
    assert made.errors().count("a process died and is started again") == 3
    made.end()


def test_what_fails_at_once_is_started_with_growing_pauses(family):
    made = family("""
        def fail(lifeline):
            tell("start failing", os.getpid())
            raise RuntimeError("a bug")
        roles = [Role("failing", fail), Role("worker", until_told("worker"))]
    """)
    until(lambda: len(made.pids("failing")) >= 3)
    lines = made.end()
    assert lines[-1].startswith("ended by")
    assert "RuntimeError: a bug" in made.errors()


def test_whoever_does_not_end_is_killed(family):
    made = family("""
        def stay(lifeline):
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            tell("start staying", os.getpid())
            time.sleep(600)
        roles = [Role("staying", stay, grace=0.2), Role("worker", until_told("worker"))]
    """)
    until(lambda: made.pids("staying") and made.pids("worker"))
    assert made.end()[-2:] == ["end worker", f"ended by {signal.SIGTERM.value}"]
    assert gone(made.pids("staying")[0])
    assert "does not end and is killed" in made.errors()


def test_nobody_outlives_the_supervisor(family):
    made = family(TWO)
    until(lambda: made.pids("worker") and made.pids("receiver"))
    made.process.kill()
    made.process.wait()
    until(lambda: {"end receiver", "end worker"} <= set(made.lines()))


def test_a_bell_is_heard_across_a_fork(family):
    made = family("""
        bell = Bell()
        def hear(lifeline):
            tell("start hearing", os.getpid())
            bell.wait(600, lifeline)
            tell("heard")
            return until_told("hearing")(lifeline)
        def ring(lifeline):
            bell.ring()
            return until_told("ringing")(lifeline)
        roles = [Role("hearing", hear), Role("ringing", ring)]
    """)
    until(lambda: "heard" in made.lines())
    made.end()


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="NOT TESTED: this system has no /proc")
def test_a_receiver_that_dies_is_replaced_and_nothing_is_refused_meanwhile(tmp_path):
    with serving(tmp_path, "--processes", "2") as served:
        pid = served.process.pid
        children = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()]
        assert len(children) == 3
        body = b"x"
        for child in children:
            os.kill(child, signal.SIGKILL)
            # Whoever meets a dying receiver is not answered; the port itself is never closed.
            until(lambda: _accepted(served, body))
        until(lambda: sum("died" in line for line in served.log().splitlines()) == 3)
        assert served.end() == 0
        told = [json.loads(line) for line in served.log().splitlines()]
    assert sorted(line["role"] for line in told if "died" in line["event"]) == ["receiver", "receiver", "worker"]
    assert body in recorded(served.store)


def _accepted(served, body):
    try:
        return ask(served.port, headers=signed(body), body=body).status == 200
    except ConnectionRefusedError:
        raise
    except (OSError, AttributeError):  # it died with the connection
        return False
