"""Cold start: from the emit of a durable event, while its function has no environment, to the handler's first line in a new one."""

import asyncio
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.measure import Figure, percentile
from tests.process.spine import HEADER, Spine

STARTS = 40
#: Between two starts, so that each finds the machine idle.
PAUSE = 0.05
SAMPLE = Path(__file__).parent.parent / "samples" / "thumbnails"
FIRST_LINE = """
import os as _os, time as _time
@app.function(memory=1024{settings})
def first_line(event, context):
    with open({log!r}, "a") as log:
        log.write("%d %d\\n" % (event, _time.monotonic_ns()))
"""
#: What the daemon tells the functions' processes; nothing listens there, and no client is used.
VARIABLES = {
    "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
    "AWS_ACCESS_KEY_ID": "AKIAEXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "example",
    "AWS_REGION": "us-east-1",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}
#: A new interpreter that does what a new environment of the sample does, with AWS's own runtime client where it is installed.
FRESH = """
try:
    from awslambdaric import bootstrap
except ImportError:
    pass
import time
import app
print(time.monotonic_ns())
"""
FORKED = """
import os, time
import boto3, PIL.Image
boto3.client("s3")
reader, writer = os.pipe()
for _ in range(40):
    time.sleep(0.01)
    begin = time.monotonic_ns()
    pid = os.fork()
    if pid == 0:
        os.write(writer, b"%d" % time.monotonic_ns())
        os._exit(0)
    os.waitpid(pid, 0)
    print(int(os.read(reader, 64)) - begin)
"""


def starts(app: str, settings: str = "") -> list[float]:
    """Milliseconds of each start of an app of which this is the source."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        log = folder / "log"
        shutil.copy(SAMPLE / "picture.py", folder)
        (folder / "app.py").write_text(app + FIRST_LINE.format(log=str(log), settings=settings))
        asyncio.run(start_again_and_again(folder))
        lines = [line.split() for line in log.read_text().splitlines()]
    return [(int(handled) - int(sent)) / 1e6 for sent, handled in lines[1:]]


async def start_again_and_again(folder: Path) -> None:
    spine = Spine(folder, None, idle_seconds=0.02)
    try:
        await spine.journal.open()
        await spine.load(**VARIABLES)
        for _ in range(STARTS + 1):
            await spine.emit("first_line", str(time.monotonic_ns()).encode())
            await spine.settled()
            await spine.until(lambda: not spine.environments("first_line"))
            await asyncio.sleep(PAUSE)
    finally:
        await spine.close()


def fresh_interpreter() -> float:
    times = []
    for _ in range(5):
        begin = time.monotonic_ns()
        command = [sys.executable, "-c", FRESH]
        done = subprocess.run(command, cwd=SAMPLE, env={**os.environ, **VARIABLES}, capture_output=True, text=True, check=True)
        times.append((int(done.stdout) - begin) / 1e6)
    return statistics.median(times)


def bare_fork() -> float:
    done = subprocess.run([sys.executable, "-c", FORKED], env={**os.environ, **VARIABLES}, capture_output=True, text=True, check=True)
    return statistics.median(int(line) / 1e6 for line in done.stdout.split())


def figures() -> list[Figure]:
    fresh, fork = fresh_interpreter(), bare_fork()
    sample = (SAMPLE / "app.py").read_text()
    found = []
    for what, times in (
        ("an app without clients", starts(HEADER)),
        ("the thumbnail sample", starts(sample)),
        ("the thumbnail sample with snap_start", starts(sample, ", snap_start=True")),
    ):
        for percent in (50, 99):
            peer = (fresh, "new interpreter that imports the sample") if "sample" in what and percent == 50 else (None, "")
            limit = (fork, "bare fork with boto3 and Pillow") if percent == 50 else (None, "")
            found.append(Figure(f"cold start, {what}, p{percent}", "ms", percentile(times, percent), *peer, *limit))
    return found
