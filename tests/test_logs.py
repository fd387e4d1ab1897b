"""Technical logs: what a line says, and that whoever reads them can hold nobody up."""

import contextlib
import json
import logging
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest
from serving import Client, delivery, recorded, serve_command, serve_environment, until

from wa_hooks_cli.logs import Writer, configure
from wa_webhooks.errors import ConfigError

BODIES = [json.dumps({"object": "whatsapp_business_account", "n": n}).encode() for n in range(300)]


@pytest.fixture
def pipe():
    """(a file to read from, a descriptor to write to)."""
    reading, writing = os.pipe()
    with open(reading, "rb", closefd=True) as reader:  # noqa: PTH123 - a descriptor
        yield reader, writing
    with contextlib.suppress(OSError):
        os.close(writing)


def fill(descriptor):
    """Leave no room in a pipe."""
    os.set_blocking(descriptor, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(descriptor, b"x" * 512)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(descriptor, b"x")
    os.set_blocking(descriptor, True)


def emptied(reader):
    """What is in a pipe at the moment."""
    os.set_blocking(reader.fileno(), False)
    found = reader.read() or b""
    os.set_blocking(reader.fileno(), True)
    return found


def lines_of(data):
    return [json.loads(line) for line in data.decode().lstrip("x").splitlines()]


def logger_to(writer):
    logger = logging.Logger("test")  # noqa: LOG001 - one that nobody else has
    logger.addHandler(writer)
    return logger


# -- what a line says


@pytest.mark.parametrize("terminal", [False, True])
def test_a_line_says_what_when_and_with_what_figures(pipe, terminal):
    reader, writing = pipe
    writer = Writer(writing, terminal=terminal)
    logger = logger_to(writer)
    logger.info("took %s of %d", "one", 2, extra={"delivery": 7, "path": {"a"}})
    try:
        {}["x"]
    except KeyError:
        logger.exception("failed")
    writer.close()
    data = emptied(reader).decode()
    if terminal:
        first, second, *trace = data.splitlines()
        assert first[8:] == " info    took one of 2 delivery=7 path={'a'}"
        assert second[8:] == " error   failed"
        assert (trace[0], trace[-1]) == ("Traceback (most recent call last):", "KeyError: 'x'")
        return
    first, second = lines_of(data.encode())
    assert first.pop("at").endswith("Z")
    assert first == {"level": "info", "event": "took one of 2", "logger": "test", "delivery": 7, "path": "{'a'}"}
    assert second["exception"].endswith("KeyError: 'x'")


def test_a_wrong_log_call_is_told_and_the_next_line_comes(pipe):
    class Unwritable:
        def __str__(self):
            raise ValueError

    reader, writing = pipe
    writer = Writer(writing, terminal=False)
    logger = logger_to(writer)
    logger.info("%d", "no number")
    logger.info("odd", extra={"odd": Unwritable()})
    logger.info("lone \ud83d")
    writer.close()
    first, second, third = lines_of(emptied(reader))
    assert "%d" in first["event"]
    assert "cannot be written" in second["event"]
    assert third["event"] == "lone \ud83d"


def test_an_unknown_level_is_refused():
    with pytest.raises(ConfigError, match="no log level"):
        configure("loud")


# -- nobody reads


def test_what_has_no_room_is_dropped_and_counted(pipe):
    reader, writing = pipe
    fill(writing)
    writer = Writer(writing, terminal=False, most=100)
    logger = logger_to(writer)
    logger.info("first")  # the thread has it, and waits
    until(lambda: writer._queue.qsize() == 0)
    begun = time.monotonic()
    for number in range(1000):
        logger.info("line %d", number)
    assert time.monotonic() - begun < 1
    data = emptied(reader)
    until(lambda: writer._queue.qsize() == 0)
    logger.info("after")
    writer.close()
    events = lines_of(data + emptied(reader))
    assert [line["lines"] for line in events if line["event"] == "log lines were dropped"] == [900]
    told = [line["event"] for line in events if "lines" not in line]
    assert told == ["first", *(f"line {number}" for number in range(100)), "after"]


def test_the_end_is_not_held_up_for_more_than_two_seconds(pipe):
    reader, writing = pipe
    fill(writing)
    writer = Writer(writing, terminal=False)
    logger_to(writer).info("nobody reads this")
    begun = time.monotonic()
    writer.close()
    assert 1.5 < time.monotonic() - begun < 4
    emptied(reader)
    writer._thread.join()


def test_a_descriptor_that_does_not_wait_loses_nothing(pipe):
    reader, writing = pipe
    os.set_blocking(writing, False)
    writer = Writer(writing, terminal=False)
    logger = logger_to(writer)
    found = []

    def read():
        time.sleep(0.2)  # until the pipe is full
        found.extend(reader.readlines())

    thread = threading.Thread(target=read)
    thread.start()
    for number in range(2000):
        logger.info("line %d", number, extra={"padding": "x" * 100})
    writer.close()
    os.close(writing)
    thread.join()
    assert [json.loads(line)["event"] for line in found] == [f"line {number}" for number in range(2000)]


def test_a_disk_that_is_full_for_a_while_costs_the_lines_of_that_while(tmp_path):
    """Here the largest size of a file stands in for the size of a disk."""
    script = """
import logging, os, resource, sys
from wa_hooks_cli.logs import Writer
file = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
writer = Writer(file, terminal=False)
logger = logging.Logger("test")
logger.addHandler(writer)
resource.setrlimit(resource.RLIMIT_FSIZE, (150, resource.RLIM_INFINITY))
for number in range(5):
    logger.info("line %d", number)
while writer._dropped != 4: pass
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
logger.info("there is room again")
writer.close()
"""
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[1] == resource.RLIM_INFINITY
    subprocess.run([sys.executable, "-c", script, tmp_path / "log"], check=True, timeout=20)
    first, torn, *rest = (tmp_path / "log").read_text().splitlines()
    assert json.loads(first)["event"] == "line 0"
    assert torn.startswith('{"at"')
    assert [json.loads(line)["event"] for line in rest] == ["there is room again", "log lines were dropped"]


# -- forks


def test_a_forked_process_writes_its_own_lines_once():
    script = """
import logging, os, sys
from wa_hooks_cli import logs
logs.configure("info")
logger = logging.getLogger("test")
logger.info("parent, before")
if not os.fork():
    logger.info("child")
    logs.configure("info")
    logger.info("child, configured again")
    logging.shutdown()
    os._exit(0)
os.wait()
logger.info("parent, after")
"""
    for _ in range(5):
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True, timeout=20)
        told = [line["event"] for line in lines_of(done.stderr)]
        assert sorted(told) == ["child", "child, configured again", "parent, after", "parent, before"]


