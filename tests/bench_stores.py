"""How fast the pipeline works over Postgres and Supabase, beside bare writing of the same rows by the same client.

Deliveries are recorded and worked off, a few thousand in each round. Then every row that this wrote or changed is
written again, into copies of the tables with the same indexes and references, and no triggers: over supabase-py by
`upsert` of 200 rows a request, over psycopg by `executemany` of `insert ... on conflict do update`, 200 rows a
transaction. The bare client reads nothing, parses nothing, leases nothing and has no choice to make. Run by `make
bench`.
"""

import itertools
import json
import os
import re
import statistics
import sys
import time
from datetime import UTC, datetime

import psycopg
import supabase
from bench_drain import traffic
from psycopg import sql
from stack import MissingPartError, Stack

from wa_webhooks.pipeline import Pipeline
from wa_webhooks.stores import open_store
from wa_webhooks.stores.base import Delivery

ROUNDS = int(os.environ.get("WA_HOOKS_BENCH_ROUNDS", "9"))
EVENTS = 1000
"""A round's."""
AT_ONCE = 200
LIMITS = {"Postgres": 0.5, "Supabase": 0.6}
"""The least part of the bare rate that the pipeline has to reach."""

OF_EVENTS = ("wa_attempts", "wa_lead_sightings", "wa_message_statuses", "wa_lead_events", "wa_account_events")
WRITTEN = {
    "wa_leads": "select lead_id from public.wa_events where id > %(after)s",
    "wa_events": None,
    "wa_lead_identities": None,
    "wa_number_holders": None,
    "wa_messages": "select m.id from public.wa_events e join public.wa_messages m on m.wamid = e.message_id"
    " where e.id > %(after)s",
    "wa_delivery_work": "select delivery_id from public.wa_events where id > %(after)s",
    **dict.fromkeys(OF_EVENTS),
}
"""The tables that processing writes, and which of their rows a round touched, by their first column."""


_REFERENCES = """
select c.relname, pg_get_constraintdef(f.oid) from pg_constraint f join pg_class c on c.oid = f.conrelid
 where f.contype = 'f' and c.relnamespace = 'public'::regnamespace and c.relname = any (%s)
"""


class Bare:
    """Copies of the tables, and which rows to write into them."""

    def __init__(self, project):
        self._project = project
        self._after = 0
        self._leads = 0
        project.run(
            "".join(
                f"create table public.bare_{name} (like public.{name} including defaults including indexes);"
                f"grant select, insert, update on public.bare_{name} to service_role;"
                for name in WRITTEN
            )
        )
        with project.connect() as db:
            for table, constraint in db.execute(_REFERENCES, [list(WRITTEN)]).fetchall():
                copied = re.sub(
                    r"REFERENCES (?:public\.)?(\w+)",
                    lambda to: f"REFERENCES public.{'bare_' * (to[1] in WRITTEN)}{to[1]}",
                    constraint,
                )
                db.execute(f"alter table public.bare_{table} add {copied}")
            db.execute("notify pgrst, 'reload schema'")
            self.keys = {
                name: [
                    column
                    for (column,) in db.execute(
                        "select a.attname from pg_index i join pg_attribute a"
                        " on a.attrelid = i.indrelid and a.attnum = any (i.indkey)"
                        " where i.indrelid = %s::regclass and i.indisprimary",
                        [f"public.{name}"],
                    )
                ]
                for name in WRITTEN
            }

    def written(self):
        """The rows that the last round wrote or changed, by table, as JSON."""
        with self._project.connect() as db:
            found = {name: self._rows(db, name, touched) for name, touched in WRITTEN.items()}
            (self._after,) = db.execute("select max(id) from public.wa_events").fetchone()
            (self._leads,) = db.execute("select max(id) from public.wa_leads").fetchone()
        return {name: rows for name, rows in found.items() if rows}

    def _rows(self, db, name, touched):
        if touched:
            where = f"t.{self.keys[name][0]} in ({touched})"
        elif name in OF_EVENTS:
            where = "t.event_id > %(after)s"
        elif name == "wa_events":
            where = "t.id > %(after)s"
        else:
            where = "t.lead_id > %(leads)s"
        statement = f"select row_to_json(t)::text from public.{name} t where {where}"
        return [json.loads(row) for (row,) in db.execute(statement, {"after": self._after, "leads": self._leads})]


