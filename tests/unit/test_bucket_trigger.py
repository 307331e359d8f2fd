"""The Bucket trigger's settings, and what its sweeps make of a directory; the store is the real one, in memory."""

import asyncio
import errno
import os
import shutil
import socket
import tempfile
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote_plus

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventflow import ServiceError, SettingError, StorageError
from eventflow.clock import SystemClock
from eventflow.database import Database
from eventflow.services.objects import Objects
from eventflow.testing.recording_target import RecordingTarget
from triggers.bucket import Bucket

BOTH = ("ObjectCreated:*", "ObjectRemoved:*")
NONE_ELSE = "(Others like it are skipped silently.)"


# Settings


def test_events_are_taken_with_and_without_their_service():
    assert Bucket("uploads", events="s3:ObjectCreated:Put") == Bucket("uploads", events=["ObjectCreated:Put"])


def test_one_prefix_or_suffix_is_a_list_of_one_and_an_empty_one_is_none():
    assert Bucket("uploads", prefix="in/", suffix="") == Bucket("uploads", prefix=["in/"], suffix=())


@pytest.mark.parametrize(
    "bad, told",
    [
        ({"name": "Up"}, "3 to 63"),
        ({"name": 7}, "3 to 63"),
        ({"name": "uploads", "events": "ObjectTagging:*"}, "ObjectRemoved:Delete"),
        ({"name": "uploads", "events": ("ObjectCreated:Put", "s3:ObjectRemoved:Gone")}, "ObjectRemoved:Gone"),
        ({"name": "uploads", "events": ()}, "nothing would ever fire"),
        ({"name": "uploads", "suffix": 5}, "one text or several"),
        ({"name": "uploads", "suffix": (".jpg", None)}, "one text or several"),
        ({"name": "uploads", "watch": "inotify"}, "'auto' or 'events' or 'poll'"),
        ({"name": "uploads", "settle": 0}, "0.1 to 3600"),
        ({"name": "uploads", "settle": True}, "0.1 to 3600"),
    ],
)
def test_a_setting_that_cannot_be_enforced_is_refused(bad, told):
    with pytest.raises(SettingError, match=told):
        Bucket(**bad)


def test_it_needs_its_bucket():
    [resource] = Bucket("uploads").resources()
    assert (resource.kind, resource.name) == ("bucket", "uploads")


@pytest.mark.parametrize(
    "asked, event, wanted",
    [
        ("ObjectCreated:*", "ObjectCreated:Copy", True),
        ("ObjectCreated:*", "ObjectRemoved:Delete", False),
        ("ObjectCreated:Put", "ObjectCreated:Copy", False),
        ("ObjectRemoved:Delete", "ObjectRemoved:Delete", True),
    ],
)
def test_a_star_asks_for_every_action_and_a_name_for_one(asked, event, wanted):
    assert Bucket("uploads", events=asked).asks_for(event) is wanted


# Sweeps


class Sweeps:
    """A bucket with a trigger that has run before; ``told()`` sweeps and returns the new events."""

    def __init__(self, path, source):
        self.path = path
        self.target = RecordingTarget(SystemClock(), buckets={"uploads": source})

    async def told(self, **settings):
        before = len(self.target.payloads)
        count = await Bucket("uploads", **{"events": BOTH, **settings}).sweep(self.target)
        news = [short(payload) for payload in self.target.payloads[before:]]
        assert count == len(news)
        return sorted(news)


def short(payload):
    [record] = payload["Records"]
    return record["eventName"].partition(":")[0].removeprefix("Object"), unquote_plus(record["s3"]["object"]["key"])


@asynccontextmanager
async def sweeps(path, **settings):
    clock = SystemClock()
    database = Database(":memory:")
    objects = Objects(database, clock, path)
    try:
        await objects.open()
        bucket = await objects.ensure_bucket("uploads")
        swept = Sweeps(bucket.path, await objects.source("uploads"))
        swept.objects = objects
        await swept.told(**settings)
        yield swept
    finally:
        objects.close()
        database.close()


def drive(path, scenario, **settings):
    async def whole():
        async with sweeps(path, **settings) as swept:
            await scenario(swept)

    asyncio.run(whole())


