"""Who may do what in the database: the service what its verbs need, all others nothing, whatever the catalogue has.

Over the Data API with the key that browsers have, and with that of a signed-in user; in SQL as these roles, and as a
login role that somebody has just made. In a new project, and in one from before 2026-10-30, which opens
all that is made.
"""

import json
import urllib.error
import urllib.request
from contextlib import closing

import psycopg
import pytest
from psycopg import sql
from stack.running import BARE, LEGACY

from wa_webhooks.stores import open_store

NOBODY = ("anon", "authenticated", "fresh")
LOG = ("wa_deliveries", "wa_events", "wa_attempts", "wa_runs")


@pytest.fixture(scope="module", params=[BARE, LEGACY])
def project(stack, request):
    started = stack.project(request.param)
    open_store(started.url).close()
    started.run("create role fresh login")
    started.restart_postgrest()
    yield started
    stack.end(started)
    stack.cluster.run("drop role fresh")


def relations(project):
    """Tables and views, with a column of each that can be written."""
    with project.connect() as db:
        return db.execute("""
            select c.relname, c.relkind::text, min(a.attname)
              from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and a.attgenerated = ''
             where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p', 'v', 'm', 'f')
             group by 1, 2 order by 1""").fetchall()


def functions(project):
    """Each with its arguments' types."""
    with project.connect() as db:
        return db.execute("""
            select p.proname, array(select format_type(t, null) from unnest(p.proargtypes) t),
                   coalesce(p.proargnames[:p.pronargs], '{}'), p.prosecdef,
                   coalesce(p.proconfig, '{}'), l.lanname, p.prosrc
              from pg_proc p join pg_language l on l.oid = p.prolang
             where p.pronamespace = 'public'::regnamespace order by 1""").fetchall()


def test_the_catalogue_is_not_empty(project):
    """Else what follows would prove nothing."""
    assert {"wa_events", "wa_deliveries", "wa_leads", "wa_lead_timeline"} <= {name for name, *_ in relations(project)}
    assert {"wa_append", "wa_finish", "wa_find"} <= {name for name, *_ in functions(project)}


def statements(name, column):
    table, column = sql.Identifier("public", name), sql.Identifier(column)
    yield sql.SQL("select * from {} limit 0").format(table)
    yield sql.SQL("select count(*) from {}").format(table)
    yield sql.SQL("insert into {} default values").format(table)
    yield sql.SQL("update {} set {} = null where false").format(table, column)
    yield sql.SQL("delete from {} where false").format(table)
    yield sql.SQL("copy {} to stdout").format(table)


def connected_as(project, role):
    """A connection that is the role's: as a login if it can, else as PostgREST takes it on."""
    db = project.connect("fresh" if role == "fresh" else "authenticator")
    if role != "fresh":
        db.execute(sql.SQL("set role {}").format(sql.Identifier(role)))
    return closing(db)


@pytest.mark.parametrize("role", NOBODY)
def test_no_table_and_no_view_can_be_read_or_written(project, role):
    with connected_as(project, role) as db:
        for name, kind, column in relations(project):
            tried = list(statements(name, column))
            if kind in "rp":
                tried.append(sql.SQL("truncate {}").format(sql.Identifier("public", name)))
                tried.append(sql.SQL("lock table {}").format(sql.Identifier("public", name)))
            for statement in tried:
                with pytest.raises(psycopg.Error) as told, db.transaction():
                    db.execute(statement)
                # A view that nobody at all can write to is told first.
                allowed = {"42501", "42809", "55000"} if kind == "v" else {"42501"}
                assert told.value.sqlstate in allowed, statement.as_string(db)


@pytest.mark.parametrize("role", NOBODY)
def test_no_sequence_can_be_drawn_from(project, role):
    with project.connect() as db:
        sequences = [
            row[0] for row in db.execute("select sequencename from pg_sequences where schemaname = 'public'")
        ]
    with connected_as(project, role) as db:
        for name in sequences:
            for call in ("nextval({})", "currval({})", "setval({}, 9)"):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    db.execute(sql.SQL(f"select {call}").format(sql.Literal(f"public.{name}")))


@pytest.mark.parametrize("role", NOBODY)
def test_no_function_can_be_called(project, role):
    with connected_as(project, role) as db:
        for name, types, *_ in functions(project):
            given = sql.SQL(", ").join(sql.SQL(f"null::{kind}") for kind in types if kind != "record")
            if "record" in types:
                continue  # nobody can pass one; that it may not be called is told by the next test
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                db.execute(sql.SQL("select public.{}({})").format(sql.Identifier(name), given))


@pytest.mark.parametrize("role", [*NOBODY, "public"])
def test_nothing_is_granted(project, role):
    """What was tried above, as the catalogue has it; nothing for PUBLIC, so also nothing for whoever comes later."""
    with project.connect() as db:
        assert (
            db.execute(
                """
            select c.relname::text, a.privilege_type from pg_class c, aclexplode(c.relacl) a
             where c.relnamespace = 'public'::regnamespace
               and a.grantee = coalesce((select oid from pg_roles where rolname = %(role)s), 0)
            union all
            select p.proname, a.privilege_type
              from pg_proc p, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
             where p.pronamespace = 'public'::regnamespace
               and a.grantee = coalesce((select oid from pg_roles where rolname = %(role)s), 0)""",
                {"role": role},
            ).fetchall()
            == []
        )


