"""A day that uses every verb of a store, and what is in the database after it, free of what chance decides."""

from contextlib import closing
from datetime import timedelta
from pathlib import Path

from building import START, Clock
from psycopg import sql

from wa_webhooks.changes import LeadNoted
from wa_webhooks.errors import RetryLaterError, StoreUnavailableError
from wa_webhooks.handlers import Registry, builtin
from wa_webhooks.pipeline import Pipeline, rebuild
from wa_webhooks.stores.base import Delivery, Query, Rejection, Run

FIXTURES = Path(__file__).parent.parent / "fixtures"
_TRIES = 200
"""How often a step is tried before it counts as one that will never succeed."""

_BY_CHANCE = {"nonce", "lease_token", "leased_until", "written_at", "applied_at"}
_BY_DELAY = {
    ("wa_attempts", "at"),
    ("wa_delivery_work", "split_at"),
    ("wa_events", "next_attempt_at"),
    ("wa_runs", "finished_at"),
}
"""Columns that tell when it was done."""
_NOT_COMPARED = {"wa_answers", "wa_claims", "wa_workers", "wa_migrations", "wa_health", "wa_tag_meanings"}
"""What workers keep for themselves, and what comes with the schema."""

_IDS = {
    "delivery_id": "wa_deliveries",
    "event_id": "wa_events",
    "lead_id": "wa_leads",
    "lead_event_id": "wa_events",
}
_ORDERS = {
    "wa_deliveries": "t.id",
    "wa_events": "t.event_key",
    "wa_leads": "(select min(e.event_key || s.ident) from public.wa_lead_sightings s"
    " join public.wa_events e on e.id = s.event_id where s.lead_id = t.id)",
}
"""By what they are about: which of two was entered first depends on what was tried again."""


def bodies():
    found = [file for file in sorted(FIXTURES.rglob("*.json")) if not file.name.endswith(".expected.json")]
    return [file.read_bytes() for file in found[::4]]


class Day:
    """The steps, each repeated until it succeeds, as whoever does it in production would; `before` is called ahead of
    each with its name. `last` is what the steps have found.
    """

    def __init__(self, store, *, before=lambda _: None, pause=lambda: None):
        self._store, self._before, self._pause = store, before, pause
        self._clock = Clock()
        self._broken = True
        self._tells_more = False
        mine = Registry()
        mine.on("message.text")(self._handle)
        self._pipeline = Pipeline(
            store=store, clock=self._clock, registry=Registry(builtin(), mine), sleep=lambda _: None
        )
        self._run = Run(id="a-run", command="reprocess", scope={}, started_by="test", started_at=START, version="1")
        self.found = {}

    def _handle(self, event):
        if self._broken:
            raise RetryLaterError("not today", delay=2 * 3600)
        if self._tells_more:
            yield LeadNoted(topic="profile", what="said", at=event.at, detail="{}")

    def _step(self, name, do):
        self._before(name)
        for _ in range(_TRIES):
            try:
                self.found[name] = do()
            except StoreUnavailableError:
                self._pause()
            else:
                return
        raise AssertionError(f"{name} does not succeed")

    def go(self):
        store, step = self._store, self._step
        everything = Query()
        sent = [Delivery(body=body, received_at=START) for body in bodies()]
        once_more = [Delivery(body=sent[0].body, received_at=START)]
        step("check_writable", store.check_writable)
        step("append", lambda: len(store.append(sent[::2])))
        step("append more", lambda: len(store.append(sent[1::2])))
        step("append again", lambda: len(store.append(once_more)))
        refused = [Rejection(at=START, status=401, cause="signature-wrong", detail="no") for _ in range(3)]
        step("reject", lambda: store.reject(refused, now=START, more={"slow": 4}))
        step("process", self._drain)
        self._clock.now = START + timedelta(hours=4)
        self._broken = False
        step("process what is due", self._drain)
        step("release", lambda: self._claim_and_release(store))
        states = Query(types=("status.*",))
        step("requeue", lambda: store.requeue(states, self._run, now=self._clock.now))
        step("process a run", lambda: self._drain(run_id=self._run.id))
        step("save_run", lambda: store.save_run(self._run, finished_at=self._clock.now, counts={"events": 1}))
        step("find", lambda: len(store.find(everything, limit=1000)))
        step("get", lambda: store.get("run", self._run.id)["id"])
        step("counts", lambda: store.counts()["events"])
        step("drift", lambda: len(store.drift()))
        step("run_counts", lambda: store.run_counts(self._run.id))
        step("preview", lambda: store.preview(everything)["by_type"])
        step("rejections", lambda: len(store.rejections(limit=10)))
        step("rejection_counts", lambda: store.rejection_counts(since=START)["total"])
        step("rebuild", lambda: rebuild(self._pipeline).differences)
        self._tells_more = True
        repair = Run(id="b-run", command="rebuild", scope={}, started_by="test", started_at=START, version="1")
        step("repair", lambda: rebuild(self._pipeline, repair).failing)
        step("rebuild again", lambda: rebuild(self._pipeline).differences)
        step("migrate", store.migrate)
        return self.found

    def _drain(self, **of):
        """Until nothing is left, like a worker, which goes on after a failure with whatever is there then."""
        try:
            self._pipeline.drain(**of)
        except StoreUnavailableError:
            self._clock.later(seconds=65)  # leases whose owner never learned of them are over
            raise

    def _claim_and_release(self, store):
        now, until = self._clock.now, self._clock.now + timedelta(minutes=1)
        store.append([Delivery(body=b"left", received_at=START, nonce="left")])
        claimed = store.claim_deliveries(limit=10, token="t", now=now, until=until)
        store.release("t")
        return [delivery.body for delivery in claimed]


def whole(project):
    """Every row of every table; ids by what they stand for."""
    with closing(project.connect()) as db:
        tables = [name for (name,) in db.execute("select tablename from pg_tables where tablename like 'wa\\_%'")]
        ranks = {}
        for name, order in _ORDERS.items():
            ids = db.execute(f"select t.id from public.{name} t order by {order}")
            ranks[name] = {ident: rank for rank, (ident,) in enumerate(ids)}
        return {name: _rows(db, name, ranks) for name in sorted(tables) if name not in _NOT_COMPARED}


def _rows(db, table, ranks):
    told = []
    left_out = _BY_CHANCE | {name for of, name in _BY_DELAY if of == table}
    for (row,) in db.execute(sql.SQL("select to_jsonb(t) from public.{} t").format(sql.Identifier(table))):
        named = {name: value for name, value in row.items() if name not in left_out}
        for name, value in named.items():
            space = table if name == "id" else _IDS.get(name)
            if space in ranks and value is not None:
                named[name] = ranks[space][value]
        if table not in ranks:
            named.pop("id", None)
        told.append(repr(sorted(named.items())))
    return sorted(told)
