"""WebSocket APIs: memory of an idle connection, and the round trip of a message, beside uvicorn's own two implementations of the protocol.

    python -m benchmarks.websockets [CONNECTIONS]

The clients are raw sockets in a process of their own. Memory is the server's proportional set size (PSS), and what the kernel says its sockets hold.
"""

import asyncio
import json
import os
import resource
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks.measure import Figure, Value, percentile, show
from tests.process.daemon_process import daemon

CONNECTIONS = 10_000
PEER_CONNECTIONS = 2_000
#: Handshakes at once.
AT_ONCE = 128
MESSAGES = {1: 500, 100: 3000}
FLOODED = 200
CODE = """
from triggers import WebSocket
@app.on(WebSocket("echo", route_response_selection_expression="$default"))
def echo(event, context):
    return {"statusCode": 200, "body": event["body"]}
@app.on(WebSocket("$disconnect"))
def gone(event, context):
    return {"statusCode": 200}
"""
#: uvicorn's implementations, and the library that each is made of.
PEERS = {"websockets-sansio": "websockets", "wsproto": "wsproto"}
PEER = """
import asyncio, sys, uvicorn
async def app(scope, receive, send):
    assert scope["type"] == "websocket"
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": message["text"]})
uvicorn.run(app, port=int(sys.argv[1]), ws=sys.argv[2], log_level="warning", ws_per_message_deflate=False, lifespan="off")
"""
MESSAGE = json.dumps({"action": "echo", "text": "x" * 32}).encode()
FRAME = bytes((0x81, 0x80 | len(MESSAGE))) + bytes(4) + MESSAGE  # the mask of zeros leaves a message as it is


# The clients' process.


async def opened(port: int, path: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=4096)
    writer.write(
        f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nUser-Agent: benchmark\r\n\r\n".encode()
    )
    head = await reader.readuntil(b"\r\n\r\n")
    assert b" 101 " in head, head
    return reader, writer


async def echoed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, count: int, times: list[float]) -> None:
    for _ in range(count):
        begin = time.perf_counter()
        writer.write(FRAME)
        answer = await reader.readexactly(2 + len(MESSAGE))
        times.append((time.perf_counter() - begin) * 1000)
        assert answer[2:] == MESSAGE


