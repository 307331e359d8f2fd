"""A supervisor in a process of its own, with the test in the daemon's place: frames in, frames out."""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from eventflow.function import Function
from eventflow.runtime import frames
from tests.patience import PATIENCE

START = """
import json, os, socket, sys
from eventflow.runtime import runtime_api
os.setsid()
runtime_api.SHUTDOWN_SECONDS = float(sys.argv[3])  # Lambda's two seconds may pass on a slow machine before a program has run
sys.exit(runtime_api.Supervisor(socket.socket(fileno=int(sys.argv[1])), json.loads(sys.argv[2]), {}).run())
"""
VARIABLES = ("PATH", "PYTHONPATH", "HOME", "LANG")


class Direct:
    def __init__(self, folder: Path, function: Function, **variables: str) -> None:
        assert function.package is not None
        package = {"runtime": function.package.runtime, "folder": function.package.folder, "layers": list(function.package.layers)}
        described = {"name": function.name, "handler": function.handler, "memory": function.memory, "timeout": function.timeout, "version": "$LATEST"}
        self._log = folder / f"{function.name}.log"
        environment = {name: os.environ[name] for name in VARIABLES if name in os.environ}
        environment |= {"_HANDLER": function.handler, "AWS_LAMBDA_FUNCTION_NAME": function.name, **variables}
        self.connection, theirs = socket.socketpair()
        self.connection.settimeout(PATIENCE)
        self._buffer = frames.Buffer()
        self._answers: list[frames.Answer] = []
        with theirs, self._log.open("ab") as log:
            command = [sys.executable, "-c", START, str(theirs.fileno()), json.dumps({**described, "package": package}), str(PATIENCE)]
            self.process = subprocess.Popen(command, pass_fds=[theirs.fileno()], env=environment, stdout=log, stderr=log)

    def __enter__(self) -> "Direct":
        return self

    def __exit__(self, _type: type[BaseException] | None, _error: BaseException | None, _traceback: TracebackType | None) -> None:
        self.connection.close()
        self.process.kill()
        self.process.wait(PATIENCE)

    def answer(self) -> frames.Answer:
        """The next frame."""
        while not self._answers:
            data = self.connection.recv(262_144)
            assert data, f"the process has ended: {self.log()}"
            self._buffer.feed(data)
            self._answers += [frames.read_answer(kind, body) for kind, body in self._buffer.frames()]
        return self._answers.pop(0)

    def send(self, payload: Any = None, *, kind: int = frames.INVOKE, request_id: str = "id-1", context: str = "") -> None:
        self.connection.sendall(frames.invoke(request_id, "arn:f", "Root=1", context, json.dumps(payload).encode(), kind))

    def invoke(self, payload: Any = None, **how: Any) -> frames.Answer:
        self.send(payload, **how)
        return self.answer()

    def stream(self, payload: Any) -> tuple[bytes, frames.Answer]:
        """What came in pieces, and the end."""
        self.send(payload, kind=frames.STREAM)
        pieces = b""
        while (answer := self.answer()).kind == frames.PIECE:
            pieces += answer.content
        return pieces, answer

    def close(self) -> int:
        """Let the environment go, as a daemon does that gives it time; its exit status."""
        self.connection.close()
        return self.process.wait(PATIENCE)

    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def until_logged(self, text: str) -> None:
        end = time.monotonic() + PATIENCE
        while text not in self.log():
            assert time.monotonic() < end, self.log()
            time.sleep(0.005)