# -- a receiver whose stderr is no use


def free_port():
    with contextlib.closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def receiver(folder, stderr, *options, before=()):
    """A `serve` whose port is known without reading its stderr. It ends well, within ten seconds after SIGTERM."""
    port = free_port()
    command = [*before, *serve_command(folder / "log.db", "--port", str(port), *options)]
    process = subprocess.Popen(command, env=serve_environment(), cwd=folder, stderr=stderr, stdout=subprocess.DEVNULL)
    try:
        until(lambda: answers(port), "it does not listen")
        yield port
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.wait()


def answers(port):
    with contextlib.suppress(OSError), Client(port, timeout=1) as client:
        return client.ask(b"GET /healthz HTTP/1.1\r\nHost: test\r\n\r\n", "GET")
    return None


def assert_it_works(port, folder):
    """Deliveries are answered and worked on, and strangers refused, each of which would make lines of the log."""
    for number, body in enumerate(BODIES):
        with Client(port, timeout=5) as client:
            assert client.ask(delivery(body)).status == 200
        if number % 3 == 0:
            with Client(port, timeout=5) as client:
                assert client.ask(b"GET /nothing HTTP/1.1\r\nHost: test\r\n\r\n", "GET").status == 404
    assert recorded(folder / "log.db") == BODIES
    command = [sys.executable, "-m", "wa_hooks_cli", "stats", "--json", "--store", f"sqlite:{folder}/log.db"]
    until(lambda: json.loads(subprocess.run(command, capture_output=True, check=True).stdout)["backlog"] == 0)


@pytest.mark.processes
@pytest.mark.parametrize("processes", [1, 2])
def test_a_stderr_that_nobody_reads_holds_up_nobody(tmp_path, pipe, processes):
    reader, writing = pipe
    fill(writing)
    with receiver(tmp_path, writing, "--processes", str(processes)) as port:
        assert_it_works(port, tmp_path)
        found = [emptied(reader)]  # somebody reads after all: nothing was lost
        until(lambda: found.append(emptied(reader)) or b'"recorded"' in found[-1])
    found.append(emptied(reader))
    lines = lines_of(b"".join(found))
    assert sum(len(line["deliveries"]) for line in lines if line["event"] == "recorded") == len(BODIES)
    assert [lines[0]["event"], lines[-1]["event"]] == ["listening", "stopped"]


@pytest.mark.processes
def test_a_stderr_that_is_full_to_the_end_is_given_up(tmp_path, pipe):
    _, writing = pipe
    fill(writing)
    with receiver(tmp_path, writing) as port:
        assert_it_works(port, tmp_path)


@pytest.mark.processes
def test_a_stderr_whose_reader_went_away(tmp_path, pipe):
    reader, writing = pipe
    reader.close()
    with receiver(tmp_path, writing) as port:
        assert_it_works(port, tmp_path)


@pytest.mark.processes
def test_a_closed_stderr(tmp_path):
    with receiver(tmp_path, None, before=("sh", "-c", 'exec "$@" 2>&-', "sh")) as port:
        assert_it_works(port, tmp_path)
