"""Rebuilding what is in Postgres: what differs is told, and put right."""

from contextlib import closing

import pytest
from backends import crm
from building import CASES, START, Clock
from databases import Postgres

from wa_webhooks.errors import StoreUnavailableError
from wa_webhooks.pipeline import Pipeline, rebuild, start_run
from wa_webhooks.stores.base import Delivery

BODIES = [case.read_bytes() for case in CASES]
SPOILING = {
    "a value": "update wa_messages set text = 'altered' where text is not null",
    "a time": "update wa_leads set last_event_at = '2020-01-01T00:00:00Z'",
    "rows that are gone": "delete from wa_account_events",
    "a row too many": "insert into wa_lead_identities values ('W', 'bsuid', 'X.1', null, 1)",
    "a lead too many": "insert into wa_leads (scope) values ('W')",
    "whom events are about": "update wa_events set lead_id = 1 where lead_id is not null",
}


@pytest.fixture
def backend():
    return Postgres(None)


@pytest.fixture
def pipeline(backend):
    with closing(backend.open()) as store:
        store.append([Delivery(body=body, received_at=START) for body in BODIES])
        pipeline = Pipeline(store=store, clock=Clock())
        pipeline.drain()
        yield pipeline


def run_of(ident="rebuild"):
    return start_run(ident, scope={}, started_by="test", now=START)


def test_the_fixtures_differ_in_nothing(pipeline):
    told = []
    found = rebuild(pipeline, tell=told.append)
    assert (found.differences, found.failing, found.applied, told) == (0, 0, False, [])
    assert found.events == pipeline.store.counts()["events"]["processed"] > 100


@pytest.mark.parametrize("spoiling", SPOILING)
def test_what_was_altered_is_told_and_put_right(backend, pipeline, spoiling):
    before = crm(backend, pipeline.store)
    backend.run(pipeline.store, SPOILING[spoiling])
    found = rebuild(pipeline)
    assert found.differences > 0
    assert not found.applied
    run = run_of()
    assert rebuild(pipeline, run).applied
    assert crm(backend, pipeline.store) == before
    assert rebuild(pipeline).differences == 0
    assert pipeline.store.get("run", run.id)["counts"]["differences"] == found.differences


def test_what_was_settled_meanwhile_is_looked_at_too(backend, pipeline):
    backend.run(pipeline.store, SPOILING["a value"])
    call, settled = pipeline.store._transport.call, []

    def meanwhile(function, args):
        if function == "wa_replace" and not settled:
            settled.append(True)
            with closing(backend.open()) as other:
                other.append([Delivery(body=b"{}", received_at=START)])
                Pipeline(store=other, clock=Clock()).drain()
        return call(function, args)

    pipeline.store._transport.call = meanwhile
    found = rebuild(pipeline, run_of())
    assert found.applied
    assert rebuild(pipeline).differences == 0


def test_where_there_is_no_end_of_settling_nothing_is_changed(backend, pipeline):
    backend.run(pipeline.store, SPOILING["a value"])
    call, calls = pipeline.store._transport.call, []

    def meanwhile(function, args):
        if function == "wa_replace":
            calls.append(f"another {len(calls)}".encode())
            with closing(backend.open()) as other:
                other.append([Delivery(body=calls[-1], received_at=START)])
                Pipeline(store=other, clock=Clock()).drain()
        return call(function, args)

    pipeline.store._transport.call = meanwhile
    with pytest.raises(StoreUnavailableError, match="settled meanwhile"):
        rebuild(pipeline, run_of())
    pipeline.store._transport.call = call
    assert rebuild(pipeline).differences > 0
