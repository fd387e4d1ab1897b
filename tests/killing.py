"""Receivers under load that are killed: what is sent, who sends it, and what is waited for."""

import http.client
import json
import os
import random
import subprocess
import sys
import threading
import time

from wa_webhooks.signature import sign

SECRET = "a test secret"
PEOPLE = ("5511900000012", "5511900000013", "34600000017")


def body_of(number):
    """A message and the statuses of another, out of order; every third delivery repeats an earlier message."""
    said = {
        "id": f"wamid.in{number - number % 3}",
        "from": PEOPLE[0],
        "timestamp": str(1795000000 + number - number % 3),
        "type": "text",
        "text": {"body": "hello"},
    }
    statuses = [
        {"id": f"wamid.out{number}", "status": status, "timestamp": str(1795000000 + at), "recipient_id": PEOPLE[1]}
        for at, status in random.Random(number).sample([(1, "sent"), (2, "delivered"), (3, "read")], 3)
    ]
    value = {"metadata": {"phone_number_id": "P1"}, "messages": [said], "statuses": statuses}
    entry = {"id": "W1", "changes": [{"field": "messages", "value": value}]}
    return json.dumps({"object": "whatsapp_business_account", "entry": [entry]}).encode()


def start(url, *options):
    environment = {**os.environ, "WHATSAPP_APP_SECRET": SECRET}
    serve = [sys.executable, "-m", "wa_hooks_cli", "serve", "--port", "0", "--store", url, "--log-level", "error"]
    process = subprocess.Popen(
        [*serve, *options], env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    return process, json.loads(process.stderr.readline())["port"]


class Load:
    """Clients that send deliveries one after the other, and note those answered 200."""

    def __init__(self):
        self.numbers = iter(range(10**9))
        self.acknowledged = set()
        self.lock = threading.Lock()

    def run(self, port, stop):
        clients = [threading.Thread(target=self._client, args=(port, stop)) for _ in range(4)]
        for client in clients:
            client.start()
        return clients

    def wait_for(self, more):
        enough = len(self.acknowledged) + more
        wait_until(lambda: len(self.acknowledged) >= enough, "enough load")

    def _client(self, port, stop):
        while not stop.is_set():
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
            try:
                while not stop.is_set():
                    self._post(connection)
            except (OSError, http.client.HTTPException):
                time.sleep(0.01)  # the receiver is dead, or will be
            finally:
                connection.close()

    def _post(self, connection):
        with self.lock:
            body = body_of(next(self.numbers))
        connection.request("POST", "/webhook", body, {"X-Hub-Signature-256": sign(body, SECRET)})
        response = connection.getresponse()
        response.read()
        if response.status == 200:
            with self.lock:
                self.acknowledged.add(body)


def wait_until(condition, what, within=60):
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, f"in {within:.0f} seconds, {what} did not happen"
        time.sleep(0.02)
