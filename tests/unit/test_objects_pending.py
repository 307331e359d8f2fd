"""Small objects, whose bytes are in the state file until those of their files are on the disk: what a kill, a power cut, a hand and a bad disk do."""

from __future__ import annotations

import asyncio
import errno
import os
import sqlite3
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from objects_world import BUCKET, World, in_world, noted_syncs

from eventflow.errors import ServiceError, StorageError
from eventflow.services.objects import directory, pending, syncing
from eventflow.services.objects.directory import BucketDirectory
from eventflow.services.objects.incoming import SMALL
from eventflow.services.objects.recovery import is_part
from eventflow.services.objects.stored import Attributes
from eventflow.services.objects.writer import Writing
from eventflow.testing.virtual_clock import VirtualClock
from tests.patience import PATIENCE

TEXT = Writing(Attributes("text/plain", metadata={"of": "ours"}))


@pytest.fixture(autouse=True)
def nothing_is_synced_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pending, "LONGEST_WAIT", 3600.0)


async def count(world: World) -> int:
    [number] = await world.database.read(lambda connection: connection.execute("SELECT count(*) FROM pending_bodies").fetchone())
    return int(number)


async def until_empty(world: World) -> None:
    async with asyncio.timeout(PATIENCE):
        while await count(world):  # noqa: ASYNC110 - what happens by itself tells nobody
            await asyncio.sleep(0.01)


def power_cut(tmp_path: Path, work: Callable[[Path], object], *, rows: str = "UPDATE pending_bodies SET boot = 'an earlier one'") -> None:
    """Do to the bucket's directory what the cut did, and have the machine be another run of itself."""

    async def cut(world: World) -> None:
        await world.database.write(lambda connection: connection.execute(rows) and None)

    work(tmp_path / "state" / "buckets" / BUCKET)
    in_world_without_recovery(tmp_path, cut)


def in_world_without_recovery(tmp_path: Path, work: Callable[[World], object]) -> None:
    with pytest.MonkeyPatch.context() as patch:

        async def nothing(self: object, bucket: object) -> set[str]:
            return {path.name for path in (tmp_path / "state/buckets" / BUCKET / ".eventflow-tmp").iterdir()}

        patch.setattr("eventflow.services.objects.recovery.Recovery.recover", nothing)
        in_world(tmp_path, work)


def written(tmp_path: Path, *bodies: bytes, durable: bytes | None = None) -> None:
    async def work(world: World) -> None:
        if durable is not None:
            await world.put("d/k", durable)
            await world.objects.flush()
        for body in bodies:
            await world.put("d/k", body, TEXT)

    in_world(tmp_path, work)


def left(tmp_path: Path) -> tuple[bytes, str] | None:
    async def look(world: World) -> tuple[bytes, str] | None:
        assert world.temporaries() == []
        await world.objects.flush()
        assert await count(world) == 0
        if await world.keys() != ["d/k"]:
            return None
        stored = await world.objects.head(BUCKET, "d/k")
        return await world.read("d/k"), stored.attributes.content_type

    return in_world(tmp_path, look)


BODY = bytes(range(256)) * 20
HERS = (BODY, "text/plain")


def test_the_body_is_in_the_state_file_until_the_file_is_synced(tmp_path: Path) -> None:
    async def work(world: World) -> None:
        await world.put("d/k", BODY)
        assert (world.path / "d/k").read_bytes() == BODY  # whoever looks into the directory sees it at once
        assert await count(world) == 1
        await world.put("d/k", BODY[1:])
        assert await count(world) == 2
        await world.objects.flush()
        assert await count(world) == 0
        await world.put("large", bytes(SMALL + 1))
        assert await count(world) == 0

    in_world(tmp_path, work)


def test_bodies_leave_by_themselves(tmp_path: Path) -> None:
    clock = VirtualClock()

    async def work(world: World) -> None:
        clock.also_settle(world.objects.settle)
        for number in range(250):
            await world.put(f"k{number}", b"x")
        await clock.advance(pending.LONGEST_WAIT - 1)
        assert await count(world) == 250
        await clock.advance(1)
        assert await count(world) == 0

    in_world(tmp_path, work, clock)


def test_a_sync_that_failed_is_tried_again_after_a_while(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = VirtualClock()

    def broken(paths: object) -> bool:
        raise OSError(errno.EIO, "Input/output error")

    async def work(world: World) -> None:
        clock.also_settle(world.objects.settle)
        await world.put("d/k", BODY)
        with monkeypatch.context() as patch:
            patch.setattr(pending, "sync_file_systems", broken)
            await clock.advance(pending.LONGEST_WAIT)
        assert await count(world) == 1
        await clock.advance(pending.LONGEST_WAIT)
        assert await count(world) == 0
        assert await world.read("d/k") == BODY

    in_world(tmp_path, work, clock)


def test_many_bytes_are_synced_before_their_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pending, "WORTH_A_SYNC", 10_000)

    async def work(world: World) -> None:
        await world.put("a", bytes(6_000))
        await world.put("b", bytes(6_000))
        await until_empty(world)

    in_world(tmp_path, work)


