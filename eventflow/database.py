"""One SQLite file, one writer: changes from everywhere join one transaction, and one fsync acknowledges them all (group commit)."""

from __future__ import annotations

import asyncio
import logging
import os
import queue
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

from eventflow import faultpoint
from eventflow.directories import sync_directory
from eventflow.errors import StateDamaged, StorageError

log = logging.getLogger("eventflow.database")

T = TypeVar("T")
Change = Callable[[sqlite3.Connection], Any]

#: The most changes that share one transaction; more would only make the first of them wait longer.
LARGEST_GROUP = 512
READERS = 2
#: So long, in seconds, a change that nobody waits for may wait for others to share a transaction with.
LONGEST_ALONG = 0.02
#: The write-ahead log is checkpointed when it has this many pages, and begins anew: it gets no longer.
LOG_PAGES = 4000
#: Its file is given that length in pieces of this many bytes, see ``_lengthen_log``.
LOG_PIECE = 1024 * 1024
PAGE = 4096
MEMORY = ":memory:"
BUSY_MS = 10_000

#: What to do about the faults that lie below SQLite, by its primary result code (sqlite.org/rescode.html).
REMEDIES = {
    sqlite3.SQLITE_FULL: "make room on its disk",
    sqlite3.SQLITE_IOERR: "look into the kernel's log for what is wrong with its disk",
    sqlite3.SQLITE_READONLY: "its file system is mounted read-only or the file is another user's: mount it for writing, or change its owner",
    sqlite3.SQLITE_CANTOPEN: "check that its directory is there and this user's, and that the limit of open files (ulimit -n) is not reached",
    sqlite3.SQLITE_PERM: "give the file to this user",
    sqlite3.SQLITE_BUSY: "another program holds it locked: end that",
    sqlite3.SQLITE_NOMEM: "the machine is out of memory: free some",
    sqlite3.SQLITE_PROTOCOL: "its file system does not lock as it should: use a local disk",
}
#: What Python says of a text that has wrong bytes: SQLite itself does not look into texts.
NO_TEXT = "Could not decode to UTF-8"
DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


