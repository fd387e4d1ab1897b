"""Streams of requests, good and bad, spoilt at random and cut at random."""

from random import Random

from corpus import CASES, chunks, get, marker, post

SCRAPS = [
    *(
        b"\r\n",
        b"\n",
        b"\r",
        b" ",
        b"\t",
        b":",
        b"\0",
        b"\r\n\r\n",
        b"0\r\n\r\n",
        b"/webhook",
        b"?",
        b"%",
        b";",
        b",",
    ),
    *(b"HTTP/1.1", b"HTTP/1.0", b"Host: h\r\n", b"Content-Length: ", b"Transfer-Encoding: chunked\r\n", b"5", b"-"),
    *(b"Expect: 100-continue\r\n", b"Connection: close\r\n", b"Connection: keep-alive\r\n", b"\xff", b"\xc3\xa9"),
    *(
        b"GET /healthz HTTP/1.1\r\n",
        b"POST /webhook HTTP/1.1\r\n",
        b"chunked",
        b"identity",
        b"\x0b",
        b"5\r\nhello\r\n",
    ),
    *(b"Content-Length: 5\r\n", b"Content-Length: 0\r\n", b"x\r\n", b"HEAD", b"\r\n ", b" : ", b"0x", b"_", b"+"),
]
_SMALL = [case.raw for case in CASES.values() if len(case.raw) < 3000]
_LARGE = [case.raw for case in CASES.values() if len(case.raw) >= 3000]


def good(random, *, stays=False):
    """A request that is as it should be, not the last one if it `stays`; deliveries differ, so that none stands for
    another.
    """
    body = marker(f"{random.getrandbits(64):x}")
    kind = random.randrange(5)
    if kind == 0:
        return get(
            method=random.choice(["GET", "HEAD"]), target=random.choice(["/healthz", "/readyz", "/webhook?a=1"])
        )
    if kind == 1:
        cut = random.randrange(1, len(body))
        sizes = (b"%x\r\n%b\r\n" % (len(part), part) for part in (body[:cut], body[cut:]))
        return chunks(b"".join(sizes) + b"0\r\n\r\n").replace(_SIGNED, post(body=body).split(b"\r\n")[2])
    more = [(), (), ("Connection: keep-alive",), ("Expect: 100-continue",), ("Connection: close",)]
    connection = random.choice(more[:-1] if stays else more)
    return post(f"Content-Length: {len(body)}", *connection, body=body)


_SIGNED = post().split(b"\r\n")[2]


def spoil(stream, random):
    """Change one thing."""
    at = random.randrange(len(stream) + 1)
    to = min(len(stream), at + random.choice([1, 1, 2, 4, 30]))
    scrap = random.choice(SCRAPS)
    ends = [place for place in range(len(stream)) if stream.startswith(b"\r\n", place)] or [0]
    end = random.choice(ends)
    start, put, end = random.choice(
        [
            (at, b"", to),
            (to, stream[at:to], to),
            (at, scrap, at),
            (at, scrap, to),
            (at, bytes([random.randrange(256)]), at + 1),
            (end, scrap, end + random.choice([0, 0, 1, 2])),
            (at, stream[at:to].swapcase(), to),
            (at, b"", len(stream)),
        ]
    )
    return stream[:start] + put + stream[end:]


def made(number, seed):
    """That many streams: good requests and bad ones behind each other, spoilt in some places or in none."""
    random = Random(seed)
    for _ in range(number):
        parts = []
        for _ in range(random.choice([1, 1, 2, 3, 4])):
            chance = random.random()
            bad = random.choice(_SMALL if chance < 0.97 else _LARGE)
            parts.append(good(random) if chance < 0.5 else bad)
        stream = b"".join(parts)
        for _ in range(random.choice([0, 0, 1, 1, 2, 5])):
            stream = spoil(stream, random)
        yield stream


def cut(stream, random):
    """The stream in pieces: many, or few, or single bytes."""
    most = min(len(stream), random.choice([1, 2, 5, 20]) if len(stream) > 600 or random.random() < 0.7 else 600)
    places = sorted(random.sample(range(len(stream) + 1), most))
    return [stream[start:end] for start, end in zip([0, *places], [*places, len(stream)], strict=True) if start < end]