def test_without_room_a_put_syncs_its_own_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pending, "MOST_PENDING", 3 * (pending.ROW + 10_000))

    async def work(world: World) -> None:
        await asyncio.gather(*(world.put(f"k{number}", bytes(10_000)) for number in range(8)))
        assert await count(world) == 3
        await world.objects.flush()
        for number in range(3):
            with pytest.raises(ServiceError):
                await world.put(f"{number}/" + "x" * 2000, bytes(10_000))  # what is refused takes no room
        await asyncio.gather(*(world.put(f"k{number}", bytes(10_000)) for number in range(8)))
        assert await count(world) == 3

    in_world(tmp_path, work)


def test_after_a_kill_the_directory_is_as_it_was(tmp_path: Path) -> None:
    written(tmp_path, BODY, BODY[:-1])
    assert left(tmp_path) == (BODY[:-1], "text/plain")
    written(tmp_path, BODY)
    (tmp_path / "state/buckets" / BUCKET / "d/k").unlink()  # by hand: the kernel is still the same, and knows what it does
    assert left(tmp_path) is None


def test_after_a_kill_what_was_changed_by_hand_stays(tmp_path: Path) -> None:
    written(tmp_path, BODY)
    (tmp_path / "state/buckets" / BUCKET / "d/k").write_bytes(b"")
    assert left(tmp_path) == (b"", "binary/octet-stream")


@pytest.mark.parametrize(
    "torn",
    [b"", BODY[:512], BODY[:700], BODY[:512] + bytes(512) + BODY[1024:], bytes(len(BODY)), None],
    ids=["0", "512", "700", "hole", "zeros", "gone"],
)
def test_after_a_power_cut_files_are_made_good(tmp_path: Path, torn: bytes | None) -> None:
    written(tmp_path, BODY, durable=b"the old one")

    def cut(bucket: Path) -> None:
        if torn is None:
            (bucket / "d/k").unlink()
        else:
            (bucket / "d/k").write_bytes(torn)

    before = in_world_state(tmp_path)
    power_cut(tmp_path, cut)
    assert left(tmp_path) == HERS
    assert in_world_state(tmp_path) == before


def in_world_state(tmp_path: Path) -> list[object]:
    """What triggers compare: all that is recorded of the object but its inode."""
    with sqlite3.connect(tmp_path / "state/state.db") as connection:
        statement = (
            "SELECT key, sequencer, etag, attributes, action, substr(state, 1, 24) FROM objects WHERE etag <> '' ORDER BY sequencer DESC LIMIT 1"
        )
        return connection.execute(statement).fetchall()


@pytest.mark.parametrize("puts", [1, 2])
def test_after_a_power_cut_an_older_file_is_replaced(tmp_path: Path, puts: int) -> None:
    """The renames were lost."""
    old = b"the old one, " * 30_000
    written(tmp_path, durable=old)
    path = tmp_path / "state/buckets" / BUCKET / "d/k"
    changed = path.stat().st_mtime_ns
    written(tmp_path, *[BODY[number:] for number in reversed(range(puts))])

    def cut(bucket: Path) -> None:
        path.write_bytes(old)
        os.utime(path, ns=(changed, changed))

    power_cut(tmp_path, cut)
    assert left(tmp_path) == HERS


@pytest.mark.parametrize("hand", [b"by hand", BODY + b"more", BODY[::-1]])
def test_after_a_power_cut_what_was_changed_by_hand_stays(tmp_path: Path, hand: bytes) -> None:
    written(tmp_path, BODY, durable=b"the old one")
    power_cut(tmp_path, lambda bucket: (bucket / "d/k").write_bytes(hand))
    assert left(tmp_path) == (hand, "binary/octet-stream")


def test_after_a_power_cut_an_object_that_was_taken_away_and_brought_back_is_made_good(tmp_path: Path) -> None:
    """Its row is newer than the put, and its bytes are the put's all the same."""

    async def away_and_back(world: World) -> None:
        source = await world.objects.source(BUCKET)
        await world.put("d/k", BODY, TEXT)
        (world.path / "d/k").rename(tmp_path / "away")
        assert await source.removed("d/k")
        (tmp_path / "away").rename(world.path / "d/k")
        assert await source.describe("d/k")

    def cut(bucket: Path) -> None:
        changed = (bucket / "d/k").stat().st_mtime_ns
        (bucket / "d/k").write_bytes(bytes(len(BODY)))
        os.utime(bucket / "d/k", ns=(changed, changed))

    in_world(tmp_path, away_and_back)
    power_cut(tmp_path, cut)
    assert left(tmp_path) == HERS


