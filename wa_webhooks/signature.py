"""Meta's signature and handshake: sign, verify, explain.

Everything here works on the raw bytes of the body, before any parsing, and knows no I/O. `verify` is total: for
any body, header and secrets it returns or raises `SignatureError`, nothing else.

Source: Meta, "Create a webhook endpoint": `X-Hub-Signature-256: sha256=<hex>`, HMAC-SHA256 under the app secret.
"""

from __future__ import annotations

import functools
import hashlib
import hmac
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from .errors import ConfigError, HandshakeRefusedError, SignatureMismatchError, SignatureMissingError

HEADER = "X-Hub-Signature-256"
PREFIX = "sha256="
HEX_LENGTH = 64
"""What stands before the hexadecimal digits of a signature, and how many they are."""
_SIGNATURE = re.compile(r"[ \t\r\n]*sha256=([0-9A-Fa-f]{64})[ \t\r\n]*")
_BLOCK = hashlib.sha256().block_size
_INNER_PAD = bytes(byte ^ 0x36 for byte in range(256))
_OUTER_PAD = bytes(byte ^ 0x5C for byte in range(256))
_LABELLED = b"wa-hooks: the label of an app secret"  # no webhook: as a signature, a label would be worth nothing
_LABEL_LENGTH = 8


class Explanation(NamedTuple):
    """Why a signature fails: the `cause` in a sentence, and the `remedy`."""

    cause: str
    remedy: str


def sign(body: bytes, secret: str) -> str:
    """Return the header value with which Meta would sign `body` under the app `secret`."""
    return PREFIX + hmac.new(_key(secret), body, hashlib.sha256).hexdigest()


class Verifier:
    """Verifies signatures under a few app secrets, of which `labels` are the labels, in their order.

    The pads of each key are hashed once, here; a body then costs two copies of a hash, half of what `hmac` takes.
    """

    def __init__(self, secrets: Sequence[str]) -> None:
        """Raise ConfigError where there are no secrets, or an empty one."""
        if not secrets or not all(secrets):
            raise ConfigError("no app secret to verify with")
        self.labels = tuple(map(key_label, secrets))
        self._keys = tuple(map(_Key, secrets))

    def verify(self, body: bytes, header: str | bytes | None) -> int:
        """Return the position of the secret that signed `body`; see `verify`."""
        given = _given(header)
        if given is None:
            raise SignatureMissingError
        matches = [hmac.compare_digest(key.signature(body), given) for key in self._keys]
        if True not in matches:
            raise SignatureMismatchError
        return matches.index(True)


class _Key:
    """HMAC-SHA256 (RFC 2104) under one secret."""

    __slots__ = ("_inner", "_outer")

    def __init__(self, secret: str) -> None:
        key = _key(secret)
        if len(key) > _BLOCK:
            key = hashlib.sha256(key).digest()
        key = key.ljust(_BLOCK, b"\0")
        self._inner = hashlib.sha256(key.translate(_INNER_PAD))
        self._outer = hashlib.sha256(key.translate(_OUTER_PAD))

    def signature(self, body: bytes) -> str:
        """The 64 hex digits with which the secret signs `body`."""
        inner = self._inner.copy()
        inner.update(body)
        outer = self._outer.copy()
        outer.update(inner.digest())
        return outer.hexdigest()


@functools.lru_cache(maxsize=16)
def verifier(secrets: tuple[str, ...]) -> Verifier:
    """Return the verifier of these secrets, made once.

    Raises:
        ConfigError: no secrets, or an empty one.
    """
    return Verifier(secrets)


def verify(body: bytes, header: str | bytes | None, secrets: Sequence[str]) -> int:
    """Return the position in `secrets` of the app secret that signed `body`.

    Every secret is tried, so the time taken does not tell which one matched, and compared in constant time.

    Raises:
        SignatureMissingError: no header, or not of the form `sha256=<64 hex digits>`.
        SignatureMismatchError: no secret matches.
        ConfigError: no secrets, or an empty one.
    """
    return verifier(tuple(secrets)).verify(body, header)


def key_label(secret: str) -> str:
    """Return 8 hex digits by which an app secret is known in the store; they tell nothing of it.

    It stays the same when secrets are added, taken out or put in another order.
    """
    return hmac.new(_key(secret), _LABELLED, hashlib.sha256).hexdigest()[:_LABEL_LENGTH]


def is_signature(header: str | bytes | None) -> bool:
    """Whether a header has the form of a signature; says nothing of whose it is."""
    return _given(header) is not None


