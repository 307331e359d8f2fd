"""Lambda's Runtime API: an environment's process starts the function's runtime as a program of its own, and stands between it and the daemon.

The daemon's frames come over the environment's socket as in any other function's process; the program asks for them, and answers, over HTTP
(AWS: "Using the Lambda runtime API for custom runtimes", "Lambda Extensions API").
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import socket
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

from eventflow.function import Package
from eventflow.runtime import frames, opt
from eventflow.runtime.api_operations import Operations
from eventflow.runtime.bootstrap import UNMEASURED_MS
from eventflow.runtime.extensions import INVOKE, SHUTDOWN, Extensions
from eventflow.runtime.http_clients import Client
from eventflow.runtime.loopback_http import answer
from eventflow.runtime.programs import (
    EntryError,
    Output,
    Program,
    cpu_ms,
    end_text,
    listen,
    package_variables,
    peak_kib,
    runtime_command,
    takes_connection,
)
from eventflow.runtime.runtimes import extension_files

#: AWS: after SHUTDOWN, extensions have two seconds; a runtime with internal extensions alone has half a second.
SHUTDOWN_SECONDS = 2.0
SHUTDOWN_SECONDS_INTERNAL = 0.5
RECEIVE = 262_144
#: Connections at once; the process may have 1,024 files.
MOST_CLIENTS = 256


@dataclass(eq=False)
class Invocation:
    """One that the daemon has asked for. ``deadline`` is in Unix seconds, set when it begins; ``answer`` is the frame that ends it."""

    request_id: str
    arn: str
    trace: str
    client_context: str
    payload: bytes
    in_pieces: bool
    started: float
    deadline: float = 0.0
    delivered: bool = False
    streaming: bool = False
    answer: tuple[int, bytes] | None = None

    def next_answer(self) -> bytes:
        """What the runtime gets that has asked for it."""
        headers = {
            "Lambda-Runtime-Aws-Request-Id": self.request_id,
            "Lambda-Runtime-Deadline-Ms": str(int(self.deadline * 1000)),
            "Lambda-Runtime-Invoked-Function-Arn": self.arn,
        }
        if self.trace:
            headers["Lambda-Runtime-Trace-Id"] = self.trace
        if self.client_context:
            headers["Lambda-Runtime-Client-Context"] = self.client_context
        return answer(200, self.payload, headers)

    def event(self) -> dict[str, Any]:
        """What extensions are told."""
        return {
            "deadlineMs": int(self.deadline * 1000),
            "requestId": self.request_id,
            "invokedFunctionArn": self.arn,
            "tracing": {"type": "X-Amzn-Trace-Id", "value": self.trace},
        }


@dataclass(eq=False)
class Runtime:
    """The runtime program: ``state`` is Lambda's name of where it is, ``waiting`` its connections that have asked for the next invocation."""

    program: Program | None = None
    state: str = "Started"
    waiting: deque[Client] = field(default_factory=deque)


