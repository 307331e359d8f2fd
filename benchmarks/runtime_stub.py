"""The least that a Runtime API can cost: awslambdaric against a socket that answers at once, and how long each invocation takes it.

Run alone: ``python -m benchmarks.runtime_stub [INVOCATIONS]``. What a runtime takes longer than
this over eventflow's Runtime API is eventflow's part.
"""

from __future__ import annotations

import os
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

INVOCATIONS = 2_000
WARM_UP = 50
WAIT_SECONDS = 30
HANDLER = "def handler(event, context): return None\n"
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)
NEXT = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n"
    b"Lambda-Runtime-Aws-Request-Id: 8476a536-e9f4-11e8-9739-2dfe598c3fcd\r\n"
    b"Lambda-Runtime-Deadline-Ms: 9999999999999\r\nLambda-Runtime-Invoked-Function-Arn: arn:aws:lambda:us-east-1:000000000000:function:f\r\n\r\n{}"
)
ACCEPTED = b'HTTP/1.1 202 Accepted\r\nContent-Type: application/json\r\nContent-Length: 15\r\n\r\n{"status":"OK"}'


def request(connection: socket.socket, held: bytes) -> tuple[bytes, bytes]:
    """The first line of the next request, when all of it is there, and what has come after it; no bytes when the connection has ended."""
    while True:
        head, separator, rest = held.partition(b"\r\n\r\n")
        if separator:
            length = LENGTH.search(head + b"\r\n")
            end = int(length[1]) if length else 0
            if len(rest) >= end:
                return head.partition(b"\r\n")[0], rest[end:]
        data = connection.recv(65_536)
        if not data:
            return b"", b""
        held += data


def serve(listener: socket.socket, invocations: int) -> list[float]:
    """Seconds from the event that was sent to the response that has come, of each invocation. A runtime may connect anew at any time."""
    took: list[float] = []
    sent = 0.0
    while True:
        connection, _address = listener.accept()
        with connection:
            connection.settimeout(WAIT_SECONDS)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            held = b""
            while True:
                line, held = request(connection, held)
                if not line:
                    break
                if line.startswith(b"GET"):
                    if len(took) >= invocations:
                        return took
                    sent = time.perf_counter()
                    connection.sendall(NEXT)
                elif b"/response " in line:
                    took.append(time.perf_counter() - sent)
                    connection.sendall(ACCEPTED)
                else:
                    raise RuntimeError(f"awslambdaric failed: {line.decode(errors='replace')}")


def round_trip(invocations: int = INVOCATIONS) -> float:
    """The median in milliseconds."""
    with tempfile.TemporaryDirectory() as folder, socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(WAIT_SECONDS)
        (Path(folder) / "app.py").write_text(HANDLER)
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        variables = {**os.environ, "AWS_LAMBDA_RUNTIME_API": address, "LAMBDA_TASK_ROOT": folder, "AWS_LAMBDA_FUNCTION_NAME": "f"}
        runtime = subprocess.Popen([sys.executable, "-m", "awslambdaric", "app.handler"], cwd=folder, env=variables)
        try:
            return statistics.median(serve(listener, WARM_UP + invocations)[WARM_UP:]) * 1000
        finally:
            runtime.kill()
            runtime.wait()


if __name__ == "__main__":
    count = int(sys.argv[1]) if len(sys.argv) > 1 else INVOCATIONS
    print(f"awslambdaric on a stub, {count} invocations, p50: {round_trip(count):.3f} ms")
