"""The peer of the same shape: Huey on SQLite, in processes of its own."""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import huey  # noqa: F401 - the peer is measured only where it is installed

EVENTS = 5_000
TASKS = """
import os, time
from huey import SqliteHuey
huey = SqliteHuey(filename=os.environ["PEER_DB"], fsync=True, results=False)
log = os.open(os.environ["PEER_LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
@huey.task()
def noop(text, sent):
    os.write(log, b"%d %d\\n" % (sent, time.monotonic_ns()))
"""
CONSUMER = """
import sys
sys.path.insert(0, sys.argv[1])
from tasks import huey
huey.create_consumer(workers=2, worker_type="process", periodic=False, initial_delay=0.001, backoff=1.05, max_delay=0.005).run()
"""
PRODUCER = """
import sys, time
sys.path.insert(0, sys.argv[1])
from tasks import noop
for _ in range(int(sys.argv[2])):
    noop("x" * 280, time.monotonic_ns())
    time.sleep(float(sys.argv[3]))
"""


def run(events: int, pause: float) -> list[tuple[int, int]]:
    """(sent, handled) in nanoseconds of the monotonic clock for each event."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "tasks.py").write_text(TASKS)
        log = Path(folder) / "log"
        variables = {"PEER_DB": f"{folder}/huey.db", "PEER_LOG": str(log), "PATH": "/usr/bin:/bin"}
        consumer = subprocess.Popen([sys.executable, "-c", CONSUMER, folder], env=variables, stderr=subprocess.DEVNULL)
        try:
            time.sleep(1.5)
            subprocess.run([sys.executable, "-c", PRODUCER, folder, str(events), str(pause)], env=variables, check=True)
            end = time.monotonic() + 60
            while len(rows(log)) < events and time.monotonic() < end:
                time.sleep(0.02)
            return rows(log)
        finally:
            consumer.terminate()
            consumer.wait(10)


def rows(log: Path) -> list[tuple[int, int]]:
    text = log.read_text() if log.exists() else ""
    return [(int(sent), int(handled)) for sent, handled in (line.split() for line in text.splitlines())]


def throughput() -> float:
    found = run(EVENTS, 0)
    return len(found) / ((max(handled for _sent, handled in found) - min(sent for sent, _handled in found)) / 1e9)


def latencies() -> list[float]:
    """Milliseconds from the call to the task's first line, one at a time."""
    return [(handled - sent) / 1e6 for sent, handled in run(300, 0.01)]
