"""Rows of tables, indexes and times to live that are gone: deleted a slice at a time, so that other writes get in between."""

from __future__ import annotations

import sqlite3

SLICE = 2000

#: From owner to owner it is a step in the key: one who has millions of rows costs no more than one who has a row.
GONE = """
WITH RECURSIVE found (id) AS (
    SELECT MIN({owner}) FROM {rows} UNION ALL
    SELECT (SELECT MIN({owner}) FROM {rows} WHERE {owner} > found.id) FROM found WHERE found.id IS NOT NULL
)
SELECT found.id FROM found WHERE found.id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM {owners} WHERE {owners}.id = found.id) LIMIT 1
"""
#: The last row of a slice, and all up to it: a range of the key, however many rows have the beginning of theirs in common.
EDGE = "SELECT {key} FROM {rows} WHERE {owner} = ? ORDER BY {key} LIMIT 1 OFFSET ?"
UP_TO = "DELETE FROM {rows} WHERE {owner} = ? AND ({key}) <= ({marks})"
REST = "DELETE FROM {rows} WHERE {owner} = ?"


class Sweep:
    """Deletes rows by their owner: ``owner`` and ``key`` are the columns of their key, ``owners`` is the table of those who are there."""

    def __init__(self, rows: str, owner: str, key: str, owners: str) -> None:
        names = {"rows": rows, "owner": owner, "key": key, "owners": owners, "marks": ", ".join("?" for _column in key.split(","))}
        self.statements = tuple(statement.format(**names) for statement in (GONE, EDGE, UP_TO, REST))

    def gone(self, connection: sqlite3.Connection) -> int:
        """Delete a slice of an owner who is gone; how many rows that were."""
        owner = connection.execute(self.statements[0]).fetchone()
        return self.slice(connection, owner[0]) if owner else 0

    def slice(self, connection: sqlite3.Connection, owner: int) -> int:
        """Delete a slice of one owner's rows; fewer than ``SLICE`` are the last."""
        _gone, edge, up_to, rest = self.statements
        last = connection.execute(edge, (owner, SLICE - 1)).fetchone()
        if last is None:
            return connection.execute(rest, (owner,)).rowcount
        return connection.execute(up_to, (owner, *last)).rowcount


ENTRIES = Sweep("table_entries", "index_id", "slot, hash, sort, item_hash, item_sort", "table_indexes")
SWEEPS = (
    Sweep("table_items", "table_id", "slot, hash, sort", "tables"),
    ENTRIES,
    Sweep("table_expiries", "lifetime_id", "instant, item_id", "table_lifetimes"),
    Sweep("table_collections", "table_id", "slot, hash", "tables"),
)


def sweep(connection: sqlite3.Connection) -> int:
    """Delete some rows of what is gone; how many those were, 0 when none are left."""
    return sum(kind.gone(connection) for kind in SWEEPS)
