"""Jobs that share a visit to a thread: each gets its own value or its own error, and a directory is synced once for all of them."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from objects_world import noted_syncs

from eventflow.errors import ServiceError
from eventflow.services.objects import disk as disks
from eventflow.services.objects.disk import Disk, Sync
from tests.patience import PATIENCE


def put(folder: int, name: str, sync: Sync) -> str:
    os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, dir_fd=folder))
    sync(folder)
    return name


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    return noted_syncs(monkeypatch)


async def together(path: Path, names: list[str]) -> list[object]:
    disk, folder = Disk(), os.open(path, os.O_RDONLY)
    try:
        return await asyncio.gather(*(disk.together(path, put, folder, name) for name in names), return_exceptions=True)
    finally:
        disk.close()
        os.close(folder)


def test_many_changes_of_a_directory_are_one_sync(tmp_path: Path, synced: list[int]) -> None:
    names = [f"{number}" for number in range(10)]
    assert asyncio.run(together(tmp_path, names)) == names
    assert synced == [tmp_path.stat().st_ino]


def test_more_than_one_visit_takes_come_in_several(tmp_path: Path, synced: list[int]) -> None:
    names = [f"{number}" for number in range(disks.MOST_TOGETHER + 1)]
    assert asyncio.run(together(tmp_path, names)) == names
    assert len(synced) == 2


def test_each_job_fails_alone(tmp_path: Path) -> None:
    first, second, third = asyncio.run(together(tmp_path, ["a", "a", "b"]))
    assert (first, third) == ("a", "b")
    assert isinstance(second, Exception)
    assert "exists" in str(second)


def test_a_sync_that_fails_fails_all_that_asked_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    results = asyncio.run(together(tmp_path, ["a", "b"]))
    assert [isinstance(result, ServiceError) and result.status for result in results] == [507, 507]


def test_a_file_server_is_visited_for_each_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, synced: list[int]) -> None:
    monkeypatch.setattr(disks, "is_local", lambda _path: False)
    assert asyncio.run(together(tmp_path, ["a", "b"])) == ["a", "b"]
    assert len(synced) == 2


def test_nobody_waits_for_threads_that_are_gone(tmp_path: Path) -> None:
    async def after_the_end() -> None:
        disk = Disk()
        disk.close()
        await asyncio.wait_for(disk.together(tmp_path, put, 0, "a"), PATIENCE)

    with pytest.raises(RuntimeError):
        asyncio.run(after_the_end())
