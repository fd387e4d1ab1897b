"""The same questions to every form of the receiver: `serve` over SQLite and over Supabase, and the Edge Function."""

import contextlib
import json
import os
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from blackbox import AGAIN, BODY, CASES, FRAMING, HANDSHAKES, LARGE, PRIVATE, REFUSED
from serving import SECRET, TOKEN, Client, ask, request, serving, signature_of, signed
from stack.parts import deno
from stack.processes import Process, free_port

from wa_webhooks.edge import functions
from wa_webhooks.signature import key_label

pytestmark = pytest.mark.processes

OLDER = "an-older-app-secret"
SECRETS = f"{SECRET},{OLDER}"
LARGEST = 4_000_000


class Served:
    """`serve` over an SQLite file."""

    path, exact = "/webhook", True

    def __init__(self, folder, ended):
        self._folder = folder
        self._served = ended.enter_context(self._serving())
        self.port = self._served.port

    def _serving(self):
        return serving(self._folder, "--workers", "0", WHATSAPP_APP_SECRET=SECRETS)

    def recorded(self):
        """All that is recorded: rows of body, headers as JSON, source_ip, signature_key, received_at."""
        with contextlib.closing(sqlite3.connect(self._served.store)) as db:
            return db.execute(
                "SELECT body, headers, source_ip, signature_key, received_at FROM wa_deliveries ORDER BY id"
            ).fetchall()

    def log(self):
        return self._served.log()

    @contextlib.contextmanager
    def unreachable(self):
        pytest.skip("a file is always there; what happens where it is not is in test_serve_process.py")
        yield


class ServedBySupabase(Served):
    """`serve --no-spool` over a project of Supabase."""

    def __init__(self, folder, ended, project):
        self.project = project
        super().__init__(folder, ended)

    def _serving(self):
        options = ("--workers", "0", "--no-spool")
        environment = {"WA_HOOKS_STORE": "supabase", **self.project.environment, "WHATSAPP_APP_SECRET": SECRETS}
        return serving(self._folder, *options, store="supabase", **environment)

    def recorded(self):
        with psycopg.connect(self.project.url) as db:
            return db.execute(
                "select body, headers::text, source_ip, signature_key,"
                " to_char(received_at at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.USZ')"
                " from public.wa_deliveries order by id"
            ).fetchall()

    @contextlib.contextmanager
    def unreachable(self):
        self.project.gateway.stop()
        yield
        self.project.start_gateway()


class EdgeFunction(ServedBySupabase):
    """The function as `wa-hooks schema --write` lays it out, under Deno."""

    path, exact = "/whatsapp-webhook", False

    def __init__(self, folder, ended, project):
        self.project = project
        self.port = free_port()
        program, packages = deno()
        (folder / "node_modules").symlink_to(packages)
        for name, text in functions().items():
            file = folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        environment = {
            **project.environment,
            "WHATSAPP_APP_SECRET": SECRETS,
            "WHATSAPP_VERIFY_TOKEN": TOKEN,
            "DENO_SERVE_ADDRESS": f"tcp:127.0.0.1:{self.port}",
            "DENO_NO_UPDATE_CHECK": "1",
            "DENO_DIR": str(folder / "deno"),
        }
        allowed = ("--allow-net=127.0.0.1", "--allow-env", "--no-prompt", "--node-modules-dir=manual")
        self._process = Process(
            [program, "run", *allowed, folder / "functions" / "whatsapp-webhook" / "index.ts"],
            folder / "deno.log",
            environment=environment,
        )
        self._process.start(self._answers)
        ended.callback(self._process.stop)

    def _answers(self):
        with contextlib.suppress(OSError):
            return ask(self.port, "GET", "/whatsapp-webhook/healthz").status == 200
        return False

    def log(self):
        return self._process.log.read_text("utf-8")


