"""What statements cost: each finds its rows by an index, and a page costs the same in a table of a thousand items and of fifty thousand."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from table_bench import steps_of

from eventflow.database import migrations, statements
from eventflow.services.tables import catalog, collections, expiries, items, query, scan, sweeping, tags, upkeep

READS = {
    "fetch": items.FETCH,
    "query": query.UP,
    "query down": query.DOWN,
    "query of an index": query.INDEX_UP,
    "query of an index down": query.INDEX_DOWN,
    "scan": scan.ITEMS,
    "scan of an index": scan.ENTRIES,
    "backfill": upkeep.FOLLOWING,
    "expired": expiries.DUE,
    "collection": collections.SIZE,
    "table": catalog.FIND,
    "load": catalog.LOAD,
    "tags": tags.LIST,
    **{f"{number} {what}": sql for number, each in enumerate(sweeping.SWEEPS) for what, sql in enumerate(each.statements)},
}
WRITES = {
    "update": items.UPDATE,
    "delete": items.DELETE,
    "leave": items.LEAVE,
    "resize": items.RESIZE,
    "count": items.COUNT,
    "expiry": expiries.REMOVE,
    "forget": collections.FORGET,
}


@pytest.fixture(scope="module")
def connection() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:")) as connection:
        for _version, script in migrations("tables", "eventflow.services"):
            for statement in statements(script):
                connection.execute(statement)
        yield connection


@pytest.mark.parametrize("sql", [pytest.param(sql, id=name) for name, sql in (READS | WRITES).items()])
def test_every_statement_finds_its_rows_by_an_index_and_sorts_none(connection: sqlite3.Connection, sql: str) -> None:
    plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}", (None,) * sql.count("?"))]
    assert plan
    for step in plan:
        assert not step.startswith("SCAN") or step == "SCAN found", plan  # the owners of rows, of whom there are as many as tables
        assert "TEMP B-TREE" not in step, plan


MIDDLE = b"00000500"
PAGES: list[tuple[str, tuple[Any, ...]]] = [
    (items.FETCH, (1, 7, b"h", MIDDLE)),
    (query.UP, (1, 7, b"h", MIDDLE, b"\xff")),
    (query.DOWN, (1, 7, b"h", b"", MIDDLE)),
    (query.INDEX_UP, (1, 7, b"h", b"s", b"h", MIDDLE, b"\xff", b"", b"")),
    (query.INDEX_DOWN, (1, 7, b"h", b"", b"", b"", b"s", b"h", MIDDLE)),
    (scan.ITEMS, (1, 7, b"h", MIDDLE, 65536)),
    (scan.ENTRIES, (1, 7, b"h", b"s", b"h", MIDDLE, 65536)),
    (upkeep.FOLLOWING, (1, 7, b"h", MIDDLE, 10)),
    (expiries.DUE, (1, 100, 2000, 10)),
]


def fill(connection: sqlite3.Connection, count: int) -> None:
    """All items have one hash key and one index key, which is the worst: nothing but the order within them narrows a page down."""
    connection.execute("DELETE FROM table_items")
    connection.execute("DELETE FROM table_entries")
    connection.execute("DELETE FROM table_expiries")
    rows = [(number + 1, b"%08d" % number) for number in range(count)]
    connection.executemany(
        "INSERT INTO table_items (id, table_id, slot, hash, sort, body, binary, bytes) VALUES (?, 1, 7, x'68', ?, '{}', 0, 9)", rows
    )
    connection.executemany("INSERT INTO table_entries VALUES (1, 7, x'68', x'73', x'68', ?, ?, 9)", [(sort, number) for number, sort in rows])
    connection.executemany("INSERT INTO table_expiries VALUES (1, ?, ?)", [(number, number) for number, _sort in rows])


def steps(connection: sqlite3.Connection, sql: str, parameters: tuple[Any, ...], wanted: int = 10) -> int:
    """Steps of SQLite's machine that a page of ten takes."""

    def page() -> None:
        rows = connection.execute(sql, parameters).fetchmany(wanted)
        assert len(rows) == (1 if sql == items.FETCH else wanted)

    return steps_of(connection, page)


def test_a_page_costs_the_same_in_a_small_table_and_in_a_large_one(connection: sqlite3.Connection) -> None:
    fill(connection, 1000)
    small = [steps(connection, sql, parameters) for sql, parameters in PAGES]
    fill(connection, 50_000)
    assert [steps(connection, sql, parameters) for sql, parameters in PAGES] == small
    assert max(small) < 600


def test_rows_of_what_is_gone_are_deleted_in_slices_that_cost_the_same(connection: sqlite3.Connection) -> None:
    taken = {}
    for count in (5000, 50_000):
        fill(connection, count)
        taken[count] = 0

        def step(count: int = count) -> None:
            taken[count] += 1

        connection.set_progress_handler(step, 100)
        assert sweeping.sweep(connection) == 3 * sweeping.SLICE
        connection.set_progress_handler(None, 0)
    assert taken[50_000] <= 1.2 * taken[5000]
    while sweeping.sweep(connection):
        pass
    for table in ("table_items", "table_entries", "table_expiries"):
        assert connection.execute(f"SELECT COUNT(*) FROM {table}").fetchone() == (0,)
