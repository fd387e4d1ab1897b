"""Heads that are known are what they would be if each were parsed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wa_webhooks.http.heads import Heads
from wa_webhooks.http.protocol import Refusal, naming, parse_head

WANTED = naming(["X-Hub-Signature-256", "User-Agent"])
MARK = "sha256="
SIGNATURES = (
    *(digit * 64 for digit in "0aF"),
    "0" * 63,
    "0" * 65,
    "0" * 62 + "\r\n",
    "0" * 63 + "\n",
    " " * 64,
    "é" * 64,
    "",
    f"{MARK}{'0' * 57}",
    f"{'0' * 57}{MARK}",
)
LINES = (
    "Host: example.org",
    "Content-Length: 2",
    "Content-Length: 3",
    "User-Agent: sha256=",
    f"User-Agent: sha256={'1' * 64}",
    "Transfer-Encoding: chunked",
    "Connection: close",
    "Expect: 100-continue",
    "sha256=: x",
    "no colon",
)


def heads():
    return Heads(WANTED, varying="x-hub-signature-256", mark=MARK, digits=64)


def outcome(parse, raw):
    try:
        return parse(raw)
    except Refusal as refusal:
        return refusal.status, refusal.sentence, refusal.cause


@st.composite
def raw_heads(draw):
    signature = st.sampled_from(SIGNATURES).map(lambda digits: f"X-Hub-Signature-256: {MARK}{digits}")
    targets = st.sampled_from(["/webhook", "/webhook?sha256=", f"/sha256={'2' * 64}"])
    lines = draw(st.lists(st.one_of(st.sampled_from(LINES), signature), max_size=6))
    method, target = draw(st.sampled_from(["POST", "GET"])), draw(targets)
    return "\r\n".join([f"{method} {target} HTTP/1.1", *lines, "", ""]).encode("latin-1")


def signed(digits, *more, body=b"{}"):
    lines = ["Host: x", *more, f"Content-Length: {len(body)}", f"X-Hub-Signature-256: sha256={digits}"]
    return "\r\n".join(["POST /webhook HTTP/1.1", *lines, "", ""]).encode("latin-1") + body


@given(st.lists(raw_heads(), min_size=2, max_size=8))
def test_any_sequence_of_heads_is_parsed_as_each_alone(raws):
    known = heads()
    for raw in raws:
        assert outcome(known.parse, raw) == outcome(lambda raw: parse_head(raw, WANTED), raw)


def test_a_mark_that_stands_elsewhere_too_is_not_taken_for_the_signature():
    known, zeros, ones = heads(), "0" * 64, "1" * 64
    known.parse(signed(zeros, f"User-Agent: {MARK}{zeros}")[:-2])
    other = signed(zeros, f"User-Agent: {MARK}{ones}")[:-2]
    assert known.parse(other) == parse_head(other, WANTED)


@given(raw_heads(), st.sampled_from(SIGNATURES), st.sampled_from(SIGNATURES))
def test_a_head_with_another_signature_is_parsed_as_it_would_be(raw, before, after):
    known = heads()
    outcome(known.parse, raw)
    other = raw.replace(before.encode("latin-1"), after.encode("latin-1")) if before else raw
    assert outcome(known.parse, other) == outcome(lambda raw: parse_head(raw, WANTED), other)


def test_a_request_of_a_known_head_is_taken_in_one_piece():
    known = heads()
    first, second = signed("0" * 64), signed("f" * 64)
    assert known.whole(first) is None
    known.parse(first[:-2])
    head, body = known.whole(second)
    assert (head, body) == (parse_head(second[:-2], WANTED), b"{}")


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(signed("f" * 64)[:-1], id="its body is not all there"),
        pytest.param(signed("f" * 64) + b"P", id="another one begins"),
        pytest.param(signed("f" * 64, "User-Agent: other"), id="another head"),
        pytest.param(signed("\n" * 64), id="not digits"),
        pytest.param(signed("f" * 64)[:20], id="not a whole head"),
        pytest.param(b"", id="nothing"),
    ],
)
def test_anything_else_goes_the_long_way(data):
    known = heads()
    known.parse(signed("0" * 64)[:-2])
    assert known.whole(data) is None


def test_a_large_body_goes_the_long_way_where_it_is_counted():
    known = heads()
    body = b"x" * 20_000
    known.parse(signed("0" * 64, body=body)[: -len(body)])
    assert known.whole(signed("0" * 64, body=body)) is None


def test_what_is_done_with_one_head_does_not_show_in_the_next():
    known = heads()
    first = known.parse(signed("0" * 64)[:-2])
    first.headers["x-request-id"] = "of the first"
    again = known.parse(signed("0" * 64)[:-2])
    again.headers["x-request-id"] = "of the second"
    assert "x-request-id" not in known.parse(signed("0" * 64)[:-2]).headers


def test_strangers_cannot_make_it_grow_for_ever():
    known = heads()
    for number in range(1000):
        known.parse(signed("0" * 64, f"X-{number}: 1")[:-2])
    assert len(known._known) <= 256
