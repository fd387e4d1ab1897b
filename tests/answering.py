"""Receivers that answer as a test has them answer, well or badly, and remember what they were sent."""

import contextlib
import socket
import threading
import time

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
BUSY = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 5\r\n\r\nlater"
LAST = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class Answering:
    """Listens in a thread; `answers` gives the answer to a request by its number, or None for none at all.

    An answer may be a number of seconds to wait before 200. After b"" the connection is closed.
    """

    def __init__(self, answers):
        self._answers = answers
        self._lock = threading.Lock()
        self._sockets = []
        self.requests = []
        self.connections = 0
        self.most_at_once = 0
        self._under_way = 0
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port = self._listening.getsockname()[1]
        self.address = ("127.0.0.1", self.port)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        with contextlib.suppress(OSError):  # it is over
            while True:
                connection, _ = self._listening.accept()
                self.connections += 1
                self._sockets.append(connection)
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        with contextlib.suppress(OSError), connection, connection.makefile("rb") as incoming:
            while head := self._head(incoming):
                body = incoming.read(int(head["content-length"]))
                with self._lock:
                    number = len(self.requests)
                    self.requests.append((head, body))
                    self._under_way += 1
                    self.most_at_once = max(self.most_at_once, self._under_way)
                answer = self._answers(number)
                if isinstance(answer, float):
                    time.sleep(answer)
                    answer = OK
                with self._lock:
                    self._under_way -= 1
                if answer == b"":
                    return
                if answer:
                    connection.sendall(answer)

    @staticmethod
    def _head(incoming):
        if not incoming.readline():
            return None
        head = {}
        while line := incoming.readline().strip():
            name, _, value = line.decode().partition(": ")
            head[name.lower()] = value
        return head

    def close(self):
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for each in self._sockets:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def answering(answers):
    """A receiver; `answers` as above, or the one answer to everything."""
    made = Answering(answers if callable(answers) else lambda _: answers)
    try:
        yield made
    finally:
        made.close()
