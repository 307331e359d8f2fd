"""Describing a file that was put by hand: what is done on the event loop, what in a thread, and when the row reaches the disk."""

from __future__ import annotations

import hashlib
import os
import sqlite3
from pathlib import Path

import pytest
from objects_world import BUCKET, World, in_world

from eventflow.errors import ServiceError, StorageError
from eventflow.services.objects import etags
from eventflow.services.objects.disk import Disk, is_local
from eventflow.services.objects.etags import SMALL, small_etag
from eventflow.services.objects.incoming import SMALL as SMALL_BODY

LONG_AGO = 1_000_000_000


def rows_on_disk(tmp_path: Path) -> list[tuple[str, str]]:
    connection = sqlite3.connect(tmp_path / "state" / "state.db")
    try:
        return connection.execute("SELECT key, etag FROM objects ORDER BY key").fetchall()
    finally:
        connection.close()


def md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def test_the_row_of_a_described_file_is_there_when_what_is_written_next_is(tmp_path: Path) -> None:
    async def work(world: World) -> None:
        source = await world.objects.source(BUCKET)
        world.by_hand("a", b"1")
        world.by_hand("b", b"2")
        assert await source.describe("a")
        assert await source.describe("b")
        assert rows_on_disk(tmp_path) == []  # nothing was waited for
        await world.database.write(lambda connection: None)  # such as an event
        assert rows_on_disk(tmp_path) == [("a", md5(b"1")), ("b", md5(b"2"))]

    in_world(tmp_path, work)


def test_what_was_described_and_is_not_written_yet_is_known(tmp_path: Path) -> None:
    async def work(world: World) -> None:
        source = await world.objects.source(BUCKET)
        os.utime(world.by_hand("k", b"1"), (LONG_AGO, LONG_AGO))
        first = await source.describe("k")
        assert first is not None
        other = world.by_hand("other", b"2")
        os.utime(other, (LONG_AGO - 1000, LONG_AGO - 1000))
        other.rename(world.path / "k")
        second = await source.describe("k")
        assert second is not None
        assert second.sequencer > first.sequencer  # an older file in its place is a later state all the same
        assert (await source.describe("k"), second.etag) == (second, md5(b"2"))

    in_world(tmp_path, work)


def test_a_row_that_cannot_be_written_is_reported_and_found_out_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def work(world: World) -> None:
        source = await world.objects.source(BUCKET)
        world.by_hand("k")
        real = world.database.write_along

        def refused(change: object) -> object:
            def fails(connection: sqlite3.Connection) -> None:
                raise StorageError("the disk is full")

            return real(fails)

        monkeypatch.setattr(world.database, "write_along", refused)
        first = await source.describe("k")
        await world.database.write(lambda connection: None)
        assert "k in bucket uploads was not kept" in caplog.text
        assert rows_on_disk(tmp_path) == []
        monkeypatch.undo()
        assert await source.describe("k") == first

    in_world(tmp_path, work)


@pytest.mark.parametrize("size", [0, 1, SMALL, SMALL + 1, 3 * SMALL])
@pytest.mark.parametrize("local", [True, False])
def test_an_etag_is_the_same_wherever_it_is_computed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int, local: bool) -> None:
    for place in ("disk", "reader"):
        monkeypatch.setattr(f"eventflow.services.objects.{place}.is_local", lambda path: local)
    content = os.urandom(size)

    async def work(world: World) -> None:
        source = await world.objects.source(BUCKET)
        world.by_hand("d/k", content)
        version = await source.describe("d/k")
        assert version is not None
        assert (version.size, version.etag) == (size, md5(content))
        assert await world.read("d/k") == content
        assert await source.describe("d/gone") is None

    in_world(tmp_path, work)


def test_a_large_file_is_not_read_on_the_event_loop(tmp_path: Path) -> None:
    path = tmp_path / "large"
    path.write_bytes(bytes(SMALL + 1))
    descriptor = os.open(path, os.O_RDONLY)
    try:
        assert small_etag(descriptor) is None
    finally:
        os.close(descriptor)


@pytest.mark.skipif(not hasattr(os, "RWF_NOWAIT"), reason="only Linux reads what is in memory without waiting")
def test_a_file_that_is_not_in_memory_is_left_to_a_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def waits(*args: object) -> int:
        raise BlockingIOError

    async def work(world: World) -> None:
        source = await world.objects.source(BUCKET)
        world.by_hand("k", b"cold")
        monkeypatch.setattr(os, "preadv", waits)
        in_thread = []
        monkeypatch.setattr("eventflow.services.objects.reader.compute_etag", lambda *args: in_thread.append(args) or etags.compute_etag(*args))
        version = await source.describe("k")
        assert version is not None
        assert (version.etag, len(in_thread)) == (md5(b"cold"), 1)
        assert await world.read("k") == b"cold"

    in_world(tmp_path, work)


def test_a_file_that_changes_while_it_is_summed_up_is_left_to_a_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(world: World) -> None:
        source = await world.objects.source(BUCKET)
        path = world.by_hand("k", b"first")
        real = etags.at_hand

        def changed(descriptor: int, size: int, position: int) -> bytes | None:
            content = real(descriptor, size, position)
            path.write_bytes(b"second, and longer")
            return content

        monkeypatch.setattr(etags, "at_hand", changed)
        version = await source.describe("k")
        assert version is not None
        assert (version.size, version.etag) == (18, md5(b"second, and longer"))

    in_world(tmp_path, work)


def test_a_young_file_is_not_believed_to_stay_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "k"
    path.write_bytes(b"1")
    descriptor = os.open(path, os.O_RDONLY)
    try:
        now = path.stat().st_mtime_ns
        settled = {}
        for age in (0, 10**6 + 1, 10**9, 10**9 + 1, 10**10):  # in nanoseconds; whole milliseconds come from a clock that may be coarse
            os.utime(path, ns=(now, (now // 10**6) * 10**6 - age))
            summed = small_etag(descriptor)
            settled[age] = summed and summed[2]
    finally:
        os.close(descriptor)
    assert settled == {0: False, 10**6 + 1: False, 10**9: False, 10**9 + 1: True, 10**10: True}


@pytest.mark.parametrize("size", [0, SMALL_BODY, SMALL_BODY + 1])
def test_a_put_into_a_bucket_that_is_deleted_meanwhile_is_refused(tmp_path: Path, size: int) -> None:
    async def work(world: World) -> None:
        async def body():
            yield bytes(size)
            await world.objects.delete_bucket(BUCKET)

        with pytest.raises(ServiceError) as refused:
            await world.objects.put(BUCKET, "k", body())
        assert refused.value.code == "NoSuchBucket"
        assert not (world.path / "k").exists()

    in_world(tmp_path, work)


def test_a_directory_that_is_not_there_is_not_taken_for_local(tmp_path: Path) -> None:
    assert not is_local(tmp_path / "gone")


def test_brief_work_that_is_refused_is_told_as_in_a_thread(tmp_path: Path) -> None:
    async def work(world: World) -> None:
        disk = Disk()
        try:
            for place in (world.path, world.path / "gone"):
                with pytest.raises(StorageError, match="could not be read or written"):
                    await disk.brief(place, os.open, world.path / "nothing", os.O_RDONLY)
        finally:
            disk.close()

    in_world(tmp_path, work)
