"""A bucket with a million files in a thousand directories: start-up, memory and idle CPU of the daemon. Takes minutes, so it runs only when named.

``TREE_FILES=100000`` makes it smaller. The tree is made below ``TMPDIR``; the files are empty, for nothing is read of them.
"""

import os
import tempfile
import time
from pathlib import Path

from benchmarks.measure import Figure
from tests.process.daemon_process import DaemonProcess, daemon

FILES = int(os.environ.get("TREE_FILES", "1000000"))
DIRECTORIES = 1000
IDLE = 20.0
CODE = """
@app.on(Bucket("tree"))
def arrived(event, context):
    return None
"""


def make_tree(root: Path) -> None:
    for directory in range(DIRECTORIES):
        folder = root / f"{directory:03}"
        folder.mkdir(parents=True)
        for number in range(FILES // DIRECTORIES):
            os.close(os.open(folder / f"photograph-{number:05}.jpg", os.O_WRONLY | os.O_CREAT))


def memory_of(process: DaemonProcess) -> float:
    """The daemon's proportional set size in MB."""
    assert process.process is not None
    rollup = Path(f"/proc/{process.process.pid}/smaps_rollup").read_text()
    return int(rollup.split("Pss:")[1].split()[0]) / 1024


def cpu_of(process: DaemonProcess) -> float:
    """Seconds of CPU that the daemon has used."""
    assert process.process is not None
    fields = Path(f"/proc/{process.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def peak_of(process: DaemonProcess) -> float:
    """The most memory that the daemon has had, in MB."""
    assert process.process is not None
    status = Path(f"/proc/{process.process.pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def started(process: DaemonProcess) -> float:
    """Seconds until the trigger says that it misses nothing any more; the daemon itself takes requests earlier."""
    begin = time.perf_counter()
    process.start(ready=False)
    process.until(process._is_announced, "the daemon takes requests", 600)
    process.until(lambda: time.sleep(0.5) or is_watching(process), "the trigger is ready", 900)
    return time.perf_counter() - begin


def is_watching(process: DaemonProcess) -> bool:
    return all(trigger["ready"] for trigger in process.control("status")["triggers"])


def idle_share(process: DaemonProcess) -> float:
    """Percent of one processor while nothing happens."""
    time.sleep(5)
    before = cpu_of(process)
    time.sleep(IDLE)
    return 100 * (cpu_of(process) - before) / IDLE


def figures() -> list[Figure]:
    with tempfile.TemporaryDirectory() as name, daemon(Path(name), CODE) as process:
        started(process)
        bare = memory_of(process)
        process.stop()
        process.state = Path(name) / "state of the tree"
        make_tree(process.bucket("tree"))
        first, first_cpu, first_peak = started(process), cpu_of(process), peak_of(process)
        process.stop()
        again, again_cpu = started(process), cpu_of(process)
        memory, idle = memory_of(process), idle_share(process)
        process.bucket("tree").joinpath("000/new.jpg").write_bytes(b"new")
        process.until(lambda: process.control("status")["events"].get("arrived", {}) == {"done": 1}, "the new file, and no other, was handled")
    what = f"{FILES:,} files in {DIRECTORIES:,} directories"
    return [
        Figure(f"{what}, first start", "s", first, None, f"of them {first_cpu:.1f} s of CPU; {first_peak:.0f} MB at most"),
        Figure(f"{what}, start again", "s", again, None, f"of them {again_cpu:.1f} s of CPU"),
        Figure(f"{what}, daemon's memory (PSS)", "MB", memory, bare, "without files"),
        Figure(f"{what}, idle CPU", "%", idle),
    ]
