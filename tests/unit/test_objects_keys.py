"""Keys of every kind in one bucket: whatever a key looks like, it is an object of its own, and lies inside the bucket's directory."""

from __future__ import annotations

import os
import tempfile
import unicodedata
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from objects_world import BUCKET, World, in_world

from eventflow.errors import ServiceError
from eventflow.services.objects import directory
from eventflow.services.objects.keys import ENCODED, LONGEST_KEY, decoded_piece, encoded_segments
from tests.examples import examples

NASTY = [
    "/",
    "//",
    "/a",
    "a//b",
    "a//",
    ".",
    "..",
    "../a",
    "../../escaped",
    "a/../b",
    "a/./b",
    "a/..",
    "a\0b",
    "\x01\x1f\n\r\t",
    "a\\b",
    "%2F",
    "a%2Fb",
    " ",
    " a ",
    "é",
    "e\u0301",
    "x" * 255,
    "x" * 256,
    "ü" * 128 + "/a",
    "x" * LONGEST_KEY,
    "y/" * 512,
    "\U0001f600" * 256,
    ".eventflow-tmp",
    ".eventflow-tmp/a",
    ".eventflow-keys/a",
    ".EventFlow-Tmp/a",
    "COLLIDES",
    "collides",
    "a",
    "a/b",
    "a/b/c",
    "a/",
    "plain/file",
]


def test_nasty_keys_side_by_side(tmp_path: Path) -> None:
    async def work(world: World) -> None:
        for key in NASTY:
            await world.put(key, key.encode())
        assert await world.keys() == sorted(NASTY, key=str.encode)
        for key in NASTY:
            assert await world.read(key) == key.encode()
            assert (await world.objects.head(BUCKET, key)).version.key == key

    async def again(world: World) -> None:
        for number, key in enumerate(NASTY):
            assert await world.read(key) == key.encode()
            await world.put(key, b"over")
            assert await world.read(key) == b"over"
            await world.objects.delete(BUCKET, key)
            assert await world.keys() == sorted(NASTY[number + 1 :], key=str.encode)
        assert sorted(entry.name for entry in world.path.iterdir()) == [ENCODED, ".eventflow-tmp"]
        assert list((world.path / ENCODED).iterdir()) == []
        await world.objects.delete_bucket(BUCKET)
        assert not world.path.exists()

    in_world(tmp_path, work)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["state"]
    in_world(tmp_path, again)


@pytest.mark.parametrize("first, second", [("a", "a/b"), ("a/b", "a"), ("a", "a/"), ("a/", "a"), ("a/b/c", "a/b"), ("a/b", "a/b/c/d")])
def test_a_key_and_the_folder_of_its_name(tmp_path: Path, first: str, second: str) -> None:
    async def work(world: World) -> None:
        content = {first: b"" if first.endswith("/") else b"one", second: b"" if second.endswith("/") else b"two"}
        for key, octets in content.items():
            await world.put(key, octets)
        assert {key: await world.read(key) for key in await world.keys()} == content
        await world.objects.delete(BUCKET, first)
        assert {key: await world.read(key) for key in await world.keys()} == {second: content[second]}
        await world.put(first, content[first])
        assert await world.keys() == sorted(content)
        await world.objects.delete(BUCKET, second)
        assert {key: await world.read(key) for key in await world.keys()} == {first: content[first]}

    in_world(tmp_path, work)


def test_a_folder_with_content_and_without(tmp_path: Path) -> None:
    async def work(world: World) -> None:
        await world.put("f/", b"")
        await world.put("f/", b"content")
        assert (await world.keys(), await world.read("f/")) == (["f/"], b"content")
        await world.objects.delete(BUCKET, "f/")
        assert await world.keys() == []
        await world.put("f/", b"content")
        await world.put("f/", b"")
        assert (await world.keys(), await world.read("f/")) == (["f/"], b"")
        await world.objects.delete(BUCKET, "f/")
        assert await world.keys() == []
        with pytest.raises(ServiceError, match="NoSuchKey"):
            await world.read("f/")

    in_world(tmp_path, work)


def test_a_file_by_hand_counts_before_an_encoded_one(tmp_path: Path) -> None:
    async def work(world: World) -> None:
        await world.put("a/b", b"below")
        await world.put("a", b"encoded")
        await world.objects.delete(BUCKET, "a/b")
        assert await world.read("a") == b"encoded"
        world.by_hand("a")
        assert (await world.read("a"), await world.keys()) == (b"by hand", ["a"])
        await world.objects.delete(BUCKET, "a")
        assert await world.keys() == []

    in_world(tmp_path, work)


def test_what_is_no_encoded_name_is_no_object(tmp_path: Path) -> None:
    async def work(world: World) -> None:
        await world.put("a//b", b"content")
        folder = world.path / ENCODED
        for name in ("README", "nonsense!", "c5-", "ü", "c5"):
            (folder / name).touch()
        (folder / encoded_segments("linked")[1]).symlink_to("/etc/hostname")
        (folder / encoded_segments("directory")[1]).mkdir()
        assert await world.keys() == ["a//b"]
        for key in ("linked", "directory"):
            with pytest.raises(ServiceError, match="NoSuchKey"):
                await world.read(key)

    in_world(tmp_path, work)


