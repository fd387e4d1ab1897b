"""Whatever goes wrong on the way to Postgres, at every verb: afterwards the database is as if nothing had."""

import time
from contextlib import closing

import pytest
from databases import Postgres, Supabase
from disturbed import Day, whole

from wa_webhooks.errors import StoreUnavailableError
from wa_webhooks.stores import supabase

HTML = {"body": "<html>Sorry</html>", "type": "text/html"}

WIRE = {
    "dropped before": {"kind": "drop"},
    "dropped after": {"kind": "drop_after"},
    "cut": {"kind": "cut"},
    "429": {"kind": "status", "status": 429, "body": "{}", "headers": {"retry-after": "0"}},
    "502 html": {"kind": "status", "status": 502, **HTML},
    "200 html": {"kind": "status", "status": 200, **HTML},
    "302": {"kind": "status", "status": 302, **HTML},
    "503 PGRST000": {"kind": "status", "status": 503, "body": '{"code":"PGRST000"}', "headers": {"retry-after": "0"}},
    "503 PGRST002": {"kind": "status", "status": 503, "body": '{"code":"PGRST002"}'},
    "timeout before": {"kind": "delay", "seconds": 0.3},
    "timeout after": {"kind": "late", "seconds": 0.3},
}
TRIGGERS = """
create schema faults;
create table faults.told (left_over integer);
insert into faults.told values (0);
create function faults.tell() returns trigger language plpgsql security definer as $$
begin
  if nextval('faults.drawn') <= (select left_over from faults.told) then
    raise exception 'as told' using errcode = tg_argv[0];
  end if;
  return null;
end $$;
create sequence faults.drawn;
"""


@pytest.fixture(scope="module")
def undisturbed(stack):
    """The database after a day without a fault, and what the day found."""
    backend = Postgres(None)
    with closing(backend.open()) as store:
        found = Day(store).go()
    return whole(backend.project), found


@pytest.fixture
def quick(monkeypatch):
    """Nobody waits as long as in production."""
    monkeypatch.setattr("wa_webhooks.stores.rpc.calls._PAUSES", (0.0, 0.0))


def compare(backend, undisturbed, found):
    rows, findings = undisturbed
    there = whole(backend.project)
    for table, expected in rows.items():
        differing = sorted(set(there[table]) ^ set(expected))
        assert there[table] == expected, (table, differing[:2])
    assert found == findings


def verbs(project):
    with project.connect() as db:
        return [
            name
            for (name,) in db.execute("""
                select proname from pg_proc
                 where pronamespace = 'public'::regnamespace and proname not like 'wa\\_internal\\_%'
                   and prorettype = 'jsonb'::regtype order by 1""")
        ]


def test_the_day_uses_every_verb(stack):
    backend = Postgres(None)
    with closing(backend.open()) as store:
        called = set()
        inner = store._transport.call
        store._transport.call = lambda function, args: called.add(function) or inner(function, args)
        Day(store).go()
    missing = set(verbs(backend.project)) - called - {"wa_schema_version"}
    assert missing == {"wa_copy_write"}  # for moving; test_copying.py kills that


def test_over_supabase_it_is_the_same_day(undisturbed):
    backend = Supabase(None)
    with closing(backend.open()) as store:
        compare(backend, undisturbed, Day(store).go())


@pytest.mark.parametrize(
    ("fault", "times"),
    [(fault, times) for fault in WIRE for times in (1, 4) if times == 1 or "timeout" not in fault],
)
def test_the_wire(undisturbed, monkeypatch, quick, fault, times):
    """The first calls of every verb fail so, at the beginning and again before each step."""
    if "timeout" in fault:
        monkeypatch.setattr(supabase, "_LONGEST_ANSWER", 0.15)
    backend = Supabase(None)
    # Rejections may be counted twice where their caller repeats them; `Store.reject` says so.
    told = [
        {**WIRE[fault], "function": verb, "times": min(times, 2) if verb == "wa_reject" else times}
        for verb in verbs(backend.project)
    ]
    try:
        with closing(backend.open()) as store:
            found = Day(store, before=lambda _: backend.project.faults(*told)).go()
    finally:
        backend.project.faults()
    compare(backend, undisturbed, found)


