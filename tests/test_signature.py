"""Signatures and the handshake: what is let in, what is not, and why not."""

import contextlib
import hashlib
import hmac
import json
import re
from datetime import UTC, datetime

import pytest
from building import delivery, message
from hypothesis import example, given
from hypothesis import strategies as st

from wa_webhooks.errors import (
    ConfigError,
    HandshakeRefusedError,
    SignatureError,
    SignatureMismatchError,
    SignatureMissingError,
)
from wa_webhooks.pipeline import receive
from wa_webhooks.signature import Verifier, challenge, explain, key_label, sign, verify

# Meta escapes what is not ASCII, and slashes.
BODY = b'{"text":"Ol\\u00e1 \\ud83d\\ude00","url":"https:\\/\\/example.com","n":[1,2]}'
PLAIN = BODY.replace(b"\\/", b"/")
OLD, NEW = "old-app-secret", "new-app-secret"
GOOD = sign(BODY, NEW)
SECRETS = st.lists(st.text(st.characters(exclude_categories=()), min_size=1), min_size=1, max_size=3)
HEADERS = st.none() | st.text(st.characters(exclude_categories=())) | st.binary()


def test_the_algorithm_is_metas():
    # `printf '{"a":1}' | openssl dgst -sha256 -hmac secret`
    assert sign(b'{"a":1}', "secret") == "sha256=aa9e2e3575f5d7098b6caccd790888c36d5fdb63342a73bada2d6a51747a8494"


@pytest.mark.parametrize(
    ("header", "secrets", "position"),
    [
        (GOOD, [NEW], 0),
        (GOOD, [NEW, OLD], 0),
        (GOOD, [OLD, NEW], 1),
        (GOOD, [OLD, "third", NEW], 2),
        (GOOD, [NEW, NEW], 0),
        (GOOD.encode(), [NEW], 0),
        (f" {GOOD}\r\n", [NEW], 0),
    ],
)
def test_a_known_secret_is_accepted_and_its_position_told(header, secrets, position):
    assert verify(BODY, header, secrets) == position


@pytest.mark.parametrize(
    ("header", "refusal"),
    [
        (None, SignatureMissingError),
        ("", SignatureMissingError),
        (b"", SignatureMissingError),
        (GOOD.removeprefix("sha256="), SignatureMissingError),
        ("sha1=" + "0" * 40, SignatureMissingError),
        ("sha1=" + GOOD.removeprefix("sha256="), SignatureMissingError),
        (GOOD[:-1], SignatureMissingError),
        (GOOD + "0", SignatureMissingError),
        (f"{GOOD}, {GOOD}", SignatureMissingError),
        (GOOD.upper(), SignatureMissingError),
        ("sha256=" + "é" * 64, SignatureMissingError),
        (b"\xff\xfe", SignatureMissingError),
        ("sha256=" + "g" * 64, SignatureMissingError),
        (b"sha256=" + b"\xff" * 64, SignatureMissingError),
        ("sha256=" + GOOD.removeprefix("sha256=").upper(), SignatureMismatchError),
        (sign(BODY, "another"), SignatureMismatchError),
        (sign(BODY + b"\n", NEW), SignatureMismatchError),
        (sign(b"", NEW), SignatureMismatchError),
    ],
)
def test_anything_else_is_refused(header, refusal):
    with pytest.raises(refusal):
        verify(BODY, header, [OLD, NEW])


@pytest.mark.parametrize("secrets", [[], [""], ["good", ""], ()])
def test_an_empty_secret_is_a_fault_of_the_configuration(secrets):
    with pytest.raises(ConfigError):
        verify(BODY, sign(BODY, ""), secrets)


@given(body=st.binary(), header=HEADERS, secrets=SECRETS, well_formed=st.booleans())
@example(body=b"", header=None, secrets=["caf\udce9"], well_formed=True)
@example(body=b"", header=None, secrets=["\ud800"], well_formed=True)
def test_verify_is_total(body, header, secrets, well_formed):
    if well_formed:
        header = "sha256=" + "0" * 64
    with contextlib.suppress(SignatureError):
        assert verify(body, header, secrets) in range(len(secrets))