@pytest.fixture(scope="module", params=["serve-sqlite", "serve-supabase", "edge-function"])
def receiver(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    with contextlib.ExitStack() as ended:
        if request.param == "serve-sqlite":
            yield Served(folder, ended)
        else:
            project = request.getfixturevalue("stack").project()
            made = ServedBySupabase if request.param == "serve-supabase" else EdgeFunction
            yield made(folder, ended, project)


def at(receiver, target):
    """A target of `serve` as this receiver has it."""
    if receiver.path == "/webhook":
        return target
    if target.startswith("/webhook"):
        return receiver.path + target.removeprefix("/webhook")
    return receiver.path + target if target.startswith(("/healthz", "/readyz")) else target


def deliver(receiver, body, **headers):
    return ask(receiver.port, target=receiver.path, headers=signed(body, **headers), body=body)


@pytest.mark.parametrize("name", CASES)
def test_the_endpoint(receiver, name):
    method, target, headers, body, status, text, rows = CASES[name]
    before = len(receiver.recorded())
    with Client(receiver.port) as client:
        answer = client.ask(request(method, at(receiver, target), headers, body), method)
    if name in FRAMING and not receiver.exact:
        assert answer is None or answer.status != 200 or method == "GET"
    else:
        assert (answer.status, answer.text) == (status, text)
        assert answer.headers.get("allow") in (("GET, POST", "GET, HEAD") if status == 405 else (None,))
    assert [row[0] for row in receiver.recorded()[before:]] == [body] * rows


@pytest.mark.parametrize(("query", "status", "text"), HANDSHAKES)
def test_the_handshake(receiver, query, status, text):
    answer = ask(receiver.port, "GET", f"{receiver.path}?{query}")
    assert (answer.status, answer.text) == (status, text)
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_what_is_kept_of_a_delivery(receiver):
    before = datetime.now(UTC)
    answer = deliver(receiver, BODY, **{"User-Agent": "caf\xe9", "Content-Type": "application/json", "Cookie": "no"})
    body, headers, source_ip, label, received_at = receiver.recorded()[-1]
    assert body == BODY
    assert json.loads(headers) == {
        "x-hub-signature-256": signature_of(BODY),
        "user-agent": "caf\xe9",
        "content-type": "application/json",
        "x-request-id": answer.headers["x-request-id"],
    }
    assert (source_ip, label) == ("127.0.0.1", key_label(SECRET))
    assert before - timedelta(milliseconds=1) <= datetime.fromisoformat(received_at) <= datetime.now(UTC)


@pytest.mark.parametrize(
    "body",
    [
        bytes(range(256)),
        b'{"a":"\\u0000\\ud800"}',
        "caf\u00e9 \U0001f600".encode(),
        b"\xef\xbb\xbf{}\r\n",
        bytes(3_000_000),
        b"x" * LARGEST,
    ],
    ids=["all bytes", "NUL and a surrogate", "UTF-8", "a byte order mark", "3 MB", "the largest"],
)
def test_the_exact_bytes_are_kept(receiver, body):
    assert deliver(receiver, body).status == 200
    assert receiver.recorded()[-1][0] == body


def test_either_secret_signs_while_one_replaces_the_other(receiver):
    for secret in (SECRET, OLDER):
        headers = {"X-Hub-Signature-256": signature_of(BODY, secret)}
        assert ask(receiver.port, target=receiver.path, headers=headers, body=BODY).status == 200
        assert receiver.recorded()[-1][3] == key_label(secret)
    for wrong in (f"{SECRET},{OLDER}", "", OLDER.upper()):
        headers = {"X-Hub-Signature-256": signature_of(BODY, wrong)}
        assert ask(receiver.port, target=receiver.path, headers=headers, body=BODY).status == 401


def chunked(body, size):
    parts = [body[at : at + size] for at in range(0, len(body), size)]
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


def in_chunks(receiver, body, size):
    head = (
        f"POST {receiver.path} HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n"
        f"X-Hub-Signature-256: {signature_of(body)}\r\n\r\n"
    )
    with Client(receiver.port) as client:
        with contextlib.suppress(OSError):  # refused while it is sent
            client.send(head.encode() + chunked(body, size))
        return client.answer()


def test_a_body_in_chunks(receiver):
    body = BODY * 100
    assert in_chunks(receiver, body, 1000).status == 200
    assert receiver.recorded()[-1][0] == body


def test_a_body_in_chunks_that_grows_too_large_is_refused(receiver):
    before = len(receiver.recorded())
    answer = in_chunks(receiver, bytes(LARGEST + 200_000), 100_000)
    assert answer is None or (answer.status, answer.text) == (413, LARGE)
    assert len(receiver.recorded()) == before
    assert deliver(receiver, b"after").status == 200


def test_many_at_once(receiver):
    bodies = [b'{"number": %d}' % number for number in range(200)]
    before = len(receiver.recorded())
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda body: deliver(receiver, body).status, bodies))
    assert set(answers) == {200}
    assert sorted(row[0] for row in receiver.recorded()[before:]) == sorted(bodies)


