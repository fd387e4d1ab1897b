"""A store copied into another one, of every kind: the same rows under the same ids."""

import contextlib
import itertools
import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from backends import BACKENDS, crm

from wa_webhooks import copying
from wa_webhooks.errors import StoreRejectedError, StoreUnavailableError
from wa_webhooks.pipeline import Pipeline, start_run
from wa_webhooks.stores import open_store
from wa_webhooks.stores.base import Delivery, Query, Rejection
from wa_webhooks.stores.copied import KEYS

FIXTURES = sorted((Path(__file__).parent.parent / "fixtures").glob("*/*.json"))
KINDS = [name for name in BACKENDS if name != "sqlite-memory"]
AT = datetime(2026, 11, 24, 12, tzinfo=UTC)
WAYS = [(one, other) for one, other in itertools.product(KINDS, KINDS) if "sqlite-file" in (one, other)]


@pytest.fixture(params=WAYS, ids=[f"{one} to {other}" for one, other in WAYS])
def two(request, tmp_path, monkeypatch):
    """A source that has something of everything, and an empty target, with what kind of store each is."""
    made = []
    for number, name in enumerate(request.param):
        folder = tmp_path / str(number)
        folder.mkdir()
        made.append(BACKENDS[name](folder))
        for variable, value in getattr(made[-1], "environment", {}).items():
            monkeypatch.setenv(variable, value)
    with contextlib.closing(made[0].open()) as source, contextlib.closing(made[1].open()) as target:
        fill(source)
        yield source, target, *made


def fill(store):
    bodies = [file.read_bytes() for file in FIXTURES if "expected" not in file.name]
    bodies += [bytes(range(256)), b"", b'{"a":"\\u0000\\ud800"}', bodies[0]]
    pipeline = Pipeline(store=store, clock=lambda: AT)
    more = {"headers": {"user-agent": "caf\xe9"}, "source_ip": "::1", "signature_key": "12345678"}
    store.append([Delivery(body=body, received_at=AT, **more) for body in bodies])
    pipeline.drain()
    run = start_run("reprocess", scope={"ids": [1]}, started_by="me", now=AT)
    store.requeue(Query(ids=(1, 2)), run, now=AT)
    pipeline.drain(run_id=run.id)
    store.save_run(run, finished_at=AT, counts={"events": 2})
    store.reject([Rejection(at=AT, status=401, cause="signature-wrong", size=7)], now=AT, more={"slow": 3})
    store.append([Delivery(body=b"not yet split", received_at=AT)])


def copied(source, target):
    made = copying.copy(source, target, named="there", started_by="me", clock=lambda: AT)
    return {each.table: each for each in made}


def everything(store):
    return {table: store.read_rows(table, after=None, limit=10**6) for table in KEYS if table != "wa_runs"}


def test_everything_is_copied_and_compared(two):
    source, target, of_source, of_target = two
    found = copied(source, target)
    assert set(found) == set(KEYS)
    assert {table: each for table, each in found.items() if not each.same} == {}
    assert {table for table, each in found.items() if not each.rows} <= {"wa_actions", "wa_drift"}
    assert crm(of_target, target) == crm(of_source, source)
    assert target.counts()["events"] == source.counts()["events"]
    for number in (1, 5):
        one, other = source.get("delivery", number), target.get("delivery", number)
        assert (one["body"], one["headers"]) == (other["body"], other["headers"])
    assert (
        target.find(Query(ids=(3,)), limit=1)[0]["payload_original"]
        == (source.find(Query(ids=(3,)), limit=1)[0]["payload_original"])
    )


def test_the_copy_goes_on_by_itself(two):
    """New ids are behind those that were copied, and what had not been done is done."""
    source, target, *_ = two
    copied(source, target)
    last = max(row["id"] for row in source.read_rows("wa_deliveries", after=None, limit=10**6))
    (new,) = target.append([Delivery(body=b"{}", received_at=AT)])
    assert new > last
    done = Pipeline(store=target, clock=lambda: AT).drain()
    assert done.deliveries == 2
    again = source.get("delivery", 1)["body"]
    target.append([Delivery(body=again, received_at=AT)])
    tally = Pipeline(store=target, clock=lambda: AT).drain()
    assert tally.duplicates == tally.events > 0


def test_a_copy_that_was_interrupted_goes_on(two, monkeypatch):
    source, target, *_ = two
    monkeypatch.setattr(copying, "_ROWS_AT_ONCE", 50)

    class Failing:
        """Writes so many pages, and then nothing more."""

        def __init__(self, pages):
            self._left = pages

        def __getattr__(self, name):
            return getattr(target, name)

        def write_rows(self, table, rows):
            if not self._left:
                raise StoreUnavailableError
            self._left -= 1
            target.write_rows(table, rows)

    for pages in range(8):
        with pytest.raises(StoreUnavailableError):
            copied(source, Failing(pages))
    found = copied(source, target)
    assert all(each.same for each in found.values())


def test_what_has_something_of_its_own_is_not_copied_into(two):
    source, target, *_ = two
    target.append([Delivery(body=b"mine", received_at=AT)])
    with pytest.raises(StoreRejectedError, match="not empty"):
        copied(source, target)


def test_what_differs_is_found(two):
    source, target, *_ = two
    copied(source, target)
    target.append([Delivery(body=b"mine", received_at=AT)])
    run = start_run("x", scope={}, started_by="me", now=AT)
    differing = [each.table for each in copying._compare(source, target, run) if not each.same]
    assert {"wa_deliveries", "wa_runs"} <= set(differing)


def test_the_command(tmp_path):
    source = f"sqlite:{tmp_path}/one.db"
    with contextlib.closing(open_store(source)) as store:
        fill(store)
    command = [sys.executable, "-m", "wa_hooks_cli", "copy", "--from", source, "--to", f"sqlite:{tmp_path}/two.db"]
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["same"] is True
    again = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert again.returncode == 5
    assert "not empty" in again.stderr
