"""Lambda's Invoke: now, as an event, or only to see whether it could be."""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
from collections.abc import AsyncIterator, Awaitable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

from eventflow import payload as payloads
from eventflow.aws.lambda_.form import refuse_unknown
from eventflow.aws.operation import Call, operation
from eventflow.dispatch.dispatcher import LARGEST_EVENT, Dispatcher, RecursionStopped, UnknownFunction
from eventflow.dispatch.invocation import ResponseStream
from eventflow.errors import PayloadTooLarge, ServiceError, StorageError, Throttled
from eventflow.function import LATEST
from eventflow.outcome import Outcome, Status
from eventflow.runtime.streamed import DELIMITER
from eventflow.services.functions import Functions, Place
from eventflow.services.functions.names import invalid

#: AWS: 6 MB for a synchronous request, 3,583 bytes of client context (Lambda API reference, Invoke).
LARGEST_REQUEST = 6_291_456
LARGEST_CLIENT_CONTEXT = 3583
KINDS = ("Event", "RequestResponse", "DryRun")
STREAMED_KINDS = ("RequestResponse", "DryRun")
LOG_TYPES = ("None", "Tail")
INVOKE_PARAMETERS = {"FunctionName", "InvocationType", "LogType", "ClientContext", "Payload", "Qualifier"}


@dataclass(frozen=True, slots=True)
class Route:
    """Where an invocation goes: the dispatcher's key of the function, its version, the qualifier that was named, and the ARN with it ("" for
    none)."""

    key: str
    version: str
    qualifier: str | None
    arn: str


class Asked(NamedTuple):
    """What both ways of an invocation ask: its kind, whether the log's tail is wanted, what to run, and with what."""

    kind: str
    tail: bool
    route: Route
    payload: bytes
    context: str


#: How a stream begins whose function says nothing of status and headers.
NO_METADATA = b"{}" + DELIMITER


class InvokeOperations:
    functions: Functions
    dispatcher: Dispatcher
    place: Place

    @operation("Invoke", refuses=["TenantId", "DurableExecutionName"])
    async def invoke(self, call: Call, params: dict[str, Any]) -> Mapping[str, Any]:
        kind, tail, route, payload, context = self._asked(params, KINDS)
        if kind == "DryRun":
            return {"StatusCode": 204}
        if kind == "Event":  # as on AWS without the client context
            with self._refusals(route):
                await self.dispatcher.emit(route.key, payload or b"{}", trace=call.trace, source="lambda Invoke", qualifier=route.qualifier)
            return {"StatusCode": 202}
        with self._refusals(route):
            outcome = await self._run(call, context, route, payload)
        return answer(checked_outcome(outcome), route.version, tail)

    @operation("InvokeWithResponseStream", refuses=["TenantId"])
    async def invoke_with_response_stream(self, call: Call, params: dict[str, Any]) -> Mapping[str, Any]:
        kind, tail, route, payload, context = self._asked(params, STREAMED_KINDS)
        if kind == "DryRun":
            return {"StatusCode": 204, "EventStream": nothing()}
        stream = ResponseStream()
        running = asyncio.ensure_future(self._run(call, context, route, payload, stream))
        running.add_done_callback(lambda _running: stream.end())
        try:
            first = await stream.next()
            if first is None:
                with self._refusals(route):
                    checked_outcome(await running)
        except BaseException:
            stream.close()
            running.cancel()
            raise
        events = streamed(stream, first, running, tail)
        return {"StatusCode": 200, "ExecutedVersion": route.version, "EventStream": events}

    def _asked(self, params: dict[str, Any], kinds: Collection[str]) -> Asked:
        refuse_unknown(params, INVOKE_PARAMETERS)
        kind = one_of(params, "InvocationType", kinds, "RequestResponse")
        tail = one_of(params, "LogType", LOG_TYPES, "None") == "Tail"
        route = self._route(params)
        return Asked(kind, tail, route, checked_payload(params.get("Payload") or b"", kind), client_context(params.get("ClientContext")))

    async def _run(self, call: Call, context: str, route: Route, payload: bytes, stream: ResponseStream | None = None) -> Outcome:
        return await self.dispatcher.invoke(
            route.key, payload or b"{}", trace=call.trace, client_context=context, request_id=call.request_id, stream=stream, arn=route.arn
        )

    @contextmanager
    def _refusals(self, route: Route) -> Iterator[None]:
        """What keeps a function from being run, in Lambda's words."""
        try:
            yield
        except Throttled as error:
            raise ServiceError("TooManyRequestsException", "Rate Exceeded.", 429, Reason=error.reason, Type="User") from error
        except PayloadTooLarge as error:
            raise ServiceError("RequestTooLargeException", str(error), 413, Type="User") from error
        except RecursionStopped as error:
            raise ServiceError("RecursiveInvocationException", str(error), 400, Type="User") from error
        except UnknownFunction as error:  # it was deleted a moment ago
            raise self._no_function(route.key) from error
        except StorageError as error:
            raise ServiceError("ServiceException", str(error), 500, Type="Service") from error

    def _route(self, params: dict[str, Any]) -> Route:
        text: str = params["FunctionName"]
        plain = "Qualifier" not in params and ":" not in text
        # Of a plain name nothing has to be taken apart: it is known, or wrong.
        name, qualifier = (text, None) if plain and self.dispatcher.knows(text) else self.place.function(text, params.get("Qualifier"))
        arn = "" if qualifier is None else self.place.function_arn(name, qualifier)
        if self.functions.knows(name):
            return Route(*self.functions.route(name, qualifier), qualifier, arn)
        if qualifier not in (None, LATEST) or not self.dispatcher.knows(name):
            raise self._no_function(name if qualifier is None else f"{name}:{qualifier}")
        return Route(name, LATEST, qualifier, arn)

    def _no_function(self, key: str) -> ServiceError:
        return ServiceError("ResourceNotFoundException", f"Function not found: {self.place.function_arn(key)}", 404, Type="User")


