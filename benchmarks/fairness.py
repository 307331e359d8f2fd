"""What one function's trouble costs another: latency from emit to first line, alone and beside one that fails, hangs, floods or has a backlog."""

import asyncio
import logging
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from benchmarks.backlog import fill
from benchmarks.measure import Figure, percentile
from tests.process.spine import Spine, with_spine

EVENTS = 150
GAP_SECONDS = 0.02
FAILURES = 100_000
LONG_BACKLOG = 200_000
CODE = """
import os, time
log = os.open(HERE + "/log", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
@app.function()
def b(event, context):
    os.write(log, b"%d %d\\n" % (event, time.monotonic_ns()))
@app.function(retries=0)
def fails(event, context):
    raise ValueError("always")
@app.function(timeout=1, retries=0, reserved_concurrency=50)
def hangs(event, context):
    time.sleep(60)
@app.function(timeout=60)
def floods(event, context):
    line = b"x" * 199 + b"\\n"
    end = time.monotonic() + 20
    while time.monotonic() < end:
        os.write(1, line * 5000)
        time.sleep(0.02)
@app.function()
def noop(event, context):
    return None
"""


async def measured(spine: Spine) -> list[float]:
    """Milliseconds of each of B's events, at a rate that leaves the machine idle."""
    log = spine.folder / "log"
    log.write_text("")
    for _ in range(EVENTS):
        await spine.emit("b", str(time.monotonic_ns()).encode())
        await asyncio.sleep(GAP_SECONDS)
    await spine.until(lambda: len(log.read_text().splitlines()) >= EVENTS, 120)
    lines = [line.split() for line in log.read_text().splitlines()]
    return [(int(handled) - int(sent)) / 1e6 for sent, handled in lines]


async def alone(spine: Spine) -> list[float]:
    return await measured(spine)


async def beside_failures(spine: Spine) -> list[float]:
    """A fails as fast as it can be run."""
    for _ in range(FAILURES // 1000):
        await spine.dispatcher.emit_many("fails", [b"1"] * 1000)
    return await measured(spine)


async def beside_hangs(spine: Spine) -> list[float]:
    """A occupies all the environments it can get until its time limit, again and again."""
    await spine.dispatcher.emit_many("hangs", [b"1"] * 2000)
    await asyncio.sleep(1.0)
    return await measured(spine)


async def beside_a_flood(spine: Spine) -> list[float]:
    """A writes 50 MB of lines a second."""
    await spine.emit("floods")
    await asyncio.sleep(1.0)
    return await measured(spine)


async def beside_a_backlog(spine: Spine) -> list[float]:
    """A has quick events enough for the whole measurement, written before it began."""
    await spine.dispatcher.start(spine.dispatcher.functions())
    times = await measured(spine)
    assert not spine.dispatcher.idle, "the backlog was gone before the end"
    return times


def run(work: Callable[[Spine], Awaitable[list[float]]]) -> list[float]:
    found: list[float] = []
    logging.getLogger("eventflow.dispatch").setLevel(logging.ERROR)  # a line for each dead event would be read by nobody here

    async def main(spine: Spine) -> None:
        if work is beside_a_backlog:
            fill(spine.folder / "spine.db", LONG_BACKLOG)
        await spine.emit("b", b"0")
        await spine.settled()
        found.extend(await work(spine))

    with tempfile.TemporaryDirectory() as folder:
        with_spine(Path(folder), f"HERE = {folder!r}\n" + CODE, main)
    return found


CASES = {
    "alone": alone,
    "beside one that always fails": beside_failures,
    "beside one that hangs": beside_hangs,
    "beside one that floods its log": beside_a_flood,
    "beside a backlog of 200,000": beside_a_backlog,
}


def figures() -> list[Figure]:
    found = []
    limits: dict[int, float] = {}
    for name, case in CASES.items():
        times = run(case)
        for percent in (50, 99):
            milliseconds = percentile(times, percent)
            limits.setdefault(percent, milliseconds)
            found.append(Figure(f"latency {name}, p{percent}", "ms", milliseconds, None, "", limits[percent], "the same function alone"))
    return found
