"""Objects as values: put, read, copied, removed, and changed by hand."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
import shutil
from collections.abc import AsyncIterator, Awaitable
from pathlib import Path

import pytest
from objects_world import BUCKET, World, body, in_world

from eventflow.errors import ServiceError, SettingError
from eventflow.services.objects.checksums import Checksum
from eventflow.services.objects.conditions import WriteConditions
from eventflow.services.objects.directory import BucketDirectory
from eventflow.services.objects.store import CopySource
from eventflow.services.objects.stored import Attributes, Author
from eventflow.services.objects.writer import Expected, Writing
from eventflow.trigger import BucketSource

SAID = Attributes("text/x-log", {"CacheControl": "no-store"}, {"colour": "blue"})


async def code_of(work: Awaitable[object]) -> str:
    """How it ended: ``done``, or the error's code."""
    try:
        await work
    except ServiceError as error:
        return error.code
    return "done"


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


def test_a_put_object_is_a_plain_file_and_keeps_what_was_said_of_it(tmp_path: Path) -> None:
    async def work(world: World) -> None:
        stored = await world.put("logs/a.log", b"hello", Writing(SAID, Author("me", "Root=1")))
        assert (world.path / "logs/a.log").read_bytes() == b"hello"
        assert stored.version.etag == md5(b"hello")
        assert await world.objects.head(BUCKET, "logs/a.log") == stored
        assert (stored.attributes, stored.version.principal, stored.version.trace) == (SAID, "me", "Root=1")
        assert world.temporaries() == []

    in_world(tmp_path, work)


def test_what_was_said_survives_a_restart(tmp_path: Path) -> None:
    async def write(world: World) -> object:
        return await world.put("k", b"content", Writing(SAID))

    async def read(world: World) -> object:
        return await world.objects.head(BUCKET, "k")

    assert in_world(tmp_path, write) == in_world(tmp_path, read)


def test_a_file_by_hand_is_an_object(tmp_path: Path) -> None:
    async def work(world: World) -> None:
        world.by_hand("photos/summer.jpg", b"jpeg")
        world.by_hand("archive.tar.gz")
        world.by_hand("nameless")
        stored = await world.objects.head(BUCKET, "photos/summer.jpg")
        assert (stored.version.etag, stored.attributes.content_type) == (md5(b"jpeg"), "image/jpeg")
        assert (await world.objects.head(BUCKET, "archive.tar.gz")).attributes.content_type == "application/gzip"
        assert (await world.objects.head(BUCKET, "nameless")).attributes.content_type == "binary/octet-stream"

    in_world(tmp_path, work)


def test_a_put_without_a_content_type_is_not_guessed(tmp_path: Path) -> None:
    async def work(world: World) -> None:
        assert (await world.put("a.jpg")).attributes.content_type == "binary/octet-stream"

    in_world(tmp_path, work)


def test_a_change_by_hand_ends_what_was_said(tmp_path: Path) -> None:
    async def work(world: World) -> None:
        before = await world.put("k.txt", b"first", Writing(SAID))
        with (world.path / "k.txt").open("r+b") as file:  # the same inode and size, only the time tells
            file.write(b"other")
        after = await world.objects.head(BUCKET, "k.txt")
        assert (after.version.etag, after.attributes) == (md5(b"other"), Attributes("text/plain"))
        assert after.version.sequencer > before.version.sequencer

    in_world(tmp_path, work)


def test_two_changes_in_one_tick_of_the_file_system_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(world: World) -> None:
        path = world.by_hand("k", b"first")
        tick = path.stat().st_mtime_ns
        monkeypatch.setattr(BucketDirectory, "time_of_change", lambda self: tick)
        monkeypatch.setattr("eventflow.services.objects.etags.TICK", 10**15)  # as long as a slow machine takes for this test
        first = await world.objects.head(BUCKET, "k")
        path.write_bytes(b"other")
        os.utime(path, ns=(tick, tick))
        other = await world.objects.head(BUCKET, "k")
        assert (first.version.etag, other.version.etag) == (md5(b"first"), md5(b"other"))
        assert other.version.sequencer > first.version.sequencer
        assert await world.objects.head(BUCKET, "k") == other

    in_world(tmp_path, work)


