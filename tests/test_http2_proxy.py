"""Behind a proxy that speaks HTTP/2 and ends connections after some requests (GOAWAY), as Supabase does: no loss."""

import shutil
import ssl
import threading
from contextlib import closing, suppress

import httpx
import pytest
from certificates import Authority
from databases import Postgres, Supabase
from disturbed import Day, whole
from stack.processes import Process, free_port

from wa_webhooks.stores import supabase

REQUESTS = 20
"""After how many nginx ends a connection."""

CONFIGURATION = """
daemon off; worker_processes 2; error_log stderr notice; pid {folder}/nginx.pid; {user}
events {{ }}
http {{
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s; access_log off; client_max_body_size 50m;
  upstream gateway {{ server 127.0.0.1:{gateway}; keepalive 16; }}
  server {{
    listen 127.0.0.1:{port} ssl http2;
    ssl_certificate {cert}; ssl_certificate_key {key};
    keepalive_requests {requests};
    location / {{ proxy_pass http://gateway; proxy_http_version 1.1; proxy_set_header Connection ""; }}
  }}
}}
"""


@pytest.fixture(scope="module")
def proxied(tmp_path_factory, stack):
    """The address behind nginx, and the authority of its certificate."""
    nginx = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if not nginx:
        pytest.skip("NOT TESTED: Supabase behind an HTTP/2 proxy; this needs nginx")
    folder = tmp_path_factory.mktemp("http2")
    authority = Authority(folder)
    server = authority.issue("server", "/CN=localhost")
    port = free_port()
    gateway = Supabase(None).project.api.rpartition(":")[2]
    (folder / "nginx.conf").write_text(
        CONFIGURATION.format(
            folder=folder,
            user="user root;" if folder.owner() == "root" else "",
            gateway=gateway,
            port=port,
            cert=server.cert,
            key=server.key,
            requests=REQUESTS,
        )
    )
    process = Process(
        [nginx, "-e", "stderr", "-p", folder, "-c", folder / "nginx.conf"], folder / "nginx.log", environment={}
    )
    context = ssl.create_default_context(cafile=authority.cert)

    def answers():
        with suppress(httpx.HTTPError):
            httpx.get(f"https://localhost:{port}/__faults", verify=context)
            return True
        return False

    process.start(answers)
    yield f"https://localhost:{port}", context
    process.stop()


def test_it_speaks_http2_and_ends_connections(proxied):
    """Else what follows would prove nothing."""
    url, context = proxied
    with httpx.Client(http2=True, verify=context) as client:
        assert client.get(f"{url}/__faults").http_version == "HTTP/2"


def test_a_day_behind_it_is_as_any_other(proxied, monkeypatch):
    url, context = proxied
    monkeypatch.setattr(supabase, "_trusted", lambda: context)
    calm = Postgres(None)
    with closing(calm.open()) as store:
        found = Day(store).go()
    expected = whole(calm.project)
    behind = Supabase(None)
    behind.environment = {**behind.environment, "SUPABASE_URL": url}
    with closing(behind.open()) as store:
        assert Day(store).go() == found
    assert whole(behind.project) == expected


def test_many_at_once_lose_nothing_and_nothing_fails(proxied, monkeypatch):
    url, context = proxied
    monkeypatch.setattr(supabase, "_trusted", lambda: context)
    key = Supabase(None).project.secret_key
    transport = supabase.SupabaseTransport(url, key)
    failed = []

    def call():
        for _ in range(8 * REQUESTS):
            try:
                transport.call("wa_check_writable", {})
            except Exception as exc:  # noqa: BLE001 - whatever it is
                failed.append(exc)

    threads = [threading.Thread(target=call) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    transport.close()
    assert failed == []
