"""Database when the disk fails under it: what failed is refused, what was acknowledged stays, and it goes on by itself."""

import asyncio
import logging
import resource
import sqlite3
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from eventflow.database import Database
from eventflow.errors import StateDamaged, StorageError
from tests.faults.conftest import BadDisk


class Failing(sqlite3.Connection):
    """A connection on which the statements in ``failing`` raise what SQLite raises for a disk that fails."""

    failing: dict[str, int] = {}

    def execute(self, sql: str, *arguments: Any) -> sqlite3.Cursor:
        left = Failing.failing.get(sql, 0)
        if left:
            Failing.failing[sql] = left - 1
            raise disk_error()
        return super().execute(sql, *arguments)


def disk_error() -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR_WRITE
    return error


@pytest.fixture(autouse=True)
def _nothing_fails() -> None:
    Failing.failing = {}


def in_database(path: Path, work: Any, connection: type[sqlite3.Connection] = sqlite3.Connection) -> Any:
    async def main() -> Any:
        database = Database(path, connection)
        try:
            await database.write(
                lambda connection: connection.execute("CREATE TABLE IF NOT EXISTS t (x INTEGER PRIMARY KEY, filler BLOB)").fetchall()
            )
            return await work(database)
        finally:
            database.close()

    return asyncio.run(main())


def insert(value: int, size: int = 0) -> Any:
    return lambda connection: connection.execute("INSERT INTO t VALUES (?, zeroblob(?))", (value, size)).rowcount


async def rows(database: Database) -> list[int]:
    return [row[0] for row in await database.read(lambda connection: connection.execute("SELECT x FROM t ORDER BY x").fetchall())]


@pytest.mark.parametrize("statement", ["BEGIN IMMEDIATE", "SAVEPOINT change", "RELEASE change", "COMMIT"])
def test_a_step_that_fails_refuses_the_group_and_the_next_one_is_kept(tmp_path: Path, statement: str, caplog: pytest.LogCaptureFixture) -> None:
    async def work(database: Database) -> tuple[list[Any], list[int]]:
        await database.write(insert(1))
        Failing.failing[statement] = 1
        refused = await asyncio.gather(database.write(insert(2)), database.write(insert(3)), return_exceptions=True)
        await database.write(insert(4))
        return refused, await rows(database)

    with caplog.at_level(logging.INFO, "eventflow.database"):
        refused, kept = in_database(tmp_path / "x.db", work, Failing)
    assert kept == [1, 4]
    assert [type(error) for error in refused] == [StorageError, StorageError]
    assert "disk I/O error" in str(refused[0])
    assert "kernel's log" in str(refused[0])
    told = [record.message for record in caplog.records]
    assert len(told) == 2
    assert "told once" in told[0]
    assert "can be written again" in told[1]


def test_a_rollback_that_fails_takes_another_connection(tmp_path: Path) -> None:
    async def work(database: Database) -> tuple[bool, list[int]]:
        await database.write(insert(1))
        former = database._writer
        Failing.failing.update({"COMMIT": 1, "ROLLBACK": 1})
        with pytest.raises(StorageError, match="disk I/O error"):
            await database.write(insert(2))
        await database.write(insert(3))
        return database._writer is former, await rows(database)

    assert in_database(tmp_path / "x.db", work, Failing) == (False, [1, 3])


def test_it_goes_on_trying_while_no_connection_can_be_had(tmp_path: Path) -> None:
    async def work(database: Database) -> list[int]:
        Failing.failing.update({"COMMIT": 1, "ROLLBACK": 3, "BEGIN IMMEDIATE": 2, "PRAGMA journal_mode = WAL": 1})
        for number in range(3):
            with pytest.raises(StorageError):
                await database.write(insert(number))
        await database.write(insert(7))
        return await rows(database)

    assert in_database(tmp_path / "x.db", work, Failing) == [7]


def test_a_read_that_fails_says_so_and_the_next_one_has_another_connection(tmp_path: Path) -> None:
    def fail(_connection: sqlite3.Connection) -> None:
        raise disk_error()

    async def work(database: Database) -> list[int]:
        await database.write(insert(1))
        for ask in (database.read, database.look):
            with pytest.raises(StorageError, match=r"cannot be read: disk I/O error\. To do"):
                await ask(fail)
            with pytest.raises(sqlite3.OperationalError, match="no such table"):
                await ask(lambda connection: connection.execute("SELECT * FROM missing"))
        return await rows(database)

    assert in_database(tmp_path / "x.db", work) == [1]


