"""Who may send: networks, proxies, client certificates; and what is read again at SIGHUP."""

import contextlib
import shutil
import signal
import socket
import ssl
import subprocess

import pytest
from serving import (
    SECRET,
    Client,
    ask,
    delivery,
    receiving,
    recorded,
    request,
    serve_command,
    serve_environment,
    serving,
    signature_of,
    signed,
    until,
)

from wa_hooks_cli.serving import _META_CLIENT
from wa_webhooks.networks import META_CLIENT_NAME, Networks
from wa_webhooks.stores import open_store
from wa_webhooks.tls import server_context

BODY = b'{"object":"whatsapp_business_account","entry":[]}'
LOOPBACK = Networks.parse("127.0.0.0/8 ::1")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "log.db"


@pytest.fixture
def store(path):
    with contextlib.closing(open_store(f"sqlite:{path}")) as opened:
        yield opened


def sources(store):
    return [store.get("delivery", ident)["source_ip"] for ident in range(1, len(recorded(store.path)) + 1)]


def test_the_name_that_is_expected_is_metas():
    assert _META_CLIENT == META_CLIENT_NAME


def test_only_the_networks_allowed_may_send(store, path):
    with receiving(store, networks=Networks.parse("192.0.2.0/24")) as receiver:
        answer = ask(receiver.port, headers=signed(BODY), body=BODY)
        assert (answer.status, answer.text, answer.closes) == (403, "This address may not send webhooks.\n", True)
        assert ask(receiver.port, "GET", "/webhook?hub.mode=subscribe").status == 403
        assert ask(receiver.port, "GET", "/healthz").status == 200
    with receiving(store, networks=LOOPBACK) as receiver:
        assert ask(receiver.port, headers=signed(BODY), body=BODY).status == 200
    assert [rejection["cause"] for rejection in store.rejections(limit=9)] == ["network", "network"]
    assert len(recorded(path)) == 1


def test_a_stranger_is_refused_before_his_body_is_read(store):
    with receiving(store, networks=Networks.parse("192.0.2.1")) as receiver, Client(receiver.port) as client:
        whole = delivery(b"x" * 10_000)
        assert client.ask(whole[:-10_000]).status == 403


@pytest.mark.parametrize(
    ("proxies", "header", "given", "source"),
    [
        ("", "x-forwarded-for", {"X-Forwarded-For": "203.0.113.9"}, "127.0.0.1"),
        ("127.0.0.1", "x-forwarded-for", {}, "127.0.0.1"),
        ("127.0.0.1", "x-forwarded-for", {"X-Forwarded-For": "203.0.113.9"}, "203.0.113.9"),
        ("127.0.0.1", "x-forwarded-for", {"X-Forwarded-For": "10.9.9.9, 203.0.113.9"}, "203.0.113.9"),
        ("127.0.0.1", "x-forwarded-for", {"Forwarded": "for=203.0.113.9"}, "127.0.0.1"),
        ("127.0.0.1", "forwarded", {"Forwarded": 'for="[2001:db8::1]:4711"'}, "2001:db8::1"),
        ("127.0.0.1", "forwarded", {"X-Forwarded-For": "203.0.113.9"}, "127.0.0.1"),
        ("127.0.0.1", "x-forwarded-for", {"X-Forwarded-For": "\xe9, \x80"}, "127.0.0.1"),
    ],
)
def test_where_a_delivery_comes_from(store, proxies, header, given, source):
    with receiving(store, proxies=Networks.parse(proxies), forwarded=header) as receiver:
        assert ask(receiver.port, headers=signed(BODY, **given), body=BODY).status == 200
    assert sources(store) == [source]


def test_the_networks_hold_for_the_client_and_not_for_its_proxy(store):
    settings = {"proxies": LOOPBACK, "networks": Networks.parse("203.0.113.0/24")}
    with receiving(store, **settings) as receiver:
        inside = signed(BODY, **{"X-Forwarded-For": "203.0.113.9"})
        outside = signed(BODY, **{"X-Forwarded-For": "203.0.113.9, 198.51.100.1"})
        assert ask(receiver.port, headers=inside, body=BODY).status == 200
        assert ask(receiver.port, headers=outside, body=BODY).status == 403
    assert [rejection["source_ip"] for rejection in store.rejections(limit=9)] == ["198.51.100.1"]


