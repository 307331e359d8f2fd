"""The state file as it lies on the disk: pages, trees and records of SQLite's file format, read as far as they can be read.

SQLite itself refuses a file, a tree or a scan at the first byte that is wrong. This goes round what is wrong, for ``eventflow journal repair``.
The format is described at sqlite.org/fileformat2.html.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

MAGIC = b"SQLite format 3\0"
USUAL_PAGE_SIZE = 4096
HEADER_SIZE = 100
LOG_HEADER_SIZE, FRAME_HEADER_SIZE = 32, 24
LOG_MAGIC = 0x377F0682
INTERIOR_INDEX, INTERIOR_TABLE, LEAF_INDEX, LEAF_TABLE = 0x02, 0x05, 0x0A, 0x0D
LARGEST_PAYLOAD = 1 << 30
INTEGER_SIZES = (0, 1, 2, 3, 4, 6, 8)

Value = int | float | str | bytes | None


class Unreadable(Exception):
    """These bytes are no page, cell or record."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One page in the write-ahead log. ``commit`` is the file's size in pages where a transaction ends, else 0; ``valid`` by its checksum."""

    page: int
    commit: int
    valid: bool
    offset: int


@dataclass(frozen=True)
class Log:
    """The write-ahead log. SQLite reads ``frames[:visible]`` and, at its first write, forgets what follows.

    ``lost`` counts the transactions after that which had been acknowledged: they lie before another one, and a transaction begins when its
    predecessor is on disk. ``cut_off``: one more follows that was never finished, as after a power failure.
    """

    page_size: int
    frames: Sequence[Frame] = ()
    visible: int = 0
    lost: int = 0
    cut_off: bool = False

    @property
    def damaged(self) -> bool:
        return self.lost > 0

    @property
    def usable(self) -> Sequence[Frame]:
        """The frames that belong to the file: all up to the last transaction if acknowledged ones lie behind the damage."""
        if not self.damaged:
            return self.frames[: self.visible]
        last = max(index for index, frame in enumerate(self.frames) if frame.commit and frame.valid)
        return self.frames[: last + 1]


def read_log(path: Path) -> Log:
    """Raises OSError."""
    data = path.read_bytes() if path.exists() else b""
    if len(data) < LOG_HEADER_SIZE + FRAME_HEADER_SIZE:
        return Log(0)
    magic, _version, page_size, _number, salt, salt_, *seed = struct.unpack_from(">8I", data)
    order = ">" if magic & 1 else "<"
    sound = magic & ~1 == LOG_MAGIC and checksum(data[:24], order, (0, 0)) == tuple(seed)
    if not sound:  # SQLite takes such a log for an empty one
        page_size = USUAL_PAGE_SIZE
        salt, salt_ = struct.unpack_from(">2I", data, LOG_HEADER_SIZE + 8)
        order = "<"
    if not is_page_size(page_size) or (salt, salt_) == (0, 0):
        return Log(0)
    frames: list[Frame] = []
    chain = (seed[0], seed[1])
    for offset in range(LOG_HEADER_SIZE, len(data) - FRAME_HEADER_SIZE - page_size + 1, FRAME_HEADER_SIZE + page_size):
        page, commit, own, own_, first, second = struct.unpack_from(">6I", data, offset)
        start = offset + FRAME_HEADER_SIZE
        known = (own, own_) == (salt, salt_) and page > 0
        valid = known and checksum(data[offset : offset + 8] + data[start : start + page_size], order, chain) == (first, second)
        if not known and sound and frames and all(not frame.valid for frame in frames[-2:]):
            break  # an earlier generation of the log
        if not known and not sound:
            break
        frames.append(Frame(page, commit, valid, start))
        chain = (first, second)
    return judged(page_size, frames, sound)


def judged(page_size: int, frames: list[Frame], sound: bool) -> Log:
    good = 0
    while sound and good < len(frames) and frames[good].valid:
        good += 1
    visible = max((index + 1 for index in range(good) if frames[index].commit), default=0)
    ends = [index for index in range(good, len(frames)) if frames[index].valid and frames[index].commit]
    last = max((index for index, frame in enumerate(frames) if frame.valid), default=-1)
    lost = len(ends) if ends and (len(ends) > 1 or ends[0] < last) else 0
    return Log(page_size, frames, visible, lost, not lost and last >= good)


def checksum(data: bytes, order: str, seed: tuple[int, int]) -> tuple[int, int]:
    first, second = seed
    words = struct.unpack(f"{order}{len(data) // 4}I", data)
    for even, odd in zip(words[::2], words[1::2], strict=True):
        first = (first + even + second) & 0xFFFFFFFF
        second = (second + odd + first) & 0xFFFFFFFF
    return first, second


def is_page_size(size: int) -> bool:
    return 512 <= size <= 65_536 and size & (size - 1) == 0


