"""The life of a function's process: import the app, then run one invocation at a time until the daemon closes the socket."""

from __future__ import annotations

import asyncio
import fcntl
import importlib
import inspect
import json
import os
import resource
import socket
import sys
import time
import traceback
from collections.abc import Callable
from decimal import Decimal
from functools import partial
from types import FrameType, TracebackType
from typing import Any

from eventflow import faultpoint
from eventflow.context import Context
from eventflow.runtime import frames, streamed
from eventflow.runtime.python import eventflow_log
from eventflow.runtime.python.eventflow_log import RequestIdFilter

#: AWS: "Response payload size exceeded maximum allowed payload size (6291556 bytes)."
LARGEST_RESPONSE = 6_291_556
#: Larger answers do not wait for others.
LARGEST_KEPT = 16_384
#: The kernel is asked for a process's use of processor and memory, which is not cheap, after the last of several invocations that were quicker.
UNMEASURED_MS = 1.0
#: What handlers usually return, and nobody can await.
PLAIN = frozenset({type(None), dict, list, str, int, float, bool})
MAXRSS_UNIT = 1024 if sys.platform == "darwin" else 1


class FunctionFailed(Exception):
    """An invocation or the init ended in an error object; ``exit_status`` is set when the process must end too."""

    def __init__(self, error: dict[str, Any], exit_status: int | None = None) -> None:
        super().__init__(error["errorMessage"])
        self.error = error
        self.exit_status = exit_status