def test_a_settled_file_by_hand_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(world: World) -> None:
        os.utime(world.by_hand("k"), (1_000_000_000, 1_000_000_000))
        first = await world.objects.head(BUCKET, "k")
        for name in ("compute_etag", "small_etag"):
            monkeypatch.setattr(f"eventflow.services.objects.reader.{name}", lambda *args: pytest.fail("read again"))
        assert await world.objects.head(BUCKET, "k") == first

    in_world(tmp_path, work)


def test_sequencers_grow_with_every_change_whatever_the_file_times_say(tmp_path: Path) -> None:
    async def work(world: World) -> None:
        source = await world.objects.source(BUCKET)
        seen = [(await world.put("k", b"1")).version.sequencer]
        old = world.by_hand("old", b"copied with its time")
        os.utime(old, (1_000_000_000, 1_000_000_000))
        shutil.copy2(old, world.path / "k")
        described = await source.describe("k")
        assert described is not None
        seen.append(described.sequencer)
        assert await source.describe("k") == described
        await world.objects.delete(BUCKET, "k")
        removal = await source.removed("k")
        assert removal is not None
        seen.append(removal.sequencer)
        seen.append((await world.put("k", b"2")).version.sequencer)
        (world.path / "k").unlink()
        removal = await source.removed("k")
        assert removal is not None
        seen.append(removal.sequencer)
        assert seen == sorted(set(seen))
        assert {len(sequencer) for sequencer in seen} == {16}

    in_world(tmp_path, work)


def test_an_object_that_is_brought_back_is_a_later_state_with_all_that_was_known_of_it(tmp_path: Path) -> None:
    async def work(world: World) -> None:
        source = await world.objects.source(BUCKET)
        seen = [(await world.put("k", b"1", Writing(SAID))).version.sequencer]
        for _time in range(2):
            (world.path / "k").rename(tmp_path / "away")
            removal = await source.removed("k")
            (tmp_path / "away").rename(world.path / "k")
            back = await source.describe("k")
            assert removal is not None
            assert back is not None
            assert await source.describe("k") == back
            seen += removal.sequencer, back.sequencer
        assert seen == sorted(set(seen))
        assert (await world.objects.head(BUCKET, "k")).attributes == SAID

    in_world(tmp_path, work)


def test_describe_gives_the_same_after_a_restart_and_even_without_the_index(tmp_path: Path) -> None:
    async def describe(world: World) -> object:
        source: BucketSource = await world.objects.source(BUCKET)
        return await source.describe("k")

    async def make(world: World) -> object:
        world.by_hand("k")
        return await describe(world)

    first = in_world(tmp_path, make)
    assert in_world(tmp_path, describe) == first
    for file in (tmp_path / "state").glob("state.db*"):
        file.unlink()
    assert in_world(tmp_path, describe) == first


def test_who_removed_an_object_is_known_until_it_is_there_again(tmp_path: Path) -> None:
    async def work(world: World) -> None:
        source = await world.objects.source(BUCKET)
        assert await source.removed("k") is None
        stored = await world.put("k", b"content")
        assert await source.removed("k") is None
        await world.objects.delete(BUCKET, "k", Author("me", "Root=2"))
        removal = await source.removed("k")
        assert removal is not None
        assert (removal.action, removal.principal, removal.trace) == ("Delete", "me", "Root=2")
        assert (removal.size, removal.etag) == (7, stored.version.etag)
        assert await source.removed("k") == removal
        await world.put("k", b"again")
        assert await source.removed("k") is None
        assert await source.describe("none") is None

    in_world(tmp_path, work)


def test_deleting_removes_empty_directories_but_not_the_bucket_or_folders(tmp_path: Path) -> None:
    async def work(world: World) -> None:
        await world.put("a/b/c/k")
        await world.put("f/")
        await world.put("f/g/k")
        await world.objects.delete(BUCKET, "a/b/c/k")
        await world.objects.delete(BUCKET, "f/g/k")
        assert sorted(entry.name for entry in world.path.iterdir() if entry.name != ".eventflow-tmp") == ["f"]
        assert await world.keys() == ["f/"]
        await world.objects.delete(BUCKET, "f/")
        assert not (world.path / "f").exists()
        await world.objects.delete(BUCKET, "not/there")
        assert world.path.is_dir()

    in_world(tmp_path, work)


