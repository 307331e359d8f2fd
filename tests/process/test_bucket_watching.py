"""The Bucket trigger when what it stands on moves: no watches, silent or failing file systems, lost events, a bucket that is gone for a while."""

import asyncio
import errno
import os
import shutil
import sys

import pytest

from eventflow import SettingError
from tests.process.uploads import CREATED, REMOVED, drive, write
from triggers import bucket_session, watching
from triggers.inotify import EventsLost, Inotify, InotifyEmitter

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="closes and renames are told on Linux alone")


def test_an_overflow_of_the_kernels_queue_loses_nothing(tmp_path, monkeypatch):
    deaf = []

    def take(self, notice, real=InotifyEmitter.take):
        if not deaf:
            real(self, notice)

    monkeypatch.setattr(InotifyEmitter, "take", take)

    async def scenario(uploads):
        observers = watch_observers(monkeypatch)
        async with uploads.running():
            write(uploads.path / "goes")
            await uploads.expect((CREATED, "goes"))
            deaf.append(True)
            write(uploads.path / "lost/too")
            write(uploads.path / "lost/deeper/more")
            (uploads.path / "goes").unlink()
            await asyncio.sleep(0.05)
            deaf.clear()
            [emitter] = observers[-1].emitters
            emitter.queue_event(EventsLost(str(uploads.path)))
            await uploads.expect((CREATED, "lost/too"), (CREATED, "lost/deeper/more"), (REMOVED, "goes"))
            assert any("max_queued_events" in report for report in uploads.target.reports)
            write(uploads.path / "lost/deeper/later")
            await uploads.expect((CREATED, "lost/deeper/later"))

    drive(tmp_path, scenario)


def watch_observers(monkeypatch):
    """The observers that watchers make from now on."""
    made = []

    def new_observer(keys, loop, real=watching.new_observer):
        made.append(real(keys, loop))
        return made[-1]

    monkeypatch.setattr("triggers.watching.new_observer", new_observer)
    return made


def refuse_watches(monkeypatch, number, wanted):
    def add(self, path, mask, real=Inotify.add):
        if wanted(path):
            raise OSError(number, os.strerror(number), path)
        return real(self, path, mask)

    monkeypatch.setattr(Inotify, "add", add)


@pytest.mark.parametrize("number, setting", [(errno.ENOSPC, "fs.inotify.max_user_watches"), (errno.EMFILE, "fs.inotify.max_user_instances")])
def test_without_watches_it_polls_and_says_what_to_raise(tmp_path, monkeypatch, number, setting):
    refuse_watches(monkeypatch, number, lambda path: True)

    async def scenario(uploads):
        async with uploads.running(settle=0.1):
            assert any(setting in report and "polled" in report for report in uploads.target.reports)
            write(uploads.path / "d/a")
            await uploads.expect((CREATED, "d/a"))
        with pytest.raises(SettingError, match=setting):
            async with uploads.running(watch="events"):
                pass

    drive(tmp_path, scenario)


def test_a_watch_that_is_refused_later_is_made_good_by_polling(tmp_path, monkeypatch):
    refuse_watches(monkeypatch, errno.ENOSPC, lambda path: path.endswith("/full"))

    async def scenario(uploads):
        async with uploads.running(settle=0.1):
            write(uploads.path / "full/a")
            await uploads.expect((CREATED, "full/a"))
            assert any("max_user_watches" in report for report in uploads.target.reports)
            write(uploads.path / "full/b")
            await uploads.expect((CREATED, "full/b"))

    drive(tmp_path, scenario)


@pytest.mark.parametrize("refused_at", ["the start", "a new directory"])
def test_when_there_is_room_for_watches_again_it_is_watched_again(tmp_path, monkeypatch, refused_at):
    full = True
    refuse_watches(monkeypatch, errno.ENOSPC, lambda path: full and (refused_at == "the start" or path.endswith("/new")))

    async def scenario(uploads):
        nonlocal full
        async with uploads.running(settle=0.1):
            if refused_at == "a new directory":
                write(uploads.path / "new" / "one")
                await uploads.expect((CREATED, "new/one"))
            await uploads.until(lambda: len(uploads.target.reports) >= 1)
            await asyncio.sleep(0.5)  # it is tried again meanwhile, and not told again
            assert [report for report in uploads.target.reports if "max_user_watches" in report] == uploads.target.reports
            assert len(uploads.target.reports) == 1
            full = False
            await uploads.until(lambda: "watched, no longer polled" in uploads.target.reports[-1])
            write(uploads.path / "new" / "two")
            await uploads.expect((CREATED, "new/two"))

    monkeypatch.setattr(bucket_session, "FIRST_REWATCH", 0.1)
    monkeypatch.setattr(bucket_session, "LONGEST_REWATCH", 0.2)
    monkeypatch.setattr(bucket_session, "HEARTBEAT", 0.05)
    drive(tmp_path, scenario)


