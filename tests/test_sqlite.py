"""What is SQLite's own: the log defends itself, and every failure of the file has one sentence."""

import json
import shutil
import sqlite3
import subprocess
import threading
from contextlib import closing
from datetime import UTC, datetime
from itertools import product
from pathlib import Path

import pytest
from backends import plain_database
from building import Clock, envelope, message

import wa_webhooks.stores.sqlite as sqlite_store
from wa_webhooks.errors import SchemaMismatchError, StoreError, StoreRejectedError, StoreUnavailableError
from wa_webhooks.handlers import Registry, builtin
from wa_webhooks.origin import Origin
from wa_webhooks.pipeline import Pipeline, reprocess, start_run
from wa_webhooks.retry import RetryPolicy
from wa_webhooks.stores import open_store
from wa_webhooks.stores.base import TRANSITIONS, Delivery, Query
from wa_webhooks.stores.sqlfiles import migrations, statements

NOW = datetime(2026, 11, 24, tzinfo=UTC)


@pytest.fixture
def path(tmp_path):
    """A store with one processed event in it, closed."""
    path = tmp_path / "log.db"
    store = open_store(f"sqlite:{path}")
    item = {"id": "wamid.1", "from": "5511900000012", "timestamp": "1795000000", "type": "text"}
    change = {"field": "messages", "value": {"metadata": {"phone_number_id": "P1"}, "messages": [item]}}
    body = json.dumps({"object": "whatsapp_business_account", "entry": [{"id": "W1", "changes": [change]}]})
    store.append([Delivery(body=body.encode(), received_at=NOW)])
    Pipeline(store=store).drain()
    store.save_run(start_run("replay", scope={}, started_by="test", now=NOW), counts=None)
    store.close()
    return path


COLUMNS = "tipo_evento, payload_original, fecha_recepcion, event_key, digest, delivery_id, position, state"
FORBIDDEN = [
    "DELETE FROM wa_events",
    "DELETE FROM wa_events WHERE id = 1",
    "DELETE FROM wa_deliveries",
    "DELETE FROM wa_attempts",
    "DELETE FROM wa_runs",
    "UPDATE wa_events SET payload_original = '{}'",
    "UPDATE wa_events SET fecha_recepcion = '2020-01-01'",
    "UPDATE wa_events SET tipo_evento = 'message.image'",
    "UPDATE wa_events SET event_key = 'x'",
    "UPDATE wa_events SET event_at = NULL",
    "UPDATE wa_events SET digest = 'x'",
    "UPDATE wa_events SET delivery_id = NULL",
    "UPDATE wa_events SET position = 9",
    "UPDATE wa_events SET id = 99",
    "UPDATE wa_events SET rowid = 99",
    "UPDATE wa_events SET procesado = 0",
    "UPDATE OR REPLACE wa_events SET event_key = 'x'",
    "UPDATE OR IGNORE wa_events SET payload_original = '{}'",
    "INSERT OR REPLACE INTO wa_events SELECT * FROM wa_events",
    f"REPLACE INTO wa_events (id, {COLUMNS}) VALUES (1, 'x', '{{}}', 'x', 'x', 'x', 1, 0, 'processed')",
    f"REPLACE INTO wa_events ({COLUMNS}) SELECT 'x', '{{}}', 'x', event_key, 'x', 1, 0, 'processed' FROM wa_events",
    "INSERT INTO wa_events SELECT * FROM wa_events WHERE 1 ON CONFLICT DO UPDATE SET payload_original = '{}'",
    "UPDATE wa_deliveries SET body = x'00'",
    "UPDATE wa_deliveries SET received_at = '2020-01-01'",
    "UPDATE wa_deliveries SET headers = '{}'",
    "UPDATE wa_deliveries SET rowid = 99",
    "INSERT OR REPLACE INTO wa_deliveries SELECT * FROM wa_deliveries",
    "REPLACE INTO wa_deliveries (id, body, headers, source, received_at) VALUES (1, x'00', '{}', 'serve', 'x')",
    "UPDATE wa_attempts SET error = 'x'",
    "REPLACE INTO wa_attempts SELECT * FROM wa_attempts",
    "REPLACE INTO wa_runs SELECT * FROM wa_runs",
    "UPDATE wa_runs SET scope = 'x'",
]


def _dump(path):
    with plain_database(path) as db:
        return list(db.iterdump())