class Database:
    """A SQLite database in WAL mode with ``synchronous=FULL``.

    ``write(change)`` runs ``change(connection)`` in the writer's thread inside a transaction and returns its value once that transaction is on disk.
    A change that raises is rolled back alone and its exception comes out of ``write``; its neighbours in the group are kept. When the
    transaction itself cannot be committed (disk full, I/O error) every change of the group gets ``StorageError`` and none is kept.
    ``read(query)`` runs on a separate connection in a reader's thread and sees all that was acknowledged. ``look(query)`` is for a row or two by
    their key: it runs here and now, on the event loop, because the way to a thread and back costs ten times as much as the query.
    ``write_along(change)`` is for a change that nobody waits for: it joins the transaction of the next ``write``, before it, and has one of its
    own if none comes within 20 ms. Changes and queries must not keep the connection.

    After a fault of the disk the next group is tried as if nothing had been. Where the file is damaged all of them raise ``StateDamaged``.
    ``connection`` is the class of its connections.
    """

    def __init__(self, path: Path | str, connection: type[sqlite3.Connection] = sqlite3.Connection) -> None:
        self.path = str(path)
        self._factory = connection
        if self.path != MEMORY:
            create_private(Path(path))
        self._changes: queue.SimpleQueue[tuple[Change, asyncio.Future[Any], asyncio.AbstractEventLoop] | None] = queue.SimpleQueue()
        self._along: list[tuple[Change, asyncio.Future[Any], asyncio.AbstractEventLoop]] = []
        self._looker: sqlite3.Connection | None = None
        self._writer = self._connect_writer()
        self._failing = False
        self._log_is_long = False
        self._damage_told = False
        #: A commit failed, and what was refused may lie unseen in the write-ahead log.
        self._refused_in_log = False
        self._local = threading.local()
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="eventflow-read") if self.path != MEMORY else None
        self._reader_connections: list[sqlite3.Connection] = []
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="eventflow-write", daemon=True)
        self._thread.start()

    def _connect_writer(self) -> sqlite3.Connection:
        connection = self._connect()
        connection.execute(f"PRAGMA wal_autocheckpoint = {LOG_PAGES}")
        return connection

    def _connect(self) -> sqlite3.Connection:
        try:
            connection = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False, cached_statements=256, factory=self._factory)
        except sqlite3.Error as error:
            raise self._cannot_open(error) from error
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute(f"PRAGMA busy_timeout = {BUSY_MS}")
            connection.execute("PRAGMA foreign_keys = ON")
        except sqlite3.Error as error:
            connection.close()
            raise self._cannot_open(error) from error
        return connection

    def _cannot_open(self, error: sqlite3.Error) -> StorageError:
        return told(self.path, error, "opened") or StorageError(
            f"The state file {self.path} cannot be opened: {error}. Check that the disk has room and the file is yours."
        )

    async def write(self, change: Callable[[sqlite3.Connection], T]) -> T:
        if self._closed:
            raise StorageError(f"The state file {self.path} is closed: the daemon is stopping, send this again when it runs.")
        loop = asyncio.get_running_loop()
        done: asyncio.Future[T] = loop.create_future()
        self._hand_in_along()
        self._changes.put((change, done, loop))
        return await done

    def write_along(self, change: Callable[[sqlite3.Connection], T]) -> asyncio.Future[T]:
        if self._closed:
            raise StorageError(f"The state file {self.path} is closed: the daemon is stopping, send this again when it runs.")
        loop = asyncio.get_running_loop()
        done: asyncio.Future[T] = loop.create_future()
        self._along.append((change, done, loop))
        if len(self._along) == 1:
            loop.call_later(LONGEST_ALONG, self._hand_in_along)
        elif len(self._along) == LARGEST_GROUP:
            self._hand_in_along()
        return done

    def _hand_in_along(self) -> None:
        for change in self._along:
            self._changes.put(change)
        self._along.clear()

    async def read(self, query: Callable[[sqlite3.Connection], T]) -> T:
        if self._readers is None:
            return await self.write(query)
        return await asyncio.get_running_loop().run_in_executor(self._readers, self._read, query)

    async def look(self, query: Callable[[sqlite3.Connection], T]) -> T:
        if self._readers is None:
            return await self.write(query)
        if self._looker not in self._reader_connections:
            self._looker = self._connect_reader()
        return self._ask(self._looker, query)

    def _read(self, query: Callable[[sqlite3.Connection], T]) -> T:
        connection = getattr(self._local, "connection", None)
        if connection not in self._reader_connections:
            connection = self._local.connection = self._connect_reader()
        return self._ask(connection, query)

    def _connect_reader(self) -> sqlite3.Connection:
        connection = self._connect()
        connection.execute("PRAGMA query_only = ON")
        self._reader_connections.append(connection)
        return connection

    def _ask(self, connection: sqlite3.Connection, query: Callable[[sqlite3.Connection], T]) -> T:
        try:
            return query(connection)
        except (sqlite3.Error, MemoryError) as error:
            explained = told(self.path, error, "read")
            if explained is None:
                raise
            # What this connection holds of the file is not trusted: the next query opens another.
            self._reader_connections.remove(connection)
            connection.close()
            self._tell_damage(explained)
            raise explained from error

    async def migrate(self, component: str, package: str) -> None:
        """Bring a component's tables up to date from the numbered files ``schema/<component>_NNN.sql`` in ``package``; each runs once."""
        scripts = migrations(component, package)

        def bring_up_to_date(connection: sqlite3.Connection) -> None:
            connection.execute("CREATE TABLE IF NOT EXISTS schema_versions (component TEXT PRIMARY KEY, version INTEGER NOT NULL)")
            row = connection.execute("SELECT version FROM schema_versions WHERE component = ?", (component,)).fetchone()
            current = row[0] if row else 0
            newest = scripts[-1][0] if scripts else 0
            if current > newest:
                raise StorageError(
                    f"The state file {self.path} was written by a newer eventflow ({component} schema {current}, this one knows {newest}). "
                    "Install that version again, or start with another --state directory."
                )
            for version, script in scripts:
                if version > current:
                    for statement in statements(script):
                        connection.execute(statement)
            connection.execute(
                "INSERT INTO schema_versions VALUES (?, ?) ON CONFLICT (component) DO UPDATE SET version = excluded.version", (component, newest)
            )

        await self.write(bring_up_to_date)

    def close(self) -> None:
        """Commit what was handed in, then close. Blocks for as long as that takes."""
        if self._closed:
            return
        self._closed = True
        self._hand_in_along()
        self._changes.put(None)
        self._thread.join()
        if self._readers is not None:
            self._readers.shutdown(wait=True)
        for connection in (*self._reader_connections, self._writer):
            connection.close()

    # The writer's thread from here on.

    def _run(self) -> None:
        while (first := self._changes.get()) is not None:
            group = [first]
            stop = False
            while len(group) < LARGEST_GROUP:
                try:
                    following = self._changes.get_nowait()
                except queue.Empty:
                    break
                if following is None:
                    stop = True
                    break
                group.append(following)
            self._commit(group)
            if stop:
                return
            self._lengthen_log()

    def _commit(self, group: list[tuple[Change, asyncio.Future[Any], asyncio.AbstractEventLoop]]) -> None:
        results: list[tuple[asyncio.Future[Any], Any, BaseException | None]] = []
        try:
            if self._refused_in_log:
                self._roll_back()
                self._clear_log()
            self._writer.execute("BEGIN IMMEDIATE")
            faultpoint.reach("transaction.begun")
            for change, done, _loop in group:
                results.append((done, *self._apply(change)))
            faultpoint.reach("transaction.applied")
            self._writer.execute("COMMIT")
            faultpoint.reach("transaction.committed")
        except Exception as error:
            self._abandon()
            refusal = told(self.path, error, "written") or StorageError(
                f"The state file {self.path} cannot be written: {error}. Nothing of this change was kept; "
                "free space or check the disk, then send it again."
            )
            self._tell_failure(refusal)
            results = [(done, None, refusal) for _change, done, _loop in group]
        else:
            if self._failing and not any(isinstance(error, StorageError) for _done, _value, error in results):
                log.warning("The state file %s can be written again.", self.path)
                self._failing = False
        by_loop: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[Any], Any, BaseException | None]]] = {}
        for (_change, _done, loop), result in zip(group, results, strict=True):
            by_loop.setdefault(loop, []).append(result)
        for loop, resolved in by_loop.items():
            try:
                loop.call_soon_threadsafe(resolve, resolved)
            except RuntimeError:
                # The loop is gone: whoever waited went with it, and what was committed stays committed.
                continue

    def _lengthen_log(self) -> None:
        """Append zeros to the write-ahead log until it is as long as it will ever be, a piece after a commit that has been acknowledged.

        A sync of a file that has grown writes the file system's own books as well, and takes three times as long as one of bytes that were
        overwritten. SQLite reads zeros as the end of the log, as it does what is left in it of former rounds.
        """
        if self._log_is_long or self.path == MEMORY:
            return
        try:
            descriptor = os.open(f"{self.path}-wal", os.O_WRONLY | os.O_CLOEXEC)
            try:
                size = os.fstat(descriptor).st_size
                self._log_is_long = size >= LOG_PAGES * PAGE
                if not self._log_is_long:
                    os.pwrite(descriptor, bytes(LOG_PIECE), size)
            finally:
                os.close(descriptor)
        except OSError as error:
            log.debug("the write-ahead log keeps its length: %s", error)  # it is a matter of speed alone; a full disk is told by the next commit
            self._log_is_long = True

    def _apply(self, change: Change) -> tuple[Any, BaseException | None]:
        self._writer.execute("SAVEPOINT change")
        try:
            value = change(self._writer)
        except BaseException as error:
            if isinstance(error, sqlite3.Error | MemoryError) and not self._writer.in_transaction:
                raise  # SQLite ended the whole transaction by itself (disk full, I/O error)
            self._undo()
            explained = told(self.path, error, "written")
            if explained is not None:
                self._tell_failure(explained)
            return None, explained or error
        self._writer.execute("RELEASE change")
        return value, None

    def _undo(self) -> None:
        self._writer.execute("ROLLBACK TO change")
        self._writer.execute("RELEASE change")

    def _abandon(self) -> None:
        """Undo a transaction that cannot be committed."""
        self._refused_in_log = True
        self._roll_back()

    def _roll_back(self) -> None:
        try:
            if self._writer.in_transaction:
                self._writer.execute("ROLLBACK")
        except sqlite3.Error:
            self._renew()

    def _renew(self) -> None:
        """Take another connection. The old one is closed after the new one is open: while any is, SQLite does not read the log's refused end
        back in, and what was refused stays refused."""
        try:
            fresh = self._connect_writer()
        except StorageError as error:
            log.error("%s", error)  # the next change tries again
            return
        self._writer, former = fresh, self._writer
        former.close()

    def _clear_log(self) -> None:
        """Empty the write-ahead log. A commit that failed in its last step (the sync) leaves its pages there: no reader sees them and the next
        commit overwrites them, but if the machine died before that, the next start would bring back what was refused."""
        self._writer.execute("PRAGMA busy_timeout = 0")
        try:
            self._refused_in_log = bool(self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0])
        except sqlite3.Error as error:
            log.debug("the log keeps its refused end for now: %s", error)  # the commit that follows overwrites it, or fails and says why
        finally:
            self._writer.execute(f"PRAGMA busy_timeout = {BUSY_MS}")

    def _tell_failure(self, refusal: StorageError) -> None:
        self._tell_damage(refusal)
        if not self._failing and not isinstance(refusal, StateDamaged):
            log.error("%s This is told once; what comes is refused until the file can be written.", refusal)
            self._failing = True

    def _tell_damage(self, refusal: StorageError) -> None:
        if isinstance(refusal, StateDamaged) and not self._damage_told:
            log.critical("%s", refusal)
            self._damage_told = True


