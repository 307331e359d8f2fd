"""Environments that are there before anybody asks, and stay: provisioned concurrency with real processes."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from eventflow.outcome import Outcome, Status
from tests.process.spine import Spine, with_spine

CODE = """
import os
if os.path.exists(HERE + "/broken"):
    raise RuntimeError("at import")

@app.function()
def f(event, context):
    return [os.getpid(), os.environ["AWS_LAMBDA_INITIALIZATION_TYPE"]]
"""


def provision(spine: Spine, count: int) -> None:
    function = replace(spine.dispatcher.functions()["f"], provisioned_concurrency=count)
    spine.dispatcher._lanes["f"].function = function
    spine.pool.put(function, spine.nursery)


def said(outcome: Outcome) -> list[object]:
    assert outcome.status is Status.SUCCESS, outcome
    return list(json.loads(outcome.payload))


def test_as_many_as_asked_for_are_warm_before_the_first_invocation_and_stay(tmp_path: Path) -> None:
    async def work(spine: Spine) -> None:
        provision(spine, 6)
        await spine.until(lambda: spine.pool.warm("f") == (6, False))
        environments = spine.environments("f")
        await spine.until(lambda: all(one.pid for one in environments))
        pid, kind = said(await spine.invoke("f"))
        assert (pid in [one.pid for one in environments], kind) == (True, "provisioned-concurrency")
        assert "Init Duration" not in spine.log_text("f")

        os.kill(environments[0].pid, signal.SIGKILL)
        await spine.until(lambda: environments[0] not in spine.environments("f"))
        await spine.until(lambda: spine.pool.warm("f") == (6, False))

        spine.pool._idle_seconds = 0.0
        spine.pool._reap()
        provision(spine, 1)
        await spine.until(lambda: spine.pool.warm("f") == (1, False) and len(spine.environments("f")) == 1)
        assert said(await spine.invoke("f"))[1] == "provisioned-concurrency"

    with_spine(tmp_path, CODE, work)


def test_idle_ones_beyond_what_is_provisioned_end(tmp_path: Path) -> None:
    async def work(spine: Spine) -> None:
        provision(spine, 2)
        await spine.until(lambda: spine.pool.warm("f") == (2, False))
        kept = spine.environments("f")
        spine.pool._start(spine.pool._crews["f"])
        await spine.until(lambda: spine.pool.warm("f") == (3, False))
        spine.pool._idle_seconds = 0.0
        spine.pool._reap()
        await spine.until(lambda: spine.pool.warm("f") == (2, False))
        assert len(set(spine.environments("f")) & set(kept)) >= 1

    with_spine(tmp_path, CODE, work)


@pytest.mark.slow
def test_an_init_that_fails_is_tried_again_more_slowly_and_told(tmp_path: Path) -> None:
    async def work(spine: Spine) -> None:
        (tmp_path / "broken").touch()
        provision(spine, 3)
        await spine.until(lambda: spine.pool._crews["f"].warming is not None)
        assert spine.pool.warm("f") == (0, True)
        await spine.until(lambda: not spine.environments("f"))
        (tmp_path / "broken").unlink()
        await spine.until(lambda: spine.pool.warm("f") == (3, False))

    with_spine(tmp_path, CODE, work)
