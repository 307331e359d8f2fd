"""Replies on their way out: headers that every reply has, bodies in one piece or streamed for as long as somebody reads them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from typing import Any

from eventflow.aws.body import Receive
from eventflow.aws.reply import Reply

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
BODILESS = frozenset((204, 304))
#: A streamed body of up to so many bytes is gathered and sent with its head, like any other small answer.
SMALL = 64 * 1024


async def gather(reply: Reply) -> None:
    """Make one piece of a streamed body, if its head says that it is small. What goes wrong with it can still be told then."""
    body, length = reply.body, reply.headers.get("content-length", "")
    if isinstance(body, bytes) or not (length.isascii() and length.isdigit() and len(length) <= 6 and int(length) <= SMALL):
        return
    try:
        reply.body = b"".join([piece async for piece in body])
    finally:
        await close(body)
    if len(reply.body) != int(length):
        raise EOFError(f"A body of {length} bytes had {len(reply.body)}.")


async def deliver(reply: Reply, head_only: bool, receive: Receive, send: Send) -> None:
    """Send a reply. Of the request's body ``receive`` must have nothing left."""
    body = reply.body
    if isinstance(body, bytes):
        await deliver_bytes(reply, b"" if head_only else body, head_only, send)
        return
    try:
        await send_start(reply, send)
        if head_only:
            await send({"type": "http.response.body", "body": b""})
        else:
            await stream(body, receive, send)
    finally:
        await close(body)


async def deliver_bytes(reply: Reply, body: bytes, head_only: bool, send: Send) -> None:
    if reply.status in BODILESS:
        body = b""
        reply.headers.pop("content-type", None)
    elif not head_only:
        reply.headers["content-length"] = str(len(body))
    await send_start(reply, send)
    await send({"type": "http.response.body", "body": body})


async def send_start(reply: Reply, send: Send) -> None:
    headers = [(name.lower().encode("latin-1"), wire_value(value)) for name, value in reply.headers.items()]
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})


def wire_value(value: str) -> bytes:
    """A header's value: latin-1 gives back what a client sent us, UTF-8 serves for everything else."""
    if "\n" in value or "\r" in value or "\0" in value:
        raise ValueError(f"A header cannot hold a line break: {value!r}")
    try:
        return value.encode("latin-1")
    except UnicodeEncodeError:
        return value.encode("utf-8")


async def stream(body: AsyncIterator[bytes], receive: Receive, send: Send) -> None:
    gone = asyncio.ensure_future(departure(receive))
    try:
        async for piece in body:
            if gone.done():
                return
            if piece:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
                # Neither a ready body nor a send into a connection that is gone ever waits: others, and the news of its going, get their turn here.
                await asyncio.sleep(0)
        await send({"type": "http.response.body", "body": b""})
    finally:
        gone.cancel()


async def departure(receive: Receive) -> None:
    """Return when the client goes away. A request without a body, which nobody had to read, still has its empty message waiting here."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def close(body: AsyncIterator[bytes]) -> None:
    closer = getattr(body, "aclose", None)
    if closer is not None:
        await closer()
