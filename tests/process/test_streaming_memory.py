"""How much of a streamed response is in the daemon's memory while its reader takes none of it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from eventflow.dispatch.invocation import ResponseStream
from eventflow.runtime.environment import RECEIVE
from tests.process.spine import Spine, with_spine

PIECE = 100_000
CODE = f"""
@app.function(timeout=100, url={{"invoke_mode": "RESPONSE_STREAM"}})
def large(event, context):
    print("begun")
    for number in range(200):
        yield b"x" * {PIECE}
"""


class Counting(ResponseStream):
    arrived = 0

    def put(self, piece: bytes) -> bool:
        self.arrived += len(piece)
        return super().put(piece)


def test_nothing_is_read_from_a_function_whose_reader_has_no_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eventflow.runtime.watch.LOOK_SECONDS", 0.001)
    most = 3 * PIECE

    async def work(spine: Spine) -> None:
        stream = Counting(most)
        running = asyncio.ensure_future(spine.dispatcher.invoke("large", b"{}", stream=stream))
        running.add_done_callback(lambda _done: stream.end())
        await spine.until(lambda: stream.on_room)
        await asyncio.sleep(0.3)  # hundreds of looks
        assert stream.arrived <= most + RECEIVE + PIECE
        assert "begun" in spine.log_text("large"), "its output is taken all the same"
        received = 0
        while (piece := await asyncio.wait_for(stream.next(), 60)) is not None:
            received += piece.count(b"x")
        assert received == 200 * PIECE

    with_spine(tmp_path, CODE, work)
