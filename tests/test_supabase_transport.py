"""Calls over supabase-py: what goes wrong on the way becomes one of our errors, seen over real sockets."""

import json
import socket
import time
from contextlib import contextmanager, suppress

import pytest
from stack.processes import free_port, until
from stack.running import BARE

from wa_webhooks.errors import (
    ConfigError,
    SchemaMismatchError,
    StoreError,
    StoreRejectedError,
    StoreUnavailableError,
)
from wa_webhooks.settings import supabase_project
from wa_webhooks.stores import open_store
from wa_webhooks.stores import supabase as under_test
from wa_webhooks.stores.supabase import SupabaseTransport, refusal

DRAFT = """
create table public.draft (id integer primary key, text text);
create function public.wa_draft(args jsonb) returns jsonb language plpgsql set search_path = '' as $$
begin
  if args ? 'sleep' then perform pg_catalog.pg_sleep((args->>'sleep')::float); end if;
  if args ? 'raise' then raise exception 'told' using errcode = args->>'raise'; end if;
  if args ? 'id' then
    insert into public.draft (id, text) values ((args->>'id')::integer, args->>'text') on conflict do nothing;
  end if;
  return args || jsonb_build_object('rows', (select count(*) from public.draft));
end $$;
create function public.wa_draft_nothing(args jsonb) returns jsonb language sql
  set search_path = '' as 'select null::jsonb';
revoke all on function public.wa_draft(jsonb), public.wa_draft_nothing(jsonb) from public;
grant execute on function public.wa_draft(jsonb), public.wa_draft_nothing(jsonb) to service_role;
grant select, insert on public.draft to service_role;
"""


@pytest.fixture(scope="module")
def project(stack):
    started = stack.project(BARE)
    started.run(DRAFT, user="postgres")
    started.restart_postgrest()
    yield started
    stack.end(started)


@pytest.fixture
def transport(project):
    opened = SupabaseTransport(project.api, project.secret_key)
    yield opened
    opened.close()
    project.faults()


def call(transport, **args):
    return transport.call("wa_draft", args)


def test_json_goes_both_ways(transport):
    args = {"a": [1, 2.5, None, True], "ü": 'ñ\U0001f600\\"', "big": 2**53 + 1, "empty": {}}
    assert call(transport, **args) == {**args, "rows": 0}
    assert transport.call("wa_draft_nothing", {}) is None


def test_one_connection_is_kept(project, transport):
    for _ in range(20):
        call(transport)
    assert len(transport._http._transport._pool.connections) == 1


@pytest.mark.parametrize(
    ("state", "error"),
    [
        ("22P02", StoreRejectedError),
        ("22003", StoreRejectedError),
        ("23505", StoreRejectedError),
        ("23514", StoreRejectedError),
        ("P0001", StoreRejectedError),
        ("PT409", StoreRejectedError),
        ("PT503", StoreRejectedError),
        ("42501", StoreRejectedError),
        ("42P01", SchemaMismatchError),
        ("42883", SchemaMismatchError),
        ("08006", StoreUnavailableError),
        ("25006", StoreUnavailableError),
        ("40P01", StoreUnavailableError),
        ("53300", StoreUnavailableError),
        ("55P03", StoreUnavailableError),
        ("57014", StoreUnavailableError),
        ("57P01", StoreUnavailableError),
        ("58030", StoreUnavailableError),
        ("XX000", StoreUnavailableError),
    ],
)
def test_what_the_database_refuses(transport, state, error):
    with pytest.raises(StoreError) as told:
        call(transport, **{"raise": state})
    assert type(told.value) is error
    if not state.startswith("PT"):  # PostgREST makes a status of these, and tells no code
        assert state in str(told.value) or state == "42501"
    assert call(transport, again=1)["again"] == 1


def test_a_function_that_is_not_there(transport):
    with pytest.raises(SchemaMismatchError, match="lacks") as told:
        transport.call("wa_none", {})
    assert "wa-hooks schema --write" in told.value.hint


@pytest.mark.parametrize("key", ["sb_secret_wrong", "nonsense", "a.b.c"])
def test_a_wrong_key(project, key):
    transport = SupabaseTransport(project.api, key)
    with pytest.raises(StoreRejectedError) as told:
        call(transport)
    assert "SUPABASE_SECRET_KEY" in told.value.hint
    assert key not in str(told.value)
    transport.close()


def test_a_key_for_browsers(project):
    transport = SupabaseTransport(project.api, project.publishable_key)
    with pytest.raises(StoreRejectedError, match="does not allow it") as told:
        call(transport)
    assert "secret key" in told.value.hint
    transport.close()


def test_a_legacy_key(project):
    transport = SupabaseTransport(project.api, project.jwt("service_role"))
    assert call(transport)["rows"] >= 0
    transport.close()