def test_a_proxy_may_have_any_number_of_connections(store):
    with receiving(store, most_per_address=1, proxies=LOOPBACK) as receiver, contextlib.ExitStack() as stack:
        clients = [stack.enter_context(Client(receiver.port)) for _ in range(3)]
        assert [client.ask(request("GET", "/healthz")).status for client in clients] == [200] * 3


def test_a_request_id_is_taken_over_from_a_proxy_only(store):
    given = {"X-Request-Id": "from-the-proxy-1"}
    with receiving(store, proxies=LOOPBACK) as receiver:
        assert (
            ask(receiver.port, headers=signed(BODY, **given), body=BODY).headers["x-request-id"] == "from-the-proxy-1"
        )
        odd = {"X-Request-Id": "a b"}
        assert ask(receiver.port, headers=signed(BODY, **odd), body=BODY).headers["x-request-id"] != "a b"
    with receiving(store) as receiver:
        assert (
            ask(receiver.port, headers=signed(BODY, **given), body=BODY).headers["x-request-id"] != "from-the-proxy-1"
        )
    assert store.get("delivery", 1)["headers"]["x-request-id"] == "from-the-proxy-1"


@pytest.mark.parametrize(
    ("proxies", "subject", "status"),
    [
        ("127.0.0.1", f"CN={META_CLIENT_NAME},O=Meta", 200),
        ("127.0.0.1", "CN=somebody.else,O=Meta", 403),
        ("127.0.0.1", None, 403),
        ("192.0.2.1", f"CN={META_CLIENT_NAME},O=Meta", 403),
    ],
)
def test_a_subject_is_believed_from_a_proxy_only(store, proxies, subject, status):
    settings = {"proxies": Networks.parse(proxies), "client_name": META_CLIENT_NAME, "client_header": "X-Client-DN"}
    with receiving(store, **settings) as receiver:
        headers = signed(BODY, **({"X-Client-DN": subject} if subject else {}))
        assert ask(receiver.port, headers=headers, body=BODY).status == status


# -- TLS


def openssl(folder, *arguments):
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True, timeout=60)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """Two authorities; a server's certificate, and clients' by name, each of one of them."""
    if not shutil.which("openssl"):
        pytest.skip("NOT TESTED: openssl is not installed")
    folder = tmp_path_factory.mktemp("certificates")
    for authority in ("ca", "other"):
        key = ["-newkey", "rsa:2048", "-nodes", "-keyout", f"{authority}.key", "-out", f"{authority}.pem"]
        openssl(folder, "req", "-x509", *key, "-days", "2", "-subj", f"/CN={authority}")
    for name, subject, authority in (
        ("server", "localhost", "ca"),
        ("meta", META_CLIENT_NAME, "ca"),
        ("somebody", "somebody.else", "ca"),
        ("forged", META_CLIENT_NAME, "other"),
    ):
        key = ["-newkey", "rsa:2048", "-nodes", "-keyout", f"{name}.key", "-out", f"{name}.csr"]
        openssl(folder, "req", *key, "-subj", f"/CN={subject}")
        signer = ["-CA", f"{authority}.pem", "-CAkey", f"{authority}.key", "-CAcreateserial"]
        openssl(folder, "x509", "-req", "-in", f"{name}.csr", *signer, "-days", "2", "-out", f"{name}.pem")
    return folder


def over_tls(port, folder, data, client=None):
    """What comes back, as text; nothing where the connection is not made."""
    context = ssl.create_default_context(cafile=folder / "ca.pem")
    context.check_hostname = False
    if client:
        context.load_cert_chain(folder / f"{client}.pem", folder / f"{client}.key")
    with socket.create_connection(("127.0.0.1", port), timeout=20) as plain:
        try:
            with context.wrap_socket(plain) as wrapped:
                wrapped.sendall(data)
                return wrapped.recv(65536).decode("latin-1")
        except (ssl.SSLError, ConnectionError):
            return ""


def status_of(answer):
    return answer.split(" ")[1] if answer else None


def test_tls(store, path, certificates):
    context = server_context(certificates / "server.pem", certificates / "server.key")
    with receiving(store, tls=context) as receiver:
        assert status_of(over_tls(receiver.port, certificates, delivery(BODY))) == "200"
        with Client(receiver.port) as plain:
            assert not plain.ask(delivery(b"plain"))
        assert status_of(over_tls(receiver.port, certificates, delivery(b"again"))) == "200"
    assert recorded(path) == [BODY, b"again"]


