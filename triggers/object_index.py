"""What a bucket trigger has handled: for each key the file's state then, in memory and durable through the trigger's cursor."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Container, Iterable, Iterator
from itertools import islice
from typing import TypeVar

from eventflow import Cursor, ObjectVersion
from triggers.entries import Entries
from triggers.object_keys import is_below

#: The cursor's entry that says that the trigger has run before. No object has this key.
BEGUN = "/"
LARGEST_UPDATE = 2_000
#: So many entries are read at a time.
PAGE = 10_000

T = TypeVar("T")


def sight_of(status: os.stat_result) -> str:
    """A file's size, modification time and inode as one short text: what a look at it can compare at no cost."""
    return f"{status.st_size:x} {status.st_mtime_ns:x} {status.st_ino:x}"


def sight_in(version: ObjectVersion) -> str:
    return f"{version.size:x} {version.mtime_ns:x} {version.inode:x}"


def entry_of(sight: str, version: ObjectVersion) -> str:
    """What the index keeps of an object that was described: its sight, then its ETag and sequencer."""
    return f"{sight} {version.etag} {version.sequencer}"


def shows(entry: str | None, sight: str) -> bool:
    """Whether the entry was made of a file that looked like this."""
    return entry is not None and (entry == sight or entry.startswith(sight + " "))


def is_described(entry: str) -> bool:
    """Whether the object was described when it was entered. Those that were there before the trigger ran first were not."""
    return entry.count(" ") == 4


def sequencer_in(entry: str) -> str:
    """The sequencer of the state in an entry. A file that was never described gives its modification time."""
    fields = entry.split(" ")
    return fields[4] if is_described(entry) else f"{max(int(fields[1], 16), 0):016x}"


def same_content(before: str | None, entry: str) -> bool:
    """Whether two entries are of one file with the same content. Its modification time may differ (it was touched), or its inode (it was restored
    from a backup), not both: then it is another file."""
    if before is None or not is_described(before):
        return False
    size, mtime, inode, etag, _sequencer = before.split(" ")
    fields = entry.split(" ")
    return (fields[0], fields[3]) == (size, etag) and (fields[1] == mtime or fields[2] == inode)


class ObjectIndex:
    """Entries by key, grouped by directory so that a directory's keys are at hand when it goes.

    ``fresh`` is true until ``begin`` was called in this or an earlier run. Read it from any thread, change it from the event loop's alone.
    """

    def __init__(self, cursor: Cursor) -> None:
        self._cursor = cursor
        self._entries = Entries()
        self._unsaved: dict[str, str | None] = {}
        self.fresh = True

    async def load(self) -> None:
        page = await self._cursor.items(limit=PAGE)
        while page:
            last = next(reversed(page))
            self.fresh = page.pop(BEGUN, None) is None and self.fresh
            await asyncio.to_thread(self._entries.extend, page)
            page = await self._cursor.items(after=last, limit=PAGE)

    def get(self, key: str) -> str | None:
        return self._entries.get(key)

    def entries_in(self, directory: str) -> dict[str, str]:
        """The entries of the known keys in one directory, by name."""
        return dict(self._entries.items_in(directory))

    def directories(self, below: Container[str]) -> list[str]:
        """The directories with known keys, from these downward."""
        return [directory for directory in self._entries.directories() if is_below(directory, below)]

    async def begin(self, adopted: Entries) -> None:
        """Enter files that are old news, then note that from now on every unknown file is new."""
        for some in batched(adopted.items(), LARGEST_UPDATE):
            entries = {key: entry for key, entry in some if self.get(key) is None}
            self._entries.extend(entries)
            await self._cursor.update(entries)
        await self._cursor.update({BEGUN: True})
        self.fresh = False

    def moves(self, key: str, entry: str | None) -> dict[str, str | None]:
        """The cursor's part of an event: pass it to ``emit``, then call ``put``."""
        self._unsaved.pop(key, None)
        return {key: entry}

    def put(self, key: str, entry: str | None) -> None:
        if entry is None:
            self._entries.drop(key)
        else:
            self._entries.put(key, entry)

    def remember(self, key: str, entry: str | None) -> None:
        """Change an entry without an event. It reaches the disk with ``save``: lost before that, it would only be found out again."""
        self.put(key, entry)
        self._unsaved[key] = entry

    async def save(self) -> None:
        if self._unsaved:
            changes, self._unsaved = self._unsaved, {}
            for some in batched(changes.items(), LARGEST_UPDATE):
                await self._cursor.update(dict(some))


def batched(items: Iterable[T], size: int) -> Iterator[list[T]]:
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch
