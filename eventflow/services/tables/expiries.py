"""When items expire, as rows: kept in step with the items, so that those that are due are found by an index."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from eventflow.services.attributes.values import Item
from eventflow.services.tables.definition import Lifetime
from eventflow.services.tables.keys import RowKey

ADD = "INSERT OR IGNORE INTO table_expiries (lifetime_id, instant, item_id) VALUES (?, ?, ?)"
REMOVE = "DELETE FROM table_expiries WHERE lifetime_id = ? AND instant = ? AND item_id = ?"
#: The oldest first; an item whose row was lost in a repair is none.
DUE = """
SELECT e.instant, e.item_id, i.hash, i.sort FROM table_expiries AS e LEFT JOIN table_items AS i ON i.id = e.item_id
WHERE e.lifetime_id = ? AND e.instant >= ? AND e.instant < ? ORDER BY e.instant LIMIT ?
"""

#: Items whose time to live ended longer ago than this many seconds are not deleted, as on AWS: so old an instant is a mistake.
FIVE_YEARS = 5 * 365 * 86_400


def change_expiry(connection: sqlite3.Connection, lifetime: Lifetime, key: RowKey, item_id: int, old: Item | None, new: Item | None) -> None:
    before, after = lifetime.instant(old), lifetime.instant(new)
    if before == after or not lifetime.covers(key):
        return
    if before is not None:
        connection.execute(REMOVE, (lifetime.id, before, item_id))
    if after is not None:
        add_expiry(connection, lifetime, item_id, after)


def add_expiry(connection: sqlite3.Connection, lifetime: Lifetime, item_id: int, instant: int) -> None:
    connection.execute(ADD, (lifetime.id, instant, item_id))


def remove_expiry(connection: sqlite3.Connection, lifetime: Lifetime, instant: int, item_id: int) -> None:
    connection.execute(REMOVE, (lifetime.id, instant, item_id))


def due(connection: sqlite3.Connection, lifetime: Lifetime, now: float, most: int) -> Sequence[tuple[int, int, bytes | None, bytes | None]]:
    """Instant, identifier, hash and sort of items that have expired."""
    return connection.execute(DUE, (lifetime.id, int(now) - FIVE_YEARS, int(now), most)).fetchall()