class Process:
    """One environment's process. ``function`` is the daemon's description: name, handler, memory, timeout, version, log_group, log_stream."""

    def __init__(self, connection: socket.socket, function: dict[str, Any]) -> None:
        self._connection = connection
        self._function = function
        self._pid = os.getpid()
        self._log = os.dup(1)  # whatever the handler does to its own output
        self._buffer = frames.Buffer()
        self._answers = open_answers()
        self._more = False
        self._usage = (0.0, 0)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._any_context = Context(
            function["name"],
            function_version=function["version"],
            memory_limit_in_mb=function["memory"],
            log_group_name=function["log_group"],
            log_stream_name=function["log_stream"],
        )

    def run(
        self, prepare: Callable[[], Callable[[Any, Any], Any]], learned: Callable[[float], dict[str, Any] | None] = lambda _milliseconds: None
    ) -> int:
        """Serve with the handler that ``prepare``, the init, returns until the socket closes; returns the exit status. ``learned`` is asked after the
        init, with its milliseconds, what the daemon is to know for the next."""
        started = time.monotonic()
        try:
            handler = prepare()
        except FunctionFailed as failure:
            self._send(frames.INIT_ERROR, started, failure.error)
            return 1
        ended = time.monotonic()
        told = learned((ended - started) * 1000)
        self._send(frames.READY, started + time.monotonic() - ended, told)
        while data := self._connection.recv(262_144):
            self._buffer.feed(data)
            faultpoint.reach("environment.asked")
            asked = list(self._buffer.frames())
            for place, (kind, body) in enumerate(asked, 1):
                self._more = place < len(asked)
                status = self._serve(handler, kind, body)
                if status is not None:
                    return status
            faultpoint.reach("environment.answered")
        return 0

    def _serve(self, handler: Callable[[Any, Any], Any], kind: int, body: bytes) -> int | None:
        request_id, arn, trace, client_context, payload = frames.read_invoke(body)
        os.environ["_X_AMZN_TRACE_ID"] = trace
        RequestIdFilter.request_id = request_id
        started = time.monotonic()
        send = partial(self._send_piece, started) if kind == frames.STREAM else None
        try:
            response = self._invoke(handler, payload, self._context(request_id, arn, client_context), send)
        except FunctionFailed as failure:
            failure.error["requestId"] = request_id
            fatal = failure.exit_status is not None
            self._send(frames.FATAL if fatal else frames.ERROR, started, failure.error)
            return failure.exit_status
        self._send(frames.RESULT, started, response)
        return None

    def _context(self, request_id: str, arn: str, client_context: str) -> Context:
        sent = json.loads(client_context) if client_context else None
        return self._any_context.of(request_id, arn, time.monotonic() + self._function["timeout"], sent)

    def _invoke(self, handler: Callable[[Any, Any], Any], payload: bytes, context: Context, send: Callable[[bytes], None] | None = None) -> bytes:
        """``send`` is for the pieces of a streamed response."""
        try:
            event = unmarshal(payload)
        except ValueError as error:
            raise FunctionFailed(error_object("Runtime.UnmarshalError", f"Unable to unmarshal input: {error}")) from error
        try:
            value = handler(event, context)
            if type(value) not in PLAIN:
                if inspect.isawaitable(value):
                    value = self._event_loop().run_until_complete(value)
                if isinstance(value, streamed.GENERATORS):
                    value = streamed.drawn(value, self._event_loop, send)
        except MemoryError as error:
            raise FunctionFailed(error_object("Runtime.OutOfMemory", out_of_memory(context.aws_request_id)), 1) from error
        except Exception as error:
            raise FunctionFailed(describe(error)) from error
        except BaseException as error:
            raise FunctionFailed(*exited(error, context.aws_request_id)) from error
        finally:
            self._leave_if_forked()
        return marshal(value)

    def _send_piece(self, started: float, piece: bytes) -> None:
        self._leave_if_forked()
        self._more = False  # answers that are kept would come after it
        self._send(frames.PIECE, started, piece)

    def _event_loop(self) -> asyncio.AbstractEventLoop:
        """One loop for all invocations of this process, so that clients made in one can serve the next."""
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            asyncio.set_event_loop(self._loop)
        return self._loop

    def _leave_if_forked(self) -> None:
        """A child that the handler forked and that came back out of the handler must not answer in our place."""
        if os.getpid() != self._pid:
            os._exit(0)

    def _send(self, kind: int, started: float, content: bytes | dict[str, Any] | None) -> None:
        duration = (time.monotonic() - started) * 1000
        flush(sys.stdout)
        flush(sys.stderr)
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        keep = self._more and self._answers and len(body) <= LARGEST_KEPT
        if not keep or duration > UNMEASURED_MS:
            usage = resource.getrusage(resource.RUSAGE_SELF)
            self._usage = ((usage.ru_utime + usage.ru_stime) * 1000, usage.ru_maxrss // MAXRSS_UNIT)
        log_end = os.lseek(self._log, 0, os.SEEK_END)
        if keep:
            os.write(self._answers, frames.pack(kind, frames.MEASURES.pack(duration, started, *self._usage, log_end, 0), body))
            return
        before = os.lseek(self._answers, 0, os.SEEK_END) if self._answers else 0
        answer = frames.pack(kind, frames.MEASURES.pack(duration, started, *self._usage, log_end, before), body)
        if kind == frames.READY and self._answers:
            socket.send_fds(self._connection, [answer], [self._answers])
        else:
            self._connection.sendall(answer)


def open_answers() -> int:
    """The answers file, 0 where there is none: what a process has answered while more work was waiting in it.

    A system call into memory costs a quarter of a message, and wakes nobody. The daemon reads it together with the next message, and else when it
    looks after the process or when the process has died: nothing that was answered is lost then. (Where the system has no files in memory, each
    answer is a message.)
    """
    if not hasattr(os, "memfd_create"):
        return 0
    descriptor = os.memfd_create("answers")
    fcntl.fcntl(descriptor, fcntl.F_SETFL, fcntl.fcntl(descriptor, fcntl.F_GETFL) | os.O_APPEND)
    return descriptor


def flush(stream: Any) -> None:
    """Flush what a handler may have replaced, closed or broken."""
    try:
        stream.flush()
    except (AttributeError, ValueError, OSError):
        return


def find_handler(name: str) -> Callable[[Any, Any], Any]:
    """Import ``module:qualname`` or raise ``FunctionFailed`` with Lambda's error types."""
    module_name, _, qualname = name.partition(":")
    return import_handler(module_name, qualname, shown=module_name)


def import_handler(module_name: str, qualname: str, *, shown: str) -> Callable[[Any, Any], Any]:
    """``shown`` is the module's name in errors, as the user wrote it."""
    try:
        found: Any = importlib.import_module(module_name)
    except SyntaxError as error:
        message = f"Syntax error in module '{shown}': {error}"
        raise FunctionFailed(described(error, "Runtime.UserCodeSyntaxError", message), 1) from error
    except ImportError as error:
        message = f"Unable to import module '{shown}': {error}"
        raise FunctionFailed(described(error, "Runtime.ImportModuleError", message), 1) from error
    except SystemExit as error:
        raise FunctionFailed(*exited(error, "")) from error
    except Exception as error:
        raise FunctionFailed(describe(error), 1) from error
    for part in qualname.split("."):
        found = getattr(found, part, None)
    if not callable(found):
        message = f"Handler '{qualname}' missing on module '{shown}'"
        raise FunctionFailed(error_object("Runtime.HandlerNotFound", message), 1)
    return found  # type: ignore[no-any-return]


def unmarshal(payload: bytes) -> Any:
    """The event as JSON; a third of the time of ``json.loads``, which finds out the encoding and looks for white space first."""
    try:
        text = payload.decode()
        value, end = DECODE(text)
        if end == len(text):
            return value
    except ValueError:
        pass  # rare forms, and mistakes, are for the one that knows all about them
    return json.loads(payload)


def marshal(value: Any) -> bytes:
    if value is None:
        return b"null"
    try:
        response = ENCODE(value).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise FunctionFailed(error_object("Runtime.MarshalError", f"Unable to marshal response: {error}")) from error
    if len(response) > LARGEST_RESPONSE:
        message = f"Response payload size exceeded maximum allowed payload size ({LARGEST_RESPONSE} bytes)."
        raise FunctionFailed(error_object("Function.ResponseSizeTooLarge", message))
    return response


def decimal_number(value: Any) -> float:
    """Lambda's Python runtime turns ``Decimal`` (what DynamoDB's resource returns) into a JSON number."""
    if isinstance(value, Decimal):
        return float(value)
    raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")


DECODE = json.JSONDecoder().raw_decode
ENCODE = json.JSONEncoder(ensure_ascii=False, allow_nan=False, default=decimal_number).encode


def describe(error: BaseException) -> dict[str, Any]:
    """Lambda's error object for a handler's exception, also printed to its log."""
    return described(error, type(error).__name__, text_of(error))


def described(error: BaseException, error_type: str, message: str) -> dict[str, Any]:
    stack = traceback.format_list(traceback.extract_tb(users_traceback(error.__traceback__)))
    found = error_object(error_type, message, stack)
    if eventflow_log.is_wanted():
        write_log(eventflow_log.error_line({**found, "requestId": RequestIdFilter.request_id}) + "\n")
    else:
        write_log(f"[ERROR] {error_type}: {message}\nTraceback (most recent call last):\n" + "".join(stack))
    return found


def users_traceback(tb: TracebackType | None) -> TracebackType | None:
    """Without the frames of this file and of the import machinery at its top."""
    while tb is not None and tb.tb_next is not None and is_ours(tb.tb_frame):
        tb = tb.tb_next
    return tb


def is_ours(frame: FrameType) -> bool:
    filename = frame.f_code.co_filename
    return filename == __file__ or filename.startswith("<frozen importlib") or "/importlib/" in filename


def text_of(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:
        return f"(the {type(error).__name__} cannot be shown as text)"


def error_object(error_type: str, message: str, stack: list[str] | None = None) -> dict[str, Any]:
    return {"errorMessage": message, "errorType": error_type, "requestId": "", "stackTrace": stack or []}


def out_of_memory(request_id: str) -> str:
    return f"RequestId: {request_id} Error: Runtime exited with error: signal: killed (out of memory)"


def exited(error: BaseException, request_id: str) -> tuple[dict[str, Any], int]:
    """The error object and exit status of ``sys.exit`` or another BaseException that left the handler."""
    status = 1
    if isinstance(error, SystemExit):
        status = error.code if isinstance(error.code, int) else int(error.code is not None)
        if error.code is not None and not isinstance(error.code, int):
            write_log(f"{error.code}\n")
    message = f"RequestId: {request_id} Error: Runtime exited with error: exit status {status}"
    if status == 0:
        message = f"RequestId: {request_id} Error: Runtime exited without providing a reason"
    return error_object("Runtime.ExitError", message), status & 0xFF


def write_log(text: str) -> None:
    flush(sys.stdout)
    try:
        os.write(1, text.encode(errors="backslashreplace"))
    except OSError:
        return  # the handler closed its own output