@pytest.mark.parametrize("statement", FORBIDDEN)
def test_the_database_itself_refuses_to_lose_or_change_the_log(path, statement):
    before = _dump(path)
    plain = sqlite3.connect(path)  # no pragma of ours
    with pytest.raises((sqlite3.IntegrityError, sqlite3.OperationalError)):
        plain.execute(statement)
    plain.rollback()
    plain.close()
    assert _dump(path) == before


@pytest.mark.skipif(shutil.which("sqlite3") is None, reason="needs the sqlite3 shell")
@pytest.mark.parametrize("statement", FORBIDDEN)
def test_the_plain_shell_is_refused_too(path, statement):
    before = _dump(path)
    shell = subprocess.run(["sqlite3", path, statement], capture_output=True, text=True, check=False)
    assert shell.returncode != 0
    assert _dump(path) == before


@pytest.mark.parametrize("setting", ["recursive_triggers = ON", "foreign_keys = ON", "ignore_check_constraints = ON"])
def test_no_pragma_opens_a_way_round(path, setting):
    plain = sqlite3.connect(path)
    plain.execute(f"PRAGMA {setting}")
    for statement in FORBIDDEN:
        with pytest.raises((sqlite3.IntegrityError, sqlite3.OperationalError)):
            plain.execute(statement)
    plain.close()


def test_events_move_only_as_the_table_says(tmp_path):
    """Every way in which an event can be left, watched by the database."""
    store, clock = open_store(f"sqlite:{tmp_path}/x.db"), Clock()
    store._db.execute("CREATE TEMP TABLE moves (old, new)")
    store._db.execute(
        "CREATE TEMP TRIGGER watch AFTER UPDATE OF state ON main.wa_events WHEN OLD.state <> NEW.state "
        "BEGIN INSERT INTO moves VALUES (OLD.state, NEW.state); END"
    )
    broken = Registry()

    @broken.on("message.*")
    def fail(event):
        raise KeyError

    ways = {
        "well": {"ignore_handlers": True},
        "failing": {"registry": Registry(builtin(), broken)},
        "foreign": {"origin": Origin(accounts=frozenset({"another"}))},
        "once": {"registry": Registry(builtin(), broken), "policy": RetryPolicy(attempts=1)},
    }
    for number, (first, second) in enumerate(product(ways, repeat=2)):
        for door in ("reprocess", "deliver", "wait"):
            said = message(id=f"wamid.{number}.{door}")
            body = json.dumps(envelope({"metadata": {"phone_number_id": "P1"}, "messages": [said]})).encode()
            store.append([Delivery(body=body, received_at=clock())])
            Pipeline(store=store, clock=clock, **ways[first]).drain()
            again = Pipeline(store=store, clock=clock, **ways[second])
            if door == "reprocess":
                reprocess(again, Query(), start_run("reprocess", scope={}, started_by="test", now=clock()))
            elif door == "deliver":
                store.append([Delivery(body=body, received_at=clock())])
            clock.later(days=1)
            again.drain()
    moves = set(map(tuple, store._db.execute("SELECT DISTINCT old, new FROM moves")))
    assert moves == {(old, new) for old, news in TRANSITIONS.items() for new in news if new != old}
    store.close()


def test_what_workers_keep_may_change(path):
    with plain_database(path) as plain:
        plain.execute("UPDATE wa_events SET state = 'pending', error = 'x', attempts = 3")


def test_each_migration_is_one_transaction_with_its_record(tmp_path, monkeypatch):
    broken = [*migrations("sqlite"), ("0002_broken", "CREATE TABLE half (a);\nCREATE TABLE half (a);\n")]
    monkeypatch.setattr(
        "wa_webhooks.stores.sqlite.connection.migrations", lambda _: [type(broken[0])(*one) for one in broken]
    )
    with pytest.raises(StoreError):
        open_store(f"sqlite:{tmp_path}/new.db")
    with plain_database(tmp_path / "new.db") as plain:
        assert plain.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)


def test_a_commit_waits_for_the_disk(path):
    store = open_store(f"sqlite:{path}")
    settings = {name: store._db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("synchronous", "journal_mode")}
    assert settings == {"synchronous": 2, "journal_mode": "wal"}  # FULL
    store.close()


