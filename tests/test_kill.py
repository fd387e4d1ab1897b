"""A receiver that is really killed under load: what it acknowledged is in the log, and nothing doubles."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from backends import SqliteFile, crm
from killing import Load, body_of, start, wait_until

from wa_webhooks.pipeline import Pipeline
from wa_webhooks.stores.base import Delivery

KILLS = int(os.environ.get("WA_HOOKS_TEST_KILLS", "4"))


@pytest.mark.processes
def test_many_workers_on_one_store_do_everything_once(tmp_path):
    backend = SqliteFile(tmp_path)
    store = backend.open()
    recorded = [body_of(number) for number in range(600)]
    store.append([Delivery(body=body, received_at=datetime.now(UTC)) for body in recorded])
    command = [
        sys.executable,
        "-m",
        "wa_hooks_cli",
        "work",
        "--drain",
        "--store",
        backend.url,
        "--log-level",
        "error",
    ]
    workers = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(4)]
    told = [worker.communicate()[1] for worker in workers]
    assert [worker.returncode for worker in workers] == [0] * 4, told
    other = backend.sibling()
    alone = other.open()
    alone.append([Delivery(body=body, received_at=datetime.now(UTC)) for body in recorded])
    Pipeline(store=alone).drain()
    assert crm(backend, store) == crm(other, alone)
    assert {row["attempts"] for row in backend.rows(store, "SELECT attempts FROM wa_events")} == {1}
    attempts, events = (
        backend.rows(store, f"SELECT count(*) AS n FROM {table}")[0]["n"] for table in ("wa_attempts", "wa_events")
    )
    assert attempts == events == alone.counts()["events"]["total"]
    store.close()
    alone.close()


def victims(process, how, dice):
    """Which processes are killed: all, the one that supervises, or any one of its children."""
    if how == "all":
        return None
    if how == "the supervisor":
        return [process.pid]
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text("ascii").split()
    return [int(dice.choice(children))]


@pytest.mark.processes
@pytest.mark.parametrize("processes", [1, 2])
def test_what_was_acknowledged_survives_being_killed(tmp_path, processes):
    backend = SqliteFile(tmp_path)
    backend.open().close()
    load = Load()
    dice = random.Random(processes)
    ways = ["all", "all", "the supervisor", *(["a child"] if Path("/proc/self/task").exists() else [])]
    process, port, stop, clients = None, 0, threading.Event(), []
    for _ in range(KILLS):
        if process is None:
            process, port = start(backend.url, "--processes", str(processes))
            stop = threading.Event()
            clients = load.run(port, stop)
        load.wait_for(dice.randrange(20, 200))
        time.sleep(dice.random() / 50)
        killed = victims(process, dice.choice(ways), dice)
        if killed is None:
            os.killpg(process.pid, signal.SIGKILL)
        else:
            os.kill(killed[0], signal.SIGKILL)
        if killed is None or killed == [process.pid]:
            process.wait()
            process.stderr.close()
            process = None
            stop.set()
            for client in clients:
                client.join()
    if process:
        stop.set()
        for client in clients:
            client.join()
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
        process.stderr.close()
    process, port = start(backend.url)  # the restart takes up what the dead left
    store = backend.open()
    # Leases of the dead end by themselves; here the test ends them, instead of waiting a minute.
    store._db.execute("UPDATE wa_delivery_work SET leased_until = NULL WHERE split_at IS NULL")
    wait_until(lambda: store.counts()["backlog"] == 0, "the backlog's end")
    process.send_signal(signal.SIGTERM)
    assert process.wait() == 0
    process.stderr.close()
    recorded = [row["body"] for row in backend.rows(store, "SELECT body FROM wa_deliveries ORDER BY id")]
    assert load.acknowledged
    assert load.acknowledged <= set(recorded)
    unbroken = backend.sibling()
    other = unbroken.open()
    other.append([Delivery(body=body, received_at=datetime.now(UTC)) for body in recorded])
    Pipeline(store=other).drain()
    assert crm(backend, store) == crm(unbroken, other)
    assert store.counts()["events"]["processed"] == other.counts()["events"]["processed"]
    assert store.counts()["events"]["failed"] == store.counts()["events"]["dead"] == 0
    store.close()
    other.close()
