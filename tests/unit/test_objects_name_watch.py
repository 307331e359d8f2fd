"""The names of large directories that follow what the kernel tells: they must be those that the directory has, at every moment."""

from __future__ import annotations

import errno
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eventflow.services.objects import name_watch
from eventflow.services.objects import names as names_module
from eventflow.services.objects.directory import BucketDirectory
from eventflow.services.objects.listing import Query, scan
from eventflow.services.objects.name_watch import HEADER, IN_Q_OVERFLOW
from eventflow.services.objects.names import ChunkedNames, NameCache, read_names
from eventflow.services.objects.swapping import exchange
from eventflow.services.objects.walk import Found

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what comes and goes in a way that loses nothing")


@pytest.fixture(autouse=True, scope="module")
def _all_are_watched() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(names_module, "FEWEST_KEPT", 0)
        patch.setattr(names_module, "SMALLEST_WATCHED", 0)
        patch.setattr(names_module, "PACK", 3)
        yield


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """One for each time that a directory is read."""
    found: list[int] = []

    def counted(descriptor: int) -> list[bytes]:
        found.append(descriptor)
        return read_names(descriptor)

    monkeypatch.setattr(names_module, "read_names", counted)
    return found


def keys(root: Path, cache: NameCache, **query: Any) -> list[str]:
    items, _more = scan(BucketDirectory(root), Query(**query), {}, cache)
    return [item.key if isinstance(item, Found) else item for item in items]


def test_a_directory_is_read_once_whatever_comes_and_goes(tmp_path: Path, reads: list[int]) -> None:
    root, outside = tmp_path / "bucket", tmp_path / "outside"
    root.mkdir()
    for number in range(10):
        (root / f"k{number}").touch()
    cache = NameCache()
    assert len(keys(root, cache)) == 10
    (root / "k25").touch()
    assert keys(root, cache, after="k2", limit=2) == ["k25", "k3"]
    (root / "k3").rename(outside)
    assert keys(root, cache, after="k2", limit=2) == ["k25", "k4"]
    outside.rename(root / "a")
    (root / "k4").rename(root / "z")
    os.link(root / "z", root / "y")
    assert keys(root, cache) == ["a", "k0", "k1", "k2", "k25", "k5", "k6", "k7", "k8", "k9", "y", "z"]
    for path in root.iterdir():
        path.unlink()
    assert keys(root, cache) == []
    (root / "new").touch()
    assert keys(root, cache) == ["new"]
    assert len(reads) == 1


def test_what_comes_while_the_directory_is_read_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").touch()
    (tmp_path / "b").touch()

    def slow(descriptor: int) -> list[bytes]:
        names = read_names(descriptor)
        (tmp_path / "c").touch()
        (tmp_path / "a").unlink()
        return names

    monkeypatch.setattr(names_module, "read_names", slow)
    cache = NameCache()
    assert keys(tmp_path, cache) == ["b", "c"]
    assert keys(tmp_path, cache) == ["b", "c"]


def test_a_directory_in_the_place_of_another_is_read(tmp_path: Path) -> None:
    cache, folder = NameCache(), tmp_path / "d"
    for number in range(5):  # inodes are used again
        folder.mkdir()
        (folder / f"{number}").touch()
        assert keys(tmp_path, cache) == [f"d/{number}"]
        (folder / f"{number}").unlink()
        folder.rmdir()
        assert keys(tmp_path, cache) == []
        folder.touch()
        assert keys(tmp_path, cache) == ["d"]
        folder.unlink()


def test_when_news_were_lost_everything_is_read_anew(tmp_path: Path, reads: list[int]) -> None:
    (tmp_path / "a").touch()
    cache = NameCache()
    assert keys(tmp_path, cache) == ["a"]
    cache._watch._sort(HEADER.pack(-1, IN_Q_OVERFLOW, 0, 0))
    assert keys(tmp_path, cache) == ["a"]
    (tmp_path / "b").touch()
    assert keys(tmp_path, cache) == ["a", "b"]
    assert len(reads) == 2


