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
from eventflow.runtime import frames
from eventflow.runtime.limits import Confinement
from eventflow.runtime.nursery import Nursery

RECEIVE = 262_144
TAIL = 4096
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
    pid: int = 0
    in_flight: deque[Invocation] = field(default_factory=deque)
    init_ms: float | None = None
    announced: bool = False  # the START line of the first in flight is in the log
    cpu_ms: float = 0.0
    log_offset: int = 0
    tail: bytes = b""
    verdict: Outcome | None = None  # why we killed it
    log_stream: str = ""
    _buffer: frames.Buffer = field(default_factory=frames.Buffer)
    _unsent: bytearray = field(default_factory=bytearray)

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

    def receive(self) -> tuple[list[tuple[int, bytes]], bool]:
        """The frames that have come, and whether the socket is still open."""
        try:
            data = self.connection.recv(RECEIVE)
        except BlockingIOError:
            return [], True
        except OSError:
            data = b""
        self._buffer.feed(data)
        return list(self._buffer.frames()), bool(data)

    def drain(self, end: int | None, sink: Callable[[bytes], None]) -> None:
        """Hand on the output that is in the log file up to ``end`` (None: all there is)."""
        if end is None:
            end = os.fstat(self.log).st_size
        while self.log_offset < end:
            data = os.pread(self.log, min(PIECE, end - self.log_offset), self.log_offset)
            if not data:
                return
            self.log_offset += len(data)
            self.tail = (self.tail + data)[-TAIL:]
            sink(data)

    def shrink_log(self) -> None:
        """Give the room of a large log file back, while nothing runs that could write to it."""
        if self.log_offset > PIECE:
            os.ftruncate(self.log, 0)
            self.log_offset = 0

    def kill(self, verdict: Outcome | None = None) -> None:
        """End the whole process group now; ``verdict`` is the outcome of what it was running."""
        self.verdict = self.verdict or verdict
        self.phase = Phase.ENDING
        if self.pid:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(self.pid, signal.SIGKILL)  # in case it has not become a group leader yet

    def release(self) -> None:
        """Close and remove everything that belonged to it."""
        self.kill()
        self.connection.close()
        os.close(self.log)
        self.confinement.release()
        shutil.rmtree(self.folder, ignore_errors=True)


def failed(error_type: str, message: str, *, status: Status = Status.FUNCTION_ERROR) -> Outcome:
    """The outcome of an invocation that did not come back, with Lambda's error object."""
    body = json.dumps({"errorType": error_type, "errorMessage": message}).encode()
    return Outcome(status, body, error_type, message)
