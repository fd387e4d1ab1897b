"""No secret, no verify token and no signature that would have been right is in any answer to a rejected request, in
any log line, at whatever level, or in what is kept of rejections.
"""

import base64
import hashlib
import hmac
import logging
import signal
import sqlite3
from contextlib import closing
from urllib.parse import quote

import pytest
from corpus import BODY, CASES, chunks, get, post
from serving import SECRET, TOKEN, Client, locked, receiving, serving, signature_of, until

from wa_webhooks.stores import open_store

NEWER = "a-newer-app-secret-of-a-test"
SECRETS = (NEWER, SECRET)
OTHER = b'{"another":"body"}'
LARGE = bytes(100_000)
BODIES = [BODY, OTHER, LARGE, b"", b"x"]
NOWHERE = "sha256=" + "0" * 64


def told_by(text):
    """What stands in `text` (bytes) of all that must not."""
    hidden = {form for private in (*SECRETS, TOKEN) for form in forms(private)}
    for secret in SECRETS:
        for body in BODIES:
            for kind in (hashlib.sha256, hashlib.sha1):
                made = hmac.new(secret.encode(), body, kind)
                half = made.hexdigest()[:16]
                hidden |= {half, half.upper(), *forms(made.digest())}
    return {form for form in hidden if form.encode() in text}


def forms(private):
    """How bytes, or a text, could be written."""
    raw = private.encode() if isinstance(private, str) else private
    made = {base64.b64encode(raw).decode().rstrip("="), base64.urlsafe_b64encode(raw).decode().rstrip("="), raw.hex()}
    return made | ({private, private.upper(), private[::-1], quote(private)} if isinstance(private, str) else set())


def unsigned(body, signature):
    return post(f"Content-Length: {len(body)}", body=body).replace(signature_of(body).encode(), signature)


def right_in_part(body):
    """Signatures that are nearly right; the one who sends them must not be told by how much."""
    digest = hmac.new(SECRET.encode(), body, hashlib.sha256)
    for made in (digest.hexdigest().upper(), digest.hexdigest()[:-1], digest.hexdigest()[:-1] + "g"):
        yield f"sha256={made}".encode()
    yield b"sha256=" + base64.b64encode(digest.digest())
    yield b"sha1=" + hmac.new(SECRET.encode(), body, hashlib.sha1).hexdigest().encode()


def rejected():
    """Requests for which there is all sorts of rejections."""
    yield from (case.raw for case in CASES.values() if case.statuses and case.statuses[-1] not in (200, 401))
    for body in BODIES:
        for signature in (NOWHERE.encode(), b"", b"sha256=", b"\xe9" * 64, b"0" * 9000, *right_in_part(body)):
            yield unsigned(body, signature)
        yield chunks(b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body) if body else b"0\r\n\r\n").replace(
            signature_of(BODY).encode(), NOWHERE.encode()
        )
    for query in (
        f"hub.mode=subscribe&hub.verify_token={TOKEN}",
        f"hub.mode=unsubscribe&hub.verify_token={TOKEN}&hub.challenge=1",
        f"hub.mode=subscribe&hub.verify_token={TOKEN}x&hub.challenge=1",
        f"hub.mode=subscribe&hub.verify_token={SECRET}&hub.challenge=1",
        f"hub.verify_token={TOKEN}",
    ):
        yield get(target=f"/webhook?{query}")
        yield get(target=f"/elsewhere?{query}")
        yield get(target=f"/webhook?{query}", method="PUT")
        yield get(target=f"/webhook?{query}", version="HTTP/1.2")
        yield get(f"X: {TOKEN}\x01", target=f"/healthz?{query}")
    yield get(f"Authorization: Bearer {SECRET}", target="/elsewhere")
    yield post("Content-Length: x", f"Cookie: {TOKEN}; {SECRET}")


def answers(port):
    """All that comes back for all of these."""
    got = b""
    for request in rejected():
        with Client(port) as client:
            client.send(request)
            client.socket.shutdown(1)
            got += client.rest()
    return got


@pytest.mark.processes
@pytest.mark.parametrize("processes", ["1", "2"])
def test_a_receiver_with_all_sorts_of_rejections(tmp_path, processes):
    secrets = tmp_path / "secrets"
    secrets.write_text(",".join(SECRETS))
    environment = {"WHATSAPP_APP_SECRET": None, "WHATSAPP_APP_SECRET_FILE": str(secrets)}
    options = ("--log-level", "debug", "--processes", processes, "--max-body", "200000")
    with serving(tmp_path, *options, PYTHONASYNCIODEBUG="1", **environment) as served:
        got = answers(served.port)
        with locked(served.store), Client(served.port) as client:
            client.send(post(f"Content-Length: {len(BODY)}"))
            assert client.answer().status == 503
            got += client.raw
        secrets.write_text(f"{SECRET},,{NEWER}")
        served.process.send_signal(signal.SIGHUP)
        until(lambda: "an app secret is empty" in served.log())
        assert served.end() == 0
    assert got.count(b"HTTP/1.1 4") > 200
    for status in (400, 401, 403, 404, 405, 411, 413, 414, 431, 501, 503, 505):
        assert b"HTTP/1.1 %d " % status in got
    log = served.log()
    assert '"level": "debug"' in log
    assert log.count("request refused") > 50
    assert told_by(got) == set()
    assert told_by(log.encode()) == set()
    with closing(sqlite3.connect(served.store)) as db:
        kept = db.execute("SELECT * FROM wa_rejections").fetchall()
    assert len(kept) > 50
    assert told_by(repr(kept).encode()) == set()


def test_every_field_of_every_log_record(tmp_path, caplog):
    """Also of those that no format shows, and of other libraries' at the debug level."""
    caplog.set_level(logging.DEBUG)
    with (
        closing(open_store(f"sqlite:{tmp_path / 'log.db'}")) as store,
        receiving(store, app_secrets=SECRETS, largest_body=200_000) as receiver,
    ):
        got = answers(receiver.port)
        assert SECRET not in repr(receiver.receiver.settings)
        assert TOKEN not in repr(receiver.receiver.settings)
    assert len(caplog.records) > 50
    assert told_by(got) == set()
    for record in caplog.records:
        assert told_by(repr(vars(record)).encode()) == set()
        assert told_by(record.getMessage().encode()) == set()


def test_what_is_looked_for_would_be_found():
    for secret in SECRETS:
        for body in BODIES:
            digest = hmac.new(secret.encode(), body, hashlib.sha256)
            assert told_by(f"expected {digest.hexdigest()}".encode())
            assert told_by(f"expected {digest.hexdigest().upper()}".encode())
            assert told_by(b"expected " + base64.b64encode(digest.digest()))
    assert told_by(f"token {TOKEN}".encode())
