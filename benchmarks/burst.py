"""A burst: 200 events that sleep 50 ms each, all at once, from zero environments, until the last is done."""

import asyncio
import tempfile
import time
from pathlib import Path

from benchmarks.measure import Figure, median_of
from tests.process.spine import Spine, with_spine

SLEEPERS = 200
SLEEP_SECONDS = 0.05
CODE = """
import os, time
log = os.open(HERE + "/log", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
@app.function()
def sleeper(event, context):
    time.sleep(0.05)
    os.write(log, b"%d\\n" % time.monotonic_ns())
"""


def ours() -> float:
    """Seconds from the first emit to the last handler's end."""
    seconds = 0.0

    async def work(spine: Spine) -> None:
        nonlocal seconds
        begin = time.monotonic()
        await spine.dispatcher.emit_many("sleeper", [b"{}"] * SLEEPERS)
        await asyncio.wait_for(spine.dispatcher.quiesce(), 60)
        lines = (spine.folder / "log").read_text().splitlines()
        assert len(lines) == SLEEPERS
        seconds = max(map(int, lines)) / 1e9 - begin

    with tempfile.TemporaryDirectory() as folder:
        with_spine(Path(folder), f"HERE = {folder!r}\n" + CODE, work)
    return seconds


def figures() -> list[Figure]:
    return [Figure("200 sleepers of 50 ms from no environment, all done", "s", median_of(ours), None, "", SLEEP_SECONDS, "all at once")]
