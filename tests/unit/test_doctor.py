"""``eventflow doctor``: each thing that can be wrong with a machine is named, with what to do."""

import ctypes
import os
import resource
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from eventflow.cli import doctor
from eventflow.cli.doctor import MEGABYTE, clock, directories_below, disk, open_files, state_file, watches

DUMP = Path(__file__).parent.parent / "fixtures" / "journal-0.1.0.sql"


@pytest.fixture
def state(tmp_path: Path) -> Path:
    with closing(sqlite3.connect(tmp_path / "eventflow.db")) as connection:
        connection.executescript(DUMP.read_text())
    return tmp_path


def limits(folder: Path, watches: int, instances: int) -> Path:
    (folder / "max_user_watches").write_text(f"{watches}\n")
    (folder / "max_user_instances").write_text(f"{instances}\n")
    return folder


def disk_with(monkeypatch: pytest.MonkeyPatch, **values: Any) -> None:
    usual = {"f_flag": 0, "f_bavail": 1_000_000, "f_frsize": 4096, "f_files": 1_000_000, "f_favail": 900_000}
    monkeypatch.setattr(os, "statvfs", lambda _path: SimpleNamespace(**{**usual, **values}))


def test_a_disk_with_room_is_fine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk_with(monkeypatch)
    assert disk(tmp_path).verdict == "ok"


@pytest.mark.parametrize(
    ("values", "verdict", "says"),
    [
        ({"f_bavail": 100 * MEGABYTE // 4096}, "weaker", "make room"),
        ({"f_bavail": MEGABYTE // 4096}, "missing", "disk is full"),
        ({"f_flag": os.ST_RDONLY}, "missing", "mounted read-only"),
        ({"f_favail": 10}, "weaker", "10 inodes"),
    ],
)
def test_a_disk_that_is_nearly_full_or_read_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, values: dict[str, int], verdict: str, says: str
) -> None:
    disk_with(monkeypatch, **values)
    found = disk(tmp_path / "not" / "made" / "yet")
    assert (found.verdict, says in found.text) == (verdict, True)


def test_a_directory_of_another_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda _path, _mode: False)
    assert "cannot be written by this user" in disk(tmp_path).text


@pytest.mark.parametrize(("hard", "verdict"), [(512, "weaker"), (20_000, "ok"), (1_000_000, "ok"), (resource.RLIM_INFINITY, "ok")])
def test_the_limit_of_open_files(monkeypatch: pytest.MonkeyPatch, hard: int, verdict: str) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _which: (256, hard))
    found = open_files()
    assert found.verdict == verdict
    assert ("LimitNOFILE" in found.text) is (verdict == "weaker")


def test_watches_are_compared_with_the_directories_of_the_buckets(tmp_path: Path) -> None:
    proc, buckets = tmp_path / "proc", tmp_path / "buckets"
    proc.mkdir()
    for number in range(9):
        (buckets / "uploads" / f"day-{number}").mkdir(parents=True)
    (buckets / "uploads" / "file").touch()
    assert watches(buckets, limits(proc, 100, 100)).verdict == "ok"
    few = watches(buckets, limits(proc, 11, 100))
    assert (few.verdict, "fs.inotify.max_user_watches=1048576" in few.text) == ("weaker", True)
    assert "10 directories in 1 buckets" in few.text
    few = watches(buckets, limits(proc, 100, 1))
    assert (few.verdict, "fs.inotify.max_user_instances=1024" in few.text) == ("weaker", True)
    assert watches(tmp_path / "none", limits(proc, 100, 100)).verdict == "ok"
    assert watches(buckets, tmp_path / "none").verdict == "ok"


def test_counting_directories_stops_when_it_is_enough(tmp_path: Path) -> None:
    for number in range(50):
        (tmp_path / f"{number}" / "below").mkdir(parents=True)
    assert directories_below(tmp_path, 1_000) == 100
    assert 10 < directories_below(tmp_path, 10) < 60


@pytest.mark.skipif(sys.platform != "linux", reason="adjtimex is Linux's")
@pytest.mark.parametrize(("answer", "verdict", "says"), [(0, "ok", "synchronised"), (5, "weaker", "chrony"), (-1, "ok", "does not say")])
def test_the_clock(monkeypatch: pytest.MonkeyPatch, answer: int, verdict: str, says: str) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda _name: SimpleNamespace(adjtimex=lambda _asked: answer))
    found = clock()
    assert (found.verdict, says in found.text) == (verdict, True)


def test_the_kernels_own_answer_about_the_clock_is_understood() -> None:
    assert clock().verdict in ("ok", "weaker")


def test_the_state_file(state: Path, tmp_path: Path) -> None:
    assert state_file(tmp_path / "none").text == "none yet"
    assert state_file(state).text.endswith("sound")
    with closing(sqlite3.connect(state / "eventflow.db")) as connection:
        connection.execute("UPDATE schema_versions SET version = 99 WHERE component = 'journal'")
        connection.commit()
    newer = state_file(state)
    assert (newer.verdict, "newer eventflow (journal schema 99" in newer.text) == ("missing", True)
    with (state / "eventflow.db").open("r+b") as file:
        file.write(b"X")
    damaged = state_file(state)
    assert (damaged.verdict, "journal repair" in damaged.text) == ("missing", True)


def test_a_large_state_file_is_not_read_whole(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eventflow.journals.check.CHECKED_AT_START", 1)
    monkeypatch.setattr(doctor, "CHECKED_AT_START", 1)
    assert "eventflow journal check" in state_file(state).text
