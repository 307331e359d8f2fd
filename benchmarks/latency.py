"""Idle latency: one durable event at a time, from emit to the handler's first line; and a synchronous invocation in process."""

import asyncio
import socket
import statistics
import tempfile
import threading
import time
from pathlib import Path

from benchmarks import peers
from benchmarks.measure import Figure, Value, percentile
from tests.process.spine import Spine, with_spine

EVENTS = 500
CODE = """
import os, time
log = os.open(HERE + "/log", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
@app.function()
def first_line(event, context):
    os.write(log, b"%d %d\\n" % (event, time.monotonic_ns()))
@app.function()
def noop(event, context):
    return None
"""


def ours() -> tuple[list[float], list[float]]:
    """Milliseconds to the first line of an event, and of a whole synchronous invocation."""
    emitted: list[float] = []
    invoked: list[float] = []

    async def work(spine: Spine) -> None:
        for _ in range(EVENTS):
            await spine.emit("first_line", str(time.monotonic_ns()).encode())
            await spine.settled()
            await asyncio.sleep(0.002)
        lines = [line.split() for line in (spine.folder / "log").read_text().splitlines()]
        emitted.extend((int(handled) - int(sent)) / 1e6 for sent, handled in lines[1:])
        for _ in range(EVENTS):
            begin = time.perf_counter()
            await spine.invoke("noop")
            invoked.append((time.perf_counter() - begin) * 1000)

    with tempfile.TemporaryDirectory() as folder:
        with_spine(Path(folder), f"HERE = {folder!r}\n" + CODE, work)
    return emitted, invoked[1:]


def socket_round_trip() -> float:
    """Milliseconds of one byte there and back over a socket pair between two threads that block."""
    ours, theirs = socket.socketpair()

    def echo() -> None:
        while data := theirs.recv(1):
            theirs.sendall(data)

    thread = threading.Thread(target=echo)
    thread.start()
    times = []
    for _ in range(2000):
        begin = time.perf_counter()
        ours.sendall(b"x")
        ours.recv(1)
        times.append((time.perf_counter() - begin) * 1000)
    ours.close()
    thread.join()
    theirs.close()
    return statistics.median(times)


def figures() -> list[Figure]:
    emitted, invoked = ours()
    others = peers.latencies()
    trip = socket_round_trip()
    return [
        Figure(
            "idle latency, emit to first line, durable, p50",
            "ms",
            percentile(emitted, 50),
            limit=trip,
            limit_name="socket round trip",
            peers=tuple(Value(name, percentile(times, 50)) for name, times in others),
        ),
        Figure(
            "idle latency, emit to first line, durable, p99",
            "ms",
            percentile(emitted, 99),
            peers=tuple(Value(name, percentile(times, 99)) for name, times in others),
        ),
        Figure("synchronous invoke in process, p50", "ms", percentile(invoked, 50), None, "", trip, "socket round trip"),
    ]
