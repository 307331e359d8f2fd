"""What is wrong with a state file: by SQLite's own checks, by what its tables promise one another, and by its write-ahead log."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from eventflow.database import components, migrations, told
from eventflow.errors import StateDamaged, StorageError
from eventflow.journals.history import STATES
from eventflow.journals.pages import HEADER_SIZE, MAGIC, Log, is_page_size, read_log

#: A state file up to this size is checked page by page at every start, which takes up to a tenth of a second; a larger one by command alone.
CHECKED_AT_START = 32 * 1024 * 1024
MOST_MESSAGES = 20
NO_SUCH = ("no such table", "no such column", "no such function")


@dataclass(frozen=True)
class Rule:
    """What a table promises. ``broken`` counts the rows that break it; ``cures`` make them keep it, with the least loss."""

    what: str
    broken: str
    cures: Sequence[str]
    #: Whether the cures remove rows.
    removes: bool = True


def json_rule(table: str, column: str, what: str) -> Rule:
    bad = f"{column} IS NOT NULL AND NOT json_valid(CAST({column} AS TEXT))"
    return Rule(what, f"SELECT count(*) FROM {table} WHERE {bad}", (f"DELETE FROM {table} WHERE {bad}",))


COUNTED = "(SELECT count(*) FROM table_items WHERE table_id = tables.id)"
WEIGHED = "(SELECT coalesce(sum(bytes), 0) FROM table_items WHERE table_id = tables.id)"
#: Of an index that is gone, rows may be left that are swept up later.
LOST_ENTRIES = "table_entries WHERE item_id NOT IN (SELECT id FROM table_items) AND index_id IN (SELECT id FROM table_indexes)"
BODILESS = "queue_messages WHERE id NOT IN (SELECT id FROM queue_bodies)"
MESSAGES = "(SELECT count(*) FROM queue_messages m WHERE m.queue = queues.id)"
GROUPED = "queue_messages WHERE group_id IS NOT NULL AND deduplication_id IS"
LOST_GROUPS = f"{GROUPED} NOT NULL AND (queue, group_id) NOT IN (SELECT queue, group_id FROM queue_groups)"
LOST_TENANTS = f"{GROUPED} NULL AND (queue, group_id) NOT IN (SELECT queue, group_id FROM queue_tenants)"
RULES = (
    Rule(
        "events in a state that there is not (made ready: they run again)",
        "SELECT count(*) FROM events WHERE state NOT IN (0, 1, 2, 3)",
        ("UPDATE events SET state = 0, due_at = NULL, settled_at = NULL WHERE state NOT IN (0, 1, 2, 3)",),
        removes=False,
    ),
    Rule(
        "events that wait for no instant (made ready)",
        "SELECT count(*) FROM events WHERE state = 1 AND due_at IS NULL",
        ("UPDATE events SET state = 0 WHERE state = 1 AND due_at IS NULL",),
        removes=False,
    ),
    Rule(
        "ended events without the time of their end (dated by their arrival)",
        "SELECT count(*) FROM events WHERE state IN (2, 3) AND settled_at IS NULL",
        ("UPDATE events SET settled_at = accepted_at WHERE state IN (2, 3) AND settled_at IS NULL",),
        removes=False,
    ),
    json_rule("events", "payload", "events whose payload is no JSON"),
    json_rule("cursors", "value", "values in the triggers' memory that are no JSON"),
    json_rule("objects", "attributes", "objects whose attributes are no JSON"),
    json_rule("uploads", "attributes", "uploads whose attributes are no JSON"),
    json_rule("queues", "attributes", "queues whose attributes are no JSON"),
    json_rule("queue_bodies", "attributes", "messages whose attributes are no JSON"),
    json_rule("tables", "definition", "tables whose definition is no JSON"),
    json_rule("table_items", "body", "items that are no JSON"),
    Rule("messages without a body", f"SELECT count(*) FROM {BODILESS}", (f"DELETE FROM {BODILESS}",)),
    Rule(
        "queues that count their messages wrongly (counted again)",
        f"SELECT count(*) FROM queues LEFT JOIN queue_totals t ON t.queue = queues.id WHERE t.messages IS NOT {MESSAGES}",
        ("DELETE FROM queue_totals", f"INSERT INTO queue_totals (queue, messages) SELECT id, {MESSAGES} FROM queues"),
        removes=False,
    ),
    Rule(
        "message groups that nobody would be served from (opened)",
        f"SELECT count(*) FROM (SELECT DISTINCT queue, group_id FROM {LOST_GROUPS})",
        (f"INSERT INTO queue_groups SELECT queue, group_id, MAX(visible_at), 0 FROM {LOST_GROUPS} GROUP BY queue, group_id",),
        removes=False,
    ),
    Rule(
        "tenants that nobody would be served from (let in)",
        f"SELECT count(*) FROM (SELECT DISTINCT queue, group_id FROM {LOST_TENANTS})",
        (f"INSERT INTO queue_tenants SELECT queue, group_id, MIN(visible_at), 0 FROM {LOST_TENANTS} GROUP BY queue, group_id",),
        removes=False,
    ),
    Rule("index entries without their item", f"SELECT count(*) FROM {LOST_ENTRIES}", (f"DELETE FROM {LOST_ENTRIES}",)),
    Rule(
        "tables that count their items wrongly (counted again)",
        f"SELECT count(*) FROM tables WHERE items <> {COUNTED} OR bytes <> {WEIGHED}",
        (f"UPDATE tables SET items = {COUNTED}, bytes = {WEIGHED}",),
        removes=False,
    ),
)


@dataclass
class Report:
    """``problems`` are sentences, the worst first; ``rows`` counts each table's, ``events`` those of the journal by their state."""

    path: Path
    bytes: int = 0
    schema: dict[str, int] = field(default_factory=dict)
    events: dict[str, int] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    #: What says that a newer eventflow wrote it.
    newer: str = ""

    @property
    def sound(self) -> bool:
        return not self.problems


