"""What watchers tell: our emitter on Linux, other systems' observers, and which file systems are not to be believed."""

import asyncio
import errno
import os
import struct
import sys
import threading
from pathlib import Path

import pytest
from watchdog import events as fs

from eventflow.clock import SystemClock
from tests.patience import PATIENCE
from triggers import watching
from triggers.bucket_session import topmost
from triggers.inotify import IN_CREATE, IN_Q_OVERFLOW, EventsLost, Inotify, InotifyEmitter, Notice, WatchRefused, notices_in
from triggers.object_keys import ObjectKeys, is_below, is_text
from triggers.watching import PROBE, Sign, Watcher, mounted_kind, signs_of

linux = pytest.mark.skipif(sys.platform != "linux", reason="inotify is Linux's")


# Keys


@pytest.mark.parametrize("key", ["a.jpg", "a/b.jpg", "a.tmp/b.jpg", "a/b/c.part.jpg", "x/a.jpg"])
def test_these_are_keys(key):
    assert ObjectKeys(suffixes=(".jpg",)).wants(key)


@pytest.mark.parametrize("key", ["a.tmp", "a.part", "a~", ".a", "a/.b", ".a/b", "a/.b/c"])
def test_these_are_not(key):
    assert not ObjectKeys().wants(key)


@pytest.mark.parametrize(
    "directory, entered",
    [("", True), ("in", True), ("in/x", True), ("in/x/y", True), ("i", False), ("inside", False), ("in/y", False), (".in", False)],
)
def test_only_directories_that_can_hold_a_key_are_entered(directory, entered):
    assert ObjectKeys(prefixes=("in/x",)).enters(directory) is entered


def test_a_directory_is_below_itself_and_not_below_its_namesakes():
    assert is_below("a/b/c", {"a", "x"})
    assert is_below("a", {"a"})
    assert not is_below("ab", {"a"})
    assert not is_below("anything", set())
    assert is_below("anything", {""})


def test_of_directories_in_each_other_the_topmost_is_looked_into():
    assert topmost(["a", "a/b", "a-b", "a-b/c/d", "c/d", "c/d/e/f"]) == {"a", "a-b", "c/d"}


def test_bytes_that_are_not_utf8_are_no_text():
    assert is_text("Grüße")
    assert not is_text(os.fsdecode(b"caf\xe9"))


# The kernel's records


def test_the_kernels_records_are_taken_apart():
    named = struct.pack("iIII", 7, IN_CREATE, 0, 16) + b"caf\xc3\xa9".ljust(16, b"\0")
    lost = struct.pack("iIII", -1, IN_Q_OVERFLOW, 0, 0)
    assert list(notices_in(named + lost)) == [Notice(7, IN_CREATE, "café"), Notice(-1, IN_Q_OVERFLOW, "")]


# Other systems' observers


@pytest.mark.parametrize(
    "event, signs",
    [
        (fs.FileCreatedEvent("/b/a"), [(Sign.LOOK, "/b/a")]),
        (fs.FileModifiedEvent("/b/a"), [(Sign.LOOK, "/b/a")]),
        (fs.FileDeletedEvent("/b/a"), [(Sign.LOOK, "/b/a")]),
        (fs.FileMovedEvent("/b/a", "/b/c"), [(Sign.LOOK, "/b/a"), (Sign.LOOK, "/b/c")]),
        (fs.DirMovedEvent("/b/d", "/b/e"), [(Sign.TREE, "/b/d"), (Sign.TREE, "/b/e")]),
        (fs.DirModifiedEvent("/b/d"), []),
        (fs.FileOpenedEvent("/b/a"), []),
    ],
)
def test_without_a_close_every_event_says_no_more_than_to_look(event, signs, monkeypatch):
    monkeypatch.setattr(watching, "LINUX", False)
    assert list(signs_of(event)) == signs


def test_on_linux_an_event_says_whether_the_file_is_whole(monkeypatch):
    monkeypatch.setattr(watching, "LINUX", True)
    assert list(signs_of(fs.FileClosedEvent("/b/a"))) == [(Sign.WRITTEN, "/b/a")]
    assert list(signs_of(fs.FileMovedEvent("", "/b/a"))) == [(Sign.PLACED, "/b/a")]
    assert list(signs_of(fs.FileCreatedEvent("/b/a"))) == [(Sign.CREATED, "/b/a")]
    assert list(signs_of(EventsLost("/b"))) == [(Sign.LOST, "/b")]
    assert list(signs_of(WatchRefused("/b/d"))) == [(Sign.REFUSED, "/b/d")]