HTML = {"body": "<html>Sorry</html>", "type": "text/html"}


@pytest.mark.parametrize(
    ("fault", "error", "retry_after"),
    [
        ({"status": 429, "body": '{"message":"slow down"}', "headers": {"retry-after": "3"}}, "unavailable", 3),
        ({"status": 429, "body": "{}", "headers": {"retry-after": "later"}}, "unavailable", None),
        (
            {"status": 503, "body": '{"code":"PGRST000","message":"no"}', "headers": {"retry-after": "0"}},
            "unavailable",
            0,
        ),
        ({"status": 400, "body": '{"code":"","message":""}'}, "unavailable", None),
        ({"status": 503, "body": '{"code":"PGRST002","message":"loading"}'}, "unavailable", None),
        ({"status": 504, "body": '{"code":"PGRST003","message":"pool"}'}, "unavailable", None),
        ({"status": 500, "body": ""}, "unavailable", None),
        ({"status": 502, **HTML}, "unavailable", None),
        ({"status": 520, **HTML}, "unavailable", None),
        ({"status": 540, **HTML}, "unavailable", None),
        ({"status": 408, **HTML}, "unavailable", None),
        ({"status": 425, **HTML}, "unavailable", None),
        ({"status": 402, "body": '{"message":"over quota"}'}, "unavailable", None),
        ({"status": 200, **HTML}, "unavailable", None),
        ({"status": 204, "body": "", "type": ""}, "unavailable", None),
        ({"status": 302, **HTML, "headers": {"location": "http://127.0.0.1:9/login"}}, "unavailable", None),
        ({"status": 413, **HTML}, "rejected", None),
        ({"status": 400, "body": "[]"}, "rejected", None),
        ({"status": 404, "body": "{}"}, "rejected", None),
        ({"status": 401, "body": '{"message":"Unauthorized"}'}, "rejected", None),
        ({"status": 401, "body": '{"code":"PGRST301","message":"JWT expired"}'}, "rejected", None),
        ({"status": 403, **HTML}, "rejected", None),
    ],
    ids=lambda value: str(value.get("status")) if isinstance(value, dict) else "",
)
def test_what_others_answer_in_its_place(project, transport, fault, error, retry_after):
    project.faults({"kind": "status", **fault})
    kinds = {"unavailable": StoreUnavailableError, "rejected": StoreRejectedError}
    with pytest.raises(StoreError) as told:
        call(transport)
    assert type(told.value) is kinds[error]
    assert getattr(told.value, "retry_after", None) == retry_after
    assert call(transport)["rows"] >= 0


def test_a_date_in_retry_after(project, transport):
    at = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + 60))
    project.faults({"kind": "status", "status": 503, "headers": {"retry-after": at}})
    with pytest.raises(StoreUnavailableError) as told:
        call(transport)
    assert 50 < told.value.retry_after <= 60


def test_json_that_is_none_is_told_by_its_shape(project, transport):
    project.faults({"kind": "status", "status": 200, "body": '{"half'})
    with suppress(StoreUnavailableError):  # another version of the client finds out by itself
        assert not isinstance(call(transport), dict)


@pytest.mark.parametrize(("kind", "done"), [("drop", False), ("drop_after", True), ("cut", True)])
def test_a_connection_that_is_lost(project, transport, kind, done):
    ident = {"drop": 1, "drop_after": 2, "cut": 3}[kind]
    project.faults({"kind": kind})
    with pytest.raises(StoreUnavailableError, match="cannot be reached"):
        call(transport, id=ident)
    with project.connect() as db:
        assert db.execute("select count(*) from public.draft where id = %s", [ident]).fetchone() == (int(done),)


@pytest.mark.parametrize("kind", ["delay", "late"])
def test_an_answer_that_does_not_come(project, monkeypatch, kind):
    monkeypatch.setattr(under_test, "_LONGEST_ANSWER", 0.3)
    transport = SupabaseTransport(project.api, project.secret_key)
    project.faults({"kind": kind, "seconds": 1})
    with pytest.raises(StoreUnavailableError, match="ReadTimeout"):
        call(transport)
    transport.close()
    project.faults()


def test_a_statement_that_takes_too_long(project, transport):
    project.run("alter role service_role set statement_timeout = '200ms'; notify pgrst, 'reload config'")
    try:
        until(lambda: _times_out(transport), "the role's timeout is not applied")
    finally:
        project.run("alter role service_role reset statement_timeout; notify pgrst, 'reload config'")


def _times_out(transport):
    try:
        call(transport, sleep=0.5)
    except StoreUnavailableError as exc:
        return "57014" in str(exc)
    return False


