"""HTTP/1.1 as the receiver reads and writes it: what is ambiguous is refused, and no bytes are too strange."""

import http.client
import io
from email.utils import parsedate_to_datetime
from http import HTTPStatus

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from wa_webhooks.http.protocol import (
    LONGEST_HEAD,
    LONGEST_TARGET,
    Answer,
    Chunks,
    Head,
    Refusal,
    cut_head,
    naming,
    parse_head,
    render,
)

HOST = b"Host: h\r\n"


def head(line=b"GET / HTTP/1.1", headers=HOST):
    return line + b"\r\n" + headers + b"\r\n"


def post(headers):
    return head(b"POST /webhook HTTP/1.1", HOST + headers)


WANTED = naming(["X-Hub-Signature-256", "Content-Type", "X", "Empty", "Folded"])


def parse(raw):
    return parse_head(raw, WANTED)


def read(data):
    """What a stream begins with: a head, a refusal, or None while it is not all there."""
    raw = cut_head(bytearray(data), 0)
    return None if raw is None else parse(raw)


def test_a_request_is_read_as_it_is():
    request = parse(
        b"POST /webhook?a=1&b=%C3%A9+x&c&a=2 HTTP/1.1\r\nHOST: h\r\ncontent-length:12\r\n"
        b"X-Hub-Signature-256:\t sha256=00 \t\r\nX: \xe9\r\nx: 2\r\nEmpty:\r\nExpect: 100-Continue\r\n\r\n"
    )
    assert request == Head(
        method="POST",
        path="/webhook",
        query_string="a=1&b=%C3%A9+x&c&a=2",
        headers={
            "host": "h",
            "content-length": "12",
            "x-hub-signature-256": "sha256=00",
            "x": "é, 2",
            "empty": "",
            "expect": "100-Continue",
        },
        length=12,
        keep_alive=True,
        expects_continue=True,
    )
    assert request.query == {"a": "2", "b": "é x", "c": ""}


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        (b"/", "/", {}),
        (b"/webhook?", "/webhook", {}),
        (b"//webhook", "//webhook", {}),
        (b"/a/../webhook", "/a/../webhook", {}),
        (b"/web%68ook", "/web%68ook", {}),
        (b"/a?b?c=d", "/a", {"b?c": "d"}),
        (b"/?a=%ff%zz%00", "/", {"a": "\ufffd%zz\0"}),
        (b"/?a=1;b=2", "/", {"a": "1;b=2"}),
        (b"/?" + b"a" * (LONGEST_TARGET - 2), "/", {"a" * (LONGEST_TARGET - 2): ""}),
    ],
)
def test_targets_are_split_but_not_normalised(target, path, query):
    request = parse(head(b"GET " + target + b" HTTP/1.1"))
    assert (request.path, request.query) == (path, query)


@pytest.mark.parametrize(
    ("version", "connection", "keep_alive"),
    [
        (b"HTTP/1.1", b"", True),
        (b"HTTP/1.1", b"Connection: keep-alive\r\n", True),
        (b"HTTP/1.1", b"Connection: close\r\n", False),
        (b"HTTP/1.1", b"Connection: Close\r\n", False),
        (b"HTTP/1.1", b"Connection: upgrade, close\r\n", False),
        (b"HTTP/1.1", b"Connection: keep-alive\r\nConnection: close\r\n", False),
        (b"HTTP/1.0", b"", False),
        (b"HTTP/1.0", b"Connection: Keep-Alive\r\n", True),
        (b"HTTP/1.0", b"Connection: close, keep-alive\r\n", False),
    ],
)
def test_who_keeps_the_connection(version, connection, keep_alive):
    assert parse(head(b"GET / " + version, HOST + connection)).keep_alive is keep_alive


def test_http_1_0_needs_no_host():
    assert parse(head(b"GET / HTTP/1.0", b"")).headers == {}


@pytest.mark.parametrize(
    ("raw", "length"),
    [
        (post(b"Content-Length: 0\r\n"), 0),
        (post(b"Content-Length: 007\r\n"), 7),
        (post(b"Content-Length: 999999999999999\r\n"), 999999999999999),
        (head(), 0),
        (head(b"PUT / HTTP/1.1"), 0),
        (head(headers=HOST + b"Content-Length: 5\r\n"), 5),
    ],
)
def test_lengths(raw, length):
    assert parse(raw).length == length


