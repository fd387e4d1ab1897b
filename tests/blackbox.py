"""What a receiver answers, whatever it is made of: `serve` in every form, and the Edge Function.

Paths are those of `serve`; a receiver that is somewhere else has its own in their place.
"""

from serving import SECRET, TOKEN, signature_of, signed

BODY = b'{"object":"whatsapp_business_account","entry":[],"said":"a private word"}'
PRIVATE = "a private word"
NOT_JSON = b"a private word \0\xff\xfe {"

REFUSED = "The signature is missing or wrong.\n"
NOTHING = "There is nothing here.\n"
LENGTH = "Send the body with a Content-Length.\n"
ONCE = "A header that may stand once is repeated.\n"
HEADER = "A header is malformed.\n"
LINE = "A line ends without a carriage return.\n"
TARGET = "The request target is malformed.\n"
LARGE = "The body is too large.\n"
FORBIDDEN = "The verification was refused.\n"
AGAIN = "The delivery was not recorded; send it again.\n"

CASES = {
    "signed": ("POST", "/webhook", signed(BODY), BODY, 200, "ok\n", 1),
    "with a query": ("POST", "/webhook?a=1&hub.mode=subscribe", signed(BODY), BODY, 200, "ok\n", 1),
    "an empty host": ("POST", "/webhook", signed(BODY, Host=""), BODY, 200, "ok\n", 1),
    "another content type": ("POST", "/webhook", signed(BODY, **{"Content-Type": "x/y"}), BODY, 200, "ok\n", 1),
    "a header that is not ASCII": (
        "POST",
        "/webhook",
        signed(BODY, **{"User-Agent": "\xe9\xff"}),
        BODY,
        200,
        "ok\n",
        1,
    ),
    "lower-case header name": ("POST", "/webhook", {"x-hub-signature-256": signature_of(BODY)}, BODY, 200, "ok\n", 1),
    "not JSON": ("POST", "/webhook", signed(NOT_JSON), NOT_JSON, 200, "ok\n", 1),
    "empty": ("POST", "/webhook", signed(b""), b"", 200, "ok\n", 1),
    "another expectation": ("POST", "/webhook", signed(BODY, Expect="200-ok"), BODY, 200, "ok\n", 1),
    "unsigned": ("POST", "/webhook", {}, BODY, 401, REFUSED, 0),
    "unsigned and empty": ("POST", "/webhook", {}, b"", 401, REFUSED, 0),
    "signed with another secret": (
        "POST",
        "/webhook",
        {"X-Hub-Signature-256": signature_of(BODY, "x")},
        BODY,
        401,
        REFUSED,
        0,
    ),
    "another body's signature": ("POST", "/webhook", signed(b"x"), BODY, 401, REFUSED, 0),
    "an empty signature": ("POST", "/webhook", {"X-Hub-Signature-256": ""}, BODY, 401, REFUSED, 0),
    "only the prefix": ("POST", "/webhook", {"X-Hub-Signature-256": "sha256="}, BODY, 401, REFUSED, 0),
    "the wrong case": (
        "POST",
        "/webhook",
        {"X-Hub-Signature-256": signature_of(BODY).upper()},
        BODY,
        401,
        REFUSED,
        0,
    ),
    "no ASCII": ("POST", "/webhook", {"X-Hub-Signature-256": "sha256=" + 64 * "\xe9"}, BODY, 401, REFUSED, 0),
    "the old header": ("POST", "/webhook", {"X-Hub-Signature": signature_of(BODY)}, BODY, 401, REFUSED, 0),
    "two signatures": (
        "POST",
        "/webhook",
        signed(BODY, **{"x-hub-signature-256": signature_of(BODY)}),
        BODY,
        400,
        ONCE,
        0,
    ),
    "two lengths": ("POST", "/webhook", signed(BODY, **{"content-length": "1"}), BODY, 400, ONCE, 0),
    "a length and chunks": (
        "POST",
        "/webhook",
        signed(BODY, **{"Transfer-Encoding": "chunked"}),
        BODY,
        400,
        "The length of the body is ambiguous.\n",
        0,
    ),
    "another coding": (
        "POST",
        "/webhook",
        {**signed(BODY), "Content-Length": "0", "Transfer-Encoding": "gzip"},
        b"",
        400,
        "The length of the body is ambiguous.\n",
        0,
    ),
    "a negative length": (
        "POST",
        "/webhook",
        signed(BODY, **{"Content-Length": "-1"}),
        BODY,
        400,
        "The Content-Length is malformed.\n",
        0,
    ),
    "a folded header": ("POST", "/webhook", signed(BODY, Folded="a\r\n b"), BODY, 400, HEADER, 0),
    "a bare line feed": ("POST", "/webhook", signed(BODY, Fed="a\nContent-Length: 0"), BODY, 400, LINE, 0),
    "a space before the colon": ("POST", "/webhook", {"Content-Length ": "5", **signed(BODY)}, BODY, 400, HEADER, 0),
    "too large": ("POST", "/webhook", signed(BODY, **{"Content-Length": "99999999999"}), b"", 413, LARGE, 0),
    "a long target": ("GET", "/" + "a" * 5000, {}, b"", 414, "The request target is too long.\n", 0),
    "large headers": ("GET", "/healthz", {"X": "a" * 50_000}, b"", 431, "The headers are too large.\n", 0),
    "elsewhere": ("POST", "/", signed(BODY), BODY, 404, NOTHING, 0),
    "a longer path": ("POST", "/webhook/", signed(BODY), BODY, 404, NOTHING, 0),
    "a path in another case": ("POST", "/Webhook", signed(BODY), BODY, 404, NOTHING, 0),
    "an escaped path": ("POST", "/web%68ook", signed(BODY), BODY, 404, NOTHING, 0),
    "dots": ("GET", "/../etc/passwd", {}, b"", 404, NOTHING, 0),
    "an absolute target": ("POST", "http://test/webhook", signed(BODY), BODY, 400, TARGET, 0),
    "a target of a star": ("OPTIONS", "*", {}, b"", 400, TARGET, 0),
    "put": ("PUT", "/webhook", signed(BODY), BODY, 405, "Use GET, POST.\n", 0),
    "delete": ("DELETE", "/webhook", {}, b"", 405, "Use GET, POST.\n", 0),
    "options": ("OPTIONS", "/webhook", {}, b"", 405, "Use GET, POST.\n", 0),
    "a method in lower case": ("post", "/webhook", signed(BODY), BODY, 405, "Use GET, POST.\n", 0),
    "head": ("HEAD", "/webhook", {}, b"", 405, "", 0),
    "health": ("GET", "/healthz", {}, b"", 200, "ok\n", 0),
    "health of a prober": ("HEAD", "/healthz?x=1", {}, b"", 200, "", 0),
    "readiness": ("GET", "/readyz", {}, b"", 200, "ready\n", 0),
    "readiness of a prober": ("HEAD", "/readyz", {}, b"", 200, "", 0),
    "a post to health": ("POST", "/healthz", signed(BODY), BODY, 405, "Use GET, HEAD.\n", 0),
    "a signed get": ("GET", "/webhook", signed(BODY), BODY, 403, FORBIDDEN, 0),
}

