"""One client process: 20,000 durable events of 300 bytes in bulk, and some one by one, emitted to handled by a daemon on the same machine."""

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks import throughput
from benchmarks.measure import RUNS, Figure, median_of
from eventflow.client import MOST_EVENTS
from eventflow.connection import Address, Connection
from tests.process.daemon_process import DaemonProcess, daemon

EVENTS = throughput.EVENTS
ONE_BY_ONE = 2_000
PAYLOAD = throughput.PAYLOAD
WARM_UP = 200
LOOK_EVERY = 0.01
#: The client's own process: when it began and when all was acknowledged, by the machine's clock.
EMIT = """
import sys, time
from eventflow.client import Client
payload, count, bulk = sys.argv[2].encode(), int(sys.argv[3]), sys.argv[4] == "bulk"
with Client(state=sys.argv[1]) as client:
    client.invoke("noop", {})
    begin = time.monotonic()
    if bulk:
        client.emit_many("noop", [payload] * count)
    else:
        for _ in range(count):
            client.emit("noop", payload)
    print(begin, time.monotonic())
"""


def emitted_and_handled(process: DaemonProcess, count: int, how: str) -> tuple[float, float]:
    """Events per second until all were acknowledged, and until all were handled."""
    expected = done(process) + count
    command = [sys.executable, "-c", EMIT, str(process.state), PAYLOAD.decode(), str(count), how]
    begin, acknowledged = map(float, subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())
    while True:
        end = time.monotonic()
        if at_rest(process) and done(process) == expected:
            return count / (acknowledged - begin), count / (end - begin)
        time.sleep(LOOK_EVERY)


def at_rest(process: DaemonProcess) -> bool:
    """Whether nothing is ready or runs, as far as memory tells: to count what is on disk at every look would slow down what is measured."""
    return all(not one["ready"] and not one["running"] for one in process.control("functions")["functions"])


def done(process: DaemonProcess) -> int:
    return int(process.control("status")["events"].get("noop", {}).get("done", 0))


def ours() -> tuple[float, float, float, float]:
    """Events per second in bulk, acknowledged and handled, and one by one."""
    with tempfile.TemporaryDirectory() as folder, daemon(Path(folder), throughput.CODE) as process:
        process.start()
        emitted_and_handled(process, WARM_UP, "bulk")
        many = [emitted_and_handled(process, EVENTS, "bulk") for _ in range(RUNS)]
        single = [emitted_and_handled(process, ONE_BY_ONE, "one by one") for _ in range(RUNS)]
        process.stop()
    bulk, bulk_handled = map(statistics.median, zip(*many, strict=True))
    one, one_handled = map(statistics.median, zip(*single, strict=True))
    return bulk, bulk_handled, one, one_handled


@contextmanager
def echo() -> Iterator[Connection]:
    """A connection to a bare echo on the daemon's HTTP server, in a process of its own."""
    process = subprocess.Popen([sys.executable, "-m", "benchmarks.echo"], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    connection = Connection(Address(process.stdout.readline().strip(), "token"))
    try:
        yield connection
    finally:
        connection.close()
        process.terminate()
        process.wait(10)
        process.stdout.close()


def echoed(connection: Connection, body: bytes, times: int) -> float:
    """Requests per second."""
    begin = time.perf_counter()
    for _ in range(times):
        connection.ask("POST", "echo", body)
    return times / (time.perf_counter() - begin)


def figures() -> list[Figure]:
    bulk, bulk_handled, one, one_handled = ours()
    rows = median_of(throughput.sqlite_groups)
    with echo() as connection:
        large = b"[" + b",".join([PAYLOAD] * MOST_EVENTS) + b"]"
        requests = median_of(lambda: echoed(connection, large, 50))
        small = median_of(lambda: echoed(connection, PAYLOAD, 2_000))
    return [
        Figure("client in bulk, emit to handled", "events/s", bulk_handled, limit=rows, limit_name="SQLite rows in groups of 500"),
        Figure("client in bulk, emit to acknowledged", "events/s", bulk, limit=requests * MOST_EVENTS, limit_name="the same bytes echoed over HTTP"),
        Figure("client one by one, emit to handled", "events/s", one_handled, limit=small, limit_name="one client of a bare echo"),
        Figure("client one by one, emit to acknowledged", "events/s", one, limit=small, limit_name="one client of a bare echo"),
    ]
