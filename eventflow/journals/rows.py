"""Many rows in few statements: each step of a statement gives up the interpreter's lock and has to get it back."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from itertools import chain
from typing import Any

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