@pytest.mark.parametrize(
    "stated",
    [
        "",
        "-1",
        "+5",
        " ",
        "5 5",
        "5,5",
        "5, 5",
        "0x5",
        "5_0",
        "5.0",
        "1e3",
        "five",
        "²",
        "\xb9\xb2",
        "9" * 16,
        "9" * 5000,
    ],
)
def test_lengths_that_are_none(stated):
    with pytest.raises(Refusal) as refused:
        parse(post(f"Content-Length: {stated}\r\n".encode("latin-1")))
    assert refused.value.status == HTTPStatus.BAD_REQUEST


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"\r\n\r\n", 400),
        (b"GET /\r\n\r\n", 400),
        (b"\r\n" + head(), 400),
        (head(b"GET  / HTTP/1.1"), 400),
        (head(b" GET / HTTP/1.1"), 400),
        (head(b"GET / HTTP/1.1 "), 400),
        (head(b"GET\t/\tHTTP/1.1"), 400),
        (head(b"G@T / HTTP/1.1"), 400),
        (head(b"G\xc9T / HTTP/1.1"), 400),
        (head(b" / HTTP/1.1"), 400),
        (head(b"GET / HTTP/2.0"), 505),
        (head(b"GET / HTTP/1.2"), 505),
        (head(b"GET / http/1.1"), 400),
        (head(b"GET / HTTP/1.1\n"), 400),
        (head(b"PRI * HTTP/2.0"), 505),
        (head(b"GET http://h/webhook HTTP/1.1"), 400),
        (head(b"OPTIONS * HTTP/1.1"), 400),
        (head(b"CONNECT h:443 HTTP/1.1"), 400),
        (head(b"GET webhook HTTP/1.1"), 400),
        (head("GET /webh\u00f6ok HTTP/1.1".encode()), 400),
        (head(b"GET /a\0b HTTP/1.1"), 400),
        (head(b"GET /a\x7fb HTTP/1.1"), 400),
        (head(b"GET /" + b"a" * LONGEST_TARGET + b" HTTP/1.1"), 414),
        (head(headers=b""), 400),
        (head(headers=HOST + HOST), 400),
        (head(headers=HOST + b"X-Hub-Signature-256: a\r\nx-hub-signature-256: a\r\n"), 400),
        (head(headers=HOST + b"Content-Type: a\r\nContent-Type: b\r\n"), 400),
        (head(headers=HOST + b"Folded: a\r\n b\r\n"), 400),
        (head(headers=HOST + b"Folded: a\r\n\tb\r\n"), 400),
        (head(headers=b" Host: h\r\n"), 400),
        (head(headers=HOST + b"No colon\r\n"), 400),
        (head(headers=HOST + b": no name\r\n"), 400),
        (head(headers=HOST + b"Spaced : a\r\n"), 400),
        (head(headers=HOST + b"Spa ced: a\r\n"), 400),
        (head(headers=HOST + b"N\xe4me: a\r\n"), 400),
        (head(headers=HOST + b"X: a\nContent-Length: 5\r\n"), 400),
        (head(headers=HOST + b"X: a\rY: b\r\n"), 400),
        (head(headers=HOST + b"X: a\0b\r\n"), 400),
        (head(headers=HOST + b"X: a\x1bb\r\n"), 400),
        (head(headers=HOST + b"X: a\x7fb\r\n"), 400),
        (head(headers=HOST + b"X: a\n\r\n"), 400),
        (post(b""), 411),
        (post(b"Transfer-Encoding: identity\r\n"), 501),
        (post(b"Transfer-Encoding: gzip, chunked\r\n"), 501),
        (post(b"Transfer-Encoding:\r\n"), 501),
        (post(b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"), 400),
        (post(b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"), 400),
        (head(b"POST / HTTP/1.0", b"Transfer-Encoding: chunked\r\n"), 400),
        (post(b"transfer-encoding: chunked\r\nTransfer-Encoding: identity\r\n"), 400),
        (post(b"Content-Length: 5\r\nContent-Length: 5\r\n"), 400),
        (post(b"Content-Length: 5\r\ncontent-length: 6\r\n"), 400),
    ],
)
def test_what_is_malformed_or_ambiguous_is_refused(raw, status):
    with pytest.raises(Refusal) as refused:
        parse(raw)
    assert refused.value.status == status


SCRAPS = st.sampled_from(
    [
        *(b"\r\n", b"\n", b"\r", b" ", b"\t", b":", b"\0", b"\r\n\r\n", b"GET", b"POST", b"/webhook", b"?", b"%"),
        *(b"HTTP/1.1", b"HTTP/1.0", b"Host: h", b"Content-Length: ", b"Transfer-Encoding: chunked", b"5", b"-"),
        *(b"Expect: 100-continue", b"Connection: close", b"a=b&", b"\xff", b"\xc3\xa9", b"POST / HTTP/1.1\r\n"),
    ]
)
HEADS = st.binary(max_size=200) | st.lists(SCRAPS | st.binary(max_size=5), max_size=30).map(b"".join)


@given(HEADS)
@example(b"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: \xb2\r\n\r\n")
@example(b"GET /?" + b"&" * 4000 + b" HTTP/1.0\r\n\r\n")
@example(b"GET /?%ed%a0%80=%ff HTTP/1.0\r\n\r\n")
def test_any_head_is_a_request_or_a_refusal(raw):
    assert outcome(parse, raw) in {Head, 400, 411, 414, 501, 505}


@given(HEADS, st.sampled_from([b"", b"\r\n\r\n", b"\r\n\r\nPOST"]))
def test_any_stream_is_a_request_a_refusal_or_one_that_is_not_all_there(raw, end):
    assert outcome(read, raw + end) in {Head, type(None), 400, 411, 414, 431, 501, 505}


def outcome(call, raw):
    """The type of what comes back, or the status of the refusal; any other exception fails the test."""
    try:
        return type(call(raw))
    except Refusal as refusal:
        return refusal.status


def test_a_head_of_just_the_limit_is_read_and_one_more_byte_is_refused():
    room = LONGEST_HEAD - len(head(headers=HOST + b"X: \r\n"))
    assert read(head(headers=HOST + b"X: " + b"a" * room + b"\r\n")).headers["x"] == "a" * room
    with pytest.raises(Refusal) as refused:
        read(head(headers=HOST + b"X: " + b"a" * (room + 1) + b"\r\n"))
    assert refused.value.status == HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE


@pytest.mark.parametrize(
    "raw",
    [
        b"GET /" + b"a" * 2 * LONGEST_HEAD,
        b"GET / HTTP/1.1\r\nX: " + b"a" * 2 * LONGEST_HEAD,
        b"GET / HTTP/1.1\r\n" + b"X: a\r\n" * LONGEST_HEAD,
    ],
)
def test_a_head_without_end_is_refused_before_it_fills_the_memory(raw):
    with pytest.raises(Refusal) as refused:
        read(raw)
    assert refused.value.status == HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE


@pytest.mark.parametrize("raw", [b"", b"G", b"GET / HTTP/1.1\r\nHost: h\r\n", b"GET / HTTP/1.1\r\nHost: h\r\n\r"])
def test_a_head_that_is_not_all_there_is_waited_for(raw):
    assert read(raw) is None


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01", 400),
        (b"GET / HTTP/1.1\n", 400),
        (b"GET / HTTP/1.1\r\nHost: h\n", 400),
        (b"GET /\r\n", 400),
        (b"PRI * HTTP/2.0\r\n", 505),
        (b"GET /" + b"a" * LONGEST_TARGET + b" HTTP/1.1\r\n", 414),
        (b"hello\r\n", 400),
    ],
)
def test_what_cannot_become_a_request_is_refused_before_its_end(raw, status):
    with pytest.raises(Refusal) as refused:
        read(raw)
    assert refused.value.status == status


