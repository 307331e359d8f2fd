"""When a file counts as finished although nobody said so."""

import mmap
import os
import sys

import pytest

from triggers.settling import OpenFiles, Settling
from triggers.watching import Sign

linux = pytest.mark.skipif(sys.platform != "linux", reason="read leases are Linux's")


def settling(settle=2.0):
    woken = []
    return Settling(settle, lambda: woken.append(True)), woken


def test_a_file_is_settled_when_it_looks_the_same_after_the_time():
    waiting, _ = settling()
    assert not waiting.settled("a", "1", 10.0)
    assert waiting.next == 12.0
    assert waiting.due(11.9) == []
    assert waiting.due(12.0) == [("a", Sign.LOOK)]
    assert waiting.settled("a", "1", 12.0)


def test_a_look_in_between_neither_settles_nor_starts_anew():
    waiting, _ = settling()
    waiting.settled("a", "1", 10.0)
    assert not waiting.settled("a", "1", 11.0)
    assert waiting.settled("a", "1", 12.0)


def test_a_change_starts_anew():
    waiting, _ = settling()
    waiting.settled("a", "1", 10.0)
    assert not waiting.settled("a", "2", 12.0)
    assert not waiting.settled("a", "2", 13.0)
    assert waiting.settled("a", "2", 14.0)


def test_what_is_forgotten_or_scheduled_anew_is_not_due():
    waiting, _ = settling()
    waiting.settled("a", "1", 10.0)
    waiting.settled("b", "1", 10.0)
    waiting.settled("b", "2", 11.0)
    waiting.forget("a")
    assert waiting.due(12.5) == []
    assert waiting.due(13.0) == [("b", Sign.LOOK)]


def test_an_open_file_is_looked_at_soon_and_then_less_often():
    waiting, _ = settling()
    now, looks = 10.0, []
    for _look in range(12):
        waiting.busy("a", "1", now, Sign.PLACED)
        looks.append(round(waiting.next - now, 3))
        now = waiting.next
        assert waiting.due(now) == [("a", Sign.PLACED)]
    assert looks[:3] == [0.005, 0.015, 0.045]
    assert looks[-1] == 2.0


def test_whoever_waits_is_woken_for_the_earliest_look_alone():
    waiting, woken = settling()
    waiting.postpone("a", 10.0, 30.0, Sign.LOOK)
    assert len(woken) == 1
    waiting.postpone("b", 10.0, 40.0, Sign.LOOK)
    assert len(woken) == 1
    waiting.postpone("c", 10.0, 5.0, Sign.LOOK)
    assert len(woken) == 2


@pytest.fixture
def open_files(tmp_path):
    files = OpenFiles()
    files.prove(tmp_path / ".probe")
    return files


@linux
def test_the_kernel_tells_whether_a_file_is_open_for_writing(tmp_path, open_files):
    path = tmp_path / "file"
    assert open_files.trusted
    assert list(tmp_path.iterdir()) == []
    with path.open("w") as first, path.open("a"):
        assert open_files.written(str(path)) is True
        first.close()
        assert open_files.written(str(path)) is True
    assert open_files.written(str(path)) is False
    with path.open():
        assert open_files.written(str(path)) is False


@linux
def test_a_file_that_is_mapped_for_writing_is_open(tmp_path, open_files):
    path = tmp_path / "file"
    path.write_bytes(b"0" * 4096)
    with path.open("r+b") as file:
        mapped = mmap.mmap(file.fileno(), 4096)
    assert open_files.written(str(path)) is True
    mapped.close()
    assert open_files.written(str(path)) is False


@linux
def test_what_cannot_be_asked_is_unknown(tmp_path, open_files):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("nowhere")
    assert open_files.written(str(tmp_path / "missing")) is None
    assert open_files.written(str(tmp_path / "link")) is None


def test_a_file_system_that_says_the_wrong_thing_is_not_believed(tmp_path, monkeypatch):
    for answer in (True, False, None):
        monkeypatch.setattr("triggers.settling.has_writer", lambda path, answer=answer: answer)
        files = OpenFiles()
        files.prove(tmp_path / ".probe")
        assert not files.trusted
        assert files.written(str(tmp_path)) is None
