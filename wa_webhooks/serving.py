"""Receivers and workers as processes: listen, receive, work on what was recorded, and drain when told to end."""

from __future__ import annotations

import asyncio
import errno
import gc
import logging
import math
import resource
import signal
import socket
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from .errors import ConfigError, StoreError, StoreUnavailableError, WaHooksError
from .pipeline import Pipeline
from .receiver.direct import DirectRecorder
from .receiver.front import Front
from .receiver.recorder import Recorder
from .receiver.server import Receiver, Settings
from .spool import Sender, Spool
from .stores.base import Store
from .supervisor import Bell, Role, Supervisor
from .worker import work

logger = logging.getLogger(__name__)

_BACKLOG = 1024
_ACCEPTED_AT_ONCE = 16
"""Connections, before the limits are looked at again."""
_MAINTENANCE = 0.05
_GARBAGE = 20_000
"""New objects between two collections."""
_OTHER_FILES = 64
"""Files that a receiver's process has open beside its connections, at most."""
_STORE_PATIENCE = 2.0
"""Seconds between a worker's tries to reach the store."""
_PORT_PATIENCE = 1.0
"""Seconds to wait for the port of a receiver that was killed: its processes notice a moment later."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """What to serve. Each process calls these itself; `configure` again at SIGHUP.

    Receivers record into the store of `open_store`: into the spool first, where there is an `open_spool`, or else
    with `in_flight` appends at a time, if more than one.
    """

    configure: Callable[[], Settings]
    open_store: Callable[[], Store]
    open_pipeline: Callable[[], Pipeline]
    open_spool: Callable[..., Spool] | None = None
    in_flight: int = 1
    processes: int = 1
    workers: int = 1

    def open_front(self) -> Front:
        """Open what receivers record into."""
        return self.open_spool() if self.open_spool else self.open_store()


def serve(serving: Serving, *, host: str, port: int, listening: Callable[[str, int], None]) -> int:
    """Receive until SIGTERM or SIGINT, then drain: answer what is in flight, and let workers finish their batch.

    Returns the signal's number. `listening` is called once, with address and port.

    Raises:
        ConfigError: the address cannot be listened on, or a setting is wrong.
        StoreError: the store cannot be opened.
    """
    _raise_open_files()
    serving.configure()  # here, so that what is wrong ends the command
    serving.open_front().close()
    _try_store(serving)
    sockets = listen(host, port, serving.processes)
    bell = Bell()
    filled = Bell() if serving.open_spool else bell  # what has been recorded is for the sender first
    told = partial(listening, *sockets[0][0].getsockname()[:2])
    receivers = [
        Role("receiver", partial(_receive, serving, mine, filled, maintains=mine is sockets[0])) for mine in sockets
    ]
    senders = [Role("sender", partial(_send, serving, filled, bell))] if serving.open_spool else []
    workers = [Role("worker", partial(_work, serving, bell))] * serving.workers
    if serving.processes == 1 and not (senders or workers):
        told()
        return _receive(serving, sockets[0], bell, None, maintains=True)
    return Supervisor([*receivers, *senders, *workers]).run(told)


def _try_store(serving: Serving) -> None:
    """Open what workers and the sender will open, so that what is wrong ends the command; unless it may pass."""
    try:
        if serving.workers:
            serving.open_pipeline().store.close()
        elif serving.open_spool:
            serving.open_store().close()
    except StoreUnavailableError as exc:
        if not serving.open_spool:
            raise
        logger.warning("the store cannot be used, deliveries are spooled until it can: %s", exc)


def _raise_open_files() -> None:
    """Allow as many open files as the system lets us; connections are files."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _room(settings: Settings) -> Settings:
    """Have no more connections than open files, so that the last one is closed in good order."""
    room = max(1, resource.getrlimit(resource.RLIMIT_NOFILE)[0] - _OTHER_FILES)
    return replace(settings, most_connections=min(settings.most_connections, room))


def listen(host: str, port: int, processes: int) -> list[list[socket.socket]]:
    """Return each process's sockets, one for every address of `host`; the system deals connections out among them."""
    try:
        found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        addresses = [(family, address) for family, _, _, _, address in dict.fromkeys(found)]
        sockets: list[list[socket.socket]] = []
        for _ in range(processes):
            mine: list[socket.socket] = []
            for family, address in addresses:
                wanted = sockets[0][len(mine)].getsockname() if sockets else address  # for port 0
                mine.append(_bound(family, wanted, shared=processes > 1))
            sockets.append(mine)
    except OSError as exc:
        raise ConfigError(
            f"cannot listen on {host} port {port}: {exc.strerror}", hint="Choose another with --host and --port."
        ) from exc
    return sockets


def _bound(family: int, address: Any, *, shared: bool) -> socket.socket:
    give_up = time.monotonic() + _PORT_PATIENCE
    while True:
        try:
            return socket.create_server(address, family=family, backlog=_BACKLOG, reuse_port=shared)
        except OSError as exc:
            if exc.errno != errno.EADDRINUSE or time.monotonic() > give_up:
                raise
            time.sleep(_PORT_PATIENCE / 20)


# -- a receiver's process


def _receive(
    serving: Serving, sockets: Sequence[socket.socket], bell: Bell, lifeline: int | None, *, maintains: bool
) -> int:
    with closing(serving.open_front()) as front:
        return asyncio.run(_serve(serving, front, sockets, bell, lifeline, maintains=maintains))


