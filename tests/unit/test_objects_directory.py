"""What a directory can hold and what it must not give away: keys, links, odd files, races on directories."""

from __future__ import annotations

import asyncio
import ctypes
import errno
import os
import socket
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from objects_world import BUCKET, World, in_world

from eventflow.errors import ServiceError
from eventflow.services.objects import swapping
from eventflow.services.objects.directory import BucketDirectory, FileState, closing
from eventflow.services.objects.keys import TEMPORARY, check_writable, segments


@pytest.mark.parametrize("key", ["", "\ud800"])
def test_what_is_no_key_at_all(tmp_path: Path, key: str) -> None:
    async def work(world: World) -> None:
        with pytest.raises(ServiceError) as refused:
            await world.put(key, b"")
        assert (refused.value.code, refused.value.status) == ("InvalidArgument", 400)
        with pytest.raises(ServiceError, match="NoSuchKey"):
            await world.objects.get(BUCKET, key)
        await world.objects.delete(BUCKET, key)
        assert await (await world.objects.source(BUCKET)).describe(key) is None

    in_world(tmp_path, work)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["state"]


def test_too_long_keys_have_an_error_of_their_own() -> None:
    with pytest.raises(ServiceError) as refused:
        check_writable("a/" * 513)
    assert (refused.value.code, refused.value.members) == ("KeyTooLongError", {"Size": "1026", "MaxSizeAllowed": "1024"})


@given(st.text(alphabet=st.sampled_from("a./\\ü\0~ "), max_size=12))
@example("a/\\..\\b")
def test_a_key_under_its_own_name_stays_inside_its_bucket(key: str) -> None:
    path = segments(key)
    if path is not None:
        assert os.path.normpath("/bucket/" + "/".join(path)) == "/bucket/" + key.removesuffix("/")


def test_directories_are_no_objects(tmp_path: Path) -> None:
    async def work(world: World) -> None:
        await world.put("a/b", b"content")
        for key in ("a", "a/", "a/b/"):
            with pytest.raises(ServiceError, match="NoSuchKey"):
                await world.objects.head(BUCKET, key)
            await world.objects.delete(BUCKET, key)
        assert await world.keys() == ["a/b"]

    in_world(tmp_path, work)


def test_links_are_followed_inside_the_bucket_only(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "key").write_bytes(b"secret")

    async def work(world: World) -> None:
        world.by_hand("real/file", b"content")
        (world.path / "inside").symlink_to("real/file")
        (world.path / "outside").symlink_to(secret / "key")
        (world.path / "directory").symlink_to(secret)
        (world.path / "nowhere").symlink_to("missing")
        (world.path / "circle").symlink_to("circle")
        (world.path / "shortcut").symlink_to("real")
        (world.path / "unfinished").symlink_to(".eventflow-tmp/clock")
        assert await world.keys() == ["inside", "real/file"]
        assert await world.read("inside") == b"content"
        for key in ("outside", "directory/key", "directory", "nowhere", "circle", "shortcut/file", "unfinished"):
            with pytest.raises(ServiceError, match="NoSuchKey"):
                await world.objects.get(BUCKET, key)
            await world.objects.delete(BUCKET, key)
        for key in ("directory/new", "shortcut/new"):
            await world.put(key, b"beside")
            assert await world.read(key) == b"beside"
        assert [entry.name for entry in secret.iterdir()] == ["key"]
        await world.put("outside", b"mine")
        assert ((secret / "key").read_bytes(), await world.read("outside")) == (b"secret", b"mine")
        await world.objects.delete(BUCKET, "inside")
        assert (world.path / "real/file").exists()

    in_world(tmp_path, work)


def test_temporaries_that_are_a_link_lead_nowhere(tmp_path: Path) -> None:
    async def work(world: World) -> None:
        (tmp_path / "elsewhere").mkdir()
        (world.path / ".eventflow-tmp").symlink_to(tmp_path / "elsewhere")
        with pytest.raises(ServiceError) as refused:
            await world.put("k", b"content")
        assert refused.value.status == 400
        assert list((tmp_path / "elsewhere").iterdir()) == []

    in_world(tmp_path, work)


def test_odd_files_are_passed_over(tmp_path: Path) -> None:
    async def work(world: World) -> None:
        world.by_hand("ok")
        os.mkfifo(world.path / "pipe")
        world.by_hand(os.fsdecode(b"not-\xff-utf8"))
        world.by_hand(os.fsdecode(b"directory-\xff/k"))
        with socket.socket(socket.AF_UNIX) as listener:
            os.chdir(world.path)
            listener.bind("socket")
            assert await world.keys() == ["ok"]
            for key in ("pipe", "socket"):
                with pytest.raises(ServiceError, match="NoSuchKey"):
                    await world.objects.get(BUCKET, key)

    before = Path.cwd()
    try:
        in_world(tmp_path, work)
    finally:
        os.chdir(before)


