"""Answers that leave in pieces, for as long as somebody reads them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator

from eventflow.gateway.seams import Receive, Send

log = logging.getLogger("eventflow.gateway")


async def streamed(stream: AsyncIterator[bytes], receive: Receive, send: Send, *, silent: bool = False) -> None:
    """Send the pieces of a body for as long as somebody reads them. What breaks off takes the connection with it: the client sees no end. A
    ``silent`` answer has no body, whatever the function yields."""
    gone = asyncio.ensure_future(departure(receive))
    closer = getattr(stream, "aclose", None)
    task, over, left = asyncio.current_task(), False, False
    assert task is not None

    def leave(_gone: object) -> None:
        nonlocal left
        if not over:
            left = True
            task.cancel()  # whoever makes the pieces may be silent for long, and would be waited for

    gone.add_done_callback(leave)
    try:
        async for piece in stream:
            if gone.done():
                return
            if piece and not silent:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
                await asyncio.sleep(0)  # neither a ready piece nor a send into a connection that is gone ever waits
        await send({"type": "http.response.body", "body": b""})
    except asyncio.CancelledError:
        if not left or task.uncancel():
            raise
    except Exception as error:
        # The head is gone already: what is not completed, the server closes.
        log.warning("an answer broke off: %s", error or type(error).__name__)
    finally:
        over = True
        gone.cancel()
        if closer is not None:
            await closer()


async def departure(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
