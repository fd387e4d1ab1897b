"""`tail-log --rejected`: the requests that were refused."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from wa_webhooks.errors import ConfigError, NothingMatchesError

from . import options, render, waiting

if TYPE_CHECKING:
    from wa_webhooks.stores.base import Store

_PAGE = 500

Row = dict[str, Any]
Read = Callable[..., list[Row]]


def check_alone(filters: Mapping[str, Any]) -> None:
    """Refuse options that choose events: they mean nothing for rejections."""
    given = [name for name, value in filters.items() if value]
    if given:
        raise ConfigError(
            f"{', '.join(given)} cannot go with --rejected: what was refused has no events",
            hint="Choose rejections with --since, --until and -n.",
        )


def tail(
    store: Store,
    since: datetime | None,
    until: datetime | None,
    *,
    lines: int | None,
    follow: float | None,
    json: bool,
) -> int:
    """Show the last `lines`, or all since a time, then what comes, looking every `follow` seconds if that is set."""
    read = partial(store.rejections, since=since, until=until)
    cursor = _newest(store)
    shown = 0
    found = _all(read) if since and lines is None else read(limit=options.LINES if lines is None else lines)
    for row in found:
        _show(row, json=json, first=not shown)
        cursor = max(cursor, row["id"])
        shown += 1
    if follow is not None:
        for row in _follow(read, cursor=cursor, poll=follow):
            _show(row, json=json, first=not shown)
            shown += 1
    if not shown and (since or until) and lines != 0:
        raise NothingMatchesError("no rejection matches")
    return 0


def _show(row: Row, *, json: bool, first: bool) -> None:
    if json:
        render.line(row)
    else:
        render.rejection(row, headed=first)


def _newest(store: Store) -> int:
    found = store.rejections(limit=1)
    return int(found[0]["id"]) if found else 0


def _all(read: Read) -> Iterator[Row]:
    after = 0
    while page := read(limit=_PAGE, after_id=after):
        yield from page
        after = page[-1]["id"]


def _follow(read: Read, *, cursor: int, poll: float) -> Iterator[Row]:
    """Yield the rejections after `cursor`, for ever; a store that is busy is asked again."""
    while True:
        page = waiting.until_free(partial(read, limit=_PAGE, after_id=cursor), poll)
        for row in page:
            yield row
            cursor = row["id"]
        if len(page) < _PAGE:
            time.sleep(poll)