def write(path, text="content"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_what_comes_changes_and_goes_is_told_once(tmp_path):
    async def scenario(bucket):
        write(bucket.path / "a/b.txt")
        assert await bucket.told() == [("Created", "a/b.txt")]
        assert await bucket.told() == []
        write(bucket.path / "a/b.txt", "longer content")
        assert await bucket.told() == [("Created", "a/b.txt")]
        (bucket.path / "a/b.txt").unlink()
        assert await bucket.told() == [("Removed", "a/b.txt")]
        assert await bucket.told() == []

    drive(tmp_path, scenario)


def test_every_state_has_an_id_and_a_later_sequencer(tmp_path):
    async def scenario(bucket):
        for text in ("1", "22", "333"):
            write(bucket.path / "a", text)
            await bucket.told()
        (bucket.path / "a").unlink()
        await bucket.told()
        sequencers = [payload["Records"][0]["s3"]["object"]["sequencer"] for payload in bucket.target.payloads]
        assert len(sequencers) == 4
        longest = max(map(len, sequencers))
        padded = [sequencer.ljust(longest, "0") for sequencer in sequencers]
        assert padded == sorted(set(padded))
        assert len({delivery.id for delivery in bucket.target.deliveries}) == 4

    drive(tmp_path, scenario)


def test_files_from_before_the_first_run_are_told_when_they_change_or_go(tmp_path):
    write(tmp_path / "uploads/old")
    write(tmp_path / "uploads/older")

    async def scenario(bucket):
        assert bucket.target.payloads == []
        assert "2 objects were there before function 'function'" in bucket.target.reports[0]
        write(bucket.path / "old", "changed")
        (bucket.path / "older").unlink()
        assert await bucket.told() == [("Created", "old"), ("Removed", "older")]

    drive(tmp_path, scenario)


def test_the_removal_of_what_was_never_described_has_a_sequencer_too(tmp_path):
    write(tmp_path / "uploads/old")

    async def scenario(bucket):
        modified = (bucket.path / "old").stat().st_mtime_ns
        (bucket.path / "old").unlink()
        await bucket.told()
        [payload] = bucket.target.payloads
        assert payload["Records"][0]["s3"]["object"] == {"key": "old", "sequencer": f"{modified:016x}01"}

    drive(tmp_path, scenario)


def test_temporary_and_hidden_files_are_told_when_they_get_their_name(tmp_path):
    async def scenario(bucket):
        for name in (".hidden", "a.part", "b.tmp", "c~", ".git/config", "d/.e/f"):
            write(bucket.path / name)
        assert await bucket.told() == []
        (bucket.path / "a.part").rename(bucket.path / "a.jpg")
        (bucket.path / ".git").rename(bucket.path / "git")
        assert await bucket.told() == [("Created", "a.jpg"), ("Created", "git/config")]

    drive(tmp_path, scenario)


def test_a_rename_is_a_removal_and_a_creation(tmp_path):
    async def scenario(bucket):
        write(bucket.path / "a/1")
        write(bucket.path / "a/2")
        await bucket.told()
        (bucket.path / "a").rename(bucket.path / "b")
        assert await bucket.told() == [("Created", "b/1"), ("Created", "b/2"), ("Removed", "a/1"), ("Removed", "a/2")]

    drive(tmp_path, scenario)


def test_prefixes_and_suffixes_narrow_the_keys(tmp_path):
    narrow = {"prefix": ("in/", "also/deep"), "suffix": (".jpg", ".png")}

    async def scenario(bucket):
        for name in ("in/a.jpg", "in/b.png", "in/c.gif", "out/d.jpg", "also/deeper/e.jpg", "also/f.jpg"):
            write(bucket.path / name)
        assert await bucket.told(**narrow) == [("Created", "also/deeper/e.jpg"), ("Created", "in/a.jpg"), ("Created", "in/b.png")]
        shutil.rmtree(bucket.path / "in")
        assert await bucket.told(**narrow) == [("Removed", "in/a.jpg"), ("Removed", "in/b.png")]

    drive(tmp_path, scenario, **narrow)


def test_only_the_events_asked_for_are_told_and_the_others_are_remembered(tmp_path):
    async def scenario(bucket):
        write(bucket.path / "a")
        assert await bucket.told(events="ObjectRemoved:*") == []
        (bucket.path / "a").unlink()
        assert await bucket.told(events="ObjectRemoved:*") == [("Removed", "a")]
        write(bucket.path / "a")
        assert await bucket.told(events="ObjectCreated:*") == [("Created", "a")]
        (bucket.path / "a").unlink()
        assert await bucket.told(events="ObjectCreated:*") == []
        assert await bucket.told(events="ObjectRemoved:*") == []

    drive(tmp_path, scenario)


def test_keys_are_written_as_s3_writes_them(tmp_path):
    async def scenario(bucket):
        write(bucket.path / "Grüße an/alle+.txt")
        await bucket.told()
        [payload] = bucket.target.payloads
        assert payload["Records"][0]["s3"]["object"]["key"] == "Gr%C3%BC%C3%9Fe+an/alle%2B.txt"

    drive(tmp_path, scenario)


LONG = "x" * 300 + "/" + "ü" * 300
ODD_KEYS = ("/in/front", "a//b.txt", "../up", "in/./here.tmp", ".eventflow-mine", LONG, "folder/", "nul\0")


async def put(bucket, key, text="content"):
    async def body():
        yield text.encode()

    await bucket.objects.put("uploads", key, body())


def test_objects_whose_names_no_directory_can_hold_are_told_by_their_keys(tmp_path):
    async def scenario(bucket):
        for key in ODD_KEYS:
            await put(bucket, key)
        assert await bucket.told() == sorted(("Created", key) for key in ODD_KEYS)
        assert await bucket.told() == []
        keys = {payload["Records"][0]["s3"]["object"]["key"] for payload in bucket.target.payloads}
        assert {"/in/front", "a//b.txt", "../up", "nul%00"} <= keys
        await put(bucket, "a//b.txt", "more content")
        assert await bucket.told() == [("Created", "a//b.txt")]
        created = bucket.target.payloads[-1]["Records"][0]["s3"]["object"]
        assert created["size"] == 12
        await bucket.objects.delete("uploads", "a//b.txt")
        assert await bucket.told() == [("Removed", "a//b.txt")]
        assert bucket.target.payloads[-1]["Records"][0]["s3"]["object"]["sequencer"] > created["sequencer"]

    drive(tmp_path, scenario)


def test_prefixes_and_suffixes_are_those_of_the_keys_and_not_of_encoded_names(tmp_path):
    async def scenario(bucket):
        for key in ODD_KEYS:
            await put(bucket, key)
        assert await bucket.told(prefix=("/in", "x", "nul"), suffix=("ont", "ü")) == sorted([("Created", "/in/front"), ("Created", LONG)])

    drive(tmp_path, scenario, prefix=("/in", "x", "nul"), suffix=("ont", "ü"))


def test_files_that_others_put_beside_encoded_names_are_not_told(tmp_path):
    async def scenario(bucket):
        for name in ("readme.txt", "ZZZ", "d5", "zzz-/c4", "c5h66p35-/c4======"):
            write(bucket.path / ".eventflow-keys" / name)
        write(bucket.path / ".eventflow-keys.txt")
        assert await bucket.told() == []

    drive(tmp_path, scenario)


@pytest.mark.parametrize("settings, removed", [({}, [("Removed", "a")]), ({"events": "ObjectCreated:*"}, [])])
def test_a_file_that_is_taken_away_and_brought_back_is_told_each_time(tmp_path, settings, removed):
    """It is in the very state that was told before: size, time and inode."""

    async def scenario(bucket):
        write(bucket.path / "a")
        assert await bucket.told(**settings) == [("Created", "a")]
        for _time in range(2):
            (bucket.path / "a").rename(tmp_path / "away")
            assert await bucket.told(**settings) == removed
            (tmp_path / "away").rename(bucket.path / "a")
            assert await bucket.told(**settings) == [("Created", "a")]
        if removed:
            sequencers = [payload["Records"][0]["s3"]["object"]["sequencer"] for payload in bucket.target.payloads]
            assert sequencers == sorted(set(sequencers))

    drive(tmp_path, scenario)


def test_a_file_that_is_brought_back_when_its_removal_is_forgotten_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr("eventflow.services.objects.index.REMEMBERED", -1.0)

    async def scenario(bucket):
        write(bucket.path / "a")
        await put(bucket, "b")
        await bucket.told()
        (bucket.path / "a").rename(tmp_path / "away")
        assert await bucket.told() == [("Removed", "a")]
        await bucket.objects.delete("uploads", "b")  # which tidies up
        (tmp_path / "away").rename(bucket.path / "a")
        assert await bucket.told() == [("Created", "a"), ("Removed", "b")]

    drive(tmp_path, scenario)


def test_an_object_that_gets_its_own_name_is_told_as_created_and_not_as_removed(tmp_path):
    async def scenario(bucket):
        write(bucket.path / "a")
        await put(bucket, "a/b")
        assert await bucket.told() == [("Created", "a"), ("Created", "a/b")]
        (bucket.path / "a").unlink()
        await put(bucket, "a/b", "again")
        assert (bucket.path / "a/b").read_text() == "again"
        assert await bucket.told() == [("Created", "a/b"), ("Removed", "a")]
        assert await bucket.told() == []

    drive(tmp_path, scenario)


def test_what_is_no_object_is_reported_once_for_each_kind(tmp_path):
    async def scenario(bucket):
        write(bucket.path / "real")
        write(tmp_path / "outside/secret")
        for n in range(3):
            os.mkfifo(bucket.path / f"pipe{n}")
            (bucket.path / f"leaving{n}").symlink_to(tmp_path / "outside/secret")
            write(bucket.path / os.fsdecode(b"caf\xe9%d" % n))
        (bucket.path / "folder").symlink_to(tmp_path / "outside")
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(str(bucket.path / "socket"))
        assert await bucket.told() == [("Created", "real")]
        await bucket.told()
        odd = [text for text in bucket.target.reports if text.endswith(NONE_ELSE)]
        assert len(odd) == 4
        for kind in ("its name is not UTF-8", "it is a symbolic link", "it is a FIFO", "it is a socket"):
            assert any(f"is skipped: {kind}" in text for text in odd), kind

    drive(tmp_path, scenario)


def test_a_link_inside_the_bucket_is_told_when_it_is_made(tmp_path):
    async def scenario(bucket):
        write(bucket.path / "a")
        (bucket.path / "link").symlink_to("a")
        assert await bucket.told() == [("Created", "a"), ("Created", "link")]
        write(bucket.path / "a", "changed")
        assert await bucket.told() == [("Created", "a")]
        (bucket.path / "link").unlink()
        assert await bucket.told() == [("Removed", "link")]

    drive(tmp_path, scenario)


def test_a_directory_that_cannot_be_read_loses_nothing(tmp_path, monkeypatch):
    def scandir(path, real=os.scandir):
        if path.endswith("/a"):
            raise OSError(errno.EIO, "Input/output error", path)
        return real(path)

    def lstat(path, real=os.lstat):
        if "/a/" in str(path):
            raise FileNotFoundError(errno.ENOENT, "No such file or directory", path)
        return real(path)

    async def scenario(bucket):
        write(bucket.path / "a/b")
        write(bucket.path / "a/c/d")
        await bucket.told()
        with monkeypatch.context() as patch:
            patch.setattr(os, "scandir", scandir)
            patch.setattr(os, "lstat", lstat)
            assert await bucket.told() == []
        assert "a' cannot be read: Input/output error" in bucket.target.reports[-1]
        assert await bucket.told() == []

    drive(tmp_path, scenario)


def test_an_object_that_cannot_be_described_is_reported_and_told_later(tmp_path):
    async def scenario(bucket):
        source = bucket.target.buckets["uploads"]
        real, source.describe = source.describe, refuse
        write(bucket.path / "a")
        assert await bucket.told() == []
        assert "'a' cannot be read, so its event waits" in bucket.target.reports[-1]
        source.describe = real
        assert await bucket.told() == [("Created", "a")]

    async def refuse(key):
        raise ServiceError("AccessDenied", "The operating system refused.", 403)

    drive(tmp_path, scenario)


def test_a_file_that_goes_before_it_is_described_leaves_no_trace(tmp_path):
    async def scenario(bucket):
        source = bucket.target.buckets["uploads"]
        real = source.describe

        async def too_late(key):
            (bucket.path / key).unlink()
            return await real(key)

        write(bucket.path / "known")
        await bucket.told()
        source.describe = too_late
        write(bucket.path / "new")
        write(bucket.path / "known", "changed")
        assert await bucket.told() == [("Removed", "known")]
        assert set(await bucket.target.cursor.items()) == {"/"}

    drive(tmp_path, scenario)


def test_the_trace_and_the_caller_of_a_write_are_passed_on(tmp_path):
    async def scenario(bucket):
        source = bucket.target.buckets["uploads"]
        real = source.describe

        async def by_a_caller(key):
            return replace(await real(key), action="Copy", trace="Root=1-2-3", principal="AWS:AIDA")

        source.describe = by_a_caller
        write(bucket.path / "a")
        assert await bucket.told(events="ObjectCreated:Put") == []
        write(bucket.path / "b")
        assert await bucket.told(events="ObjectCreated:Copy") == [("Created", "b")]
        [delivery] = bucket.target.deliveries
        assert delivery.trace == "Root=1-2-3"
        assert delivery.payload["Records"][0]["userIdentity"] == {"principalId": "AWS:AIDA"}

    drive(tmp_path, scenario)


def test_what_could_not_be_stored_is_told_again(tmp_path):
    async def scenario(bucket):
        write(bucket.path / "a")
        bucket.target.refuse(StorageError("The disk is full."))
        with pytest.raises(StorageError):
            await bucket.told()
        bucket.target.accept()
        assert await bucket.told() == [("Created", "a")]

    drive(tmp_path, scenario)


def test_a_bucket_without_its_directory_tells_nothing_until_it_is_back(tmp_path):
    async def scenario(bucket):
        write(bucket.path / "a")
        await bucket.told()
        bucket.path.rename(tmp_path / "away")
        assert await bucket.told() == []
        (tmp_path / "away").rename(bucket.path)
        assert await bucket.told() == []

    drive(tmp_path, scenario)


def test_a_file_in_the_place_of_a_directory_and_the_other_way_round(tmp_path):
    async def scenario(bucket):
        write(bucket.path / "a")
        write(bucket.path / "b/c")
        await bucket.told()
        (bucket.path / "a").unlink()
        write(bucket.path / "a/d")
        shutil.rmtree(bucket.path / "b")
        write(bucket.path / "b")
        assert await bucket.told() == [("Created", "a/d"), ("Created", "b"), ("Removed", "a"), ("Removed", "b/c")]

    drive(tmp_path, scenario)


# Any sequence of changes

NAMES = ("a", "b", "d/a", "d/b", "d/e/a", "f/a", "x.tmp", ".h")
FOLDERS = ("d", "d/e", "f", "g", ".k")
OPERATIONS = st.one_of(
    st.tuples(st.sampled_from(("write", "replace", "remove")), st.sampled_from(NAMES)),
    st.tuples(st.just("rename"), st.sampled_from(NAMES), st.sampled_from(NAMES)),
    st.tuples(st.just("move"), st.sampled_from(FOLDERS), st.sampled_from(FOLDERS)),
    st.tuples(st.just("clear"), st.sampled_from(FOLDERS)),
    st.tuples(st.just("restart")),
)


def apply(root, operation, n):
    """Do one operation if it can be done; each writes content of another length, so that no two states look alike."""
    verb, *paths = operation
    places = [root / path for path in paths]
    try:
        if verb == "write":
            write(places[0], "x" * n)
        elif verb == "replace":
            write(root / ".new", "x" * n)
            places[0].parent.mkdir(parents=True, exist_ok=True)
            (root / ".new").rename(places[0])
        elif verb == "remove":
            places[0].unlink()
        elif verb == "clear":
            shutil.rmtree(places[0])
        else:
            places[1].parent.mkdir(parents=True, exist_ok=True)
            places[0].rename(places[1])
    except (OSError, shutil.Error):
        pass


def objects_in(root):
    """The bucket as a model: each object's key and what tells its states apart."""
    found = {}
    for path in root.rglob("*"):
        key = path.relative_to(root).as_posix()
        if path.is_file() and not key.endswith((".tmp", ".part", "~")) and not any(part.startswith(".") for part in key.split("/")):
            status = path.stat()
            found[key] = (status.st_ino, status.st_size)
    return found


def difference(before, after):
    created = [("Created", key) for key, state in after.items() if before.get(key) != state]
    return sorted(created + [("Removed", key) for key in before if key not in after])


@settings(max_examples=40, deadline=None)
@given(st.lists(OPERATIONS, max_size=25))
def test_after_any_changes_a_restart_tells_exactly_the_difference(operations):
    async def scenario(bucket):
        known = objects_in(bucket.path)
        for n, operation in enumerate([*operations, ("restart",)]):
            if operation != ("restart",):
                apply(bucket.path, operation, n)
                continue
            now = objects_in(bucket.path)
            assert await bucket.told() == difference(known, now)
            known = now

    with tempfile.TemporaryDirectory() as folder:
        drive(Path(folder), scenario)
