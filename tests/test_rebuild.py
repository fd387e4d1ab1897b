"""The CRM tables are what the log adds up to; where they are not, rebuild says where, and puts them right."""

import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import threading
from contextlib import closing
from pathlib import Path
from random import Random

import pytest
import typer
from backends import SqliteFile, SqliteMemory, crm
from building import CASES, START, Clock, contact, delivery, message
from histories import as_body, happenings
from hypothesis import given, settings
from hypothesis import strategies as st

from wa_hooks_cli.main import main
from wa_webhooks.changes import ActionQueued, MessageSeen
from wa_webhooks.errors import GiveUpError, HandlersMissingError, StoreRejectedError, StoreUnavailableError
from wa_webhooks.handlers import Registry, builtin
from wa_webhooks.origin import Origin
from wa_webhooks.pipeline import Pipeline, rebuild, reprocess, start_run
from wa_webhooks.stores.base import DEAD, PENDING, REFUSED, Delivery, Query
from wa_webhooks.stores.sqlite import SqliteStore, rebuilding
from wa_webhooks.stores.sqlite.comparing import CRM_TABLES, FOLLOWERS, Comparison
from wa_webhooks.stores.sqlite.connection import TEMPORARY

BODIES = [case.read_bytes() for case in CASES]
MESSAGES = [case.read_bytes() for case in CASES if case.parent.name == "messages"]
OTHER_TABLES = {
    *("wa_deliveries", "wa_delivery_work", "wa_adopted", "wa_attempts", "wa_runs", "wa_migrations", "wa_drift"),
    *("wa_rejections", "wa_rejection_counts", "wa_signature_keys"),
    "wa_tag_meanings",  # the user's own
}


def run_of(command="rebuild"):
    return start_run(command, scope={}, started_by="test", now=START)


def filled(store, bodies=BODIES, registry=None):
    pipeline = Pipeline(store=store, clock=Clock(), registry=registry or builtin())
    store.append([Delivery(body=body, received_at=START) for body in bodies])
    pipeline.drain()
    return pipeline


def look(pipeline, run=None, **more):
    """What a rebuild came to, and what it told."""
    told = []
    return rebuild(pipeline, run, tell=told.append, **more), told


def people(number):
    """A message each from so many people."""
    return [
        delivery(
            contacts=[contact(f"Name {i}", wa_id=f"55119000000{i}")],
            messages=[message(id=f"wamid.{i}", **{"from": f"55119000000{i}"})],
        )
        for i in range(10, 10 + number)
    ]


@pytest.fixture
def store(tmp_path):
    with closing(SqliteFile(tmp_path).open()) as opened:
        yield opened


def altered(store, *statements):
    """What was done by hand, past what the store would let through."""
    store._db.execute("PRAGMA foreign_keys = OFF")
    for statement in statements:
        store._db.execute(statement)
    store._db.execute("PRAGMA foreign_keys = ON")


def rows(store, table, columns="*"):
    return [tuple(row) for row in store._db.execute(f"SELECT {columns} FROM {table} ORDER BY 1")]


