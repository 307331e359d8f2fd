"""The operations of the Runtime API and of the Extensions API: which request may come when, and what it does."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from eventflow.runtime import frames
from eventflow.runtime.bootstrap import LARGEST_RESPONSE
from eventflow.runtime.extensions import Refused
from eventflow.runtime.http_clients import Client, Receiver, Whole
from eventflow.runtime.loopback_http import Request, answer, refusal
from eventflow.runtime.streamed import DELIMITER, LARGEST_PIECE, LARGEST_STREAM, Joined

if TYPE_CHECKING:
    from eventflow.runtime.runtime_api import Invocation, Supervisor

RUNTIME = "/2018-06-01/runtime"
EXTENSION = "/2020-01-01/extension"
OF_INVOCATION = re.compile(RUNTIME + r"/invocation/([^/]+)/(response|error)")
ERROR_TYPE = "lambda-runtime-function-error-type"
ERROR_BODY = "lambda-runtime-function-error-body"
RESPONSE_MODE = "lambda-runtime-function-response-mode"
HTTP_INTEGRATION = "application/vnd.awslambda.http-integration-response"
KNOWN_ERROR = re.compile(r"(Runtime|Function)\.[A-Z][a-zA-Z]+")
LARGEST_REGISTRATION = 64 * 1024
ACCEPTED = answer(202, json.dumps({"status": "OK"}).encode())
INVALID_ID = refusal(400, "InvalidRequestID", "Invalid request ID")
TOO_LARGE = refusal(413, "RequestEntityTooLarge", f"Exceeded maximum allowed payload size ({LARGEST_RESPONSE} bytes).")
RESPONSE_TOO_LARGE = f"Response payload size exceeded maximum allowed payload size ({LARGEST_RESPONSE} bytes)."
STATES = {"response": "InvocationResponse", "error": "InvocationErrorResponse"}

Operation = Callable[[Client, Request, bytes], None]


class Operations:
    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self._by_path: dict[str, tuple[str, Operation]] = {
            f"{RUNTIME}/invocation/next": ("GET", self._next),
            f"{RUNTIME}/init/error": ("POST", self._init_error),
            "/2018-06-01/ping": ("GET", lambda client, _request, _body: client.send(answer(200, b"pong"))),
            f"{EXTENSION}/register": ("POST", self._register),
            f"{EXTENSION}/event/next": ("GET", self._event_next),
            f"{EXTENSION}/init/error": ("POST", self._extension_failed("InitError")),
            f"{EXTENSION}/exit/error": ("POST", self._extension_failed("ExitError")),
            "/2020-08-15/logs": ("PUT", not_supported("Logs")),
            "/2022-07-01/telemetry": ("PUT", not_supported("Telemetry")),
        }

    def route(self, client: Client, request: Request) -> Receiver:
        """Who takes the request's body, and answers it."""
        found = OF_INVOCATION.fullmatch(request.path)
        method, operation = self._by_path.get(request.path, ("POST", None)) if found is None else ("POST", None)
        if found is None and operation is None:
            return Whole(0, lambda _body: client.send(refusal(404, "NotFound", f"there is nothing at {request.path}")))
        if request.method != method:
            return Whole(0, lambda _body: client.send(refusal(405, "MethodNotAllowed", f"{request.path} takes {method}")))
        if found is not None:
            return self._invocation(client, request, *found.groups())
        assert operation is not None
        most = LARGEST_RESPONSE if request.path.startswith(RUNTIME) else LARGEST_REGISTRATION
        return Whole(most, lambda body: client.send(TOO_LARGE) if body is None else operation(client, request, body))

    # The runtime.

    def _next(self, client: Client, _request: Request, _body: bytes) -> None:
        supervisor = self._supervisor
        state = supervisor.runtime.state
        if state == "Running":
            supervisor.deliver_again(client)
        elif state in ("Started", "Ready", "ResponseSent"):
            supervisor.runtime.state = "Ready"
            supervisor.runtime.waiting.append(client)
            supervisor.go_on()
        else:
            client.send(forbidden(state, "Ready"))

    def _init_error(self, client: Client, request: Request, body: bytes) -> None:
        supervisor = self._supervisor
        if supervisor.runtime.state != "Started":
            client.send(forbidden(supervisor.runtime.state, "InitError"))
            return
        supervisor.runtime.state = "InitError"
        client.send(ACCEPTED)
        supervisor.fail_with(error_object(body, request.headers.get(ERROR_TYPE, "")))

    def _invocation(self, client: Client, request: Request, request_id: str, what: str) -> Receiver:
        """A response or an error: refused at once where there is nothing to answer, else taken whole or in pieces."""
        supervisor = self._supervisor
        current, state = supervisor.current, supervisor.runtime.state
        if state == "ResponseSent" and request_id == supervisor.last_id:
            return refused(client, forbidden(state, STATES[what]))
        if current is None or request_id != current.request_id:
            return refused(client, INVALID_ID)
        if state != "Running":
            return refused(client, forbidden(state, STATES[what]))
        if what == "error":
            return Whole(LARGEST_RESPONSE, lambda body: self._error(client, request, current, body))
        mode = request.headers.get(RESPONSE_MODE)
        if mode is None:
            return Whole(LARGEST_RESPONSE, lambda body: self._response(client, current, body), lambda: self._cut(current))
        if mode != "streaming":
            supervisor.answered(frames.ERROR, supervisor.error("Runtime.InvalidResponseModeHeader", f"there is no response mode {mode!r}"))
            return refused(client, refusal(400, "InvalidFunctionResponseMode", "Invalid function response mode"))
        supervisor.runtime.state = "InvocationResponse"
        return Streamed(supervisor, client, request.headers.get("content-type", ""))

    def _is_running(self, asked: Invocation) -> bool:
        """Whether it still has no answer: another connection may have been quicker. A retry of an event has the same id, and is another one."""
        return self._supervisor.runtime.state == "Running" and self._supervisor.current is asked

    def _response(self, client: Client, asked: Invocation, body: bytes | None) -> None:
        supervisor = self._supervisor
        if not self._is_running(asked):
            client.send(forbidden(supervisor.runtime.state, STATES["response"]))
        elif body is None:
            client.send(TOO_LARGE)
            supervisor.answered(frames.ERROR, supervisor.error("Function.ResponseSizeTooLarge", RESPONSE_TOO_LARGE))
        else:
            client.send(ACCEPTED)
            supervisor.answered(frames.RESULT, body)

    def _error(self, client: Client, request: Request, asked: Invocation, body: bytes | None) -> None:
        supervisor = self._supervisor
        if not self._is_running(asked):
            client.send(forbidden(supervisor.runtime.state, STATES["error"]))
            return
        client.send(ACCEPTED if body is not None else TOO_LARGE)
        supervisor.answered(frames.ERROR, error_object(body or b"", request.headers.get(ERROR_TYPE, "")))

    def _cut(self, asked: Invocation) -> None:
        if self._is_running(asked):
            truncated(self._supervisor)

    # Extensions.

    def _register(self, client: Client, request: Request, body: bytes) -> None:
        supervisor = self._supervisor
        with Refusing(client) as attempt:
            extension = supervisor.extensions.register(request.headers.get("lambda-extension-name", ""), body)
        if attempt.refused:
            return
        function = supervisor.function
        about = {"functionName": function["name"], "functionVersion": function["version"], "handler": function["handler"]}
        client.send(answer(200, json.dumps(about).encode(), {"Lambda-Extension-Identifier": extension.id}))
        supervisor.go_on()

    def _event_next(self, client: Client, request: Request, _body: bytes) -> None:
        extensions = self._supervisor.extensions
        with Refusing(client):
            extensions.wait(extensions.of(request.headers.get("lambda-extension-identifier", "")), client)
        self._supervisor.go_on()

    def _extension_failed(self, state: str) -> Operation:
        def operation(client: Client, request: Request, body: bytes) -> None:
            extensions = self._supervisor.extensions
            error_type = request.headers.get("lambda-extension-function-error-type", "")
            with Refusing(client) as attempt:
                extension = extensions.of(request.headers.get("lambda-extension-identifier", ""))
                extensions.failed(extension, state, error_type)
            if not attempt.refused:
                client.send(ACCEPTED)
                self._supervisor.fail(f"Extension.{state}", f"extension {extension.name}: {error_type} {body.decode(errors='replace')}".rstrip())

        return operation


