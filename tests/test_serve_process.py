"""`wa-hooks serve` as a process: how it starts, how it ends, and what it does when the machine gives out."""

import contextlib
import http.client
import json
import os
import resource
import shutil
import signal
import socket
import sqlite3
import subprocess
import threading
from pathlib import Path

import pytest
from serving import (
    DEADLINE,
    SECRET,
    TOKEN,
    Client,
    ask,
    delivery,
    locked,
    recorded,
    request,
    serve_command,
    serve_environment,
    serving,
    signature_of,
    signed,
    until,
)

pytestmark = pytest.mark.processes

BODY = b'{"object":"whatsapp_business_account","entry":[],"said":"a private word"}'


def run(folder, *options, store=None, **environment):
    """Run a `serve` that cannot start; return its exit code and what it said."""
    ended = subprocess.run(
        serve_command(store or folder / "log.db", *options),
        env=serve_environment(**environment),
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    assert ended.stdout == ""
    return ended.returncode, ended.stderr


class Load:
    """Clients that deliver one body after the other; `acknowledged` are those answered 200."""

    def __init__(self, port, clients=8):
        self.acknowledged = []
        self.other = []
        self._port = port
        self._threads = [threading.Thread(target=self._deliver, args=(number,)) for number in range(clients)]
        for thread in self._threads:
            thread.start()

    def _deliver(self, number):
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=DEADLINE)
        try:
            for count in range(10**9):
                body = b"%d of client %d" % (count, number)
                connection.request("POST", "/webhook", body, signed(body))
                answer = connection.getresponse()
                answer.read()
                if answer.status == 200:
                    self.acknowledged.append(body)
                else:
                    self.other.append(answer.status)
        except (OSError, http.client.HTTPException):
            pass  # the receiver is gone
        finally:
            connection.close()

    def join(self):
        for thread in self._threads:
            thread.join(DEADLINE)
            assert not thread.is_alive()


# -- starting


def test_it_says_where_it_listens_and_keeps_its_secrets(tmp_path):
    with serving(tmp_path, "--path", "/hooks", "--log-level", "debug") as served:
        assert served.listening == {
            "event": "listening",
            "host": "127.0.0.1",
            "port": served.port,
            "path": "/hooks",
            "store": f"sqlite:{served.store}",
            "pid": served.process.pid,
        }
        assert ask(served.port, target="/hooks", headers=signed(BODY), body=BODY).status == 200
        assert ask(served.port, target="/hooks", headers={}, body=BODY).status == 401
        assert ask(served.port, "GET", f"/hooks?hub.verify_token={TOKEN}").status == 403
        verified = ask(served.port, "GET", f"/hooks?hub.mode=subscribe&hub.verify_token={TOKEN}&hub.challenge=7")
        assert verified.text == "7"
        with Client(served.port) as client:
            assert client.ask(b"NONSENSE\r\n\r\n").status == 400
        assert served.end() == 0
    for private in (SECRET, TOKEN, "a private word", signature_of(BODY).removeprefix("sha256=")):
        assert private not in served.log()
    assert "Traceback" not in served.log()


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"WHATSAPP_APP_SECRET": None}, "no app secret is set"),
        ({"WHATSAPP_APP_SECRET": ""}, "an app secret is empty"),
        ({"WHATSAPP_APP_SECRET": "  "}, "an app secret is empty"),
        ({"WHATSAPP_APP_SECRET": "a,,b"}, "an app secret is empty"),
        ({"WHATSAPP_APP_SECRET_FILE": "secret"}, "both WHATSAPP_APP_SECRET and WHATSAPP_APP_SECRET_FILE are set"),
        (
            {"WHATSAPP_APP_SECRET": None, "WHATSAPP_APP_SECRET_FILE": "missing"},
            "cannot read WHATSAPP_APP_SECRET_FILE missing: No such file or directory",
        ),
        (
            {"WHATSAPP_APP_SECRET": None, "WHATSAPP_APP_SECRET_FILE": "."},
            "cannot read WHATSAPP_APP_SECRET_FILE .: Is a directory",
        ),
        (
            {"WHATSAPP_APP_SECRET": None, "WHATSAPP_APP_SECRET_FILE": "binary"},
            "cannot read WHATSAPP_APP_SECRET_FILE binary: it is not text",
        ),
        ({"WHATSAPP_APP_SECRET": None, "WHATSAPP_APP_SECRET_FILE": "empty"}, "an app secret is empty"),
        ({"WHATSAPP_VERIFY_TOKEN": ""}, "the verify token is blank"),
        ({"WHATSAPP_VERIFY_TOKEN": " \t"}, "the verify token is blank"),
        (
            {"WHATSAPP_VERIFY_TOKEN": None, "WHATSAPP_VERIFY_TOKEN_FILE": "missing"},
            "cannot read WHATSAPP_VERIFY_TOKEN_FILE missing: No such file or directory",
        ),
        ({"WHATSAPP_VERIFY_TOKEN": None, "WHATSAPP_VERIFY_TOKEN_FILE": "empty"}, "the verify token is blank"),
    ],
)
def test_a_secret_that_is_missing_or_unusable(tmp_path, environment, said):
    (tmp_path / "binary").write_bytes(b"\xff\xfe\0")
    (tmp_path / "empty").write_bytes(b"\n")
    code, told = run(tmp_path, **environment)
    assert (code, told.splitlines()[0]) == (2, f"wa-hooks: {said}")
    assert not (tmp_path / "log.db").exists()


