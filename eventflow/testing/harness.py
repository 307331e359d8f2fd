"""The harness: an application with everything behind it in the test's own process, on a clock that the test moves."""

from __future__ import annotations

import asyncio
import http.client
import json
import logging
import threading
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from eventflow.app import App
from eventflow.aws.credentials import Credentials
from eventflow.aws.endpoint import Endpoint
from eventflow.composition import Core
from eventflow.database import Database
from eventflow.errors import EventflowError
from eventflow.function import Function
from eventflow.gateway.composition import GatewayService
from eventflow.gateway.plugs import Surroundings
from eventflow.http_server import HttpServer
from eventflow.journals import history
from eventflow.manifest import resolve_triggers
from eventflow.outcome import Outcome
from eventflow.target import FunctionTarget
from eventflow.testing.inline import InlineRunner
from eventflow.testing.virtual_clock import VirtualClock
from eventflow.trigger import Trigger

T = TypeVar("T")

ACCOUNT, REGION = "000000000000", "us-east-1"
ACCESS_KEY = SECRET_KEY = "testing"  # noqa: S105 - the endpoint of a test takes any
#: Real seconds that anything may take before a test is told that it hangs.
PATIENCE = 60.0
log = logging.getLogger("eventflow.testing")


@dataclass(frozen=True)
class Answer:
    """What a request was answered."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    def json(self) -> Any:
        return json.loads(self.body)


class Harness:
    """Buckets, queues, tables, journal and dispatcher on a database in ``folder``, an AWS endpoint on a loopback port, and handlers that run in
    this process. Nothing runs between two calls: each returns when all that it set off is done.

    ``url`` and ``variables`` (the ``AWS_...`` environment) are for clients; the pytest fixture ``eventflow_harness`` sets them for the test.
    ``gateway`` is the address of the API gateway, empty for an application that has no routes.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = VirtualClock()
        self._started = threading.Event()
        self._failure: BaseException | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run_loop, name="eventflow-harness", daemon=True)
        self._thread.start()
        try:
            self._call(self._open())
        except BaseException:
            self._end_loop()
            raise

    # For tests.

    @property
    def variables(self) -> dict[str, str]:
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def start(self, app: App) -> None:
        """Take up an application: make its buckets, queues and tables, and watch its triggers."""
        self._call(self._start(app))

    def client(self, service: str, **options: Any) -> Any:
        """A boto3 client of this harness. What it causes is done only after ``drain``."""
        import boto3

        session: Any = boto3.Session(ACCESS_KEY, SECRET_KEY, region_name=REGION)
        return session.client(service, endpoint_url=self.url, **options)

    def bucket_path(self, name: str) -> Path:
        """The directory of a bucket, to put files into by hand."""
        return self._call(self._core.objects.source(name)).path

    def emit(self, function: str, event: Any, *, id: str | None = None) -> str:
        """Submit an asynchronous event and drain; its request id."""
        request_id = self._call(self._core.dispatcher.emit(function, json.dumps(event).encode(), key=id, source="test"))
        self.drain()
        return request_id

    def invoke(self, function: str, event: Any) -> Outcome:
        """Run a function now; what it caused is drained."""
        outcome = self._call(self._core.dispatcher.invoke(function, json.dumps(event).encode()))
        self.drain()
        return outcome

    def request(self, method: str, path: str, body: bytes | str | None = None, headers: Mapping[str, str] | None = None) -> Answer:
        """What the application's API gateway answers; what the request caused is drained."""
        if not self.gateway:
            raise EventflowError("The application has no routes and no function URLs, so that there is no gateway to ask.")
        connection = http.client.HTTPConnection(urlsplit(self.gateway).netloc, timeout=PATIENCE)
        try:
            connection.request(method, path, body, dict(headers or {}))
            found = connection.getresponse()
            answer = Answer(found.status, found.getheaders(), found.read())
        finally:
            connection.close()
        self.drain()
        return answer

    def drain(self) -> None:
        """Look at every source and run what is due, until nothing is left to do at this instant."""
        self._call(self.clock.advance(0))

    def advance(self, duration: float | str) -> None:
        """Let time pass (``"2m"``, ``90``): schedules, retries, delays and time-outs happen in order, each drained before the next."""
        self._call(self.clock.advance(duration))

    def event(self, request_id: str) -> dict[str, Any]:
        """What the journal knows of an event: state, reason, attempts, payload."""
        found = self._call(self._core.database.read(lambda connection: history.show_event(connection, request_id)))
        if found is None:
            raise EventflowError(f"The journal has no event {request_id}.")
        return found

    def events(self, function: str | None = None, state: str | None = None) -> list[dict[str, Any]]:
        """The newest thousand events first, of one function or in one state (``ready``, ``waiting``, ``done``, ``dead``) if asked for."""
        listed, _more = self._call(
            self._core.database.read(lambda connection: history.list_events(connection, state=state, function=function, limit=1000, before=None))
        )
        return listed

    @property
    def exceptions(self) -> list[Exception]:
        """What handlers have raised so far, oldest first."""
        return self._runner.exceptions if self._runner is not None else []

    def reports(self) -> list[str]:
        """What triggers have reported."""
        return [message for _trigger, target in self._swept for message in target.reports]

    def close(self) -> None:
        self._call(self._close())
        self._end_loop()

    # On the loop's thread.

    async def _open(self) -> None:
        self._runner: InlineRunner | None = None
        self._swept: list[tuple[Trigger, FunctionTarget]] = []
        self._running: list[asyncio.Task[None]] = []
        self.folder.mkdir(parents=True, exist_ok=True)
        self._database = Database(self.folder / "harness.db")
        self._core = Core(self._database, self.clock, buckets=self.folder / "buckets", account=ACCOUNT, region=REGION)
        await self._core.open()
        self._server = HttpServer("127.0.0.1", 0)
        self.url = self._server.url
        endpoint = Endpoint(self._core.aws_services("python3.11"), Credentials(ACCESS_KEY, SECRET_KEY), self.clock, ACCOUNT, REGION, open=True)
        self._server.serve(endpoint)
        self._gateway = self._new_gateway()
        self._gateway_server: HttpServer | None = None
        self.gateway = ""
        self.clock.also_settle(self._core.objects.settle)
        self.clock.also_settle(self._core.tables.upkeep.settle)
        self.clock.also_settle(self._core.tables.streams.trimming.settle)
        self.clock.also_settle(self._core.schedules.settle)
        self.clock.also_settle(self._core.buses.settle)
        self.clock.also_settle(self._settle)

    def _new_gateway(self) -> GatewayService:
        core = self._core
        around = Surroundings(
            self.clock,
            ACCOUNT,
            REGION,
            core.dispatcher.invoke,
            self._database,
            Credentials(ACCESS_KEY, SECRET_KEY),
            core.api_keys,
            None,
            core.log_groups,
            emit_many=core.dispatcher.emit_many,
        )
        return GatewayService(around)

    async def _start(self, app: App) -> None:
        manifest = app.manifest()
        functions: dict[str, Function] = {function.name: function for function in manifest.functions}
        core = self._core
        core.concurrency.configure(functions.values())
        triggers = resolve_triggers(manifest)
        routes = self._gateway.compile(manifest.app, manifest.resources, triggers, functions)
        await core.ensure(manifest, triggers)
        self._gateway.take_up(routes)
        if routes.serves and self._gateway_server is None:
            self._gateway_server = HttpServer("127.0.0.1", 0)
            self._gateway_server.serve(self._gateway.app, self._gateway.accept)
            self.gateway = self._gateway_server.url
        self._runner = InlineRunner(core.dispatcher, self.clock, core.concurrency, core.arn, app.handler)
        core.dispatcher.attach(self._runner)
        await core.dispatcher.start(functions)
        core.mappings.take_up(triggers)
        await core.start(sweeping=True)
        for name, trigger in triggers:
            target = core.target(functions[name], trigger)
            if trigger.clocked:
                self._running.append(asyncio.create_task(trigger.run(target)))
                await target.is_ready.wait()
            else:
                await trigger.sweep(target)  # what is there before the test begins is old
            self._swept.append((trigger, target))

    async def _settle(self) -> bool:
        """Look at the sources and wait for the work; whether there was any."""
        delivered = not self._core.dispatcher.idle
        await self._core.dispatcher.quiesce()
        for trigger, target in self._swept:
            if not trigger.clocked:
                delivered = bool(await trigger.sweep(target)) or delivered
        delivered = bool(await self._core.mappings.sweep()) or delivered
        delivered = bool(await self._core.notifications.sweep()) or delivered
        await self._core.dispatcher.quiesce()
        self._raise_failures()
        return delivered

    def _raise_failures(self) -> None:
        for task in self._running:
            if task.done() and not task.cancelled() and task.exception() is not None:
                raise EventflowError(f"A trigger failed: {task.exception()}") from task.exception()

    async def _close(self) -> None:
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        await self._core.stop()
        await self._core.dispatcher.stop(0.0)
        if self._runner is not None:
            self._runner.close()
        if self._gateway_server is not None:
            await self._gateway.stop()
            await self._gateway_server.close()
        await self._server.close()
        self._core.close()
        self._database.close()

    def _call(self, work: Coroutine[Any, Any, T]) -> T:
        """Run on the loop, from the test's thread."""
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result(PATIENCE)
        except TimeoutError:
            if future.done():
                raise  # the work's own
            future.cancel()
            raise EventflowError(
                f"Nothing came to rest within {PATIENCE:.0f} real seconds: a handler or trigger hangs, or causes itself for ever."
            ) from None

    def _run_loop(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()
        self._loop.close()

    def _end_loop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
