"""What Supabase's own command line says of our migrations: it applies them, and its linter and advisors agree."""

import json
import os
import subprocess
from datetime import UTC, datetime

import pytest
from stack import MissingPartError
from stack.parts import plpgsql_check, supabase_cli
from stack.running import BARE

from wa_webhooks.stores import open_store
from wa_webhooks.stores.layout import lay_out
from wa_webhooks.stores.sqlfiles import migrations

pytestmark = pytest.mark.processes

UNWISE = """
create function public.unwise() returns integer language plpgsql as $$
declare x integer; begin return (select missing from public.nothing); end $$;
"""


@pytest.fixture(scope="module")
def cli(stack, tmp_path_factory):
    """Run `supabase` in a folder in which our migrations are laid out, against a new project's database."""
    try:
        program = supabase_cli()
        plpgsql_check(stack.parts.postgres)
    except MissingPartError as exc:
        pytest.skip(f"NOT TESTED: what Supabase's command line says, which needs {exc}")
    folder = tmp_path_factory.mktemp("cli")
    lay_out(folder / "supabase", now=datetime.now(UTC))
    database = stack.database(BARE)
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "SUPABASE_TELEMETRY_DISABLED": "1",
        "DO_NOT_TRACK": "1",
    }

    def run(*arguments):
        return subprocess.run(
            [program, *arguments, "--remote", f"{stack.cluster.url(database)}?sslmode=disable", "--yes"],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    run.database = database
    run.folder = folder
    assert (found := run("db", "push")).returncode == 0, found.stderr
    stack.cluster.run("create extension plpgsql_check with schema extensions", database)
    yield run
    stack.cluster.drop_database(database)


def test_push_applies_them_as_we_would(stack, cli):
    with stack.cluster.connect(cli.database) as db:
        found = db.execute("select name from public.wa_migrations order by 1").fetchall()
        assert found == [(migration.name,) for migration in migrations("postgres")]
        pushed = db.execute("select count(*) from supabase_migrations.schema_migrations").fetchone()
        assert pushed == (len(found),)
    store = open_store(stack.cluster.url(cli.database), create=False)
    assert store.migrate() == []
    store.check_writable()
    store.close()


def test_again_there_is_nothing_to_push(cli):
    lay_out(cli.folder / "supabase", now=datetime.now(UTC))
    again = cli("db", "push")
    assert again.returncode == 0
    assert "Applying migration" not in again.stderr


def test_the_advisors_have_nothing_to_say(cli):
    found = cli("db", "advisors", "--level", "info", "--fail-on", "warn")
    assert found.returncode == 0, found.stdout
    # What nobody has used yet, and that without a policy nobody gets in, which is what is meant.
    told = {issue["name"] for issue in json.loads(found.stdout or "[]")}
    assert told <= {"unused_index", "rls_enabled_no_policy"}


def test_the_linter_finds_nothing_wrong(cli):
    found = cli("db", "lint", "--level", "warning", "--schema", "public")
    assert found.returncode == 0, found.stderr
    # "warning extra" is what it calls an argument that is not used, and the end of a loop without one.
    told = [
        (of["function"], issue)
        for of in json.loads(found.stdout or "[]")
        for issue in of["issues"]
        if issue["level"] in {"error", "warning"}
    ]
    assert told == []


def test_both_would_tell(stack, cli):
    stack.cluster.run(UNWISE, cli.database, user="postgres")
    try:
        assert "unwise" in cli("db", "advisors", "--level", "warn", "--fail-on", "warn").stdout
        assert "public.unwise" in cli("db", "lint", "--level", "error", "--schema", "public").stdout
    finally:
        stack.cluster.run("drop function public.unwise()", cli.database)