def test_what_cannot_be_recorded_is_answered_503(receiver):
    with receiver.unreachable():
        answer = deliver(receiver, BODY)
        assert (answer.status, answer.text) == (503, AGAIN)
        ready = ask(receiver.port, "GET", at(receiver, "/readyz"))
        assert (ready.status, ready.text) == (503, "Deliveries cannot be recorded.\n")
        assert ask(receiver.port, "GET", at(receiver, "/healthz")).status == 200
        refused = ask(receiver.port, target=receiver.path, headers={}, body=BODY)
        assert (refused.status, refused.text) == (401, REFUSED)
    assert deliver(receiver, BODY).status == 200


@pytest.mark.parametrize("fault", [{"kind": "drop_after"}, {"kind": "drop"}, {"kind": "status", "status": 503}])
def test_a_lost_answer_of_the_store_records_nothing_twice(receiver, fault):
    if not hasattr(receiver, "project"):
        pytest.skip("a file loses no answers")
    before = len(receiver.recorded())
    receiver.project.faults(fault)
    body = json.dumps(fault).encode()
    assert deliver(receiver, body).status == 200
    assert [row[0] for row in receiver.recorded()[before:]] == [body]


def test_nothing_private_is_logged(receiver):
    deliver(receiver, BODY)
    ask(receiver.port, target=receiver.path, headers=signed(b"x"), body=BODY)
    ask(receiver.port, "GET", f"{receiver.path}?hub.mode=subscribe&hub.verify_token={TOKEN}&hub.challenge=1")
    for private in (SECRET, OLDER, TOKEN, PRIVATE, signature_of(BODY).removeprefix("sha256=")):
        assert private not in receiver.log()
    if hasattr(receiver, "project"):
        assert receiver.project.secret_key not in receiver.log()
        assert "HTTP Request" not in receiver.log()


def test_what_it_recorded_is_processed_by_a_worker(receiver, tmp_path):
    text = {"from": "16505551234", "id": "wamid.blackbox", "timestamp": "1749416383", "type": "text"}
    value = {
        "messaging_product": "whatsapp",
        "metadata": {"display_phone_number": "15550783881", "phone_number_id": "106540352242922"},
        "contacts": [{"profile": {"name": "A Person"}, "wa_id": "16505551234"}],
        "messages": [{**text, "text": {"body": "hello"}}],
    }
    entry = {"id": "102290129340398", "changes": [{"field": "messages", "value": value}]}
    message = json.dumps({"object": "whatsapp_business_account", "entry": [entry]}).encode()
    assert deliver(receiver, message).status == 200
    environment = {**os.environ, **getattr(getattr(receiver, "project", None), "environment", {})}
    store = "supabase" if hasattr(receiver, "project") else f"sqlite:{receiver._served.store}"

    def run(*arguments):
        return subprocess.run(
            [sys.executable, "-m", "wa_hooks_cli", *arguments, "--store", store],
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    worked = run("work", "--drain")
    assert worked.returncode in (0, 3), worked.stderr  # much of the rest cannot be read
    shown = run("show", "wamid.blackbox", "--json")
    assert shown.returncode == 0, shown.stderr
    assert "hello" in shown.stdout