async def flooding(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send messages as fast as they are taken, and read the answers."""

    async def read() -> None:
        while await reader.read(65_536):
            pass

    reading = asyncio.create_task(read())
    try:
        while True:
            writer.write(FRAME * 100)
            await writer.drain()
    finally:
        reading.cancel()


async def clients(port: int, path: str, count: int) -> None:
    """Open the connections, say so, and answer lines from the parent: a number of clients that send messages, or the end."""
    gate = asyncio.Semaphore(AT_ONCE)
    begin = time.perf_counter()

    async def one() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        async with gate:
            return await opened(port, path)

    open_ones = await asyncio.gather(*[one() for _ in range(count)])
    print(json.dumps({"seconds": time.perf_counter() - begin}), flush=True)
    while line := (await asyncio.to_thread(sys.stdin.readline)).strip():
        busy, messages = map(int, line.split())
        times: list[float] = []
        begin = time.perf_counter()
        if busy:
            await asyncio.gather(*[echoed(*pair, messages // busy, times) for pair in open_ones[:busy]])
        else:  # one, while another floods
            flood = asyncio.create_task(flooding(*open_ones[0]))
            await asyncio.sleep(0.5)
            await echoed(*open_ones[1], messages, times)
            flood.cancel()
        seconds = time.perf_counter() - begin
        print(json.dumps({"p50": percentile(times, 50), "p99": percentile(times, 99), "rate": len(times) / seconds}), flush=True)


# The parent.


class Clients:
    def __init__(self, port: int, path: str, count: int) -> None:
        command = [sys.executable, "-m", "benchmarks.websockets", "clients", str(port), path, str(count)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.opening = self._read()["seconds"]

    def _read(self) -> dict[str, float]:
        assert self.process.stdout is not None
        return dict(json.loads(self.process.stdout.readline()))

    def send(self, busy: int, messages: int) -> dict[str, float]:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{busy} {messages}\n")
        self.process.stdin.flush()
        return self._read()

    def end(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(30)


def pss(pid: int) -> int:
    """Bytes."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    raise AssertionError(pid)


def socket_memory() -> int:
    """Bytes that the kernel keeps for all TCP sockets of the machine."""
    line = next(line for line in Path("/proc/net/sockstat").read_text().splitlines() if line.startswith("TCP:"))
    return int(line.split()[-1]) * os.sysconf("SC_PAGE_SIZE")


def measure(pid: int, port: int, path: str, count: int, *, flooded: bool = False) -> dict[str, Any]:
    warm = Clients(port, path, 20)
    warm.send(1, 20)
    warm.end()
    time.sleep(1)
    before, kernel = pss(pid), socket_memory()
    held = Clients(port, path, count)
    time.sleep(1.5)
    found: dict[str, Any] = {"bytes": (pss(pid) - before) / count, "kernel": (socket_memory() - kernel) / count, "opened": count / held.opening}
    found["whole"] = pss(pid)
    for busy, messages in MESSAGES.items():
        if busy <= count:
            found[str(busy)] = held.send(busy, messages)
    if flooded:
        found["flooded"] = held.send(0, FLOODED)
    held.end()
    return found


def ours(count: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder, daemon(Path(folder), CODE) as process:
        process.start("--gateway-port", "0")
        return measure(process.facts["pid"], int(process.facts["gateway"].rpartition(":")[2]), "/prod", count, flooded=True)


def peer(ws: str, count: int) -> dict[str, Any]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen([sys.executable, "-c", PEER, str(port), ws])
    try:
        end = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                assert time.monotonic() < end
                time.sleep(0.05)
        return measure(process.pid, port, "/", count)
    finally:
        process.terminate()
        process.wait(30)


def is_installed(library: str) -> bool:
    if find_spec(library) is None:
        print(f"skipped: uvicorn with {library}, which is not installed (pip install {library})", flush=True)
        return False
    return True


def figures(count: int = CONNECTIONS) -> list[Figure]:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    count = min(count, hard - 500)
    found = ours(count)
    others = {f"uvicorn alone, {ws}": peer(ws, min(count, PEER_CONNECTIONS)) for ws, library in PEERS.items() if is_installed(library)}

    def beside(value: Callable[[dict[str, Any]], float]) -> tuple[Value, ...]:
        return tuple(Value(name, value(other)) for name, other in others.items())

    def kilobytes(one: dict[str, Any]) -> float:
        return float(one["bytes"]) / 1024

    made = [
        Figure(f"memory of an idle WebSocket, of {count:,}", "KB", kilobytes(found), peers=beside(kilobytes)),
        Figure("the same, what the kernel's sockets hold", "KB", found["kernel"] / 1024),
        Figure(f"the daemon with {count:,} idle WebSockets", "MB", found["whole"] / 1024**2),
        Figure("WebSockets opened and on record", "1/s", found["opened"], peers=beside(lambda other: float(other["opened"]))),
    ]
    for busy in map(str, MESSAGES):
        for part in ("p50", "p99"):
            values = tuple(Value(name, float(other[busy][part])) for name, other in others.items())
            made.append(Figure(f"message through a function and back, {busy} clients, {part}", "ms", found[busy][part], peers=values))
    for part in ("p50", "p99"):
        made.append(Figure(f"the same, one client while another floods, {part}", "ms", found["flooded"][part]))
    return made


if __name__ == "__main__":
    if sys.argv[1:2] == ["clients"]:
        asyncio.run(clients(int(sys.argv[2]), sys.argv[3], int(sys.argv[4])))
    else:
        show(figures(int(sys.argv[1]) if len(sys.argv) > 1 else CONNECTIONS))
