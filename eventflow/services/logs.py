"""The functions' logs: one file a function, appended in groups, cut into pieces of bounded size, read with a cursor."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections import OrderedDict, defaultdict
from dataclasses import dataclass
from pathlib import Path

from eventflow.clock import Clock

log = logging.getLogger("eventflow.logs")

#: A file that has grown to this is put aside; as many are kept.
LARGEST_FILE = 32 * 1024 * 1024
KEPT_FILES = 4
MOST_OPEN = 64
ROTATED = "log.%d"


@dataclass(frozen=True, slots=True)
class LogLine:
    """``time`` in Unix seconds when the daemon took it, ``text`` without the line's end."""

    time: float
    request_id: str
    text: str


class LogStore:
    """A line on disk is ``<milliseconds> TAB <request id> TAB <text>``. Writes of one turn of the event loop go out together; logs are not
    fsynced: they tell what happened, the journal proves it."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self._folder = folder
        self._clock = clock
        self._pending: defaultdict[str, list[bytes]] = defaultdict(list)
        self._files: OrderedDict[str, int] = OrderedDict()
        self._broken = False
        folder.mkdir(parents=True, exist_ok=True)

    def write(self, function: str, request_id: str, data: bytes, at: float | None = None) -> None:
        """Add text (one or more lines) to a function's log, of this Unix time (now)."""
        prefix = self.prefix(request_id, self._clock.now() if at is None else at).encode()
        body = data[:-1] if data.endswith(b"\n") else data
        self.append(function, prefix + body.replace(b"\n", b"\n" + prefix) + b"\n")

    def prefix(self, request_id: str, at: float) -> str:
        """What stands before each line that an invocation wrote at this Unix time."""
        return f"{int(at * 1000)}\t{request_id}\t"

    def append(self, function: str, lines: bytes) -> None:
        """Add whole lines that have their ``prefix``."""
        if not self._pending:
            asyncio.get_running_loop().call_soon(self.flush)
        self._pending[function].append(lines)

    def put(self, name: str, lines: bytes) -> None:
        """Write whole lines now, with no prefix, from one thread at a time. Raises OSError."""
        self._append(name, lines)

    def flush(self) -> None:
        pending, self._pending = self._pending, defaultdict(list)
        for function, pieces in pending.items():
            try:
                self._append(function, b"".join(pieces))
                self._broken = False
            except OSError as error:
                if not self._broken:
                    log.error("the log of %s cannot be written, lines are lost: %s", function, error)
                self._broken = True

    def _append(self, function: str, data: bytes) -> None:
        file = self._files.get(function)
        if file is None:
            file = self._files[function] = os.open(self._path(function), os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            while len(self._files) > MOST_OPEN:
                os.close(self._files.popitem(last=False)[1])
        self._files.move_to_end(function)
        left = data
        try:
            while left:
                left = left[os.write(file, left) :]
        except OSError:
            os.ftruncate(file, os.fstat(file).st_size - len(data) + len(left))  # half a line would be the beginning of the next one
            raise
        if os.fstat(file).st_size >= LARGEST_FILE:
            self._rotate(function)

    def _rotate(self, function: str) -> None:
        os.close(self._files.pop(function))
        path = self._path(function)
        for number in range(KEPT_FILES - 1, 0, -1):
            with contextlib.suppress(FileNotFoundError):
                path.with_suffix(f".{ROTATED % number}").replace(path.with_suffix(f".{ROTATED % (number + 1)}"))
        path.replace(path.with_suffix(f".{ROTATED % 1}"))

    def _path(self, function: str) -> Path:
        return self._folder / f"{function}.log"

    def read(self, function: str, since: str = "", limit: int = 1000) -> tuple[list[LogLine], str]:
        """Up to ``limit`` lines and the cursor to read on from; without a cursor the newest lines."""
        lines, following = self.read_raw(function, since, limit)
        return [parse_line(line) for line in lines], following

    def read_raw(self, name: str, since: str = "", limit: int = 1000) -> tuple[list[bytes], str]:
        """The same, of lines as they are on disk, with their ends."""
        try:
            with self._path(name).open("rb") as file:
                return read_lines(file.fileno(), since, limit)
        except FileNotFoundError:
            return [], since

    def close(self) -> None:
        self.flush()
        while self._files:
            os.close(self._files.popitem()[1])


def read_lines(file: int, since: str, limit: int) -> tuple[list[bytes], str]:
    """The cursor is ``<inode>-<offset>``, so that one from before a rotation begins at the new file's start."""
    status = os.fstat(file)
    inode, _, offset = since.partition("-")
    if inode == str(status.st_ino) and offset.isdigit() and int(offset) <= status.st_size:
        start, newest = int(offset), False
    else:
        start, newest = (0, False) if since else (max(0, status.st_size - 512 * limit), True)
    data = os.pread(file, min(status.st_size - start, 4096 * limit), start)
    if newest and start:
        cut = data.find(b"\n") + 1
        data, start = data[cut:], start + cut
    whole = data[: data.rfind(b"\n") + 1]
    lines = whole.splitlines(keepends=True)
    taken = lines[-limit:] if newest else lines[:limit]
    end = start + (len(whole) if newest else sum(map(len, taken)))
    return taken, f"{status.st_ino}-{end}"


def parse_line(line: bytes) -> LogLine:
    time, _, rest = line.rstrip(b"\n").decode(errors="replace").partition("\t")
    request_id, _, text = rest.partition("\t")
    return LogLine(int(time) / 1000 if time.isdigit() else 0.0, request_id, text)
