"""The CRM tables are what the log adds up to; where they are not, rebuild says where, and puts them right."""

import json
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

import pytest
from backends import SqliteFile, SqliteMemory, crm, plain_database
from building import CASES, START, Clock, delivery, message
from histories import as_body, happenings
from hypothesis import given, settings
from hypothesis import strategies as st

from wa_hooks_cli.main import main
from wa_webhooks.changes import ActionQueued, MessageSeen
from wa_webhooks.errors import HandlersMissingError, StoreRejectedError, StoreUnavailableError
from wa_webhooks.handlers import Registry, builtin
from wa_webhooks.pipeline import Pipeline, rebuild, start_run
from wa_webhooks.stores.base import Delivery, Query
from wa_webhooks.stores.sqlite import rebuilding
from wa_webhooks.stores.sqlite.rebuilding import CRM_TABLES

BODIES = [case.read_bytes() for case in CASES]
MESSAGES = [case.read_bytes() for case in CASES if case.parent.name == "messages"]


def run_of(command="rebuild"):
    return start_run(command, scope={}, started_by="test", now=START)


def filled(store, bodies=BODIES, registry=None):
    pipeline = Pipeline(store=store, clock=Clock(), registry=registry or builtin())
    store.append([Delivery(body=body, received_at=START) for body in bodies])
    pipeline.drain()
    return pipeline


@pytest.fixture
def store(tmp_path):
    with closing(SqliteFile(tmp_path).open()) as opened:
        yield opened


def test_the_fixtures_differ_in_nothing(store):
    found = rebuild(filled(store))
    assert (found.differing, found.failures) == (0, [])
    assert found.events == store.counts()["events"]["processed"] > 100


def columns_of(table):
    with closing(SqliteMemory(None).open()) as store:
        rows = store._db.execute(f"PRAGMA table_xinfo({table})").fetchall()
    own = {"id"} if CRM_TABLES[table] != ("id",) else set()
    kept = own | set(CRM_TABLES[table])
    return [row["name"] for row in rows if not row["hidden"] and row["name"] not in kept]


ALTERED = {
    "direction": "outbound",
    "source": "echo",
    "severity": "critical",
    "named": 1,
    "inbound": 1,
    "told_rank": 5,
}


@pytest.fixture(scope="module")
def untouched(tmp_path_factory):
    backend = SqliteFile(tmp_path_factory.mktemp("untouched"))
    with closing(backend.open()) as store:
        filled(store)
    return backend.path.read_bytes()


@pytest.mark.parametrize("table", CRM_TABLES)
def test_rows_altered_by_hand_are_named_with_their_columns(tmp_path, untouched, table):
    path = tmp_path / "store.db"
    path.write_bytes(untouched)
    altered = {}
    with closing(SqliteFile(tmp_path).open()) as store, closing(sqlite3.connect(path)) as plain:
        plain.row_factory = sqlite3.Row
        for column in columns_of(table):
            other = "(SELECT id FROM wa_leads l WHERE l.id <> lead_id LIMIT 1)" if column == "lead_id" else "?"
            value = [] if column == "lead_id" else [ALTERED.get(column, "altered")]
            row = plain.execute(f"SELECT * FROM {table} WHERE {column} IS NOT {other} LIMIT 1", value).fetchone()
            assert row, f"no fixture gives a row whose {column} can be altered"
            key = {name: row[name] for name in CRM_TABLES[table]}
            named = " AND ".join(f"{name} IS ?" for name in key)
            plain.execute(f"UPDATE {table} SET {column} = {other} WHERE {named}", [*value, *key.values()])
            altered[" ".join(map(str, key.values())), column] = row[column]
        plain.commit()
        pipeline = Pipeline(store=store, clock=Clock())
        found = rebuild(pipeline)
        assert {(one.key, one.column): one.rebuilt for one in found.differences if one.table == table} == altered
        assert {one.table for one in found.differences} == {table}
        assert rebuild(pipeline, run_of()).differing == len(altered)
        assert rebuild(pipeline).differing == 0


