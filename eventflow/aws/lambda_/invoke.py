"""Lambda's Invoke: now, as an event, or only to see whether it could be."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any

from eventflow import payload as payloads
from eventflow.aws.lambda_.form import refuse_unknown
from eventflow.aws.operation import Call, operation
from eventflow.dispatch.dispatcher import Dispatcher, RecursionStopped, UnknownFunction
from eventflow.errors import PayloadTooLarge, ServiceError, StorageError, Throttled
from eventflow.function import LATEST
from eventflow.outcome import Outcome, Status
from eventflow.services.functions import Functions, Place

#: AWS: 6 MB for a synchronous request, 3,583 bytes of client context (Lambda API reference, Invoke).
LARGEST_REQUEST = 6_291_456
LARGEST_CLIENT_CONTEXT = 3583
INVOKE_PARAMETERS = {"FunctionName", "InvocationType", "LogType", "ClientContext", "Payload", "Qualifier"}


class InvokeOperations:
    functions: Functions
    dispatcher: Dispatcher
    place: Place

    @operation("Invoke", refuses=["`TenantId`", "`DurableExecutionName`"])
    async def invoke(self, call: Call, params: dict[str, Any]) -> Mapping[str, Any]:
        refuse_unknown(params, INVOKE_PARAMETERS)
        key, version = self._route(params)
        payload = checked_payload(params.get("Payload") or b"")
        kind = params.get("InvocationType", "RequestResponse")
        if kind == "DryRun":
            return {"StatusCode": 204}
        try:
            if kind == "Event":
                await self.dispatcher.emit(key, payload or b"{}", trace=call.trace, source="lambda Invoke")
                return {"StatusCode": 202}
            return await self._invoke_now(call, params, key, version, payload)
        except PayloadTooLarge as error:
            raise ServiceError("RequestTooLargeException", str(error), 413, Type="User") from error
        except RecursionStopped as error:
            raise ServiceError("RecursiveInvocationException", str(error), 400, Type="User") from error
        except UnknownFunction as error:  # it was deleted a moment ago
            raise self._no_function(key) from error
        except StorageError as error:
            raise ServiceError("ServiceException", str(error), 500, Type="Service") from error

    async def _invoke_now(self, call: Call, params: dict[str, Any], key: str, version: str, payload: bytes) -> Mapping[str, Any]:
        if len(payload) > LARGEST_REQUEST:
            text = f"Request must be smaller than {LARGEST_REQUEST} bytes for the InvokeFunction operation"
            raise ServiceError("RequestTooLargeException", text, 413, Type="User")
        context = client_context(params.get("ClientContext"))
        try:
            outcome = await self.dispatcher.invoke(key, payload or b"{}", trace=call.trace, client_context=context, request_id=call.request_id)
        except Throttled as error:
            raise ServiceError("TooManyRequestsException", "Rate Exceeded.", 429, Reason=error.reason, Type="User") from error
        if outcome.status is Status.SYSTEM_ERROR:
            raise ServiceError("ServiceException", outcome.error_message or "The function could not be run.", 500, Type="Service")
        return answer(outcome, version, params.get("LogType") == "Tail")

    def _route(self, params: dict[str, Any]) -> tuple[str, str]:
        """The dispatcher's key of what is invoked, and the version that this is."""
        text: str = params["FunctionName"]
        plain = "Qualifier" not in params and ":" not in text
        # Of a plain name nothing has to be taken apart: it is known, or wrong.
        name, qualifier = (text, None) if plain and self.dispatcher.knows(text) else self.place.function(text, params.get("Qualifier"))
        if self.functions.knows(name):
            return self.functions.route(name, qualifier)
        if qualifier not in (None, LATEST) or not self.dispatcher.knows(name):
            raise self._no_function(name if qualifier is None else f"{name}:{qualifier}")
        return name, LATEST

    def _no_function(self, key: str) -> ServiceError:
        return ServiceError("ResourceNotFoundException", f"Function not found: {self.place.function_arn(key)}", 404, Type="User")


def answer(outcome: Outcome, version: str, tail: bool) -> dict[str, Any]:
    response: dict[str, Any] = {"StatusCode": 200, "ExecutedVersion": version, "Payload": outcome.payload}
    if outcome.status is Status.FUNCTION_ERROR:
        response["FunctionError"] = "Unhandled"
    if tail:
        response["LogResult"] = base64.b64encode(outcome.log_tail).decode()
    return response


def checked_payload(payload: bytes) -> bytes:
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
