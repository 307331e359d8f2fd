"""Saves what can be read of a damaged state file into a new one, row by row, and puts that in its place."""

from __future__ import annotations

import difflib
import os
import shutil
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from eventflow.database import components, create_private, migrations, statements
from eventflow.errors import StorageError
from eventflow.journals.check import NO_SUCH, RULES, Report, check
from eventflow.journals.pages import INTERIOR_INDEX, LEAF_INDEX, LEAF_TABLE, Cell, Fits, Pages, Reading, Trees, Unreadable, Value

SCHEMA_ROOT = 1
SCHEMA_FITS = Fits([("TEXT", True), ("TEXT", True), ("TEXT", True), ("INTEGER", False), ("TEXT", False)], None, 5)
VERSIONS = "CREATE TABLE schema_versions (component TEXT PRIMARY KEY, version INTEGER NOT NULL)"
#: How alike two CREATE statements must be for one to be the other with some wrong bytes.
ALIKE = 0.9
#: A file of a newer eventflow that changed no table is at most so many versions ahead; what is further ahead, and has no table that is not known, has
#: a wrong byte.
MOST_AHEAD = 3
BATCH = 1000


@dataclass
class Saved:
    """What became of one table: ``rows`` are in the new file, ``of_strays`` of them from pages that no readable tree leads to, which may be
    older than the others; ``bad_rows`` and ``bad_pages`` (of an unknown number of rows) could not be read; ``refused`` rows were read and
    contradict others."""

    rows: int = 0
    of_strays: int = 0
    bad_rows: int = 0
    bad_pages: int = 0
    refused: int = 0

    @property
    def whole(self) -> bool:
        return not (self.of_strays or self.bad_rows or self.bad_pages or self.refused)


@dataclass
class Repair:
    """``kept`` is where the damaged file lies now; ``notes`` tell what was changed so that the tables agree with one another."""

    kept: Path
    tables: dict[str, Saved] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Table:
    """A table of the new file. ``stored`` are its columns in the order of a record, ``rowid_column`` the place of the one that is the rowid."""

    name: str
    indexed: bool
    stored: Sequence[str]
    kinds: Sequence[tuple[str, bool]]
    rowid_column: int | None
    sql: str

    @property
    def fits(self) -> Fits:
        return Fits(self.kinds, self.rowid_column, self._fewest)

    @property
    def _fewest(self) -> int:
        """A column that a migration added is not in older rows; one that may not be NULL and has no default always was there."""
        return 1 + max((index for index, (_kind, needed) in enumerate(self.kinds) if needed), default=0)

    def row(self, cell: Cell) -> tuple[Value, ...]:
        values = list(cell.values)
        if self.rowid_column is not None:
            values[self.rowid_column] = cell.rowid
        return tuple(values)

    def insert(self, values: int) -> str:
        columns = ", ".join(f'"{column}"' for column in self.stored[:values])
        return f'INSERT OR IGNORE INTO "{self.name}" ({columns}) VALUES ({", ".join("?" * values)})'


def repair(path: Path, stamp: str) -> Repair:
    """Salvage a state file that no daemon owns. The damaged one is kept beside it with ``stamp`` in its name. Raises StorageError."""
    kept, repaired, making = path.with_name(f"{path.name}.damaged-{stamp}"), Path(f"{path}.repaired"), Path(f"{path}.repairing")
    try:
        if repaired.exists():
            swap(path, repaired, kept)
            return Repair(kept, notes=["an earlier repair was all but done; it was finished"])
        need_room(path)
        result = make(path, making, Repair(kept))
        making.rename(repaired)
        sync(path.parent)
        swap(path, repaired, kept)
    except (sqlite3.Error, OSError) as error:
        raise StorageError(f"The state file {path} cannot be repaired: {error}. Nothing is lost; repair it again when that is mended.") from error
    finally:
        remove(making)
    return result


def make(path: Path, making: Path, result: Repair) -> Repair:
    """Write the new file, with the owner of the old one, and see that it is sound and on the disk."""
    remove(making)
    create_private(making)
    if os.geteuid() == 0:
        os.chown(making, path.stat().st_uid, path.stat().st_gid)
    with closing(Pages(path)) as pages, closing(sqlite3.connect(making, isolation_level=None)) as target:
        Salvage(pages, target, result).run()
    found = check(making)
    if not found.sound:
        raise StorageError(f"The repaired file is not sound ({found.problems[0]}). {path} is left as it is; restore a backup.")
    sync(making)
    return result