@pytest.mark.parametrize(
    "options",
    [
        ("--log-level", "loud"),
        ("--path", "webhook"),
        ("--path", "/healthz"),
        ("--path", "/web hook"),
        ("--path", "/webhook?a=1"),
        ("--path", "/caf\xe9"),
        ("--host", "not an address"),
        ("--host", "192.0.2.1"),
        ("--port", "65536"),
        ("--workers", "-1"),
        ("--max-body", "0"),
        ("--handlers", "no_such_module:registry"),
        ("--store", "somewhere:else"),
    ],
    ids=" ".join,
)
def test_an_option_that_cannot_be_meant(tmp_path, options):
    with contextlib.ExitStack() as stack:
        started = stack.enter_context(
            subprocess.Popen(
                serve_command(tmp_path / "log.db", *options),
                env=serve_environment(),
                cwd=tmp_path,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
        stack.callback(started.kill)
        line = started.stderr.readline()
        assert '"listening"' not in line
        told = line + started.stderr.read()
        assert started.wait(DEADLINE) == 2
    assert "Traceback" not in told
    assert "This is a bug" not in told


def test_secrets_from_files(tmp_path):
    (tmp_path / "secret").write_text(f"{SECRET}\n")
    (tmp_path / "token").write_text(f"{TOKEN}\r\n")
    files = {"WHATSAPP_APP_SECRET_FILE": "secret", "WHATSAPP_VERIFY_TOKEN_FILE": "token"}
    with serving(tmp_path, **files, WHATSAPP_APP_SECRET=None, WHATSAPP_VERIFY_TOKEN=None) as served:
        assert ask(served.port, headers=signed(BODY), body=BODY).status == 200
        query = f"hub.mode=subscribe&hub.verify_token={TOKEN}&hub.challenge=7"
        assert ask(served.port, "GET", f"/webhook?{query}").text == "7"


def test_a_port_in_use(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, told = run(tmp_path, "--port", str(port))
    assert code == 2
    sentence, hint = told.splitlines()
    assert sentence.startswith(f"wa-hooks: cannot listen on 127.0.0.1 port {port}: ")
    assert "in use" in sentence
    assert hint == "  Choose another with --host and --port."


def test_a_store_in_a_folder_that_is_missing(tmp_path):
    store = tmp_path / "missing" / "log.db"
    assert run(tmp_path, store=store) == (
        5,
        f"wa-hooks: the store {store} cannot be opened\n  Check that its folder exists.\n",
    )


def test_a_store_that_is_none(tmp_path):
    (tmp_path / "log.db").write_bytes(b"not a database " * 1000)
    code, told = run(tmp_path)
    assert (code, told.splitlines()[0]) == (5, f"wa-hooks: the store {tmp_path / 'log.db'} is not an SQLite file")


# -- ending


def test_sigterm_under_load_loses_nothing_that_was_acknowledged(tmp_path):
    with serving(tmp_path, "--log-level", "warning") as served:
        load = Load(served.port)
        until(lambda: len(load.acknowledged) > 200)
        assert served.end(signal.SIGTERM) == 0
        load.join()
    assert set(load.acknowledged) <= set(recorded(served.store))
    assert load.other == []
    assert "Traceback" not in served.log()


def test_sigterm_with_nothing_to_do(tmp_path):
    with serving(tmp_path) as served:
        assert served.end(signal.SIGTERM) == 0
        assert [json.loads(line)["event"] for line in served.log().splitlines()] == ["listening", "stopped"]


def test_sigint(tmp_path):
    with serving(tmp_path) as served, Client(served.port) as idle:
        assert idle.ask(delivery(BODY)).status == 200
        assert served.end(signal.SIGINT) == 130
        assert idle.answer() is None
    assert recorded(served.store) == [BODY]
    assert "Traceback" not in served.log()


def test_a_delivery_in_flight_when_the_signal_comes_is_answered(tmp_path):
    with serving(tmp_path) as served:
        with Client(served.port) as client, Client(served.port) as idle:
            idle.ask(request("GET", "/healthz"))
            client.send(delivery(BODY)[:-1])
            # Answered after it, on another connection: the receiver has the beginning.
            assert idle.ask(request("GET", "/healthz")).status == 200
            served.process.send_signal(signal.SIGTERM)
            assert idle.answer() is None
            answer = client.ask(BODY[-1:])
            assert (answer.status, answer.closes) == (200, True)
        assert served.process.wait(DEADLINE) == 0
    assert recorded(served.store) == [BODY]


def test_another_one_goes_on_where_the_last_one_ended(tmp_path):
    with serving(tmp_path, "--workers", "0") as served:
        assert ask(served.port, headers=signed(b"1"), body=b"1").status == 200
    with serving(tmp_path) as served:
        assert ask(served.port, headers=signed(b"2"), body=b"2").status == 200
        until(lambda: events(served.store) == 2, "the second one does not process what the first one recorded")
        assert served.end() == 0
    assert recorded(served.store) == [b"1", b"2"]


def events(store):
    with contextlib.closing(sqlite3.connect(store)) as db:
        return db.execute("SELECT count(*) FROM wa_events").fetchone()[0]


# -- when the machine gives out


def test_a_store_locked_by_another_process(tmp_path):
    with serving(tmp_path) as served:
        with locked(served.store):
            assert ask(served.port, headers=signed(b"1"), body=b"1").status == 503
        assert ask(served.port, headers=signed(b"2"), body=b"2").status == 200
        until(lambda: events(served.store) == 1)
        assert served.end() == 0
    assert recorded(served.store) == [b"2"]


@pytest.fixture
def small_disk(tmp_path):
    """A folder on a disk of 3 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = shutil.which("mount")
    if mount is None or os.geteuid() != 0:
        pytest.skip("NOT TESTED: a full disk; mounting a small one needs root and mount(8)")
    mounted = subprocess.run(
        [mount, "-t", "tmpfs", "-o", "size=3m", "tmpfs", folder], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"NOT TESTED: a full disk; a small one cannot be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.mark.parametrize("workers", ["0", "1"])
def test_a_full_disk_means_503_until_there_is_room(tmp_path, small_disk, workers):
    acknowledged = []
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(2**20))
    with serving(tmp_path, "--workers", workers, store=small_disk / "log.db") as served:

        def deliver(size):
            body = b"%d " % len(acknowledged) + b"x" * size
            status = ask(served.port, headers=signed(body), body=body).status
            if status == 200:
                acknowledged.append(body)
            return status

        until(lambda: deliver(50_000) == 503, "the disk is never full")
        until(lambda: deliver(1) == 503, "there is always room for one more")
        assert acknowledged
        assert ask(served.port, "GET", "/readyz").status == 503
        assert ask(served.port, "GET", "/healthz").status == 200
        assert recorded(served.store) == acknowledged
        ballast.unlink()
        assert deliver(1) == 200
        assert ask(served.port, "GET", "/readyz").status == 200
        assert served.end() == 0
        assert recorded(served.store) == acknowledged
        with contextlib.closing(sqlite3.connect(served.store)) as db:
            assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert "Traceback" not in served.log()


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="NOT TESTED: this system has no prlimit")
@pytest.mark.parametrize("options", [("--workers", "0"), ("--workers", "1", "--processes", "2")])
def test_a_disk_that_takes_nothing_means_503_until_it_does(tmp_path, options):
    with serving(tmp_path, *options) as served:
        assert ask(served.port, headers=signed(b"1"), body=b"1").status == 200
        for number in range(3):
            limit(served, 0)
            statuses = {ask(served.port, headers=signed(b"lost"), body=b"lost").status for _ in range(4)}
            assert statuses == {503}
            assert ask(served.port, "GET", "/readyz").status == 503
            limit(served, resource.RLIM_INFINITY)
            body = b"after %d" % number
            assert ask(served.port, headers=signed(body), body=body).status == 200
        until(lambda: events(served.store) == 4 * (options[1] != "0"))
        assert served.end() == 0
        with contextlib.closing(sqlite3.connect(served.store)) as db:
            assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert recorded(served.store) == [b"1", b"after 0", b"after 1", b"after 2"]
    assert "Traceback" not in served.log()


def limit(served, size):
    """How large files may be that the receivers write, in bytes: with none, each write fails, as on a broken disk."""
    family = [served.process.pid]
    with contextlib.suppress(FileNotFoundError):
        family += map(int, Path(f"/proc/{family[0]}/task/{family[0]}/children").read_text("ascii").split())
    for pid in family:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def test_too_many_connections_do_not_flood_the_log_nor_stop_the_deliveries(tmp_path):
    with contextlib.ExitStack() as stack:
        limited = ("sh", "-c", 'ulimit -n 100; exec "$@"', "sh")
        served = stack.enter_context(serving(tmp_path, before=limited))
        first = stack.enter_context(Client(served.port))
        assert first.ask(delivery(b"1")).status == 200
        crowd = [stack.enter_context(Client(served.port)) for _ in range(200)]
        assert first.ask(delivery(b"2")).status == 200
        for client in crowd:
            client.close()
        assert ask(served.port, headers=signed(b"3"), body=b"3").status == 200
        assert served.end() == 0
    assert recorded(served.store) == [b"1", b"2", b"3"]
    assert len(served.log().splitlines()) < 200


# -- clients


@pytest.mark.skipif(not shutil.which("curl"), reason="NOT TESTED: curl is not installed")
@pytest.mark.parametrize("expects", [(), ("-H", "Expect:")])
@pytest.mark.parametrize(
    ("size", "status", "text"),
    [(0, 200, "ok\n"), (1000, 200, "ok\n"), (4_000_000, 200, "ok\n"), (4 * 2**20, 413, "The body is too large.\n")],
)
def test_curl(tmp_path, expects, size, status, text):
    body = b"x" * size
    (tmp_path / "body").write_bytes(body)
    with serving(tmp_path) as served:
        url = f"http://127.0.0.1:{served.port}/webhook"
        header = f"X-Hub-Signature-256: {signature_of(body)}"
        command = ["curl", "-q", "-sS", "--noproxy", "*", "-w", "%{http_code}", *expects, "-H", header]
        told = subprocess.run(
            [*command, "--data-binary", f"@{tmp_path / 'body'}", url],
            capture_output=True,
            text=True,
            timeout=DEADLINE,
            check=False,
        )
    assert (told.stderr, told.stdout, told.returncode) == ("", f"{text}{status}", 0)
