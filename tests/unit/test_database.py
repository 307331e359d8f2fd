"""Database: group commit, isolation of failures, durability, migrations, and a disk that is full."""

import asyncio
import errno
import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from eventflow.database import LOG_PAGES, LOG_PIECE, PAGE, Database, statements
from eventflow.errors import StorageError
from eventflow.journals import sqlite


def in_database(path: Path | str, work: Any) -> Any:
    async def main() -> Any:
        database = Database(path)
        try:
            return await work(database)
        finally:
            database.close()

    return asyncio.run(main())


def insert(value: int) -> Any:
    return lambda connection: connection.execute("INSERT INTO t VALUES (?)", (value,)).rowcount


async def make_table(database: Database) -> None:
    await database.write(lambda connection: connection.execute("CREATE TABLE t (x INTEGER PRIMARY KEY)"))


@pytest.mark.parametrize("memory", [False, True])
def test_what_was_written_is_read(tmp_path: Path, memory: bool) -> None:
    async def work(database: Database) -> list[tuple[int]]:
        await make_table(database)
        await asyncio.gather(*(database.write(insert(n)) for n in range(300)))
        return await database.read(lambda connection: connection.execute("SELECT count(*) FROM t").fetchall())

    assert in_database(":memory:" if memory else tmp_path / "x.db", work) == [(300,)]


def test_a_change_that_fails_is_rolled_back_alone(tmp_path: Path) -> None:
    def half(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO t VALUES (1000)")
        raise KeyError("boom")

    async def work(database: Database) -> tuple[list[Any], list[tuple[int]]]:
        await make_table(database)
        results = await asyncio.gather(
            database.write(insert(1)), database.write(half), database.write(insert(1)), database.write(insert(2)), return_exceptions=True
        )
        return results, await database.read(lambda connection: connection.execute("SELECT x FROM t ORDER BY x").fetchall())

    results, rows = in_database(tmp_path / "x.db", work)
    assert [type(result) for result in results] == [int, KeyError, sqlite3.IntegrityError, int]
    assert rows == [(1,), (2,)]


@pytest.mark.parametrize("memory", [False, True])
def test_a_look_sees_what_was_acknowledged(tmp_path: Path, memory: bool) -> None:
    async def work(database: Database) -> list[tuple[int]]:
        await make_table(database)
        await database.write(insert(1))
        first = await database.look(lambda connection: connection.execute("SELECT x FROM t").fetchall())
        await database.write(insert(2))
        return first + await database.look(lambda connection: connection.execute("SELECT x FROM t").fetchall())

    assert in_database(":memory:" if memory else tmp_path / "x.db", work) == [(1,), (1,), (2,)]


def test_a_change_that_goes_along_is_kept_with_the_next_and_before_it(tmp_path: Path) -> None:
    async def work(database: Database) -> list[tuple[int]]:
        await make_table(database)
        along = [database.write_along(insert(value)) for value in (1, 2)]
        rows = await database.write(lambda connection: connection.execute("SELECT x FROM t ORDER BY x").fetchall())
        assert [change.result() for change in along] == [1, 1]
        return rows

    assert in_database(tmp_path / "x.db", work) == [(1,), (2,)]


def test_a_change_that_goes_along_with_nobody_is_kept_all_the_same(tmp_path: Path) -> None:
    path = tmp_path / "x.db"

    async def alone(database: Database) -> int:
        await make_table(database)
        return await database.write_along(insert(1))

    async def closed(database: Database) -> None:
        database.write_along(insert(2))

    async def read(database: Database) -> list[tuple[int]]:
        return await database.read(lambda connection: connection.execute("SELECT x FROM t").fetchall())

    assert in_database(path, alone) == 1
    in_database(path, closed)
    assert in_database(path, read) == [(1,), (2,)]


def test_changes_of_one_moment_share_a_transaction(tmp_path: Path) -> None:
    async def work(database: Database) -> int:
        await make_table(database)
        commits = 0

        def count(statement: str) -> None:
            nonlocal commits
            commits += statement == "COMMIT"

        database._writer.set_trace_callback(count)
        await asyncio.gather(*(database.write(insert(n)) for n in range(200)))
        return commits

    assert in_database(tmp_path / "x.db", work) < 20


def test_a_full_disk_refuses_the_group_and_recovers(tmp_path: Path) -> None:
    async def work(database: Database) -> tuple[Any, int]:
        await make_table(database)
        await database.write(lambda connection: connection.execute("CREATE TABLE big (b BLOB)"))
        pages = await database.write(lambda connection: connection.execute("PRAGMA page_count").fetchone()[0])
        database._writer.execute(f"PRAGMA max_page_count = {pages + 2}")
        with pytest.raises(StorageError, match="full"):
            await database.write(lambda connection: connection.execute("INSERT INTO big VALUES (zeroblob(1000000))"))
        database._writer.execute("PRAGMA max_page_count = 1000000")
        await database.write(lambda connection: connection.execute("INSERT INTO big VALUES (zeroblob(1000000))"))
        return await database.read(lambda connection: connection.execute("SELECT count(*) FROM big").fetchone()[0])

    assert in_database(tmp_path / "x.db", work) == 1


def test_a_closed_database_says_so(tmp_path: Path) -> None:
    async def main() -> None:
        database = Database(tmp_path / "x.db")
        database.close()
        database.close()
        with pytest.raises(StorageError, match="closed"):
            await database.write(insert(1))

    asyncio.run(main())


def test_a_cancelled_writer_does_not_undo_its_change(tmp_path: Path) -> None:
    async def work(database: Database) -> int:
        await make_table(database)
        writing = asyncio.create_task(database.write(insert(7)))
        await asyncio.sleep(0)
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)
        await database.write(insert(8))
        return await database.read(lambda connection: connection.execute("SELECT count(*) FROM t").fetchone()[0])

    assert in_database(tmp_path / "x.db", work) == 2


