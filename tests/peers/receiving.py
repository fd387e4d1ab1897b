"""What every Python peer does with a delivery: verify it, parse it, and put it on a queue or commit it.

The queue has no consumer, and forgets what is old: whatever consumes would only make the receiver slower.
"""

import hashlib
import hmac
import json
import os
import sqlite3
from collections import deque

SECRET = os.environ["WHATSAPP_APP_SECRET"].encode()
TOKEN = os.environ["WHATSAPP_VERIFY_TOKEN"]
queue = deque(maxlen=10_000)


def verified(body, header):
    expected = "sha256=" + hmac.new(SECRET, body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(expected.encode(), (header or "").encode())


class Log:
    """Deliveries in SQLite, each committed before `append` returns; on the disk, not in the system's cache."""

    def __init__(self, path):
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.execute("CREATE TABLE deliveries (id INTEGER PRIMARY KEY, body BLOB NOT NULL)")

    def append(self, body):
        self._db.execute("INSERT INTO deliveries (body) VALUES (?)", [body])


log = Log(os.environ["PEER_STORE"]) if os.environ.get("PEER_STORE") else None


def receive(body):
    payload = json.loads(body)
    if log:
        log.append(body)
    else:
        queue.append(payload)
