"""``eventflow invoke --debug`` in a real daemon, with a client of the Debug Adapter Protocol that is written out here."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.patience import DAEMON, PATIENCE
from tests.process.daemon_process import DaemonProcess, alive, children_of, daemon

CODE = """
    import os
    print("imported")

    @app.function(timeout=1)
    def add(event, context):
        a = event["a"]
        total = a + 1
        return {"total": total, "pid": os.getpid(), "version": context.function_version, "arn": context.invoked_function_arn}

    @app.function(reserved_concurrency=1)
    def other(event, context):
        return "other"
"""
#: Lines of the application's file: three are its header.
AT_IMPORT, AT_TOTAL = 6, 11


@pytest.fixture
def running(tmp_path: Path) -> Iterator[DaemonProcess]:
    with daemon(tmp_path, CODE) as process:
        process.start()
        yield process


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Dap:
    """A client of the protocol: JSON behind a Content-Length, over TCP."""

    def __init__(self, port: int) -> None:
        end = time.monotonic() + DAEMON
        while True:
            try:
                self._socket = socket.create_connection(("127.0.0.1", port), PATIENCE)
                break
            except ConnectionRefusedError:
                assert time.monotonic() < end, "nobody listens"
                time.sleep(0.05)
        self._file = self._socket.makefile("rb")
        self._sequence = 0
        self._events: list[dict[str, Any]] = []
        self._responses: dict[int, dict[str, Any]] = {}

    def send(self, command: str, **arguments: Any) -> int:
        self._sequence += 1
        body = json.dumps({"seq": self._sequence, "type": "request", "command": command, "arguments": arguments}).encode()
        self._socket.sendall(b"Content-Length: %d\r\n\r\n" % len(body) + body)
        return self._sequence

    def ask(self, command: str, **arguments: Any) -> Any:
        return self.answer(self.send(command, **arguments))

    def answer(self, sequence: int) -> Any:
        while sequence not in self._responses:
            self._read()
        answer = self._responses.pop(sequence)
        assert answer["success"], answer
        return answer.get("body")

    def event(self, name: str) -> dict[str, Any]:
        while True:
            for one in self._events:
                if one["event"] == name:
                    self._events.remove(one)
                    return one
            self._read()

    def _read(self) -> None:
        length = 0
        while line := self._file.readline().strip():
            name, _, value = line.partition(b":")
            length = int(value) if name == b"Content-Length" else length
        assert length, "the debugger closed the connection"
        message = json.loads(self._file.read(length))
        if message["type"] == "event":
            self._events.append(message)
        elif message["type"] == "response":
            self._responses[message["request_seq"]] = message

    def attach(self, file: Path, *lines: int) -> None:
        self.ask("initialize", adapterID="test", clientID="test", linesStartAt1=True, columnsStartAt1=True, pathFormat="path")
        attached = self.send("attach", request="attach", connect={"host": "127.0.0.1"}, justMyCode=False)
        self.event("initialized")
        self.ask("setBreakpoints", source={"path": str(file)}, breakpoints=[{"line": line} for line in lines])
        self.ask("configurationDone")
        self.answer(attached)

    def stopped(self) -> tuple[int, int, int]:
        """The thread that stopped, its frame and the line."""
        thread = self.event("stopped")["body"]["threadId"]
        frame = self.ask("stackTrace", threadId=thread)["stackFrames"][0]
        return thread, frame["id"], frame["line"]

    def close(self) -> None:
        self._file.close()
        self._socket.close()


def invoke(running: DaemonProcess, port: int, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "eventflow", "invoke", *arguments, "--debug", "--debug-port", str(port), "--state", str(running.state)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=running.folder)


@pytest.mark.slow
def test_a_debugger_stops_in_a_function(running: DaemonProcess, request: pytest.FixtureRequest) -> None:
    """At the import and in the handler; a change made there counts, and a second more than the function's time limit does not."""
    port = free_port()
    asking = invoke(running, port, "add", "--payload", '{"a": 1}')
    request.addfinalizer((client := Dap(port)).close)
    client.attach(running.app, AT_IMPORT, AT_TOTAL)
    thread, _frame, line = client.stopped()
    assert line == AT_IMPORT
    client.ask("continue", threadId=thread)
    thread, frame, line = client.stopped()
    assert line == AT_TOTAL
    assert client.ask("evaluate", expression="a", frameId=frame, context="watch")["result"] == "1"
    client.ask("evaluate", expression="a = 41", frameId=frame, context="repl")
    assert running.control("functions/other/invoke", {"payload": {}})["payload"] == "other"  # others are not held up
    time.sleep(1.5)  # longer than the function may take
    client.ask("continue", threadId=thread)
    out, said = asking.communicate(timeout=DAEMON)
    answer = json.loads(out)
    assert answer["total"] == 42
    assert (answer["version"], answer["arn"].rpartition(":")[2]) == ("$LATEST", "add")
    assert '"request": "attach"' in said
    assert f'"port": {port}' in said
    client.close()
    running.until(lambda: not alive(answer["pid"]), "the environment of the debugged invocation has ended")
    again = running.control("functions/add/invoke", {"payload": {"a": 1}})["payload"]
    assert again["total"] == 2
    assert again["pid"] != answer["pid"]
    port_is_free = socket.socket()
    port_is_free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)

    def bound() -> bool:
        try:
            port_is_free.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True

    running.until(bound, "nobody listens on the port any more")
    port_is_free.close()


@pytest.mark.slow
def test_who_gives_up_waiting_ends_the_environment(running: DaemonProcess) -> None:
    port = free_port()
    asking = invoke(running, port, "add", "--payload", '{"a": 1}')
    Dap(port).close()  # it listens, and nobody attaches
    asking.terminate()  # not SIGINT, which what runs in a shell's background ignores
    asking.communicate(timeout=DAEMON)

    def refused() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) != 0

    running.until(refused, "the environment has ended")
    asking = invoke(running, port, "add", "--payload", '{"a": 1}')
    client = Dap(port)
    client.attach(running.app)
    assert json.loads(asking.communicate(timeout=DAEMON)[0])["total"] == 2
    client.close()


@pytest.mark.slow
def test_what_cannot_be_debugged(running: DaemonProcess) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = int(taken.getsockname()[1])
        asking = invoke(running, port, "add", "--payload", '{"a": 1}')
        _out, said = asking.communicate(timeout=DAEMON)
        assert asking.returncode == 1
        assert f"cannot be waited for on 127.0.0.1:{port}" in said
    done = running.cli("invoke", "nobody", "--debug")
    assert (done.returncode, "There is no function" in done.stderr or "No function" in done.stderr) == (1, True), done.stderr
    assert running.cli("invoke", "add", "--debug", "--async").returncode == 2
    assert running.process is not None
    assert running.cli("invoke", "other").stdout == '"other"\n'
    assert children_of(running.process.pid)
