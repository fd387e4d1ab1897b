"""A store that an older version made is brought up to this one: the log stays, the CRM tables are made of it anew."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from backends import CRM_TABLES, SqliteFile, crm
from building import CASES, START, Clock

from wa_webhooks.pipeline import Pipeline
from wa_webhooks.stores.base import DEAD, PENDING, PROCESSED, Delivery, Query
from wa_webhooks.stores.sqlfiles import migrations

OLD = Path(__file__).parent / "stores" / "first_release.sql"
BODIES = [case.read_bytes() for case in CASES]


def log_of(store):
    kept = ("id", "tipo_evento", "payload_original", "fecha_recepcion", "event_key", "delivery_id", "error")
    return [{name: event[name] for name in kept} for event in store.find(Query(), limit=9999)]


@pytest.fixture
def old(tmp_path):
    """A store as the first release left it: its log is the fixtures', its CRM tables are its own."""
    backend = SqliteFile(tmp_path)
    filled = backend.sibling()
    with closing(filled.open()) as store:
        store.append([Delivery(body=body, received_at=START) for body in BODIES])
        Pipeline(store=store, clock=Clock()).drain()
    with closing(sqlite3.connect(backend.path)) as db:
        db.executescript(OLD.read_text())
        db.executescript(
            f"""
            CREATE TABLE wa_migrations (name TEXT PRIMARY KEY, applied_at TEXT NOT NULL);
            INSERT INTO wa_migrations VALUES ('0001_log_and_crm', '2026-11-01');
            PRAGMA foreign_keys = OFF;
            ATTACH '{filled.path}' AS filled;
            INSERT INTO wa_deliveries SELECT * FROM filled.wa_deliveries;
            INSERT INTO wa_delivery_work SELECT * FROM filled.wa_delivery_work;
            UPDATE wa_adopted SET up_to = (SELECT up_to FROM filled.wa_adopted);
            INSERT INTO wa_attempts SELECT * FROM filled.wa_attempts;
            """
        )
        columns = [row[1] for row in db.execute("PRAGMA table_info(wa_events)")]
        names = ", ".join(column for column in columns if column != "lead_id")
        db.execute("INSERT INTO wa_leads (id, scope, first_event_at, last_event_at) VALUES (1, 'W', '1', '2')")
        db.execute("INSERT INTO wa_lead_identities VALUES ('W', 'wa_id', '55', 1)")
        db.execute(f"INSERT INTO wa_events ({names}, lead_id) SELECT {names}, 1 FROM filled.wa_events")
        db.execute(
            "INSERT INTO wa_messages (phone_number_id, wamid, lead_id, direction, at)"
            " VALUES ('P', 'm', 1, 'inbound', '1')"
        )
        db.execute(
            "INSERT INTO wa_actions (idempotency_key, event_id, lead_id, action, target, payload, state)"
            " VALUES ('k', 1, 1, 'http', 'x', '{}', 'done')"
        )
        db.commit()
    return backend, filled


def test_the_log_stays_and_the_crm_is_made_of_it_anew(old):
    backend, filled = old
    with closing(backend.open()) as store, closing(filled.open()) as unbroken:
        assert log_of(store) == log_of(unbroken)
        assert not any(backend.rows(store, f"SELECT * FROM {table}") for table in CRM_TABLES if table != "wa_actions")
        states = {event["state"] for event in store.find(Query(), limit=9999)}
        assert PROCESSED not in states
        assert PENDING in states
        Pipeline(store=store, clock=Clock()).drain()
        (action,) = backend.rows(store, "SELECT idempotency_key, state, lead_id FROM wa_actions")
        assert action == {"idempotency_key": "k", "state": "done", "lead_id": None}  # and is not done again
        backend.run(store, "DELETE FROM wa_actions")
        assert crm(backend, store) == crm(filled, unbroken)
        assert log_of(store) == log_of(unbroken)
        # What had been given up stays so.
        assert len(store.find(Query(states=(DEAD,)), limit=99)) == len(unbroken.find(Query(states=(DEAD,)), limit=99))


def test_the_schema_is_the_same_whether_it_grew_or_was_made_new(old, tmp_path):
    backend, _ = old

    def objects(store):
        found = backend.rows(store, "SELECT type, name, sql FROM sqlite_master WHERE name LIKE 'wa_%' ORDER BY name")
        logs = ("wa_migrations", "wa_events", "wa_actions", "wa_delivery_work")
        return [row for row in found if row["name"] not in logs]

    with closing(backend.open()) as grown:
        fresh_folder = tmp_path / "fresh"
        fresh_folder.mkdir()
        with closing(SqliteFile(fresh_folder).open()) as fresh:
            assert {row["name"] for row in objects(grown)} == {row["name"] for row in objects(fresh)}
            assert [row["name"] for row in backend.rows(grown, "SELECT name FROM wa_migrations ORDER BY name")] == [
                migration.name for migration in migrations("sqlite")
            ]


def test_app_secrets_that_were_in_use_before_are_counted(tmp_path):
    """Deliveries that a worker had adopted by then, and those that none had."""
    backend = SqliteFile(tmp_path)
    rows = [("secret 1", "2026-11-02"), ("secret 2", "2026-11-01"), ("secret 1", "2026-11-03"), (None, "2026-11-04")]
    with closing(sqlite3.connect(backend.path)) as db:
        db.execute("CREATE TABLE wa_migrations (name TEXT PRIMARY KEY, applied_at TEXT NOT NULL)")
        for migration in migrations("sqlite")[:4]:
            db.executescript(migration.sql)
            db.execute("INSERT INTO wa_migrations VALUES (?, '2026-11-01')", [migration.name])
        db.executemany(
            "INSERT INTO wa_deliveries (headers, source, body, signature_key, received_at)"
            " VALUES ('{}', 'serve', '', ?, ?)",
            rows,
        )
        db.execute("INSERT INTO wa_delivery_work (delivery_id, not_before) VALUES (1, ''), (2, '')")
        db.execute("UPDATE wa_adopted SET up_to = 2")
        db.commit()
    expected = [
        {"label": "secret 1", "deliveries": 2, "first_at": "2026-11-02", "last_at": "2026-11-03"},
        {"label": "secret 2", "deliveries": 1, "first_at": "2026-11-01", "last_at": "2026-11-01"},
    ]
    with closing(backend.open()) as store:
        assert store.counts()["app_secrets"] == expected
        store.claim_deliveries(limit=1, token="t", now=START, until=START)
        assert store.counts()["app_secrets"] == expected
