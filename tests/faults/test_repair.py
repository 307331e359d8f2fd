"""A damaged state file: it is noticed, told, and repaired without losing what can be read."""

import random
import sqlite3
import struct
from contextlib import closing
from pathlib import Path

import pytest

from eventflow.errors import StateDamaged, StorageError
from eventflow.journals.check import check, examine_at_start
from eventflow.journals.pages import Pages, read_log
from eventflow.journals.repair import Repair, repair
from tests.faults import state_file
from tests.faults.state_file import PAGE, Rows, overwrite, rows

#: Few of them each time, many where there is time for it.
SEEDS = [*range(4), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(4, 60))]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return state_file.make(tmp_path_factory.mktemp("state"))


@pytest.fixture(scope="module")
def content(original: Path) -> Rows:
    return rows(original)


@pytest.fixture
def damaged(original: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    return state_file.copy(original, tmp_path / "damaged")


def mend(path: Path) -> Repair:
    result = repair(path, "20260101-000000")
    found = check(path)
    assert found.problems == []
    assert [note for note in found.notes if "not checked" in note] == []
    return result


def lost(before: Rows, path: Path) -> dict[str, int]:
    """How many rows of each table are not in the file any more; what was not there before must not be there now."""
    after = rows(path)
    counts = {}
    for name, former in before.items():
        missing = set(former) - set(after[name])
        if missing:
            counts[name] = len(missing)
    return counts


def invented(before: Rows, path: Path) -> dict[str, int]:
    return {name: len(set(found) - set(before[name])) for name, found in rows(path).items() if set(found) - set(before[name])}


def test_a_sound_file_is_sound_and_every_rule_was_checked(original: Path, content: Rows) -> None:
    report = check(original)
    assert report.problems == []
    assert report.notes == []
    assert report.events == {"ready": 1505, "waiting": 1, "done": 4, "dead": 1}
    assert report.rows["cursors"] == len(content["cursors"])
    assert report.schema["journal"] >= 1
    assert examine_at_start(original) == []


def test_reading_it_page_by_page_finds_what_sqlite_finds(damaged: Path, content: Rows) -> None:
    result = mend(damaged)
    assert lost(content, damaged) == {}
    assert invented(content, damaged) == {}
    assert all(saved.whole for saved in result.tables.values())
    assert result.notes == []
    assert rows(result.kept) == content


@pytest.mark.parametrize("what", ["every index page", "the index pages' kinds"])
def test_damage_in_indexes_alone_loses_nothing(damaged: Path, content: Rows, what: str) -> None:
    for number in state_file.pages_of(damaged, "index"):
        overwrite(damaged, (number - 1) * PAGE, b"\xff" * (PAGE if what == "every index page" else 1))
    assert not check(damaged).sound
    result = mend(damaged)
    assert lost(content, damaged) == {}
    assert invented(content, damaged) == {}
    assert all(saved.whole for saved in result.tables.values())


def test_damage_in_the_list_of_free_pages_loses_nothing(damaged: Path) -> None:
    with closing(sqlite3.connect(damaged)) as connection:
        connection.execute("DELETE FROM events WHERE sequence % 3 = 0 AND function LIKE 'function-%'")
        connection.execute("DELETE FROM cursors WHERE owner > 'owner-2'")
        connection.commit()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    before = rows(damaged)
    trunk = struct.unpack(">I", damaged.read_bytes()[32:36])[0]
    assert trunk
    overwrite(damaged, (trunk - 1) * PAGE, b"\xff" * 64)
    assert not check(damaged).sound
    mend(damaged)
    assert lost(before, damaged) == {}
    assert invented(before, damaged) == {}


@pytest.mark.parametrize(
    ("place", "data"), [(0, b"\0" * 100), (0, b"X"), (16, b"\x13\x37"), (28, b"\xff\xff\xff\xff"), (100, b"\0"), (56, b"\0\0\0\7")]
)
def test_damage_in_the_files_header_loses_nothing(damaged: Path, content: Rows, place: int, data: bytes) -> None:
    overwrite(damaged, place, data)
    mend(damaged)
    assert lost(content, damaged) == {}
    assert invented(content, damaged) == {}


def test_a_schema_that_cannot_be_read_loses_nothing_but_what_nothing_tells_apart(damaged: Path, content: Rows) -> None:
    """The whole first page is gone: which tree is whose has to be seen from the rows."""
    overwrite(damaged, 0, b"\xff" * PAGE)
    mend(damaged)
    missing = lost(content, damaged)
    assert "events" not in missing
    assert "table_items" not in missing
    assert "cursors" not in missing


def test_a_damaged_page_of_a_table_loses_its_rows_alone(damaged: Path, content: Rows) -> None:
    with closing(sqlite3.connect(damaged)) as connection:
        root = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'events'").fetchone()[0]
    data = damaged.read_bytes()
    assert data[(root - 1) * PAGE] == 5
    leaf = state_file.children(data[(root - 1) * PAGE : root * PAGE])[2]
    on_it = struct.unpack_from(">H", data, (leaf - 1) * PAGE + 3)[0]
    overwrite(damaged, (leaf - 1) * PAGE, b"\0" * PAGE)
    result = mend(damaged)
    assert lost(content, damaged) == {"events": on_it}
    assert result.tables["events"].bad_pages == 1
    assert invented(content, damaged) == {}


def test_when_the_root_of_a_table_is_lost_its_rows_are_found_all_the_same(damaged: Path, content: Rows) -> None:
    with closing(sqlite3.connect(damaged)) as connection:
        root = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'events'").fetchone()[0]
    overwrite(damaged, (root - 1) * PAGE, b"\xff" * PAGE)
    result = mend(damaged)
    assert lost(content, damaged) == {}
    assert result.tables["events"].of_strays == len(content["events"])


def test_a_file_that_was_cut_off(damaged: Path, content: Rows) -> None:
    size = damaged.stat().st_size
    with damaged.open("r+b") as file:
        file.truncate(size // 2 + 100)
    with pytest.raises(StateDamaged, match="cut off"):
        examine_at_start(damaged)
    mend(damaged)
    assert invented(content, damaged).keys() <= {"sqlite_sequence", "tables"}


@pytest.mark.parametrize("seed", SEEDS)
def test_whatever_bytes_are_wrong_repair_ends_with_a_sound_file(original: Path, content: Rows, tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    damaged = state_file.copy(original, tmp_path / "damaged")
    size = damaged.stat().st_size
    for _time in range(chance.choice((1, 1, 3, 30, 300))):
        place = chance.randrange(PAGE) if chance.random() < 0.2 else chance.randrange(size)
        overwrite(damaged, place, bytes([chance.randrange(256)]))
    check(damaged)
    mend(damaged)
    kept = sum(len(found) for found in rows(damaged).values())
    assert kept > 0.5 * sum(len(found) for found in content.values())


# The write-ahead log.


@pytest.fixture
def with_log(original: Path, tmp_path: Path) -> tuple[Path, Rows]:
    """A state file whose daemon was killed: its last twenty changes are in the log alone."""
    path = state_file.copy(original, tmp_path / "made")
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        for number in range(20):
            connection.execute("INSERT INTO cursors VALUES ('log', ?, ?)", (f"{number:02}", f'"{"v" * 3000}"'))
        copied = state_file.copy(path, tmp_path / "killed")
        return copied, rows(path)


def test_a_sound_log_is_read_as_sqlite_reads_it(with_log: tuple[Path, Rows], tmp_path: Path) -> None:
    path, content = with_log
    log = read_log(Path(f"{path}-wal"))
    assert (log.visible, log.lost, log.cut_off) == (len(log.frames), 0, False)
    assert check(path).problems == []
    assert Path(f"{path}-wal").exists(), "looking must not empty the log"
    mend(path)
    assert rows(path) == content


@pytest.mark.parametrize("place", [0, 9, 20, 40, 60, 24 + 32 + 500])
def test_a_damaged_log_is_noticed_and_what_lies_behind_is_saved(with_log: tuple[Path, Rows], place: int) -> None:
    path, content = with_log
    log = Path(f"{path}-wal")
    byte = log.read_bytes()[place]
    overwrite(log, place, bytes([byte ^ 0x55]))
    assert "acknowledged" in " ".join(check(path).problems)
    with pytest.raises(StateDamaged, match="write-ahead log"):
        examine_at_start(path)
    mend(path)
    missing = lost(content, path)
    assert missing.keys() <= {"cursors"}
    assert missing.get("cursors", 0) <= 1


def test_a_log_that_was_cut_off_in_its_last_change_is_no_damage(with_log: tuple[Path, Rows]) -> None:
    path, _content = with_log
    log = Path(f"{path}-wal")
    frames = read_log(log).frames
    first_of_last = max(index for index, frame in enumerate(frames[:-1]) if frame.commit) + 1
    overwrite(log, frames[first_of_last].offset + 100, b"\xff\xff")
    report = check(path)
    assert report.problems == []
    if len(frames) - first_of_last > 1:
        assert "never finished" in report.notes[0]
    assert examine_at_start(path) == report.notes


@pytest.mark.parametrize("seed", SEEDS)
def test_whatever_bytes_of_the_log_are_wrong_repair_ends_with_a_sound_file(with_log: tuple[Path, Rows], content: Rows, seed: int) -> None:
    path, _content = with_log
    log, chance = Path(f"{path}-wal"), random.Random(seed)
    for _time in range(chance.choice((1, 5, 100))):
        overwrite(log, chance.randrange(log.stat().st_size), bytes([chance.randrange(256)]))
    mend(path)
    assert sum(map(len, rows(path).values())) > 0.5 * sum(map(len, content.values()))


# Around it.


def test_a_repair_that_was_killed_before_the_last_step_is_refused_at_start_and_finished_by_the_next(damaged: Path, content: Rows) -> None:
    overwrite(damaged, 0, b"X")
    result = mend(damaged)
    damaged.rename(f"{damaged}.repaired")
    state_file.copy(result.kept, damaged.parent / "again")
    (damaged.parent / "again" / "eventflow.db").rename(damaged)
    with pytest.raises(StateDamaged, match="interrupted"):
        examine_at_start(damaged)
    result = repair(damaged, "20260101-000001")
    assert "finished" in result.notes[0]
    assert rows(damaged) == content
    assert not Path(f"{damaged}.repaired").exists()


@pytest.mark.parametrize(("ahead", "change"), [(93, "ALTER TABLE queues ADD COLUMN colour TEXT"), (93, "CREATE TABLE colours (name TEXT)"), (1, "")])
def test_a_state_file_by_a_newer_version_is_told_and_not_repaired(damaged: Path, ahead: int, change: str) -> None:
    with closing(sqlite3.connect(damaged)) as connection:
        connection.execute("UPDATE schema_versions SET version = version + ? WHERE component = 'queues'", (ahead,))
        connection.execute(change)
        connection.commit()
        version = connection.execute("SELECT version FROM schema_versions WHERE component = 'queues'").fetchone()[0]
    assert f"newer eventflow (queues schema {version}" in " ".join(check(damaged).problems)
    with pytest.raises(StorageError, match="newer eventflow"):
        repair(damaged, "20260101-000000")
    assert damaged.exists()


def test_a_version_far_ahead_of_tables_that_are_all_known_is_a_wrong_byte(damaged: Path, content: Rows) -> None:
    with closing(sqlite3.connect(damaged)) as connection:
        connection.execute("UPDATE schema_versions SET version = 99 WHERE component = 'queues'")
        connection.commit()
    mend(damaged)
    assert rows(damaged) == content


def test_an_empty_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "x.db").touch()
    assert "empty" in check(tmp_path / "x.db").problems[0]
    assert examine_at_start(tmp_path / "x.db") == []
    with pytest.raises(StorageError, match="no state file"):
        check(tmp_path / "y.db")


@pytest.mark.parametrize(
    ("break_it", "says", "after"),
    [
        ("UPDATE events SET state = 17 WHERE key = 'first'", "in a state that there is not", "SELECT state = 0 FROM events WHERE key = 'first'"),
        ("UPDATE events SET due_at = NULL WHERE key = 'again'", "wait for no instant", "SELECT state = 0 FROM events WHERE key = 'again'"),
        (
            "UPDATE events SET settled_at = NULL WHERE key = 'first'",
            "time of their end",
            "SELECT settled_at = accepted_at FROM events WHERE key = 'first'",
        ),
        ("UPDATE events SET payload = X'7B' WHERE key = 'first'", "payload is no JSON", "SELECT count(*) = 0 FROM events WHERE key = 'first'"),
        (
            "UPDATE cursors SET value = 'x' WHERE owner = 'fixture:works'",
            "memory that are no JSON",
            "SELECT count(*) = 0 FROM cursors WHERE owner = 'fixture:works'",
        ),
        ("DELETE FROM queue_bodies WHERE id = 2", "without a body", "SELECT count(*) = 0 FROM queue_messages WHERE id = 2"),
        ("DELETE FROM queues WHERE name = 'orders.fifo'", "belongs to no row of queues", "SELECT count(*) = 0 FROM queue_groups"),
        ("UPDATE tables SET items = 7", "count their items wrongly", "SELECT items = 503 FROM tables WHERE name = 'images'"),
        ("UPDATE queue_totals SET messages = 7", "count their messages wrongly", "SELECT sum(messages) = 4 FROM queue_totals"),
        ("DELETE FROM queue_groups", "nobody would be served from (opened)", "SELECT group_id = 'shop' FROM queue_groups"),
        (
            "UPDATE queue_messages SET deduplication_id = NULL WHERE id = 4",
            "nobody would be served from (let in)",
            "SELECT group_id = 'shop' FROM queue_tenants",
        ),
        ("DELETE FROM table_items WHERE table_id = 2", "without their item", "SELECT count(*) = 0 FROM table_entries"),
    ],
)
def test_tables_that_contradict_one_another_are_told_and_made_to_agree(damaged: Path, break_it: str, says: str, after: str) -> None:
    with closing(sqlite3.connect(damaged, isolation_level=None)) as connection:
        assert connection.execute(break_it).rowcount
    assert says in " ".join(check(damaged).problems)
    mend(damaged)
    with closing(sqlite3.connect(damaged)) as connection:
        assert connection.execute(after).fetchone() == (1,)


def test_pages_beyond_the_file_are_unreadable(damaged: Path) -> None:
    with closing(Pages(damaged)) as pages:
        assert pages.size == PAGE
        assert pages.count == damaged.stat().st_size // PAGE
