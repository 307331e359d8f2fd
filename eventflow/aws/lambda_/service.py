"""Lambda's API: invoke functions and look at them."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any

from eventflow import payload as payloads
from eventflow.aws.lambda_.mappings import MappingOperations
from eventflow.aws.operation import Call, operation, operations_of
from eventflow.dispatch.concurrency import Concurrency
from eventflow.dispatch.dispatcher import Dispatcher, RecursionStopped, UnknownFunction
from eventflow.errors import PayloadTooLarge, ServiceError, StorageError, Throttled
from eventflow.function import Function
from eventflow.outcome import Outcome, Status

#: AWS: 6 MB for a synchronous request, 3,583 bytes of client context (Lambda API reference, Invoke).
LARGEST_REQUEST = 6_291_456
LARGEST_CLIENT_CONTEXT = 3583
VERSION = "$LATEST"
MOST_ITEMS = 50
RUNTIME = "python3.11"
INVOKE_PARAMETERS = {"FunctionName", "InvocationType", "LogType", "ClientContext", "Payload", "Qualifier"}


class LambdaService(MappingOperations):
    name = "lambda"

    def __init__(self, dispatcher: Dispatcher, concurrency: Concurrency, account: str, region: str, loaded_at: str, runtime: str = RUNTIME) -> None:
        self.operations = operations_of(self)
        self._dispatcher = dispatcher
        self._concurrency = concurrency
        self._account = account
        self._region = region
        self._loaded_at = loaded_at
        self._runtime = runtime

    @operation("Invoke")
    async def invoke(self, call: Call, params: dict[str, Any]) -> Mapping[str, Any]:
        refuse_unknown(params, INVOKE_PARAMETERS)
        function = self._find(params)
        payload = checked_payload(params.get("Payload") or b"")
        kind = params.get("InvocationType", "RequestResponse")
        if kind == "DryRun":
            return {"StatusCode": 204}
        try:
            if kind == "Event":
                await self._dispatcher.emit(function.name, payload or b"{}", trace=call.trace, source="lambda Invoke")
                return {"StatusCode": 202}
            return await self._invoke_now(call, params, function, payload)
        except PayloadTooLarge as error:
            raise ServiceError("RequestTooLargeException", str(error), 413, Type="User") from error
        except RecursionStopped as error:
            raise ServiceError("RecursiveInvocationException", str(error), 400, Type="User") from error
        except StorageError as error:
            raise ServiceError("ServiceException", str(error), 500, Type="Service") from error

    async def _invoke_now(self, call: Call, params: dict[str, Any], function: Function, payload: bytes) -> Mapping[str, Any]:
        if len(payload) > LARGEST_REQUEST:
            text = f"Request must be smaller than {LARGEST_REQUEST} bytes for the InvokeFunction operation"
            raise ServiceError("RequestTooLargeException", text, 413, Type="User")
        context = client_context(params.get("ClientContext"))
        try:
            outcome = await self._dispatcher.invoke(
                function.name, payload or b"{}", trace=call.trace, client_context=context, request_id=call.request_id
            )
        except Throttled as error:
            raise ServiceError("TooManyRequestsException", "Rate Exceeded.", 429, Reason=error.reason, Type="User") from error
        if outcome.status is Status.SYSTEM_ERROR:
            raise ServiceError("ServiceException", outcome.error_message or "The function could not be run.", 500, Type="Service")
        return answer(outcome, params.get("LogType") == "Tail")

    @operation("ListFunctions")
    async def list_functions(self, call: Call, params: dict[str, Any]) -> Mapping[str, Any]:
        refuse_unknown(params, {"Marker", "MaxItems"})
        names = sorted(self._dispatcher.functions())
        start = names.index(params["Marker"]) if params.get("Marker") in names else 0
        end = start + min(params.get("MaxItems") or MOST_ITEMS, MOST_ITEMS)
        response: dict[str, Any] = {"Functions": [self._configuration(name) for name in names[start:end]]}
        if end < len(names):
            response["NextMarker"] = names[end]
        return response

    @operation("GetFunction")
    async def get_function(self, call: Call, params: dict[str, Any]) -> Mapping[str, Any]:
        refuse_unknown(params, {"FunctionName", "Qualifier"})
        function = self._find(params)
        response: dict[str, Any] = {"Configuration": self._configuration(function.name), "Code": {"RepositoryType": "eventflow"}}
        if function.reserved_concurrency is not None:
            response["Concurrency"] = {"ReservedConcurrentExecutions": function.reserved_concurrency}
        return response

    @operation("GetFunctionConfiguration")
    async def get_function_configuration(self, call: Call, params: dict[str, Any]) -> Mapping[str, Any]:
        refuse_unknown(params, {"FunctionName", "Qualifier"})
        return self._configuration(self._find(params).name)

    @operation("GetAccountSettings")
    async def get_account_settings(self, call: Call, params: dict[str, Any]) -> Mapping[str, Any]:
        functions = self._dispatcher.functions()
        reserved = sum(function.reserved_concurrency or 0 for function in functions.values())
        limit = {"ConcurrentExecutions": self._concurrency.limit, "UnreservedConcurrentExecutions": self._concurrency.limit - reserved}
        return {"AccountLimit": limit, "AccountUsage": {"FunctionCount": len(functions)}}

    def _find(self, params: dict[str, Any]) -> Function:
        name, qualifier = parse_name(params["FunctionName"])
        qualifier = params.get("Qualifier") or qualifier
        arn = f"arn:aws:lambda:{self._region}:{self._account}:function:{name}"
        try:
            function = self._dispatcher.lane(name).function
        except UnknownFunction as error:
            raise ServiceError("ResourceNotFoundException", f"Function not found: {arn}", 404, Type="User") from error
        if qualifier not in (None, VERSION):
            raise ServiceError("ResourceNotFoundException", f"Function not found: {arn}:{qualifier}", 404, Type="User")
        return function

    def _configuration(self, name: str) -> dict[str, Any]:
        function = self._dispatcher.lane(name).function
        configuration: dict[str, Any] = {
            "FunctionName": function.name,
            "FunctionArn": function.arn(self._region, self._account),
            "Runtime": self._runtime,
            "Handler": function.handler.replace(":", "."),
            "Description": function.description,
            "Timeout": function.timeout,
            "MemorySize": function.memory,
            "LastModified": self._loaded_at,
            "Version": VERSION,
            "PackageType": "Zip",
            "State": "Active",
            "LastUpdateStatus": "Successful",
            # Lambda has snapshots of published versions alone; here there is one version, and it may have one.
            "SnapStart": {
                "ApplyOn": "PublishedVersions" if function.snap_start else "None",
                "OptimizationStatus": "On" if function.snap_start else "Off",
            },
            "LoggingConfig": {"LogFormat": "Text", "LogGroup": f"/aws/lambda/{function.name}"},
        }
        if function.environment:
            configuration["Environment"] = {"Variables": dict(function.environment)}
        if function.dead_letter_queue:
            configuration["DeadLetterConfig"] = {"TargetArn": f"arn:aws:sqs:{self._region}:{self._account}:{function.dead_letter_queue}"}
        return configuration


def answer(outcome: Outcome, tail: bool) -> dict[str, Any]:
    response: dict[str, Any] = {"StatusCode": 200, "ExecutedVersion": VERSION, "Payload": outcome.payload}
    if outcome.status is Status.FUNCTION_ERROR:
        response["FunctionError"] = "Unhandled"
    if tail:
        response["LogResult"] = base64.b64encode(outcome.log_tail).decode()
    return response


def refuse_unknown(params: Mapping[str, Any], known: set[str]) -> None:
    for name in params.keys() - known:
        raise ServiceError("InvalidParameterValueException", f"eventflow does not have the parameter {name} yet; leave it out.", 400, Type="User")


def parse_name(text: str) -> tuple[str, str | None]:
    """A function's name and qualifier from any of Lambda's forms: name, name:qualifier, account:function:name, ARN."""
    parts = text.split(":")
    if text.startswith("arn:"):
        parts = parts[6:]
    elif len(parts) >= 3 and parts[1] == "function":
        parts = parts[2:]
    if not parts or not parts[0] or len(parts) > 2:
        raise ServiceError("ValidationException", f"{text!r} is no function name, partial ARN or ARN.", 400)
    return parts[0], parts[1] if len(parts) == 2 else None


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
