"""A receiver as a process: listens, works on what it records, and drains when it is told to end."""

from __future__ import annotations

import asyncio
import errno
import logging
import math
import signal
import threading
from collections.abc import Callable, Mapping
from typing import Any

from ..errors import ConfigError
from ..pipeline import Pipeline
from ..stores.base import Store
from ..worker import work
from .protocol import LONGEST_HEAD
from .recorder import Recorder
from .server import Receiver, Settings

logger = logging.getLogger(__name__)


def serve(
    settings: Settings,
    *,
    front: Store,
    open_pipeline: Callable[[], Pipeline],
    workers: int = 1,
    listening: Callable[[Mapping[str, object]], None],
) -> int:
    """Receive until SIGTERM or SIGINT, then drain: answer what is in flight, and let workers finish their batch.

    Returns the signal's number. `front` records; each worker opens a pipeline of its own. `listening` is called once,
    with `host` and `port`.

    Raises:
        ConfigError: the address cannot be listened on.
    """
    stop = threading.Event()
    wake = threading.Event()
    pipelines = [open_pipeline() for _ in range(workers)]  # here, so that what is wrong ends the command
    for pipeline in pipelines:
        pipeline.sleep = stop.wait  # a pause between tries must not hold up the end
    threads = [
        threading.Thread(target=work, args=(pipeline, stop), kwargs={"wake": wake}, name=f"wa-hooks-worker-{number}")
        for number, pipeline in enumerate(pipelines, start=1)
    ]
    try:
        return asyncio.run(_serve(settings, front, wake.set, threads, listening))
    finally:
        stop.set()
        wake.set()
        for thread in threads:
            if thread.ident:
                thread.join()
        for pipeline in pipelines:
            pipeline.store.close()


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


def _settle(future: asyncio.Future[int], value: int) -> None:
    if not future.done():
        future.set_result(value)


async def _serve(
    settings: Settings,
    front: Store,
    recorded: Callable[[], None],
    workers: list[threading.Thread],
    listening: Callable[[Mapping[str, object]], None],
) -> int:
    recorder = Recorder(front.append, recorded)
    receiver = Receiver(settings, recorder, front)
    loop = asyncio.get_running_loop()
    stopped_by: asyncio.Future[int] = loop.create_future()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _settle, stopped_by, number)
    loop.set_exception_handler(_AcceptFailures())
    try:
        server = await asyncio.start_server(receiver.connection, settings.host, settings.port, limit=LONGEST_HEAD)
    except OSError as exc:
        raise ConfigError(
            f"cannot listen on {settings.host} port {settings.port}: {exc.strerror}",
            hint="Choose another with --host and --port.",
        ) from exc
    for thread in workers:
        thread.start()
    host, port = server.sockets[0].getsockname()[:2]
    listening({"host": host, "port": port})
    by = await stopped_by
    server.close()
    await receiver.drain()
    await recorder.close()
    return by
