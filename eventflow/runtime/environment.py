"""One environment as the daemon sees it: a process, the socket to it, its log file, its limits, and what it is running."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from eventflow.dispatch.invocation import Invocation
from eventflow.function import Function
from eventflow.outcome import Outcome, Status
from eventflow.runtime import frames, levels
from eventflow.runtime.limits import Confinement
from eventflow.runtime.nursery import Nursery
from eventflow.runtime.runtimes import runs_programs

RECEIVE = 262_144
TAIL = 4096
CLOSE_ON_EXEC = getattr(socket, "MSG_CMSG_CLOEXEC", 0)
#: Output is taken from the log file in pieces of this size.
PIECE = 1024 * 1024


class Phase(Enum):
    STARTING = "starting"
    IDLE = "idle"
    BUSY = "busy"
    ENDING = "ending"  # killed or closed; its exit has not been heard of yet


@dataclass(eq=False)
class Environment:
    """``in_flight`` are the invocations that were sent, the first of them running since ``since`` (monotonic seconds) until ``deadline``."""

    id: str
    function: Function
    nursery: Nursery
    connection: socket.socket
    log: int
    confinement: Confinement
    folder: Path
    since: float
    deadline: float
    phase: Phase = Phase.STARTING
    initialised: bool = False
    provisioned: bool = False  # started before anybody asked: its init belongs to no invocation
    pid: int = 0
    in_flight: deque[Invocation] = field(default_factory=deque)
    init_ms: float | None = None
    init_told: bool = False  # its platform.initStart is in the log
    slots: int = 0  # of the concurrency that it holds: one, or one for each synchronous invocation
    announced: bool = False  # the START line of the first in flight is in the log
    cpu_ms: float = 0.0
    log_offset: int = 0
    tail: bytes = b""
    verdict: Outcome | None = None  # why we killed it
    log_stream: str = ""
    answers: int = -1
    _answers_offset: int = 0
    _answered: frames.Buffer = field(default_factory=frames.Buffer)
    _buffer: frames.Buffer = field(default_factory=frames.Buffer)
    _unsent: bytearray = field(default_factory=bytearray)

    def __post_init__(self) -> None:
        self.launched = self.since

    def began(self, at: float) -> None:
        """The first in flight has been running since this monotonic instant."""
        self.since = at
        self.announced = False
        self.tail = b""

    @property
    def is_held_up(self) -> bool:
        """Whether the reader of its streamed response has no room: until it has, nothing is to be read from the process, which then waits."""
        stream = self.in_flight[0].stream if self.in_flight else None
        return stream is not None and stream.on_room is not None

    def send(self, data: bytes) -> bool:
        """Send frames; False when the rest waits until the socket takes it (call ``send_rest`` then)."""
        if not self._unsent:
            try:
                data = data[self.connection.send(data) :]
            except BlockingIOError:
                pass
            except OSError:
                return True  # it is dying: its exit tells
        self._unsent += data
        return not self._unsent

    def send_rest(self) -> bool:
        pending, self._unsent = bytes(self._unsent), bytearray()
        return self.send(pending)

    def receive(self) -> tuple[list[frames.Answer], bool]:
        """What the process has told, in its order, and whether the socket is still open."""
        # Asked before the socket is read: what is in the file by now does not come after a message that the socket does not have yet.
        kept = os.lseek(self.answers, 0, os.SEEK_END) if self.answers >= 0 and len(self.in_flight) > 1 else 0
        is_open = True
        try:
            data = self.connection.recv(RECEIVE) if self.initialised else self._receive_first()
            is_open = bool(data)
        except BlockingIOError:
            data = b""
        except OSError:
            data, is_open = b"", False
        self._buffer.feed(data)
        received: list[frames.Answer] = []
        for kind, body in self._buffer.frames():
            answer = frames.read_answer(kind, body)
            received += self._answers_until(answer.before)
            received.append(answer)
        received += self._answers_until(kept)
        return received, is_open

    def _receive_first(self) -> bytes:
        """What a process sends that starts; the answers file comes with the frame that says it is ready."""
        data, descriptors, _flags, _address = socket.recv_fds(self.connection, RECEIVE, 1, CLOSE_ON_EXEC)
        for descriptor in descriptors:
            os.set_inheritable(descriptor, False)
            self.answers = descriptor
        return data

    def _answers_until(self, end: int) -> list[frames.Answer]:
        if end <= self._answers_offset:
            return []
        data = os.pread(self.answers, end - self._answers_offset, self._answers_offset)
        self._answers_offset = end
        self._answered.feed(data)
        return [frames.read_answer(kind, body) for kind, body in self._answered.frames()]

    def drain(self, end: int | None, sink: Callable[[bytes], None]) -> None:
        """Hand on the output that is in the log file up to ``end`` (None: all there is)."""
        if end is None:
            end = os.fstat(self.log).st_size
        while self.log_offset < end:
            data = os.pread(self.log, min(PIECE, end - self.log_offset), self.log_offset)
            if not data:
                return
            if levels.filters(self.function):
                if self.log_offset + len(data) < end:  # a line is cut: the rest of it comes with the next piece
                    data = data[: data.rfind(b"\n") + 1] or data
                self.log_offset += len(data)
                data = levels.kept(self.function, data)
            else:
                self.log_offset += len(data)
            self.tail = (self.tail + data)[-TAIL:]
            sink(data)

    def shrink(self) -> None:
        """Give the room of large files back, while nothing runs that could write to them."""
        if self.log_offset > PIECE:
            os.ftruncate(self.log, 0)
            self.log_offset = 0
        if self._answers_offset > PIECE:
            os.ftruncate(self.answers, 0)
            self._answers_offset = 0

    def kill(self, verdict: Outcome | None = None) -> None:
        """End the whole process group now; ``verdict`` is the outcome of what it was running."""
        self.verdict = self.verdict or verdict
        self.phase = Phase.ENDING
        if self.pid:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(self.pid, signal.SIGKILL)  # in case it has not become a group leader yet

    def let_go(self) -> None:
        """End one that runs nothing. Programs beside its process, which are Lambda's extensions, are told first, and have a moment."""
        if not runs_programs(self.function.package, self.function.environment):
            self.kill()
            return
        self.phase = Phase.ENDING
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_WR)

    def release(self) -> None:
        """Close and remove everything that belonged to it."""
        self.kill()
        self.connection.close()
        os.close(self.log)
        if self.answers >= 0:
            os.close(self.answers)
        self.confinement.release()
        shutil.rmtree(self.folder, ignore_errors=True)


def initialization_type(environment: Environment) -> str:
    """Lambda's word for why the init runs."""
    if environment.provisioned:
        return "provisioned-concurrency"
    return "snap-start" if environment.function.snap_start else "on-demand"


def failed(error_type: str, message: str, *, status: Status = Status.FUNCTION_ERROR) -> Outcome:
    """The outcome of an invocation that did not come back, with Lambda's error object."""
    body = json.dumps({"errorType": error_type, "errorMessage": message}).encode()
    return Outcome(status, body, error_type, message)
