"""Settings from the environment and a `.env` file. Secrets come from there or from files, never from argv."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Mapping
from pathlib import Path

from .errors import ConfigError

DEFAULT_STORE = "sqlite:wa-hooks.db"
_OURS = ("WA_HOOKS_", "WHATSAPP_", "SUPABASE_")
_NEVER = frozenset({"WA_HOOKS_HANDLERS"})
"""Names code to run: a folder that one happens to stand in must not decide that."""

_loaded: set[str] = set()
"""Names of variables that come from the file."""


def load_dotenv(folder: Path) -> None:
    """Put our variables of the `.env` file in `folder`, if there is one, into the environment.

    What the environment has already stays, and other programs' variables are left alone. Called again, it puts the
    file's present values in place of those that it put there before.
    """
    file = folder / ".env"
    if not file.is_file():
        return
    import dotenv  # noqa: PLC0415 - most commands run without a .env file

    try:
        found = dotenv.dotenv_values(file, interpolate=False)  # a secret may hold a dollar sign
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigError(f"cannot read {file}: {exc}") from exc
    for name in _loaded:
        os.environ.pop(name, None)
    _loaded.clear()
    for name, value in found.items():
        sibling = name.removesuffix("_FILE") if name.endswith("_FILE") else f"{name}_FILE"
        taken = os.environ.get(name) or os.environ.get(sibling)
        if value and name.startswith(_OURS) and name not in _NEVER and not taken:
            os.environ[name] = value
            _loaded.add(name)


def app_secrets(env: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """Return the app secrets, newest first: several while one replaces another.

    Raises:
        ConfigError: none is set, or one of them is empty.
    """
    found = _secret("WHATSAPP_APP_SECRET", env)
    if found is None:
        raise ConfigError(
            "no app secret is set",
            hint="Set WHATSAPP_APP_SECRET, or WHATSAPP_APP_SECRET_FILE to a file that holds it. It is in the app "
            "dashboard under App settings > Basic.",
        )
    secrets = tuple(part.strip() for part in found.replace("\n", ",").split(",") if part.strip() or "," in found)
    if not secrets or not all(secrets):
        raise ConfigError("an app secret is empty", hint="Check WHATSAPP_APP_SECRET for stray commas.")
    return secrets


def verify_token(env: Mapping[str, str] = os.environ) -> str | None:
    """Return the verify token, or None where none is set.

    Raises:
        ConfigError: it is set, but blank.
    """
    found = _secret("WHATSAPP_VERIFY_TOKEN", env)
    if found is not None and not found.strip():
        raise ConfigError(
            "the verify token is blank", hint="Set WHATSAPP_VERIFY_TOKEN to the one in the app dashboard."
        )
    return found.strip() if found else None


def supabase_project(env: Mapping[str, str] = os.environ) -> tuple[str, str]:
    """Return the address of a Supabase project, and the key of it that may do what the store does.

    Raises:
        ConfigError: one is not set, or the key is one that a browser may have.
    """
    url = (env.get("SUPABASE_URL") or "").strip()
    if not url.startswith(("https://", "http://")):
        raise ConfigError(
            "no Supabase project is set" if not url else "SUPABASE_URL is no address",
            hint="Set SUPABASE_URL to the project's address, https://<ref>.supabase.co.",
        )
    key = _secret("SUPABASE_SECRET_KEY", env) or _secret("SUPABASE_SERVICE_ROLE_KEY", env)
    hint = "Set SUPABASE_SECRET_KEY, or SUPABASE_SECRET_KEY_FILE to a file that holds it: in the dashboard under "
    hint += "Project Settings > API Keys, `sb_secret_...`."
    if not key or not key.strip():
        raise ConfigError("no key of the Supabase project is set", hint=hint)
    if key.startswith("sb_publishable_") or _role_of(key) in {"anon", "authenticated"}:
        raise ConfigError("the key of the Supabase project is the one for browsers: it may do nothing", hint=hint)
    return url, key.strip()


def _role_of(key: str) -> str | None:
    """The role in a legacy key, which is a signed token; None where there is none."""
    try:
        part = key.split(".")[1]
        return str(json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))["role"])
    except (IndexError, ValueError, KeyError, TypeError):
        return None


def _secret(name: str, env: Mapping[str, str]) -> str | None:
    """The value of a secret, from its variable or from the file that `<name>_FILE` names."""
    path = env.get(f"{name}_FILE")
    if env.get(name) and path:
        raise ConfigError(f"both {name} and {name}_FILE are set", hint="Keep one of them.")
    if not path:
        return env.get(name)
    try:
        return Path(path).read_text("utf-8").strip("\r\n")
    except (OSError, UnicodeDecodeError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else "it is not text"
        raise ConfigError(
            f"cannot read {name}_FILE {path}: {reason}", hint="Check the path and permissions."
        ) from exc
