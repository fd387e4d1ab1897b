"""The queue before SQLite's write lock: who waits is seen by who works, and nobody is kept out for ever."""

import contextlib
import threading

from serving import until

from wa_webhooks.stores.sqlite import gate
from wa_webhooks.stores.sqlite.connection import Connection
from wa_webhooks.stores.sqlite.gate import Gate


def place(folder):
    return str(folder / "gate")


def test_one_holds_it_at_a_time(tmp_path):
    with contextlib.closing(Gate(place(tmp_path))) as mine, contextlib.closing(Gate(place(tmp_path))) as other:
        assert not other.busy()
        with mine.held(1) as got:
            assert got
            assert other.busy()
            with other.held(0) as too:
                assert not too
        assert not other.busy()


def test_whoever_never_lets_go_is_passed_by(tmp_path, monkeypatch):
    monkeypatch.setattr(gate, "_LONGEST_WAIT", 0.01)
    stuck, other = Gate(place(tmp_path)), Gate(place(tmp_path))
    with stuck.held(1), other.held(60) as got:
        assert not got
    stuck.close()
    other.close()


def test_without_a_file_it_is_always_open():
    nowhere = Gate(None)
    with nowhere.held(0) as got:
        assert got
        assert not nowhere.busy()


def test_a_worker_sees_that_somebody_waits_for_its_lock(tmp_path):
    path = str(tmp_path / "log.db")
    with (
        contextlib.closing(Connection(path)) as worker,
        contextlib.closing(Connection(path, busy_timeout=20)) as front,
    ):

        def write():
            with front._transaction():
                pass

        thread = threading.Thread(target=write)
        with worker._transaction():
            assert not worker._wanted()
            thread.start()
            until(worker._wanted)
        thread.join(20)
        assert not thread.is_alive()
        assert not worker._wanted()