def test_a_folder_that_was_put_again_goes_when_it_is_deleted(tmp_path: Path) -> None:
    async def work(world: World) -> None:
        for _time in range(3):
            await world.put("d/c/", b"")
        await world.objects.delete(BUCKET, "d/c/")
        assert await world.keys() == []
        assert not (world.path / "d").exists()

    in_world(tmp_path, work)


def test_folder_keys_are_zero_byte_objects(tmp_path: Path) -> None:
    async def work(world: World) -> None:
        (world.path / "by-hand").mkdir()
        stored = await world.put("f/", b"", Writing(SAID))
        assert await world.objects.head(BUCKET, "f/") == stored
        assert await world.read("f/") == b""
        await world.put("f/k")
        assert await world.keys() == ["f/", "f/k"]
        await world.objects.delete(BUCKET, "f/")
        assert await world.keys() == ["f/k"]
        shutil.rmtree(world.path / "f")
        (world.path / "f").mkdir()
        assert await world.keys() == []
        assert world.temporaries() == []

    in_world(tmp_path, work)


def test_an_open_object_stays_what_it_was_while_it_is_overwritten(tmp_path: Path) -> None:
    old, new = os.urandom(3 << 20), os.urandom(2 << 20)

    async def work(world: World) -> None:
        await world.put("k", old)
        opened = await world.objects.get(BUCKET, "k")
        first = await anext(opened.content.__aiter__())
        await world.put("k", new)
        await world.objects.delete(BUCKET, "k")
        assert first + b"".join([piece async for piece in opened.content]) == old

    in_world(tmp_path, work)


def test_bodies_of_many_small_pieces_and_of_none(tmp_path: Path) -> None:
    async def work(world: World) -> None:
        content = os.urandom(2_500_000)
        pieces = [content[start : start + 9_999] for start in range(0, len(content), 9_999)]
        stored = await world.objects.put(BUCKET, "many", body(*pieces))
        assert (stored.version.etag, await world.read("many")) == (md5(content), content)
        assert (await world.objects.put(BUCKET, "none", body())).version.size == 0

    in_world(tmp_path, work)


@pytest.mark.parametrize(
    "expected, code",
    [
        (Expected(md5=base64.b64encode(b"x" * 16).decode()), "BadDigest"),
        (Expected(md5="nonsense"), "InvalidDigest"),
        (Expected(checksum=Checksum("SHA256", "AAAA")), "BadDigest"),
        (Expected(length=6), "IncompleteBody"),
        (Expected(length=5 * 1024**3 + 1), "EntityTooLarge"),
        (Expected(algorithm="XXHASH64"), "NotImplemented"),
    ],
)
def test_a_body_that_is_not_what_was_promised_leaves_the_old_object(tmp_path: Path, expected: Expected, code: str) -> None:
    async def work(world: World) -> None:
        before = await world.put("k", b"before")
        with pytest.raises(ServiceError) as refused:
            await world.put("k", b"hello", Writing(expected=expected))
        assert refused.value.code == code
        assert await world.objects.head(BUCKET, "k") == before
        assert world.temporaries() == []

    in_world(tmp_path, work)


def test_a_body_that_breaks_off_leaves_nothing(tmp_path: Path) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"x" * (2 << 20)
        raise ServiceError("SignatureDoesNotMatch", "The signature of a chunk is wrong.", 403)

    async def work(world: World) -> None:
        with pytest.raises(ServiceError, match="SignatureDoesNotMatch"):
            await world.objects.put(BUCKET, "k", broken())
        assert await world.keys() == []
        assert world.temporaries() == []

    in_world(tmp_path, work)


def test_a_cancelled_upload_leaves_nothing(tmp_path: Path) -> None:
    async def work(world: World) -> None:
        begun = asyncio.Event()

        async def endless() -> AsyncIterator[bytes]:
            while True:
                begun.set()
                yield b"x" * (1 << 20)
                await asyncio.sleep(0)

        upload = asyncio.create_task(world.objects.put(BUCKET, "k", endless()))
        await begun.wait()
        upload.cancel()
        with pytest.raises(asyncio.CancelledError):
            await upload
        assert world.temporaries() == []

    in_world(tmp_path, work)