def test_every_table_that_the_log_adds_up_to_is_rebuilt(store):
    tables = {row["name"] for row in store._db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    assert tables == {*CRM_TABLES, *FOLLOWERS} | OTHER_TABLES


@pytest.mark.parametrize("table", CRM_TABLES)
def test_the_key_of_a_table_names_one_row(store, table):
    # As an UPSERT wants it: refused unless it is a unique key.
    names = ", ".join(CRM_TABLES[table])
    rows = f"({names}) SELECT {names} FROM {table} WHERE true"
    store._db.execute(f"EXPLAIN INSERT INTO {table} {rows} ON CONFLICT ({names}) DO NOTHING")


def test_the_fixtures_differ_in_nothing(store):
    found, told = look(filled(store))
    assert (found.differences, found.failing, found.applied, told) == (0, 0, False, [])
    assert found.events == store.counts()["events"]["processed"] > 100


def columns_of(store, table):
    found = store._db.execute(f"PRAGMA table_xinfo({table})").fetchall()
    return [row["name"] for row in found if not row["hidden"] and row["name"] not in (*CRM_TABLES[table], "id")]


SEED = os.environ.get("WA_HOOKS_TEST_SEED", "")
"""Which rows are altered."""
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


@pytest.fixture
def pipeline(tmp_path, untouched):
    """Over a copy of a store that has seen every fixture."""
    (tmp_path / "store.db").write_bytes(untouched)
    with closing(SqliteFile(tmp_path).open()) as opened:
        yield Pipeline(store=opened, clock=Clock())


def alter(store, table, column):
    """Alter one value by hand; return how rebuild is to tell it."""
    other = "(SELECT max(id) FROM wa_leads l WHERE l.id <> t.lead_id)" if column == "lead_id" else ":other"
    named = " AND ".join(f"{name} = :{name}" for name in CRM_TABLES[table])
    given = {"other": ALTERED.get(column, "altered")}
    find = f"SELECT *, {other} AS new FROM {table} t WHERE {column} IS NOT {other}"
    found = store._db.execute(find, given).fetchall() or pytest.fail("no fixture gives a row to alter")
    row = dict(Random(f"{table} {column} {SEED}").choice(found))
    store._db.execute(f"UPDATE {table} AS t SET {column} = :new WHERE {named}", row)
    key = {name: row[name] for name in CRM_TABLES[table]}
    return table, tuple(key.items()), column, row["new"], row[column]


@pytest.mark.parametrize("table", CRM_TABLES)
def test_what_is_altered_by_hand_is_named_with_row_and_column(pipeline, table):
    store = pipeline.store
    before = rows(store, table)
    expected = {alter(store, table, column) for column in columns_of(store, table)}
    found, told = look(pipeline)
    assert {(d.table, tuple(d.key.items()), d.column, d.live, d.rebuilt) for d in told} == expected
    assert found.differing == {table: len(expected)}
    applied, told_again = look(pipeline, run_of())
    assert (applied.applied, applied.differing, told_again) == (True, found.differing, told)
    assert rows(store, table) == before
    assert look(pipeline)[1] == []


@pytest.mark.parametrize("table", CRM_TABLES)
def test_one_value_altered_is_one_difference(pipeline, table):
    column = columns_of(pipeline.store, table)[0]
    expected = alter(pipeline.store, table, column)
    ((difference),) = look(pipeline)[1]
    assert (difference.table, tuple(difference.key.items()), difference.column) == expected[:3]


@pytest.mark.parametrize("table", CRM_TABLES)
def test_rows_too_few_are_named_and_put_back(pipeline, table):
    store = pipeline.store
    before = rows(store, table)
    leads = rows(store, "wa_leads")
    altered(store, f"DELETE FROM {table}")
    found, told = look(pipeline)
    assert {(one.table, one.column, one.live, one.rebuilt) for one in told} == {(table, None, None, "a row")}
    assert found.differing == {table: len(before)}
    assert look(pipeline, run_of())[0].applied
    assert look(pipeline)[1] == []
    assert rows(store, "wa_leads") == leads
    if table not in ("wa_messages", "wa_calls"):  # whose own ids are gone for good
        assert rows(store, table) == before
    assert not store._db.execute("PRAGMA foreign_key_check").fetchall()


@pytest.mark.parametrize("table", CRM_TABLES)
def test_a_row_too_many_is_named_and_removed(pipeline, table):
    store = pipeline.store
    before = rows(store, table)
    key = CRM_TABLES[table]
    forged = {name: 4711 if name in ("id", "event_id") else "forged" for name in key}
    if table == "wa_lead_identities":
        forged["kind"] = "bsuid"
    names = [*key, *columns_of(store, table)]
    values = ", ".join(f":{name}" if name in forged else name for name in names)
    store._db.execute("PRAGMA foreign_keys = OFF")
    store._db.execute(f"INSERT INTO {table} ({', '.join(names)}) SELECT {values} FROM {table} LIMIT 1", forged)
    store._db.execute("PRAGMA foreign_keys = ON")
    ((difference),) = look(pipeline)[1]
    told = (difference.table, difference.key, difference.column, difference.live, difference.rebuilt)
    assert told == (table, forged, None, "a row", None)
    assert look(pipeline, run_of())[0].applied
    assert rows(store, table) == before


def fires(event):
    """A handler of the user's: something is done for whoever wrote."""
    seen = next(change for change in builtin().matching(event.type)[0](event) if isinstance(change, MessageSeen))
    yield ActionQueued(
        idempotency_key=event.key, at=seen.at, action="x", target="y", payload="{}", person=seen.person
    )


@pytest.fixture
def firing(store):
    mine = Registry()
    mine.on("message.text")(fires)
    return filled(store, registry=Registry(builtin(), mine))


def test_leads_and_actions_are_tied_as_they_were(firing):
    store = firing.store
    leads, actions, events = rows(store, "wa_leads"), rows(store, "wa_actions"), rows(store, "wa_events")
    assert actions
    one = "(SELECT min(id) FROM wa_leads)"
    altered(
        store,
        "UPDATE wa_messages SET lead_id = 4711",
        "DELETE FROM wa_lead_identities",
        "UPDATE wa_leads SET name = NULL",
        f"UPDATE wa_actions SET lead_id = {one} WHERE id = (SELECT max(id) FROM wa_actions WHERE lead_id <> {one})",
        f"UPDATE wa_events SET lead_id = {one} WHERE id = (SELECT max(id) FROM wa_events WHERE lead_id <> {one})",
    )
    found, told = look(firing, run_of())
    assert (found.differing["wa_actions"], found.differing["wa_events"]) == (1, 1)
    assert {d.column for d in told if d.table in FOLLOWERS} == {"lead_id"}
    assert (rows(store, "wa_leads"), rows(store, "wa_actions"), rows(store, "wa_events")) == (leads, actions, events)


def test_no_action_is_queued_and_none_is_lost(firing):
    store = firing.store
    actions = rows(store, "wa_actions")
    store._db.execute("DELETE FROM wa_actions WHERE id = (SELECT max(id) FROM wa_actions)")
    altered(store, "UPDATE wa_leads SET name = 'x'")
    assert look(firing, run_of())[0].applied
    assert rows(store, "wa_actions") == actions[:-1]
    firing.registry, firing.ignore_handlers = builtin(), True  # it would not fire any more
    altered(store, "UPDATE wa_leads SET name = 'x'")
    assert look(firing, run_of())[0].applied
    assert rows(store, "wa_actions") == actions[:-1]


@pytest.mark.parametrize("table", ["wa_lead_sightings", "wa_lead_identities", "wa_leads"])
def test_leads_keep_their_ids_whatever_is_left_of_them(store, table):
    bodies = people(9)
    pipeline = filled(store, bodies[::-1])
    leads = rows(store, "wa_leads")
    altered(store, f"DELETE FROM {table}", "UPDATE wa_messages SET lead_id = 1")
    assert look(pipeline, run_of())[0].applied
    assert rows(store, "wa_leads") == leads


def test_what_others_refer_to_stays_where_it_is(store):
    pipeline = filled(store, people(5))
    for table in ("wa_leads", "wa_messages"):
        store._db.execute(f"CREATE TABLE of_{table} (id INTEGER REFERENCES {table} (id) ON DELETE CASCADE)")
        store._db.execute(f"INSERT INTO of_{table} SELECT id FROM {table}")
    before = rows(store, "of_wa_leads"), rows(store, "of_wa_messages"), rows(store, "wa_messages")
    store._db.execute("UPDATE wa_leads SET name = 'altered'")
    store._db.execute("UPDATE wa_messages SET text = 'altered'")
    assert look(pipeline, run_of())[0].applied
    assert (rows(store, "of_wa_leads"), rows(store, "of_wa_messages"), rows(store, "wa_messages")) == before


def giving_up(when):
    """The built-in handlers, and one that gives an event up now and then."""
    mine = Registry(builtin())

    @mine.on("*")
    def gives_up(event):
        if when():
            raise GiveUpError

    return mine


@settings(max_examples=40)
@given(st.lists(happenings(), min_size=1, max_size=15), st.randoms(use_true_random=False))
def test_whatever_happened_the_store_is_what_the_log_adds_up_to(history, random):
    bodies = [as_body(each) for each in random.sample(history, len(history))]
    with tempfile.TemporaryDirectory() as folder, closing(SqliteFile(Path(folder)).open()) as store:
        pipeline = filled(store, bodies, registry=giving_up(lambda: random.random() < 0.3))
        pipeline.registry, pipeline.ignore_handlers = builtin(), True
        assert look(pipeline)[1] == []
        # Some come later than their place in the log says.
        reprocess(pipeline, Query(states=(DEAD,)), run_of("reprocess"))
        assert look(pipeline)[1] == []
        # Whatever is lost, it comes back.
        backend = SqliteFile(Path(folder))
        before, leads = crm(backend, store), rows(store, "wa_leads")
        lost = random.sample(sorted(CRM_TABLES), 2)
        altered(store, *(f"DELETE FROM {table}" for table in lost))
        look(pipeline, run_of())
        assert crm(backend, store) == before
        if "wa_leads" not in lost or not {"wa_lead_sightings", "wa_lead_identities"} & set(lost):
            assert rows(store, "wa_leads") == leads


def broken_at(ident):
    """The built-in handlers, and one that fails at one message."""
    mine = Registry(builtin())

    @mine.on("message.text")
    def fails(event):
        if event.message_id == ident:
            raise ValueError("broken")

    return mine


def test_what_cannot_be_handled_any_more_is_told_and_nothing_replaced(store):
    filled(store, people(5))
    store._db.execute("UPDATE wa_messages SET text = 'altered' WHERE wamid = 'wamid.13'")
    pipeline = Pipeline(store=store, clock=Clock(), registry=broken_at("wamid.11"), ignore_handlers=True)
    found, told = look(pipeline, run_of())
    assert (found.events, found.failing, found.applied) == (5, 1, False)
    assert (told[0].table, told[0].column, told[0].live) == ("wa_events", "error", None)
    assert told[0].key == {"id": 2, "event_key": "message:420000000000101:wamid.11"}
    assert told[0].rebuilt.startswith("ValueError: broken (in handler ")
    # The others were made anew all the same.
    differing = {d.key["wamid"]: d.column for d in told if d.table == "wa_messages"}
    assert differing == {"wamid.11": None, "wamid.13": "text"}
    assert ("altered",) in rows(store, "wa_messages", "text")


def test_changes_that_cannot_be_stored_are_told(store):
    filled(store, people(2))
    mine = Registry(builtin())

    @mine.on("message.text")
    def unstorable(event):
        return [ActionQueued(idempotency_key=event.key, at=START, action="x", target="y", payload=object())]

    found, told = look(Pipeline(store=store, clock=Clock(), registry=mine))
    assert found.failing == 2
    assert "InterfaceError" in told[0].rebuilt or "ProgrammingError" in told[0].rebuilt


def test_it_asks_for_the_handlers_that_events_had(store):
    mine = Registry()

    @mine.on("message.text")
    def shop(event):
        return None

    filled(store, registry=Registry(builtin(), mine))
    with pytest.raises(HandlersMissingError, match="shop"):
        rebuild(Pipeline(store=store, clock=Clock()))
    assert look(Pipeline(store=store, clock=Clock(), ignore_handlers=True))[1] == []


# -- what was applied once


def test_events_that_are_reprocessed_at_the_moment_differ_in_nothing(store):
    pipeline = filled(store)
    processed = store.counts()["events"]["processed"]
    store.requeue(Query(), run_of("reprocess"), now=START)  # also those that never were
    assert store.counts()["events"][PENDING] > processed
    found, told = look(pipeline)
    assert (told, found.events) == ([], processed)


def test_what_failed_when_it_was_reprocessed_is_told_and_its_rows_stay(store):
    filled(store, people(3))
    pipeline = Pipeline(store=store, clock=Clock(), registry=broken_at("wamid.11"), ignore_handlers=True)
    reprocess(pipeline, Query(), run_of("reprocess"))
    found, told = look(pipeline, run_of())
    assert (found.failing, told[0].key["id"]) == (1, 2)
    pipeline.registry = builtin()
    assert look(pipeline)[1] == []


def test_what_is_refused_since_is_nobodys(store):
    pipeline = filled(store, people(3))
    pipeline.origin = Origin(accounts=frozenset({"another"}))
    reprocess(pipeline, Query(ids=(1,)), run_of("reprocess"))
    assert store.counts()["events"][REFUSED] == 1
    found, told = look(pipeline)
    assert found.differing["wa_leads"] == found.differing["wa_messages"] == found.differing["wa_events"] == 1
    assert {(d.live, d.rebuilt) for d in told if d.table in CRM_TABLES} == {("a row", None)}
    assert look(pipeline, run_of())[0].applied
    assert look(pipeline)[1] == []
    assert len(rows(store, "wa_leads")) == 2


# -- beside work that goes on


def beside(tmp_path, what):
    """A progress callback that does something on another connection, once."""
    once = iter([what])

    def progress(done):
        for does in once:
            with closing(SqliteFile(tmp_path).open()) as other:
                does(other)

    return progress


@pytest.mark.parametrize("at_once", [5, 500])
def test_receiving_goes_on_meanwhile_and_is_caught_up_with(tmp_path, store, monkeypatch, at_once):
    monkeypatch.setattr(rebuilding, "_AT_ONCE", at_once)
    pipeline = filled(store, MESSAGES)
    store._db.execute("UPDATE wa_messages SET text = 'altered'")
    found, told = look(pipeline, run_of(), progress=beside(tmp_path, filled))
    assert found.applied
    assert {(d.table, d.column) for d in told} == {("wa_messages", "text")}
    assert found.events == store.counts()["events"]["processed"]
    assert look(pipeline)[1] == []


def test_a_snapshot_is_compared_and_not_what_comes_after_it(tmp_path, store):
    pipeline = filled(store, MESSAGES)
    found, told = look(pipeline, progress=beside(tmp_path, filled))
    assert told == []
    assert found.events < store.counts()["events"]["processed"]


def test_taken_back_meanwhile_they_count_as_they_were(tmp_path, store):
    pipeline = filled(store, MESSAGES)
    store._db.execute("UPDATE wa_messages SET text = 'altered'")
    take_back = beside(tmp_path, lambda other: other.requeue(Query(), run_of("reprocess"), now=START))
    assert look(pipeline, run_of(), progress=take_back)[0].applied
    assert look(pipeline)[1] == []


def test_settled_again_meanwhile_it_ends_and_nothing_is_replaced(tmp_path, store):
    pipeline = filled(store, MESSAGES)
    store._db.execute("UPDATE wa_messages SET text = 'altered'")

    def again(other):
        reprocess(Pipeline(store=other, clock=Clock()), Query(types=("message.image",)), run_of("reprocess"))

    with pytest.raises(StoreUnavailableError, match="meanwhile"):
        look(pipeline, run_of(), progress=beside(tmp_path, again))
    assert ("altered",) in rows(store, "wa_messages", "text")


def test_what_comes_meanwhile_and_fails_leaves_all_as_it_was(tmp_path, store):
    pipeline = filled(store, people(2))
    store._db.execute("UPDATE wa_messages SET text = 'altered'")
    pipeline.registry, pipeline.ignore_handlers = broken_at("wamid.12"), True
    found, told = look(pipeline, run_of(), progress=beside(tmp_path, lambda other: filled(other, people(3))))
    assert (found.failing, found.applied) == (1, False)
    assert told[-1].column == "error"
    assert ("altered",) in rows(store, "wa_messages", "text")


def test_workers_that_never_rest_do_not_disturb_it(tmp_path, store):
    pipeline = filled(store, MESSAGES)
    done = threading.Event()

    def work():
        with closing(SqliteFile(tmp_path).open(busy_timeout=10)) as other:
            number = 0
            while not done.is_set():
                number += 1
                filled(other, [delivery(messages=[message(id=f"wamid.late.{number}")])])

    worker = threading.Thread(target=work)
    worker.start()
    try:
        for _ in range(3):
            store._db.execute("UPDATE wa_messages SET text = 'altered' WHERE wamid NOT LIKE 'wamid.late%'")
            found, told = look(pipeline, run_of())
            assert found.applied
            assert {(d.table, d.column) for d in told} == {("wa_messages", "text")}
    finally:
        done.set()
        worker.join()
    assert look(pipeline)[1] == []


# -- what goes wrong


@pytest.mark.parametrize("at", [(Comparison, "replace"), (rebuilding.Rebuild, "replace")], ids=["rows", "ledger"])
def test_a_crash_while_replacing_leaves_all_as_it_was(pipeline, monkeypatch, at):
    store = pipeline.store
    store._db.execute("UPDATE wa_messages SET text = 'altered'")
    real = getattr(*at)

    def dies(self, *args):
        real(self, *args)
        raise KeyboardInterrupt

    monkeypatch.setattr(*at, dies)
    with pytest.raises(KeyboardInterrupt):
        rebuild(pipeline, run_of())
    assert {row["text"] for row in store._db.execute("SELECT text FROM wa_messages")} == {"altered"}
    assert not store._db.execute("SELECT 1 FROM wa_runs WHERE command = 'rebuild'").fetchone()
    monkeypatch.undo()
    assert look(pipeline, run_of())[0].applied


KILLED = """
import os, sys
from wa_hooks_cli.main import main
from wa_webhooks.stores.sqlite.comparing import Comparison
real = Comparison.replace
Comparison.replace = lambda self: (real(self), os._exit(9))
main(["rebuild", "--apply", "--yes"])
"""


@pytest.mark.processes
def test_a_process_killed_while_replacing_leaves_nothing_behind(pipeline, tmp_path):
    pipeline.store._db.execute("UPDATE wa_messages SET text = 'altered'")
    place = {"WA_HOOKS_STORE": f"sqlite:{tmp_path}/store.db", "SQLITE_TMPDIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", KILLED], env=place, check=False)
    assert done.returncode == 9
    assert {row["text"] for row in pipeline.store._db.execute("SELECT text FROM wa_messages")} == {"altered"}
    assert {file.name.partition("-")[0] for file in tmp_path.iterdir()} == {"store.db"}


