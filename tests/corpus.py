"""Requests that no good client sends, by the classes in which smuggling is known, and what each is to be answered.

Each is sent with a signed delivery behind it in the same stream: what is refused must take that with it.
"""

from typing import NamedTuple

from serving import SECRET, signature_of

BODY = b'{"entry":[]}'
CHUNKED = b"c\r\n" + BODY + b"\r\n0\r\n\r\n"
_LENGTH = f"Content-Length: {len(BODY)}"
_CHUNKS = "Transfer-Encoding: chunked"


class Case(NamedTuple):
    """`statuses` are those of all answers; if the last is 200, it is that of the delivery behind."""

    raw: bytes
    statuses: tuple[int, ...]
    method: str = "POST"


def raw(line, *headers, body=b"", host="Host: h"):
    given = [line, *([host] if host else []), *headers]
    return "\r\n".join(given).encode("latin-1") + b"\r\n\r\n" + body


def post(*headers, body=BODY, signs=None, line="POST /webhook HTTP/1.1", host="Host: h"):
    """A POST that carries the signature of `signs`, which is its body unless given."""
    signature = f"X-Hub-Signature-256: {signature_of(body if signs is None else signs, SECRET)}"
    return raw(line, signature, *headers, body=body, host=host)


def marker(name):
    """The body of the delivery behind: all are of one length."""
    return b"behind: %-60.60s" % name.encode()


def behind(name):
    body = marker(name)
    return post(f"Content-Length: {len(body)}", body=body)


HIDDEN = len(behind(""))


def get(*headers, target="/healthz", version="HTTP/1.1", method="GET", **more):
    return raw(f"{method} {target} {version}", *headers, **more)


def chunks(stream, *headers):
    """A delivery of BODY in chunks, however these are made."""
    return post(_CHUNKS, *headers, body=stream, signs=BODY)


def _refused(status, cases):
    return {name: Case(made, (status,)) for name, made in cases.items()}


def _accepted(cases):
    return {name: Case(made, (200, 200)) for name, made in cases.items()}


def _codings(status, *codings):
    return _refused(
        status, {f"coding {coding!r}": chunks(CHUNKED).replace(b": chunked", coding) for coding in codings}
    )


def _stated(status, *values):
    return _refused(
        status,
        {f"length {value!r}": post("Content-Length: #").replace(b"#", value) for value in values},
    )


def _heads(status, **cases):
    return _refused(status, {name.replace("_", " "): made for name, made in cases.items()})


TWO_LENGTHS = {
    "CL.TE": post(f"Content-Length: {5 + HIDDEN}", _CHUNKS, body=b"0\r\n\r\n", signs=b""),
    "CL.TE, the length of the body": post(f"Content-Length: {len(CHUNKED)}", _CHUNKS, body=CHUNKED, signs=BODY),
    "TE.CL": post(_CHUNKS, "Content-Length: 4", body=b"%x\r\n" % HIDDEN, signs=b""),
    "CL.0": post("Content-Length: 0", _CHUNKS, body=b"0\r\n\r\n", signs=b""),
    "TE of HTTP/1.0": post(_CHUNKS, body=CHUNKED, signs=BODY, line="POST /webhook HTTP/1.0"),
    "TE and CL of HTTP/1.0": post(_CHUNKS, _LENGTH, line="POST /webhook HTTP/1.0"),
    "two codings": chunks(CHUNKED, "transfer-encoding: identity"),
    "the same coding twice": chunks(CHUNKED, _CHUNKS),
    "two lengths": post(_LENGTH, "content-length: 3"),
    "two lengths, zero first": post("Content-Length: 0", _LENGTH),
    "the same length twice": post(_LENGTH, _LENGTH),
    "length of two lines": post(_LENGTH + "\r\n "),
}

IN_CHUNKS = {
    "one chunk": CHUNKED,
    "chunks of a byte": b"".join(b"1\r\n%c\r\n" % byte for byte in BODY) + b"0\r\n\r\n",
    "upper case": CHUNKED.replace(b"c\r", b"C\r", 1),
    "zeros before the size": b"0000" + CHUNKED,
    "a longer last chunk": CHUNKED.replace(b"0\r\n\r\n", b"000\r\n\r\n"),
}

