"""Many receivers and workers on one database, killed one after the other: nothing is lost, nothing is done twice."""

import http.client
import itertools
import os
import random
import signal
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime

import pytest
from backends import crm
from databases import Postgres, Supabase
from killing import SECRET, body_of, start, wait_until

from wa_webhooks.pipeline import Pipeline
from wa_webhooks.signature import sign
from wa_webhooks.stores.base import Delivery

DELIVERIES = int(os.environ.get("WA_HOOKS_TEST_MACHINES", "400"))
"""How many are sent; the issue's figure is 50,000."""
MACHINES = 3
BUSINESSES = 4
CLIENTS = 4
BETWEEN_KILLS = 1.0


def body(number):
    account = number % BUSINESSES
    return body_of(number).replace(b'"W1"', b'"W%d"' % account).replace(b'"P1"', b'"P%d"' % account)


class Receiver:
    """One machine that receives, with a spool of its own."""

    def __init__(self, url, folder, name):
        self._start = lambda: start(url, "--workers", "0", "--spool", str(folder / f"{name}.spool"))
        self.process, self.port = self._start()

    def kill(self):
        os.killpg(self.process.pid, signal.SIGKILL)
        self._reap()
        self.process, self.port = self._start()

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(60)
        self._reap()
        return code

    def _reap(self):
        self.process.wait()
        self.process.stderr.close()


class Worker:
    """One machine that works."""

    def __init__(self, url):
        self._command = [sys.executable, "-m", "wa_hooks_cli", "work", "--store", url, "--log-level", "error"]
        self.process = self._start()

    def _start(self):
        return subprocess.Popen(self._command, stderr=subprocess.DEVNULL, start_new_session=True)

    def kill(self):
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.process = self._start()

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)


def send(numbers, receivers, acknowledged):
    """Send delivery after delivery, each until one of the receivers answers 200, as Meta does."""
    for number in numbers:
        sent = body(number)
        headers = {"X-Hub-Signature-256": sign(sent, SECRET)}
        for receiver in itertools.cycle(receivers[number % MACHINES :] + receivers[: number % MACHINES]):
            connection = http.client.HTTPConnection("127.0.0.1", receiver.port, timeout=10)
            try:
                connection.request("POST", "/webhook", sent, headers)
                if connection.getresponse().status == 200:
                    acknowledged.add(sent)
                    break
            except (OSError, http.client.HTTPException):
                time.sleep(0.02)
            finally:
                connection.close()


@pytest.mark.processes
@pytest.mark.parametrize("kind", [Postgres, Supabase], ids=["postgres", "supabase"])
def test_nothing_is_lost_and_nothing_done_twice(tmp_path, monkeypatch, kind):
    backend = kind(tmp_path)
    for name, value in backend.environment.items():
        monkeypatch.setenv(name, value)
    store = backend.open()
    receivers = [Receiver(backend.url, tmp_path, number) for number in range(MACHINES)]
    workers = [Worker(backend.url) for _ in range(MACHINES)]
    acknowledged, numbers = set(), iter(range(DELIVERIES))
    clients = [threading.Thread(target=send, args=(numbers, receivers, acknowledged)) for _ in range(CLIENTS)]
    for client in clients:
        client.start()
    dice = random.Random(7)
    while any(client.is_alive() for client in clients):
        time.sleep(BETWEEN_KILLS)
        dice.choice([*receivers, *workers]).kill()
    for client in clients:
        client.join()
    dice.choice(workers).kill()

    # Leases of the dead end by themselves; here the test ends them, instead of waiting a minute.
    def everything_done():
        backend.run(store, "update wa_delivery_work set leased_until = null where split_at is null")
        counts = store.counts()
        return counts["deliveries"] >= len(acknowledged) and counts["backlog"] == 0

    wait_until(everything_done, "the end of the work", within=60 + DELIVERIES / 50)
    assert [machine.end() for machine in [*receivers, *workers]] == [0] * 2 * MACHINES
    assert store.counts()["backlog"] == 0
    recorded = [bytes(row["body"]) for row in backend.rows(store, "SELECT body FROM wa_deliveries ORDER BY id")]
    assert len(acknowledged) == DELIVERIES
    assert acknowledged == set(recorded)
    other = backend.sibling()
    unbroken = open_alone(other, monkeypatch)
    unbroken.append([Delivery(body=each, received_at=datetime.now(UTC)) for each in recorded])
    Pipeline(store=unbroken).drain()
    assert crm(backend, store) == crm(other, unbroken)
    events, attempts = (
        backend.rows(store, f"SELECT count(*) AS n FROM {table}")[0]["n"] for table in ("wa_events", "wa_attempts")
    )
    assert events == attempts == unbroken.counts()["events"]["processed"]
    store.close()
    unbroken.close()


def open_alone(backend, monkeypatch):
    for name, value in backend.environment.items():
        monkeypatch.setenv(name, value)
    return backend.open()
