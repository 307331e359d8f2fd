"""The Bucket trigger on real files that other processes write, with the real store, clock and kernel."""

import asyncio
import hashlib
import os
import shutil
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventflow import ObjectVersion
from tests.process.uploads import CREATED, REMOVED, Writer, drive, short, write
from triggers import bucket_session
from triggers.object_events import WORKERS

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="closes and renames are told on Linux alone")


def test_an_object_with_an_encoded_name_is_told_as_it_comes_and_goes(tmp_path):
    async def body():
        yield b"content"

    async def scenario(uploads):
        long = "x" * 300
        async with uploads.running(watch="events"):
            for key in ("a//b", "../up", long):
                await uploads.objects.put("uploads", key, body())
            await uploads.expect((CREATED, "a//b"), (CREATED, "../up"), (CREATED, long))
            await uploads.objects.delete("uploads", long)
            await uploads.expect((REMOVED, long))

    drive(tmp_path, scenario)


def test_a_put_over_an_object_is_told_as_one_and_never_as_its_end(tmp_path):
    async def body():
        yield b"content"

    async def scenario(uploads):
        async with uploads.running(watch="events"):
            for _time in range(20):
                await uploads.objects.put("uploads", "k", body())
                await uploads.expect((CREATED, "k"))

    drive(tmp_path, scenario)


# Other processes write


def test_a_file_is_told_when_its_slow_writer_closes_it(tmp_path):
    async def scenario(uploads):
        async with uploads.running():
            with Writer(uploads.path) as other:
                other.do("file = open('slow', 'w', buffering=1)")
                await uploads.expect()
                other.do("print('first', file=file)")
                await uploads.expect()
                other.do("print('second', file=file); file.close()")
                await uploads.until(lambda: uploads.told)
                assert uploads.target.payloads[0]["Records"][0]["s3"]["object"]["size"] == 13
                await uploads.expect((CREATED, "slow"))

    drive(tmp_path, scenario)


def test_a_file_that_gets_its_name_before_it_is_closed_is_told_at_the_close(tmp_path):
    async def scenario(uploads):
        async with uploads.running():
            with Writer(uploads.path) as other:
                other.do("file = open('a.part', 'w'); file.write('unflushed'); os.rename('a.part', 'a')")
                await uploads.expect()
                other.do("file.close()")
                await uploads.until(lambda: uploads.told)
                assert uploads.target.payloads[0]["Records"][0]["s3"]["object"]["size"] == 9
                await uploads.expect((CREATED, "a"))

    drive(tmp_path, scenario)


def test_appending_and_truncating_are_overwrites_and_reading_is_nothing(tmp_path):
    async def scenario(uploads):
        async with uploads.running():
            with Writer(uploads.path) as other:
                other.do("file = open('a', 'w'); file.write('12345'); file.close()")
                await uploads.expect((CREATED, "a"))
                other.do("file = open('a', 'a'); file.write('678'); file.close()")
                await uploads.expect((CREATED, "a"))
                other.do("file = open('a', 'r+'); file.truncate(2); file.close()")
                await uploads.expect((CREATED, "a"))
                other.do("open('a').read()")
                other.do("os.chmod('a', 0o600)")
                await uploads.expect()
                other.do("os.rename('a', 'b')")
                await uploads.expect((REMOVED, "a"), (CREATED, "b"))

    drive(tmp_path, scenario)


def test_hard_links_and_files_that_never_had_another_name_are_told(tmp_path):
    write(tmp_path / "outside")

    async def scenario(uploads):
        async with uploads.running():
            os.link(tmp_path / "outside", uploads.path / "linked")
            await uploads.expect((CREATED, "linked"))
            descriptor = os.open(uploads.path, os.O_TMPFILE | os.O_WRONLY)
            os.write(descriptor, b"1234")
            source = f"/proc/self/fd/{descriptor}"
            folder = os.open(uploads.path, os.O_RDONLY)
            os.link(source, "unnamed", dst_dir_fd=folder, follow_symlinks=True)
            await uploads.expect()
            os.close(descriptor)
            os.close(folder)
            await uploads.until(lambda: uploads.told)
            await uploads.expect((CREATED, "unnamed"))

    drive(tmp_path, scenario)


def test_where_nobody_knows_what_is_open_the_close_is_waited_for(tmp_path, monkeypatch):
    """As for files of other users, whose leases the kernel refuses: however long their writers pause."""
    monkeypatch.setattr("triggers.settling.has_writer", lambda path: None)
    monkeypatch.setattr("triggers.object_events.CLOSE_PATIENCE", 0.05)

    async def scenario(uploads):
        write(tmp_path / "outside")
        async with uploads.running(settle=0.1):
            with Writer(uploads.path) as other:
                other.do("file = open('slow', 'w', buffering=1); print('first', file=file)")
                await asyncio.sleep(0.4)
                await uploads.expect()
                other.do("file.close()")
                await uploads.expect((CREATED, "slow"))
            os.link(tmp_path / "outside", uploads.path / "linked")
            await uploads.until(lambda: uploads.told)
            await uploads.expect((CREATED, "linked"))
        write(uploads.path / "later")
        async with uploads.running(settle=0.1):
            await uploads.until(lambda: uploads.told)
            await uploads.expect((CREATED, "later"))

    drive(tmp_path, scenario)


