"""A state file with something in all its tables, for tests that damage it."""

import shutil
import sqlite3
import struct
from contextlib import closing
from pathlib import Path
from typing import Any

from eventflow.database import components
from eventflow.dispatch.journal import CursorMove, Event
from eventflow.testing.harness import Harness
from tests.fixtures.make_journal import fill

PAGE = 4096
Rows = dict[str, list[tuple[Any, ...]]]


def make(folder: Path) -> Path:
    """A sound state file of about 2 MB, with rows that take more than a page; its log is empty."""
    harness = Harness(folder)
    try:
        fill(harness)
        for component, package in components().items():  # those too that make their tables when they are first needed
            harness._call(harness._database.migrate(component, package))
        core, clock = harness._core, harness.clock
        events = [
            Event(clock.new_id(), f"function-{n % 7}", b'{"filler": "%s"}' % (b"x" * (n * 37 % 600)), clock.now(), key=f"key-{n}", source="bulk")
            for n in range(1500)
        ]
        events += [Event(clock.new_id(), "long", b'{"filler": "%s"}' % (b"y" * size), clock.now()) for size in (4_000, 9_000, 300_000)]
        harness._call(core.journal.append(events, [CursorMove(f"owner-{n}", {f"key-{m}": "z" * 50 for m in range(30)}) for n in range(30)]))
        table = harness.client("dynamodb")
        for begin in range(0, 500, 25):
            items = [{"PutRequest": {"Item": {"key": {"S": f"bulk-{n}"}, "filler": {"S": "w" * 100}}}} for n in range(begin, begin + 25)]
            table.batch_write_item(RequestItems={"images": items})
        for n in range(60):
            harness._call(core.queues.ensure(core.region, f"queue-{n}"))
    finally:
        harness.close()
    return folder / "harness.db"


def copy(source: Path, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for suffix in ("", "-wal"):
        if Path(f"{source}{suffix}").exists():
            shutil.copyfile(f"{source}{suffix}", folder / f"eventflow.db{suffix}")
    return folder / "eventflow.db"


def rows(path: Path) -> Rows:
    """All rows of all tables, by SQLite."""
    with closing(sqlite3.connect(path)) as connection:
        names = [name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")]
        return {name: sorted(connection.execute(f'SELECT * FROM "{name}" NOT INDEXED').fetchall(), key=repr) for name in names}


def pages_of(path: Path, kind: str) -> list[int]:
    """The pages of the trees of a kind (``table`` or ``index``), roots first, by SQLite's own account (a table without rowids has no index)."""
    found = []
    with closing(sqlite3.connect(path)) as connection:
        roots = connection.execute("SELECT rootpage, name FROM sqlite_schema WHERE type = ? AND rootpage > 1", (kind,)).fetchall()
    data = path.read_bytes()
    for root, _name in roots:
        waiting = [root]
        while waiting:
            number = waiting.pop()
            found.append(number)
            waiting += children(data[(number - 1) * PAGE : number * PAGE])
    return found


def children(page: bytes) -> list[int]:
    if page[0] not in (2, 5):
        return []
    count = struct.unpack_from(">H", page, 3)[0]
    places = struct.unpack_from(f">{count}H", page, 12)
    return [struct.unpack_from(">I", page, place)[0] for place in places] + [struct.unpack_from(">I", page, 8)[0]]


def overwrite(path: Path, place: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(place)
        file.write(data)