def test_a_full_disk_for_temporary_files_is_told_from_the_stores(pipeline, monkeypatch):
    configure = SqliteStore._configure

    def small(self, **options):
        configure(self, **options)
        if self.path == TEMPORARY:
            self._db.execute("PRAGMA max_page_count = 90")

    monkeypatch.setattr(SqliteStore, "_configure", small)
    with pytest.raises(StoreUnavailableError, match="temporary files") as caught:
        rebuild(pipeline)
    assert "SQLITE_TMPDIR" in caught.value.hint


def test_it_waits_for_the_write_lock_and_then_says_so(pipeline, monkeypatch, tmp_path):
    monkeypatch.setattr(rebuilding, "_PATIENCE", 0.05)
    pipeline.store._db.execute("UPDATE wa_messages SET text = 'altered'")
    with closing(sqlite3.connect(tmp_path / "store.db", isolation_level=None)) as busy:
        busy.execute("BEGIN IMMEDIATE")
        assert look(pipeline)[1]  # reading needs no lock
        with pytest.raises(StoreUnavailableError, match="locked"):
            rebuild(pipeline, run_of())


def test_a_store_that_was_moved_away_is_not_written_to(pipeline, tmp_path):
    (tmp_path / "store.db").rename(tmp_path / "moved.db")
    with pytest.raises(StoreRejectedError, match="moved"):
        rebuild(pipeline)
    assert not (tmp_path / "store.db").exists()


