"""A flood of refused requests: how soon another function gets its events beside it, and how many refusals a second that costs."""

import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.measure import Figure, percentile
from benchmarks.wrk import RATE
from eventflow.client import Client
from tests.process.daemon_process import daemon

EVENTS = 200
PAUSE = 0.005
FLOODS = (32, 512)
FLOOD_SECONDS = 120
CODE = """
import os, time
from triggers import Http
log = os.open(HERE + "/log", os.O_WRONLY | os.O_APPEND | os.O_CREAT)

@app.on(Http("GET /shut", throttle={"rate": 1, "burst": 1}))
def shut(event, context):
    return "open"

@app.function()
def first_line(event, context):
    os.write(log, b"%d %d\\n" % (event, time.monotonic_ns()))
"""


@contextmanager
def flood(url: str, connections: int) -> Iterator[list[float]]:
    """wrk beside what is done in the block; afterwards the list has its requests a second, nearly all of them refused."""
    rates: list[float] = []
    command = ["wrk", "-t1", f"-c{connections}", f"-d{FLOOD_SECONDS}s", "--timeout", "10s", url]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    time.sleep(1.0)
    try:
        yield rates
        assert process.poll() is None, "the flood ended before the measurement"
        process.send_signal(signal.SIGINT)  # it then tells what it has done
        text, _ = process.communicate(timeout=20)
        found = RATE.search(text)
        assert found is not None, text
        rates.append(float(found[1]))
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def latencies(client: Client, log: Path) -> list[float]:
    """Milliseconds from the call of ``emit`` to the handler's first line, one event after another."""
    before = len(log.read_text().splitlines()) if log.exists() else 0
    for _ in range(EVENTS):
        client.emit("first_line", time.monotonic_ns())
        threading.Event().wait(PAUSE)
    end = time.monotonic() + 30
    while len(lines := log.read_text().splitlines()) < before + EVENTS and time.monotonic() < end:
        time.sleep(0.02)
    return [(int(handled) - int(sent)) / 1e6 for sent, handled in map(str.split, lines[before:])]


def figures() -> list[Figure]:
    if shutil.which("wrk") is None:
        print("skipped: the load generator wrk is not installed (Debian: apt-get install wrk)")
        return []
    found: list[Figure] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with daemon(folder, f"HERE = {name!r}\n" + CODE) as process:
            process.start("--gateway-port", "0")
            client = Client(state=process.state)
            latencies(client, folder / "log")
            idle = latencies(client, folder / "log")
            for connections in FLOODS:
                with flood(f"{process.facts['gateway']}/shut", connections) as rates:
                    beside = latencies(client, folder / "log")
                what = f"events beside a flood of {connections} refused clients"
                found += [
                    Figure(f"{what}, p50", "ms", percentile(beside, 50), peer=percentile(idle, 50), peer_name="without the flood"),
                    Figure(f"{what}, p99", "ms", percentile(beside, 99), peer=percentile(idle, 99), peer_name="without the flood"),
                    Figure("refusals meanwhile", "requests/s", rates[0]),
                ]
            process.stop()
    return found