def need_room(path: Path) -> None:
    try:
        size = path.stat().st_size + (log.stat().st_size if (log := Path(f"{path}-wal")).exists() else 0)
    except FileNotFoundError:
        raise StorageError(f"There is no state file {path}. Name the state directory with --state DIR.") from None
    free = shutil.disk_usage(path.parent).free
    if free < size:
        raise StorageError(
            f"The repaired file needs up to {size >> 20} MB beside {path}, and {free >> 20} MB are free. Make room, or repair a copy elsewhere."
        )


def swap(path: Path, repaired: Path, kept: Path) -> None:
    """Put the repaired file in the place of the damaged one. At each moment either the damaged file is whole, or ``repaired`` is there: the next
    repair then goes on here. The old log must be gone before, for SQLite would apply it to the new file."""
    for suffix in ("", "-wal"):
        old = Path(f"{path}{suffix}")
        if old.exists() and not (copy := Path(f"{kept}{suffix}")).exists():
            link_or_copy(old, copy)
    remove(Path(f"{path}-wal"))
    remove(Path(f"{path}-shm"))
    sync(path.parent)
    repaired.rename(path)
    sync(path.parent)


def link_or_copy(old: Path, copy: Path) -> None:
    try:
        os.link(old, copy)
    except OSError:  # not every file system has links
        shutil.copy2(old, copy)
        sync(copy)


def sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove(file: Path) -> None:
    for suffix in ("", "-journal", "-wal", "-shm"):
        Path(f"{file}{suffix}").unlink(missing_ok=True)