FRAMING = frozenset(
    {
        "two lengths",
        "a length and chunks",
        "another coding",
        "a negative length",
        "a folded header",
        "a bare line feed",
        "a space before the colon",
        "a long target",
        "large headers",
        "an absolute target",
        "a target of a star",
        "a method in lower case",
        "dots",
        "an escaped path",
    }
)
"""Cases that an HTTP server decides before what answers hears of them: it is enough that nothing is recorded."""

VERIFIED = f"hub.mode=subscribe&hub.verify_token={TOKEN}"

HANDSHAKES = [
    (f"{VERIFIED}&hub.challenge=1158201444", 200, "1158201444"),
    (f"hub.challenge=1&{VERIFIED}&more=x", 200, "1"),
    (f"{VERIFIED}&hub.challenge=%3Cscript%3E%0d%0aSet-Cookie:%20a", 200, "<script>\r\nSet-Cookie: a"),
    (f"{VERIFIED}&hub.challenge=%ff", 200, "\ufffd"),
    (f"hub.mode=subscribe&hub.verify_token={TOKEN}x&hub.challenge=1", 403, FORBIDDEN),
    (f"hub.mode=subscribe&hub.verify_token={TOKEN[:-1]}&hub.challenge=1", 403, FORBIDDEN),
    (f"hub.mode=subscribe&hub.verify_token={TOKEN.upper()}&hub.challenge=1", 403, FORBIDDEN),
    (f"hub.mode=subscribe&hub.verify_token={SECRET}&hub.challenge=1", 403, FORBIDDEN),
    ("hub.mode=subscribe&hub.verify_token=%ff%ed%a0%80&hub.challenge=1", 403, FORBIDDEN),
    ("hub.mode=subscribe&hub.verify_token=&hub.challenge=1", 403, FORBIDDEN),
    ("hub.mode=subscribe&hub.challenge=1", 403, FORBIDDEN),
    (f"hub.mode=unsubscribe&hub.verify_token={TOKEN}&hub.challenge=1", 403, FORBIDDEN),
    (f"hub.verify_token={TOKEN}&hub.challenge=1", 403, FORBIDDEN),
    (f"{VERIFIED}&hub.challenge=", 403, FORBIDDEN),
    (VERIFIED, 403, FORBIDDEN),
    ("", 403, FORBIDDEN),
]
"""Queries, and the status and text that answer them."""
