"""A disk that loses power: it keeps what was synced, and of everything else any part.

It is stricter than today's file systems: a file's name lasts only after a sync of its directory, each write that was not synced may be kept, left
out, or torn at any 512 bytes, and later ones may be kept where earlier ones are not. What one directory was told is kept in order.
A sync of the file system is one of everything that is in it.
"""

from __future__ import annotations

import os
import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Generic, TypeVar

from tests.chaos.power.trace import Call

T = TypeVar("T")
SECTOR = 512
TIME = re.compile(r"tv_sec=(\d+), tv_nsec=(\d+)")
#: How what was not synced fares: all of it is lost, all of it is kept, each write as a whole or not, or torn into sectors.
LOST, KEPT, SOME, TORN = MODES = ("lost", "kept", "some", "torn")


class Pending(Generic[T]):
    """Changes that no sync has covered yet. A sync covers what had been changed when it was entered; several may be under way at once."""

    def __init__(self) -> None:
        self.changes: list[T] = []
        self._gone = 0
        self._entered: dict[str, int] = {}

    def enter(self, thread: str) -> None:
        self._entered[thread] = self._gone + len(self.changes)

    def covered(self, thread: str) -> list[T]:
        """Take out what the sync that returns now has put on the disk."""
        number = max(0, self._entered.pop(thread) - self._gone)
        self._gone += number
        taken, self.changes = self.changes[:number], self.changes[number:]
        return taken


@dataclass
class File:
    """``synced`` are the bytes on the disk; ``pending`` what was written since: a place and bytes, or None and a new size. ``time`` of change (ns) is
    what it was told to be, ``synced_time`` that on the disk."""

    synced: bytearray = field(default_factory=bytearray)
    pending: Pending[tuple[int | None, bytes | int]] = field(default_factory=Pending)
    size: int = 0
    time: int = 0
    synced_time: int = 0

    def write(self, place: int, data: bytes) -> None:
        self.pending.changes.append((place, data))
        self.size = max(self.size, place + len(data))

    def cut(self, size: int) -> None:
        self.pending.changes.append((None, size))
        self.size = size

    def sync(self, thread: str) -> None:
        for change in self.pending.covered(thread):
            apply(self.synced, change)
        self.synced_time = self.time

    def after_power_loss(self, mode: str, chance: random.Random) -> bytes:
        content = bytearray(self.synced)
        for place, data in self.pending.changes if mode != LOST else ():
            if mode == KEPT or (mode == SOME and chance.random() < 0.5):
                apply(content, (place, data))
            elif mode == TORN:
                tear(content, place, data, chance)
        return bytes(content)


def apply(content: bytearray, change: tuple[int | None, bytes | int]) -> None:
    place, data = change
    if isinstance(data, int):
        content[data:] = bytes(max(0, data - len(content)))
    elif place is not None:
        content.extend(bytes(max(0, place - len(content))))
        content[place : place + len(data)] = data


