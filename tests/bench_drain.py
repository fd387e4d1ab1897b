"""How fast the pipeline works off what was recorded, beside a bare loop of the same parses and statements.

The bare loop does, for every delivery, the pydantic parse that the pipeline does of it, and then runs the very SQL
statements that the store ran, with their parameters, in the same transactions, through plain sqlite3. It has no
choice to make and nothing to build; it is told beforehand what to do. Three copies of one store go through the same
batches side by side: on the first the statements are noted, on the second the pipeline is timed, on the third the
bare loop. They take turns batch by batch, so that both see the same machine. Run by `make bench`; for issue-sized
figures, WA_HOOKS_BENCH_DRAIN=200000.
"""

import os
import random
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from pydantic_core import from_json

from wa_webhooks.payload import Message, Status, read
from wa_webhooks.pipeline import Pipeline
from wa_webhooks.stores import open_store
from wa_webhooks.stores.base import Delivery
from wa_webhooks.synthetic import Maker, Person, body_of, invented

DELIVERIES = int(os.environ.get("WA_HOOKS_BENCH_DRAIN", "60000"))
LEADS = 5000
LIMIT = 2.0
"""The pipeline may take this many times as long as the bare loop."""

ROUNDS = 20
START = 1_795_000_000
REPLIES = 0.3
"""Of the messages that the business sends, those that are answered."""
WORDS = "Hello, is Dr. Prado in on Thursday afternoon? I lost a filling. ".split()  # noqa: SIM905 - a text
TAG = "campaign:november:recall:" + "segment-a/" * 24


def traffic(number: int) -> Iterator[bytes]:
    """That many bodies of one event each, of about 1 KB: what comes of messages that are sent one a second.

    Each is sent at once, delivered after a few others, read after some dozens, and every third answered.
    """
    chance = random.Random(4)
    maker = Maker(chance)
    waiting: dict[int, list[tuple[str, Person, dict[str, str]]]] = {}
    made = step = 0
    while True:
        who = invented(chance.randrange(LEADS))
        words = {"sent": maker.sent_id(who), "tag": f"{TAG}{step}", "category": "marketing"}
        waiting.setdefault(step, []).append(("status.sent", who, words))
        waiting.setdefault(step + chance.randint(1, 9), []).append(("status.delivered", who, words))
        waiting.setdefault(step + chance.randint(10, 90), []).append(("status.read", who, words))
        if chance.random() < REPLIES:
            waiting.setdefault(step + chance.randint(20, 200), []).append(("message.text", who, {}))
        for name, whose, given in waiting.pop(step, ()):
            event = maker.make(name, whose, START + step, given)
            if name == "message.text":
                event.item["text"]["body"] = " ".join(chance.choices(WORDS, k=80))
            yield body_of(event.payload)
            made += 1
            if made == number:
                return
        step += 1


def fill(path: Path) -> int:
    """Record the traffic, as a receiver does; return how many bytes of bodies."""
    size = 0
    with closing(open_store(f"sqlite:{path}")) as store:
        batch: list[Delivery] = []
        for body in traffic(DELIVERIES):
            headers = {"x-hub-signature-256": f"sha256={'0' * 64}", "content-type": "application/json"}
            batch.append(Delivery(body=body, received_at=datetime.now(UTC), headers=headers, source_ip="203.0.113.9"))
            size += len(body)
            if len(batch) == 1000:
                store.append(batch)
                batch.clear()
        if batch:
            store.append(batch)
        store._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return size


class Noting:
    """A connection that notes what is run on it."""

    def __init__(self, db):
        self._db = db
        self.noted = []

    def execute(self, sql, parameters=()):
        self.noted.append((self._db.execute, sql, parameters))
        return self._db.execute(sql, parameters)

    def executemany(self, sql, rows):
        rows = list(rows)
        self.noted.append((self._db.executemany, sql, rows))
        return self._db.executemany(sql, rows)

    def __getattr__(self, name):
        return getattr(self._db, name)


class Noted:
    """A pipeline that says what its store ran."""

    def __init__(self, path):
        self.store = open_store(f"sqlite:{path}")
        self.db = self.store._db = self.store._statements._db = Noting(self.store._db)
        self.pipeline = Pipeline(store=self.store)

    def batch(self):
        """Process one batch; return its statements as (is for many rows, SQL, parameters)."""
        self.db.noted = noted = []
        self.pipeline.process()
        return [(run.__name__ == "executemany", sql, given) for run, sql, given in noted]


class Bare:
    """The bare loop."""

    def __init__(self, path):
        self.store = open_store(f"sqlite:{path}")  # for the same settings of the connection
        self.db = self.store._db
        self.db.row_factory = None
        self.bodies = self.store._sql["leased_deliveries"]

    def batch(self, statements):
        for many, sql, given in statements:
            if many:
                self.db.executemany(sql, given)
                continue
            found = self.db.execute(sql, given)
            if sql.startswith("SELECT"):
                rows = found.fetchall()
                if sql == self.bodies:
                    for row in rows:
                        parse(row[1])


def parse(body):
    """What pydantic does of a delivery: JSON, and the model of its item."""
    value = from_json(body, allow_inf_nan=False)["entry"][0]["changes"][0]["value"]
    if "statuses" in value:
        read(Status, value["statuses"][0])
    else:
        read(Message, value["messages"][0]).content()


def measure(folder: Path) -> tuple[list[float], list[float]]:
    """The seconds that each batch took, of the pipeline and of the bare loop."""
    recorded = folder / "recorded.db"
    size = fill(recorded)
    print(f"{DELIVERIES} deliveries of {size / DELIVERIES:.0f} bytes on average, {LEADS} leads", flush=True)
    for name in ("noted", "worked", "bare"):
        shutil.copy(recorded, folder / f"{name}.db")
    noted, bare = Noted(folder / "noted.db"), Bare(folder / "bare.db")
    worked = Pipeline(store=open_store(f"sqlite:{folder}/worked.db"))
    times: tuple[list[float], list[float]] = ([], [])
    done = 0
    while done < DELIVERIES:
        statements = noted.batch()
        start = time.perf_counter()
        done += worked.process().events
        between = time.perf_counter()
        bare.batch(statements)
        end = time.perf_counter()
        times[0].append(between - start)
        times[1].append(end - between)
    for store in (noted.store, bare.store, worked.store):
        (events,) = store._db.execute("SELECT count(*) FROM wa_events WHERE procesado").fetchone()
        assert events == DELIVERIES, f"{events} of {DELIVERIES}"
        store.close()
    return times


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="wa-hooks-bench-") as folder:
        pipeline, bare = measure(Path(folder))
    length = max(1, len(bare) // ROUNDS)
    starts = range(0, len(bare) - length + 1, length)
    rounds = [(sum(pipeline[at : at + length]), sum(bare[at : at + length])) for at in starts]
    for name, seconds in (("pipeline", pipeline), ("bare loop", bare)):
        print(f"  {name:<12}{DELIVERIES / sum(seconds):8.0f} events/s")
    ratio = statistics.median(mine / theirs for mine, theirs in rounds)
    word = "PASS" if ratio <= LIMIT else "FAIL"
    print(f"{word}: draining takes {ratio:.2f} times as long as the bare loop (median of {len(rounds)} rounds)")
    return 0 if ratio <= LIMIT else 1


if __name__ == "__main__":
    sys.exit(main())
