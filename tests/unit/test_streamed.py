"""Responses in pieces: what a handler yields, and the queue between its process and the client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from eventflow import App, SettingError
from eventflow.dispatch.invocation import ResponseStream
from eventflow.runtime.streamed import DELIMITER, drawn
from triggers import Http, Rest


def sent(generator: Any) -> list[bytes]:
    found: list[bytes] = []
    with asyncio.Runner() as runner:
        assert drawn(generator, runner.get_loop, found.append) is None
    return found


def joined(generator: Any) -> Any:
    with asyncio.Runner() as runner:
        return drawn(generator, runner.get_loop, None)


def yielding(*items: Any) -> Iterator[Any]:
    yield from items


async def later(*items: Any) -> AsyncIterator[Any]:
    for item in items:
        await asyncio.sleep(0)
        yield item


def test_metadata_come_first() -> None:
    assert sent(yielding({"statusCode": 201}, "a", b"b")) == [b'{"statusCode": 201}' + DELIMITER, b"a", b"b"]
    assert sent(later("a")) == [b"{}" + DELIMITER, b"a"]
    assert sent(yielding()) == [b"{}" + DELIMITER]
    assert sent(yielding({"a": "\0"}))[0].count(0) == 8, "nothing in the metadata looks like their end"


def test_large_items_are_cut() -> None:
    assert [len(piece) for piece in sent(yielding(b"x" * 600_000))[1:]] == [262_144, 262_144, 75_712]


def test_joined_they_are_what_would_have_been_returned() -> None:
    assert joined(yielding("a", "b")) == "ab"
    assert joined(later({"statusCode": 404}, "a")) == {"statusCode": 404, "body": "a", "isBase64Encoded": False}
    assert joined(yielding(b"\xff")) == {"statusCode": 200, "body": "/w==", "isBase64Encoded": True}


@pytest.mark.parametrize("item", [7, None, ["a"], {"second": "dict"}])
def test_only_texts_and_bytes_are_pieces(item: Any) -> None:
    with pytest.raises(TypeError, match="made of str and bytes"):
        sent(yielding("a", item))


def test_a_full_stream_says_so_and_tells_when_there_is_room() -> None:
    async def scenario() -> None:
        stream = ResponseStream(most=10)
        room: list[str] = []
        assert stream.put(b"12345")
        assert not stream.put(b"67890")
        stream.on_room = lambda: room.append("room")
        assert await stream.next() == b"12345"
        assert room == []
        assert await stream.next() == b"67890"
        assert room == ["room"]
        reading = asyncio.create_task(stream.next())
        await asyncio.sleep(0)
        stream.end()
        assert await reading is None

    asyncio.run(scenario())


def test_what_nobody_reads_takes_no_room() -> None:
    stream = ResponseStream(most=10)
    assert not stream.put(b"1234567890")
    room: list[str] = []
    stream.on_room = lambda: room.append("room")
    stream.close()
    assert room == ["room"]
    assert stream.put(b"1234567890")


def handler(event: Any, context: Any) -> Iterator[str]:
    yield "a"


def test_a_handler_that_yields_where_nobody_takes_pieces_is_refused() -> None:
    app = App("a")
    app.on(Http("GET /"))(handler)
    with pytest.raises(SettingError, match=r"'handler' .* yields; a handler returns one value, but for streamed responses"):
        app.manifest()
    for declare in (lambda app: app.on(Rest("GET /", stream=True)), lambda app: app.function(url={"invoke_mode": "RESPONSE_STREAM"})):
        app = App("a")
        declare(app)(handler)  # type: ignore[no-untyped-call]
        app.manifest()