def told(path: str, error: BaseException, what: str) -> StorageError | None:
    """A fault of the disk, the machine or the file as people can act on it; None for an error of the statement itself."""
    extended: int = sqlite3.SQLITE_NOMEM if isinstance(error, MemoryError) else getattr(error, "sqlite_errorcode", 0)
    if extended == sqlite3.SQLITE_IOERR_SHMSIZE:  # a full disk as it looks when the write-ahead log's index has to grow first
        extended, error = sqlite3.SQLITE_FULL, sqlite3.OperationalError("database or disk is full")
    code = extended & 0xFF
    if code in DAMAGED or str(error).startswith(NO_TEXT):
        return StateDamaged(
            f"The state file {path} is damaged: {error}. Look at it with `eventflow journal check`; "
            "then stop the daemon and run `eventflow journal repair`."
        )
    if code not in REMEDIES:
        return None
    nothing = {"written": " Nothing of this change was kept.", "read": "", "opened": ""}[what]
    return StorageError(f"The state file {path} cannot be {what}: {error or 'out of memory'}.{nothing} To do: {REMEDIES[code]}, then try again.")


#: Where the components' numbered schema files are.
PACKAGES = ("eventflow.journals", "eventflow.services")


def components() -> dict[str, str]:
    """Every component that has tables in the state file, and the package of its schema files."""
    return {
        entry.name.rpartition("_")[0]: package
        for package in PACKAGES
        for entry in (resources.files(package) / "schema").iterdir()
        if entry.name.endswith(".sql")
    }


