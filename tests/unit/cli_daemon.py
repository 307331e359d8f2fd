"""A stand-in for the daemon's control API: it answers what a test tells it to, and keeps what it was asked."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

TOKEN = "secret-token"


class ControlServer:
    """``answers`` maps ``"GET status"`` (with the query, if there is one) to a body, or to a list of bodies for one call after another;
    a body may be ``(status, body)``. ``asked`` holds ``(request, body)``."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.answers: dict[str, Any] = {}
        self.asked: list[tuple[str, Any]] = []
        self.url = ""

    def answer(self, request: str, token: str | None, body: Any) -> tuple[int, Any]:
        if token != f"Bearer {TOKEN}":
            return 401, {"error": "The control API needs the token from daemon.json in the state directory."}
        self.asked.append((request, body))
        if request not in self.answers:
            return 404, {"error": f"There is no {request}."}
        found = self.answers[request]
        if isinstance(found, list):
            found = found.pop(0)
        return found if isinstance(found, tuple) else (200, found)

    def announce(self, **changes: Any) -> None:
        facts = {"pid": os.getpid(), "url": self.url, "version": "0.1.0", "started_at": "2026-01-31T09:05:00.000Z", "token": TOKEN}
        self.state.mkdir(exist_ok=True)
        (self.state / "daemon.json").write_text(json.dumps(facts | changes))


@contextmanager
def control_server(state: Path) -> Iterator[ControlServer]:
    server = ControlServer(state)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            size = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(size)) if size else None
            request = f"{self.command} {self.path.removeprefix('/_eventflow/')}"
            status, said = server.answer(request, self.headers.get("Authorization"), body)
            data = said if isinstance(said, bytes) else json.dumps(said).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def do_POST(self) -> None:
            self.do_GET()

        def log_message(self, format: str, *args: Any) -> None:
            return

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.url = f"http://127.0.0.1:{http.server_port}"
    server.announce()
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        http.shutdown()
        thread.join()
        http.server_close()
