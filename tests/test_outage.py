"""`serve` before a Postgres that goes away: what is acknowledged arrives, once, in the order of each business."""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psycopg
import pytest
from serving import DEADLINE, Client, ask, delivery, serve_environment, serving, signed, until

pytestmark = pytest.mark.processes

BUSINESSES = 6
OUTAGE = float(os.environ.get("WA_HOOKS_TEST_OUTAGE", "0"))
"""Seconds that the longest one lasts at least, half of them after everything was killed."""


@pytest.fixture
def database(stack):
    """The URL of a database of our own; the server runs again in the end, whatever was done to it."""
    name = stack.database()
    # A server that crashes must have what it said it has, which the fast one of the tests does not promise otherwise.
    with stack.cluster.connect() as connection:
        connection.execute(f"alter database {name} set synchronous_commit = on")
    yield stack.cluster.url(name)
    with contextlib.suppress(AssertionError):
        stack.cluster.stop()
    stack.cluster.start()
    stack.cluster.drop_database(name)


class Traffic:
    """A client for each business, which sends one delivery after the other, so many a second all together.

    `acknowledged` are the numbers answered 200, by business; `refused` counts the others. While the receiver is gone,
    it is asked again.
    """

    def __init__(self, port, *, rate=200, start=0):
        self.port = port
        self.acknowledged = {f"business-{n}": [] for n in range(BUSINESSES)}
        self.refused = 0
        self.slowest = 0.0
        self._start, self._pause = start, BUSINESSES / rate
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._send, args=(name,), daemon=True) for name in self.acknowledged]
        for thread in self._threads:
            thread.start()

    def _send(self, name):
        number = self._start
        due = time.monotonic()
        while not self._ended.is_set():
            with contextlib.suppress(OSError), Client(self.port) as client:
                while not self._ended.is_set():
                    began = time.monotonic()
                    answer = client.ask(delivery(body(name, number)))
                    if answer is None:
                        break
                    self.slowest = max(self.slowest, time.monotonic() - began)
                    if answer.status == 200:
                        self.acknowledged[name].append(number)
                    else:
                        self.refused += 1
                    number += 1
                    due += self._pause
                    time.sleep(max(0.0, due - time.monotonic()))
            time.sleep(0.02)

    def end(self):
        self._ended.set()
        for thread in self._threads:
            thread.join(DEADLINE)
        return {name: list(numbers) for name, numbers in self.acknowledged.items()}

    @property
    def total(self):
        return sum(map(len, self.acknowledged.values()))


def body(business, number):
    told = {"object": "whatsapp_business_account", "entry": [{"id": business, "changes": []}], "number": number}
    return json.dumps(told).encode()


def arrived(database):
    """The numbers in the log by business, in the order of their ids."""
    found = {f"business-{n}": [] for n in range(BUSINESSES)}
    with psycopg.connect(database) as db:
        for (raw,) in db.execute("select body from public.wa_deliveries order by id"):
            told = json.loads(raw)
            found[told["entry"][0]["id"]].append(told["number"])
    return found


def count(database):
    with psycopg.connect(database) as db:
        return db.execute("select count(*) from public.wa_deliveries").fetchone()[0]


def assert_all_arrived(database, acknowledged):
    """Also what was recorded though the answer did not get through, which is known by being sent again."""
    found = arrived(database)
    for name, numbers in acknowledged.items():
        assert set(numbers) <= set(found[name]), f"lost: {sorted(set(numbers) - set(found[name]))}"
        once = [number for number in found[name] if number in set(numbers)]
        assert len(found[name]) - len(numbers) <= 3, "what was killed before it answered is recorded, no more"
        assert once == sorted(once), name
        assert len(once) == len(numbers), name


def family(served):
    with contextlib.suppress(FileNotFoundError):
        return [
            int(pid)
            for pid in Path(f"/proc/{served.process.pid}/task/{served.process.pid}/children").read_text().split()
        ]
    return []


def role_of(pid):
    """Which role a child of `serve` has: the sender holds the lock of the spool."""
    return any("-sender" in str(each.readlink()) for each in Path(f"/proc/{pid}/fd").iterdir() if each.is_symlink())


def kill_all(served):
    for pid in [*family(served), served.process.pid]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    served.process.wait()