def test_conditional_writes_let_one_of_many_win(tmp_path: Path) -> None:
    async def work(world: World) -> None:
        async def attempt(number: int, conditions: WriteConditions) -> str:
            return await code_of(world.put("k", str(number).encode(), Writing(conditions=conditions)))

        one_of_twenty = ["PreconditionFailed"] * 19 + ["done"]
        free = WriteConditions(if_none_match="*")
        assert sorted(await asyncio.gather(*(attempt(number, free) for number in range(20)))) == one_of_twenty
        current = await world.objects.head(BUCKET, "k")
        same = WriteConditions(if_match=f'"{current.version.etag}"')
        assert sorted(await asyncio.gather(*(attempt(100 + number, same) for number in range(20)))) == one_of_twenty
        world.by_hand("k", b"by hand")
        assert await attempt(1, WriteConditions(if_match=current.version.etag)) == "PreconditionFailed"
        assert await attempt(2, WriteConditions(if_match=md5(b"by hand"))) == "done"
        with pytest.raises(ServiceError, match="NoSuchKey"):
            await world.put("absent", b"", Writing(conditions=WriteConditions(if_match="x")))

    in_world(tmp_path, work)


def test_conditional_deletes(tmp_path: Path) -> None:
    async def work(world: World) -> None:
        stored = await world.put("k", b"content")
        with pytest.raises(ServiceError, match="PreconditionFailed"):
            await world.objects.delete(BUCKET, "k", if_match='"other"')
        await world.objects.delete(BUCKET, "k", if_match=f'"{stored.version.etag}"')
        await world.objects.delete(BUCKET, "k", if_match=f'"{stored.version.etag}"')
        with pytest.raises(ServiceError, match="PreconditionFailed"):
            await world.objects.delete(BUCKET, "k", if_match="*")

    in_world(tmp_path, work)


def test_a_copy_keeps_or_replaces_what_was_said(tmp_path: Path) -> None:
    async def work(world: World) -> None:
        await world.put("a", b"content", Writing(SAID, expected=Expected(algorithm="CRC32")))
        copied = (await world.objects.copy(CopySource(BUCKET, "a"), BUCKET, "b/c", Writing(author=Author("me")))).stored
        assert (copied.attributes, copied.version.action, copied.version.principal) == (SAID, "Copy", "me")
        assert copied.checksum == (await world.objects.head(BUCKET, "a")).checksum
        replaced = (await world.objects.copy(CopySource(BUCKET, "a"), BUCKET, "a", Writing(), Attributes("text/html"))).stored
        assert (await world.read("a"), replaced.attributes) == (b"content", Attributes("text/html"))
        with pytest.raises(ServiceError, match="NoSuchKey"):
            await world.objects.copy(CopySource(BUCKET, "none"), BUCKET, "d", Writing())

    in_world(tmp_path, work)


def test_removals_are_forgotten_after_a_week(tmp_path: Path) -> None:
    class Settable:
        def __init__(self) -> None:
            from eventflow.clock import SystemClock

            self._real, self.ahead = SystemClock(), 0.0

        def __getattr__(self, name: str) -> object:
            return getattr(self._real, name)

        def now(self) -> float:
            return self._real.now() + self.ahead

    clock = Settable()

    async def work(world: World) -> None:
        source = await world.objects.source(BUCKET)
        for key in ("early", "late"):
            await world.put(key)
            await world.objects.delete(BUCKET, key)
            clock.ahead += 8 * 86_400
        await world.put("last")
        await world.objects.delete(BUCKET, "last")
        assert await source.removed("early") is None
        assert await source.removed("late") is None
        assert await source.removed("last") is not None

    in_world(tmp_path, work, clock)  # type: ignore[arg-type]


