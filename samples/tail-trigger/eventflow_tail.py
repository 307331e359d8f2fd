"""Tail: a function runs for each line that is added to a log file, through rotations and restarts."""

from __future__ import annotations

import glob
import hashlib
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from eventflow import SettingError, Target, Trigger, iso

#: A longer line is delivered in pieces of this many bytes, well below the megabyte that an asynchronous event may have.
LONGEST_LINE = 256 * 1024
#: So many bytes at the beginning of a file tell it from any other.
HEAD = 256
STARTS = ("end", "beginning")
COMPRESSED = (".gz", ".bz2", ".xz", ".zst")


@dataclass(frozen=True)
class Place:
    """How far a log has been read: up to ``offset`` in the file with this ``inode``, whose first bytes have the digest ``head``."""

    inode: int = 0
    offset: int = 0
    head: str = ""


@dataclass(frozen=True)
class Reading:
    """A file to go on with at ``place``; ``finished`` if nothing is added to it any more."""

    path: Path
    place: Place
    finished: bool = False


@dataclass(frozen=True)
class Tail(Trigger):
    """One event for each complete line that is added to the file at ``path``, in order.

    ``pattern`` is a regular expression that a line must contain; its named groups are in the event. ``every`` is the number of seconds between two
    looks. ``start`` says what the very first run does with lines that are there already: ``end`` passes over them, ``beginning`` delivers them.
    The log may be rotated by renaming (``app.log`` to ``app.log.1``) or by copying and truncating; the old file is read to its end first.
    """

    kind: ClassVar[str] = "tail"

    path: str
    pattern: str = ""
    every: float = 1.0
    start: str = "end"

    def __post_init__(self) -> None:
        if not isinstance(self.path, str) or not self.path:
            raise SettingError(f"Tail: path={self.path!r} is not the path of a file.")
        if not 0.1 <= self.every <= 3600:
            raise SettingError(f"Tail: every={self.every!r} is outside 0.1 to 3600 seconds.")
        if self.start not in STARTS:
            raise SettingError(f"Tail: start={self.start!r} is not one of {', '.join(STARTS)}.")
        try:
            re.compile(self.pattern)
        except re.error as error:
            raise SettingError(f"Tail: pattern={self.pattern!r} is not a regular expression: {error}.") from error

    async def run(self, target: Target) -> None:
        await self._place(target)
        target.ready()
        while True:
            await self.sweep(target)
            await target.clock.sleep(self.every)

    async def sweep(self, target: Target) -> int:
        place, delivered = await self._place(target), 0
        readings = find_readings(Path(self.path), place)
        if place.offset and readings and not readings[0].place.offset:
            target.report(
                f"Tail: {self.path} was replaced, and what it held after byte {place.offset} is not to be found beside it: lines may be lost."
            )
        for reading in readings:
            for line, place in read_lines(reading):
                delivered += await self._deliver(target, line, place)
        if asdict(place) != await target.cursor.items():
            await target.cursor.update(asdict(place))  # past the lines that did not match
        return delivered

    async def _place(self, target: Target) -> Place:
        """Where the last run ended. The first run begins here and now, and writes down where that was."""
        kept = await target.cursor.items()
        if kept:
            return Place(**kept)
        place = Place() if self.start == "beginning" else end_of(Path(self.path))
        await target.cursor.update(asdict(place))
        return place

    async def _deliver(self, target: Target, line: str, place: Place) -> int:
        found = re.search(self.pattern, line)
        if found is None:
            return 0
        # The event and the new place reach the disk together or not at all: no kill loses a line or repeats it.
        await target.emit(self._event(target, line, found.groupdict()), cursor=asdict(place))
        return 1

    def _event(self, target: Target, line: str, fields: dict[str, Any]) -> dict[str, Any]:
        """An event in EventBridge's shape, so that patterns and rules work on it as on any other."""
        return {
            "version": "0",
            "id": target.clock.new_id(),
            "detail-type": "Line Added",
            "source": "eventflow.tail",
            "account": target.account,
            "time": iso(target.clock.now(), milliseconds=False),
            "region": target.region,
            "resources": [self.path],
            "detail": {"path": self.path, "line": line, "fields": fields},
        }


def find_readings(path: Path, place: Place) -> list[Reading]:
    """What there is to read, oldest first: the file that was being read, or after a rotation the rest of it by its new name and what followed."""
    current = [Reading(path, Place(inode_of(path)))] if path.exists() else []
    if current and belongs(path, place):
        return [Reading(path, replace(place, inode=inode_of(path)))]
    rotated = [file for file in path.parent.glob(f"{glob.escape(path.name)}[.-]*") if file.suffix not in COMPRESSED]
    rotated.sort(key=lambda file: file.stat().st_mtime_ns)
    for number, file in enumerate(rotated):
        if belongs(file, place):
            rest = Reading(file, replace(place, inode=inode_of(file)), finished=True)
            return [rest, *(Reading(later, Place(inode_of(later)), finished=True) for later in rotated[number + 1 :]), *current]
    return current


def belongs(path: Path, place: Place) -> bool:
    """Whether this is the file that was read up to the place. Its name does not tell, and an inode may be given again; a copy has another one."""
    same = inode_of(path) == place.inode or place.offset >= HEAD
    return same and path.stat().st_size >= place.offset and head(path, place.offset) == place.head


def inode_of(path: Path) -> int:
    return path.stat().st_ino


def head(path: Path, offset: int) -> str:
    """A digest of the first bytes, of those before ``offset`` alone: they do not change any more."""
    with path.open("rb") as file:
        return hashlib.sha256(file.read(min(offset, HEAD))).hexdigest()[:16] if offset else ""


def end_of(path: Path) -> Place:
    """The end of the last complete line: one that is being written belongs to what is to come."""
    if not path.exists():
        return Place()
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - LONGEST_LINE))
        rest = file.read()
    offset = size - len(rest) + rest.rfind(b"\n") + 1
    return Place(inode_of(path), offset, head(path, offset))


def read_lines(reading: Reading) -> Iterator[tuple[str, Place]]:
    """The lines from the place on, each with the place after it. The last one may lack its line feed if the writer is done with the file."""
    place = reading.place
    with reading.path.open("rb") as file:
        file.seek(place.offset)
        while raw := file.readline(LONGEST_LINE):
            if not raw.endswith(b"\n") and len(raw) < LONGEST_LINE and not reading.finished:
                return
            end = place.offset + len(raw)
            place = Place(place.inode, end, place.head if place.offset >= HEAD else head(reading.path, end))
            yield raw.removesuffix(b"\n").removesuffix(b"\r").decode(errors="replace"), place