@pytest.mark.parametrize("table", [table for table in CRM_TABLES if table != "wa_leads"])
def test_a_row_too_few_is_named_and_put_back(tmp_path, untouched, table):
    path = tmp_path / "store.db"
    path.write_bytes(untouched)
    with closing(SqliteFile(tmp_path).open()) as store:
        with plain_database(path) as plain:
            plain.execute(f"DELETE FROM {table} WHERE rowid = (SELECT min(rowid) FROM {table})") if table in (
                "wa_number_changes",
                "wa_messages",
                "wa_message_statuses",
                "wa_calls",
                "wa_account_events",
            ) else plain.execute(f"DELETE FROM {table}")
        pipeline = Pipeline(store=store, clock=Clock())
        found = rebuild(pipeline)
        assert found.differing
        named = {(one.table, one.column, one.live, one.rebuilt) for one in found.differences}
        if table != "wa_lead_sightings":  # without them no lead can be told from another
            assert named == {(table, None, None, "a row")}
        assert rebuild(pipeline, run_of()).differing == found.differing
        assert rebuild(pipeline).differing == 0


def test_a_row_too_many_is_named_and_removed(store):
    pipeline = filled(store)
    store._db.execute("INSERT INTO wa_leads (scope, name) VALUES ('W', 'nobody')")
    (difference,) = rebuild(pipeline).differences
    assert (difference.table, difference.live, difference.rebuilt) == ("wa_leads", "a row", None)
    rebuild(pipeline, run_of())
    assert rebuild(pipeline).differing == 0


def test_leads_keep_their_ids_and_actions_their_leads(tmp_path, store):
    fires = Registry()

    @fires.on("message.text")
    def fire(event):
        yield from ()
        seen = next(change for change in builtin().matching(event.type)[0](event) if isinstance(change, MessageSeen))
        yield ActionQueued(
            idempotency_key=event.key, at=seen.at, action="x", target="y", payload="{}", person=seen.person
        )

    pipeline = filled(store, registry=Registry(builtin(), fires))
    leads = {row["id"]: row["name"] for row in store._db.execute("SELECT id, name FROM wa_leads")}
    actions = [dict(row) for row in store._db.execute("SELECT * FROM wa_actions")]
    assert actions
    store._db.execute("PRAGMA foreign_keys = OFF")
    store._db.execute("UPDATE wa_messages SET lead_id = 4711")
    store._db.execute("DELETE FROM wa_lead_identities")
    store._db.execute("UPDATE wa_leads SET name = NULL")
    store._db.execute("PRAGMA foreign_keys = ON")
    assert rebuild(pipeline, run_of()).differing
    assert {row["id"]: row["name"] for row in store._db.execute("SELECT id, name FROM wa_leads")} == leads
    assert [dict(row) for row in store._db.execute("SELECT * FROM wa_actions")] == actions
    assert not store._db.execute("PRAGMA foreign_key_check").fetchall()


@settings(max_examples=40)
@given(st.lists(happenings(), min_size=1, max_size=15), st.randoms(use_true_random=False))
def test_whatever_happened_the_store_is_what_the_log_adds_up_to(history, random):
    bodies = [as_body(each) for each in random.sample(history, len(history))]
    with tempfile.TemporaryDirectory() as folder, closing(SqliteFile(Path(folder)).open()) as store:
        pipeline = filled(store, bodies)
        found = rebuild(pipeline)
        assert found.differences == []
        # Whatever is lost of it, it comes back.
        backend = SqliteFile(Path(folder))
        before = crm(backend, store)
        store._db.execute("PRAGMA foreign_keys = OFF")
        for table in random.sample(sorted(CRM_TABLES), 2):
            store._db.execute(f"DELETE FROM {table}")
        store._db.execute("PRAGMA foreign_keys = ON")
        rebuild(pipeline, run_of())
        assert crm(backend, store) == before


def test_what_cannot_be_handled_any_more_is_told_and_nothing_replaced(store):
    filled(store, [delivery(messages=[message()])])
    store._db.execute("UPDATE wa_messages SET text = 'altered'")
    broken = Registry(builtin())

    @broken.on("message.text")
    def fails(event):
        raise ValueError("broken")

    pipeline = Pipeline(store=store, clock=Clock(), registry=broken)
    found = rebuild(pipeline, run_of())
    (failure,) = found.failures
    assert (failure.table, failure.column, failure.rebuilt) == ("wa_events", "error", "ValueError: broken")
    assert store._db.execute("SELECT text FROM wa_messages").fetchone()["text"] == "altered"