def chunked(*parts):
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts if part) + b"0\r\n\r\n"


@given(st.lists(st.binary(max_size=40), max_size=6), st.binary(max_size=9), st.lists(st.integers(1, 30), min_size=1))
def test_chunks_come_together_however_the_stream_is_cut(parts, rest, cuts):
    stream = chunked(*parts) + rest
    chunks, buffer, place, done = Chunks(1000), bytearray(), 0, False
    for cut in cuts * len(stream):
        if done or place >= len(stream):
            break
        buffer += stream[place : place + cut]
        place += cut
        done = chunks.feed(buffer)
    assert done
    assert bytes(chunks.body) == b"".join(parts)
    assert bytes(buffer) + stream[place:] == rest


@pytest.mark.parametrize(
    "stream",
    [
        *(
            b"\r\n",
            b"x\r\n",
            b"-1\r\n",
            b"+1\r\na",
            b"0x1\r\na",
            b"1_0\r\na",
            b" 1\r\na",
            b"1 \r\na",
            b"1;x=y\r\na\r\n",
        ),
        *(b"1\na\r\n", b"1\r\na\n", b"1\r\nab\r\n", b"1\r\na\r\r\n", b"0\r\nTrailer: x\r\n\r\n", b"0\r\n\n\n"),
        *(b"000000001\r\na", b"1" * 17, b"\xb2\r\na", b"\0\r\n"),
    ],
)
def test_malformed_chunks_are_refused(stream):
    with pytest.raises(Refusal) as refused:
        Chunks(1000).feed(bytearray(stream))
    assert refused.value.status == HTTPStatus.BAD_REQUEST


