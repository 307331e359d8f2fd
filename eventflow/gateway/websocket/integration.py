"""Runs a route's function, and reads what it returned."""

from __future__ import annotations

import asyncio
import json
import logging

from eventflow.dispatch.dispatcher import RecursionStopped, UnknownFunction
from eventflow.errors import StorageError, Throttled
from eventflow.gateway.answers import Malformed, answer_1
from eventflow.gateway.apis import Route
from eventflow.gateway.functions import Invoke
from eventflow.gateway.refusals import REST
from eventflow.gateway.seams import Answer, Refusal
from eventflow.outcome import Status

log = logging.getLogger("eventflow.gateway")


async def run(invoke: Invoke, route: Route, event: bytes, trace: str | None = None) -> Answer | Refusal:
    """A Refusal where the function failed, was late, or returned what is no response of a proxy integration: an object with a ``statusCode``."""
    function = route.function
    assert function is not None
    try:
        async with asyncio.timeout(route.timeout):
            outcome = await invoke(function, event, trace=trace)
    except TimeoutError:
        log.warning("%s: %s has not answered after %g s", route.key, function, route.timeout)
        return Refusal("INTEGRATION_TIMEOUT")
    except Throttled:
        return Refusal("INTEGRATION_THROTTLED")
    except (StorageError, UnknownFunction, RecursionStopped) as error:
        log.warning("%s: %s was not run: %s", route.key, function, error)
        return Refusal("INTEGRATION_FAILURE")
    if outcome.status is not Status.SUCCESS:
        return Refusal("INTEGRATION_FAILURE")
    try:
        return answer_1(outcome.payload)
    except Malformed as error:
        log.warning("%s: the response of %s is malformed: %s", route.key, function, error)
        return Refusal("INTEGRATION_FAILURE")


def wording(refusal: Refusal) -> str:
    return refusal.message or REST[refusal.kind].message or "Internal server error"


def complaint(message: str, connection: str, request_id: str) -> bytes:
    """What a client gets as a message when one of its own went wrong, and as a body when its handshake did."""
    return json.dumps({"message": message, "connectionId": connection, "requestId": request_id}, separators=(",", ":")).encode()