def test_buckets_are_directories_that_may_not_overlap(tmp_path: Path) -> None:
    async def work(world: World) -> None:
        objects = world.objects
        photos = await objects.ensure_bucket("photos", tmp_path / "photos")
        assert await objects.ensure_bucket("photos", tmp_path / "photos") == photos == await objects.ensure_bucket("photos")
        (tmp_path / "link").symlink_to(tmp_path / "photos")
        for path in ("photos", "photos/deeper", "link", ".", "state", "state/deeper", "state/buckets/uploads/x", "state/buckets"):
            with pytest.raises(SettingError, match="overlaps"):
                await objects.ensure_bucket("other", tmp_path / path)
        with pytest.raises(SettingError, match="is the directory"):
            await objects.ensure_bucket("photos", tmp_path / "elsewhere")
        (tmp_path / "file").touch()
        with pytest.raises(SettingError, match="there is a file"):
            await objects.ensure_bucket("other", tmp_path / "file")
        with pytest.raises(SettingError, match="3 to 63"):
            await objects.ensure_bucket("No_Good")

    in_world(tmp_path, work)


@pytest.mark.parametrize(
    "name", ["ab", "a" * 64, "Upper", "under_score", "-a-", "a..b", "192.168.1.1", "xn--abc", "abc-s3alias", "abc--ol-s3", "a/b", "abc.", "", "ä-ö"]
)
def test_names_that_are_no_buckets(tmp_path: Path, name: str) -> None:
    async def work(world: World) -> None:
        with pytest.raises(ServiceError) as refused:
            await world.objects.create_bucket(name, "us-east-1")
        assert (refused.value.code, refused.value.status) == ("InvalidBucketName", 400)

    in_world(tmp_path, work)


def test_deleting_buckets(tmp_path: Path) -> None:
    async def work(world: World) -> None:
        objects = world.objects
        apart = await objects.ensure_bucket("apart", tmp_path / "apart")
        for name in (BUCKET, "apart"):
            await objects.put(name, "a/k", body(b"content"))
            with pytest.raises(ServiceError, match="BucketNotEmpty"):
                await objects.delete_bucket(name)
            assert (await objects.head(name, "a/k")).version.size == 7
            await objects.delete(name, "a/k")
        (world.path / "empty").mkdir()
        os.mkfifo(world.path / "pipe")
        with pytest.raises(ServiceError, match="holds other things"):
            await objects.delete_bucket(BUCKET)
        (world.path / "pipe").unlink()
        await objects.delete_bucket(BUCKET)
        await objects.delete_bucket("apart")
        assert not world.path.exists()
        assert list(apart.path.iterdir()) == []
        for work in (objects.delete_bucket(BUCKET), objects.head(BUCKET, "k"), objects.put(BUCKET, "k", body()), objects.source(BUCKET)):
            with pytest.raises(ServiceError, match="NoSuchBucket"):
                await work

    in_world(tmp_path, work)


def test_puts_while_a_bucket_is_deleted_are_kept_or_refused(tmp_path: Path) -> None:
    async def work(world: World) -> None:
        seen = set()
        for delay in range(12):

            async def delete(turns: int = delay) -> str:
                for _ in range(turns * 4):
                    await asyncio.sleep(0)
                return await code_of(world.objects.delete_bucket(BUCKET))

            *puts, deletion = await asyncio.gather(*(code_of(world.put(f"d/{number}", b"content")) for number in range(3)), delete())
            await world.objects.ensure_bucket(BUCKET)
            keys = await world.keys()
            expected = ("NoSuchBucket", 0) if deletion == "done" else ("done", 3)
            assert (*set(puts), len(keys)) == expected
            seen.add(deletion)
            for key in keys:
                await world.objects.delete(BUCKET, key)
        assert seen <= {"done", "BucketNotEmpty"}

    in_world(tmp_path, work)


def test_a_bucket_whose_directory_is_missing_says_so(tmp_path: Path) -> None:
    async def work(world: World) -> None:
        shutil.rmtree(world.path)
        for attempt in (world.put("k"), world.objects.head(BUCKET, "k"), world.keys()):
            with pytest.raises(ServiceError, match="is not there") as refused:
                await attempt
            assert refused.value.status == 503
        await world.objects.ensure_bucket(BUCKET)
        await world.put("k")

    in_world(tmp_path, work)
