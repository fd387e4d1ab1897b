"""Requests as no good client sends them, over real sockets: the right status, and nothing behind them is read."""

import socket

import pytest
from corpus import CASES, behind, marker
from serving import Client, receiving, recorded, serving
from streams import read_by_h11, read_by_us

from wa_webhooks.stores import open_store


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """One receiver for all cases, and the path of its store."""
    path = tmp_path_factory.mktemp("smuggling") / "log.db"
    store = open_store(f"sqlite:{path}", busy_timeout=1.0)
    with receiving(store) as receiver:
        yield receiver, path
    store.close()


def told(port, name, case):
    """Send a case with a delivery behind it; return the statuses of all answers."""
    statuses = []
    with Client(port) as client:
        client.send(case.raw + behind(name))
        answer = None
        for _ in range(len(case.statuses)):
            answer = client.answer(case.method if not statuses else "POST")
            assert answer, f"the connection is closed after {statuses}"
            statuses.append(answer.status)
        if answer is None or not answer.closes:
            client.socket.shutdown(socket.SHUT_WR)
        assert client.rest() == b""
        if statuses and statuses[-1] not in (200, 401):
            assert answer.closes
    return tuple(statuses)


@pytest.mark.parametrize("name", CASES)
def test_each_is_answered_and_takes_what_is_behind_it_along(shared, name):
    receiver, path = shared
    case = CASES[name]
    assert told(receiver.port, name, case) == case.statuses
    assert (marker(name) in recorded(path)) == (len(case.statuses) > 1 and case.statuses[-1] == 200)
    assert marker("inside") not in recorded(path)


@pytest.mark.processes
def test_each_of_two_processes(tmp_path):
    with serving(tmp_path, "--processes", "2", "--log-level", "error") as served:
        for name, case in CASES.items():
            assert told(served.port, name, case) == case.statuses
        expected = {
            marker(name) for name, case in CASES.items() if len(case.statuses) > 1 and case.statuses[-1] == 200
        }
        assert {body for body in recorded(served.store) if body.startswith(b"behind")} == expected
        assert served.end() == 0
    assert "Traceback" not in served.log()


@pytest.mark.parametrize("name", CASES)
def test_h11_reads_the_same_requests_or_more(name):
    stream = CASES[name].raw + behind(name)

    (ours,) = read_by_us(stream)
    theirs, _ = read_by_h11(stream)
    assert ours == theirs[: len(ours)]
