"""A well-behaved client as a process of its own: so many signed deliveries a second, sent when they are due.

python steady.py PORT SECONDS RATE [CA]; the secret comes from WHATSAPP_APP_SECRET. Every other delivery comes on a
new connection, the rest on kept ones. It prints one JSON object: `times` in seconds from when each delivery was due
to its answer, and `statuses`, null where there was no answer.
"""

import hashlib
import hmac
import json
import os
import socket
import ssl
import sys
import threading
import time
from collections import deque

PATIENCE = 10.0


class Client:
    def __init__(self, port, authority):
        self._address = ("127.0.0.1", port)
        self._context = ssl.create_default_context(cafile=authority) if authority else None
        self._kept = deque()
        self._secret = os.environ["WHATSAPP_APP_SECRET"].encode()

    def deliver(self, body, *, anew):
        """Return the status, None where there is no answer."""
        signature = hmac.new(self._secret, body, hashlib.sha256).hexdigest()
        headers = f"Host: h\r\nContent-Length: {len(body)}\r\nX-Hub-Signature-256: sha256={signature}\r\n"
        connection = None
        try:
            connection = self._kept.popleft() if self._kept and not anew else self._connect()
            connection.sendall(f"POST /webhook HTTP/1.1\r\n{headers}\r\n".encode() + body)
            answer = b""
            while not answer.endswith(b"\n") or answer.endswith(b"\r\n"):  # every answer is a head and a line
                part = connection.recv(2**16)
                if not part:
                    return None
                answer += part
            if not anew:
                self._kept.append(connection)
            return int(answer.split()[1])
        except OSError:
            return None
        finally:
            if connection and connection not in self._kept:
                connection.close()

    def _connect(self):
        connection = socket.create_connection(self._address, PATIENCE)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self._context.wrap_socket(connection, server_hostname="localhost") if self._context else connection


def main(port, seconds, rate, authority=None):
    client, number = Client(int(port), authority), int(float(seconds) * float(rate))
    told = [None] * number
    start = time.perf_counter()

    def deliver(place, due):
        status = client.deliver(b"steady %d of %d" % (place, os.getpid()), anew=bool(place % 2))
        told[place] = (time.perf_counter() - due, status)

    threads = []
    for place in range(number):
        due = start + place / float(rate)
        time.sleep(max(0.0, due - time.perf_counter()))
        threads.append(threading.Thread(target=deliver, args=(place, due)))
        threads[-1].start()
    for thread in threads:
        thread.join()
    json.dump({"times": [spent for spent, _ in told], "statuses": [status for _, status in told]}, sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