def migrations(component: str, package: str) -> list[tuple[int, str]]:
    """The numbers and the texts of a component's schema files, in order."""
    return sorted(
        (int(entry.name.removesuffix(".sql").rpartition("_")[2]), entry.read_text())
        for entry in (resources.files(package) / "schema").iterdir()
        if entry.name.startswith(f"{component}_") and entry.name.endswith(".sql")
    )


def create_private(path: Path) -> None:
    """Make the file, if it is not there, for its owner's eyes alone: SQLite gives the files beside it the same mode."""
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
        sync_directory(path.parent)  # or the file's name could be gone after a power cut, with all that was acknowledged in it
    except OSError as error:
        raise StorageError(f"The state file {path} cannot be opened: {error}. Check that the disk has room and the file is yours.") from error


def resolve(results: list[tuple[asyncio.Future[Any], Any, BaseException | None]]) -> None:
    for done, value, error in results:
        if done.done():
            continue  # whoever waited was cancelled
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(value)


def statements(script: str) -> list[str]:
    """A script's statements one by one: ``executescript`` would commit the transaction that they must share."""
    found: list[str] = []
    current = ""
    for line in script.splitlines():
        current += line + "\n"
        if sqlite3.complete_statement(current):
            found.append(current)
            current = ""
    return found
