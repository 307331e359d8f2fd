"""The names in a directory, sorted as keys are; those of large directories are kept until the directory changes."""

from __future__ import annotations

import os
import threading
import time
from abc import abstractmethod
from array import array
from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import overload

from eventflow.services.objects.etags import LONG_TICK, TICK
from eventflow.services.objects.name_watch import NameWatch, News

#: Greater than any byte of UTF-8: a prefix with this after it sorts behind every key that begins with the prefix.
BEHIND = b"\xff"
#: Fewer names are read anew each time, in about a millisecond.
FEWEST_KEPT = 1000
#: So many bytes of names are kept, of all buckets together: those of some three million files.
MOST_BYTES = 96 * 1024 * 1024
#: A directory whose own size is less has few names, on every file system.
SMALLEST_WATCHED = 8 * 1024
#: Names that are packed together: a change packs so many anew.
PACK = 2000


class SortedNames(Sequence[bytes]):
    """Sorted names, however they are kept: ``at`` gives that of a place, ``size`` is the bytes of memory that they take."""

    @property
    @abstractmethod
    def size(self) -> int: ...

    @abstractmethod
    def at(self, place: int) -> bytes: ...

    @overload
    def __getitem__(self, place: int) -> bytes: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[bytes]: ...
    def __getitem__(self, place: int | slice) -> bytes | Sequence[bytes]:
        if isinstance(place, slice):
            return [self.at(number) for number in range(*place.indices(len(self)))]
        if not 0 <= place < len(self):
            raise IndexError(place)
        return self.at(place)


class PackedNames(SortedNames):
    """Many sorted names in two pieces of memory: as objects of their own they would take four times as much."""

    def __init__(self, names: Sequence[bytes]) -> None:
        self._text = b"".join(names)
        self._ends = array("Q", [0])
        end = 0
        for name in names:
            end += len(name)
            self._ends.append(end)

    @property
    def size(self) -> int:
        return len(self._text) + self._ends.itemsize * len(self._ends)

    def __len__(self) -> int:
        return len(self._ends) - 1

    def at(self, place: int) -> bytes:
        return self._text[self._ends[place] : self._ends[place + 1]]


class ChunkedNames(SortedNames):
    """Sorted names in several packs, of which a change replaces those that it touches. It is never changed itself: who goes through it may go on."""

    def __init__(self, packs: Sequence[PackedNames]) -> None:
        self._packs = packs
        self._starts = [0, *accumulate(map(len, packs))]

    @classmethod
    def of(cls, names: Sequence[bytes]) -> ChunkedNames:
        return cls([PackedNames(names[start : start + PACK]) for start in range(0, len(names), PACK)])

    @property
    def size(self) -> int:
        return sum(pack.size for pack in self._packs)

    def __len__(self) -> int:
        return self._starts[-1]

    def at(self, place: int) -> bytes:
        number = bisect_right(self._starts, place) - 1
        return self._packs[number][place - self._starts[number]]

    def changed(self, changes: Mapping[bytes, bool]) -> ChunkedNames:
        """These names with those that came and without those that went."""
        if not self._packs:
            return ChunkedNames.of(sorted(name for name, there in changes.items() if there))
        firsts = [pack[0] for pack in self._packs]
        touched: dict[int, list[bytes]] = {}
        for name in changes:
            touched.setdefault(max(bisect_right(firsts, name) - 1, 0), []).append(name)
        packs: list[PackedNames] = []
        for number, pack in enumerate(self._packs):
            if number not in touched:
                packs.append(pack)
                continue
            names = set(pack).difference(touched[number]).union(name for name in touched[number] if changes[name])
            packs += ChunkedNames.of(sorted(names))._packs
        return ChunkedNames(packs)


