"""`schema`: the SQL printed, and laid out as Supabase wants it, also where there is something already."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from wa_hooks_cli.main import main
from wa_webhooks.edge import functions
from wa_webhooks.errors import ConfigError
from wa_webhooks.stores.layout import lay_out
from wa_webhooks.stores.sqlfiles import migrations

NOW = datetime(2026, 11, 24, 12, 0, 58, tzinfo=UTC)
OURS = migrations("postgres")


def names(folder):
    return sorted(file.name for file in (folder / "migrations").iterdir())


def test_each_migration_is_a_file_and_their_order_is_ours(tmp_path):
    laid = lay_out(tmp_path, now=NOW)
    found = names(tmp_path)
    assert found[0] == "20261124120058_wa_hooks_0001_log.sql"
    assert [name[15 + len("wa_hooks_") : -4] for name in found] == [migration.name for migration in OURS]
    assert len({name[:14] for name in found}) == len(found)
    assert all(file.written for file in laid)
    for name, text in functions().items():
        assert (tmp_path / name).read_text("utf-8") == text


def test_again_nothing_is_written(tmp_path):
    lay_out(tmp_path, now=NOW)
    before = names(tmp_path)
    assert not any(file.written for file in lay_out(tmp_path, now=datetime(2027, 1, 1, tzinfo=UTC)))
    assert names(tmp_path) == before


def test_what_is_new_comes_after_all_others(tmp_path):
    lay_out(tmp_path, now=NOW)
    last = tmp_path / "migrations" / names(tmp_path)[-1]
    last.unlink()
    (tmp_path / "migrations" / "20991231235959_of_the_users_own.sql").touch()
    (tmp_path / "migrations" / "notes.sql").touch()
    written = [file.path.name for file in lay_out(tmp_path, now=NOW) if file.written]
    assert written == [f"21000101000000_wa_hooks_{OURS[-1].name}.sql"]


def test_a_migration_that_was_edited_is_told(tmp_path):
    lay_out(tmp_path, now=NOW)
    edited = tmp_path / "migrations" / names(tmp_path)[0]
    edited.write_text("-- mine")
    with pytest.raises(ConfigError, match="is not what this version") as told:
        lay_out(tmp_path, now=NOW)
    assert edited.name in str(told.value)
    assert edited.read_text() == "-- mine"


def test_an_older_function_is_replaced(tmp_path):
    lay_out(tmp_path, now=NOW)
    for name, text in functions().items():
        (tmp_path / name).write_text("// older")
        assert [file.path for file in lay_out(tmp_path, now=NOW) if file.written] == [tmp_path / name]
        assert (tmp_path / name).read_text("utf-8") == text


def test_a_folder_that_is_none(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="cannot write"):
        lay_out(tmp_path / "file", now=NOW)


def test_the_command_lays_it_out_and_says_how_to_go_on(tmp_path, capsys):
    assert main(["schema", "--write", str(tmp_path / "supabase")]) == 0
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == len(OURS) + len(functions())
    assert all(line.startswith("written") and Path(line.split()[1]).is_file() for line in out.splitlines())
    assert "supabase db push" in err
    assert main(["schema", "--write", str(tmp_path / "supabase")]) == 0
    out, err = capsys.readouterr()
    assert all(line.startswith("as it was") for line in out.splitlines())
    assert err == ""


@pytest.mark.parametrize("backend", ["postgres", "supabase"])
def test_what_the_command_prints_makes_a_store(stack, capsys, backend):
    assert main(["schema", "--backend", backend]) == 0
    out = capsys.readouterr().out
    database = stack.database("bare")
    with stack.cluster.connect(database, "postgres") as db:
        db.execute(out)
        assert db.execute("select count(*) from public.wa_migrations").fetchone() == (len(OURS),)
    stack.cluster.drop_database(database)