def tear(content: bytearray, place: int | None, data: bytes | int, chance: random.Random) -> None:
    if isinstance(data, int) or place is None:
        if chance.random() < 0.5:
            apply(content, (place, data))
        return
    begin = place
    while begin < place + len(data):
        end = min(place + len(data), (begin // SECTOR + 1) * SECTOR)
        if chance.random() < 0.5:
            apply(content, (begin, data[begin - place : end - place]))
        begin = end


@dataclass
class Directory:
    """``synced`` are the names on the disk, ``names`` those that there are now, ``pending`` what led from the first to the second."""

    synced: dict[str, File | Directory] = field(default_factory=dict)
    names: dict[str, File | Directory] = field(default_factory=dict)
    pending: Pending[tuple[str, File | Directory | None]] = field(default_factory=Pending)

    def put(self, name: str, what: File | Directory | None) -> None:
        put(self.names, name, what)
        self.pending.changes.append((name, what))

    def sync(self, thread: str) -> None:
        for name, what in self.pending.covered(thread):
            put(self.synced, name, what)

    def after_power_loss(self, mode: str, chance: random.Random) -> dict[str, File | Directory]:
        changes = self.pending.changes
        kept = {LOST: 0, KEPT: len(changes)}.get(mode, chance.randint(0, len(changes)))
        names = dict(self.synced)
        for name, what in changes[:kept]:
            put(names, name, what)
        return names


def put(names: dict[str, File | Directory], name: str, what: File | Directory | None) -> None:
    if what is None:
        names.pop(name, None)
    else:
        names[name] = what


class Disk:
    """Everything below ``root``, which itself was there before. ``play`` the calls in order; ``recover`` what a power loss leaves at that moment.
    ``ignored`` names what promises nothing."""

    def __init__(self, root: Path, ignored: Callable[[PurePosixPath], bool]) -> None:
        self._root = PurePosixPath(root)
        self._ignored = ignored
        self.top = Directory()
        self._entered: dict[str, list[File | Directory]] = {}

    def play(self, call: Call) -> None:
        action = getattr(self, f"_{call.name}", None)
        if action is not None:
            action(call)

    def recover(self, target: Path, mode: str, chance: random.Random) -> None:
        restore(self.top, target, mode, chance)

    # Where a call points to.

    def _inside(self, path: str) -> PurePosixPath | None:
        """A path relative to the root, if it is of interest. A removed file's path ends in a remark."""
        whole = PurePosixPath(path.removesuffix("(deleted)"))
        if path.endswith("(deleted)") or not whole.is_relative_to(self._root):
            return None
        inside = whole.relative_to(self._root)
        return None if self._ignored(inside) else inside

    def _find(self, path: PurePosixPath) -> File | Directory | None:
        found: File | Directory | None = self.top
        for name in path.parts:
            found = found.names.get(name) if isinstance(found, Directory) else None
        return found

    def _named(self, call: Call, number: int = 0) -> PurePosixPath | None:
        """The path that a call's nth string means, from its nth directory on."""
        directories = [part for part in call.arguments.split(", ") if part.startswith("AT_FDCWD") or "<" in part.split('"')[0]]
        text = call.strings()[number].decode()
        if text.startswith("/"):
            return self._inside(text)
        base = Call(call.thread, call.name, directories[number], 0).path() if number < len(directories) else ""
        return self._inside(f"{base}/{text}") if base else None

    def _enter(self, path: PurePosixPath | None, what: File | Directory | None) -> None:
        if path is not None:
            parent = self._find(path.parent)
            assert isinstance(parent, Directory), f"{path.parent} is no directory that was made while this was recorded"
            parent.put(path.name, what)

    def _file(self, call: Call, number: int = 0) -> File | None:
        path = self._inside(call.path(number)) if "<" in call.arguments else None
        found = self._find(path) if path is not None else None
        return found if isinstance(found, File) else None

    # The system calls.

    def _openat(self, call: Call) -> None:
        path = self._named(call)
        if path is None:
            return
        found = self._find(path)
        if found is None and "O_CREAT" in call.arguments:
            self._enter(path, File())
        elif isinstance(found, File) and "O_TRUNC" in call.arguments and found.size:
            found.cut(0)

    def _mkdir(self, call: Call) -> None:
        self._enter(self._named(call), Directory())

    _mkdirat = _mkdir

    def _unlink(self, call: Call) -> None:
        self._enter(self._named(call), None)

    _unlinkat = _rmdir = _unlink

    def _rename(self, call: Call) -> None:
        source, target = self._named(call, 0), self._named(call, 1)
        moved = self._find(source) if source is not None else None
        if "RENAME_EXCHANGE" in call.arguments:
            other = self._find(target) if target is not None else None
            self._enter(target, moved)
            self._enter(source, other)
            return
        if target is not None:
            assert moved is not None, f"{target} was renamed from what was not recorded"
            self._enter(target, moved)
        self._enter(source, None)

    _renameat = _renameat2 = _rename

    def _pwrite64(self, call: Call) -> None:
        file = self._file(call)
        if file is not None:
            file.write(call.numbers()[-1], call.strings()[0][: call.result])

    def _write(self, call: Call) -> None:
        """Files of a bucket are written from their beginning on, and nothing else is written without saying where."""
        file = self._file(call)
        if file is not None:
            file.write(file.size, call.strings()[0][: call.result])

    def _ftruncate(self, call: Call) -> None:
        file = self._file(call)
        if file is not None:
            file.cut(call.numbers()[-1])

    def _fsync(self, call: Call) -> None:
        path = self._inside(call.path())
        found = self._find(path) if path is not None else None
        if found is not None and call.begun:
            found.pending.enter(call.thread)
        elif found is not None:
            found.sync(call.thread)

    _fdatasync = _fsync

    def _syncfs(self, call: Call) -> None:
        if call.begun:
            self._entered[call.thread] = list(everything(self.top))
            for found in self._entered[call.thread]:
                found.pending.enter(call.thread)
        else:
            for found in self._entered.pop(call.thread):
                found.sync(call.thread)

    def _utimensat(self, call: Call) -> None:
        file, times = self._file(call), TIME.findall(call.arguments)
        if file is not None and times:
            file.time = int(times[1][0]) * 1_000_000_000 + int(times[1][1])

    def _unforeseen(self, call: Call) -> None:
        if self._file(call) is not None:
            raise NotImplementedError(f"{call.name} on a file of the state: teach the disk what it does")

    _writev = _pwritev = _pwritev2 = _truncate = _fallocate = _copy_file_range = _sendfile = _link = _linkat = _unforeseen


def restore(directory: Directory, target: Path, mode: str, chance: random.Random) -> None:
    target.mkdir()
    for name, what in directory.after_power_loss(mode, chance).items():
        if isinstance(what, Directory):
            restore(what, target / name, mode, chance)
        else:
            (target / name).write_bytes(what.after_power_loss(mode, chance))
            time = what.time if mode == KEPT else what.synced_time
            if time:
                os.utime(target / name, ns=(time, time))


def everything(directory: Directory) -> Iterator[File | Directory]:
    """A directory and all that is in it."""
    yield directory
    for what in directory.names.values():
        if isinstance(what, Directory):
            yield from everything(what)
        else:
            yield what