def challenge(query: Mapping[str, str], verify_token: str) -> str:
    """Return what to answer to the GET with which Meta checks the callback URL.

    Raises:
        HandshakeRefusedError: another mode than `subscribe`, no challenge, or another token.
    """
    given = query.get("hub.verify_token", "").encode("utf-8", "backslashreplace")
    token_matches = bool(verify_token) and hmac.compare_digest(given, _key(verify_token))
    if query.get("hub.mode") != "subscribe" or not query.get("hub.challenge") or not token_matches:
        raise HandshakeRefusedError
    return query["hub.challenge"]


def explain(body: bytes, header: str | None, secrets: Sequence[str]) -> Explanation | None:
    """Return why `verify` refuses, or None where it accepts.

    For diagnosis only, never to accept a request: it also tries the bodies that a proxy or framework may have
    made of the one that Meta signed.
    """
    given = _header_bytes(header)
    if not given:
        return Explanation(
            f"there is no {HEADER} header",
            "Pass the header on; proxies may drop it. Refuse requests without it.",
        )
    if given.startswith(b"sha1="):
        return Explanation("this is the legacy SHA-1 header X-Hub-Signature", f"Use the value of {HEADER} instead.")
    if not given.startswith(PREFIX.encode()):
        return Explanation("the header lacks its sha256= prefix", "Pass the header's value unchanged.")
    if len(given) != len(PREFIX) + HEX_LENGTH:
        digits = len(given) - len(PREFIX)
        return Explanation(
            f"the header has {digits} characters after sha256=, not 64", "Pass the header's value unchanged."
        )
    try:
        verify(body, header, secrets)
    except SignatureMismatchError:
        return _explain_mismatch(body, given, secrets)
    return None


def _explain_mismatch(body: bytes, given: bytes, secrets: Sequence[str]) -> Explanation:
    if given != given.lower() and _matches(body, given.lower(), secrets):
        return Explanation("the hex digits are upper case", "Pass the header's value unchanged.")
    for cause, original in _bodies_before_a_proxy(body):
        if original != body and _matches(original, given, secrets):
            return Explanation(
                cause, "Verify the raw bytes of the request, before any parser or proxy rewrites them."
            )
    for secret in secrets:
        if secret != secret.strip() and _matches(body, given, [secret.strip()]):
            return Explanation(
                "a configured app secret has spaces or a line end around it", "Remove them from the setting."
            )
    return Explanation(
        "no configured app secret matches this body",
        "Compare the app secret with the app dashboard (App settings > Basic): another app's secret, the verify "
        "token or an access token do not work. If the body was saved from a log, it may not be the raw bytes.",
    )


def _bodies_before_a_proxy(body: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield (what was done, the body as it was before) for the rewritings seen most often in the field."""
    yield "a line end was added to the body", body.rstrip(b"\r\n")
    yield "a byte order mark was put before the body", body.removeprefix(b"\xef\xbb\xbf")
    yield "line ends were turned into CRLF", body.replace(b"\r\n", b"\n")
    try:
        text = body.decode()
        parsed = json.loads(text)
    except (ValueError, RecursionError):
        return
    escaped = "".join(c if c <= "~" else json.dumps(c)[1:-1] for c in text)
    yield "escaped characters (\\u00e9) were turned into plain UTF-8", escaped.encode()
    for ascii_only in (True, False):
        compact = json.dumps(parsed, ensure_ascii=ascii_only, separators=(",", ":"))
        for made in (compact, compact.replace("/", "\\/")):
            yield "the JSON was parsed and written again", made.encode("utf-8", "surrogatepass")


def _matches(body: bytes, given: bytes, secrets: Sequence[str]) -> bool:
    return any(hmac.compare_digest(sign(body, secret).encode(), given) for secret in secrets)


def _key(secret: str) -> bytes:
    """A secret's bytes: also of one that is not UTF-8, which the environment gives with surrogates."""
    try:
        return secret.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return secret.encode("utf-8", "backslashreplace")


def _given(header: str | bytes | None) -> str | None:
    """The hex digits of a signature, if a header has the form of one. ASCII, as `hmac.compare_digest` wants it."""
    if isinstance(header, bytes):
        header = header.decode("latin-1")
    found = _SIGNATURE.fullmatch(header) if header else None
    return found[1] if found else None


def _header_bytes(header: str | bytes | None) -> bytes:
    if header is None:
        return b""
    if isinstance(header, bytes):
        return header.strip(b" \t\r\n")
    return header.strip(" \t\r\n").encode("utf-8", "backslashreplace")
