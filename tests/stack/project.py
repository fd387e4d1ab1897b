"""One Supabase project: a database of the server, PostgREST over it, the gateway in front."""

import base64
import contextlib
import hashlib
import hmac
import json
import secrets
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from .processes import Process, free_port

_GATEWAY = Path(__file__).parent / "gateway.py"
_A_YEAR = 365 * 86_400


class Project:
    """`url` is the database's, `api` what SUPABASE_URL is; `secret_key` and `publishable_key` are its keys."""

    def __init__(self, cluster, database, postgrest, folder):
        self.cluster = cluster
        self.database = database
        self.url = cluster.url(database)
        self._jwt_secret = secrets.token_urlsafe(48)
        self.secret_key = f"sb_secret_{secrets.token_urlsafe(24)}"
        self.publishable_key = f"sb_publishable_{secrets.token_urlsafe(24)}"
        self.postgrest_port, self._admin_port, port = free_port(), free_port(), free_port()
        self.api = f"http://127.0.0.1:{port}"
        self.postgrest = Process([postgrest], folder / "postgrest.log", environment=self._settings())
        keys = {self.secret_key: self.jwt("service_role"), self.publishable_key: self.jwt("anon")}
        self.gateway = Process(
            [sys.executable, _GATEWAY, str(port), str(self.postgrest_port)],
            folder / "gateway.log",
            environment={"GATEWAY_KEYS": json.dumps(keys)},
        )
        self.start_postgrest()
        self.start_gateway()

    @property
    def environment(self):
        """The variables that a user sets."""
        return {"SUPABASE_URL": self.api, "SUPABASE_SECRET_KEY": self.secret_key}

    def _settings(self):
        return {
            "PGRST_DB_URI": self.cluster.url(self.database, "authenticator"),
            "PGRST_DB_SCHEMAS": "public",
            "PGRST_DB_EXTRA_SEARCH_PATH": "public,extensions",
            "PGRST_DB_ANON_ROLE": "anon",
            "PGRST_DB_MAX_ROWS": "1000",
            "PGRST_DB_POOL": "10",
            "PGRST_JWT_SECRET": self._jwt_secret,
            "PGRST_SERVER_HOST": "127.0.0.1",
            "PGRST_SERVER_PORT": str(self.postgrest_port),
            "PGRST_ADMIN_SERVER_PORT": str(self._admin_port),
            "PGRST_LOG_LEVEL": "error",
        }

    def jwt(self, role):
        """Return a token as a legacy key or a signed-in user carries one."""
        now = int(time.time())
        parts = ({"alg": "HS256", "typ": "JWT"}, {"iss": "supabase", "role": role, "iat": now, "exp": now + _A_YEAR})
        text = b".".join(_base64(json.dumps(part).encode()) for part in parts)
        signed = hmac.new(self._jwt_secret.encode(), text, hashlib.sha256).digest()
        return (text + b"." + _base64(signed)).decode()

    def start_postgrest(self):
        self.postgrest.start(lambda: _answers(f"http://127.0.0.1:{self._admin_port}/ready"))

    def start_gateway(self):
        self.gateway.start(lambda: _answers(f"{self.api}/__faults"))

    def restart_postgrest(self):
        self.postgrest.stop()
        self.start_postgrest()

    def faults(self, *faults):
        """Let the next requests fail so, one after the other; see `gateway.py`. Without any, none."""
        request = urllib.request.Request(f"{self.api}/__faults", data=json.dumps(faults).encode(), method="POST")
        with urllib.request.urlopen(request, timeout=5) as answer:
            answer.read()

    def faults_left(self):
        with urllib.request.urlopen(f"{self.api}/__faults", timeout=5) as answer:
            return json.load(answer)

    def connect(self, user="supabase_admin", **options):
        return self.cluster.connect(self.database, user, **options)

    def run(self, statements, user="supabase_admin"):
        self.cluster.run(statements, self.database, user)

    def close(self):
        self.gateway.stop()
        self.postgrest.stop()


def _base64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def _answers(url):
    with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=2) as answer:
        return answer.status == 200
    return False