class OverPostgres:
    """psycopg."""

    name = "Postgres"

    def __init__(self, project):
        self.store = open_store(project.url)
        self._db = psycopg.connect(project.url)
        self._keys = {}

    def write(self, name, keys, rows):
        columns = list(rows[0])
        updated = [column for column in columns if column not in keys] or keys
        statement = sql.SQL("insert into public.{} ({}) values ({}) on conflict ({}) do update set {}").format(
            sql.Identifier(f"bare_{name}"),
            sql.SQL(", ").join(map(sql.Identifier, columns)),
            sql.SQL(", ").join([sql.Placeholder()] * len(columns)),
            sql.SQL(", ").join(map(sql.Identifier, keys)),
            sql.SQL(", ").join(sql.SQL("{0} = excluded.{0}").format(sql.Identifier(column)) for column in updated),
        )
        with self._db.transaction(), self._db.cursor() as cursor:
            cursor.executemany(statement, [[_text(value) for value in row.values()] for row in rows])


def _text(value):
    return json.dumps(value) if isinstance(value, (dict, list)) else value


class OverSupabase:
    """supabase-py, with its own client: over http that is HTTP/1.1."""

    name = "Supabase"

    def __init__(self, project):
        os.environ.update(project.environment)
        self.store = open_store("supabase")
        self._client = supabase.create_client(project.api, project.secret_key)

    def write(self, name, keys, rows):
        table = self._client.table(f"bare_{name}")
        table.upsert(rows, on_conflict=",".join(keys), returning="minimal", default_to_null=False).execute()


def measure(over, project, bodies):
    """The seconds of each round, of the pipeline and of the bare client."""
    pipeline, bare, times = Pipeline(store=over.store), Bare(project), []
    time.sleep(1)  # until PostgREST knows the copies
    for _ in range(ROUNDS):
        now = datetime.now(UTC)
        for some in _chunks(bodies):
            over.store.append([Delivery(body=body, received_at=now) for body in some])
        start = time.perf_counter()
        done = pipeline.drain().events
        between = time.perf_counter()
        assert done == EVENTS, f"{done} of {EVENTS}"
        written = bare.written()
        begin = time.perf_counter()
        for name, rows in written.items():
            for at in range(0, len(rows), AT_ONCE):
                over.write(name, bare.keys[name], rows[at : at + AT_ONCE])
        times.append((between - start, time.perf_counter() - begin, sum(map(len, written.values()))))
    return times


def _chunks(bodies):
    some = list(itertools.islice(bodies, EVENTS))
    return [some[at : at + AT_ONCE] for at in range(0, EVENTS, AT_ONCE)]


def main() -> int:
    try:
        stack = Stack()
    except MissingPartError as exc:
        print(f"not measured: it needs {exc}")
        return 0
    passed = True
    try:
        for kind in (OverPostgres, OverSupabase):
            project = stack.project()
            times = measure(kind(project), project, traffic(ROUNDS * EVENTS))
            ours, bare = (statistics.median(EVENTS / each[which] for each in times) for which in (0, 1))
            ratio = statistics.median(bare / ours for ours, bare, _ in times)
            rows = statistics.median(each[2] for each in times) / EVENTS
            print(
                f"  {kind.name:<10} pipeline {ours:6.0f} events/s   bare {bare:6.0f} events/s ({rows:.1f} rows each)"
            )
            word = "PASS" if ratio >= LIMITS[kind.name] else "FAIL"
            told = f"{ratio:.2f} of the bare rate (median of {ROUNDS} rounds); {LIMITS[kind.name]:g} promised"
            print(f"{word}: over {kind.name} the pipeline reaches {told}", flush=True)
            passed = passed and word == "PASS"
    finally:
        stack.close()
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