class Refusing:
    """Answers 403 for what is ``Refused`` inside it."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.refused = False

    def __enter__(self) -> Refusing:
        return self

    def __exit__(self, _type: object, error: BaseException | None, _traceback: object) -> bool:
        if not isinstance(error, Refused):
            return False
        self.refused = True
        self._client.send(refusal(403, error.error_type, str(error)))
        return True


class Streamed:
    """A response in pieces: passed on as they come to who takes pieces, else joined."""

    def __init__(self, supervisor: Supervisor, client: Client, content_type: str) -> None:
        self._supervisor = supervisor
        self._client = client
        self._has_metadata = content_type.partition(";")[0].strip().lower() == HTTP_INTEGRATION
        self._in_pieces = supervisor.current is not None and supervisor.current.in_pieces
        self._kept: list[bytes] = []
        self._size = 0
        self._over = False

    def piece(self, data: bytes) -> None:
        if self._over:
            return
        if not self._size and self._in_pieces and not self._has_metadata:
            self._supervisor.piece(b"{}" + DELIMITER)  # the daemon's streams begin with metadata
        self._size += len(data)
        if self._size > (LARGEST_STREAM if self._in_pieces else LARGEST_RESPONSE):
            self._over = True
            self._kept.clear()
            self._supervisor.answered(frames.ERROR, self._supervisor.error("Function.ResponseSizeTooLarge", RESPONSE_TOO_LARGE))
        elif self._in_pieces:
            for start in range(0, len(data), LARGEST_PIECE):
                self._supervisor.piece(data[start : start + LARGEST_PIECE])
        else:
            self._kept.append(data)

    def end(self, trailers: dict[str, str]) -> None:
        if self._over:
            self._client.send(TOO_LARGE)
            return
        self._client.send(ACCEPTED)
        if ERROR_TYPE in trailers or ERROR_BODY in trailers:
            self._supervisor.answered(frames.ERROR, error_object(decoded(trailers.get(ERROR_BODY, "")), trailers.get(ERROR_TYPE, "")))
        else:
            self._supervisor.answered(frames.RESULT, b"null" if self._in_pieces else self._joined())

    def cut(self) -> None:
        if not self._over:
            truncated(self._supervisor)

    def _joined(self) -> bytes:
        """What a function would have answered that does not stream: with metadata, the form of a proxy integration."""
        whole = b"".join(self._kept)
        head, delimiter, body = whole.partition(DELIMITER)
        if not self._has_metadata or not delimiter:
            return whole
        try:
            metadata = json.loads(head)
        except ValueError:
            return whole
        joined = Joined()
        joined.begin(metadata if isinstance(metadata, dict) else None)
        joined.add(body)
        return json.dumps(joined.end(), ensure_ascii=False).encode()


def truncated(supervisor: Supervisor) -> None:
    supervisor.answered(
        frames.ERROR, supervisor.error("Runtime.TruncatedResponse", "The runtime ended the connection in the middle of its response.")
    )


def refused(client: Client, text: bytes) -> Receiver:
    """Takes a body that is not wanted, and refuses it when it is over: its sender may not read before that."""
    return Whole(0, lambda _body: client.send(text))


def forbidden(state: str, wanted: str) -> bytes:
    message = f"State transition from Runtime{state} to Runtime{wanted} failed for runtime. Error: State transition is not allowed"
    return refusal(403, "InvalidStateTransition", message)


def not_supported(api: str) -> Operation:
    body = json.dumps({"errorMessage": f"{api} API is not supported", "errorType": f"{api}.NotSupported"}).encode()
    return lambda client, _request, _body: client.send(answer(202, body))


def error_object(body: bytes, error_type: str) -> bytes:
    """An error as the runtime posted it, unchanged where it is an object with type and message."""
    try:
        value: Any = json.loads(body)
    except ValueError:
        value = None
    if isinstance(value, dict) and isinstance(value.get("errorType"), str) and isinstance(value.get("errorMessage"), str):
        return body
    fallback = error_type if KNOWN_ERROR.match(error_type) else "Function.Unknown" if error_type.startswith("Function.") else "Runtime.Unknown"
    found: dict[str, Any] = value if isinstance(value, dict) else {"errorMessage": body.decode(errors="replace")}
    return json.dumps({**found, "errorType": str(found.get("errorType") or fallback), "errorMessage": str(found.get("errorMessage") or "")}).encode()


def decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        return text.encode()
