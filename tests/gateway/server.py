"""A real gateway in this process: the daemon's own HTTP server on a thread of its own, functions that are called where they stand."""

from __future__ import annotations

import asyncio
import http.client
import inspect
import json
import socket
import threading
import time
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import urlsplit

from eventflow.app import App
from eventflow.clock import Clock, SystemClock
from eventflow.database import Database
from eventflow.dispatch.invocation import ResponseStream
from eventflow.gateway.composition import GatewayService
from eventflow.gateway.plugs import Surroundings
from eventflow.http_server import HttpServer
from eventflow.manifest import resolve_triggers
from eventflow.outcome import Outcome, Status
from eventflow.services.api_keys import ApiKeys
from eventflow.services.log_groups import LogGroups
from eventflow.services.logs import LogStore
from tests.patience import PATIENCE

T = TypeVar("T")
ACCOUNT = "123456789012"
REGION = "us-east-1"


@dataclass
class Response:
    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def __getitem__(self, name: str) -> str | None:
        """All values of a header, joined; None where there is none."""
        found = [value for key, value in self.headers if key.lower() == name.lower()]
        return ", ".join(found) if found else None

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name.lower()]

    @property
    def text(self) -> str:
        return self.body.decode()

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class GatewayServer:
    """``request`` asks over HTTP, ``raw`` sends bytes and returns all that came back until the server closes or falls silent. Handlers are those of
    ``app``, run in threads; ``events`` are what they were called with."""

    app: App
    clock: Clock = field(default_factory=SystemClock)
    credentials: Mapping[str, str] = field(default_factory=lambda: {"AKIDEXAMPLE": "secret"})
    options: Mapping[str, Any] = field(default_factory=dict)
    surroundings: Mapping[str, Any] = field(default_factory=dict)
    access_files: LogStore | None = None
    events: list[Any] = field(default_factory=list)
    emitted: set[str | None] = field(default_factory=set)

    def start(self) -> None:
        self.database = Database(":memory:")
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="gateway")
        self._thread.start()
        try:
            self.run(self._open())
        except BaseException:
            self._end()
            raise

    def close(self) -> None:
        self.run(self.service.stop())
        self.run(self._server.close())
        self._end()

    def _end(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self.database.close()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()
        for task in asyncio.all_tasks(self._loop):  # as a daemon does that ends
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0.01))
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE)

    async def _open(self) -> None:
        self.api_keys = ApiKeys(self.database, self.clock)
        await self.api_keys.open()
        self.log_groups = LogGroups(self.database, self.clock)
        await self.log_groups.open()
        around = Surroundings(
            self.clock,
            ACCOUNT,
            REGION,
            self._invoke,
            self.database,
            self.credentials,
            self.api_keys,
            self.access_files,
            self.log_groups,
            **{"emit_many": self._emit_many, **self.surroundings},
        )
        self.service = GatewayService(around)
        self.load(self.app)
        self._server = HttpServer("127.0.0.1", 0, **self.options)
        self.url = self._server.url
        self.port = int(urlsplit(self.url).port or 0)
        self._server.serve(self.service.app, self.service.accept)

    def load(self, app: App) -> None:
        """Make another application the one that answers, as a reload does."""
        manifest = app.manifest()
        table = self.service.compile(manifest.app, manifest.resources, resolve_triggers(manifest))
        self.app = app
        self.service.take_up(table)

    @property
    def connections(self) -> int:
        """How many connections the server holds."""
        server = self._server._server
        return 0 if server is None else len(server.server_state.connections)

    async def _invoke(
        self,
        function: str,
        payload: bytes,
        *,
        trace: str | None = None,
        client_context: str = "",
        request_id: str | None = None,
        stream: ResponseStream | None = None,
    ) -> Outcome:
        handler = self.app.handler(function)
        event = json.loads(payload)
        self.events.append(event)
        try:
            value = await asyncio.get_running_loop().run_in_executor(None, handler, event, None)
            if inspect.isawaitable(value):
                value = await value
            return Outcome(Status.SUCCESS, json.dumps(value).encode())
        except Exception as error:
            return Outcome(Status.FUNCTION_ERROR, json.dumps({"errorMessage": str(error)}).encode(), type(error).__name__, str(error))

    async def _emit_many(
        self, function: str, payloads: Sequence[bytes], *, keys: Sequence[str | None] | None = None, trace: str | None = None, source: str = ""
    ) -> list[str]:
        """Run them now, each key once, as the journal takes it once."""
        for payload, key in zip(payloads, keys or [None] * len(payloads), strict=True):
            if key is None or key not in self.emitted:
                self.emitted.add(key)
                await self._invoke(function, payload)
        return [""] * len(payloads)

    def request(self, method: str, path: str, body: bytes | str | None = None, headers: Mapping[str, str] | None = None) -> Response:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            connection.request(method, path, body, dict(headers or {}))
            answer = connection.getresponse()
            return Response(answer.status, answer.getheaders(), answer.read())
        finally:
            connection.close()

    def get(self, path: str, **headers: str) -> Response:
        return self.request("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})

    def raw(self, data: bytes, silence: float = 0.3) -> bytes:
        """What came back for these bytes, until the server closed the connection or, after its first words, said nothing for so many seconds."""
        with socket.create_connection(("127.0.0.1", self.port), PATIENCE) as connection:
            connection.sendall(data)
            received = b""
            try:
                while piece := connection.recv(65536):
                    received += piece
                    connection.settimeout(silence)
            except (TimeoutError, ConnectionResetError):
                pass
            return received

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), PATIENCE)


@contextmanager
def gateway(app: App, **given: Any) -> Iterator[GatewayServer]:
    server = GatewayServer(app, **given)
    server.start()
    try:
        yield server
    finally:
        server.close()


def until(condition: Any, seconds: float = PATIENCE) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)