TEXT = st.text(st.sampled_from("aA/.\0ü~\U0001f600"), min_size=1, max_size=6)
LONG = st.builds(lambda head, count, tail: head + "n" * count + tail, TEXT, st.integers(70, 330), TEXT)


@settings(max_examples=examples(25), deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.one_of(TEXT, LONG), max_size=8, unique=True), st.sampled_from(["", "a", "/", "a/", "n"]), st.sampled_from(["", "/"]), TEXT)
def test_a_bucket_is_a_map_whatever_the_keys(keys: list[str], prefix: str, delimiter: str, after: str) -> None:
    async def work(world: World) -> None:
        for key in keys:
            await world.put(key, key.encode())
        assert await world.keys() == sorted(keys, key=str.encode)
        behind = [key for key in sorted(keys, key=str.encode) if key.startswith(prefix) and key.encode() > after.encode()]
        assert await world.keys(prefix=prefix, after=after) == behind
        if delimiter:
            rolled = [key for key in sorted(keys, key=str.encode) if key.startswith(prefix) and delimiter not in key[len(prefix) :]]
            assert await world.keys(prefix=prefix, delimiter=delimiter) == rolled
        for key in keys[::2]:
            await world.objects.delete(BUCKET, key)
        assert {key: await world.read(key) for key in await world.keys()} == {key: key.encode() for key in keys[1::2]}

    with tempfile.TemporaryDirectory() as folder:
        in_world(Path(folder), work)
        assert [entry.name for entry in Path(folder).iterdir()] == ["state"]


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=200), min_size=2, max_size=2))
def test_encoded_names_sort_as_keys_and_can_be_read(keys: list[str]) -> None:
    for key in keys:
        pieces = [decoded_piece(name) for name in encoded_segments(key)[1:]]
        assert b"".join(piece or b"" for piece in pieces) == key.encode()
    first, second = ([name.removesuffix("-") for name in encoded_segments(key)] for key in keys)
    assert (first < second) == (keys[0].encode() < keys[1].encode())


class FoldingSystem:
    """Python's ``os`` on a file system that takes names for the same when only their case, or the writing of their accents, differs."""

    def __init__(self) -> None:
        self.path = SimpleNamespace(realpath=os.path.realpath, samestat=lambda one, other: True)

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def _there(self, name: str, parent: int | None) -> str:
        if parent is None or not isinstance(name, str):
            return name
        return next((other for other in os.listdir(parent) if fold(other) == fold(name)), name)  # noqa: PTH208 - of a descriptor

    def open(self, path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        return os.open(self._there(path, dir_fd), flags, mode, dir_fd=dir_fd)

    def stat(self, path: Any, *, dir_fd: int | None = None, follow_symlinks: bool = True) -> os.stat_result:
        return os.stat(self._there(path, dir_fd), dir_fd=dir_fd, follow_symlinks=follow_symlinks)

    def mkdir(self, path: Any, *, dir_fd: int | None = None) -> None:
        os.mkdir(self._there(path, dir_fd), dir_fd=dir_fd)

    def unlink(self, path: Any, *, dir_fd: int | None = None) -> None:
        os.unlink(self._there(path, dir_fd), dir_fd=dir_fd)

    def rmdir(self, path: Any, *, dir_fd: int | None = None) -> None:
        os.rmdir(self._there(path, dir_fd), dir_fd=dir_fd)

    def rename(self, source: Any, target: Any, *, src_dir_fd: int, dst_dir_fd: int) -> None:
        os.rename(source, self._there(target, dst_dir_fd), src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)


def fold(name: str) -> str:
    return unicodedata.normalize("NFD", name).casefold()


def test_names_that_a_file_system_takes_for_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(directory, "os", FoldingSystem())
    monkeypatch.setattr(directory.BucketDirectory, "folds", lambda self: True)
    keys = ["photo.jpg", "PHOTO.JPG", "Photo.jpg", "d/x", "D/x", "D/y", "d/X", "é", "e\u0301", "É", "D", "d", "f/", "F/", "F/k"]

    async def work(world: World) -> None:
        world.by_hand("ü")  # a name that is there already is what it is
        for key in keys:
            await world.put(key, key.encode() if not key.endswith("/") else b"")
        await world.put("ü", b"over")
        assert (world.path / "ü").read_bytes() == b"over"
        assert (world.path / "photo.jpg").read_bytes() == b"photo.jpg"
        assert await world.keys() == sorted([*keys, "ü"], key=str.encode)
        for key in keys:
            assert await world.read(key) == (key.encode() if not key.endswith("/") else b"")
        with pytest.raises(ServiceError, match="NoSuchKey"):
            await world.read("PhOtO.jpg")
        for number, key in enumerate(keys):
            await world.objects.delete(BUCKET, key)
            assert await world.keys() == sorted([*keys[number + 1 :], "ü"], key=str.encode)

    in_world(tmp_path, work)
