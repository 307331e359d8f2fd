"""A machine that is short of memory: no environments are added, events wait and are told of, and go on when there is room."""

import logging
from pathlib import Path

import pytest

from eventflow.runtime import pool
from eventflow.runtime.limits import MEGABYTE
from tests.process.spine import Spine, with_spine

CODE = """
@app.function(retries=0)
def work(event, context):
    return "done"
"""


def test_events_wait_for_memory_and_run_when_there_is_some(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    available = 100 * MEGABYTE
    monkeypatch.setattr(pool, "available_memory", lambda: available)

    async def work(spine: Spine) -> None:
        nonlocal available
        ids = [await spine.emit("work") for _number in range(5)]
        end = spine.clock.monotonic() + 1.0
        await spine.until(lambda: spine.clock.monotonic() > end)
        assert [(await spine.event(id))["state"] for id in ids] == ["ready"] * 5
        assert spine.environments("work") == []
        available = 4_000 * MEGABYTE
        await spine.settled()
        assert [(await spine.event(id))["state"] for id in ids] == ["done"] * 5

    with caplog.at_level(logging.WARNING, "eventflow.runtime"):
        with_spine(tmp_path, CODE, work)
    assert [record.message for record in caplog.records if "memory are available" in record.message] == [
        "less than 256 MB of memory are available: events wait, and no environments are added until there is more"
    ]