CHUNKS = {
    "extension": b"c;a=b\r\n" + CHUNKED[3:],
    "extension without a name": b"c;\r\n" + CHUNKED[3:],
    "quoted extension with a line end": b'c;a="\n0\r\n\r\n"\r\n' + CHUNKED[3:],
    "extension of the last chunk": CHUNKED.replace(b"\r\n0", b"\r\n0;a"),
    "space before the size": b" " + CHUNKED,
    "space after the size": b"c \r\n" + CHUNKED[3:],
    "tab after the size": b"c\t\r\n" + CHUNKED[3:],
    "negative": b"-c\r\n" + CHUNKED[3:],
    "negative zero": CHUNKED.replace(b"\r\n0", b"\r\n-0"),
    "plus": b"+c\r\n" + CHUNKED[3:],
    "0x": b"0xc\r\n" + CHUNKED[3:],
    "underscore": b"0_c\r\n" + CHUNKED[3:],
    "digit that is not ASCII": "\u0665\r\n".encode() + CHUNKED[3:],
    "missing size": b"\r\n" + CHUNKED[3:],
    "size of 17 digits": b"1000000000000000c\r\n" + CHUNKED[3:],
    "size of 9 digits": b"10000000c\r\n" + CHUNKED[3:],
    "endless size": b"0" * 5000 + CHUNKED,
    "LF after the size": b"c\n" + CHUNKED[3:],
    "CR after the size": b"c\r" + CHUNKED[3:],
    "two CR after the size": b"c\r\r\n" + CHUNKED[3:],
    "NUL after the size": b"c\0\r\n" + CHUNKED[3:],
    "no end of the data": b"c\r\n" + BODY + b"0\r\n\r\n",
    "LF after the data": b"c\r\n" + BODY + b"\n0\r\n\r\n",
    "CR after the data": b"c\r\n" + BODY + b"\r0\r\n\r\n",
    "two line ends after the data": b"c\r\n" + BODY + b"\r\n\r\n0\r\n\r\n",
    "more data than the size": b"5\r\n" + CHUNKED[3:],
    "less data than the size": b"%x\r\n" % (len(BODY) + 3) + CHUNKED[3:],
    "LF after the last chunk": CHUNKED[:-4] + b"\n\r\n",
    "LF at the very end": CHUNKED[:-2] + b"\n",
    "CR at the very end": CHUNKED[:-2] + b"\r",
    "no end at all": CHUNKED[:-2],
    "trailer": CHUNKED[:-2] + b"X: y\r\n\r\n",
    "trailer that frames": CHUNKED[:-2] + b"Content-Length: 5\r\n\r\n",
    "trailer with LF": CHUNKED[:-2] + b"X: y\n\n",
    "trailer that is a request": CHUNKED[:-2] + get(),
}

BROKEN_HEADS = {
    "LF after the request line": b"GET /healthz HTTP/1.1\nHost: h\r\n\r\n",
    "LF after a header": b"GET /healthz HTTP/1.1\r\nHost: h\nX: y\r\n\r\n",
    "LF at the end": b"GET /healthz HTTP/1.1\r\nHost: h\r\n\n",
    "LF alone": b"GET /healthz HTTP/1.1\nHost: h\n\n",
    "LF that hides a header": get("X: y\nContent-Length: 70"),
    "CR after the request line": b"GET /healthz HTTP/1.1\rHost: h\r\n\r\n",
    "CR after a header": b"GET /healthz HTTP/1.1\r\nHost: h\rX: y\r\n\r\n",
    "CR in a value": get("X: y\rz"),
    "CR in a name": get("X\rY: z"),
    "CR before the line end": get("X: y\r"),
    "CR that hides a coding": post(_LENGTH, "X: y\r\rTransfer-Encoding: chunked"),
    "CR in the target": get(target="/healthz\r"),
    "LF in the target": get(target="/healthz\n"),
    "fold": get("X: y\r\n z"),
    "fold with a tab": get("X: y\r\n\tz"),
    "fold that is a header": post(_LENGTH, "X: y\r\n Transfer-Encoding: chunked"),
    "fold of the first header": raw("GET /healthz HTTP/1.1", host=" Host: h"),
    "fold of a coding": post("Transfer-Encoding:\r\n chunked", body=CHUNKED, signs=BODY),
    "space before the colon": get("X : y"),
    "tab before the colon": get("X\t: y"),
    "space in a name": get("X Y: z"),
    "length with a space before the colon": post(f"Content-Length : {len(BODY)}"),
    "coding with a space before the colon": post("Transfer-Encoding : chunked", body=CHUNKED, signs=BODY),
    "coding with a tab before the colon": post("Transfer-Encoding\t: chunked", body=CHUNKED, signs=BODY),
    "coding with a NUL before the colon": post("Transfer-Encoding\0: chunked", body=CHUNKED, signs=BODY),
    "length with a NUL before the colon": post(f"Content-Length\0: {len(BODY)}"),
    "empty name": get(": y"),
    "no colon": get("X"),
    "no colon, a coding": post(_LENGTH, "Transfer-Encoding chunked"),
    "request behind the request line": raw("GET /healthz HTTP/1.1", host="GET /healthz HTTP/1.1"),
    "missing end": b"GET /healthz HTTP/1.1\r\nHost: h\r\n",
    "NUL in a name": get("X\0: y"),
    "NUL in a value": get("X: y\0z"),
    "NUL in the target": get(target="/healthz\0"),
    "NUL in the method": get(method="GET\0"),
    "control character in a value": get("X: \x01"),
    "vertical tab in a value": get("X: \x0b"),
    "escape in a value": get("X: \x1b[2J"),
    "DEL in a value": get("X: \x7f"),
    "control character in a name": get("X\x01: y"),
    "name that is not ASCII": get("X\xe9: y"),
    "target that is not ASCII": get(target="/healthz?\xe9"),
    "control character in the target": get(target="/healthz?\x01"),
    "two spaces": get(target=" /healthz"),
    "tab for a space": get(target="/healthz\tHTTP/1.1 "),
    "space before the method": b" " + get(),
    "line end before the method": b"\r\n" + get(),
    "LF before the method": b"\n" + get(),
    "line ends alone": b"\r\n\r\n\r\n",
    "space after the version": get(version="HTTP/1.1 "),
    "version in lower case": get(version="http/1.1"),
    "version of two digits": get(version="HTTP/1.10"),
    "version without a digit": get(version="HTTP/1."),
    "another protocol": get(version="ICAP/1.1"),
    "HTTP/0.9": b"GET /healthz\r\n",
    "HTTP/0.9 with headers": raw("GET /healthz"),
    "absolute form": get(target="http://h/healthz"),
    "absolute form of a delivery": post(_LENGTH, line="POST http://h/webhook HTTP/1.1"),
    "authority form": get(method="CONNECT", target="h:443"),
    "asterisk form": get(method="OPTIONS", target="*"),
    "target without a slash": get(target="healthz"),
    "missing host": get(host=""),
    "two hosts": get("Host: h"),
    "two hosts that differ": get("host: g"),
    "two hosts of HTTP/1.0": get("host: g", version="HTTP/1.0"),
    "two signatures": post(_LENGTH, "X-Hub-Signature-256: sha256=" + "0" * 64),
    "TLS hello": bytes.fromhex("16030100a5010000a10303") + bytes(range(64)),
    "PROXY protocol": b"PROXY TCP4 127.0.0.1 127.0.0.1 1 2\r\n" + get(),
    "PROXY protocol, binary": b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c" + bytes(12) + get(),
    "garbage": bytes(range(128, 256)),
}