def has_unknown(found: Sequence[tuple[Value, ...]], versions: Mapping[str, int]) -> bool:
    """Whether a schema has anything that these versions do not make."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as ours:
        make_schema(ours, dict(versions))
        known = {row[0] for row in ours.execute("SELECT sql FROM sqlite_schema")}
    return any(isinstance(row[4], str) and row[1] != "schema_versions" and row[4] not in known for row in found)


class Salvage:
    def __init__(self, pages: Pages, target: sqlite3.Connection, result: Repair) -> None:
        self._pages = pages
        self._trees = Trees(pages)
        self._target = target
        self._result = result
        self._claimed: set[int] = set()

    def run(self) -> None:
        execute = self._target.execute
        execute("PRAGMA journal_mode = OFF")
        execute("PRAGMA synchronous = OFF")
        execute("PRAGMA foreign_keys = OFF")
        execute("BEGIN")
        found = list(self._schema())
        versions = self._versions(found)
        make_schema(self._target, versions)
        self._make_unknown(found)
        roots = roots_by_name(found, tables_of(self._target))
        hurt = [table for table in tables_of(self._target) if not self._save(table, roots.get(table.name))]
        if hurt:
            self._save_strays(hurt)
        self._set_versions(versions)
        self._number_on()
        execute("COMMIT")
        self._agree()
        execute("PRAGMA journal_mode = WAL")

    # The schema.

    def _schema(self) -> Iterator[tuple[Value, ...]]:
        reading = Reading()
        for cell in self._trees.rows(SCHEMA_ROOT, indexed=False, fits=SCHEMA_FITS, reading=reading):
            yield cell.values
        self._claimed |= reading.pages
        if not reading.whole:
            self._result.notes.append("parts of the schema could not be read; it was made anew")

    def _versions(self, found: Sequence[tuple[Value, ...]]) -> dict[str, int]:
        """What version of each component's tables the file has: the newest where it does not say."""
        known = components()
        versions = {component: migrations(component, package)[-1][0] for component, package in known.items()}
        newest = dict(versions)
        root = next((row[3] for row in found if row[1] == "schema_versions" and row[0] == "table"), None)
        if isinstance(root, int):
            fits = Fits([("TEXT", True), ("INTEGER", True)], None, 2)
            for cell in self._trees.rows(root, indexed=False, fits=fits, reading=Reading()):
                component, version = cell.values
                if not isinstance(component, str) or not isinstance(version, int) or component not in known:
                    continue
                if version < 1 or (version > newest[component] + MOST_AHEAD and not has_unknown(found, newest)):
                    continue  # a wrong byte rather than a version
                if version > newest[component]:
                    raise StorageError(
                        f"The state file was written by a newer eventflow ({component} schema {version}, this one knows {newest[component]}). "
                        "Repair it with that version."
                    )
                versions[component] = version
        return versions

    def _make_unknown(self, found: Sequence[tuple[Value, ...]]) -> None:
        """Tables that this version does not make by itself are taken over with the statement that made them."""
        ours = {table.name: table.sql for table in tables_of(self._target)}
        missing = [sql for name, sql in ours.items() if not any(row[:2] == ("table", name) for row in found)]
        for kind, name, _table, _root, sql in found:
            if not isinstance(sql, str) or not isinstance(name, str) or name in ours or name.startswith(("sqlite_", "schema_versions")):
                continue
            if kind == "table" and not difflib.get_close_matches(sql, missing, 1, ALIKE):
                try:
                    self._target.execute(sql)
                except sqlite3.Error as error:
                    self._result.notes.append(f"a table {name!r} that is not eventflow's could not be made ({error})")

    def _set_versions(self, versions: dict[str, int]) -> None:
        self._target.execute("DELETE FROM schema_versions")
        self._target.executemany("INSERT INTO schema_versions VALUES (?, ?)", versions.items())
        self._result.tables["schema_versions"] = Saved(rows=len(versions))

    # The rows.

    def _save(self, table: Table, root: int | None) -> bool:
        """Copy what the table's tree leads to; whether that was all."""
        saved = self._result.tables.setdefault(table.name, Saved())
        if root is None:
            saved.bad_pages += 1
            return False
        reading = Reading()
        self._insert(table, self._trees.rows(root, table.indexed, table.fits, reading), saved)
        saved.bad_rows, saved.bad_pages = reading.bad_rows, reading.bad_pages
        if saved.rows or not reading.bad_rows:
            self._claimed |= reading.pages
        return reading.whole

    def _insert(self, table: Table, cells: Iterable[Cell], saved: Saved) -> None:
        cells = iter(cells)
        while batch := list(islice(cells, BATCH)):
            if not saved.rows:
                self._target.execute(f'DELETE FROM "{table.name}"')  # a row that a schema file begins with gives way to what became of it
            for cell in batch:
                row = table.row(cell)
                kept = self._target.execute(table.insert(len(row)), row).rowcount
                saved.rows += kept
                saved.refused += not kept

    def _save_strays(self, hurt: Sequence[Table]) -> None:
        """Pages of rows that nothing leads to may be what is missing from the tables that were not whole, if they are not free ones."""
        claimed = self._claimed | self._pages.free() | self._pages_of_indexes()
        for number in range(2, self._pages.count + 1):
            if number in claimed:
                continue
            best = max(((self._stray(number, table), table) for table in hurt), key=lambda one: len(one[0]), default=None)
            if best is None or not best[0]:
                continue
            cells, table = best
            saved = self._result.tables[table.name]
            before = saved.rows, saved.refused
            self._insert(table, cells, saved)
            saved.of_strays += saved.rows - before[0]
            saved.refused = before[1]  # rows that are there already

    def _stray(self, number: int, table: Table) -> list[Cell]:
        try:
            data = self._pages.get(number)
            if data[0] not in ((LEAF_INDEX, INTERIOR_INDEX) if table.indexed else (LEAF_TABLE,)):
                return []
            page = self._trees.page(number, data, table.indexed, table.fits)
        except Unreadable:
            return []
        return page.cells if page.bad <= len(page.cells) // 4 else []

    def _pages_of_indexes(self) -> set[int]:
        """An index's entries can look like rows of a table without rowids; they are none."""
        pages: set[int] = set()
        anything = Fits([("", False)] * 64, None, 1)
        for row in self._schema():
            if row[0] == "index" and isinstance(row[3], int) and row[3]:
                reading = Reading()
                for _cell in self._trees.rows(row[3], indexed=True, fits=anything, reading=reading):
                    pass
                pages |= reading.pages
        return pages

    # What the tables promise one another.

    def _number_on(self) -> None:
        """Numbers that were given are never given again."""
        for (name,) in self._target.execute("SELECT name FROM sqlite_schema WHERE sql LIKE '%AUTOINCREMENT%' AND type = 'table'").fetchall():
            greatest = self._target.execute(f'SELECT coalesce(max(rowid), 0) FROM "{name}"').fetchone()[0]
            known = self._target.execute("SELECT max(seq) FROM sqlite_sequence WHERE name = ?", (name,)).fetchone()[0]
            if not greatest and known is None:
                continue  # none was ever given
            self._target.execute("DELETE FROM sqlite_sequence WHERE name = ?", (name,))
            self._target.execute("INSERT INTO sqlite_sequence VALUES (?, ?)", (name, max(greatest, known or 0)))

    def _agree(self) -> None:
        execute = self._target.execute
        for rule in RULES:
            try:
                count = execute(rule.broken).fetchone()[0]
            except sqlite3.OperationalError as error:
                if not str(error).startswith(NO_SUCH):
                    raise
                continue  # a file of an earlier version: what the rule is about is not there yet
            if count:
                self._result.notes.append(f"{count} {rule.what}{': removed' if rule.removes else ''}")
                for cure in rule.cures:
                    execute(cure)
        while orphans := execute("PRAGMA foreign_key_check").fetchall():
            for table, rowid, parent, number in orphans:
                self._remove_orphan(table, rowid, parent, number)
        for name, saved in self._result.tables.items():
            saved.rows = execute(f'SELECT count(*) FROM "{name}"').fetchone()[0]

    def _remove_orphan(self, table: str, rowid: int | None, parent: str, number: int) -> None:
        if rowid is not None:
            self._target.execute(f'DELETE FROM "{table}" WHERE rowid = ?', (rowid,))
            self._result.notes.append(f"row {rowid} of {table} belonged to a row of {parent} that is lost: removed")
            return
        link = next(row for row in self._target.execute(f'PRAGMA foreign_key_list("{table}")') if row[0] == number)
        removed = self._target.execute(f'DELETE FROM "{table}" WHERE "{link[3]}" NOT IN (SELECT "{link[4]}" FROM "{parent}")').rowcount
        if removed:
            self._result.notes.append(f"{removed} rows of {table} belonged to rows of {parent} that are lost: removed")