def ask(project, key, method, path, body=None):
    headers = {"apikey": key, "authorization": f"Bearer {key}", "content-type": "application/json"}
    request = urllib.request.Request(
        f"{project.api}/rest/v1/{path}",
        method=method,
        headers=headers,
        data=None if body is None else json.dumps(body).encode(),
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as exc:
        return exc.code, exc.read()


@pytest.fixture(params=["publishable", "anon", "authenticated"])
def outsider(project, request):
    return project.publishable_key if request.param == "publishable" else project.jwt(request.param)


def test_over_the_api_no_table_and_no_view(project, outsider):
    for name, kind, column in relations(project):
        assert ask(project, outsider, "GET", f"{name}?limit=1")[0] in {401, 403}, name
        assert ask(project, outsider, "HEAD", name)[0] in {401, 403}, name
        refused = {400, 401, 403, 405, 500} if kind == "v" else {401, 403}
        assert ask(project, outsider, "POST", name, {column: None})[0] in refused, name
        assert ask(project, outsider, "PATCH", f"{name}?{column}=is.null", {column: None})[0] in refused, name
        assert ask(project, outsider, "DELETE", f"{name}?{column}=is.null")[0] in refused, name


def test_over_the_api_no_function(project, outsider):
    for name, types, names, *_ in functions(project):
        callable_at_all = types and "record" not in types
        status, body = ask(project, outsider, "POST", f"rpc/{name}", dict.fromkeys(names))
        assert status in ({401, 403} if callable_at_all else {401, 403, 404}), (name, body)
        given = "&".join(f"{each}=" for each in names)
        assert ask(project, outsider, "GET", f"rpc/{name}?{given}")[0] in {400, 401, 403, 404, 405}, name


def test_over_the_api_nobody_is_told_what_there_is(project, outsider):
    told = ask(project, outsider, "GET", "")[1]
    assert b"wa_" not in told


def test_the_service_can(project):
    assert ask(project, project.secret_key, "POST", "rpc/wa_counts", {"args": {}})[0] == 200
    assert ask(project, project.secret_key, "GET", "wa_lead_timeline?limit=1")[0] == 200


@pytest.mark.parametrize("role", ["service_role", "postgres"])
@pytest.mark.parametrize("table", LOG)
def test_nobody_deletes_from_the_log(project, role, table):
    with project.connect() as db, db.transaction(force_rollback=True):
        if table != "wa_runs":
            fill(db)
        db.execute(
            "insert into public.wa_runs (id, command, scope, started_at, version) select '', '', '{}', now(), ''"
        )
        db.execute(sql.SQL("set local role {}").format(sql.Identifier(role)))
        for statement in ("delete from public.{}", "truncate public.{} cascade"):
            with (
                pytest.raises((psycopg.errors.InsufficientPrivilege, psycopg.errors.RaiseException)),
                db.transaction(),
            ):
                db.execute(sql.SQL(statement).format(sql.Identifier(table)))


ORIGINALS = {
    "wa_deliveries": ("body", "headers", "received_at", "source_ip", "signature_key", "nonce"),
    "wa_events": ("payload_original", "fecha_recepcion", "tipo_evento", "event_key", "delivery_id", "event_at"),
    "wa_attempts": ("state", "error", "at"),
}
OTHER = {"body": "'x'", "headers": "'{\"a\": 1}'", "payload_original": "'[]'", "delivery_id": "2"}


@pytest.mark.parametrize("role", ["service_role", "postgres"])
@pytest.mark.parametrize(("table", "column"), [(t, c) for t, columns in ORIGINALS.items() for c in columns])
def test_nobody_changes_an_original(project, role, table, column):
    time = column in {"received_at", "fecha_recepcion", "event_at", "at"}
    value = OTHER.get(column, "now() - interval '9 years'" if time else "'other'")
    with project.connect() as db, db.transaction(force_rollback=True):
        fill(db)
        db.execute(sql.SQL("set local role {}").format(sql.Identifier(role)))
        with pytest.raises((psycopg.errors.InsufficientPrivilege, psycopg.errors.RaiseException)), db.transaction():
            db.execute(f"update public.{table} set {column} = {value}")


def fill(db):
    """A row in each table of the log."""
    db.execute("""
        insert into public.wa_deliveries (headers, source, received_at, nonce, body)
          values ('{}', 'serve', now(), 'n', '');
        insert into public.wa_events (tipo_evento, payload_original, fecha_recepcion, event_key, digest, delivery_id,
          position, state) select 't', '{}', now(), 'k', 'd', max(id), 0, 'pending' from public.wa_deliveries;
        insert into public.wa_attempts (event_id, attempt, at, state)
          select max(id), 1, now(), 'failed' from public.wa_events;""")


def test_every_table_has_row_level_security_and_no_view_goes_around_it(project):
    with project.connect() as db:
        assert (
            db.execute("""
            select relname from pg_class
             where relnamespace = 'public'::regnamespace
               and (relkind in ('r', 'p') and not relrowsecurity
                    or relkind = 'v'
                       and not coalesce(reloptions, '{}') && '{security_invoker=true,security_invoker=on}')
        """).fetchall()
            == []
        )
        assert db.execute("select polname from pg_policy").fetchall() == []


def test_functions_run_as_who_calls_them_and_look_up_nothing_by_chance(project):
    for name, _, _, definer, settings, *_ in functions(project):
        assert not definer, name
        assert 'search_path=""' in settings, name


def test_no_function_raises_what_postgrest_repeats_for_ever(project):
    for name, *_, source in functions(project):
        assert "40001" not in source, name
        assert "40P01" not in source, name
        assert "serialization_failure" not in source, name


def test_nothing_is_in_another_schema(project):
    with project.connect() as db:
        assert (
            db.execute("""
            select n.nspname, c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace
             where c.relname like 'wa\\_%' and n.nspname not in ('public', 'pg_toast')""").fetchall()
            == []
        )
