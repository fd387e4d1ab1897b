"""Copies of a store in another one: the log with everything that belongs to it, and what it adds up to.

Ids stay, so what was written down of an event or a lead leads to the same one. The other store is empty, or has the
beginning of the same copy, which is gone on with. Afterwards both are read again and compared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import NamedTuple

from .errors import StoreRejectedError
from .pipeline import start_run
from .stores.base import Run, Store
from .stores.copied import KEYS, Digest, key_of, plain

COMMAND = "copy"
_ROWS_AT_ONCE = 250


class Copied(NamedTuple):
    """A table, how many rows each of the two has, and whether they are the same."""

    table: str
    rows: int
    rows_there: int
    same: bool


def copy(
    source: Store,
    target: Store,
    *,
    named: str,
    started_by: str,
    clock: Callable[[], datetime],
    progress: Callable[[str, int], None] = lambda _table, _rows: None,
) -> Iterator[Copied]:
    """Copy, then compare; yield what each table came to. `named` tells the source from others, in the ledger.

    Nobody else should write to either meanwhile: stop receivers and workers first.

    Raises:
        StoreRejectedError: the target has something of its own.
    """
    run = _begun(target, named)
    if run is None:
        if _has_content(target):
            raise StoreRejectedError(
                "the store to copy to is not empty",
                hint="Copy into a new one; or name the source as it was, to go on with a copy that was interrupted.",
            )
        run = start_run(COMMAND, scope={"from": named}, started_by=started_by, now=clock())
        target.save_run(run, counts=None)
    for table in KEYS:
        _copy_table(source, target, table, progress)
    found = list(_compare(source, target, run))
    if all(each.same for each in found):
        counts = {each.table: each.rows for each in found}
        target.save_run(run, finished_at=clock(), counts=counts)
    yield from found


def _has_content(target: Store) -> bool:
    return any(target.read_rows(table, after=None, limit=1) for table in KEYS)


def _begun(target: Store, named: str) -> Run | None:
    """The run of a copy from there that was not finished."""
    for row in _rows(target, "wa_runs"):
        if row["command"] == COMMAND and row["finished_at"] is None:
            run = target.get("run", str(row["id"]))
            if run and run["scope"] == {"from": named}:
                return Run(
                    id=str(row["id"]),
                    command=COMMAND,
                    scope=run["scope"],
                    started_by=str(row["started_by"]),
                    started_at=datetime.fromisoformat(str(row["started_at"])),
                    version=str(row["version"]),
                )
    return None


def _rows(store: Store, table: str) -> Iterator[dict[str, object]]:
    for page in _pages(store, table):
        yield from page


def _pages(store: Store, table: str, after: list[object] | None = None) -> Iterator[list[dict[str, object]]]:
    while page := store.read_rows(table, after=after, limit=_ROWS_AT_ONCE):
        after = key_of(table, page[-1])
        yield [plain(table, row) for row in page]


def _copy_table(source: Store, target: Store, table: str, progress: Callable[[str, int], None]) -> None:
    """Write the rows that are not there; those that are came in the same order."""
    after: list[object] | None = None
    if table != "wa_runs":  # in which there is the run of the copy itself
        for page in _pages(target, table):
            after = key_of(table, page[-1])
    copied = 0
    for page in _pages(source, table, after):
        target.write_rows(table, page)
        copied += len(page)
        progress(table, copied)


def _compare(source: Store, target: Store, run: Run) -> Iterator[Copied]:
    for table in KEYS:
        here, there = Digest(table), Digest(table)
        for page in _pages(source, table):
            here.add(page)
        for page in _pages(target, table):
            there.add([row for row in page if table != "wa_runs" or row["id"] != run.id])
        yield Copied(table, here.rows, there.rows, here.hex == there.hex)
