"""Many rows in few steps: each step of a statement gives up the interpreter's lock and has to get it back, from an event loop that is busy."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from itertools import chain
from operator import attrgetter
from typing import Any

from eventflow.dispatch.journal import Event

#: So many rows go into one statement; a statement of each size is prepared once and kept.
CHUNKS = (256, 32, 4, 1)


class ManyRows:
    """A statement that takes many rows: ``<before> VALUES <row>, <row>, ... <after>``; ``row`` is such as ``(?, NULL, ?)``.

    With ``executemany`` the writer's thread would release the lock at every row, and wait for the event loop's thread to give it back.
    """

    def __init__(self, before: str, row: str, after: str = "") -> None:
        self._statements = {size: f"{before} VALUES {', '.join([row] * size)} {after}" for size in CHUNKS}

    def __call__(self, connection: sqlite3.Connection, rows: Sequence[tuple[Any, ...]]) -> int:
        """Do it with the rows in their order; returns how many were stored or changed."""
        stored = start = 0
        for size in CHUNKS:
            while len(rows) - start >= size:
                values = list(chain.from_iterable(rows[start : start + size]))
                stored += connection.execute(self._statements[size], values).rowcount
                start += size
        return stored


#: An instant as the text of 17 digits that gives the same float again: SQLite's JSON has 15.
COLUMNS = "id, function, length(payload), printf('%!.17g', accepted_at), key, trace, source, function_errors, system_errors, sequence, qualifier"
GATHER = f"SELECT json_group_array(json_array({COLUMNS})), group_concat(hex(payload), '') FROM events WHERE sequence IN "


class GatheredEvents:
    """The events whose sequences a query names, in one row, which is one step; read row by row beside a busy loop they would take fifty times
    as long. ``which`` is such as ``(SELECT sequence FROM events WHERE ...)``."""

    def __init__(self, which: str) -> None:
        self._statement = GATHER + which

    def __call__(self, connection: sqlite3.Connection, *arguments: Any) -> list[Event]:
        """The events, oldest first."""
        rows, digits = connection.execute(self._statement, arguments).fetchone()
        payloads = bytes.fromhex(digits or "")
        events, start = [], 0
        for id, function, size, accepted_at, *others in json.loads(rows):
            events.append(Event(id, function, payloads[start : start + size], float(accepted_at), *others))
            start += size
        return sorted(events, key=attrgetter("sequence"))
