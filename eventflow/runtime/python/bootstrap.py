"""Runs a Python function over the Runtime API, in an interpreter of another version than the daemon's: this file imports nothing of eventflow's.

It is started as a program, with Lambda's variables, and understands what Python 3.8 does.
"""

import http.client
import importlib
import json
import os
import sys
import time
import traceback
from decimal import Decimal
from typing import Any, Callable, Dict, List, Optional

import eventflow_log  # type: ignore[import-not-found]

RUNTIME = "/2018-06-01/runtime"
Handler = Callable[[Any, Any], Any]


class Failed(Exception):
    """The init, or an invocation, ended in this error object."""

    def __init__(self, error_type: str, message: str, stack: Optional[List[str]] = None) -> None:
        super().__init__(message)
        self.error = {"errorMessage": message, "errorType": error_type, "requestId": "", "stackTrace": stack or []}


class Identity:
    def __init__(self) -> None:
        self.cognito_identity_id = None
        self.cognito_identity_pool_id = None


class Client:
    def __init__(self, fields: Dict[str, Any]) -> None:
        for name in ("installation_id", "app_title", "app_version_name", "app_version_code", "app_package_name"):
            setattr(self, name, fields.get(name))


class ClientContext:
    def __init__(self, sent: Dict[str, Any]) -> None:
        self.custom = sent.get("custom")
        self.env = sent.get("env")
        self.client = Client(sent["client"]) if isinstance(sent.get("client"), dict) else None


class Context:
    """Lambda's context of one invocation."""

    def __init__(self, headers: Any) -> None:
        sent = headers.get("Lambda-Runtime-Client-Context")
        self.aws_request_id = headers["Lambda-Runtime-Aws-Request-Id"]
        self.invoked_function_arn = headers["Lambda-Runtime-Invoked-Function-Arn"]
        self.function_name = os.environ["AWS_LAMBDA_FUNCTION_NAME"]
        self.function_version = os.environ["AWS_LAMBDA_FUNCTION_VERSION"]
        self.memory_limit_in_mb = os.environ["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"]
        self.log_group_name = os.environ.get("AWS_LAMBDA_LOG_GROUP_NAME", "")
        self.log_stream_name = os.environ.get("AWS_LAMBDA_LOG_STREAM_NAME", "")
        self.identity = Identity()
        self.client_context = ClientContext(json.loads(sent)) if sent else None
        self.tenant_id = None
        self._deadline_ms = int(headers["Lambda-Runtime-Deadline-Ms"])

    def get_remaining_time_in_millis(self) -> int:
        return max(self._deadline_ms - int(time.time() * 1000), 0)

    def log(self, message: object) -> None:
        sys.stdout.write(str(message))


def find_handler(name: str) -> Handler:
    module_name, dot, attribute = name.rpartition(".")
    if not dot:
        raise Failed("Runtime.MalformedHandlerName", "Bad handler '%s': not enough values to unpack (expected 2, got 1)" % name)
    try:
        module = importlib.import_module(module_name.replace("/", "."))
    except SyntaxError as error:
        raise Failed("Runtime.UserCodeSyntaxError", "Syntax error in module '%s': %s" % (module_name, error)) from error
    except ImportError as error:
        raise Failed("Runtime.ImportModuleError", "Unable to import module '%s': %s" % (module_name, error)) from error
    try:
        found: Handler = getattr(module, attribute)
    except AttributeError as error:
        raise Failed("Runtime.HandlerNotFound", "Handler '%s' missing on module '%s'" % (attribute, module_name)) from error
    return found


def failure(error: BaseException) -> Failed:
    if isinstance(error, Failed):
        return error
    stack = traceback.format_list([frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename != __file__])
    return Failed(type(error).__name__, str(error), stack)


def tell(failed: Failed) -> None:
    error = failed.error
    if eventflow_log.is_wanted():
        sys.stdout.write(eventflow_log.error_line(error) + "\n")
        sys.stdout.flush()
        return
    sys.stdout.write(
        "[ERROR] %s: %s\nTraceback (most recent call last):\n%s" % (error["errorType"], error["errorMessage"], "".join(error["stackTrace"]))
    )
    sys.stdout.flush()


def number(value: Any) -> float:
    if isinstance(value, Decimal):
        return float(value)
    raise TypeError("Object of type %s is not JSON serializable" % type(value).__name__)


def marshalled(value: Any) -> bytes:
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, default=number).encode()
    except (TypeError, ValueError) as error:
        raise Failed("Runtime.MarshalError", "Unable to marshal response: %s" % error) from error


class Api:
    def __init__(self) -> None:
        self._connection = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])

    def next(self) -> http.client.HTTPResponse:
        self._connection.request("GET", RUNTIME + "/invocation/next")
        return self._connection.getresponse()

    def post(self, path: str, body: bytes, error_type: str = "") -> None:
        headers = {"Content-Type": "application/json"}
        if error_type:
            headers["Lambda-Runtime-Function-Error-Type"] = error_type
        self._connection.request("POST", RUNTIME + path, body, headers)
        self._connection.getresponse().read()

    def post_error(self, path: str, failed: Failed) -> None:
        self.post(path, json.dumps(failed.error).encode(), str(failed.error["errorType"]))


def serve(api: Api, handler: Handler, ids: eventflow_log.RequestIdFilter) -> None:
    while True:
        response = api.next()
        payload, context = response.read(), Context(response.headers)
        ids.request_id = request_id = context.aws_request_id
        os.environ["_X_AMZN_TRACE_ID"] = response.headers.get("Lambda-Runtime-Trace-Id", "")
        try:
            answer = marshalled(handler(json.loads(payload), context))
        except Exception as error:
            failed = failure(error)
            failed.error["requestId"] = request_id
            tell(failed)
            api.post_error("/invocation/%s/error" % request_id, failed)
        else:
            sys.stdout.flush()
            api.post("/invocation/%s/response" % request_id, answer)


def main() -> None:
    own = os.path.dirname(os.path.abspath(__file__))
    here = os.environ["LAMBDA_TASK_ROOT"]
    layers = [place for place in os.environ.get("PYTHONPATH", "").split(os.pathsep) if place]
    below = "lib/python%d.%d/site-packages" % sys.version_info[:2]
    sys.path[:] = [here] + [path for place in layers for path in (place, os.path.join(place, below))] + [path for path in sys.path if path != own]
    ids, api = eventflow_log.set_up(), Api()
    try:
        handler = find_handler(os.environ["_HANDLER"])
    except Exception as error:
        failed = failure(error)
        tell(failed)
        api.post_error("/init/error", failed)
        sys.exit(1)
    serve(api, handler, ids)


if __name__ == "__main__":
    main()
