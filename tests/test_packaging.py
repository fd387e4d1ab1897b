"""The wheel, and how light a command starts."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import wa_webhooks

ROOT = Path(__file__).parent.parent


def python(code):
    """Run `code` as a user's Python would: coverage's own imports in child processes would be counted."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    return subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)


@pytest.mark.processes
def test_the_wheel_holds_the_sql_and_nothing_called_cli(tmp_path):
    build = "from setuptools import build_meta as b; import sys; print(b.build_wheel(sys.argv[1]))"
    copy = tmp_path / "source"
    ignored = (".venv", ".git", ".demo", "fixtures", "tests")
    subprocess.run(
        ["tar", "-C", ROOT, *(f"--exclude=./{name}" for name in ignored), "-cf", tmp_path / "source.tar", "."],
        check=True,
    )
    copy.mkdir()
    subprocess.run(["tar", "-C", copy, "-xf", tmp_path / "source.tar"], check=True)
    command = [sys.executable, "-W", "ignore", "-c", build, tmp_path]
    subprocess.run(command, cwd=copy, capture_output=True, check=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert {name.split("/")[0] for name in names} == {
        "wa_webhooks",
        "wa_hooks_cli",
        f"wa_hooks-{wa_webhooks.__version__}.dist-info",
    }
    shipped = [file for kind in ("sql", "ts") for file in (ROOT / "wa_webhooks").rglob(f"*.{kind}")]
    sql = {str(file.relative_to(ROOT)) for file in shipped}
    python_files = {str(file.relative_to(ROOT)) for file in (ROOT / "wa_webhooks").rglob("*.py")}
    commands = {f"wa_hooks_cli/{file.name}" for file in (ROOT / "cli").glob("*.py")}
    assert sql | python_files | commands | {"wa_webhooks/py.typed"} <= set(names)


HEAVY = "{'supabase', 'httpx', 'rich', 'tenacity', 'asyncio'}"


@pytest.mark.parametrize(
    ("arguments", "heavy"),
    [
        ("['--version']", "{'typer', *" + HEAVY + "}"),
        ("['--help']", "{'pydantic', 'sqlite3', *" + HEAVY + "}"),
        ("['tail-log', '-n', '20', '--store', 'sqlite:none.db']", HEAVY),
    ],
)
def test_a_command_imports_only_what_it_needs(arguments, heavy):
    code = f"""
import sys
sys.argv[1:] = {arguments}
from wa_hooks_cli.entry import run
try:
    run()
except SystemExit:
    pass
print('heavy:', {heavy} & set(sys.modules))
"""
    assert python(code).stdout.splitlines()[-1] == "heavy: set()"


def test_importing_the_package_costs_nothing():
    code = "import sys, wa_webhooks; print({'pydantic', 'sqlite3'} & set(sys.modules))"
    assert python(code).stdout.strip() == "set()"


@pytest.mark.parametrize("name", wa_webhooks.__all__)
def test_every_public_name_is_there(name):
    assert getattr(wa_webhooks, name) is not None
    assert f" {name} as {name}" in (ROOT / "wa_webhooks" / "__init__.pyi").read_text()


def test_what_is_not_public_says_so():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        wa_webhooks.nothing  # noqa: B018 - the look-up is the test


def test_the_lock_records_no_address():
    lock = (ROOT / "requirements.lock").read_text()
    assert "://" not in lock
    assert "--hash=sha256:" in lock