def test_after_a_power_cut_what_was_deleted_stays_away(tmp_path: Path) -> None:
    async def work(world: World) -> None:
        await world.put("d/k", BODY)
        await world.objects.delete(BUCKET, "d/k")

    in_world(tmp_path, work)
    power_cut(tmp_path, lambda bucket: None)
    assert left(tmp_path) is None


def test_after_a_power_cut_a_large_object_that_came_after_stays(tmp_path: Path) -> None:
    large = bytes(SMALL + 1)
    written(tmp_path, BODY, large)
    power_cut(tmp_path, lambda bucket: None)
    assert left(tmp_path) == (large, "text/plain")


def test_after_a_power_cut_before_the_rename_the_put_is_carried_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Killed(BaseException):
        """SIGKILL."""

    def dies(*args: object) -> None:
        raise Killed

    async def work(world: World) -> None:
        monkeypatch.setattr(BucketDirectory, "place", dies)
        monkeypatch.setattr("eventflow.services.objects.pending.PendingBodies.take_back", dies)
        monkeypatch.setattr("eventflow.services.objects.incoming.Incoming.discard", dies)
        with pytest.raises(Killed):
            await world.put("d/k", BODY, TEXT)

    in_world(tmp_path, work)
    monkeypatch.undo()
    power_cut(tmp_path, lambda bucket: [path.write_bytes(b"") for path in (bucket / ".eventflow-tmp").iterdir()])
    assert left(tmp_path) == HERS


@pytest.mark.parametrize("hand", [None, b"by hand"])
def test_after_a_kill_before_the_rename_the_put_is_carried_out_unless_a_hand_came_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hand: bytes | None
) -> None:
    class Killed(BaseException):
        """SIGKILL."""

    def dies(*args: object) -> None:
        raise Killed

    async def work(world: World) -> None:
        await world.put("d/k", b"old")
        await world.objects.flush()
        monkeypatch.setattr(BucketDirectory, "place", dies)
        monkeypatch.setattr("eventflow.services.objects.pending.PendingBodies.take_back", dies)
        monkeypatch.setattr("eventflow.services.objects.incoming.Incoming.discard", dies)
        with pytest.raises(Killed):
            await world.put("d/k", BODY, TEXT)
        if hand is not None:
            world.by_hand("d/k", hand)

    in_world(tmp_path, work)
    monkeypatch.undo()
    found = left(tmp_path)
    assert found is not None
    assert found[0] == (hand or BODY)


def test_a_file_that_cannot_have_its_name_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(world: World) -> None:
        def full(*args: object, **options: object) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        await world.put("d/k", b"old")
        await world.objects.flush()
        with monkeypatch.context() as patch:
            patch.setattr(os, "rename", full)
            patch.setattr(directory, "exchange", full)
            with pytest.raises(ServiceError, match="disk of this bucket is full"):
                await world.put("d/k", BODY)
        assert await count(world) == 0
        assert await world.read("d/k") == b"old"

    in_world(tmp_path, work)
    power_cut(tmp_path, lambda bucket: None)
    assert left(tmp_path) == (b"old", "binary/octet-stream")


def test_a_sync_that_fails_has_files_written_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(world: World) -> None:
        await world.put("d/k", BODY, TEXT)
        await world.put("d/hand", BODY, TEXT)
        await world.put("d/moved", BODY, TEXT)
        world.by_hand("d/hand", b"hand")
        (world.path / "d/moved").rename(world.path / "d/there")
        inode = (world.path / "d/k").stat().st_ino
        with monkeypatch.context() as patch:

            def fails(paths: object) -> bool:
                raise OSError(errno.EIO, "Input/output error")

            patch.setattr(pending, "sync_file_systems", fails)
            with pytest.raises(StorageError, match="Input/output error"):
                await world.objects.flush()
        with pytest.raises(StorageError, match="3 small objects could not be put on the disk"):
            await world.objects.flush()  # the kernel would say yes now, and be wrong
        assert await count(world) == 3
        await world.objects._pending._flush_along()
        assert await count(world) == 0
        assert (world.path / "d/k").stat().st_ino != inode
        assert await world.read("d/k") == BODY
        assert (await world.objects.head(BUCKET, "d/k")).attributes.metadata == {"of": "ours"}
        assert await world.read("d/hand") == b"hand"
        assert sorted(await world.keys()) == ["d/hand", "d/k", "d/there"]

    in_world(tmp_path, work)


