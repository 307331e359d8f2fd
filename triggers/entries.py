"""Short texts by key, a million of them in little memory: packed by directory, with no Python object for each."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Mapping

#: A pack that grows over so many bytes is divided: looking something up reads half a pack on average.
LARGEST_PACK = 32 * 1024


class Entries:
    """A mapping from keys (relative POSIX paths) to texts without a slash and without NUL.

    The entries of a directory are in packs, chosen by a hash of the name. A pack is records of a slash, the name, NUL and the text: no name has a
    slash or NUL in it, so that one search finds a record. Packs are never changed but replaced: any thread may read while one changes them.
    """

    def __init__(self) -> None:
        self._directories: dict[str, list[bytes]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def get(self, key: str) -> str | None:
        directory, _, name = key.rpartition("/")
        packs = self._directories.get(directory)
        if packs is None:
            return None
        octets = encoded(name)
        pack = packs[place_of(octets, packs)]
        start, end = bounds(pack, octets)
        return None if start < 0 else pack[start + len(octets) + 2 : end].decode()

    def put(self, key: str, text: str) -> None:
        self.drop(key)
        directory, _, name = key.rpartition("/")
        self._add(directory, [record_of(name, text)])

    def extend(self, entries: Mapping[str, str]) -> None:
        """Put many entries whose keys are not there yet."""
        grouped: dict[str, list[bytes]] = {}
        for key, text in entries.items():
            directory, _, name = key.rpartition("/")
            grouped.setdefault(directory, []).append(record_of(name, text))
        for directory, records in grouped.items():
            self._add(directory, records)

    def drop(self, key: str) -> None:
        directory, _, name = key.rpartition("/")
        packs = self._directories.get(directory)
        if packs is None:
            return
        octets = encoded(name)
        place = place_of(octets, packs)
        start, end = bounds(packs[place], octets)
        if start < 0:
            return
        packs[place] = packs[place][:start] + packs[place][end:]
        self._count -= 1
        if not any(packs):
            del self._directories[directory]

    def items_in(self, directory: str) -> Iterator[tuple[str, str]]:
        """The names of the keys in one directory, with their texts."""
        for pack in tuple(self._directories.get(directory, ())):
            for record in decoded(pack).split("/")[1:]:
                name, _, text = record.partition("\0")
                yield name, text

    def directories(self) -> list[str]:
        """The directories that keys are in."""
        return list(self._directories)

    def items(self) -> Iterator[tuple[str, str]]:
        for directory in self.directories():
            before = f"{directory}/" if directory else ""
            for name, text in self.items_in(directory):
                yield before + name, text

    def _add(self, directory: str, records: Iterable[bytes]) -> None:
        """Put records of names that are not there."""
        packs = self._directories.setdefault(directory, [b""])
        added: dict[int, list[bytes]] = {}
        for record in records:
            added.setdefault(place_of(record[1 : record.index(0)], packs), []).append(record)
            self._count += 1
        for place, some in added.items():
            packs[place] += b"".join(some)
        if any(len(packs[place]) > LARGEST_PACK for place in added):
            self._directories[directory] = divided(packs)


def divided(packs: list[bytes]) -> list[bytes]:
    """The same records in packs of half the largest size."""
    size = sum(map(len, packs))
    count = len(packs)
    while count * LARGEST_PACK < 2 * size:
        count *= 2
    lists: list[list[bytes]] = [[] for _ in range(count)]
    for pack in packs:
        for record in records_in(pack):
            lists[place_of(record[1 : record.index(0)], lists)].append(record)
    return [b"".join(records) for records in lists]


def place_of(name: bytes, packs: list[bytes] | list[list[bytes]]) -> int:
    return zlib.crc32(name) & (len(packs) - 1)


def bounds(pack: bytes, name: bytes) -> tuple[int, int]:
    """Where a name's record begins and ends; (-1, ...) if there is none."""
    start = pack.find(b"/" + name + b"\0")
    end = pack.find(b"/", start + 1) if start >= 0 else -1
    return start, len(pack) if end < 0 else end


def records_in(pack: bytes) -> Iterator[bytes]:
    position = 0
    while position < len(pack):
        end = pack.find(b"/", position + 1)
        end = len(pack) if end < 0 else end
        yield pack[position:end]
        position = end


def record_of(name: str, text: str) -> bytes:
    return b"/" + encoded(name) + b"\0" + text.encode()


def encoded(name: str) -> bytes:
    return name.encode(errors="surrogateescape")


def decoded(name: bytes) -> str:
    return name.decode(errors="surrogateescape")
