"""A worker goes on until it is told to stop, whatever the store does meanwhile."""

import threading

import pytest
from test_pipeline import body_of, log, record, text

from wa_webhooks.errors import StoreUnavailableError
from wa_webhooks.pipeline import Pipeline
from wa_webhooks.stores.base import PROCESSED
from wa_webhooks.worker import work


class Failing:
    """A pipeline whose first batches fail."""

    def __init__(self, pipeline, *errors):
        self.pipeline, self.errors, self.store = pipeline, list(errors), pipeline.store

    def process(self):
        if self.errors:
            raise self.errors.pop(0)
        return self.pipeline.process()


@pytest.fixture
def pipeline(store):
    return Pipeline(store=store)


def worked(pipeline, **more):
    """Run a worker until it has nothing to do."""
    stop = threading.Event()

    return work(pipeline, stop, wait=lambda _: stop.set(), poll=0.001, **more)


def test_it_processes_what_is_recorded(pipeline):
    record(pipeline, body_of(text("wamid.1"), text("wamid.2")))
    seen = []
    assert worked(pipeline, progress=lambda tally: seen.append(tally.events)).processed == 2
    assert seen == [2]


@pytest.mark.parametrize("error", [StoreUnavailableError("busy"), ValueError("a bug")])
def test_a_batch_that_fails_is_not_its_end(pipeline, error, caplog):
    record(pipeline, body_of(text("wamid.1")))
    assert worked(Failing(pipeline, error, error)).processed == 1
    assert log(pipeline)[0]["state"] == PROCESSED
    assert [record.getMessage().split(":")[0] for record in caplog.records][:2] == [
        "a batch failed, trying again in 0.0 s",
        "a batch failed, trying again in 0.0 s",
    ]


def test_it_stops_when_told(pipeline):
    stop = threading.Event()
    stop.set()
    assert work(pipeline, stop).events == 0


def test_it_wakes_when_something_is_recorded(backend):
    """A poll of an hour would not do."""
    if not backend.shared:
        return  # the memory is one connection's
    store = backend.open()
    stop, wake, done = threading.Event(), threading.Event(), threading.Event()
    mine = Pipeline(store=store)
    thread = threading.Thread(
        target=work, args=(mine, stop), kwargs={"wait": wake.wait, "poll": 3600, "progress": lambda _: done.set()}
    )
    thread.start()
    front = backend.open()
    record(Pipeline(store=front), body_of(text("wamid.1")))
    wake.set()
    assert done.wait(30)
    stop.set()
    wake.set()
    thread.join()
    front.close()
    store.close()
