"""A long backlog: start-up, memory and throughput of a daemon whose journal holds 1,000,000 pending events. Runs only when it is named.

``EVENTS=100000 python -m benchmarks backlog`` takes fewer.
"""

import os
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from benchmarks.measure import Figure
from benchmarks.throughput import CODE, PAYLOAD
from tests.process.daemon_process import DaemonProcess, daemon

PENDING = int(os.environ.get("EVENTS", "1000000"))
MEASURED = 20_000
MEGABYTE = 1024 * 1024


def rows(many: int) -> Iterator[tuple[str, str, bytes, str, float]]:
    now = time.time()
    for number in range(many):
        yield f"00000000-0000-7000-8000-{number:012x}", "noop", PAYLOAD, "benchmark", now


def fill(database: Path, many: int) -> None:
    """Write pending events of ``noop`` as the journal would have, without waiting for each."""
    connection = sqlite3.connect(database, isolation_level=None)
    connection.execute("PRAGMA synchronous = OFF")
    connection.execute("BEGIN")
    connection.executemany("INSERT INTO events (id, function, payload, source, accepted_at) VALUES (?, ?, ?, ?, ?)", rows(many))
    connection.execute("COMMIT")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


def done(process: DaemonProcess) -> int:
    connection = sqlite3.connect(f"file:{process.state / 'eventflow.db'}?mode=ro", uri=True)
    try:
        return int(connection.execute("SELECT coalesce(max(sequence), 0) FROM attempts").fetchone()[0])
    finally:
        connection.close()


def measure(many: int) -> tuple[float, float, float]:
    """Seconds until the daemon is ready, events a second from then on, and the most megabytes that the daemon's process had."""
    with tempfile.TemporaryDirectory() as folder, daemon(Path(folder), CODE) as process:
        process.start()
        assert process.stop() == 0
        fill(process.state / "eventflow.db", many)
        begin = time.monotonic()
        process.start()
        ready = time.monotonic() - begin
        assert process.process is not None
        itself = psutil.Process(process.process.pid)
        first, begin, most = done(process), time.monotonic(), 0
        wanted = min(MEASURED, many - first)
        while done(process) < first + wanted:
            most = max(most, itself.memory_info().rss)
            time.sleep(0.05)
        seconds = time.monotonic() - begin
        process.kill()
    return ready, wanted / seconds, most / MEGABYTE


def figures() -> list[Figure]:
    ready, rate, most = measure(PENDING)
    plain_ready, plain_rate, plain_most = measure(2 * MEASURED)
    few = f"{2 * MEASURED:,} pending"
    what = f"{PENDING:,} pending events"
    return [
        Figure(f"start-up with {what}", "s", ready, None, "", plain_ready, few),
        Figure(f"throughput with {what}", "events/s", rate, None, "", plain_rate, few),
        Figure(f"daemon's memory with {what}", "MB", most, None, "", plain_most, few),
    ]