def test_what_somebody_still_refers_to_is_not_taken_from_them(pipeline):
    store = pipeline.store
    store._db.execute("INSERT INTO wa_leads (scope, name) VALUES ('W', 'forged')")
    store._db.execute("CREATE TABLE deals (lead_id INTEGER REFERENCES wa_leads (id))")
    store._db.execute("INSERT INTO deals SELECT max(id) FROM wa_leads")
    store._db.execute("UPDATE wa_messages SET text = 'altered'")
    before = rows(store, "wa_leads"), rows(store, "wa_messages")
    with pytest.raises(StoreRejectedError, match="FOREIGN KEY"):
        rebuild(pipeline, run_of())
    assert (rows(store, "wa_leads"), rows(store, "wa_messages")) == before


def test_a_store_in_memory_says_that_it_cannot():
    with closing(SqliteMemory(None).open()) as store, pytest.raises(StoreRejectedError, match="memory"):
        rebuild(Pipeline(store=store))


# -- the command


@pytest.fixture
def wa(pipeline, tmp_path, monkeypatch, capfd):
    """Run a command on the store of `pipeline`; return (exit code, stdout, stderr)."""
    monkeypatch.setenv("WA_HOOKS_STORE", f"sqlite:{tmp_path}/store.db")
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        code = main([*arguments])
        return code, *capfd.readouterr()

    return run