class Names:
    """The names of one directory that are still to come. ``key`` is the directory's (with its slash); those that cannot lead to a key that begins
    with ``prefix`` are passed over."""

    def __init__(self, names: Sequence[bytes], key: bytes, prefix: bytes) -> None:
        self._names = names
        self._key = key
        self._next, self._stop = 0, len(names)
        if prefix.startswith(key):
            self.skip_to(prefix)
            self._stop = bisect_left(names, prefix[len(key) :] + BEHIND)

    def __bool__(self) -> bool:
        return self._next < self._stop

    def pop(self) -> bytes:
        self._next += 1
        return self._names[self._next - 1]

    def skip_to(self, bound: bytes) -> None:
        """Pass over what sorts before a key, except a directory that it lies in."""
        if bound.startswith(self._key):
            rest = bound[len(self._key) :]
            first = rest[: rest.find(b"/") + 1] or rest
            self._next = max(self._next, bisect_left(self._names, first))
        elif self._key + BEHIND <= bound:
            self._next = self._stop


@dataclass(slots=True)
class Kept:
    """The names of a directory as they were when it had these times of change; or, with ``news``, but for what these tell."""

    changed: tuple[int, int]
    names: ChunkedNames
    news: News | None


class NameCache:
    """The names of large directories: a page costs what is on it and not what is in its directory.

    Where the kernel tells what comes and goes, the names follow it. Elsewhere they are kept as long as nothing comes or goes: a directory's time of
    change tells that something did, unless that was in the same tick of the file system's clock, so that what changed just now is not kept. Called
    from the threads that list.
    """

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._kept: OrderedDict[tuple[int, int], Kept] = OrderedDict()
        self._bytes = 0
        self._watch = NameWatch()
        self._lock = threading.Lock()

    def read(self, descriptor: int) -> Sequence[bytes]:
        """The names in an open directory, sorted."""
        status = os.fstat(descriptor)
        place, changed = (status.st_dev, status.st_ino), (status.st_mtime_ns, status.st_ctime_ns)
        with self._lock:
            self._watch.take()
            if (kept := self._current(place, changed, descriptor)) is not None:
                return kept
            news = self._watch.begin(descriptor) if self._most_bytes and status.st_size >= SMALLEST_WATCHED else None
        try:
            settled = is_settled(changed)
            names = read_names(descriptor)
            with self._lock:
                self._watch.take()
                if len(names) < FEWEST_KEPT or (not settled and (news is None or news.lost)):
                    return names
                told = news if news is not None and not news.lost else None
                self._keep(place, Kept(changed, ChunkedNames.of(names), told))
                news = news if told is None else None
                return self._current(place, changed, descriptor) or names
        finally:
            if news is not None:
                with self._lock:
                    self._watch.end(news)

    def _current(self, place: tuple[int, int], changed: tuple[int, int], descriptor: int) -> Sequence[bytes] | None:
        kept = self._kept.get(place)
        if kept is None:
            return None
        if kept.news is None:
            if kept.changed != changed:
                return None
        elif kept.news.lost:
            self._drop(place)
            return None
        elif kept.news.changes:
            self._bytes -= kept.names.size
            kept.names = kept.names.changed(kept.news.taken(descriptor))
            self._bytes += kept.names.size
        self._kept.move_to_end(place)
        return kept.names

    def _keep(self, place: tuple[int, int], kept: Kept) -> None:
        self._drop(place)
        self._bytes += kept.names.size
        self._kept[place] = kept
        while self._bytes > self._most_bytes:
            self._drop(next(iter(self._kept)))

    def _drop(self, place: tuple[int, int]) -> None:
        kept = self._kept.pop(place, None)
        if kept is not None:
            self._bytes -= kept.names.size
            if kept.news is not None:
                self._watch.end(kept.news)


def is_settled(changed: tuple[int, int]) -> bool:
    """Whether a change from now on is certain to show in the times of a directory. They come from the kernel's own clock."""
    newest = max(changed)
    tick = TICK if newest % 1_000_000 else LONG_TICK
    return time.clock_gettime_ns(time.CLOCK_REALTIME) - newest > tick


def read_names(descriptor: int) -> list[bytes]:
    """A directory's names as they stand in keys: one of a directory with its slash, so that ``a-b`` sorts before all that is in ``a``. Those that are
    not UTF-8 are no keys."""
    names: list[bytes] = []
    with os.scandir(descriptor) as entries:
        for entry in entries:
            try:
                name = entry.name.encode()
            except UnicodeEncodeError:
                continue
            names.append(name + b"/" if entry.is_dir(follow_symlinks=False) else name)
    names.sort()
    return names