def test_a_copied_tree_is_told_file_by_file_and_so_is_its_removal(tmp_path):
    names = [f"tree/{a}/{b}/{c}" for a in range(4) for b in range(5) for c in range(5)]
    for name in names:
        write(tmp_path / name, name)

    async def scenario(uploads):
        async with uploads.running():
            process = await asyncio.create_subprocess_exec("cp", "-r", tmp_path / "tree", uploads.path)
            await process.wait()
            await uploads.expect(*((CREATED, name) for name in names))
            (uploads.path / "tree").rename(uploads.path / "moved")
            await uploads.expect(*((REMOVED, name) for name in names), *((CREATED, name.replace("tree", "moved")) for name in names))
            process = await asyncio.create_subprocess_exec("rm", "-r", uploads.path / "moved")
            await process.wait()
            await uploads.expect(*((REMOVED, name.replace("tree", "moved")) for name in names))
            (tmp_path / "tree").rename(uploads.path / "renamed-in")
            await uploads.expect(*((CREATED, name.replace("tree", "renamed-in")) for name in names))
            (uploads.path / "renamed-in").rename(tmp_path / "tree")
            await uploads.expect(*((REMOVED, name.replace("tree", "renamed-in")) for name in names))

    drive(tmp_path, scenario)


MANY = """
import os, sys
me = sys.argv[1]
for n in range(1000):
    folder = f"{me}/{n % 7}/{n % 31}/{n % 100}"
    os.makedirs(folder, exist_ok=True)
    if n % 3:
        open(f"{folder}/{n}", "w").close()
    else:
        with open(f"{folder}/.{n}.tmp", "w") as file:
            file.write(str(n))
        os.rename(f"{folder}/.{n}.tmp", f"{folder}/{n}")
"""


def quickly(root):
    """Descriptions without ETags."""

    async def describe(key):
        try:
            status = (root / key).stat()
        except FileNotFoundError:
            return None
        return ObjectVersion(key, status.st_size, "etag", status.st_mtime_ns, status.st_ino, f"{status.st_mtime_ns:016x}")

    return describe


def test_files_in_directories_that_are_made_under_load_are_told_once_each(tmp_path):
    async def scenario(uploads):
        uploads.target.buckets["uploads"].describe = quickly(uploads.path)
        async with uploads.running():
            writers = [await asyncio.create_subprocess_exec(sys.executable, "-c", MANY, me, cwd=uploads.path) for me in ("x", "y")]
            for writer in writers:
                assert await writer.wait() == 0
            names = [f"{me}/{n % 7}/{n % 31}/{n % 100}/{n}" for me in ("x", "y") for n in range(1000)]
            await uploads.expect(*((CREATED, name) for name in names))

    drive(tmp_path, scenario)


def test_of_quick_overwrites_the_last_state_is_told(tmp_path):
    async def scenario(uploads):
        async with uploads.running():
            for n in range(1, 200):
                write(uploads.path / "a", "x" * n)
            await uploads.until(lambda: uploads.told and uploads.target.payloads[-1]["Records"][0]["s3"]["object"]["size"] == 199)
            sequencers = [payload["Records"][0]["s3"]["object"]["sequencer"] for payload in uploads.target.payloads]
            assert sequencers == sorted(set(sequencers))

    drive(tmp_path, scenario)


def test_a_write_that_the_clock_does_not_show_is_told(tmp_path):
    """Two writes in one tick of the file system's clock leave a file that looks the same."""

    async def scenario(uploads):
        source = uploads.target.buckets["uploads"]
        real = source.describe

        async def read(key):
            described = await real(key)
            return described and replace(described, etag=hashlib.md5((uploads.path / key).read_bytes()).hexdigest())

        source.describe = read
        async with uploads.running():
            write(uploads.path / "a", "1")
            await uploads.expect((CREATED, "a"))
            time = (uploads.path / "a").stat().st_mtime_ns
            with (uploads.path / "a").open("r+") as file:
                file.write("2")
                file.flush()
                os.utime(file.fileno(), ns=(time, time))
            await uploads.expect((CREATED, "a"))

    drive(tmp_path, scenario)


def test_a_time_that_is_set_after_the_close_is_no_change(tmp_path):
    write(tmp_path / "a")

    async def scenario(uploads):
        async with uploads.running():
            write(uploads.path / "a")
            await uploads.expect((CREATED, "a"))
            os.utime(uploads.path / "a", (1, 1))
            await uploads.expect()
        async with uploads.running():
            await uploads.expect()
            write(uploads.path / "a")  # the same bytes, but somebody wrote them
            await uploads.expect((CREATED, "a"))

    drive(tmp_path, scenario)