# File systems

MOUNTS = """\
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
30 22 0:26 / /mnt/nas rw - nfs4 nas:/export rw
31 22 0:27 / /mnt/my\\040share rw - cifs //nas/share rw
32 30 8:1 / /mnt/nas/local rw - xfs /dev/sda1 rw
33 22 0:40 / /mnt/over rw - nfs4 nas:/a rw
34 22 8:2 / /mnt/over rw - btrfs /dev/sdb rw
"""


@pytest.mark.parametrize(
    "path, kind",
    [
        ("/home/me", "ext4"),
        ("/mnt/nas", "nfs4"),
        ("/mnt/nas/photos", "nfs4"),
        ("/mnt/nasty", "ext4"),
        ("/mnt/nas/local/x", "xfs"),
        ("/mnt/my share/x", "cifs"),
        ("/mnt/over/x", "btrfs"),
    ],
)
def test_the_longest_mount_point_says_what_a_file_system_is(path, kind):
    assert mounted_kind(MOUNTS, path) == kind


# Our emitter on a real directory


class Heard:
    """A watcher on a directory and what it told."""

    def __init__(self, root, keys=None):
        self.signs = []
        self.watcher = Watcher(str(root), keys or ObjectKeys(), SystemClock(), lambda sign, path: self.signs.append((sign, path)))

    async def so_far(self):
        """All that was told of what happened before this call."""
        assert await self.watcher.reaches()
        signs, self.signs[:] = list(self.signs), []
        return signs


def hear(root, scenario, keys=None):
    async def whole():
        heard = Heard(root, keys)
        try:
            heard.watcher.prepare()
            heard.watcher.start()
            await scenario(heard)
        finally:
            heard.watcher.stop()

    asyncio.run(whole())


@linux
def test_a_written_file_is_told_when_it_is_closed(tmp_path):
    async def scenario(heard):
        with (tmp_path / "a").open("w") as file:
            file.write("1")
            file.flush()
            assert await heard.so_far() == [(Sign.CREATED, "a")]
        assert await heard.so_far() == [(Sign.WRITTEN, "a")]

    hear(tmp_path, scenario)


@linux
def test_a_rename_is_told_at_once_and_hidden_files_never(tmp_path):
    async def scenario(heard):
        (tmp_path / ".a.part").write_text("1")
        (tmp_path / ".a.part").rename(tmp_path / "a")
        assert await heard.so_far() == [(Sign.PLACED, "a")]
        (tmp_path / "a").rename(tmp_path / "b")
        assert await heard.so_far() == [(Sign.LOOK, "a"), (Sign.PLACED, "b")]
        (tmp_path / "b").unlink()
        assert await heard.so_far() == [(Sign.LOOK, "b")]

    hear(tmp_path, scenario)


@linux
def test_directories_are_told_and_watched_under_the_name_that_they_have(tmp_path):
    async def scenario(heard):
        (tmp_path / "d/e").mkdir(parents=True)
        (tmp_path / "d").rename(tmp_path / "f")
        await heard.so_far()
        (tmp_path / "f/e/a").write_text("1")
        assert await heard.so_far() == [(Sign.CREATED, "f/e/a"), (Sign.WRITTEN, "f/e/a")]
        (tmp_path / "f").rename(tmp_path.parent / "away")
        assert await heard.so_far() == [(Sign.TREE, "f")]
        (tmp_path.parent / "away/e/a").write_text("2")
        assert await heard.so_far() == []

    hear(tmp_path, scenario)


@linux
def test_what_the_filter_cannot_want_is_not_watched(tmp_path):
    (tmp_path / "out").mkdir()

    async def scenario(heard):
        (tmp_path / "out/a").write_text("1")
        (tmp_path / "in").mkdir()
        (tmp_path / "other").mkdir()
        assert await heard.so_far() == [(Sign.TREE, "in")]

    hear(tmp_path, scenario, ObjectKeys(prefixes=("in/",)))


@linux
def test_the_stores_unfinished_writes_are_not_told(tmp_path):
    async def scenario(heard):
        (tmp_path / ".eventflow-tmp/upload").write_text("1")
        (tmp_path / ".eventflow-tmp/upload").rename(tmp_path / "a")
        assert await heard.so_far() == [(Sign.PLACED, "a")]

    hear(tmp_path, scenario)


@linux
def test_the_loss_of_the_directory_is_told(tmp_path):
    root = tmp_path / "bucket"
    root.mkdir()

    async def scenario(heard):
        (root / ".eventflow-tmp").rmdir()
        root.rmdir()
        await until(lambda: heard.signs)
        assert heard.signs[0] == (Sign.ROOT, "")

    hear(root, scenario)


