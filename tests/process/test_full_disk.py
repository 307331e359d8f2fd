"""A full disk, on a small file system of its own: what cannot be stored is refused, what was acknowledged is kept, and it recovers."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError

from tests.process.daemon_process import daemon

CODE = """
import os
app.bucket("files")
@app.function(retries=0, timeout=900, reserved_concurrency=2)
def work(event, context):
    if os.path.exists(HERE + "/hold"):
        import time
        time.sleep(800)  # until the daemon is killed: nothing ends on the full disk
    file = os.open(HERE + "/handled", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, (event["n"] + "\\n").encode())
    os.close(file)
"""
SIZE = 40 * 1024 * 1024


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    yield from mounted(tmp_path, SIZE)


def mounted(tmp_path: Path, size: int) -> Iterator[Path]:
    """A file system of so many bytes."""
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("a small file system can be mounted by root on Linux alone")
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(disk)], capture_output=True, text=True, check=False)
    if mount.returncode != 0:
        pytest.skip(f"a tmpfs cannot be mounted here: {mount.stderr.strip()}")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=False)


@pytest.mark.slow
def test_a_full_disk_refuses_events_and_objects_and_loses_nothing(tmp_path: Path, small_disk: Path) -> None:
    with daemon(tmp_path, f"HERE = {str(tmp_path)!r}\n" + CODE) as process:
        process.state = small_disk / "state"
        process.start()
        (tmp_path / "hold").touch()
        client, accepted = process.client("lambda"), []
        filler = small_disk / "filler"
        free = os.statvfs(small_disk).f_bavail * os.statvfs(small_disk).f_frsize
        filler.write_bytes(bytes(free - 3 * 1024 * 1024))
        refusals: list[str] = []
        for number in range(400):
            refusal = sent(client, {"n": f"event-{number}", "ballast": "x" * 20_000})
            if refusal is None:
                accepted.append(f"event-{number}")
            else:
                refusals.append(refusal)
            if len(refusals) == 3:
                break
        assert [refusal for refusal in refusals if "full" in refusal and refusal.startswith("5")] == refusals
        assert len(refusals) == 3
        with pytest.raises((ClientError, ConnectionClosedError)):
            process.client("s3").put_object(Bucket="files", Key="big", Body=bytes(4 * 1024 * 1024))
        (tmp_path / "hold").unlink()
        filler.unlink()
        process.until(lambda: sent(client, {"n": "after"}) is None, "it accepts again")
        process.kill()
        process.start()
        process.until(lambda: set(accepted) <= set(process.rows("handled")), "all that was accepted is handled")
        assert [found["Key"] for found in process.client("s3").list_objects_v2(Bucket="files").get("Contents", [])] == []
        assert list((process.bucket("files") / ".eventflow-tmp").iterdir()) == []


def sent(client: Any, event: dict[str, str]) -> str | None:
    """Send an event; None when it was accepted, else the status and the text of the refusal."""
    try:
        client.invoke(FunctionName="work", InvocationType="Event", Payload=json.dumps(event).encode())
    except ClientError as error:
        return f"{error.response['ResponseMetadata']['HTTPStatusCode']} {error}"
    return None
