"""The stores that the contract runs over. A new backend is a class with these methods and a line in BACKENDS."""

import sqlite3
from contextlib import closing, contextmanager
from hashlib import sha256
from types import MappingProxyType

from databases import Postgres, Supabase

from wa_webhooks.stores import open_store

CRM_TABLES = (
    "wa_leads",
    "wa_lead_identities",
    "wa_lead_sightings",
    "wa_number_changes",
    "wa_number_holders",
    "wa_lead_events",
    "wa_messages",
    "wa_message_statuses",
    "wa_calls",
    "wa_account_events",
    "wa_actions",
)


MANY = 20


class SqliteFile:
    """A file on disk; every `open` is another connection to it."""

    shared = True
    environment = MappingProxyType({})
    """What a command needs in its environment to find the store under `url`."""

    def __init__(self, tmp_path):
        self.path = tmp_path / "store.db"
        self.url = f"sqlite:{self.path}"

    def open(self, **options):
        return open_store(self.url, **options)

    def sibling(self):
        """Another store of the same kind, empty."""
        folder = self.path.parent / "sibling"
        folder.mkdir()
        return type(self)(folder)

    def rows(self, store, sql, *parameters):
        with closing(store._db.execute(sql, parameters)) as found:
            return [dict(row) for row in found]

    def run(self, store, sql):
        store._db.execute(sql)


class SqliteMemory(SqliteFile):
    """Forgotten when closed, and seen by one connection alone."""

    shared = False

    def __init__(self, tmp_path):
        self.url = "sqlite::memory:"

    def sibling(self):
        return self


BACKENDS = {"sqlite-file": SqliteFile, "sqlite-memory": SqliteMemory, "postgres": Postgres, "supabase": Supabase}


@contextmanager
def plain_database(path):
    """A connection with no pragma of ours; committed and closed, which sqlite3's own `with` does not do."""
    with closing(sqlite3.connect(path)) as plain, plain:
        yield plain


def _named(places):
    """A lead's name: where it was seen. Of many places their digest, since every row of the lead carries it."""
    name = " + ".join(sorted(places))
    return name if len(places) < MANY else f"{len(places)} places {sha256(name.encode()).hexdigest()}"


def crm(backend, store):
    """Every row of the CRM tables, free of internal ids: leads by where they were seen, events by what they say."""
    digests = {row["id"]: row["digest"] for row in backend.rows(store, "SELECT id, digest FROM wa_events")}
    seen = {}
    for row in backend.rows(store, "SELECT lead_id, event_id, ident FROM wa_lead_sightings"):
        seen.setdefault(row["lead_id"], []).append(f"{row['ident']} in {digests[row['event_id']]}")
    leads = {ident: _named(places) for ident, places in seen.items()}
    dump = {}
    for table in CRM_TABLES:
        rows = []
        for row in backend.rows(store, f"SELECT * FROM {table}"):
            named = {name: int(value) if isinstance(value, bool) else value for name, value in row.items()}
            if table == "wa_leads":
                named["id"] = leads[named["id"]]
            else:
                named.pop("id", None)
            if named.get("lead_id") is not None:
                named["lead_id"] = leads[named["lead_id"]]
            for name in ("event_id", "lead_event_id"):
                if named.get(name) is not None:
                    named[name] = digests[named[name]]
            rows.append(named)
        dump[table] = sorted(rows, key=lambda row: repr(sorted(row.items())))
    events = backend.rows(store, "SELECT digest, lead_id FROM wa_events WHERE state = 'processed'")
    dump["wa_events"] = sorted((row["digest"], leads.get(row["lead_id"], "")) for row in events)
    return dump
