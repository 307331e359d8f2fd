"""The idle daemon with the thumbnail sample, scaled to zero: memory and processor time of all its processes, and how long a start takes."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.measure import Figure, median_of
from tests.process.daemon_process import children_of

SAMPLE = Path(__file__).parent.parent / "samples" / "thumbnails" / "app.py"
#: The sample's schedule fires once in a minute; its environment then lives for two, so the daemon is measured without that function.
SETTLE_SECONDS, WATCH_SECONDS = 5.0, 20.0
BARE = "import time; time.sleep(1000)"
HUEY = """
from huey import SqliteHuey
huey = SqliteHuey(filename="huey.db", fsync=True)
huey.create_consumer(workers=1, worker_type="process").run()
"""


def pss_mb(pids: list[int]) -> float:
    """Proportional set size: what is shared counts for each by its share."""
    total = 0
    for pid in pids:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        total += next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total / 1024


def cpu_seconds(pids: list[int]) -> float:
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


@contextmanager
def running(command: list[str], folder: str, ready: Callable[[], bool]) -> Iterator[tuple[int, float]]:
    """A process from its start on; its pid, and the seconds until it was ready."""
    begin = time.monotonic()
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while not ready():
            assert process.poll() is None, f"{command} ended"
            time.sleep(0.002)
        yield process.pid, time.monotonic() - begin
    finally:
        process.terminate()
        process.wait(60)


def daemon_command(folder: str, app: Path = SAMPLE) -> list[str]:
    return [sys.executable, "-m", "eventflow", "run", str(app), "--state", f"{folder}/state", "--port", "0"]


def without_schedule(folder: str) -> Path:
    """The sample, never started by its schedule while it is measured."""
    copy = Path(folder) / "app.py"
    copy.write_text(SAMPLE.read_text().replace("rate(1 minute)", "rate(30 days)"))
    (Path(folder) / "picture.py").write_text((SAMPLE.parent / "picture.py").read_text())
    return copy


def footprint(command: list[str], folder: str, ready: Callable[[], bool]) -> tuple[float, float]:
    """Megabytes of PSS and percent of a processor."""
    with running(command, folder, ready) as (pid, _seconds):
        time.sleep(SETTLE_SECONDS)
        pids = [pid, *children_of(pid)]
        memory, before = pss_mb(pids), cpu_seconds(pids)
        time.sleep(WATCH_SECONDS)
        return memory, (cpu_seconds(pids) - before) / WATCH_SECONDS * 100


def ours() -> tuple[float, float]:
    with tempfile.TemporaryDirectory() as folder:
        app = without_schedule(folder)
        return footprint(daemon_command(folder, app), folder, (Path(folder) / "state" / "daemon.json").exists)


def start_seconds() -> float:
    with (
        tempfile.TemporaryDirectory() as folder,
        running(daemon_command(folder), folder, (Path(folder) / "state" / "daemon.json").exists) as (_pid, seconds),
    ):
        return seconds


def bare_start() -> float:
    begin = time.monotonic()
    subprocess.run([sys.executable, "-c", "import boto3, PIL.Image; boto3.client('s3', region_name='us-east-1')"], check=True)
    return time.monotonic() - begin


def peer() -> tuple[float, float] | tuple[None, None]:
    try:
        import huey  # noqa: F401
    except ImportError:
        return None, None
    with tempfile.TemporaryDirectory() as folder:
        return footprint([sys.executable, "-c", HUEY], folder, (Path(folder) / "huey.db").exists)


def figures() -> list[Figure]:
    if not Path("/proc/self/smaps_rollup").exists():
        print("idle: left out, there is no /proc/self/smaps_rollup here")
        return []
    memory, cpu = ours()
    peer_memory, peer_cpu = peer()
    with tempfile.TemporaryDirectory() as folder:
        bare_memory, bare_cpu = footprint([sys.executable, "-c", BARE], folder, lambda: True)
    name, bare = "Huey's consumer with one worker", "a bare interpreter"
    return [
        Figure("idle daemon, the thumbnail sample, PSS of all processes", "MB", memory, peer_memory, name, bare_memory, bare),
        Figure("idle daemon, processor", "%", cpu, peer_cpu, name, bare_cpu, bare),
        Figure(
            "start to ready, the thumbnail sample",
            "s",
            median_of(start_seconds),
            None,
            "",
            median_of(bare_start),
            "interpreter with boto3, Pillow, a client",
        ),
    ]