class Supervisor:
    """One environment's process where the function runs outside of it. ``function`` is the daemon's description, with a package; ``given`` are the
    variables that are set for this function."""

    def __init__(self, connection: socket.socket, function: dict[str, Any], given: Mapping[str, str]) -> None:
        self.function = function
        self.package = Package.from_json(function["package"])
        self.extensions = Extensions()
        self.runtime = Runtime()
        self.current: Invocation | None = None
        self.last_id = ""
        self.initialised = False
        self._connection = connection
        self._frames = frames.Buffer()
        self._asked: deque[Invocation] = deque()
        self._started = time.monotonic()
        self._output = Output(1)
        self._clients: list[Client] = []
        self._external: list[Program] = []
        self._usage = (0.0, 0)
        self._status: int | None = None
        self._stopping_at = 0.0
        self._listener = listen()
        self._selector = selectors.DefaultSelector()
        self._operations = Operations(self)
        address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        inherited = {name: value for name, value in os.environ.items() if name != "AWS_EXECUTION_ENV"}
        self._variables = {**inherited, **package_variables(self.package, given), "AWS_LAMBDA_RUNTIME_API": address}

    def run(self) -> int:
        """Serve until the runtime fails for good or the daemon closes the socket; returns the exit status."""
        awake, signalled = socket.socketpair()
        for end in (awake, signalled):
            end.setblocking(False)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        signal.set_wakeup_fd(signalled.fileno())
        self._watch(self._connection, self._read_frames)
        self._watch(self._listener, self._accept)
        self._watch(awake, lambda: self._reap(awake))
        self._watch(self._output.reader, self._output.drain)
        opt.show(self.package.layers)  # else they are found where they lie
        try:
            self._start()
            while self._status is None:
                for key, _events in self._selector.select(self._until_stop()):
                    if self._status is None:
                        key.data()
                if self._stopping_at and time.monotonic() >= self._stopping_at:
                    self._status = 0
            self._output.drain()
            return self._status
        finally:
            for program in self._programs():
                program.signal(signal.SIGKILL)

    def _watch(self, source: socket.socket | int, call: Callable[[], object]) -> None:
        self._selector.register(source, selectors.EVENT_READ, call)

    def _until_stop(self) -> float | None:
        return max(0.0, self._stopping_at - time.monotonic()) if self._stopping_at else None

    def _programs(self) -> list[Program]:
        return [*self._external, *([self.runtime.program] if self.runtime.program else [])]

    # Starting.

    def _start(self) -> None:
        """Extensions come first: the runtime begins when they have registered."""
        for path in extension_files(self.package):
            self.extensions.expect(os.path.basename(path))  # noqa: PTH119
            try:
                self._external.append(Program([path], self._variables, self.package.folder, self._output.writer))
            except EntryError as error:
                self.fail_init("Extension.LaunchError", str(error))
                return
        self.go_on()

    def _start_runtime(self) -> None:
        self.runtime = Runtime()
        try:
            command = runtime_command(self.package, self._variables)
            theirs = self._connected() if takes_connection(self.package, self._variables) else None
            with theirs or contextlib.nullcontext():
                self.runtime.program = Program(command, self._variables, self.package.folder, self._output.writer, theirs)
        except EntryError as error:
            self.fail("Runtime.InvalidEntrypoint", str(error))

    def _connected(self) -> socket.socket:
        """The other end of a connection to this API."""
        ours, theirs = socket.socketpair()
        self._clients.append(Client(ours, self._operations.route, self._selector))
        return theirs

    def go_on(self) -> None:
        """Something has changed: begin what can begin now, and end what is done."""
        if self._status is not None or self._stopping_at:
            return
        if self.runtime.program is None and self.extensions.registered and (not self.initialised or self._asked or self.current):
            self._start_runtime()
        while self.runtime.waiting and not self.runtime.waiting[0].is_open:
            self.runtime.waiting.popleft()
        if not self.initialised and self.runtime.waiting and self.extensions.ready:
            self.initialised = self.extensions.closed = True
            self._send(frames.READY, self._started, b"null")
        if self.current is not None and self.current.answer is not None and self.extensions.ready:
            self._finish(self.current, *self.current.answer)
        if self.initialised and self.current is None and self._asked:
            self.current = self._asked.popleft()
            self.current.started = max(self.current.started, self._started)
            self.current.deadline = time.time() + self.function["timeout"]
        if self.current is not None and not self.current.delivered and self.runtime.waiting and self.extensions.ready:
            self.current.delivered = True
            self.runtime.state = "Running"
            self.runtime.waiting.popleft().send(self.current.next_answer())
            self.extensions.tell(INVOKE, self.current.event())

    # What the runtime tells.

    def deliver_again(self, client: Client) -> None:
        """It asks for the next invocation while it has one: as on Lambda, it gets that one once more."""
        assert self.current is not None
        client.send(self.current.next_answer())

    def answered(self, kind: int, content: bytes) -> None:
        """The current invocation has its answer; extensions may still be busy with it."""
        assert self.current is not None
        self.current.answer = (kind, content)
        self.runtime.state = "ResponseSent"
        self.go_on()

    def piece(self, content: bytes) -> None:
        assert self.current is not None
        self._send(frames.PIECE, self.current.started, content)

    def _finish(self, invocation: Invocation, kind: int, content: bytes) -> None:
        self.current, self.last_id = None, invocation.request_id
        self._send(kind, invocation.started, content)
        self._started = time.monotonic()

    # What goes wrong.

    def fail(self, error_type: str, message: str) -> None:
        """The runtime cannot go on: the init has failed, or what runs, and the environment ends."""
        if not self.initialised:
            self.fail_init(error_type, message)
        elif self.current is not None:
            self.fail_with(self.error(error_type, f"RequestId: {self.current.request_id} Error: {message}"), log=True)

    def fail_init(self, error_type: str, message: str) -> None:
        self.fail_with(self.error(error_type, message), log=True)

    def error(self, error_type: str, message: str) -> bytes:
        return json.dumps({"errorType": error_type, "errorMessage": message}).encode()

    def fail_with(self, content: bytes, *, log: bool = False) -> None:
        if self._status is not None:
            return
        if log:
            error = json.loads(content)
            self._output.drain()
            os.write(1, f"{error['errorMessage']}\n{error['errorType']}\n".encode())
        self._status = 1
        if not self.initialised:
            self._send(frames.INIT_ERROR, self._started, content)
        elif self.current is not None:
            self._finish(self.current, frames.FATAL, content)

    # The daemon.

    def _read_frames(self) -> None:
        try:
            data = self._connection.recv(RECEIVE)
        except OSError:
            data = b""
        if not data:
            self._stop()
            return
        self._frames.feed(data)
        now = time.monotonic()
        for kind, body in self._frames.frames():
            self._asked.append(Invocation(*frames.read_invoke(body), in_pieces=kind == frames.STREAM, started=now))
        self.go_on()

    def _send(self, kind: int, started: float, content: bytes) -> None:
        duration = (time.monotonic() - started) * 1000
        if kind != frames.PIECE and (duration > UNMEASURED_MS or not self._usage[1]):
            self._usage = (cpu_ms(self._programs()), peak_kib(self._programs()) or self._usage[1])
        log_end = self._output.drain()
        self._connection.sendall(frames.pack(kind, frames.MEASURES.pack(duration, started, *self._usage, log_end, 0), content))

    def _stop(self) -> None:
        """The daemon lets the environment go: extensions are told, and have a moment."""
        if not self.extensions.all:
            self._status = 0
            return
        external = any(one.external for one in self.extensions.all)
        seconds = SHUTDOWN_SECONDS if external else SHUTDOWN_SECONDS_INTERNAL
        self._selector.unregister(self._connection)
        self._stopping_at = time.monotonic() + seconds
        self.extensions.tell(SHUTDOWN, {"shutdownReason": "spindown", "deadlineMs": int((time.time() + seconds) * 1000)})
        asked = {one.name for one in self.extensions.all if SHUTDOWN in one.events}
        for program in self._external:
            if program.name not in asked:
                program.signal(signal.SIGKILL)
        if self.runtime.program is not None:
            self.runtime.program.signal(signal.SIGTERM)

    # Programs.

    def _accept(self) -> None:
        while True:
            try:
                connection, _address = self._listener.accept()
            except BlockingIOError:
                return
            self._clients = [one for one in self._clients if one.is_open]
            if len(self._clients) >= MOST_CLIENTS:
                connection.close()
                continue
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._clients.append(Client(connection, self._operations.route, self._selector))

    def _reap(self, awake: socket.socket) -> None:
        """Programs have ended. What they said before that is heard first."""
        awake.recv(4096)
        ended = [program for program in self._programs() if program.ended() is not None]
        if not ended:
            return
        self._accept()
        for client in self._clients:
            while client.is_open and client.read():
                pass
        for program in ended:
            if program is self.runtime.program:
                self._runtime_ended(program)
            else:
                self._external.remove(program)
                self._extension_ended(program)
        if self._stopping_at and not self._programs():
            self._status = 0

    def _runtime_ended(self, program: Program) -> None:
        self.runtime.program = None
        self.runtime.waiting.clear()
        current = self.current
        if self._stopping_at or self._status is not None:
            return
        code = program.ended() or 0
        if code == -signal.SIGKILL and (not self.initialised or (current is not None and current.answer is None)):
            self._end_as_killed()
        if not self.initialised or (current is not None and current.answer is None and (current.delivered or self.runtime.state == "Started")):
            self.fail("Runtime.ExitError", end_text(code))
            return
        self.runtime = Runtime()  # between two invocations: the next one starts it anew
        self.go_on()

    def _end_as_killed(self) -> NoReturn:
        """Somebody killed the runtime, the kernel perhaps, for want of memory: only the daemon can tell, which asks how this process ended."""
        self._output.drain()
        for program in self._external:
            program.signal(signal.SIGKILL)
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError("this process is dead")

    def _extension_ended(self, program: Program) -> None:
        if self._stopping_at or self._status is not None:
            return
        name, code = program.name, program.ended() or 0
        failed = next((one.state for one in self.extensions.all if one.name == name and one.state in ("InitError", "ExitError")), "")
        how = f"signal: {signal.strsignal(-code)}" if code < 0 else f"exit status {code}"
        self.fail(f"Extension.{failed or 'Crash'}", f"extension {name} ended: {how}")
        if self._status is None:
            self._status = 1  # nothing runs: the next invocation gets another environment