CASES = {
    **_refused(400, TWO_LENGTHS),
    **_refused(400, {f"chunks: {name}": chunks(made) for name, made in CHUNKS.items()}),
    **_refused(400, BROKEN_HEADS),
    **_codings(
        501, b": xchunked", b": chunkedx", b": identity", b": gzip", b": gzip, chunked", b": chunked, identity"
    ),
    **_codings(501, b": chunked, chunked", b": chunked,", b": ,chunked", b': "chunked"', b": chunked;q=1", b": "),
    **_codings(501, b":\xa0chunked", b": chun\xe2\x84\xaaed", b": chunked\xff", b": chunked\x85"),
    **_codings(
        400, b": \x0bchunked", b": chunked\0", b": chunked\x0c", b": \0chunked", b":\n chunked", b": chunked\n"
    ),
    **_codings(400, b":\r\n chunked", b" : chunked", b"\r\n : chunked", b": chunked\r\n x"),
    **_codings(411, b"X: chunked", b"_: chunked"),
    **_stated(400, b"", b"-1", b"-0", b"+12", b"0xc", b"1_2", b"12.", b"1e1", b"12,12", b"12, 12", b"12 12", b"0 12"),
    **_stated(400, b"\xb2", b"\xd9\xa1\xd9\xa2", b"12;", b'"12"', b"9" * 16, b"9" * 5000, b"12\x0b", b"\x0c12", b"c"),
    **_stated(413, b"9" * 15, b"4000001", b"0" * 6 + b"4000001"),
    **_accepted({f"chunks: {name}": chunks(made) for name, made in IN_CHUNKS.items()}),
    **_accepted(
        {
            "coding in another case": chunks(CHUNKED).replace(b": chunked", b": cHUNKED"),
            "coding between tabs": chunks(CHUNKED).replace(b": chunked", b":\t chunked\t "),
            "coding without a space": chunks(CHUNKED).replace(b": chunked", b":chunked"),
            "zeros before the length": post(f"Content-Length: 000{len(BODY)}"),
            "length in another case": post(f"cONTENT-lENGTH:\t{len(BODY)} "),
            "names with underscores say nothing": post(_LENGTH, "Transfer_Encoding: chunked", "Content_Length: 1"),
            "a longer name says nothing": post(_LENGTH, "X-Content-Length: 1", "Content-Length-: 1"),
            "length named as of the connection": post(_LENGTH, "Connection: content-length, keep-alive"),
            "an empty delivery": post("Content-Length: 0")
            .removesuffix(BODY)
            .replace(signature_of(BODY).encode(), signature_of(b"").encode()),
            "GET with a body": get("Content-Length: 5", body=b"GET /"),
            "GET with chunks": get(_CHUNKS, body=CHUNKED),
            "GET without a body": get("Content-Length: 0"),
            "HTTP/1.0 that stays": get("Connection: keep-alive", version="HTTP/1.0", host=""),
            "another expectation": post(_LENGTH, "Expect: 200-ok"),
            "expectation, and the body at once": post(_LENGTH, "Expect: 100-continue"),
            "upgrade to h2c": get("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk"),
            "upgrade to a websocket": get("Connection: upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"),
            "empty host": get(host="Host:"),
            "value that is not ASCII": get("X: \xe9\xff\x80"),
            "empty value": get("X:"),
            "tab in a value": get("X: \ta\tb\t"),
            "method that hides in a body": get(f"Content-Length: {HIDDEN}", body=behind("inside")),
        }
    ),
    "HEAD": Case(get(method="HEAD"), (200, 200), "HEAD"),
    "HEAD with a body": Case(get("Content-Length: 5", method="HEAD", body=b"hello"), (200, 200), "HEAD"),
    "HEAD elsewhere": Case(get(method="HEAD", target="/"), (404,), "HEAD"),
    "HEAD of the webhook": Case(get(method="HEAD", target="/webhook"), (405,), "HEAD"),
    **_heads(
        401,
        unsigned=raw("POST /webhook HTTP/1.1", _LENGTH, body=BODY),
        unsigned_with_a_delivery_as_its_body=raw("POST /webhook HTTP/1.1", f"Content-Length: {HIDDEN}"),
        unsigned_in_chunks=raw("POST /webhook HTTP/1.1", _CHUNKS, body=CHUNKED),
    ),
    **_heads(404, elsewhere=get(target="/"), escaped=get(target="/%77ebhook"), fragment=get(target="/healthz#")),
    **_heads(
        405, put=get(method="PUT", target="/webhook"), any_token=get(method="!#$%&'*+-.^_`|~", target="/webhook")
    ),
    **_heads(405, lower_case=get(method="get"), long_method=get(method="G" * 9000)),
    **_heads(411, delivery_without_a_length=post(body=b""), other_post_without_a_length=raw("POST / HTTP/1.1")),
    **_heads(413, chunk_too_large=chunks(b"3d0901\r\n"), chunk_of_8_digits=chunks(b"ffffffff\r\n")),
    **_heads(413, too_many_chunks=chunks(b"1\r\nx\r\n" * 101)),
    **_heads(414, long_target=get(target="/" + "a" * 4096), long_query=get(target="/healthz?" + "a" * 8000)),
    **_heads(431, long_value=get("X: " + "a" * 20_000), long_name=get("X" * 20_000 + ": y")),
    **_heads(431, many_headers=get(*["X: y"] * 4000), many_names=get(*[f"X{number}: y" for number in range(4000)])),
    **_heads(431, endless_line=b"GET /" + b"a" * 40_000, endless_method=b"G" * 40_000),
    **_heads(505, version_1_2=get(version="HTTP/1.2"), version_2_0=get(version="HTTP/2.0")),
    **_heads(505, version_0_9=get(version="HTTP/0.9"), version_9_9=get(version="HTTP/9.9")),
    **_heads(505, preface_of_HTTP_2=b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\x12\4\0\0\0\0\0"),
    "last request": Case(post(_LENGTH, "Connection: close"), (200,)),
    "last request, in another case": Case(post(_LENGTH, "Connection: Upgrade, CLOSE"), (200,)),
    "last request by a second header": Case(post(_LENGTH, "Connection: keep-alive", "connection: close"), (200,)),
    "last request of HTTP/1.0": Case(post(_LENGTH).replace(b"HTTP/1.1", b"HTTP/1.0"), (200,)),
    "length that takes a part of what is behind": Case(post(f"Content-Length: {len(BODY) + 9}"), (401, 400)),
    "length that takes all of what is behind": Case(post(f"Content-Length: {len(BODY) + HIDDEN}"), (401,)),
    "length that takes more than there is": Case(post(f"Content-Length: {len(BODY) + HIDDEN + 1}"), ()),
    "length that leaves a part": Case(post(f"Content-Length: {len(BODY) - 1}"), (401, 400)),
    "chunk that takes all of what is behind": Case(chunks(b"%x\r\n" % HIDDEN), ()),
    "garbage behind a request": Case(get() + b"\x01\x02", (200, 400)),
    "line end behind a request": Case(post(_LENGTH) + b"\r\n", (200, 400)),
    "line end behind chunks": Case(chunks(CHUNKED) + b"\r\n", (200, 400)),
}
