"""A real server for the tests of the AWS protocols: uvicorn in a thread of its own, and boto3 as the independent other side."""

from __future__ import annotations

import asyncio
import inspect
import socket
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

import boto3
import pytest
import uvicorn
from botocore.config import Config

from eventflow.aws.credentials import Credentials
from eventflow.aws.endpoint import Endpoint
from eventflow.aws.operation import Service
from eventflow.aws.s3 import S3Service
from eventflow.clock import Clock, SystemClock
from eventflow.database import Database
from eventflow.http_protocol import Protocol
from eventflow.http_server import listen
from tests.patience import PATIENCE

T = TypeVar("T")
Scope = Literal["function", "module", "session"]
ACCOUNT = "000000000000"
REGION = "us-east-1"
#: ``(database, clock, account, tmp_path)`` to services, at once or awaited; it runs on the server's loop.
Builder = Callable[[Database, Clock, str, Path], Sequence[Service] | Awaitable[Sequence[Service]]]


class QuickUvicorn(uvicorn.Server):
    """Uvicorn that says when it listens and stops at once: its own ticks would cost every test a tenth of a second, twice."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = threading.Event()
        self.stopping = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        await self.on_tick(0)
        self.listening.set()

    async def main_loop(self) -> None:
        await self.stopping.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()


class AwsServer:
    """A running endpoint. ``client("s3")`` is a boto3 client of it, ``run`` runs a coroutine on its loop and returns the value."""

    def __init__(self, builder: Builder, folder: Path, session: boto3.Session, clock: Clock, **options: Any) -> None:
        self.clock = clock
        self.credentials = Credentials.create()
        self.database = Database(folder / "aws.db")
        self._session = session
        self._builder, self._folder, self._options = builder, folder, options
        self._socket = listen("127.0.0.1", 0)
        self.port = self._socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._failure: BaseException | None = None
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="aws-server")
        self._thread.start()
        self._ready.wait()
        if self._failure is not None:
            self.close()
            raise self._failure

    def _serve(self) -> None:
        try:
            asyncio.run(self._main())
        except BaseException as failure:
            self._failure = failure
        finally:
            self._ready.set()

    async def _main(self) -> None:
        self.loop = asyncio.get_running_loop()
        services = self._builder(self.database, self.clock, ACCOUNT, self._folder)
        if inspect.isawaitable(services):
            services = await services
        self.services = {service.name: service for service in services}
        self.endpoint = Endpoint(services, self.credentials, self.clock, ACCOUNT, REGION, **self._options)
        config = uvicorn.Config(self.endpoint, http=Protocol, ws="none", lifespan="off", log_config=None, access_log=False)
        self._uvicorn = QuickUvicorn(config)
        serving = asyncio.create_task(self._uvicorn.serve([self._socket]))
        await asyncio.get_running_loop().run_in_executor(None, self._uvicorn.listening.wait, 10)
        self._ready.set()
        await serving

    def client(self, service: str, *, access_key: str | None = None, secret_key: str | None = None, region: str = REGION, **config: Any) -> Any:
        """A boto3 client with the right credentials; ``config`` goes to botocore's Config (retries are off unless it says otherwise)."""
        endpoint = config.pop("endpoint_url", self.url)
        make: Any = self._session.client  # its stubs know every service by a literal name, and no variable
        return make(
            service,
            region_name=region,
            endpoint_url=endpoint,
            aws_access_key_id=access_key or self.credentials.access_key,
            aws_secret_access_key=secret_key or self.credentials.secret_key,
            aws_session_token=config.pop("session_token", None),
            config=Config(**{"retries": {"total_max_attempts": 1}, **config}),
        )

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(timeout=PATIENCE)

    def close(self) -> None:
        if self._failure is None:
            for service in self.services.values():
                if isinstance(service, S3Service):
                    service.objects.close()
            self.loop.call_soon_threadsafe(self._uvicorn.stopping.set)
        self._thread.join()
        self._socket.close()
        self.database.close()


@pytest.fixture(scope="session")
def boto_session() -> boto3.Session:
    """One session for all clients: what botocore has read of its models it reads once."""
    return boto3.Session()


@pytest.fixture
def serve(tmp_path: Path, boto_session: boto3.Session) -> Iterator[Callable[..., AwsServer]]:
    """``serve(builder, clock=None, **endpoint_options)`` starts a server that lives as long as the test."""
    servers: list[AwsServer] = []

    def start(builder: Builder, clock: Clock | None = None, **options: Any) -> AwsServer:
        folder = tmp_path / f"server-{len(servers)}"
        folder.mkdir()
        servers.append(AwsServer(builder, folder, boto_session, clock or SystemClock(), **options))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def server_of(builder: Builder, scope: Scope = "function", **options: Any) -> Any:
    """A fixture: a server of these services, one for each test, module or run."""

    @pytest.fixture(scope=scope)
    def server(tmp_path_factory: pytest.TempPathFactory, boto_session: boto3.Session) -> Iterator[AwsServer]:
        server = AwsServer(builder, tmp_path_factory.mktemp("server"), boto_session, SystemClock(), **options)
        yield server
        server.close()

    return server


def client_of(service: str, scope: Scope = "function", **config: Any) -> Any:
    """A fixture: a boto3 client of the fixture ``server``."""

    @pytest.fixture(scope=scope)
    def client(server: Any) -> Any:
        return server.client(service, **config)

    return client
