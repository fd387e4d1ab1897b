"""How the queries behind the commands do when the log has grown: `python tests/bench_growth.py [EVENTS]`, 10 million.

Fills a database of its own with made-up rows in SQL, as fast as that goes, and prints what each query takes.
"""

import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from databases import Stack

from wa_webhooks.errors import StoreError
from wa_webhooks.stores import open_store
from wa_webhooks.stores.base import Delivery, Query

DELIVERIES = """
insert into public.wa_deliveries (id, headers, source, received_at, signature_key, nonce, body)
select n, '{{}}', 'serve', timestamptz '2026-01-01' + n * interval '3 seconds', 'k1', 'n' || n,
       convert_to(repeat('x', 300), 'UTF8')
  from generate_series({first}, {last}) n;
insert into public.wa_delivery_work (delivery_id, account, size, not_before, split_at, events, duplicates)
select n, 'A' || n % 50, 300, '-infinity', timestamptz '2026-01-01' + n * interval '3 seconds', 1, 0
  from generate_series({first}, {last}) n;
"""
EVENTS = """
insert into public.wa_events (id, tipo_evento, payload_original, fecha_recepcion, event_key, digest,
  delivery_id, position, event_at, account_id, phone_number_id, message_id, state, attempts, error, error_class,
  lead_id, handled_by)
select n,
       (array['message.text', 'status.sent', 'status.delivered', 'status.read', 'message.image'])[1 + n % 5],
       json_build_object('object', 'whatsapp_business_account', 'text', repeat('y', 200)),
       timestamptz '2026-01-01' + n * interval '3 seconds', 'status:P' || n % 50 || ':wamid.' || n, md5(n::text),
       n, 0,
       timestamptz '2026-01-01' + n * interval '3 seconds', 'A' || n % 50, 'P' || n % 50, 'wamid.' || n / 4,
       case when n % 20000 = 0 then 'dead' when n % 30001 = 0 then 'failed' else 'processed' end, 1,
       case when n % 20000 = 0 then 'KeyError: x' end, case when n % 20000 = 0 then 'KeyError' end, n % 200000,
       'messages'
  from generate_series({first}, {last}) n;
insert into public.wa_attempts (event_id, attempt, at, state)
select n, 1, timestamptz '2026-01-01' + n * interval '3 seconds', 'processed' from generate_series({first}, {last}) n;
"""
STEP = 500_000


def fill(db, events):
    """Without indexes, which are made again at the end: a third of the time."""
    db.execute("set session_replication_role = replica; set maintenance_work_mem = '1GB'")
    kept = db.execute("""
        select indexname, indexdef from pg_indexes i
         where schemaname = 'public'
           and tablename in ('wa_deliveries', 'wa_delivery_work', 'wa_events', 'wa_attempts')
           and not exists (select from pg_constraint c where c.conname = i.indexname)""").fetchall()
    for name, _ in kept:
        db.execute(f"drop index public.{name}")
    for first in range(1, events + 1, STEP):
        for statements in (DELIVERIES, EVENTS):
            db.execute(statements.format(first=first, last=min(first + STEP - 1, events)))
    for _, definition in kept:
        db.execute(definition)
    for table in ("deliveries", "events", "attempts"):
        db.execute(f"select setval('public.wa_{table}_id_seq', {events})")
    for table in ("deliveries", "delivery_work", "events", "attempts"):
        db.execute(f"vacuum analyze public.wa_{table}")


def queries(store, events):
    """What each command asks."""
    at = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=3 * events // 2)
    now = datetime.now(UTC)
    finds = {
        "tail-log -n 20": Query(),
        "tail-log --type status.read": Query(types=("status.read",)),
        "tail-log --type 'message.*'": Query(types=("message.*",)),
        "tail-log --failed": Query(states=("failed", "dead")),
        "tail-log --since --until (an hour)": Query(since=at, until=at + timedelta(hours=1)),
        "tail-log --lead": Query(lead=777),
        "tail-log --error": Query(error="KeyError"),
        "tail-log --run": Query(run="none"),
        "tail-log of one message": Query(message="wamid.1234"),
        "tail-log --follow": Query(after_id=events - 10),
    }
    for name, query in finds.items():
        yield name, lambda query=query: store.find(query, limit=20, newest=query.after_id is None)
    yield "stats", store.counts
    yield "reprocess --failed --dry-run", lambda: store.preview(Query(states=("failed", "dead")))
    yield "show event", lambda: store.get("event", events // 2)
    yield "append 100", lambda: store.append([Delivery(body=b"{}", received_at=now) for _ in range(100)])
    until = now + timedelta(seconds=60)
    yield "claim 100 deliveries", lambda: store.claim_deliveries(limit=100, token="t", now=now, until=until)
    yield "claim 100 events", lambda: store.claim_events(limit=100, token="t", now=now, until=until)


def main(events):
    stack = Stack()
    try:
        database = stack.database()
        started = time.monotonic()
        with stack.cluster.connect(database) as db:
            fill(db, events)
            size = db.execute("select pg_size_pretty(pg_database_size(current_database()))").fetchone()[0]
            log = db.execute("select pg_size_pretty(pg_total_relation_size('public.wa_events'))").fetchone()[0]
        print(
            f"{events:,} events, {size} (wa_events with its indexes {log}), {time.monotonic() - started:.0f} s",
            flush=True,
        )
        store = open_store(stack.cluster.url(database))
        for name, ask in queries(store, events):
            took = []
            for _ in range(3):
                started = time.monotonic()
                try:
                    ask()
                except StoreError as exc:
                    print(f"| `{name}` | {exc} |", flush=True)
                    break
                took.append(time.monotonic() - started)
            if took:
                print(f"| `{name}` | {min(took) * 1000:,.1f} ms |", flush=True)
        store.close()
    finally:
        stack.close()


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else 10_000_000)
