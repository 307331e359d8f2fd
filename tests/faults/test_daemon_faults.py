"""A real daemon on a hostile machine: it refuses what it cannot keep, says why, keeps running, and goes on when the cause is gone."""

import json
import os
import resource
import socket
import sqlite3
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from tests.faults.conftest import BadDisk, Ext4
from tests.patience import DAEMON
from tests.process.daemon_process import DaemonProcess, daemon

CODE = """
import os
app.bucket("files")
@app.on(Bucket("inbox"))
def seen(event, context):
    write(event["Records"][0]["s3"]["object"]["key"])
@app.function(retries=0)
def work(event, context):
    write(event["n"])
def write(text):
    file = os.open(HERE + "/handled", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, (text + "\\n").encode())
    os.close(file)
"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="these faults are made with Linux's own calls"),
]


def code(folder: Path) -> str:
    return f"HERE = {str(folder)!r}\n" + CODE


def sent(process: DaemonProcess, name: str, ballast: int = 0) -> str | None:
    """Send an event; None when it was accepted, else the refusal."""
    client = process.client("lambda")
    try:
        payload = json.dumps({"n": name, "ballast": "x" * ballast}).encode()
        client.invoke(FunctionName="work", InvocationType="Event", Payload=payload)
    except ClientError as error:
        return f"{error.response['ResponseMetadata']['HTTPStatusCode']} {error}"
    except BotoCoreError as error:
        return f"no answer: {error}"
    return None


def breaks_and_mends(process: DaemonProcess, breaks: Callable[[], Any], mends: Callable[[], Any], ballast: int, says: str) -> None:
    """The course that every fault takes: accepted, refused with a reason, and accepted again by the same process."""
    accepted = [name for name in ("before-1", "before-2") if sent(process, name) is None]
    assert len(accepted) == 2
    breaks()
    refusals = []
    for number in range(1000):  # the write-ahead log has room for some hundred that need none on the disk
        refusal = sent(process, f"during-{number}", ballast)
        if refusal is None:
            accepted.append(f"during-{number}")
        else:
            refusals.append(refusal)
        if len(refusals) == 3:
            break
    assert len(refusals) == 3
    assert [text for text in refusals if not text.startswith("5") or says not in text] == []
    mends()
    process.until(lambda: sent(process, "after") is None, "it accepts again")
    accepted.append("after")
    process.until(lambda: set(accepted) <= set(process.rows("handled")), "all that was accepted is handled")
    process.until(lambda: "can be written again" in process.log.read_text(), "it tells that it goes on")
    assert process.log.read_text().count("This is told once") >= 1
    refused = {f"during-{number}" for number in range(60)} - set(accepted)
    assert [name for name in process.rows("handled") if name in refused] == []
    process.kill()
    process.start()
    process.until(lambda: not process.events(state="ready"), "nothing waits")
    assert set(accepted) <= set(process.rows("handled"))
    assert "sound" in process.cli("journal", "check").stdout


def test_writes_that_are_cut_short(tmp_path: Path) -> None:
    """RLIMIT_FSIZE: the kernel writes the part of a page that fits, then EFBIG, which SQLite tells as an I/O error."""
    with daemon(tmp_path, code(tmp_path)) as process:
        process.start()
        assert process.process is not None
        pid = process.process.pid
        soft, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)

        def breaks() -> None:
            log = process.state / "eventflow.db-wal"
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (log.stat().st_size + 150_001, hard))

        breaks_and_mends(process, breaks, lambda: resource.prlimit(pid, resource.RLIMIT_FSIZE, (soft, hard)), 60_000, "disk I/O error")


@pytest.mark.parametrize("what", ["sync", "write"])
def test_a_disk_that_fails(tmp_path: Path, bad_disk: BadDisk, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    with daemon(tmp_path, code(tmp_path)) as process:
        for name, value in bad_disk.variables.items():
            monkeypatch.setenv(name, value)
        process.start()
        breaks_and_mends(process, lambda: bad_disk.breaks(what), bad_disk.mends, 0, "disk I/O error")


def test_a_file_system_that_the_kernel_makes_read_only(tmp_path: Path, ext4: Ext4) -> None:
    with daemon(tmp_path, code(tmp_path)) as process:
        process.state = ext4.path / "state"
        process.start()
        assert sent(process, "before") is None
        process.until(lambda: process.rows("handled") == ["before"], "it is handled")
        ext4.fails()
        refusals = [sent(process, f"during-{number}") for number in range(3)]
        assert [text for text in refusals if text is None or not text.startswith("5") or "To do: " not in text] == []
        assert process.process is not None
        assert process.process.poll() is None
        process.kill()
        process.until(lambda: not left_in(ext4.path), "its functions are gone")
        ext4.mends()
        process.start()
        assert sent(process, "after") is None
        process.until(lambda: process.rows("handled")[-1] == "after", "it is handled")
        assert "during-0" not in process.rows("handled")
        process.kill()
        process.until(lambda: not left_in(ext4.path), "its functions are gone")


def left_in(folder: Path) -> list[str]:
    """The processes that have a file below a folder open, or work in it."""
    found = []
    for link in [*Path("/proc").glob("[0-9]*/fd/*"), *Path("/proc").glob("[0-9]*/cwd")]:
        try:
            target = str(link.readlink())
        except OSError:
            continue
        if target.startswith(str(folder)):
            found.append(target)
    return found


def test_a_full_disk_of_events_alone(tmp_path: Path, small_disk: Path) -> None:
    with daemon(tmp_path, code(tmp_path)) as process:
        process.state = small_disk / "state"
        process.start()
        filler = small_disk / "filler"

        def breaks() -> None:
            status = os.statvfs(small_disk)
            filler.write_bytes(bytes(status.f_bavail * status.f_frsize - 500_000))

        breaks_and_mends(process, breaks, filler.unlink, 60_000, "make room on its disk")


def test_a_state_directory_on_a_read_only_file_system_is_refused_at_the_start(tmp_path: Path, small_disk: Path) -> None:
    with daemon(tmp_path, code(tmp_path)) as process:
        process.state = small_disk / "state"
        process.start()
        assert process.stop() == 0
        assert os.system(f"mount -o remount,ro {small_disk}") == 0
        process.start(ready=False)
        assert process.process is not None
        assert process.process.wait(DAEMON) == 1
        assert "Read-only file system" in process.log.read_text()
        assert "read-only" in process.cli("doctor").stdout
        assert os.system(f"mount -o remount,rw {small_disk}") == 0
        process.start()


def test_no_descriptors_left(tmp_path: Path) -> None:
    with daemon(tmp_path, code(tmp_path)) as process, ExitStack() as held:
        process.start()
        assert process.process is not None
        pid = process.process.pid
        soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        s3 = process.client("s3")
        s3.list_buckets()
        highest = max(int(entry.name) for entry in Path(f"/proc/{pid}/fd").iterdir())
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (highest + 6, hard))
        host, port = process.facts["url"].removeprefix("http://").split(":")
        for _number in range(30):
            held.enter_context(socket.create_connection((host, int(port)), timeout=DAEMON))
        process.until(lambda: "limit of open files is reached" in process.log.read_text(), "it names the limit")
        with pytest.raises(ClientError, match="limit of open files is reached: "):  # on the connection that it has
            s3.put_object(Bucket="files", Key="a", Body=b"x")
        (process.bucket("inbox") / "by hand").write_text("x")
        held.close()
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))
        process.until(lambda: sent(process, "after") is None, "it accepts again")
        process.until(lambda: {"after", "by+hand"} <= set(process.rows("handled")), "what came meanwhile is handled")
        s3.put_object(Bucket="files", Key="a", Body=b"x")
        assert process.process.poll() is None


def test_the_daemon_raises_its_limit_of_open_files(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 1_000:
        pytest.skip(f"at most {hard} open files are allowed here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    try:
        with daemon(tmp_path, code(tmp_path)) as process:
            process.start()
            assert process.process is not None
            expected = 65_536 if hard == resource.RLIM_INFINITY else min(hard, 65_536)
            assert resource.prlimit(process.process.pid, resource.RLIMIT_NOFILE)[0] == expected
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_damaged_state_file_is_refused_repaired_and_goes_on(tmp_path: Path) -> None:
    with daemon(tmp_path, code(tmp_path)) as process:
        process.start()
        for number in range(20):
            assert sent(process, f"event-{number}", 2_000) is None
        process.until(lambda: len(process.rows("handled")) == 20, "all are handled")
        assert process.stop() == 0
        with closing(sqlite3.connect(process.state / "eventflow.db")) as connection:
            connection.execute("UPDATE events SET state = 0, settled_at = NULL WHERE sequence > 15")  # as if it had been killed before these
            connection.commit()
            root = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'events_by_key'").fetchone()[0]
        with (process.state / "eventflow.db").open("r+b") as file:
            file.seek((root - 1) * 4096)
            file.write(b"\xff" * 100)
        for _time in range(2):
            process.start(ready=False)
            assert process.process is not None
            assert process.process.wait(DAEMON) == 65
        assert "eventflow journal repair" in process.log.read_text()
        assert "damage" in process.cli("doctor").stdout
        checked = process.cli("journal", "check")
        assert checked.returncode == 1
        repaired = process.cli("journal", "repair")
        assert repaired.returncode == 0, repaired.stderr
        process.start()
        process.until(lambda: len(process.rows("handled")) == 25, "what was ready runs")
        refused = process.cli("journal", "repair")
        assert refused.returncode == 1
        assert "belongs to a running daemon" in refused.stderr
        looked = process.cli("journal", "check")
        assert looked.returncode == 0, looked.stdout + looked.stderr
        assert "20 done" in looked.stdout


def test_checking_while_it_writes_disturbs_nothing(tmp_path: Path) -> None:
    with daemon(tmp_path, code(tmp_path)) as process:
        process.start()
        begin = time.monotonic()
        for number in range(30):
            assert sent(process, f"event-{number}", 5_000) is None
            if number % 10 == 0:
                assert process.cli("journal", "check").returncode == 0
        assert time.monotonic() - begin < 120
        process.until(lambda: len(process.rows("handled")) == 30, "all are handled")