def make_schema(target: sqlite3.Connection, versions: dict[str, int]) -> None:
    target.execute(VERSIONS)
    for component, package in components().items():
        for number, script in migrations(component, package):
            if number <= versions[component]:
                for statement in statements(script):
                    target.execute(statement)


def tables_of(connection: sqlite3.Connection) -> list[Table]:
    rows = connection.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'table' ORDER BY rowid").fetchall()
    return [table_of(connection, name, sql or "") for name, sql in rows if name != "schema_versions"]


def table_of(connection: sqlite3.Connection, name: str, sql: str) -> Table:
    columns = connection.execute(f'PRAGMA table_info("{name}")').fetchall()  # cid, name, type, notnull, default, place in the primary key
    indexed = "WITHOUT ROWID" in sql.upper()
    key = sorted((column for column in columns if column[5]), key=lambda column: column[5])
    if indexed:
        columns = [*key, *(column for column in columns if not column[5])]
    rowid = columns.index(key[0]) if not indexed and len(key) == 1 and key[0][2].upper() == "INTEGER" else None
    kinds = [(column[2].upper(), bool(column[3]) and column[4] is None and index != rowid) for index, column in enumerate(columns)]
    return Table(name, indexed, [column[1] for column in columns], kinds, rowid, sql)


def roots_by_name(found: Sequence[tuple[Value, ...]], tables: Sequence[Table]) -> dict[str, int]:
    """Where each table begins, by its name or, where that has wrong bytes, by the statement that made it."""
    known = [(name, sql, root) for kind, name, _table, root, sql in found if isinstance(root, int) and root > 0 and kind != "index"]
    roots = {str(name): root for name, _sql, root in known}
    names = {table.name for table in tables}
    for table in tables:
        if table.name not in roots and table.sql:
            spare = {str(sql): root for name, sql, root in known if name not in names}
            for alike in difflib.get_close_matches(table.sql, spare, 1, ALIKE):
                roots[table.name] = spare[alike]
    return {name: root for name, root in roots.items() if name in names}


def sound_already(path: Path) -> Report | None:
    """The report of a file that needs no repair, else None."""
    if Path(f"{path}.repaired").exists():
        return None
    report = check(path)
    return report if report.sound else None