def checked_outcome(outcome: Outcome) -> Outcome:
    if outcome.status is Status.SYSTEM_ERROR:
        raise ServiceError("ServiceException", outcome.error_message or "The function could not be run.", 500, Type="Service")
    return outcome


async def streamed(stream: ResponseStream, first: bytes | None, running: Awaitable[Outcome], tail: bool) -> AsyncIterator[Mapping[str, Any]]:
    """The events of a streamed answer: what the function yields, or what it returns, and how it ended."""
    try:
        # What has no metadata of its own got empty ones on its way, for the gateway: they are no part of the payload.
        piece = first.removeprefix(NO_METADATA) if first is not None else None
        while piece is not None:
            if piece:
                yield {"PayloadChunk": {"Payload": piece}}
            piece = await stream.next()
        outcome = await running
        ended: dict[str, Any] = {}
        if outcome.status is not Status.SUCCESS:
            ended = {"ErrorCode": "Unhandled", "ErrorDetails": outcome.payload.decode()}
        elif first is None:
            yield {"PayloadChunk": {"Payload": outcome.payload}}
        if tail:
            ended["LogResult"] = base64.b64encode(outcome.log_tail).decode()
        yield {"InvokeComplete": ended}
    finally:
        stream.close()


async def nothing() -> AsyncIterator[Mapping[str, Any]]:
    return
    yield {}


def answer(outcome: Outcome, version: str, tail: bool) -> dict[str, Any]:
    response: dict[str, Any] = {"StatusCode": 200, "ExecutedVersion": version, "Payload": outcome.payload}
    if outcome.status is Status.FUNCTION_ERROR:
        response["FunctionError"] = "Unhandled"
    if tail:
        response["LogResult"] = base64.b64encode(outcome.log_tail).decode()
    return response


def one_of(params: Mapping[str, Any], name: str, known: Collection[str], usual: str) -> str:
    """A parameter that takes one of some words. Raises ServiceError."""
    value: str = params.get(name, usual)
    if value not in known:
        raise invalid(value, name[0].lower() + name[1:], f"satisfy enum value set: [{', '.join(known)}]")
    return value


def checked_payload(payload: bytes, kind: str) -> bytes:
    if kind == "Event" and len(payload) > LARGEST_EVENT:
        text = f"{len(payload)} byte payload is too large for the Event invocation type (limit {LARGEST_EVENT} bytes)"
        raise ServiceError("RequestTooLargeException", text, 413, Type="User")
    if len(payload) > LARGEST_REQUEST:
        text = f"Request must be smaller than {LARGEST_REQUEST} bytes for the InvokeFunction operation"
        raise ServiceError("RequestTooLargeException", text, 413, Type="User")
    try:
        if payload:
            payloads.check(payload)
    except ValueError as error:
        raise ServiceError("InvalidRequestContentException", f"Could not parse request body into json: {error}", 400, Type="User") from error
    return payload


def client_context(encoded: str | None) -> str:
    if not encoded:
        return ""
    if len(encoded) > LARGEST_CLIENT_CONTEXT:
        raise ServiceError(
            "InvalidParameterValueException", f"ClientContext has {len(encoded)} bytes; it may have {LARGEST_CLIENT_CONTEXT}.", 400, Type="User"
        )
    try:
        text = base64.b64decode(encoded, validate=True).decode()
        if not isinstance(json.loads(text), dict):
            raise ValueError("it is not a JSON object")
    except (binascii.Error, ValueError) as error:
        raise ServiceError(
            "InvalidRequestContentException", f"Client context must be a valid Base64-encoded JSON object: {error}", 400, Type="User"
        ) from error
    return json.dumps(json.loads(text))