@pytest.mark.parametrize("stream", [b"3e9\r\n", b"3e8\r\n" + bytes(1000) + b"\r\n1\r\n", b"ffffffff\r\n"])
def test_chunks_add_up_to_no_more_than_the_limit(stream):
    with pytest.raises(Refusal) as refused:
        Chunks(1000).feed(bytearray(stream))
    assert refused.value.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE


def test_a_body_in_single_bytes_is_refused_before_it_costs_much():
    with pytest.raises(Refusal) as refused:
        Chunks(10**6).feed(bytearray(b"1\r\na\r\n" * 10_000))
    assert refused.value.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE


def rendered(answer, *, keep_alive=True, **more):
    return render(answer, keep_alive=keep_alive, request_id="a-1", **more)


def test_an_answer_is_written_so():
    written = rendered(Answer(text="ok\n"))
    date = parsed(written).headers["Date"]
    assert parsedate_to_datetime(date).tzinfo is not None
    assert written == (
        b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nX-Content-Type-Options: nosniff\r\n"
        b"Content-Length: 3\r\nConnection: keep-alive\r\nDate: "
        + date.encode()
        + b"\r\nX-Request-Id: a-1\r\n\r\nok\n"
    )


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (Answer(status=HTTPStatus.METHOD_NOT_ALLOWED, allow="GET, POST"), {"Allow": "GET, POST"}),
        (Answer(status=HTTPStatus.SERVICE_UNAVAILABLE), {"Retry-After": "5"}),
        (Answer(status=HTTPStatus.OK), {"Allow": None, "Retry-After": None, "Connection": "close"}),
    ],
)
def test_the_headers_that_belong_to_an_answer(answer, expected):
    headers = parsed(rendered(answer, keep_alive=False)).headers
    assert {name: headers[name] for name in expected} == expected


FINAL = [status for status in HTTPStatus if status >= HTTPStatus.OK]


@given(st.text(st.characters(exclude_categories=("Cs",))), st.booleans(), st.sampled_from(FINAL))
def test_any_answer_can_be_read(text, keep_alive, status):
    found = parsed(rendered(Answer(status=status, text=text), keep_alive=keep_alive))
    assert found.status == status
    assert found.headers["Connection"] == ("keep-alive" if keep_alive else "close")
    assert found.headers["Content-Length"] == str(len(text.encode()))
    if status not in (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED):
        assert found.read().decode() == text


def test_a_head_tells_the_length_of_the_body_that_it_leaves_out():
    whole = rendered(Answer(text="olá\n"))
    assert rendered(Answer(text="olá\n"), head_only=True) == whole.removesuffix("olá\n".encode())


class Received:
    """What `http.client` reads an answer from."""

    def __init__(self, raw):
        self._raw = raw

    def makefile(self, _mode):
        return io.BytesIO(self._raw)


def parsed(raw):
    response = http.client.HTTPResponse(Received(raw))
    response.begin()
    return response