def test_a_state_file_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    async def work(database: Database) -> None:
        await database.migrate("journal", "eventflow.journals")
        await database.write(lambda connection: connection.execute("UPDATE schema_versions SET version = 99"))
        with pytest.raises(StorageError, match="newer eventflow"):
            await database.migrate("journal", "eventflow.journals")

    in_database(tmp_path / "x.db", work)


def test_migrating_twice_changes_nothing(tmp_path: Path) -> None:
    async def work(database: Database) -> list[tuple[Any, ...]]:
        await database.migrate("journal", "eventflow.journals")
        await database.migrate("journal", "eventflow.journals")
        return await database.read(lambda connection: connection.execute("SELECT component, version FROM schema_versions").fetchall())

    newest = len(list((Path(sqlite.__file__).parent / "schema").glob("journal_*.sql")))
    assert in_database(tmp_path / "x.db", work) == [("journal", newest)]


def test_a_path_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="nowhere"):
        Database(tmp_path / "nowhere" / "x.db")


def test_a_script_is_cut_into_its_statements() -> None:
    script = "CREATE TABLE a (x);\n-- a comment;\nCREATE TRIGGER t AFTER INSERT ON a BEGIN\n DELETE FROM a;\nEND;\n"
    assert len(statements(script)) == 2


def test_the_log_is_lengthened_once_and_a_copy_after_a_crash_has_everything(tmp_path: Path) -> None:
    async def work(database: Database) -> None:
        await make_table(database)
        for value in range(40):
            await database.write(insert(value))
        log = tmp_path / "x.db-wal"
        assert log.stat().st_size == pytest.approx(LOG_PAGES * PAGE, abs=LOG_PIECE)
        for file in (tmp_path / "x.db", log):
            shutil.copy(file, tmp_path / file.name.replace("x.", "copy."))

    in_database(tmp_path / "x.db", work)
    with closing(sqlite3.connect(tmp_path / "copy.db")) as copy:
        assert copy.execute("SELECT count(*) FROM t").fetchone() == (40,)
        assert copy.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_log_that_cannot_be_lengthened_is_written_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_arguments: Any) -> int:
        raise OSError(errno.ENOSPC, "no room")

    async def work(database: Database) -> list[tuple[int]]:
        monkeypatch.setattr(os, "pwrite", full)
        await make_table(database)
        for value in range(5):
            await database.write(insert(value))
        return await database.read(lambda connection: connection.execute("SELECT count(*) FROM t").fetchall())

    assert in_database(tmp_path / "x.db", work) == [(5,)]