def test_no_memory_refuses_the_change(tmp_path: Path) -> None:
    def exhausted(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO t VALUES (1, NULL)")
        raise MemoryError

    async def work(database: Database) -> list[int]:
        with pytest.raises(StorageError, match="out of memory"):
            await database.write(exhausted)
        await database.write(insert(2))
        return await rows(database)

    assert in_database(tmp_path / "x.db", work) == [2]


def test_a_write_that_is_cut_short_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit of a file's size makes the kernel write the first bytes of a page, and fail on the rest."""
    monkeypatch.setattr(Database, "_lengthen_log", lambda _database: None)  # the log's file is to end where its content does
    path = tmp_path / "x.db"
    log = Path(f"{path}-wal")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    async def work(database: Database) -> list[int]:
        await database.write(insert(1, 50_000))
        resource.setrlimit(resource.RLIMIT_FSIZE, (log.stat().st_size + 10_001, hard))  # noqa: ASYNC240
        try:
            for number in (2, 3):
                with pytest.raises(StorageError, match="disk I/O error"):
                    await database.write(insert(number, 100_000))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        await database.write(insert(4, 100_000))
        return await rows(database)

    assert in_database(path, work) == [1, 4]
    assert in_database(path, rows) == [1, 4]
    assert sqlite3.connect(path).execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_a_read_only_file_is_told_and_written_again_when_it_may_be(tmp_path: Path) -> None:
    async def work(database: Database) -> list[int]:
        database._writer.execute("PRAGMA query_only = ON")
        with pytest.raises(StorageError, match="mounted read-only"):
            await database.write(insert(1))
        database._writer.execute("PRAGMA query_only = OFF")
        await database.write(insert(2))
        return await rows(database)

    assert in_database(tmp_path / "x.db", work) == [2]


CHILD = """
import asyncio, os, sys
from pathlib import Path
from eventflow.database import Database
from eventflow.errors import StorageError

flag = os.environ["FAULT_FLAG"]

def insert(value):
    return lambda connection: connection.execute("INSERT INTO t VALUES (?)", (value,)).rowcount

async def main():
    database = Database(sys.argv[1])
    await database.write(lambda connection: connection.execute("CREATE TABLE t (x INTEGER PRIMARY KEY)").fetchall())
    await database.write(insert(1))
    for what in sys.argv[3:]:
        Path(flag + what).touch()
    try:
        await database.write(insert(2))
    except StorageError as error:
        print("refused:", error)
    for what in sys.argv[3:]:
        Path(flag + what).unlink()
    if sys.argv[2] == "goes-on":
        await database.write(insert(3))
        print("kept", [row[0] for row in await database.read(lambda connection: connection.execute("SELECT x FROM t").fetchall())])
    os.kill(os.getpid(), 9)

asyncio.run(main())
"""


def run_child(tmp_path: Path, disk: BadDisk, *arguments: str) -> str:
    script = tmp_path / "child.py"
    script.write_text(textwrap.dedent(CHILD))
    command = [sys.executable, "-u", str(script), str(tmp_path / "x.db"), *arguments]
    path = {"PYTHONPATH": ":".join(entry for entry in sys.path if entry), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(command, capture_output=True, text=True, env={**path, **disk.variables}, timeout=120, check=False)
    assert done.returncode == -9, done.stderr
    return done.stdout


@pytest.mark.parametrize("what", ["sync", "write"])
def test_after_a_commit_that_failed_in_its_sync_what_was_refused_never_comes_back(tmp_path: Path, bad_disk: BadDisk, what: str) -> None:
    """The pages of a commit whose sync failed are in the log: one more change later not even a restart finds them."""
    told = run_child(tmp_path, bad_disk, "goes-on", what)
    assert "refused: " in told
    assert "disk I/O error" in told
    assert "kept [1, 3]" in told
    assert in_database(tmp_path / "x.db", rows) == [1, 3]


def test_killed_before_the_next_change_at_worst_the_refused_one_exists(tmp_path: Path, bad_disk: BadDisk) -> None:
    assert "refused: " in run_child(tmp_path, bad_disk, "dies", "sync")
    assert in_database(tmp_path / "x.db", rows) in ([1], [1, 2])


def test_a_file_that_is_no_database_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "x.db").write_bytes(b"not a database, by any means" * 1000)
    with pytest.raises(StateDamaged, match="journal repair"):
        Database(tmp_path / "x.db")


def test_damage_met_while_running_is_told_once_and_the_rest_goes_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "x.db"

    async def fill(database: Database) -> None:
        await database.write(lambda connection: connection.execute("CREATE TABLE other (y)").fetchall())
        for number in range(200):
            await database.write(insert(number, 3_000))

    in_database(path, fill)
    with path.open("r+b") as file:
        file.seek(30 * 4096)
        file.write(b"\xff" * 8 * 4096)

    async def meet(database: Database) -> None:
        for _time in range(2):
            with pytest.raises(StateDamaged, match="journal check"):
                await database.read(lambda connection: connection.execute("SELECT sum(x) FROM t NOT INDEXED").fetchall())
        with pytest.raises(StateDamaged, match="journal check"):
            await database.write(lambda connection: connection.execute("UPDATE t SET x = x + 1000").fetchall())
        await database.write(lambda connection: connection.execute("INSERT INTO other VALUES (1)").fetchall())
        assert await database.read(lambda connection: connection.execute("SELECT y FROM other").fetchall()) == [(1,)]

    in_database(path, meet)
    assert [record.levelname for record in caplog.records] == ["CRITICAL"]
