"""The keys of a bucket in S3's order, read from its directory as far as they are asked for."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from eventflow.services.objects.directory import ABSENT, DIRECTORY, BucketDirectory, FileState
from eventflow.services.objects.keys import LONGEST_KEY, TEMPORARY

#: Greater than any byte of UTF-8: a prefix with this after it sorts behind every key that begins with the prefix.
BEHIND = b"\xff"


@dataclass(frozen=True, slots=True)
class Found:
    """A key that the walk came by. A folder's key has the state of the row that makes it an object."""

    key: str
    state: FileState


@dataclass(slots=True)
class Level:
    """A directory that the walk is in: its descriptor, its key (with the slash), and the names in it that are still to come, last first."""

    descriptor: int
    key: bytes
    names: list[bytes]


class BucketWalk:
    """An iterator over the objects of a bucket whose keys begin with ``prefix`` and sort behind ``after``, by their UTF-8 bytes.

    Directories outside that are not read. ``folders`` are the zero-byte keys that end in a slash, with the inode of their directory. Names that
    are not UTF-8, links that leave the bucket, and everything that is no regular file are passed over. ``skip_to`` moves on; ``close`` gives the
    descriptors back.
    """

    def __init__(self, directory: BucketDirectory, prefix: bytes, after: bytes, folders: Mapping[str, FileState]) -> None:
        self._directory = directory
        self._prefix = prefix
        self._after = after
        self._folders = folders
        self._levels: list[Level] = []
        self._enter(directory.descriptor(), b"")

    def __iter__(self) -> Iterator[Found]:
        while self._levels:
            level = self._levels[-1]
            if not level.names:
                os.close(self._levels.pop().descriptor)
                continue
            found = self._visit(level, level.names.pop())
            if found is not None:
                yield found

    def skip_to(self, bound: bytes) -> None:
        """Go on with the first key behind ``bound``."""
        self._after = max(self._after, bound)

    def close(self) -> None:
        while self._levels:
            os.close(self._levels.pop().descriptor)

    def _visit(self, level: Level, name: bytes) -> Found | None:
        key = level.key + name
        if not self._wanted(key):
            return None
        if name.endswith(b"/"):
            return self._descend(level, name, key)
        state = self._state(level, name, key)
        return Found(key.decode(), state) if state else None

    def _wanted(self, key: bytes) -> bool:
        """Whether this key, or for a directory any key in it, can be part of the answer."""
        if key.endswith(b"/"):
            return key + BEHIND > self._after and (key.startswith(self._prefix) or self._prefix.startswith(key))
        return key > self._after and key.startswith(self._prefix)

    def _descend(self, level: Level, name: bytes, key: bytes) -> Found | None:
        try:
            descriptor = os.open(name.removesuffix(b"/"), DIRECTORY, dir_fd=level.descriptor)
        except PermissionError:
            return None
        except OSError as error:
            if error.errno in ABSENT:
                return None
            raise
        inode = os.fstat(descriptor).st_ino
        self._enter(descriptor, key)
        folder = self._folders.get(key.decode())
        is_object = folder is not None and folder.inode == inode and key > self._after and key.startswith(self._prefix)
        return Found(key.decode(), folder) if folder and is_object else None

    def _enter(self, descriptor: int, key: bytes) -> None:
        with os.scandir(descriptor) as entries:
            names = [name for entry in entries if (name := sortable(entry)) is not None and len(key) + len(name) <= LONGEST_KEY]
        if not key:
            names = [name for name in names if name.decode().rstrip("/").casefold() != TEMPORARY]
        self._levels.append(Level(descriptor, key, sorted(names, reverse=True)))

    def _state(self, level: Level, name: bytes, key: bytes) -> FileState | None:
        try:
            status = os.stat(name, dir_fd=level.descriptor, follow_symlinks=False)
        except OSError as error:
            if error.errno in ABSENT:
                return None
            raise
        if stat.S_ISLNK(status.st_mode):
            return self._directory.state(key.decode())
        return FileState.of(status) if stat.S_ISREG(status.st_mode) else None


def sortable(entry: os.DirEntry[str]) -> bytes | None:
    """A name as it stands in keys: a directory's with its slash, so that ``a-b`` sorts before all that is in ``a``. None if it is not UTF-8."""
    try:
        name = entry.name.encode()
    except UnicodeEncodeError:
        return None
    return name + b"/" if entry.is_dir(follow_symlinks=False) else name