def check(path: Path, *, in_use: bool = False) -> Report:
    """Look at a whole state file and change nothing. ``in_use``: a daemon is writing it. Raises StorageError if there is none."""
    report = Report(path)
    try:
        report.bytes = path.stat().st_size
        if not in_use:  # a log that is being written has no end that could be judged
            check_log(path, report)
    except FileNotFoundError:
        raise StorageError(f"There is no state file {path}. Name the state directory with --state DIR.") from None
    except OSError as error:
        raise StorageError(f"The state file {path} cannot be read: {error.strerror}.") from error
    if not report.bytes and not in_use:
        report.problems.append("it is empty, without even a schema: whatever was in it is gone; restore it from a backup")
        return report
    with opened(path, report, in_use) as connection:
        connection.execute("BEGIN")  # one moment's content, whatever a daemon writes meanwhile
        check_content(connection, report)
    return report


def open_read_only(path: Path, in_use: bool) -> sqlite3.Connection:
    """A connection that changes nothing. On a state file in use it sees what the daemon has acknowledged."""
    log = Path(f"{path}-wal")
    # Without a log and a writer SQLite needs nothing beside the file, and so reads it on a read-only file system and in others' directories.
    alone = not in_use and not (log.exists() and log.stat().st_size)
    connection = sqlite3.connect(f"file:{quote(str(path))}?mode=ro{'&immutable=1' if alone else ''}", uri=True, isolation_level=None)
    connection.execute("PRAGMA busy_timeout = 10000")
    connection.text_factory = lambda text: text.decode(errors="replace")  # a message may show the damaged text that it is about
    return connection


def check_log(path: Path, report: Report) -> Log:
    log = read_log(Path(f"{path}-wal"))
    if log.damaged:
        report.problems.append(
            f"the write-ahead log is damaged: {log.lost} transactions that were acknowledged lie behind the damage, "
            "and the next start would forget them"
        )
    elif log.cut_off:
        report.notes.append("the write-ahead log ends in a transaction that was never finished, as after a power failure: it was not acknowledged")
    return log


