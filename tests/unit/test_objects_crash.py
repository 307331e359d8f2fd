"""What is left when a daemon dies, the disk fills up or the database refuses: the old object or the new one, whole."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import stat
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest
from objects_world import BUCKET, World, in_world, noted_syncs

from eventflow.errors import ServiceError, StorageError
from eventflow.services.objects import directory, incoming
from eventflow.services.objects.directory import BucketDirectory
from eventflow.services.objects.index import ObjectIndex
from eventflow.services.objects.stored import Attributes
from eventflow.services.objects.writer import Writing

OLD, NEW = Writing(Attributes("text/old")), Writing(Attributes("text/new"))


class Killed(BaseException):
    """Stands for SIGKILL: nothing after it is run."""


def dies(*args: object) -> None:
    raise Killed


def what_is_there(tmp_path: Path) -> tuple[bytes, str] | None:
    async def look(world: World) -> tuple[bytes, str] | None:
        assert world.temporaries() == []
        if await world.keys() == []:
            return None
        return (await world.read("d/k"))[:3], (await world.objects.head(BUCKET, "d/k")).attributes.content_type

    return in_world(tmp_path, look)


#: Bytes behind the first ones of an object that syncs its file itself, and of one whose bytes are in the state file until somebody does.
LARGE, SMALL = bytes(incoming.SMALL), b""
HERE = "eventflow.services.objects"


@pytest.mark.parametrize(
    "rest, where, left",
    [
        (LARGE, f"{HERE}.incoming.Incoming.seal", "old"),
        (LARGE, f"{HERE}.index.ObjectIndex.record", "old"),
        (LARGE, f"{HERE}.directory.BucketDirectory.place", "old"),
        (LARGE, "after", "new"),
        (SMALL, f"{HERE}.directory.BucketDirectory.lay", "old"),
        (SMALL, f"{HERE}.pending.PendingBodies.record", "old"),
        (SMALL, f"{HERE}.directory.BucketDirectory.place", "new"),  # what is in the state file is carried out
        (SMALL, "after", "new"),
    ],
)
@pytest.mark.parametrize("overwrites", [True, False])
def test_a_put_that_dies_leaves_the_old_object_or_the_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rest: bytes, where: str, left: str, overwrites: bool
) -> None:
    async def work(world: World) -> None:
        if overwrites:
            await world.put("d/k", b"old", OLD)
        place = BucketDirectory.place

        def placed_and_dead(self: BucketDirectory, temporary: str, key: str, sync: Callable[[int], object]) -> None:
            place(self, temporary, key, sync)
            raise Killed

        # Nothing may be tidied up after the death.
        monkeypatch.setattr(f"{HERE}.index.ObjectIndex.forget", dies)
        monkeypatch.setattr(f"{HERE}.pending.PendingBodies.take_back", dies)
        monkeypatch.setattr(f"{HERE}.incoming.Incoming.discard", dies)
        if where == "after":
            monkeypatch.setattr(BucketDirectory, "place", placed_and_dead)
        else:
            monkeypatch.setattr(where, dies)
        with pytest.raises(Killed):
            await world.put("d/k", b"new" + rest, NEW)

    in_world(tmp_path, work)
    monkeypatch.undo()
    old = (b"old", "text/old") if overwrites else None
    assert what_is_there(tmp_path) == (old if left == "old" else (b"new", "text/new"))


def test_what_is_acknowledged_was_put_on_the_disk_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[str] = []
    record, fsync, rename, unlink = ObjectIndex.record, os.fsync, os.rename, os.unlink

    async def noted_record(*args: object) -> object:
        steps.append("row")
        return await record(*args)  # type: ignore[arg-type]

    def noted_fsync(descriptor: int) -> None:
        steps.append("fsync file" if stat.S_ISREG(os.fstat(descriptor).st_mode) else "fsync directory")
        fsync(descriptor)

    def noted(name: str, call: Callable[..., None]) -> Callable[..., None]:
        def note(*args: object, **options: object) -> None:
            steps.append(name)
            call(*args, **options)

        return note

    async def work(world: World) -> None:
        await world.put("other/k", LARGE + b"other")
        monkeypatch.setattr(ObjectIndex, "record", noted_record)
        monkeypatch.setattr(os, "fsync", noted_fsync)
        monkeypatch.setattr(os, "rename", noted("rename", rename))
        monkeypatch.setattr(os, "unlink", noted("unlink", unlink))
        await world.put("d/k", b"content" + LARGE)
        assert steps == ["fsync file", "row", "fsync directory", "rename", "fsync directory"]
        steps.clear()
        await world.objects.delete(BUCKET, "d/k")
        assert steps == ["unlink", "fsync directory"]

    in_world(tmp_path, work)


def test_a_delete_that_dies_leaves_the_object_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(world: World) -> None:
        await world.put("d/k", b"old", OLD)
        monkeypatch.setattr(BucketDirectory, "remove", dies)
        with pytest.raises(Killed):
            await world.objects.delete(BUCKET, "d/k")

    in_world(tmp_path, work)
    monkeypatch.undo()
    assert what_is_there(tmp_path) == (b"old", "text/old")


@pytest.mark.parametrize("rest, call", [(LARGE, "write"), (LARGE, "fsync"), (LARGE, "rename"), (SMALL, "write"), (SMALL, "rename")])
def test_a_full_disk_is_507_and_keeps_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rest: bytes, call: str) -> None:
    async def work(world: World) -> None:
        await world.put("d/k", b"old", OLD)

        def full(*args: object, **options: object) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(os, call, full)
            if call == "rename":
                patch.setattr(directory, "exchange", full)
            with pytest.raises(ServiceError, match="disk of this bucket is full") as refused:
                await world.put("d/k", b"new" + rest, NEW)
        assert (refused.value.code, refused.value.status) == ("InsufficientStorage", 507)
        assert world.temporaries() == []

    in_world(tmp_path, work)
    assert what_is_there(tmp_path) == (b"old", "text/old")


def test_a_database_that_refuses_keeps_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(world: World) -> None:
        await world.put("d/k", b"old", OLD)

        async def refuses(change: object) -> None:
            raise StorageError("The state file cannot be written: database or disk is full.")

        with monkeypatch.context() as patch:
            patch.setattr(world.database, "write", refuses)
            with pytest.raises(StorageError):
                await world.put("d/k", b"new", NEW)
            with pytest.raises(StorageError):
                await world.objects.delete(BUCKET, "d/k")
        assert world.temporaries() == []

    in_world(tmp_path, work)
    assert what_is_there(tmp_path) == (b"old", "text/old")


@pytest.mark.parametrize(
    "number, code",
    [(errno.EROFS, "AccessDenied"), (errno.EACCES, "AccessDenied"), (errno.EDQUOT, "InsufficientStorage"), (errno.EILSEQ, "InvalidArgument")],
)
def test_other_refusals_of_the_system_are_told_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, code: str) -> None:
    async def work(world: World) -> None:
        def refuses(*args: object, **options: object) -> None:
            raise OSError(number, os.strerror(number))

        with monkeypatch.context() as patch:
            patch.setattr(os, "rename", refuses)
            with pytest.raises(ServiceError) as refused:
                await world.put("d/k", b"new", NEW)
        assert refused.value.code == code
        assert await world.keys() == []

    in_world(tmp_path, work)


def test_an_input_output_error_is_a_storage_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(world: World) -> None:
        def fails(*args: object, **options: object) -> None:
            raise OSError(errno.EIO, "Input/output error")

        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", fails)
            with pytest.raises(StorageError, match="Input/output error"):
                await world.put("d/k", b"new" + LARGE, NEW)

    in_world(tmp_path, work)


WRITER = """
    import asyncio, sys
    from pathlib import Path
    sys.path.insert(0, sys.argv[2])
    from objects_world import in_world
    from eventflow.services.objects.writer import Writing
    from eventflow.services.objects.stored import Attributes

    async def work(world):
        async def write(name):
            for number in range(10_000):
                content = f"{name}{number}".encode() * 50_000
                await world.put(f"{name}/k", content, Writing(Attributes(metadata={"number": f"{name}{number}"})))
                print(name, number, flush=True)
        await asyncio.gather(*map(write, "abcd"))

    in_world(Path(sys.argv[1]), work)
