"""Tail keeps the contract of triggers, and follows a log through what happens to logs."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import Any

import pytest
from eventflow_tail import HEAD, LONGEST_LINE, Tail

from eventflow.testing.recording_target import RecordingTarget
from eventflow.testing.trigger_contract import TriggerContract
from eventflow.testing.virtual_clock import VirtualClock


class TestTail(TriggerContract):
    bad_settings = ({"path": ""}, {"path": "a", "pattern": "("}, {"path": "a", "every": 0}, {"path": "a", "start": "middle"})

    @pytest.fixture(autouse=True)
    def log(self, tmp_path: Path) -> None:
        self.path = tmp_path / "app.log"
        self.path.write_text("this line is old\n")
        self.written = 0

    def make(self) -> Tail:
        return Tail(str(self.path))

    async def cause(self, n: int) -> None:
        with self.path.open("a") as log:
            for _ in range(n):
                self.written += 1
                log.write(f"line {self.written}\n")

    def events(self, payload: Any) -> list[str]:
        return [payload["detail"]["line"]]


class Log:
    """A log file and a Tail that is swept over it: each sweep stands for a restart, for nothing but the cursor outlives it."""

    def __init__(self, path: Path, **settings: Any) -> None:
        self.path = path
        self.target = RecordingTarget(VirtualClock(), function="alert")
        self.settings = settings
        self.seen = 0

    def write(self, text: str) -> None:
        with self.path.open("a") as log:
            log.write(text)

    def new_lines(self) -> list[str]:
        asyncio.run(Tail(str(self.path), **self.settings).sweep(self.target))
        lines = [payload["detail"]["line"] for payload in self.target.payloads[self.seen :]]
        self.seen += len(lines)
        return lines


@pytest.fixture
def log(tmp_path: Path) -> Log:
    log = Log(tmp_path / "app.log")
    assert log.new_lines() == []
    return log


def test_the_event_has_eventbridges_shape_and_the_patterns_fields(tmp_path: Path) -> None:
    log = Log(tmp_path / "app.log", pattern=r"ERROR (?P<code>\d+)")
    log.new_lines()
    log.write("INFO all is well\nERROR 507 no room\n")
    assert log.new_lines() == ["ERROR 507 no room"]
    event = log.target.payloads[0]
    assert event.pop("id")
    assert event == {
        "version": "0",
        "detail-type": "Line Added",
        "source": "eventflow.tail",
        "account": "000000000000",
        "time": "2026-01-01T00:00:00Z",
        "region": "us-east-1",
        "resources": [str(log.path)],
        "detail": {"path": str(log.path), "line": "ERROR 507 no room", "fields": {"code": "507"}},
    }


def test_a_line_is_delivered_when_it_is_complete(log: Log) -> None:
    log.write("half a ")
    assert log.new_lines() == []
    log.write("line\r\nand ano")
    assert log.new_lines() == ["half a line"]
    log.write("ther\n")
    assert log.new_lines() == ["and another"]


def test_the_first_run_begins_at_the_end_or_at_the_beginning(tmp_path: Path) -> None:
    (tmp_path / "app.log").write_text("old\nunfini")
    tail, whole = Log(tmp_path / "app.log"), Log(tmp_path / "app.log", start="beginning")
    assert (tail.new_lines(), whole.new_lines()) == ([], ["old"])
    tail.write("shed\n")
    assert (tail.new_lines(), whole.new_lines()) == (["unfinished"], ["unfinished"])


@pytest.mark.parametrize("lines", [1, 100])
def test_a_rotation_by_renaming_loses_and_repeats_nothing(log: Log, lines: int) -> None:
    log.write("".join(f"before {number}\n" for number in range(lines)))
    assert len(log.new_lines()) == lines
    log.write("last of the old\nwithout a line feed")
    log.path.rename(log.path.with_name("app.log.1"))
    log.write("first of the new\n")
    assert log.new_lines() == ["last of the old", "without a line feed", "first of the new"]
    log.write("second of the new\n")
    assert log.new_lines() == ["second of the new"]
    assert log.target.reports == []


def test_several_rotations_between_two_looks_are_read_in_order(log: Log) -> None:
    log.write("one\n")
    assert log.new_lines() == ["one"]
    log.write("two\n")
    log.path.rename(log.path.with_name("app.log-20260101"))
    log.write("three\n")
    log.path.rename(log.path.with_name("app.log-20260102"))
    (log.path.parent / "app.log-20251231.gz").write_bytes(b"\x1f\x8b\n")
    log.write("four\n")
    assert log.new_lines() == ["two", "three", "four"]


def test_an_older_rotated_file_is_not_mistaken_for_news(log: Log) -> None:
    (log.path.parent / "app.log.1").write_text("ancient\n")
    log.write("now\n")
    assert log.new_lines() == ["now"]


def test_a_rotation_by_copying_and_truncating_loses_and_repeats_nothing(log: Log) -> None:
    log.write("x" * HEAD + "\n")
    assert log.new_lines() == ["x" * HEAD]
    log.write("last of the old\n")
    shutil.copy2(log.path, log.path.with_name("app.log.1"))
    log.path.write_text("first of the new\n")
    assert log.new_lines() == ["last of the old", "first of the new"]
    assert log.target.reports == []


def test_a_file_that_was_replaced_is_read_from_its_beginning_and_reported(log: Log) -> None:
    log.write("a long line of the old file\n")
    log.new_lines()
    log.path.unlink()
    assert log.new_lines() == []
    log.write("new\n")
    assert log.new_lines() == ["new"]
    assert "lines may be lost" in log.target.reports[0]


def test_a_line_without_end_comes_in_pieces(log: Log) -> None:
    log.write("x" * (LONGEST_LINE + 5) + "\nnext\n")
    assert [len(line) for line in log.new_lines()] == [LONGEST_LINE, 5, 4]


def test_bytes_that_are_no_text_are_delivered_readably(log: Log) -> None:
    log.path.write_bytes(b"caf\xe9\n")
    assert log.new_lines() == ["caf\ufffd"]
