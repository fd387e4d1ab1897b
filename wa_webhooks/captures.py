"""Captured deliveries: files, folders, globs, standard input, JSON lines. Bodies stay as they are, byte for byte.

In a folder, `*.json` and `*.raw*` files are one delivery each and `*.jsonl`/`*.ndjson` one a line; expected results
are left out, and so are JSON lines that hold something else. A file that is named is always taken.
"""

from __future__ import annotations

import glob
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, NamedTuple

from .decoding import undecoded
from .errors import ConfigError, NothingMatchesError

EXPECTED_SUFFIX = ".expected.json"
"""Files that say what a capture should give: see `check`."""

_LINES = (".jsonl", ".ndjson")
_WHOLE = (".json", ".raw", ".raw.txt")
STDIN = Path("-")


class Capture(NamedTuple):
    """One captured delivery: where it is from, and its body."""

    name: str
    body: bytes


@dataclass(slots=True)
class Captures:
    """The captures that paths lead to; `skipped` names the files passed over, and why."""

    files: list[Path] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    stdin: BinaryIO | None = None
    """Read where `files` holds `STDIN`; None if it does not."""

    def __iter__(self) -> Iterator[Capture]:
        """Read and give one capture after the other."""
        for file in self.files:
            if self.stdin and file == STDIN:
                yield from _of_stdin(self.stdin.read())
                continue
            body = _read(file)
            if is_lines(file):
                yield from _lines(str(file), body)
            else:
                yield Capture(str(file), body)


def gather(paths: Sequence[str], stdin: BinaryIO) -> Captures:
    """Return the captures of files, folders, globs and `-`, in the order given; folders in order of name.

    Raises:
        ConfigError: a path does not exist.
        NothingMatchesError: there is no payload in them.
    """
    found = Captures()
    for path in paths:
        if path == "-":
            found.stdin = stdin
            found.files.append(STDIN)
        elif Path(path).is_dir():
            _gather_folder(Path(path), found)
        elif Path(path).exists():
            found.files.append(_named(Path(path)))
        elif matches := sorted(glob.glob(path, recursive=True)):  # noqa: PTH207 - takes absolute patterns too
            found.files += [Path(match) for match in matches if _is_payload(Path(match), found)]
        else:
            raise ConfigError(f"there is no file {path}")
    if not found.files:
        raise NothingMatchesError(f"no payloads in {', '.join(paths)}", hint="Payloads are *.json files.")
    return found


def is_lines(file: Path) -> bool:
    """Whether a file holds one delivery a line."""
    return file.name.endswith(_LINES)


def _gather_folder(folder: Path, found: Captures) -> None:
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    found.files += [file for file in files if _is_payload(file, found)]


def _is_payload(file: Path, found: Captures) -> bool:
    if file.name.endswith(EXPECTED_SUFFIX) or not file.name.endswith((*_LINES, *_WHOLE)):
        return False
    if is_lines(file):
        first, _, _ = _read(file).partition(b"\n")
        if not _looks_like_delivery(first):
            found.skipped.append(f"{file}: its lines are no payloads")
            return False
    return True


def _looks_like_delivery(line: bytes) -> bool:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return False
    return isinstance(value, dict) and bool({"entry", "object", "payload_original"} & value.keys())


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as exc:
        raise ConfigError(f"cannot read {file}: {exc.strerror}") from exc


def _named(file: Path) -> Path:
    """A file that is named is taken if it may be a payload: the log never forgets what it was given by mistake."""
    if file.name.endswith(EXPECTED_SUFFIX):
        raise ConfigError(f"{file} is an expected result, not a payload")
    if not file.name.endswith((*_LINES, *_WHOLE)) and _read(file).lstrip()[:1] not in (b"{", b"["):
        raise ConfigError(f"{file} is no JSON", hint="To send it as it is, name it *.raw.")
    return file


def _of_stdin(data: bytes) -> Iterator[Capture]:
    if not data.strip():
        raise NothingMatchesError("standard input is empty")
    if data.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] not in (b"{", b"["):
        raise ConfigError("standard input is no JSON", hint="To send it as it is, save it as *.raw.")
    lines = [line for line in data.splitlines() if line.strip()]
    if len(lines) > 1 and all(line.lstrip().startswith(b"{") and line.rstrip().endswith(b"}") for line in lines):
        yield from _lines("-", data)
    else:
        yield Capture("-", (_from_log(lines[0]) if len(lines) == 1 else None) or data)


def _lines(name: str, data: bytes) -> Iterator[Capture]:
    for number, line in enumerate(data.split(b"\n"), start=1):
        if line.strip():
            yield Capture(f"{name}:{number}", _from_log(line) or line.rstrip(b"\r"))


def _from_log(line: bytes) -> bytes | None:
    """The payload in a line of `tail-log --json`, or None if the line is none."""
    if b'"payload_original"' not in line:
        return None
    try:
        value = json.loads(line)
        if value.get("masked"):
            raise ConfigError("the log's lines are masked", hint="Make them without --mask.")
        payload = value["payload_original"]
        return undecoded(str(value.get("event_key")), payload) or json.dumps(payload, separators=(",", ":")).encode()
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
