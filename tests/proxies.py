"""nginx and Caddy, with the examples of docs/deploy, in front of a receiver; and a client that speaks TLS to them.

Of an example, only addresses, ports and paths are replaced, each of which must stand in it exactly once.
"""

import contextlib
import http.client
import os
import shutil
import socket
import ssl
import subprocess
import threading
from pathlib import Path

import pytest
from serving import DEADLINE, until

EXAMPLES = Path(__file__).parent.parent / "docs" / "deploy"
ELSEWHERE = "127.0.0.9"
"""Where clients come from; proxies are at 127.0.0.1."""


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as found:
        return found.getsockname()[1]


def adapted(example, changes):
    text = (EXAMPLES / example).read_text()
    for old, new in changes.items():
        assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in {example}"
        text = text.replace(old, new)
    return text


class Proxy:
    """A proxy as a process, its files in `folder`; `port` is where it listens."""

    def __init__(self, folder, receiver, certificates):
        if not shutil.which(self.program):
            pytest.skip(f"NOT TESTED: {self.program} in front of the receiver; this needs {self.program}")
        self.folder = folder
        self.port = free_port()
        self.write(receiver, certificates)
        self._log = folder / f"{self.program}.log"
        self.environment = {"PATH": os.environ["PATH"], "HOME": str(folder)}
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                self.command, stdout=log, stderr=log, cwd=folder, env=self.environment, start_new_session=True
            )
        try:
            until(self._listens, f"{self.program} does not listen")
        except BaseException:
            self.stop()
            raise

    def _listens(self):
        assert self.process.poll() is None, self.log()
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port), timeout=DEADLINE).close()
            return True
        return False

    def log(self):
        return self._log.read_text("utf-8", "replace")

    def run(self, *arguments):
        done = subprocess.run(
            arguments, cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr

    def stop(self):
        self.process.terminate()
        self.process.wait(DEADLINE)


class Nginx(Proxy):
    program = "nginx"

    def write(self, receiver, certificates):
        (self.folder / "wa-hooks.conf").write_text(
            adapted(
                "nginx.conf",
                {
                    "listen 443 ssl;": f"listen 127.0.0.1:{self.port} ssl;",
                    "listen [::]:443 ssl;": "",
                    "server 127.0.0.1:8080": f"server 127.0.0.1:{receiver}",
                    "/etc/nginx/hooks.example.com.pem": str(certificates.server.cert),
                    "/etc/nginx/hooks.example.com.key": str(certificates.server.key),
                    "/etc/nginx/meta-outbound-api-ca-2025-12.pem": str(certificates.authority.cert),
                    "/var/log/nginx/wa-hooks.log": str(self.folder / "access.log"),
                },
            )
        )
        paths = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        (self.folder / "nginx.conf").write_text(
            "daemon off;\nworker_processes 2;\nerror_log stderr info;\n"
            + ("user root;\n" if os.geteuid() == 0 else "")
            + f"pid {self.folder}/nginx.pid;\nevents {{ }}\nhttp {{\n"
            + "".join(f"{name}_temp_path {self.folder}/{name};\n" for name in paths)
            + "include wa-hooks.conf;\n}\n"
        )
        self.command = ["nginx", "-e", "stderr", "-p", str(self.folder), "-c", str(self.folder / "nginx.conf")]

    def reload(self):
        self.run(*self.command, "-s", "reload")


class Caddy(Proxy):
    program = "caddy"

    def write(self, receiver, certificates):
        file = self.folder / "Caddyfile"
        admin = f"unix//{self.folder}/admin.sock"
        server = certificates.server
        file.write_text(
            f"{{\n\tadmin {admin}\n\tauto_https disable_redirects\n\tskip_install_trust\n}}\n"
            + adapted(
                "Caddyfile",
                {
                    "hooks.example.com {": f"https://localhost:{self.port} {{\n\tbind 127.0.0.1",
                    "\ttls {": f"\ttls {server.cert} {server.key} {{",
                    "/etc/caddy/meta-outbound-api-ca-2025-12.pem": str(certificates.authority.cert),
                    "reverse_proxy 127.0.0.1:8080": f"reverse_proxy 127.0.0.1:{receiver}",
                },
            )
        )
        self.command = ["caddy", "run", "--config", str(file), "--adapter", "caddyfile"]
        self._reload = [
            "caddy",
            "reload",
            "--config",
            str(file),
            "--adapter",
            "caddyfile",
            "--address",
            admin,
            "--force",
        ]

    def reload(self):
        self.run(*self._reload)


PROXIES = {"nginx": Nginx, "caddy": Caddy}


class Https(http.client.HTTPConnection):
    """A connection to a proxy from `source`, with a client certificate or without."""

    def __init__(self, port, authority, client=None, *, source=ELSEWHERE):
        super().__init__("localhost", port, timeout=DEADLINE)
        self._context = ssl.create_default_context(cafile=authority.cert)
        if client:
            self._context.load_cert_chain(client.cert, client.key)
        self._source = source

    def connect(self):
        plain = socket.create_connection(
            ("127.0.0.1", self.port), timeout=self.timeout, source_address=(self._source, 0)
        )
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = self._context.wrap_socket(plain, server_hostname="localhost")

    def ask(self, method, target, body=None, headers=None, **more):
        """Return status and body."""
        self.request(method, target, body, headers or {}, **more)
        answer = self.getresponse()
        return answer.status, answer.read().decode()


class Listener:
    """In the receiver's place: answers every request 200, and keeps `heads` and how many `connections` there were.

    With `fickle`, a connection is closed when a second request comes on it, as if its time had been over just then.
    """

    def __init__(self, *, fickle=False):
        self._fickle = fickle
        self.heads = []
        self.connections = 0
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self._open = []
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for opened in (self._socket, *self._open):
            with contextlib.suppress(OSError):  # closed from the other side
                opened.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for thread in self._threads:
            thread.join(DEADLINE)
            assert not thread.is_alive()

    def _accept(self):
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(connection)
            self._threads.append(threading.Thread(target=self._answer, args=(connection,)))
            self._threads[-1].start()

    def _answer(self, connection):
        with connection, connection.makefile("rb") as stream:
            while line := stream.readline():
                headers = http.client.parse_headers(stream)
                stream.read(int(headers.get("Content-Length", 0)))
                self.heads.append((line.decode().strip(), headers))
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n")
                if headers["Connection"] == "close" or (self._fickle and stream.peek(1)):
                    return