def test_a_name_whose_files_change_is_there_all_the_time(tmp_path: Path, reads: list[int]) -> None:
    """As far as the kernel tells, the one has gone before the other has come: whoever asks in between is told so."""
    folder, aside = tmp_path / "folder", tmp_path / "aside"
    folder.mkdir()
    aside.mkdir()
    (folder / "a").write_bytes(b"old")
    (folder / "b").touch()
    cache = NameCache()
    assert keys(folder, cache) == ["a", "b"]
    (aside / "x").write_bytes(b"new")
    descriptors = [os.open(path, os.O_RDONLY) for path in (folder, aside)]
    assert exchange(descriptors[0], "a", descriptors[1], "x")
    assert (folder / "a").read_bytes() == b"new"
    assert keys(folder, cache) == ["a", "b"]
    [(watch, _news)] = cache._watch._news.items()
    cache._watch._sort(HEADER.pack(watch, name_watch.IN_MOVED_FROM, 0, 4) + b"a\0\0\0")
    assert keys(folder, cache) == ["a", "b"]
    (folder / "b").rename(aside / "b")
    assert keys(folder, cache) == ["a"]
    assert len(reads) == 1
    for descriptor in descriptors:
        os.close(descriptor)


def test_too_many_news_are_not_kept(tmp_path: Path, reads: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(name_watch, "MOST_CHANGES", 5)
    cache = NameCache()
    assert keys(tmp_path, cache) == []
    for number in range(20):
        (tmp_path / f"{number:02}").touch()
    assert len(keys(tmp_path, cache)) == 20
    assert len(reads) == 2


@pytest.mark.parametrize("refused", ["inotify_init1", "inotify_add_watch", "fstatfs", "foreign"])
def test_where_nothing_is_told_times_of_change_are_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: str) -> None:
    def call(function: str, *arguments: Any, real: Any = name_watch.call) -> int:
        if function == refused:
            raise OSError(errno.ENOSPC, "no")
        return int(real(function, *arguments))

    monkeypatch.setattr(name_watch, "call", call)
    if refused == "foreign":
        monkeypatch.setattr(name_watch, "LOCAL", frozenset())
    cache = NameCache()
    for number in range(50):
        (tmp_path / f"{number:02}").touch()
        assert len(keys(tmp_path, cache)) == number + 1


def opened() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def test_nothing_is_left_open(tmp_path: Path) -> None:
    open_before = opened()
    cache = NameCache()
    keys(tmp_path, cache)
    assert opened() == open_before + 1
    del cache
    assert opened() == open_before


def test_what_is_dropped_for_room_is_watched_no_more(tmp_path: Path) -> None:
    for folder in "abc":
        (tmp_path / folder).mkdir()
        for number in range(40):
            (tmp_path / folder / f"{number:010}").touch()
    cache = NameCache(most_bytes=1500)
    for folder in "abca":
        assert len(keys(tmp_path, cache, prefix=f"{folder}/")) == 40
        assert len(cache._watch._news) == len(cache._kept)
    assert 0 < cache._bytes <= 1500


NAMES = ["a", "b", "a-", "c/x", "c/y", "c-d", "ü"]
CHANGES = st.tuples(st.sampled_from(["put", "remove", "rename"]), st.sampled_from(NAMES), st.sampled_from(NAMES))


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.lists(CHANGES, max_size=5), max_size=8))
def test_any_changes_are_followed(stages: list[list[tuple[str, str, str]]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root, cache = Path(folder), NameCache()
        (root / "c").mkdir()
        for stage in stages:
            for what, name, other in stage:
                if what == "put":
                    (root / name).touch()
                elif what == "remove":
                    (root / name).unlink(missing_ok=True)
                elif (root / name).exists():
                    (root / name).rename(root / other)
            there = sorted((path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()), key=str.encode)
            assert keys(root, cache) == there


@given(st.sets(st.binary(min_size=1, max_size=3)), st.dictionaries(st.binary(min_size=1, max_size=3), st.booleans()))
def test_chunks_are_the_names_that_a_set_would_have(names: set[bytes], changes: dict[bytes, bool]) -> None:
    before = sorted(names)
    chunked = ChunkedNames.of(before)
    after = chunked.changed(changes)
    assert list(after) == sorted(
        (names - {name for name, there in changes.items() if not there}) | {name for name, there in changes.items() if there}
    )
    assert list(chunked) == before
    assert after[1:3] == list(after)[1:3]