# Restarts


def test_a_restart_tells_what_came_changed_and_went(tmp_path):
    async def scenario(uploads):
        async with uploads.running():
            for name in ("stays", "changes", "goes"):
                write(uploads.path / name)
            await uploads.expect((CREATED, "stays"), (CREATED, "changes"), (CREATED, "goes"))
        write(uploads.path / "d/comes")
        write(uploads.path / "changes", "other content")
        (uploads.path / "goes").unlink()
        async with uploads.running():
            await uploads.expect((CREATED, "d/comes"), (CREATED, "changes"), (REMOVED, "goes"))
        async with uploads.running():
            await uploads.expect()

    drive(tmp_path, scenario)


def test_a_file_that_is_being_written_while_the_trigger_starts_is_told_at_the_close(tmp_path):
    async def scenario(uploads):
        with Writer(uploads.path) as other:
            other.do("first = open('first', 'w'); first.write('1'); first.flush(); os.utime('first', (1, 1))")
            async with uploads.running():  # for the first time: what is there is old, but this is not finished
                await uploads.expect()
                other.do("first.close()")
                await uploads.expect((CREATED, "first"))
            other.do("again = open('again', 'w'); again.write('1'); again.flush()")
            async with uploads.running():
                await uploads.expect()
                other.do("again.close()")
                await uploads.expect((CREATED, "again"))

    drive(tmp_path, scenario)


def test_files_that_come_while_the_trigger_starts_for_the_first_time_are_told(tmp_path, monkeypatch):
    """They come after the watch is on and before the look at what is old, and more of them than are handled at once."""
    write(tmp_path / "tree/new")
    names = [f"renamed{n}" for n in range(2 * WORKERS)]

    async def scenario(uploads):
        write(uploads.path / "old")
        real, describe = bucket_session.BucketSession._catch_up, uploads.target.buckets["uploads"].describe

        async def catch_up(self, watcher):
            for name in names:
                write(uploads.path / ".part")
                (uploads.path / ".part").rename(uploads.path / name)
            (tmp_path / "tree").rename(uploads.path / "tree")
            await real(self, watcher)

        async def describe_later(key):
            await uploads.until(lambda: uploads.target.is_ready)
            return await describe(key)

        monkeypatch.setattr(bucket_session.BucketSession, "_catch_up", catch_up)
        uploads.target.buckets["uploads"].describe = describe_later
        async with uploads.running():
            await uploads.expect((CREATED, "tree/new"), *((CREATED, name) for name in names))

    drive(tmp_path, scenario)


NAMES = ("a", "b", "d/a", "d/e/a", "x.tmp")
OPERATIONS = st.one_of(
    st.tuples(st.sampled_from(("write", "remove")), st.sampled_from(NAMES)),
    st.tuples(st.just("rename"), st.sampled_from(NAMES), st.sampled_from(NAMES)),
    st.tuples(st.just("move"), st.sampled_from(("d", "d/e", "f")), st.sampled_from(("d", "f", "g"))),
    st.tuples(st.sampled_from(("clear", "stop", "start")), st.just("d")),
)


def apply(root, verb, places, n):
    try:
        if verb == "write":
            write(places[0], "x" * n)
        elif verb == "remove":
            places[0].unlink()
        elif verb == "clear":
            shutil.rmtree(places[0])
        elif verb in ("rename", "move"):
            places[1].parent.mkdir(parents=True, exist_ok=True)
            places[0].rename(places[1])
    except (OSError, shutil.Error):
        pass


def objects_in(root):
    files = [path for path in root.rglob("*") if path.is_file() and path.suffix != ".tmp" and ".eventflow-tmp" not in path.parts]
    return {path.relative_to(root).as_posix(): path.stat().st_size for path in files}


@settings(max_examples=12, deadline=None)
@given(st.lists(OPERATIONS, max_size=15))
def test_whatever_happens_the_events_lead_to_what_is_there(operations):
    """Followed from the beginning, running or not, the events of each key end in its present state: with its size, or removed."""

    async def scenario(uploads):
        async with uploads.running():
            pass
        for running in (True, False):
            for n, (verb, *paths) in enumerate(operations):
                if verb == "start":
                    async with uploads.running():
                        pass
                elif running:
                    async with uploads.running():
                        apply(uploads.path, verb, [uploads.path / path for path in paths], n + 1)
                else:
                    apply(uploads.path, verb, [uploads.path / path for path in paths], n + 1)
        async with uploads.running():
            await uploads.until(lambda: followed(uploads.target.payloads) == objects_in(uploads.path))
        ids = [delivery.id for delivery in uploads.target.deliveries]
        assert len(ids) == len(set(ids))

    with tempfile.TemporaryDirectory() as folder:
        drive(Path(folder), scenario)


def followed(payloads):
    present = {}
    for payload in payloads:
        verb, key = short(payload)
        if verb == CREATED:
            present[key] = payload["Records"][0]["s3"]["object"]["size"]
        else:
            present.pop(key)
    return present