def test_a_file_system_that_others_change_is_polled(tmp_path, monkeypatch):
    monkeypatch.setattr(bucket_session, "remote_file_system", lambda path: "nfs4")

    async def scenario(uploads):
        async with uploads.running(settle=0.1):
            assert "lies on nfs4" in uploads.target.reports[-1]
            write(uploads.path / "a")
            await uploads.expect((CREATED, "a"))
            (uploads.path / "a").unlink()
            await uploads.expect((REMOVED, "a"))

    drive(tmp_path, scenario)


def test_a_silent_file_system_is_found_out_and_polled(tmp_path, monkeypatch):
    monkeypatch.setattr("triggers.watching.PROBE_PATIENCE", 0.05)
    monkeypatch.setattr(InotifyEmitter, "take", lambda self, notice: None)
    check_polled(tmp_path, "tells of no changes")


def check_polled(tmp_path, why):
    async def scenario(uploads):
        async with uploads.running(settle=0.1):
            assert why in uploads.target.reports[-1]
            write(uploads.path / "a")
            await uploads.expect((CREATED, "a"))

    drive(tmp_path, scenario)


def test_a_directory_in_which_no_probe_can_be_made_is_polled(tmp_path, monkeypatch):
    def prepare(self):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(watching.Watcher, "prepare", prepare)
    check_polled(tmp_path, "no file can be made")


def test_an_emitter_that_fails_is_replaced(tmp_path, monkeypatch):
    failures = [OSError(errno.EIO, "Input/output error")]

    def read(self, real=Inotify.read):
        if failures and (tmp_path / "uploads/a").exists():
            raise failures.pop()
        return real(self)

    monkeypatch.setattr(Inotify, "read", read)
    monkeypatch.setattr("threading.excepthook", lambda failure: None)

    async def scenario(uploads):
        async with uploads.running():
            write(uploads.path / "a")
            await uploads.expect((CREATED, "a"))
        assert not failures

    drive(tmp_path, scenario)


def test_a_polled_file_is_not_told_while_it_grows(tmp_path):
    async def scenario(uploads):
        async with uploads.running(watch="poll", settle=1.0):
            with (uploads.path / "a").open("w") as file:
                for _n in range(12):
                    file.write("x" * 10)
                    file.flush()
                    await asyncio.sleep(0.1)
                    assert uploads.told == []
            await uploads.until(lambda: uploads.told)
            assert uploads.target.payloads[0]["Records"][0]["s3"]["object"]["size"] == 120

    drive(tmp_path, scenario)


def test_the_bucket_may_be_removed_and_made_again(tmp_path, monkeypatch):
    monkeypatch.setattr(bucket_session, "ABSENCE_PAUSE", 0.01)

    async def scenario(uploads):
        async with uploads.running():
            write(uploads.path / "stays")
            write(uploads.path / "goes")
            await uploads.expect((CREATED, "stays"), (CREATED, "goes"))
            uploads.path.rename(tmp_path / "away")
            await uploads.until(lambda: any("is gone" in report for report in uploads.target.reports))
            assert uploads.told == []
            (tmp_path / "away/goes").unlink()
            write(tmp_path / "away/comes")
            (tmp_path / "away").rename(uploads.path)
            await uploads.until(lambda: len(uploads.told) == 2)
            await uploads.expect((CREATED, "comes"), (REMOVED, "goes"))

    drive(tmp_path, scenario)


def test_a_bucket_that_is_emptied_with_its_directory_tells_so_when_it_is_back(tmp_path, monkeypatch):
    monkeypatch.setattr(bucket_session, "ABSENCE_PAUSE", 0.01)

    async def scenario(uploads):
        async with uploads.running():
            write(uploads.path / "d/a")
            await uploads.expect((CREATED, "d/a"))
            shutil.rmtree(uploads.path)
            await uploads.until(lambda: any("is gone" in report for report in uploads.target.reports))
            uploads.path.mkdir()
            await uploads.until(lambda: (REMOVED, "d/a") in uploads.told)
            await uploads.expect((REMOVED, "d/a"))

    drive(tmp_path, scenario)