def test_a_newer_schema_is_refused_with_what_to_do(path):
    with plain_database(path) as plain:
        plain.execute("INSERT INTO wa_migrations VALUES ('9999_from_the_future', '2030-01-01')")
    with pytest.raises(SchemaMismatchError, match="9999_from_the_future") as caught:
        open_store(f"sqlite:{path}")
    assert "Upgrade" in caught.value.hint


def test_a_file_that_is_no_database(tmp_path):
    (tmp_path / "x.db").write_bytes(b"this is a text file, and long enough to be read as a header" * 20)
    with pytest.raises(StoreRejectedError, match="is not an SQLite file"):
        open_store(f"sqlite:{tmp_path}/x.db")


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(StoreRejectedError, match="cannot be opened"):
        open_store(f"sqlite:{tmp_path}/no/x.db")


def test_a_store_that_must_exist_is_not_made(tmp_path):
    with pytest.raises(StoreRejectedError, match="there is no store"):
        open_store(f"sqlite:{tmp_path}/x.db", create=False)
    assert not (tmp_path / "x.db").exists()


def test_a_locked_database_is_unavailable_and_then_is_not(path):
    other = sqlite3.connect(path, isolation_level=None)
    store = open_store(f"sqlite:{path}", busy_timeout=0.05)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailableError, match="locked"):
        store.append([Delivery(body=b"x", received_at=NOW)])
    with pytest.raises(StoreUnavailableError):
        store.check_writable()
    assert store.counts()["deliveries"] == 1  # reading goes on
    other.execute("ROLLBACK")
    assert store.append([Delivery(body=b"x", received_at=NOW)]) == [2]
    store.close()
    other.close()


def test_workers_that_leave_short_gaps_do_not_pass_the_front_over(tmp_path):
    path = tmp_path / "store.db"
    locked, ended = threading.Event(), threading.Event()

    def work():
        with closing(sqlite3.connect(path, isolation_level=None)) as busy:
            while not ended.is_set():
                busy.execute("BEGIN IMMEDIATE")
                locked.set()
                ended.wait(0.17)
                busy.execute("COMMIT")
                ended.wait(0.004)

    with closing(open_store(f"sqlite:{path}", busy_timeout=3.0, front=True)) as store:
        worker = threading.Thread(target=work)
        worker.start()
        try:
            assert locked.wait(5)
            for number in range(1, 6):
                assert store.append([Delivery(body=b"x", received_at=NOW)]) == [number]
        finally:
            ended.set()
            worker.join()


@pytest.fixture
def small_disk(tmp_path):
    """A disk of one megabyte, where one can be mounted."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = shutil.which("mount") and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], capture_output=True, check=False
    )
    if not mounted or mounted.returncode:
        pytest.skip("needs root, to mount a small disk")
    yield disk
    subprocess.run(["umount", disk], check=True)


def test_a_full_disk_loses_nothing_and_recovers(small_disk):
    store = open_store(f"sqlite:{small_disk}/x.db")
    recorded = []

    def fill():
        for number in range(100):
            recorded.extend(store.append([Delivery(body=bytes([number]) * 50_000, received_at=NOW)]))

    with pytest.raises(StoreUnavailableError, match="full disk"):
        fill()
    assert recorded
    with pytest.raises(StoreUnavailableError):
        store.append([Delivery(body=b"z" * 500_000, received_at=NOW)])
    subprocess.run(["mount", "-o", "remount,size=8m", small_disk], check=True)
    recorded += store.append([Delivery(body=b"after", received_at=NOW)])
    bodies = [store.get("delivery", ident)["body"] for ident in recorded]
    assert bodies == [bytes([number]) * 50_000 for number in range(len(recorded) - 1)] + [b"after"]
    assert store.counts()["deliveries"] == len(recorded)
    store.close()


def test_a_disk_that_turned_read_only(small_disk):
    url = f"sqlite:{small_disk}/x.db"
    open_store(url).close()
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    with (
        pytest.raises(StoreRejectedError, match=r"cannot be (written|opened)"),
        closing(open_store(url)) as store,
    ):
        store.append([Delivery(body=b"x", received_at=NOW)])


def test_every_statement_is_used_and_named_once():
    code = "".join(file.read_text() for file in Path(sqlite_store.__file__).parent.glob("*.py"))
    made = ("move_", "attribute_")  # of the names of tables, in leads.py
    unused = {name for name in statements("sqlite") if f'"{name}"' not in code and not name.startswith(made)}
    assert not unused