def test_nobody_listens(project):
    transport = SupabaseTransport(f"http://127.0.0.1:{free_port()}", project.secret_key)
    with pytest.raises(StoreUnavailableError, match="ConnectError"):
        call(transport)
    transport.close()


def test_a_name_that_nobody_knows(project):
    transport = SupabaseTransport("http://project.invalid", project.secret_key)
    with pytest.raises(StoreUnavailableError, match="cannot be reached"):
        call(transport)
    transport.close()


@contextmanager
def silent_listener():
    """Takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_somebody_listens_and_says_nothing(project, monkeypatch):
    monkeypatch.setattr(under_test, "_LONGEST_OF_FRONT", 0.3)
    with silent_listener() as port:
        transport = SupabaseTransport(f"http://127.0.0.1:{port}", project.secret_key, front=True)
        with pytest.raises(StoreUnavailableError, match="ReadTimeout"):
            call(transport)
        transport.close()


def test_postgrest_is_restarted(project, transport):
    call(transport)
    project.postgrest.stop()
    with pytest.raises(StoreUnavailableError, match="502"):
        call(transport)
    project.start_postgrest()
    assert call(transport, again=1)["again"] == 1


def test_postgres_is_restarted(project, transport):
    call(transport)
    project.cluster.stop()
    with pytest.raises(StoreUnavailableError):
        call(transport)
    project.cluster.start()
    until(lambda: _answers(transport), "it does not come back")


def _answers(transport):
    try:
        return call(transport, again=1)["again"] == 1
    except StoreUnavailableError:
        return False


@pytest.mark.parametrize("value", ["\ud800", float("nan")])
def test_what_is_no_json_is_not_sent(transport, value):
    with pytest.raises(StoreRejectedError, match="takes JSON"):
        call(transport, value=value)


def test_a_nul_is_refused_by_the_database(transport):
    with pytest.raises(StoreRejectedError, match="22P05"):
        call(transport, value="\x00")


def test_after_it_is_closed(transport):
    transport.close()
    with pytest.raises(StoreError, match="is closed"):
        call(transport)


@pytest.mark.parametrize("body", [b"", b"[1]", b"\xff\xfe", b"[" * 100_000, b'{"code": 7, "message": ["x"]}'])
@pytest.mark.parametrize("status", [200, 301, 400, 404, 418, 500, 599])
def test_whatever_an_answer_holds_it_is_an_error_of_ours(status, body):
    assert isinstance(refusal(status, body), StoreError)


class TestSettings:
    def test_both_are_needed(self, monkeypatch):
        with pytest.raises(ConfigError, match="no Supabase project"):
            supabase_project({})
        with pytest.raises(ConfigError, match="no address"):
            supabase_project({"SUPABASE_URL": "abc.supabase.co"})
        with pytest.raises(ConfigError, match="no key"):
            supabase_project({"SUPABASE_URL": "https://abc.supabase.co"})

    def test_the_key_may_be_in_a_file(self, tmp_path):
        file = tmp_path / "key"
        file.write_text("sb_secret_x\n")
        env = {"SUPABASE_URL": "https://abc.supabase.co", "SUPABASE_SECRET_KEY_FILE": str(file)}
        assert supabase_project(env) == ("https://abc.supabase.co", "sb_secret_x")

    def test_the_legacy_name(self):
        env = {"SUPABASE_URL": "https://abc.supabase.co", "SUPABASE_SERVICE_ROLE_KEY": "eyJ"}
        assert supabase_project(env)[1] == "eyJ"

    def test_a_key_for_browsers_is_refused(self, project):
        for key in (project.publishable_key, project.jwt("anon"), project.jwt("authenticated")):
            with pytest.raises(ConfigError, match="for browsers") as told:
                supabase_project({"SUPABASE_URL": project.api, "SUPABASE_SECRET_KEY": key})
            assert key not in str(told.value)
        env = {"SUPABASE_URL": project.api, "SUPABASE_SECRET_KEY": project.jwt("service_role")}
        assert supabase_project(env)[0] == project.api

    def test_without_them_there_is_no_store(self):
        with pytest.raises(ConfigError, match="no Supabase project"):
            open_store("supabase")


def test_a_project_without_our_schema_says_how_to_apply_it(project, monkeypatch):
    for name, value in project.environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SchemaMismatchError) as told:
        open_store("supabase")
    assert "wa-hooks schema --write" in told.value.hint


def test_what_is_said_never_holds_the_key(project, monkeypatch):
    """Not in a message, not in a traceback's arguments that `str` shows."""
    transport = SupabaseTransport(project.api, project.secret_key)
    project.faults({"kind": "status", "status": 401, "body": json.dumps({"message": "Invalid API key"})})
    with pytest.raises(StoreRejectedError) as told:
        call(transport)
    assert project.secret_key not in f"{told.value} {told.value.hint}"
    transport.close()