FORGE = "UPDATE wa_messages SET text = 'forged' WHERE wamid = (SELECT min(wamid) FROM wa_messages WHERE text > '')"


def test_the_command_shows_applies_and_enters_the_ledger(wa, pipeline):
    code, shown, _ = wa("rebuild")
    assert (code, shown.partition(": ")[2]) == (0, "no difference\n")
    pipeline.store._db.execute(FORGE)
    code, shown, _ = wa("rebuild")
    assert (code, shown.count("wa_messages")) == (3, 2)
    assert " text " in shown
    assert "1 difference (1 in wa_messages)" in shown
    assert "forged" not in shown  # masked
    assert "forged" in wa("rebuild", "--unmask")[1]
    code, shown, _ = wa("rebuild", "--apply", "--yes")
    assert code == 0
    run = shown.rpartition("run ")[2].strip(")\n")
    record = json.loads(wa("show", run, "--json")[1])
    assert record["command"] == "rebuild"
    assert record["counts"] == {"events": pipeline.store.counts()["events"]["processed"], "differences": 1}
    assert record["finished_at"] >= record["started_at"]
    code, shown, _ = wa("rebuild", "--apply", "--yes")
    assert (code, shown.partition(": ")[2]) == (0, "no difference\n")


def test_json_is_a_line_each_and_a_summary(wa, pipeline):
    pipeline.store._db.execute(FORGE)
    code, shown, _ = wa("rebuild", "--json")
    line, summary = map(json.loads, shown.splitlines())
    assert code == 3
    assert (line["table"], line["column"], line["live"]) == ("wa_messages", "text", "forged")
    assert set(line["key"]) == {"phone_number_id", "wamid"}
    assert summary == {
        "events": pipeline.store.counts()["events"]["processed"],
        "differences": 1,
        "by_table": {"wa_messages": 1},
        "failing": 0,
        "applied": False,
        "run": None,
    }
    masked = wa("rebuild", "--json", "--mask")[1]
    assert "forged" not in masked
    assert line["key"]["wamid"] not in masked


