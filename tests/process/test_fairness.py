"""A function in trouble does not hold up another: B's events go through while A fails, hangs, floods its log or has a long backlog."""

import asyncio
import os
import time
from pathlib import Path

import pytest

from eventflow.runtime.growth import STARTS
from tests.patience import PATIENCE
from tests.process.spine import Spine, with_spine

CODE = """
import os, time
# What must be noticed is B waiting for A, which takes ten minutes.
@app.function(timeout=60)
def b(event, context):
    return event
@app.function(retries=0)
def fails(event, context):
    raise ValueError("always")
@app.function(timeout=900, retries=0, reserved_concurrency=6)
def hangs(event, context):
    time.sleep(600)
@app.function(timeout=900)
def floods(event, context):
    line = b"x" * 199 + b"\\n"
    while True:
        os.write(1, line * 5000)
        time.sleep(0.02)
@app.function()
def noop(event, context):
    return None
"""


async def goes_through(spine: Spine) -> None:
    """One event of B after the other, and an invocation in between."""
    for number in range(10):
        begin = time.monotonic()
        id = await asyncio.wait_for(spine.emit("b", b"1"), PATIENCE)
        while (await spine.event(id))["state"] != "done":
            assert time.monotonic() - begin < PATIENCE, f"event {number} of b waits"
            await asyncio.sleep(0.005)
        assert (await asyncio.wait_for(spine.dispatcher.invoke("b", b"2"), PATIENCE)).payload == b"2"


@pytest.mark.parametrize(
    ("trouble", "many"),
    [pytest.param("fails", 20_000, marks=pytest.mark.slow), ("hangs", 100), ("floods", 1), pytest.param("noop", 50_000, marks=pytest.mark.slow)],
)
def test_another_function_s_trouble_is_its_own(tmp_path: Path, trouble: str, many: int) -> None:
    async def work(spine: Spine) -> None:
        for start in range(0, many, 1000):
            await spine.dispatcher.emit_many(trouble, [b"1"] * min(1000, many - start))
        await spine.until(lambda: spine.dispatcher.counts()[trouble][1] > 0)
        await goes_through(spine)
        ready, running = spine.dispatcher.counts()[trouble]
        assert running or ready or trouble in ("fails", "noop"), "the trouble was over before b was done: this measured nothing"

    with_spine(tmp_path, CODE, work)


SLOW_START = """
import time
@app.function()
def b(event, context):
    return event
end = time.thread_time() + 0.03
while time.thread_time() < end:
    pass
"""


def test_many_callers_at_once_do_not_make_every_init_late(tmp_path: Path) -> None:
    """As many environments at once as there are callers would each get so small a share of the processors that none is there in time."""

    async def work(spine: Spine) -> None:
        callers = [asyncio.create_task(spine.dispatcher.invoke("b", b"1")) for _ in range(60)]
        most = 0
        while not all(caller.done() for caller in callers):
            most = max(most, spine.pool.counts().get("b", {}).get("starting", 0))
            await asyncio.sleep(0.002)
        assert all(caller.result().ok for caller in callers)
        assert 1 < most <= STARTS * (os.cpu_count() or 1)

    with_spine(tmp_path, SLOW_START, work)


@pytest.mark.slow
def test_a_flood_of_lines_is_kept_within_bounds(tmp_path: Path) -> None:
    async def work(spine: Spine) -> None:
        await spine.emit("floods")
        await spine.until(lambda: (spine.folder / "logs" / "floods.log.1").exists())
        await goes_through(spine)
        assert len(list((spine.folder / "logs").glob("floods.log*"))) <= 5

    with_spine(tmp_path, CODE, work)