def stats(folder, database):
    return subprocess.run(
        [sys.executable, "-m", "wa_hooks_cli", "stats", "--store", database, "--json"],
        cwd=folder,
        env=serve_environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def waiting(folder, database):
    return json.loads(stats(folder, database).stdout)["spool"]["deliveries"]


def test_an_outage_costs_nothing_and_no_kill_does(tmp_path, stack, database):
    options = ("--workers", "0", "--processes", "2")
    with serving(tmp_path, *options, store=database) as served:
        traffic = Traffic(served.port)
        until(lambda: count(database) > 100)
        stack.cluster.stop(crash=True)
        before = traffic.total
        until(lambda: traffic.total > before + 300)
        time.sleep(OUTAGE / 2)
        ready = until(lambda: "since" in (answer := ask(served.port, "GET", "/readyz")).text and answer)
        assert (ready.status, ready.text[:21]) == (200, "ready, spooling since")
        told = stats(tmp_path, database)
        assert told.returncode == 5
        spooled = json.loads(told.stdout)["spool"]
        assert spooled["deliveries"] > 200
        assert spooled["failing_since"]
        kill_all(served)
        first = traffic.end()
        assert traffic.refused == 0
        assert traffic.slowest < 2
        assert "spooling, the store takes nothing" in served.log()
    # It starts again during the outage, and goes on.
    with serving(tmp_path, *options, store=database) as served:
        traffic = Traffic(served.port, start=100_000)
        until(lambda: traffic.total > 200)
        time.sleep(OUTAGE / 2)
        stack.cluster.start()
        until(lambda: count(database) > 1)
        second = traffic.end()
        until(lambda: waiting(tmp_path, database) == 0)
        assert ask(served.port, "GET", "/readyz").text == "ready\n"
        assert served.end() == 0
        assert traffic.refused == 0
        assert "the store takes deliveries again" in served.log()
    assert_all_arrived(database, {name: first[name] + second[name] for name in first})


def test_a_sender_that_is_killed_again_and_again_sends_everything_once(tmp_path, stack, database):
    with serving(tmp_path, "--workers", "0", store=database) as served:
        traffic = Traffic(served.port, rate=400)
        for _ in range(8):
            time.sleep(random.uniform(0.2, 0.7))
            for pid in [pid for pid in family(served) if role_of(pid)]:
                os.kill(pid, signal.SIGKILL)
        acknowledged = traffic.end()
        until(lambda: waiting(tmp_path, database) == 0)
        assert traffic.refused == 0
        assert arrived(database) == acknowledged
        assert served.end() == 0


def test_workers_begin_once_the_store_is_there(tmp_path, stack, database):
    stack.cluster.stop()
    with serving(tmp_path, "--workers", "1", store=database) as served:
        assert ask(served.port, headers=signed(b"{}"), body=b"{}").status == 200
        until(lambda: "waiting for the store" in served.log())
        stack.cluster.start()
        until(lambda: count(database) == 1)
        assert served.end() == 0
    assert "Traceback" not in served.log()


def test_without_a_spool_what_is_not_recorded_is_answered_503(tmp_path, stack, database):
    with serving(tmp_path, "--workers", "0", "--no-spool", store=database) as served:
        assert ask(served.port, headers=signed(b"1"), body=b"1").status == 200
        assert count(database) == 1
        assert ask(served.port, "GET", "/readyz").text == "ready\n"
        stack.cluster.stop()
        assert ask(served.port, headers=signed(b"2"), body=b"2").status == 503
        assert ask(served.port, "GET", "/readyz").status == 503
        assert ask(served.port, "GET", "/healthz").status == 200
        stack.cluster.start()
        assert ask(served.port, headers=signed(b"3"), body=b"3").status == 200
        traffic = Traffic(served.port, rate=1000)
        until(lambda: traffic.total > 500)
        acknowledged = traffic.end()
        assert traffic.refused == 0
        assert served.end() == 0
    assert not (tmp_path / "wa-hooks-spool.db").exists()
    with psycopg.connect(database) as db:
        kept = {row[0] for row in db.execute("select body from public.wa_deliveries")}
    assert {b"1", b"3"} <= kept
    assert {body(name, number) for name, numbers in acknowledged.items() for number in numbers} <= kept


def test_a_full_spool_answers_503_and_says_so(tmp_path, stack, database):
    stack.cluster.stop()
    with serving(tmp_path, "--workers", "0", "--spool-limit", "1", store=database) as served:
        taken = 0
        payload = bytes(30_000)
        while ask(served.port, headers=signed(payload), body=payload).status == 200:
            taken += 1
        assert 20 <= taken <= 35
        assert ask(served.port, "GET", "/readyz").status == 503
        assert "is full: it may take 1 MiB" in served.log()
        stack.cluster.start()
        until(lambda: count(database) == taken)
        until(lambda: ask(served.port, headers=signed(payload), body=payload).status == 200)
        assert ask(served.port, "GET", "/readyz").status == 200
        assert served.end() == 0


def test_a_spool_is_for_stores_over_a_network(tmp_path):
    with serving(tmp_path) as served:
        assert ask(served.port, headers=signed(b"1"), body=b"1").status == 200
        assert served.end() == 0
    assert not (tmp_path / "wa-hooks-spool.db").exists()
