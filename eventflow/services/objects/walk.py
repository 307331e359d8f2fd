"""The keys of a bucket in S3's order, read from its directory as far as they are asked for."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from eventflow.services.objects.directory import ABSENT, DIRECTORY, BucketDirectory, FileState
from eventflow.services.objects.index import FILE, FOLDER
from eventflow.services.objects.keys import DIRECTORY_MARK, ENCODED, LONGEST_KEY, RESERVED, decoded_piece
from eventflow.services.objects.names import BEHIND, NameCache, Names

MARK = DIRECTORY_MARK.encode()


@dataclass(frozen=True, slots=True)
class Found:
    """A key that the walk came by. A folder's key has the state of the row that makes it an object."""

    octets: bytes
    state: FileState
    kind: str = FILE

    @property
    def key(self) -> str:
        return self.octets.decode()


@dataclass(slots=True)
class Level:
    """A directory that the walk is in: its descriptor, its key (with the slash), and the names in it that are still to come."""

    descriptor: int
    key: bytes
    names: Names


@dataclass(slots=True)
class EncodedLevel:
    """The same of encoded names, last first."""

    descriptor: int
    key: bytes
    names: list[bytes]


class BucketWalk:
    """An iterator over the objects of a bucket, under their own names and under encoded ones: those whose keys begin with ``prefix`` and sort behind
    ``after``, by their UTF-8 bytes. ``folders`` are the zero-byte keys that end in a slash, with the inode of their directory. ``skip_to`` moves
    on; ``close`` gives the descriptors back.
    """

    def __init__(
        self, directory: BucketDirectory, prefix: bytes, after: bytes, folders: Mapping[str, FileState], cache: NameCache | None = None
    ) -> None:
        self._passed = after
        self._walks = (PlainWalk(directory, prefix, after, folders, cache or NameCache(0)), EncodedWalk(directory, prefix, after))

    def __iter__(self) -> Iterator[Found]:
        walks = [iter(walk) for walk in self._walks]
        heads = [next(walk, None) for walk in walks]
        while len(present := [found for found in heads if found is not None]) > 1:  # most buckets have no encoded names
            found = min(present, key=rank)
            self._passed = max(self._passed, found.octets)
            yield found
            heads = [head if head and head.octets > self._passed else next(walk, None) for head, walk in zip(heads, walks, strict=True)]
        for head, walk in zip(heads, walks, strict=True):
            while head is not None:
                self._passed = max(self._passed, head.octets)
                yield head
                head = next(walk, None)

    def skip_to(self, bound: bytes) -> None:
        """Go on with the first key behind ``bound``."""
        self._passed = max(self._passed, bound)
        for walk in self._walks:
            walk.skip_to(bound)

    def close(self) -> None:
        for walk in self._walks:
            walk.close()


def rank(found: Found) -> tuple[bytes, bool]:
    """Where both are there, a folder's content counts before the folder; of two files the one under its own name, which comes first."""
    return found.octets, found.kind == FOLDER


class PlainWalk:
    """The objects under their own names.

    Directories outside the wanted part are not read. Names that are not UTF-8, links that leave the bucket, and everything that is no regular file
    are passed over.
    """

    def __init__(self, directory: BucketDirectory, prefix: bytes, after: bytes, folders: Mapping[str, FileState], cache: NameCache) -> None:
        self._cache = cache
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
        for level in self._levels:
            level.names.skip_to(self._after)

    def close(self) -> None:
        while self._levels:
            os.close(self._levels.pop().descriptor)

    def _visit(self, level: Level, name: bytes) -> Found | None:
        key = level.key + name
        if len(key) > LONGEST_KEY or not self._wanted(key):
            return None
        if not level.key and name.startswith(b".") and name.decode().casefold().startswith(RESERVED):
            return None
        if name.endswith(b"/"):
            return self._descend(level, name, key)
        state = self._state(level, name, key)
        return Found(key, state) if state else None

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
        return Found(key, folder, FOLDER) if folder and is_object else None

    def _enter(self, descriptor: int, key: bytes) -> None:
        names = Names(self._cache.read(descriptor), key, self._prefix)
        names.skip_to(self._after)
        self._levels.append(Level(descriptor, key, names))

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


class EncodedWalk:
    """The objects under encoded names, which sort as their keys do."""

    def __init__(self, directory: BucketDirectory, prefix: bytes, after: bytes) -> None:
        self._prefix = prefix
        self._after = after
        self._levels: list[EncodedLevel] = []
        descriptor = directory.descriptor()
        try:
            self._enter(descriptor, ENCODED.encode(), b"")
        finally:
            os.close(descriptor)

    def __iter__(self) -> Iterator[Found]:
        while self._levels:
            level = self._levels[-1]
            if not level.names:
                os.close(self._levels.pop().descriptor)
                continue
            name = level.names.pop()
            found = self._visit(level, name)
            if found is not None:
                yield found

    def skip_to(self, bound: bytes) -> None:
        self._after = max(self._after, bound)

    def close(self) -> None:
        while self._levels:
            os.close(self._levels.pop().descriptor)

    def _visit(self, level: EncodedLevel, name: bytes) -> Found | None:
        key = level.key + (decoded_piece(name.decode()) or b"")
        if name.endswith(MARK):
            if key + BEHIND > self._after and (key.startswith(self._prefix) or self._prefix.startswith(key)):
                self._enter(level.descriptor, name, key)
            return None
        if key <= self._after or not key.startswith(self._prefix) or not is_utf8(key):
            return None
        try:
            status = os.stat(name, dir_fd=level.descriptor, follow_symlinks=False)
        except FileNotFoundError:
            return None
        return Found(key, FileState.of(status)) if stat.S_ISREG(status.st_mode) else None

    def _enter(self, parent: int, name: bytes, key: bytes) -> None:
        try:
            descriptor = os.open(name, DIRECTORY, dir_fd=parent)
        except OSError as error:
            if error.errno in ABSENT:
                return
            raise
        with os.scandir(descriptor) as entries:
            names = [entry.name.encode() for entry in entries if entry.name.isascii() and decoded_piece(entry.name) is not None]
        # A file sorts before the directory of the keys that go on where it ends.
        self._levels.append(EncodedLevel(descriptor, key, sorted(names, key=lambda name: (name.removesuffix(MARK), name), reverse=True)))


def is_utf8(octets: bytes) -> bool:
    try:
        octets.decode()
    except UnicodeDecodeError:
        return False
    return True