class Pages:
    """The pages of a state file, those in its write-ahead log before those in the file. Pages are counted from 1. Close it."""

    def __init__(self, path: Path) -> None:
        self.log = read_log(Path(f"{path}-wal"))
        self._file = path.open("rb")
        self._log_file = Path(f"{path}-wal").open("rb") if self.log.frames else None  # noqa: SIM115 - closed by close()
        header = self._file.read(HEADER_SIZE)
        told = struct.unpack_from(">H", header, 16)[0] if len(header) == HEADER_SIZE else 0
        told = 65_536 if told == 1 else told
        sound = header.startswith(MAGIC) and is_page_size(told)
        self.size = told if sound else self.log.page_size or USUAL_PAGE_SIZE
        self._newest = {frame.page: frame.offset for frame in self.log.usable}
        commits = [frame.commit for frame in self.log.usable if frame.commit and frame.valid]
        in_file = path.stat().st_size // self.size
        self.count = max(in_file, min(commits[-1] if commits else 0, in_file + len(self.log.frames)))

    def close(self) -> None:
        self._file.close()
        if self._log_file is not None:
            self._log_file.close()

    def get(self, number: int) -> bytes:
        if not 1 <= number <= self.count:
            raise Unreadable(f"there is no page {number}")
        offset = self._newest.get(number)
        file, place = (self._file, (number - 1) * self.size) if offset is None or self._log_file is None else (self._log_file, offset)
        try:
            file.seek(place)
            data = file.read(self.size)
        except OSError as error:
            raise Unreadable(f"page {number}: {error.strerror}") from error
        if len(data) < self.size:
            raise Unreadable(f"page {number} is cut off")
        return data

    def free(self) -> set[int]:
        """The pages in the list of free ones, as far as that can be followed."""
        found: set[int] = set()
        try:
            trunk = struct.unpack_from(">I", self.get(1), 32)[0]
            while trunk and trunk not in found:
                data = self.get(trunk)
                following, leaves = struct.unpack_from(">II", data)
                if leaves > self.size // 4 - 2:
                    break
                found.add(trunk)
                found.update(struct.unpack_from(f">{leaves}I", data, 8))
                trunk = following
        except Unreadable:
            return found
        return found


@dataclass
class Reading:
    """What was met while a tree was read: the pages that belong to it, and what could not be read of it."""

    pages: set[int] = field(default_factory=set)
    bad_pages: int = 0
    bad_rows: int = 0

    @property
    def whole(self) -> bool:
        return not self.bad_pages and not self.bad_rows


@dataclass(frozen=True)
class Cell:
    """A row (``rowid`` is None in a table WITHOUT ROWID)."""

    rowid: int | None
    values: tuple[Value, ...]


class Trees:
    """Reads trees of rows. ``fits(cell)`` tells of each what is a row of the table at all: a wrong byte may point anywhere."""

    def __init__(self, pages: Pages) -> None:
        self._pages = pages

    def rows(self, root: int, indexed: bool, fits: Fits, reading: Reading) -> Iterator[Cell]:
        """The rows below a root page. ``indexed`` for a table WITHOUT ROWID, whose rows lie in a tree like an index's."""
        waiting = [root]
        while waiting:
            number = waiting.pop()
            if number in reading.pages:
                reading.bad_pages += 1
                continue
            try:
                data = self._pages.get(number)
                page = self.page(number, data, indexed, fits)
            except Unreadable:
                reading.bad_pages += 1
                continue
            reading.pages.add(number)
            reading.bad_rows += page.bad
            waiting.extend(page.children)
            yield from page.cells

    def chain(self, first: int) -> Iterator[int]:
        """The pages on which a long row goes on."""
        seen: set[int] = set()
        while first and first not in seen:
            seen.add(first)
            yield first
            first = struct.unpack_from(">I", self._pages.get(first))[0]

    def page(self, number: int, data: bytes, indexed: bool, fits: Fits) -> Page:
        """One page's rows and children; where its kind cannot be, what it is by its content."""
        start = HEADER_SIZE if number == 1 else 0
        kinds = (LEAF_INDEX, INTERIOR_INDEX) if indexed else (LEAF_TABLE, INTERIOR_TABLE)
        if data[start] in kinds:
            return self._parsed(number, data, start, data[start], fits)
        for kind in kinds:
            guess = self._parsed(number, data, start, kind, fits)
            if not guess.bad and (guess.cells or guess.children):
                return guess
        raise Unreadable(f"page {number} is of no kind that belongs there")

    def _parsed(self, number: int, data: bytes, start: int, kind: int, fits: Fits) -> Page:
        interior = kind in (INTERIOR_INDEX, INTERIOR_TABLE)
        count = struct.unpack_from(">H", data, start + 3)[0]
        pointers = start + (12 if interior else 8)
        room = (len(data) - pointers) // 2
        page = Page(bad=max(0, count - room))
        for place in struct.unpack_from(f">{min(count, room)}H", data, pointers):
            try:
                self._take(data, place, kind, page, fits)
            except (Unreadable, IndexError, struct.error, UnicodeDecodeError):
                page.bad += 1
        if interior:
            page.add_child(struct.unpack_from(">I", data, start + 8)[0], number, self._pages.count)
        return page

    def _take(self, data: bytes, place: int, kind: int, page: Page, fits: Fits) -> None:
        if kind in (INTERIOR_TABLE, INTERIOR_INDEX):
            page.add_child(struct.unpack_from(">I", data, place)[0], 0, self._pages.count)
            place += 4
        if kind == INTERIOR_TABLE:
            return
        size, place = varint(data, place)
        rowid = None
        if kind == LEAF_TABLE:
            rowid, place = varint(data, place)
            rowid = rowid - (1 << 64) if rowid >= 1 << 63 else rowid
        cell = Cell(rowid, record(self._payload(data, place, size, kind == LEAF_TABLE)))
        if not fits(cell):
            raise Unreadable("no row of this table")
        page.cells.append(cell)

    def _payload(self, data: bytes, place: int, size: int, table: bool) -> bytes:
        usable = len(data)
        if size > min(LARGEST_PAYLOAD, self._pages.count * usable):
            raise Unreadable("longer than the file")
        most = usable - 35 if table else (usable - 12) * 64 // 255 - 23
        if size <= most:
            if place + size > usable:
                raise Unreadable("beyond the end of its page")
            return data[place : place + size]
        least = (usable - 12) * 32 // 255 - 23
        here = least + (size - least) % (usable - 4)
        here = here if here <= most else least
        if place + here + 4 > usable:
            raise Unreadable("beyond the end of its page")
        parts, left = [data[place : place + here]], size - here
        for number in self.chain(struct.unpack_from(">I", data, place + here)[0]):
            parts.append(self._pages.get(number)[4 : 4 + left])
            left -= len(parts[-1])
            if left <= 0:
                return b"".join(parts)
        raise Unreadable("its end is missing")