def check_content(connection: sqlite3.Connection, report: Report) -> None:
    for (message,) in connection.execute(f"PRAGMA integrity_check({MOST_MESSAGES})"):
        if message != "ok":
            report.problems.append(f"SQLite: {message}")
    # A damaged tree may still be readable in part: what follows says what it can.
    for table, rowid, parent, _number in connection.execute("PRAGMA foreign_key_check").fetchall()[:MOST_MESSAGES]:
        report.problems.append(f"row {rowid} of {table} belongs to no row of {parent}")
    names = [name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name")]
    for name in names:
        count_rows(connection, name, report)
    report.problems.extend(missing_tables(connection, names, report))
    report.problems.extend(f"{count} {rule.what}" for rule, count in broken_rules(connection, report))
    if "events" in names:
        counts = connection.execute("SELECT state, count(*) FROM events GROUP BY state").fetchall()
        report.events = {state: dict(counts).get(number, 0) for number, state in enumerate(STATES)}


def count_rows(connection: sqlite3.Connection, name: str, report: Report) -> None:
    """Read every row whole: SQLite itself does not look into text."""
    wrong = 0

    def decoded(text: bytes) -> str:
        nonlocal wrong
        try:
            return text.decode()
        except UnicodeDecodeError:
            wrong += 1
            return text.decode(errors="replace")

    former, connection.text_factory = connection.text_factory, decoded
    try:
        report.rows[name] = sum(1 for _row in connection.execute(f'SELECT * FROM "{name}" NOT INDEXED'))
    finally:
        connection.text_factory = former
    if wrong:
        report.problems.append(f"{wrong} texts in {name} are no UTF-8")


def missing_tables(connection: sqlite3.Connection, names: Sequence[str], report: Report) -> Iterator[str]:
    if "schema_versions" not in names:
        yield "it has no table schema_versions: it is no state file of eventflow, or its schema is damaged"
        return
    read_schema(connection, report)
    if report.newer:
        yield report.newer


def read_schema(connection: sqlite3.Connection, report: Report) -> None:
    report.schema = dict(connection.execute("SELECT component, version FROM schema_versions ORDER BY component").fetchall())
    known = components()
    for component, version in report.schema.items():
        if component in known and version > (newest := migrations(component, known[component])[-1][0]):
            report.newer = f"it was written by a newer eventflow ({component} schema {version}, this one knows {newest})"


def broken_rules(connection: sqlite3.Connection, report: Report) -> Iterator[tuple[Rule, int]]:
    for rule in RULES:
        try:
            count = connection.execute(rule.broken).fetchone()[0]
        except sqlite3.OperationalError as error:
            if not str(error).startswith(NO_SUCH):
                raise
            report.notes.append(f"not checked: {rule.what} ({error})")
            continue
        if count:
            yield rule, count


# What is quick: at the daemon's start, and for `eventflow doctor`.


def examine_at_start(path: Path) -> list[str]:
    """Refuse a state file that is damaged, as far as that is seen quickly; what else is worth telling is returned. Raises StateDamaged."""
    if Path(f"{path}.repaired").exists():
        raise StateDamaged(f"A repair of the state file {path} was interrupted when it was all but done. Run `eventflow journal repair` again.")
    if not path.exists():
        return []
    report = glance(path)
    if report.problems:
        raise StateDamaged(
            f"The state file {path} is damaged: {report.problems[0]}. It is not opened, so that the damage does not spread. "
            "Run `eventflow journal check` to see it all, and `eventflow journal repair` to save what can be read."
        )
    return report.notes


def glance(path: Path, *, in_use: bool = False) -> Report:
    """Look at a state file's length, its log, its schema's version, and at all its pages if it is small. Raises StorageError."""
    report = Report(path)
    try:
        report.bytes = path.stat().st_size
        if not in_use:
            check_length(path, check_log(path, report), report)
    except OSError as error:
        raise StorageError(f"The state file {path} cannot be read: {error.strerror}. Check its disk and its owner.") from error
    if report.sound and report.bytes:
        quick_check(path, report, in_use)
    return report


def check_length(path: Path, log: Log, report: Report) -> None:
    """Whether the file's beginning is one, and the file as long as it says."""
    with path.open("rb") as file:
        header = file.read(HEADER_SIZE)
    size = path.stat().st_size
    if not size:
        return
    page_size = int.from_bytes(header[16:18], "big")
    page_size = 65_536 if page_size == 1 else page_size
    if not header.startswith(MAGIC) or not is_page_size(page_size):
        report.problems.append("its first bytes are not those of a SQLite file")
        return
    pages, same = int.from_bytes(header[28:32], "big"), header[24:28] == header[92:96]
    if same and pages * page_size > size and not log.frames:
        report.problems.append(f"it is cut off: {size} bytes of {pages * page_size}")


def quick_check(path: Path, report: Report, in_use: bool) -> None:
    with opened(path, report, in_use) as connection:
        if report.bytes <= CHECKED_AT_START:
            report.problems.extend(f"SQLite: {message}" for (message,) in connection.execute("PRAGMA quick_check(1)") if message != "ok")
        if connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'schema_versions'").fetchone():
            read_schema(connection, report)


@contextmanager
def opened(path: Path, report: Report, in_use: bool) -> Iterator[sqlite3.Connection]:
    """A connection for looking; where SQLite gives up because of damage, that is a problem of the report and the look ends."""
    try:
        with closing(open_read_only(path, in_use)) as connection:
            yield connection
    except UnicodeDecodeError:
        report.problems.append("SQLite: malformed database schema")  # its message shows the wrong bytes, which Python cannot
    except sqlite3.DatabaseError as error:
        explained = told(str(path), error, "read")
        if explained is not None and not isinstance(explained, StateDamaged):
            raise explained from error
        report.problems.append(f"SQLite: {error}")