def test_it_asks_for_the_handlers_that_events_had(store):
    mine = Registry()

    @mine.on("message.text")
    def shop(event):
        return None

    filled(store, registry=Registry(builtin(), mine))
    with pytest.raises(HandlersMissingError, match="shop"):
        rebuild(Pipeline(store=store, clock=Clock()))
    assert rebuild(Pipeline(store=store, clock=Clock(), ignore_handlers=True)).differing == 0


def test_receiving_goes_on_meanwhile_and_is_caught_up_with(tmp_path, store):
    pipeline = filled(store, MESSAGES)
    store._db.execute("UPDATE wa_messages SET text = 'altered'")
    with closing(SqliteFile(tmp_path).open()) as other:
        late = iter([BODIES])

        def receive(done):
            for bodies in late:
                filled(other, bodies)

        found = rebuild(pipeline, run_of(), progress=receive)
    assert found.differing
    assert found.events == store.counts()["events"]["processed"]
    assert rebuild(pipeline).differing == 0


def test_events_taken_back_meanwhile_end_it_and_nothing_is_replaced(tmp_path, store):
    pipeline = filled(store, MESSAGES)
    store._db.execute("UPDATE wa_messages SET text = 'altered'")
    with closing(SqliteFile(tmp_path).open()) as other:
        again = Pipeline(store=other, clock=Clock())
        once = iter([Query(types=("message.*",))])

        def take_back(done):
            for query in once:
                other.requeue(query, run_of("reprocess"), now=START)

        with pytest.raises(StoreUnavailableError, match="meanwhile"):
            rebuild(pipeline, run_of(), progress=take_back)
        assert store._db.execute("SELECT count(*) AS n FROM wa_messages WHERE text = 'altered'").fetchone()["n"]
        again.clock.later(hours=1)
        again.drain()


@pytest.mark.parametrize("at", ["_replace", "_enter"])
def test_a_crash_while_replacing_leaves_all_as_it_was(store, monkeypatch, at):
    pipeline = filled(store)
    store._db.execute("UPDATE wa_messages SET text = 'altered'")
    real = getattr(rebuilding._Rebuild, at)

    def dies(self, *args):
        real(self, *args)
        raise KeyboardInterrupt

    monkeypatch.setattr(rebuilding._Rebuild, at, dies)
    with pytest.raises(KeyboardInterrupt):
        rebuild(pipeline, run_of())
    assert {row["text"] for row in store._db.execute("SELECT text FROM wa_messages")} == {"altered"}
    assert not store._db.execute("SELECT 1 FROM wa_runs WHERE command = 'rebuild'").fetchone()


def test_a_store_in_memory_says_that_it_cannot():
    with closing(SqliteMemory(None).open()) as store, pytest.raises(StoreRejectedError, match="memory"):
        rebuild(Pipeline(store=store))


def test_the_command_shows_asks_and_enters_the_ledger(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["replay", str(CASES[0].parents[1]), "--json"]) == 3  # broken ones among them
    capsys.readouterr()
    assert main(["rebuild"]) == 0
    assert "no difference" in capsys.readouterr().out
    with plain_database(tmp_path / "wa-hooks.db") as plain:
        plain.execute(
            "UPDATE wa_messages SET text = 'forged'"
            " WHERE wamid = (SELECT min(wamid) FROM wa_messages WHERE text > '')"
        )
    assert main(["rebuild"]) == 3
    shown = capsys.readouterr().out
    assert "wa_messages" in shown
    assert "text" in shown
    assert "forged" not in shown  # masked
    assert main(["rebuild", "--json"]) == 3
    line = json.loads(capsys.readouterr().out)
    assert (line["table"], line["column"], line["live"]) == ("wa_messages", "text", "forged")
    assert main(["rebuild", "--apply"]) == 2  # nobody is there to ask
    assert "--yes" in capsys.readouterr().err
    assert main(["rebuild", "--apply", "--yes"]) == 0
    told = capsys.readouterr().out
    assert "put right" in told
    run = told.rpartition("run ")[2].strip(")\n")
    assert main(["show", run, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["command"] == "rebuild"
    assert main(["rebuild"]) == 0