@pytest.mark.parametrize(
    ("kind", "what"),
    [(Postgres, "postgres"), (Postgres, "postgres crashes")]
    + [(Supabase, what) for what in ("postgres", "postgres crashes", "postgrest", "gateway")],
)
def test_restarted_before_every_step(undisturbed, kind, what):
    backend = kind(None)
    project = backend.project

    def before(step):
        # PostgREST takes a second or two to come back, so there only the steps that write.
        if (
            kind is Supabase
            and "postgres" in what.split()
            and step not in {"append", "process", "requeue", "process a run"}
        ):
            return
        if what.startswith("postgres ") or what == "postgres":
            project.cluster.restart(crash=what != "postgres")
        elif what == "postgrest":
            project.restart_postgrest()
        else:
            project.gateway.stop()
            project.start_gateway()

    try:
        with closing(backend.open()) as store:
            found = Day(store, before=before, pause=lambda: time.sleep(0.05)).go()
    finally:
        project.restart_postgrest()  # by itself it looks for the database again only after some seconds
    compare(backend, undisturbed, found)


@pytest.mark.parametrize("kind", [Supabase, Postgres])
def test_away_at_every_step(undisturbed, quick, kind):
    """Nobody listens when a step begins, for as long as it takes to notice."""
    backend = kind(None)
    project = backend.project
    away = []

    def before(_):
        (project.postgrest.stop if kind is Supabase else project.cluster.stop)()
        away.append(1)

    def pause():
        if away:
            (project.start_postgrest if kind is Supabase else project.cluster.start)()
            away.clear()
        time.sleep(0.01)

    try:
        with closing(backend.open()) as store:
            found = Day(store, before=before, pause=pause).go()
    finally:
        if kind is Postgres:
            project.restart_postgrest()
    compare(backend, undisturbed, found)


@pytest.mark.parametrize("kind", [Supabase, Postgres])
@pytest.mark.parametrize("state", ["40P01", "57014", "55P03"])
def test_the_database_gives_up_in_the_middle(undisturbed, quick, kind, state):
    """After a table was written to, in every step that writes; several times, so that each verb has its share."""
    backend = kind(None)
    project = backend.project
    project.run(TRIGGERS)
    with project.connect() as db:
        for (table,) in db.execute("select tablename from pg_tables where schemaname = 'public'").fetchall():
            if table != "wa_migrations":
                db.execute(
                    f"create trigger fault after insert or update or delete on public.{table}"
                    f" for each statement execute function faults.tell('{state}')"
                )

    def before(_):
        project.run("select setval('faults.drawn', 1, false); update faults.told set left_over = 7")

    try:
        with closing(backend.open()) as store:
            found = Day(store, before=before).go()
    finally:
        project.run("drop schema faults cascade")
    compare(backend, undisturbed, found)


@pytest.mark.parametrize("kind", [Supabase, Postgres])
def test_statements_take_too_long(undisturbed, quick, kind):
    """Somebody has locked everything when a step begins, and lets go once that was noticed."""
    backend = kind(None)
    project = backend.project
    locker = project.connect()
    tables = [n for (n,) in locker.execute("select tablename from pg_tables where schemaname = 'public'")]
    locked = "; ".join(f"lock table public.{name} in access exclusive mode" for name in tables)

    def before(_):
        locker.execute("begin")
        locker.execute(locked)

    limit = "statement_timeout = '60ms'"
    role = "service_role" if kind is Supabase else "postgres"
    project.run(f"alter role {role} set {limit}; notify pgrst, 'reload config'")
    try:
        with closing(backend.open()) as store:
            if kind is Postgres:
                store._transport._db.execute(f"set {limit}")
            else:
                until_applied(store, before, locker)
            found = Day(store, before=before, pause=lambda: locker.execute("rollback")).go()
    finally:
        locker.close()
        project.run(f"alter role {role} reset statement_timeout; notify pgrst, 'reload config'")
    compare(backend, undisturbed, found)


def until_applied(store, lock, locker):
    time.sleep(0.3)
    for _ in range(100):
        lock(None)
        started = time.monotonic()
        try:
            store.check_writable()
        except StoreUnavailableError:
            if time.monotonic() - started < 1:
                return
        finally:
            locker.execute("rollback")
    raise AssertionError("the role's timeout is not applied")