"""


def test_kill_9_tears_nothing_and_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    helpers = str(Path(__file__).parent)
    acknowledged: dict[str, int] = {}
    command = [sys.executable, "-c", textwrap.dedent(WRITER), str(tmp_path), helpers]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        for line in writer.stdout:
            name, number = line.split()
            acknowledged[name] = int(number)
            if sum(acknowledged.values()) >= 24 and writer.poll() is None:
                os.kill(writer.pid, signal.SIGKILL)

    async def look(world: World) -> None:
        assert world.temporaries() == []
        assert await world.keys() == [f"{name}/k" for name in sorted(acknowledged)]
        for name, least in acknowledged.items():
            said = (await world.objects.head(BUCKET, f"{name}/k")).attributes.metadata["number"]
            assert await world.read(f"{name}/k") == said.encode() * 50_000
            assert int(said[1:]) >= least

    in_world(tmp_path, look)


def test_a_cancelled_commit_goes_to_its_end(tmp_path: Path) -> None:
    async def work(world: World) -> None:
        for turns in range(0, 40, 3):
            upload = asyncio.create_task(world.put("d/k", str(turns).encode(), Writing(Attributes("text/x"))))
            for _ in range(turns):
                await asyncio.sleep(0)
            upload.cancel()
            await asyncio.gather(upload, return_exceptions=True)
            assert world.temporaries() == []
            if await world.keys():
                assert (await world.objects.head(BUCKET, "d/k")).attributes.content_type == "text/x"

    in_world(tmp_path, work)


def test_a_directory_that_somebody_else_made_is_put_on_the_disk_too_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(world: World) -> None:
        root = world.objects.bucket(BUCKET).path
        (root / "theirs").mkdir()
        synced = noted_syncs(monkeypatch)
        await world.put("theirs/a", LARGE + b"a")
        assert synced.count(root.stat().st_ino) == 2  # for the temporaries' directory, and for this one
        await world.put("theirs/b", LARGE + b"b")
        assert synced.count(root.stat().st_ino) == 2
        for key in ("theirs/a", "theirs/b"):
            await world.objects.delete(BUCKET, key)
        assert not (root / "theirs").exists()
        await world.put("theirs/a", LARGE + b"a")
        assert synced.count(root.stat().st_ino) == 3

    in_world(tmp_path, work)