async def _serve(
    serving: Serving,
    front: Front,
    sockets: Sequence[socket.socket],
    bell: Bell,
    lifeline: int | None,
    *,
    maintains: bool,
) -> int:
    """Return the number of the signal that ended it; 0 where that was as planned."""
    loop = asyncio.get_running_loop()
    stopped_by: asyncio.Future[int] = loop.create_future()
    loop.add_signal_handler(signal.SIGTERM, _settle, stopped_by, signal.SIGTERM)
    if lifeline is None:
        loop.add_signal_handler(signal.SIGINT, _settle, stopped_by, signal.SIGINT)
    else:
        loop.add_reader(lifeline, _settle, stopped_by, signal.SIGTERM)
    loop.set_exception_handler(_AcceptFailures())
    rings = serving.workers or serving.open_spool
    recorder = _recorder(serving, front, bell.ring if rings else lambda: None)
    standing = (lambda: front.standing().told()) if isinstance(front, Spool) else (lambda: "")
    receiver = Receiver(_room(serving.configure()), recorder, front, standing=standing)
    loop.add_signal_handler(signal.SIGHUP, _configure_again, receiver, serving.configure)
    # What is there by now stays: the collector need not look at it again and again, in a request's time.
    gc.collect()
    gc.freeze()
    gc.set_threshold(_GARBAGE)
    servers = []
    for sock in sockets:
        servers.append(await loop.create_server(receiver.connection, sock=sock, backlog=_ACCEPTED_AT_ONCE))
        sock.listen(_BACKLOG)  # asyncio means both by one number
    maintained = threading.Event()
    maintenance = threading.Thread(
        target=_maintain, args=(serving.open_front, maintained), name="wa-hooks-maintenance"
    )
    if maintains:
        maintenance.start()
    by = await stopped_by
    for server in servers:
        server.close()
    await receiver.drain()
    await recorder.close()
    maintained.set()
    if maintains:
        await asyncio.to_thread(maintenance.join)
    return by if lifeline is None else 0


def _recorder(serving: Serving, front: Front, recorded: Callable[[], None]) -> Recorder:
    if serving.open_spool:
        return Recorder(front.append, recorded, said="spooled")
    if serving.in_flight > 1:
        return DirectRecorder(front, recorded, open_store=serving.open_store, in_flight=serving.in_flight)
    return Recorder(front.append, recorded)


def _settle(future: asyncio.Future[int], value: int) -> None:
    if not future.done():
        future.set_result(value)


def _configure_again(receiver: Receiver, configure: Callable[[], Settings]) -> None:
    try:
        receiver.configure(_room(configure()))
    except WaHooksError as exc:
        logger.error("settings are not read again, the old ones stay: %s", exc)  # noqa: TRY400 - it says all
    else:
        logger.info("settings read again")


def _maintain(open_store: Callable[[], Front], ended: threading.Event) -> None:
    with closing(open_store()) as store:
        while not ended.wait(_MAINTENANCE):
            try:
                store.maintain()
            except StoreError as exc:
                logger.info("not maintained: %s", exc)
                ended.wait(1)


class _AcceptFailures:
    """What asyncio reports of connections that cannot be accepted: a line now and then, not thousands at once."""

    def __init__(self) -> None:
        self._said = -math.inf

    def __call__(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        exc = context.get("exception")
        if isinstance(exc, OSError) and exc.errno in (errno.EMFILE, errno.ENFILE):
            if loop.time() - self._said > 5:  # noqa: PLR2004 - seconds
                self._said = loop.time()
                logger.error("too many open connections: raise the limit of open files (ulimit -n)")
        else:
            loop.default_exception_handler(context)


# -- a worker's process


def _work(serving: Serving, bell: Bell, lifeline: int) -> int:
    stop = threading.Event()

    def end(*_: object) -> None:
        stop.set()
        bell.ring()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)

    def wait(seconds: float) -> None:
        if not bell.wait(seconds, lifeline):
            stop.set()

    pipeline = _once_there(serving.open_pipeline, stop) if serving.open_spool else serving.open_pipeline()
    if pipeline is None:
        return 0
    pipeline.sleep = stop.wait  # a pause between tries must not hold up the end
    with closing(pipeline.store):
        work(pipeline, stop, wait=wait)
    return 0


def _once_there(open_pipeline: Callable[[], Pipeline], stop: threading.Event) -> Pipeline | None:
    """Return the pipeline once its store can be reached; None if it is time to stop before that."""
    while not stop.is_set():
        try:
            return open_pipeline()
        except StoreUnavailableError as exc:
            logger.info("waiting for the store: %s", exc)
            stop.wait(_STORE_PATIENCE)
    return None


# -- the process that sends what is spooled


def _send(serving: Serving, filled: Bell, bell: Bell, lifeline: int) -> int:
    assert serving.open_spool  # noqa: S101 - else there is nothing to send
    stop = threading.Event()

    def end(*_: object) -> None:
        stop.set()
        filled.ring()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)

    def wait(seconds: float) -> bool:
        return filled.wait(seconds, lifeline) and not stop.is_set()

    with closing(serving.open_spool(bounded=False)) as spool:
        arrived = bell.ring if serving.workers else lambda: None
        Sender(spool, serving.open_store, arrived=arrived, wake=filled.ring).run(wait)
    return 0
