"""Streamed responses: what a function yields goes to the client as it comes, after metadata that say status, headers and cookies."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Mapping
from typing import TYPE_CHECKING, Any

from eventflow.dispatch.invocation import ResponseStream
from eventflow.gateway.answers import Malformed, fields, status_of
from eventflow.gateway.functions import FunctionIntegration
from eventflow.gateway.seams import Answer, Refusal
from eventflow.outcome import Outcome, Status
from eventflow.runtime.streamed import DELIMITER

if TYPE_CHECKING:
    from eventflow.gateway.apis import Route
    from eventflow.gateway.request import Request

log = logging.getLogger("eventflow.gateway")

#: Metadata are headers and cookies: more than this is none.
LARGEST_METADATA = 128 * 1024
BINARY = (b"content-type", b"application/octet-stream")


class BrokenOff(Exception):
    """The function failed in the middle of its response."""


class StreamingIntegration(FunctionIntegration):
    """Runs one function for a route and streams what it yields. One that returns is answered as usual."""

    async def run(self, request: Request, route: Route, event: bytes) -> Answer | Refusal:
        stream = ResponseStream()
        running = asyncio.ensure_future(self._invoke(self.function, event, trace=request.trace, stream=stream))
        running.add_done_callback(lambda _running: stream.end())
        try:
            with self._deadlines(route).begin():
                head, rest = await head_of(stream)
        except BaseException:
            stream.close()
            running.cancel()
            raise
        if head is None:
            return self.answered(await running, request, route)
        try:
            status, headers = metadata(head)
        except Malformed as error:
            stream.close()
            log.warning("%s: the response of %s is malformed: %s", route.key, self.function, error)
            return Refusal("INTEGRATION_FAILURE")
        until = asyncio.get_running_loop().time() + route.timeout
        return Answer(status, headers, b"", pieces(stream, rest, running, until))


async def head_of(stream: ResponseStream) -> tuple[bytes | None, bytes]:
    """The metadata of a streamed response and what of the body came with them; None where the function ended without yielding."""
    received = b""
    while DELIMITER not in received and len(received) <= LARGEST_METADATA:
        piece = await stream.next()
        if piece is None:
            return None, b""
        received += piece
    head, _, rest = received.partition(DELIMITER)
    return head, rest


def metadata(head: bytes) -> tuple[int, list[tuple[bytes, bytes]]]:
    """Status and headers. Raises Malformed."""
    try:
        value: Mapping[str, Any] = json.loads(head)
    except ValueError as error:
        raise Malformed("its metadata are no JSON") from error
    headers = fields(value.get("headers"))
    several, cookies = value.get("multiValueHeaders") or {}, value.get("cookies") or []
    if not isinstance(several, dict) or not isinstance(cookies, list):
        raise Malformed("multiValueHeaders is an object of lists, and cookies a list")
    for name, values in (*several.items(), ("set-cookie", cookies)):
        for one in values:
            headers += fields({name: one})
    if not any(name == b"content-type" for name, _value in headers):
        headers.append(BINARY)
    return status_of(value.get("statusCode", 200)), headers


async def pieces(stream: ResponseStream, first: bytes, running: Awaitable[Outcome], until: float) -> AsyncIterator[bytes]:
    """The body. Raises BrokenOff where the function fails before its end, or is not there at that time of the event loop."""
    piece: bytes | None = first
    try:
        while piece is not None:
            yield piece
            async with asyncio.timeout_at(until):
                piece = await stream.next()
        outcome = await running
        if outcome.status is not Status.SUCCESS:
            raise BrokenOff(f"the function failed in the middle of its response: {outcome.error_message}")
    except TimeoutError as error:
        raise BrokenOff("the response takes longer than its route may") from error
    finally:
        stream.close()