@dataclass
class Page:
    cells: list[Cell] = field(default_factory=list)
    children: list[int] = field(default_factory=list)
    bad: int = 0

    def add_child(self, number: int, parent: int, count: int) -> None:
        if 1 < number <= count and number != parent:
            self.children.append(number)
        else:
            self.bad += 1


class Fits:
    """Whether a cell can be a row of a table: the number of its values, and of each the kind that its column has."""

    KINDS = {"INTEGER": (int, float), "REAL": (int, float), "TEXT": (str,), "BLOB": (bytes, str), "": (int, float, str, bytes)}

    def __init__(self, columns: Sequence[tuple[str, bool]], rowid_column: int | None, fewest: int) -> None:
        """``columns`` are declared type and NOT NULL, in the order of the record; ``rowid_column`` is stored as NULL; rows from before a
        migration may have no more than ``fewest`` values."""
        self._columns = columns
        self._rowid_column = rowid_column
        self._fewest = fewest

    def __call__(self, cell: Cell) -> bool:
        if not self._fewest <= len(cell.values) <= len(self._columns):
            return False
        for index, (value, (kind, needed)) in enumerate(zip(cell.values, self._columns, strict=False)):
            if index == self._rowid_column:
                if value is not None:
                    return False
            elif value is None:
                if needed:
                    return False
            elif not isinstance(value, self.KINDS.get(kind, self.KINDS[""])):
                return False
        return True


def varint(data: bytes, place: int) -> tuple[int, int]:
    """A number of one to nine bytes, and the place after it."""
    value = 0
    for count in range(8):
        byte = data[place + count]
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, place + count + 1
    return value << 8 | data[place + 8], place + 9


def record(payload: bytes) -> tuple[Value, ...]:
    size, place = varint(payload, 0)
    if not place <= size <= len(payload):
        raise Unreadable("a record's header is longer than the record")
    values: list[Value] = []
    body = size
    while place < size:
        kind, place = varint(payload, place)
        value, body = decoded(payload, kind, body)
        values.append(value)
    if body != len(payload) or place != size:
        raise Unreadable("a record is longer than what is in it")
    return tuple(values)


def decoded(payload: bytes, kind: int, place: int) -> tuple[Value, int]:
    if kind == 0:
        return None, place
    if kind in (8, 9):
        return kind - 8, place
    if kind in (10, 11):
        raise Unreadable("a kind of value that there is not")
    size = INTEGER_SIZES[kind] if kind < 7 else 8 if kind == 7 else (kind - 12) // 2
    raw = payload[place : place + size]
    if len(raw) < size:
        raise Unreadable("a value is longer than its record")
    if kind < 7:
        return int.from_bytes(raw, "big", signed=True), place + size
    if kind == 7:
        return struct.unpack(">d", raw)[0], place + size
    return (raw.decode() if kind % 2 else raw), place + size