@given(st.binary(), st.lists(st.text(min_size=1), min_size=1, max_size=4, unique=True), st.data())
def test_what_is_signed_verifies(body, secrets, data):
    position = data.draw(st.integers(0, len(secrets) - 1))
    assert verify(body, sign(body, secrets[position]), secrets) == position


@given(st.binary(min_size=1), st.data())
def test_one_flipped_bit_fails(body, data):
    bit = data.draw(st.integers(0, 8 * len(body) - 1))
    changed = bytearray(body)
    changed[bit // 8] ^= 1 << bit % 8
    with pytest.raises(SignatureMismatchError):
        verify(bytes(changed), sign(body, NEW), [NEW])


@pytest.mark.parametrize("length", [1, 63, 64, 65, 200])
def test_a_secret_may_have_any_length(length):
    secret = "k" * length
    signed = "sha256=" + hmac.new(secret.encode(), BODY, hashlib.sha256).hexdigest()
    assert verify(BODY, signed, ["other", secret]) == 1
    with pytest.raises(SignatureMismatchError):
        verify(BODY, signed, [secret + "k"])


def test_one_verifier_serves_many_bodies():
    verifier = Verifier([NEW, OLD])
    for body in (BODY, b"", b"x" * 100_000, BODY):
        assert verifier.verify(body, sign(body, OLD)) == 1
        with pytest.raises(SignatureMismatchError):
            verifier.verify(body, sign(body + b" ", OLD))


def test_the_label_of_a_secret_stays_through_a_rotation_and_tells_nothing_of_it():
    label = key_label(NEW)
    assert re.fullmatch("[0-9a-f]{8}", label)
    assert Verifier([NEW]).labels == (label,)
    assert Verifier(["newer", NEW, OLD]).labels == (key_label("newer"), label, key_label(OLD))
    assert len({key_label(secret) for secret in (NEW, OLD, f"{NEW} ", "caf\udce9", "\ud800")}) == 5
    assert label not in (NEW, hashlib.sha256(NEW.encode()).hexdigest()[:8], sign(b"", NEW)[7:15])


def test_a_received_delivery_keeps_its_bytes_three_headers_and_which_secret_matched():
    body = delivery(messages=[message()])
    headers = {
        "x-hub-signature-256": sign(body, NEW),
        "user-agent": "facebookexternalua",
        "content-type": "application/json",
        "cookie": "not kept",
    }
    at = datetime(2026, 11, 18, tzinfo=UTC)
    received = receive(body, headers, secrets=[OLD, NEW], received_at=at, source_ip="192.0.2.1")
    assert received.body == body
    assert received.received_at == at
    assert received.headers == {name: value for name, value in headers.items() if name != "cookie"}
    assert (received.source_ip, received.signature_key) == ("192.0.2.1", key_label(NEW))
    with pytest.raises(SignatureMissingError):
        receive(body, {}, secrets=[NEW], received_at=at)


QUERY = {"hub.mode": "subscribe", "hub.challenge": "1158201444", "hub.verify_token": "tökên"}


@pytest.mark.parametrize("answer", ["1158201444", "0", "<b>x</b>", "abc"])
def test_the_challenge_is_echoed(answer):
    assert challenge({**QUERY, "hub.challenge": answer, "other": "x"}, "tökên") == answer


@pytest.mark.parametrize(
    ("changed", "token"),
    [
        ({"hub.mode": "unsubscribe"}, "tökên"),
        ({"hub.mode": ""}, "tökên"),
        ({"hub.challenge": ""}, "tökên"),
        ({"hub.verify_token": "token"}, "tökên"),
        ({"hub.verify_token": "TÖKÊN"}, "tökên"),
        ({"hub.verify_token": "\ud800"}, "tökên"),
        ({"hub.verify_token": ""}, ""),
        ({"hub.verify_token": "x"}, "caf\udce9"),  # what os.environ makes of bytes that are not UTF-8
    ],
)
def test_a_wrong_handshake_is_refused(changed, token):
    with pytest.raises(HandshakeRefusedError):
        challenge({**QUERY, **changed}, token)


@pytest.mark.parametrize("missing", QUERY)
def test_a_handshake_with_a_part_missing_is_refused(missing):
    with pytest.raises(HandshakeRefusedError):
        challenge({name: value for name, value in QUERY.items() if name != missing}, "tökên")


def rewritten(body, **how):
    return json.dumps(json.loads(body), **how).encode()


EXPLAINED = {  # name: (body received, header, secrets, what the explanation must name)
    "no header": (BODY, None, [NEW], "no X-Hub-Signature-256 header"),
    "empty header": (BODY, " ", [NEW], "no X-Hub-Signature-256 header"),
    "SHA-1": (BODY, "sha1=" + "0" * 40, [NEW], "SHA-1"),
    "no prefix": (BODY, GOOD[7:], [NEW], "lacks its sha256= prefix"),
    "cut": (BODY, GOOD[:-4], [NEW], "60 characters"),
    "upper case": (BODY, "sha256=" + GOOD[7:].upper(), [OLD, NEW], "upper case"),
    "line end": (BODY + b"\n", GOOD, [NEW], "line end was added"),
    "CRLF at the end": (BODY + b"\r\n", GOOD, [NEW], "line end was added"),
    "byte order mark": (b"\xef\xbb\xbf" + BODY, GOOD, [NEW], "byte order mark"),
    "CRLF inside": (b'{\r\n"a":1}', sign(b'{\n"a":1}', NEW), [NEW], "CRLF"),
    "unescaped": ('{"a":"é😀"}'.encode(), sign(b'{"a":"\\u00e9\\ud83d\\ude00"}', NEW), [NEW], "escaped characters"),
    "spaced": (rewritten(BODY), GOOD, [OLD, NEW], "written again"),
    "pretty": (rewritten(PLAIN, indent=2), sign(PLAIN, NEW), [NEW], "written again"),
    "pretty and unescaped": (rewritten(BODY, indent=2, ensure_ascii=False), GOOD, [NEW], "written again"),
    "slashes unescaped": (PLAIN, GOOD, [NEW], "written again"),
    "space round the secret": (BODY, GOOD, [OLD, f" {NEW}\n"], "spaces or a line end around it"),
    "wrong secret": (BODY, GOOD, [OLD], "no configured app secret"),
    "not JSON": (b"\xff{", GOOD, [NEW], "no configured app secret"),
}


@pytest.mark.parametrize("name", EXPLAINED)
def test_each_way_to_break_a_signature_is_named_and_nothing_secret_told(name):
    body, header, secrets, named = EXPLAINED[name]
    found = explain(body, header, secrets)
    assert named in found.cause
    assert found.remedy
    told = f"{found.cause} {found.remedy}"
    signatures = {sign(each, secret.strip())[7:] for each in (body, BODY, PLAIN) for secret in secrets}
    assert not [hidden for hidden in {*signatures, *map(str.strip, secrets)} if hidden in told]


@given(st.binary() | st.just(BODY), HEADERS, st.lists(st.text(min_size=1), min_size=1, max_size=3), st.booleans())
def test_there_is_an_explanation_exactly_where_verify_refuses(body, header, secrets, signed):
    if signed:
        header = sign(body, secrets[-1])
    try:
        verify(body, header, secrets)
    except SignatureError:
        assert explain(body, header, secrets) is not None
    else:
        assert explain(body, header, secrets) is None


@pytest.mark.parametrize("depth", [10, 900, 950, 980, 990, 1000, 100_000])
def test_deep_nesting_is_explained_too(depth):
    assert "no configured" in explain(b"[" * depth + b"]" * depth, GOOD, [NEW]).cause