@linux
def test_a_refused_watch_and_an_overflow_are_told(tmp_path, monkeypatch):
    def add(self, path, mask, real=Inotify.add):
        if path.endswith("/full"):
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(self, path, mask)

    async def scenario(heard):
        (tmp_path / "full").mkdir()
        assert await heard.so_far() == [(Sign.REFUSED, "full")]
        [emitter] = heard.watcher._observer.emitters
        assert isinstance(emitter, InotifyEmitter)
        emitter.take(Notice(-1, IN_Q_OVERFLOW, ""))
        assert await heard.so_far() == [(Sign.LOST, "")]

    monkeypatch.setattr(Inotify, "add", add)
    hear(tmp_path, scenario)


@linux
def test_what_happens_while_a_tree_is_read_is_told_in_its_order(tmp_path, monkeypatch):
    """A directory that comes is read in a thread, so that the event loop goes on; what the kernel tells meanwhile waits."""
    threads = []

    def add(self, path, mask, real=Inotify.add):
        threads.append(threading.current_thread() is threading.main_thread())
        return real(self, path, mask)

    async def scenario(heard):
        monkeypatch.setattr(Inotify, "add", add)
        (tmp_path / "before").write_text("1")
        (tmp_path / "tree").mkdir()
        (tmp_path / "tree2").mkdir()
        (tmp_path / "after").write_text("1")
        assert await heard.so_far() == [
            (Sign.CREATED, "before"),
            (Sign.WRITTEN, "before"),
            (Sign.TREE, "tree"),
            (Sign.TREE, "tree2"),
            (Sign.CREATED, "after"),
            (Sign.WRITTEN, "after"),
        ]
        assert threads == [False, False]
        (tmp_path / "tree/a").write_text("1")
        assert await heard.so_far() == [(Sign.CREATED, "tree/a"), (Sign.WRITTEN, "tree/a")]

    hear(tmp_path, scenario)


@linux
def test_a_watcher_that_is_stopped_while_it_reads_a_tree_leaves_nothing_open(tmp_path, monkeypatch):
    reading, go_on = threading.Event(), threading.Event()

    def add(self, path, mask, real=Inotify.add):
        if path.endswith("/tree"):
            reading.set()
            go_on.wait(PATIENCE)
        return real(self, path, mask)

    async def scenario():
        await asyncio.to_thread(int)  # what the loop itself opens
        before = open_descriptors()
        watcher = Watcher(str(tmp_path), ObjectKeys(), SystemClock(), lambda sign, path: None)
        watcher.prepare()
        watcher.start()
        (tmp_path / "tree").mkdir()
        await asyncio.to_thread(reading.wait, 10)
        watcher.stop()
        go_on.set()
        await until(lambda: open_descriptors() == before)

    monkeypatch.setattr(Inotify, "add", add)
    asyncio.run(scenario())


@linux
def test_a_watch_that_is_refused_at_the_start_is_an_error_and_leaves_nothing_open(tmp_path, monkeypatch):
    def add(self, path, mask):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Inotify, "add", add)

    async def scenario():
        watcher = Watcher(str(tmp_path), ObjectKeys(), SystemClock(), lambda sign, path: None)
        before = open_descriptors()
        with pytest.raises(OSError, match="No space left"):
            watcher.start()
        assert open_descriptors() == before
        watcher.stop()

    asyncio.run(scenario())


@linux
def test_a_probe_without_an_event_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(watching, "PROBE_PATIENCE", 0.05)

    async def scenario():
        watcher = Watcher(str(tmp_path), ObjectKeys(), SystemClock(), lambda sign, path: None)
        watcher.prepare()
        assert not await watcher.reaches()
        assert not any(path.name.startswith(".probe") for path in (tmp_path / PROBE).parent.iterdir())

    asyncio.run(scenario())


@linux
def test_a_watcher_that_is_stopped_while_it_starts_does_not_stay(tmp_path):
    async def scenario():
        watcher = Watcher(str(tmp_path), ObjectKeys(), SystemClock(), lambda sign, path: None)
        watcher.stop()
        watcher.start()
        assert watcher._observer is None

    asyncio.run(scenario())


def open_descriptors():
    return len(list(Path("/proc/self/fd").iterdir()))


async def until(condition, patience=5.0):
    end = asyncio.get_running_loop().time() + patience
    while not condition():
        assert asyncio.get_running_loop().time() < end, "it never came"
        await asyncio.sleep(0.005)