def test_a_file_that_becomes_a_pipe_under_our_eyes_does_not_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = BucketDirectory(tmp_path)
    (tmp_path / "k").touch()
    status = (tmp_path / "k").stat()
    (tmp_path / "k").unlink()
    os.mkfifo(tmp_path / "k")
    monkeypatch.setattr(BucketDirectory, "_look", lambda self, key: (("k",), status))
    assert directory.open("k") is None


def test_strange_times_and_inodes(tmp_path: Path) -> None:
    async def work(world: World) -> None:
        for key, seconds in (("past", -86_400), ("future", 10_000_000_000)):
            os.utime(world.by_hand(key), (seconds, seconds))
            stored = await world.objects.head(BUCKET, key)
            assert stored.modified == seconds
            assert len(stored.version.sequencer) == 16
        assert await world.keys() == ["future", "past"]

    in_world(tmp_path, work)
    for state in (FileState(1, -5, 2), FileState(0, 1 << 65, (1 << 64) - 1)):
        assert FileState.parse(str(state)) == state


def test_puts_and_deletes_of_one_key_and_of_its_directory(tmp_path: Path) -> None:
    async def work(world: World) -> None:
        async def churn(name: str) -> None:
            for number in range(8):
                await world.put(f"d/e/{name}", f"{name}{number}".encode())
                assert await world.read(f"d/e/{name}") == f"{name}{number}".encode()
                await world.objects.delete(BUCKET, f"d/e/{name}")

        async def fight(number: int) -> None:
            for _ in range(6):
                await world.put("d/f/same", str(number).encode() * 1000)
                await world.objects.delete(BUCKET, "d/f/same")

        await asyncio.gather(*(churn(name) for name in "abcd"), *(fight(number) for number in range(4)))
        assert await world.keys() == []
        assert not (world.path / "d").exists()
        assert world.temporaries() == []

    in_world(tmp_path, work)


def test_folders_survive_the_deletes_beside_them(tmp_path: Path) -> None:
    async def work(world: World) -> None:
        for _ in range(6):
            await world.put("d/k")
            await asyncio.gather(world.objects.delete(BUCKET, "d/k"), world.put("d/"))
            assert await world.keys() == ["d/"]
            await world.objects.delete(BUCKET, "d/")
            assert await world.keys() == []

    in_world(tmp_path, work)


def test_a_directory_that_is_taken_away_all_the_time_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = BucketDirectory(tmp_path)
    os.close(directory.create("t"))
    rename, spoilt = os.rename, list[str]()

    def late(*args: object, **options: object) -> None:
        if len(spoilt) < 3:
            (tmp_path / "d").rmdir()
            spoilt.append("d")
        rename(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "rename", late)
    directory.place("t", "d/k")
    assert (tmp_path / "d/k").exists()
    assert len(spoilt) == 3


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_unreadable_files_are_refused_and_not_listed(tmp_path: Path) -> None:
    async def work(world: World) -> None:
        world.by_hand("k").chmod(0)
        with pytest.raises(ServiceError) as refused:
            await world.objects.get(BUCKET, "k")
        assert (refused.value.code, refused.value.status) == ("AccessDenied", 403)
        assert await world.keys() == []

    in_world(tmp_path, work)


def test_a_replaced_file_and_its_temporary_change_names_and_no_rename_goes_over_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = BucketDirectory(tmp_path)
    (tmp_path / "k").write_bytes(b"old")
    monkeypatch.setattr(os, "rename", None)
    _, state = place.lay("k", "t", b"new", 1_000_000_000)
    place.place("t", "k", None, True)
    assert (tmp_path / "k").read_bytes() == b"new"
    assert place.state("k") == state
    assert list((tmp_path / TEMPORARY).iterdir()) == []


def test_a_directory_that_came_in_the_file_s_place_is_not_replaced(tmp_path: Path) -> None:
    place = BucketDirectory(tmp_path)
    place.lay("k", "t", b"new", 1_000_000_000)
    (tmp_path / "k").mkdir()
    (tmp_path / "k" / "inside").write_bytes(b"by hand")
    place.place("t", "k", None, True)
    assert (tmp_path / "k" / "inside").read_bytes() == b"by hand"
    opened = place.open("k")
    assert opened is not None
    with closing(opened[0]) as descriptor:
        assert os.read(descriptor, 10) == b"new"
    assert list((tmp_path / TEMPORARY).iterdir()) == []


@pytest.mark.parametrize("why", [errno.EINVAL, errno.ENOSYS, errno.EPERM, errno.ENOENT])
def test_where_files_cannot_change_names_one_is_renamed_over_the_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, why: int) -> None:
    class Unable:
        def __call__(self, *args: object) -> int:
            ctypes.set_errno(why)
            return -1

    monkeypatch.setattr(swapping, "renameat2", Unable)
    place = BucketDirectory(tmp_path)
    (tmp_path / "k").write_bytes(b"old")
    place.lay("k", "t", b"new", 1_000_000_000)
    place.place("t", "k", None, True)
    assert (tmp_path / "k").read_bytes() == b"new"
    assert place.swaps == (why == errno.ENOENT)