@pytest.mark.parametrize(
    ("client", "status"), [("meta", "200"), ("somebody", "403"), ("forged", None), (None, "403")]
)
def test_mutual_tls(store, path, certificates, client, status):
    context = server_context(certificates / "server.pem", certificates / "server.key", certificates / "ca.pem")
    with receiving(store, tls=context, client_name=META_CLIENT_NAME) as receiver:
        assert status_of(over_tls(receiver.port, certificates, delivery(BODY), client)) == status
        assert status_of(over_tls(receiver.port, certificates, request("GET", "/healthz"))) == "200"
    assert recorded(path) == [BODY] * (status == "200")


def test_who_stalls_in_the_handshake_is_let_go(store, certificates):
    context = server_context(certificates / "server.pem", certificates / "server.key")
    with receiving(store, tls=context, patience=0.3) as receiver, Client(receiver.port) as silent:
        assert silent.rest() == b""
        until(lambda: receiver.ended == 1)
        assert status_of(over_tls(receiver.port, certificates, delivery(BODY))) == "200"


# -- SIGHUP


def labels(served):
    with contextlib.closing(open_store(f"sqlite:{served.store}")) as store:
        return [store.get("delivery", ident)["signature_key"] for ident in range(1, len(recorded(served.store)) + 1)]


@pytest.mark.processes
@pytest.mark.parametrize("options", [(), ("--processes", "2"), ("--workers", "0")])
def test_sighup_reads_secrets_again(tmp_path, options):
    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    environment = {"WHATSAPP_APP_SECRET": None, "WHATSAPP_APP_SECRET_FILE": str(secret)}
    with serving(tmp_path, *options, **environment) as served:
        assert ask(served.port, headers=signed(BODY), body=BODY).status == 200
        new = {"X-Hub-Signature-256": signature_of(BODY, "the-new-one")}
        assert ask(served.port, headers=new, body=BODY).status == 401
        secret.write_text(f"the-new-one,{SECRET}")
        served.process.send_signal(signal.SIGHUP)
        until(lambda: [ask(served.port, headers=new, body=BODY).status for _ in range(8)] == [200] * 8)
        assert ask(served.port, headers=signed(BODY), body=BODY).status == 200
        secret.write_text("")
        served.process.send_signal(signal.SIGHUP)
        until(lambda: "settings are not read again" in served.log())
        assert ask(served.port, headers=new, body=BODY).status == 200
        assert served.end() == 0
        assert "the-new-one" not in served.log()


@pytest.mark.processes
def test_sighup_reads_the_dotenv_file_again(tmp_path):
    (tmp_path / ".env").write_text("WHATSAPP_APP_SECRET=one\n")
    with serving(tmp_path, WHATSAPP_APP_SECRET=None) as served:
        assert ask(served.port, headers={"X-Hub-Signature-256": signature_of(BODY, "one")}, body=BODY).status == 200
        (tmp_path / ".env").write_text("WHATSAPP_APP_SECRET=two\n")
        served.process.send_signal(signal.SIGHUP)
        two = {"X-Hub-Signature-256": signature_of(BODY, "two")}
        until(lambda: ask(served.port, headers=two, body=BODY).status == 200)
        assert ask(served.port, headers={"X-Hub-Signature-256": signature_of(BODY, "one")}, body=BODY).status == 401


@pytest.mark.processes
@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--allow-networks", "192.0.2.1/24"), "--allow-networks: line 1"),
        (("--allow-networks", "nowhere.txt"), "is no network"),
        (("--trust-proxies", ""), "--trust-proxies names no network"),
        (("--tls-cert", "nowhere.pem"), "cannot use the certificate nowhere.pem"),
        (("--tls-key", "nowhere.pem"), "need --tls-cert"),
        (("--client-cert-header", "X"), "needs --trust-proxies"),
        (("--forwarded-header", "X"), "is no forwarding header"),
    ],
)
def test_options_that_make_no_sense(tmp_path, options, told):
    command = serve_command(tmp_path / "log.db", *options)
    ended = subprocess.run(
        command, env=serve_environment(), cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 2
    assert told in ended.stderr