def test_a_file_that_cannot_be_written_anew_keeps_its_row_and_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(world: World) -> None:
        await world.put("d/k", BODY, TEXT)
        bodies = world.objects._pending
        with monkeypatch.context() as patch:

            def fails(*args: object, **options: object) -> bool:
                raise OSError(errno.EIO, "Input/output error")

            patch.setattr(pending, "sync_file_systems", fails)
            await bodies._flush_along()
            patch.setattr(os, "rename", fails)
            await bodies._flush_along()
            assert await count(world) == 1
            assert world.temporaries() == []
            assert (await world.objects.head(BUCKET, "d/k")).attributes.metadata == {"of": "ours"}
        await bodies._flush_along()
        assert await count(world) == 0
        assert (await world.objects.head(BUCKET, "d/k")).attributes.metadata == {"of": "ours"}

    in_world(tmp_path, work)


@pytest.mark.parametrize("gone", ["deleted", "moved away"])
def test_a_bucket_that_is_gone_keeps_no_other_s_objects_in_the_state_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gone: str) -> None:
    async def work(world: World) -> None:
        await world.objects.ensure_bucket("other")
        await world.objects.put("other", "k", one(BODY))
        await world.put("d/k", BODY, TEXT)
        bodies = world.objects._pending
        with monkeypatch.context() as patch:

            def fails(paths: object) -> bool:
                raise OSError(errno.EIO, "Input/output error")

            patch.setattr(pending, "sync_file_systems", fails)
            await bodies._flush_along()
        if gone == "deleted":
            await world.objects.delete("other", "k")
            await world.objects.delete_bucket("other")
        else:
            (tmp_path / "state/buckets/other").rename(tmp_path / "away")
        await bodies._flush_along()
        left = await world.database.read(lambda connection: connection.execute("SELECT bucket FROM pending_bodies").fetchall())
        assert left == ([] if gone == "deleted" else [("other",)])
        assert bodies._placed.keys() == bodies._doubtful
        if gone == "moved away":
            (tmp_path / "away").rename(tmp_path / "state/buckets/other")
            await bodies._flush_along()
        assert await count(world) == 0
        assert bodies._held == 0

    in_world(tmp_path, work)


async def one(body: bytes) -> AsyncIterator[bytes]:
    yield body


def test_where_no_whole_file_system_can_be_synced_each_file_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(syncing, "can_sync_file_systems", lambda: False)

    async def work(world: World) -> None:
        await world.put("d/e/k", BODY)
        await world.put("\0", BODY)
        synced = noted_syncs(monkeypatch)
        await world.objects.flush()
        asked = [world.path, world.path / "d", world.path / "d/e", world.path / "d/e/k", *(world.path / ".eventflow-keys").rglob("*")]
        assert {path.stat().st_ino for path in asked} <= set(synced)
        assert await count(world) == 0

    in_world(tmp_path, work)


def test_versions_begin_with_everything_on_the_disk(tmp_path: Path) -> None:
    async def work(world: World) -> None:
        await world.put("d/k", BODY)
        await world.objects.set_versioning(BUCKET, "Enabled")
        assert await count(world) == 0
        await world.put("d/k", BODY)
        assert await count(world) == 0

    in_world(tmp_path, work)


def test_a_bucket_that_is_deleted_takes_its_bodies_along(tmp_path: Path) -> None:
    async def work(world: World) -> None:
        await world.put("d/k", BODY)
        await world.objects.delete(BUCKET, "d/k")
        await world.objects.delete_bucket(BUCKET)
        assert await count(world) == 0
        await world.objects.ensure_bucket(BUCKET)
        await world.put("d/k", b"another")
        await world.objects.flush()

    in_world(tmp_path, work)
    assert left(tmp_path) == (b"another", "binary/octet-stream")


def test_a_directory_that_is_not_there_at_a_start_is_made_good_when_it_is(tmp_path: Path) -> None:
    written(tmp_path, BODY)
    bucket = tmp_path / "state/buckets" / BUCKET
    power_cut(tmp_path, lambda bucket: (bucket / "d/k").write_bytes(b""))
    bucket.rename(tmp_path / "away")

    async def nothing(world: World) -> None:
        await world.objects.flush()
        assert await count(world) == 1

    in_world(tmp_path, nothing)
    bucket.rmdir()
    (tmp_path / "away").rename(bucket)
    assert left(tmp_path) == HERS


def test_what_may_be_left_of_a_write() -> None:
    body = os.urandom(2000)
    assert is_part(b"", body)
    assert is_part(body, body)
    assert is_part(bytes(2000), body)
    assert is_part(bytes(512) + body[512:1024], body)
    assert not is_part(body + b"\0", body)
    assert not is_part(b"\1" + body[1:], body)
    assert not is_part(body[:600] + bytes(100), body)
