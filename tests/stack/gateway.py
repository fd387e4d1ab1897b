"""In the place of Supabase's gateway: knows the keys, passes `/rest/v1` on to PostgREST, and fails as it is told.

    python gateway.py PORT POSTGREST_PORT

`POST /__faults` takes a list of faults for the next requests, in order; `GET /__faults` returns what is left of it.
Each fault is an object: `kind`, how many `times` (1), and `function`, the rpc it waits for (any). Kinds:

status      answers `status` with `body`, of `type`, and `headers`; the request goes no further
drop        closes the connection; the request goes no further
drop_after  passes the request on, and closes the connection instead of answering
cut         as that, but after half of the answer
delay       waits for `seconds`, then passes the request on
late        passes the request on, and waits for `seconds` before the answer
"""

import asyncio
import contextlib
import json
import os
import sys

_LARGEST_HEAD = 1 << 17
_PREFIX = "/rest/v1"
_PER_HOP = {"host", "connection", "content-length", "transfer-encoding", "authorization", "expect", "keep-alive"}


class ClosedError(Exception):
    """The other side is gone, or a fault says that ours is to go."""


class Message:
    """A request or an answer: `start` is its first line, `headers` have lower-case names."""

    def __init__(self, start, headers, body):
        self.start, self.headers, self.body = start, headers, body

    @classmethod
    async def read(cls, reader, *, bodiless=False):
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError) as exc:
            raise ClosedError from exc
        start, *lines = head.decode("latin-1")[:-4].split("\r\n")
        split = (line.partition(":") for line in lines)
        headers = {name.strip().lower(): value.strip() for name, _, value in split}
        empty = bodiless or start.split(" ")[1] in {"204", "304"}
        return cls(start, headers, b"" if empty else await cls._body(reader, headers))

    @staticmethod
    async def _body(reader, headers):
        try:
            if headers.get("transfer-encoding", "").lower() != "chunked":
                return await reader.readexactly(int(headers.get("content-length", 0)))
            chunks = []
            while size := int((await reader.readline()).partition(b";")[0], 16):
                chunks.append(await reader.readexactly(size))
                await reader.readexactly(2)
            await reader.readline()
            return b"".join(chunks)
        except (asyncio.IncompleteReadError, ConnectionError) as exc:
            raise ClosedError from exc

    def written(self, *, bodiless=False):
        named = {name: value for name, value in self.headers.items() if name != "transfer-encoding"}
        if not bodiless:
            named["content-length"] = str(len(self.body))
        head = "".join(f"{name}: {value}\r\n" for name, value in named.items())
        return f"{self.start}\r\n{head}\r\n".encode("latin-1") + self.body


def answer(status, body, kind="application/json", headers=None):
    text = body if isinstance(body, str) else json.dumps(body)
    return Message(f"HTTP/1.1 {status} Answer", {"content-type": kind, **(headers or {})}, text.encode())


class Faults:
    """What is to go wrong."""

    def __init__(self):
        self.waiting = []

    def take(self, path):
        """Return the first fault that is for this request; {} if none is."""
        function = path.partition("?")[0].removeprefix(f"{_PREFIX}/rpc/")
        for fault in self.waiting:
            if fault.get("function", function) == function:
                fault["times"] = fault.get("times", 1) - 1
                if fault["times"] < 1:
                    self.waiting.remove(fault)
                return fault
        return {}


class Upstream:
    """A connection to PostgREST. A request is sent once: nobody knows whether a lost one was carried out."""

    def __init__(self, port):
        self._port = port
        self._streams = None

    async def ask(self, request, *, bodiless):
        if self._streams and self._streams[0].at_eof():
            self.close()
        try:
            self._streams = self._streams or await asyncio.open_connection("127.0.0.1", self._port)
            self._streams[1].write(request.written())
            return await Message.read(self._streams[0], bodiless=bodiless)
        except (OSError, ClosedError):
            self.close()
            return answer(502, "<html><title>502 Bad Gateway</title></html>", "text/html")

    def close(self):
        if self._streams:
            self._streams[1].close()
        self._streams = None


class Gateway:
    """Serves one project."""

    def __init__(self, upstream_port, keys):
        self._upstream_port = upstream_port
        self._keys = keys
        self._faults = Faults()

    async def serve(self, reader, writer):
        upstream = Upstream(self._upstream_port)
        try:
            while True:
                request = await Message.read(reader)
                await self._answer(request, upstream, writer)
                await writer.drain()
        except (ClosedError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            upstream.close()
            writer.close()

    async def _answer(self, request, upstream, writer):
        method, path, _ = request.start.split(" ", 2)
        if path == "/__faults":
            if method == "POST":
                self._faults.waiting = json.loads(request.body)
            writer.write(answer(200, self._faults.waiting).written())
            return
        fault = self._faults.take(path)
        kind = fault.get("kind")
        if kind == "drop":
            raise ClosedError
        if kind == "status":
            told = answer(
                fault["status"], fault.get("body", ""), fault.get("type", "application/json"), fault.get("headers")
            )
            writer.write(told.written())
            return
        if kind == "delay":
            await asyncio.sleep(fault["seconds"])
        bodiless = method == "HEAD"
        found = self._refusal(request, path) or await upstream.ask(
            self._passed_on(request, method, path), bodiless=bodiless
        )
        if kind == "late":
            await asyncio.sleep(fault["seconds"])
        data = found.written(bodiless=bodiless or found.start.split(" ")[1] in {"204", "304"})
        if kind == "cut":
            writer.write(data[: len(data) - max(1, len(found.body) // 2)])
            await writer.drain()
        if kind in {"cut", "drop_after"}:
            raise ClosedError
        writer.write(data)

    def _refusal(self, request, path):
        key = request.headers.get("apikey")
        if not path.startswith(f"{_PREFIX}/"):
            return answer(404, {"message": "no Route matched with those values"})
        if key is None:
            return answer(401, {"message": "No API key found in request"})
        if key.startswith("sb_") and key not in self._keys:
            return answer(401, {"message": "Invalid API key"})
        return None

    def _passed_on(self, request, method, path):
        """A signed token is passed on as it is; in the place of a key goes the token that it stands for."""
        key, bearer = request.headers["apikey"], request.headers.get("authorization", "")
        token = bearer if bearer and not bearer.startswith("Bearer sb_") else f"Bearer {self._keys.get(key, key)}"
        headers = {name: value for name, value in request.headers.items() if name not in _PER_HOP}
        headers |= {"host": "127.0.0.1", "authorization": token}
        return Message(f"{method} {path.removeprefix(_PREFIX)} HTTP/1.1", headers, request.body)


async def main(port, upstream_port, keys):
    gateway = Gateway(upstream_port, keys)
    server = await asyncio.start_server(gateway.serve, "127.0.0.1", port, limit=_LARGEST_HEAD)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(int(sys.argv[1]), int(sys.argv[2]), json.loads(os.environ["GATEWAY_KEYS"])))