def test_it_asks_once_it_has_shown_what_it_would_do(wa, pipeline, monkeypatch):
    pipeline.store._db.execute(FORGE)
    code, shown, told = wa("rebuild", "--apply")
    assert (code, shown) == (2, "")
    assert "--yes" in told
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    asked = []
    monkeypatch.setattr(typer, "confirm", lambda question, **_: asked.append(question))
    code, shown, told = wa("rebuild", "--apply")
    assert (code, asked) == (130, ["Put 1 difference right?"])
    assert "wa_messages" in shown
    assert "nothing done" in told
    monkeypatch.setattr(typer, "confirm", lambda *_, **__: True)
    code, shown, told = wa("rebuild", "--apply")
    assert (code, shown.count(" text ")) == (0, 1)
    assert wa("rebuild", "--apply")[0] == 0  # nothing to ask about


def test_people_see_the_first_hundred_and_pipes_see_all(wa, pipeline):
    altered(pipeline.store, "UPDATE wa_messages SET tag = 'x'", "UPDATE wa_message_statuses SET tag = 'x'")
    differing = len(wa("rebuild", "--json")[1].splitlines()) - 1
    assert differing > 100
    assert f"... and {differing - 100} more; --json tells every one" in wa("rebuild")[1]


def test_handlers_are_asked_for_first_and_may_print(wa, pipeline, tmp_path):
    (tmp_path / "talkative.py").write_text(
        "from wa_webhooks import Registry\nregistry = Registry()\n"
        "@registry.on('message.*')\ndef talks(event):\n    print('hello')\n"
    )
    handlers = ("--handlers", "talkative:registry")
    wa("reprocess", "--all", "--yes", *handlers)
    code, shown, told = wa("rebuild", "--json")
    assert (code, shown) == (2, "")
    assert "talkative.talks" in told
    assert "--ignore-handlers" in told
    assert wa("rebuild", "--json", "--ignore-handlers")[0] == 0
    code, shown, told = wa("rebuild", "--json", *handlers)
    assert (code, len(shown.splitlines())) == (0, 1)
    assert "hello" in told


def test_failing_events_are_said_with_what_to_do(wa, tmp_path):
    (tmp_path / "broken_mapping.py").write_text(
        "from wa_webhooks import Registry\nregistry = Registry()\n"
        "@registry.on('message.text')\ndef breaks(event):\n    raise KeyError('price of 5511900000012')\n"
    )
    code, shown, told = wa("rebuild", "--apply", "--yes", "--handlers", "broken_mapping:registry")
    assert code == 3
    assert "KeyError" in shown
    assert "5511900000012" not in shown
    assert "reprocess" in told
