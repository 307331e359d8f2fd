"""The daemon: composes the parts, starts them in order, serves until told to stop, and stops them in order."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import faulthandler
import gc
import itertools
import logging
import os
import secrets
import signal
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from eventflow import faultpoint
from eventflow.aws.credentials import Credentials
from eventflow.aws.endpoint import Endpoint
from eventflow.body_budget import BodyBudget
from eventflow.clock import Clock, SystemClock, Timer, iso
from eventflow.clock_watch import ClockWatch
from eventflow.composition import Core
from eventflow.control import Control
from eventflow.database import Database
from eventflow.debugging import Debugging
from eventflow.deployments import ZYGOTE_PAUSES, Deployments
from eventflow.descriptors import LimitReached, raise_limit
from eventflow.errors import EventflowError, StorageError
from eventflow.function_urls import FunctionUrls
from eventflow.gateway.composition import GatewayService
from eventflow.gateway.plugs import Surroundings
from eventflow.gateway.table import Table
from eventflow.gateway.throttle import Limit
from eventflow.http_guard import Limits, check_authorities, check_certificate, guarded
from eventflow.http_server import HttpServer
from eventflow.journals.check import examine_at_start
from eventflow.log_format import set_up_logging
from eventflow.manifest import Manifest, resolve_triggers
from eventflow.notify import Notifier
from eventflow.reloader import Changes
from eventflow.runtime import boto3_endpoints
from eventflow.runtime.launcher import Launcher
from eventflow.runtime.limits import choose_limiter
from eventflow.runtime.nursery import NO_APP, Nursery
from eventflow.runtime.pool import Pool
from eventflow.sam.addresses import GATEWAY, with_gateway
from eventflow.sam.options import TemplateOptions
from eventflow.services.logs import LogStore
from eventflow.settings import TEST_KILL_AT, Settings, inherited_variables, kill_asked_for, service_manager
from eventflow.source import locate
from eventflow.state_directory import StateDirectory
from eventflow.supervisor import Supervisor
from eventflow.trigger import Trigger

log = logging.getLogger("eventflow.daemon")

DAY = 86_400.0
PRUNE_SECONDS = 3600.0
SWITCH_SECONDS = 0.0005
#: Objects made until the collector looks at the young, looks at the young until it looks at the middle-aged, and so on.
COLLECT_AFTER = (20_000, 20, 50)
DEAD_RETENTION_FACTOR = 2
#: What the API gateway takes: AWS's 10,240 bytes of request line and headers ("Amazon API Gateway quotas"), and no connection that does nothing.
LIMITS = Limits(head_bytes=10_240, head_seconds=30.0, idle_seconds=60.0)
#: After a load the next one is prepared, when environments of the present one have started.
PREPARE_SECONDS = 0.3
#: There is no X-Ray daemon here. Powertools' Tracer takes an environment with LAMBDA_TASK_ROOT for Lambda's, and would send it each invocation.
UNTRACED = {"POWERTOOLS_TRACE_DISABLED": "true", "AWS_XRAY_SDK_ENABLED": "false"}


class Daemon:
    """One application on one state directory. ``run`` returns when it was stopped; ``stop`` may be called from a signal handler."""

    def __init__(self, app: str, settings: Settings, clock: Clock, *, watch: bool = False, template: Mapping[str, Any] | None = None) -> None:
        """``template`` is what the user says of a template of SAM, in the words of ``TemplateOptions``."""
        self._app = app
        self._template_flags = dict(template or {})
        self._watch = watch
        self._changes: Changes | None = None
        self._settings = settings
        self._clock = clock
        self._state = StateDirectory(settings.state)
        self._stopping = asyncio.Event()
        self._next: Nursery | None = None
        self._preparing: Timer | None = None
        self._started_at = clock.now()
        self._grace = settings.grace_seconds
        self._manifest: Manifest | None = None
        self._nursery: Nursery | None = None
        self._triggers: Sequence[tuple[str, Trigger]] = ()
        self._reloading = asyncio.Lock()
        self._retiring: set[asyncio.Task[None]] = set()
        self._restarting: set[asyncio.Task[None]] = set()
        self._gateway_server: HttpServer | None = None
        self._notifier = Notifier(service_manager(), clock, self._status_line)

    def stop(self) -> None:
        """Stop gracefully; a second call gives running functions no more time."""
        if self._stopping.is_set():
            self._grace = 0.0
        self._stopping.set()

    async def run(self) -> None:
        source = locate(self._app)  # a mistyped name is told before anything is made
        self._root, self._template = source.root, source.template
        self._state.acquire(self._app)
        self._notifier.starting()
        try:
            await self._run_owned()
        finally:
            self._notifier.close()
            self._state.release()

    async def _run_owned(self) -> None:
        server = HttpServer(self._settings.host, self._settings.port)
        self._url = server.url
        self._credentials = Credentials.load_or_create(self._state.credentials)
        for note in examine_at_start(self._state.database):
            log.warning("%s: %s", self._state.database, note)
        self._database = Database(self._state.database)
        self._logs = LogStore(self._state.logs, self._clock)
        self._access_files = LogStore(self._state.logs / "access", self._clock)
        try:
            await self._compose()
            serving = server.serve(self._gateway.beside(self._endpoint()))
            try:
                if await self._start_unless_stopped():
                    await self._serve(serving)
            finally:
                await self._shut_down(server)
        finally:
            self._logs.close()
            self._access_files.close()
            self._database.close()
            await server.close()

    async def _compose(self) -> None:
        settings, clock = self._settings, self._clock
        self._core = Core(self._database, clock, buckets=settings.buckets, account=settings.account_id, region=settings.region)
        await self._core.open()
        faultpoint.reach("daemon.opened")
        self._dispatcher = self._core.dispatcher
        self._limiter = choose_limiter(str(os.getpid()))
        self._launcher = Launcher(clock, self._limiter, self._core.arn, self._state.run)
        self._pool = Pool(self._dispatcher, clock, self._core.concurrency, self._launcher, self._logs, self._zygote_lost)
        self._dispatcher.attach(self._pool)
        self._deployments = Deployments(
            self._pool, self._dispatcher, self._core.concurrency, clock, lambda: Nursery(NO_APP, self._variables(), self._pool), self._retire
        )
        self._core.functions.attach(self._deployments)
        self._urls = self._core.functions.urls.door = FunctionUrls(self._gateway_url, self._reroute)
        self._supervisor = Supervisor(clock)
        core = self._core
        self._gateway = GatewayService(
            Surroundings(
                clock,
                core.account,
                core.region,
                core.invoke,
                self._database,
                self._credentials,
                core.api_keys,
                self._access_files,
                core.log_groups,
                settings.trusted_proxies,
                Limit(settings.gateway_rate, settings.gateway_burst),
                emit_many=self._dispatcher.emit_many,
                mutual_tls=settings.tls_client_ca is not None,
            )
        )
        self._token = secrets.token_urlsafe(32)

    def _endpoint(self) -> Endpoint:
        core = self._core
        bodies = BodyBudget()
        debugging = Debugging(core.dispatcher, self._pool, core.arn)
        control = Control(self._token, core.dispatcher, core.journal, self._database, self._logs, self.describe, bodies, self._gateway, debugging)
        services = core.aws_services(f"python{sys.version_info.major}.{sys.version_info.minor}")
        return Endpoint(services, self._credentials, self._clock, core.account, core.region, self._settings.open, control, bodies=bodies)

    # Start, serve, stop.

    async def _start_unless_stopped(self) -> bool:
        """A daemon that is told to stop while the application is still being imported does not wait for it."""
        starting = asyncio.create_task(self._start())
        stopping = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (starting, stopping):
                task.cancel()
            await asyncio.wait({starting, stopping})
        if starting.cancelled():
            return False
        starting.result()
        return True

    async def _start(self) -> None:
        if self._watch:  # from before the files are read: no change is missed
            self._changes = Changes(self._root, self._state.path, self._clock)
            self._changes.start()
        self._urls.begin(await self._core.functions.urls.all())
        await self._core.functions.deploy_all()  # first: the application may not have a function of the same name
        await self.load()
        await self._core.start()
        faultpoint.reach("daemon.loaded")
        self._announce()
        functions = self._manifest.functions if self._manifest else ()
        log.info(
            "%s: %d functions, %d triggers; AWS endpoint %s%s; state in %s",
            self._app,
            len(functions),
            len(self._supervisor.status()),
            self._url,
            "" if self._gateway_server is None else f"; API gateway {self._gateway_server.url}",
            self._state.path,
        )
        self._notifier.ready()
        faultpoint.reach("daemon.announced")

    def _announce(self) -> None:
        said = {"pid": os.getpid(), "url": self._url, "version": version("eventflow"), "started_at": iso(self._started_at), "token": self._token}
        self._state.announce({**said, "gateway": self._gateway_server.url} if self._gateway_server else said)

    async def _serve(self, serving: asyncio.Task[None]) -> None:
        aside = [asyncio.create_task(self._prune()), asyncio.create_task(ClockWatch(self._core).run())]
        if self._changes is not None:
            aside.append(asyncio.create_task(self._reload_on(self._changes)))
        stopping = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if serving.done():
                serving.result()
                raise EventflowError("The HTTP server ended by itself.")
        finally:
            for task in (*aside, stopping):
                task.cancel()
            await asyncio.gather(*aside, return_exceptions=True)

    async def _shut_down(self, server: HttpServer) -> None:
        """Take no new events, let running functions finish (they still reach the endpoint), then end everything."""
        self._notifier.stopping(self._grace)
        if self._changes is not None:
            self._changes.stop()
        await self._supervisor.stop()
        await self._core.stop()
        faultpoint.reach("daemon.stopping")
        started = self._manifest is not None
        if started:
            log.info("stopping: waiting up to %.0f s for running functions", self._grace)
        draining = asyncio.create_task(self._drain())
        while not draining.done():
            await asyncio.wait({draining}, timeout=0.2)
            if self._grace == 0.0 and not draining.done():
                draining.cancel()
                break
        with contextlib.suppress(asyncio.CancelledError):
            left = await draining
            if left:
                log.warning("%d invocations were still running; their events run again at the next start", left)
        for task in self._restarting:  # it goes on until now, for what runs may need an environment
            task.cancel()
        await asyncio.gather(*self._restarting, return_exceptions=True)
        await self._deployments.close()
        faultpoint.reach("daemon.drained")
        await self._pool.close()
        if self._preparing is not None:
            self._preparing.cancel()
        if self._next is not None:
            await self._next.close()
        faultpoint.reach("daemon.ended")
        await asyncio.sleep(0.05)  # whoever was answered just now has its own last words: a queue's messages to delete, a response to send
        await self._dispatcher.flush()
        await server.close()
        await self._core.objects.stop()
        self._core.close()
        if started:
            log.info("stopped")

    async def _drain(self) -> int:
        """Answer the requests that are here, then let go of what else runs; how many invocations were still running."""
        begin = self._clock.monotonic()
        await self._gateway.stop()
        if self._gateway_server is not None:
            await self._gateway_server.close(self._grace)
            await self._gateway.logged()
        await self._gateway.farewells_run(self._dispatcher.counts, lambda: begin + self._grace / 2)
        return await self._dispatcher.stop(max(0.0, self._grace - (self._clock.monotonic() - begin)))

    async def _prune(self) -> None:
        keep = self._settings.retention_days * DAY
        while True:
            now = self._clock.now()
            try:
                removed = await self._core.journal.prune(now - keep, now - keep * DEAD_RETENTION_FACTOR)
            except StorageError as error:
                log.warning("old events are forgotten later: %s", error)
            else:
                if removed:
                    log.info("forgot %d old events and attempts", removed)
            await self._clock.sleep(PRUNE_SECONDS)

    # The application's code.

    async def load(self) -> None:
        """Load the application, or load it again: what runs ends with the old code, what follows gets the new. Raises ``LoadError``;
        the former code then goes on."""
        async with self._reloading:
            nursery, self._next = self._next or self._new_nursery(), None
            try:
                manifest = Manifest.from_json(await nursery.start())
                if self._nursery is not None:
                    await nursery.warm()  # until then the former code answers sooner
                await self._take_up(manifest, nursery)
            except BaseException:
                await nursery.close()
                raise
            finally:
                self._prepare_next()

    def _prepare_next(self) -> None:
        """Where files are watched, have a process ready for their next change that has loaded all but the application: a little later, not to be in
        the way of the environments that start now."""
        if self._watch and self._template is None and not self._stopping.is_set():
            self._preparing = self._clock.call_later(PREPARE_SECONDS, self._prepare)

    def _prepare(self) -> None:
        if self._nursery is None or self._next is not None or self._stopping.is_set() or self._reloading.locked():
            return  # what is under way comes here again
        shared = self._nursery.shared
        if shared is None:  # it is still loading what its environments share
            self._prepare_next()
            return
        nursery = self._new_nursery()
        try:
            nursery.prepare(shared)
        except OSError as error:
            log.warning("the next change of the application takes longer to be loaded: %s", error)
            return
        self._next = nursery

    def _new_nursery(self) -> Nursery:
        if self._template is None:
            return Nursery(self._app, self._variables(), self._pool)
        options = TemplateOptions(self._core.account, self._core.region, self._url, str(self._state.path), **self._template_flags)
        return Nursery(str(self._template), self._variables(), self._pool, options.to_json())

    async def _take_up(self, manifest: Manifest, nursery: Nursery) -> None:
        functions = {function.name: function for function in manifest.functions}
        self._deployments.check(manifest.functions)
        self._core.concurrency.configure(functions.values())
        triggers = resolve_triggers(manifest)
        routes = self._routes(manifest, triggers)
        await self._core.ensure(manifest, triggers)
        if routes.serves and self._gateway_server is None:
            self._open_gateway()
        gateway = self._gateway_server.url if self._gateway_server is not None else ""
        for note in manifest.notes:
            log.info("%s: %s", manifest.app, note.replace(GATEWAY, gateway))
        functions = {name: with_gateway(function, gateway) for name, function in functions.items()}
        self._manifest, self._nursery = dataclasses.replace(manifest, functions=tuple(functions.values())), nursery
        self._triggers = triggers
        if domains := self._gateway.socket_domains(routes):
            self._launcher.variables = {boto3_endpoints.VARIABLE: " ".join((self._url, *domains))}
        if self._changes is not None:
            packages = [function.package for function in functions.values() if function.package is not None]
            self._changes.packages(Path(folder) for package in packages for folder in (package.folder, *package.layers))
        former = self._pool.replace(nursery, functions)
        if nursery.lost:
            self._pool.lost(nursery)  # it died before anybody knew that it was the one
        # In the turn of the event loop in which the functions change: no request meets routes of the one and functions of the other.
        self._gateway.take_up(routes)
        await self._dispatcher.start({**functions, **self._deployments.functions})
        await self._supervisor.run([(trigger, self._core.target(functions[name], trigger)) for name, trigger in triggers])
        self._core.mappings.take_up(triggers)
        if former is not None:
            self._retire(former)

    def _routes(self, manifest: Manifest, triggers: Sequence[tuple[str, Trigger]]) -> Table:
        names = {*(function.name for function in manifest.functions), *self._deployments.functions, *self._urls.functions()}
        return self._gateway.compile(manifest.app, (*manifest.resources, *self._urls.resources()), triggers, names)

    async def _reroute(self) -> None:
        """Have the gateway serve the function URLs that there are now."""
        async with self._reloading:
            if self._manifest is not None:
                self._gateway.take_up(self._routes(self._manifest, self._triggers))

    def _gateway_url(self) -> str:
        if self._gateway_server is None:
            self._open_gateway()
        assert self._gateway_server is not None
        return self._gateway_server.url

    def _open_gateway(self) -> None:
        """Listen for the first application that has routes; one without them does not close it again. Raises EventflowError for a taken port."""
        settings = self._settings
        tls = None
        if settings.tls_cert is not None and settings.tls_key is not None:
            tls = settings.tls_cert, settings.tls_key
            check_certificate(*tls)
        if settings.tls_client_ca is not None:
            check_authorities(settings.tls_client_ca)
        self._gateway_server = HttpServer(
            settings.gateway_host,
            settings.gateway_port,
            flag="--gateway-port",
            protocol=guarded(LIMITS),
            keep_alive=int(LIMITS.idle_seconds),
            tls=tls,
            client_ca=settings.tls_client_ca,
        )
        self._gateway_server.serve(self._gateway.app, self._gateway.accept)
        if self._manifest is not None:
            self._announce()

    def _retire(self, former: Nursery) -> None:
        task = asyncio.create_task(self._close_when_idle(former))
        self._retiring.add(task)
        task.add_done_callback(self._retiring.discard)

    async def _close_when_idle(self, former: Nursery) -> None:
        while self._pool.busy(former):
            await self._clock.sleep(0.05)
        await former.close()

    def _zygote_lost(self, nursery: Nursery) -> None:
        if self._stopping.is_set():
            return
        self._deployments.lost(nursery)
        if nursery is not self._nursery:
            return
        log.error("the zygote (pid %d) died; starting another", nursery.pid)
        task = asyncio.create_task(self._start_zygote_again())
        self._restarting.add(task)
        task.add_done_callback(self._restarting.discard)

    async def _reload_on(self, changes: Changes) -> None:
        log.info("watching %s: the application is loaded again when its files change", self._root)
        while True:
            await changes.next()
            begin = self._clock.monotonic()
            self._notifier.reloading()
            try:
                await self.load()
                log.info("loaded the changed application in %.0f ms", (self._clock.monotonic() - begin) * 1000)
            except EventflowError as error:
                log.error("the changed application is refused, the former goes on: %s", error)
            self._notifier.ready()

    async def _start_zygote_again(self) -> None:
        for attempt in itertools.count():
            await self._clock.sleep(ZYGOTE_PAUSES[min(attempt, len(ZYGOTE_PAUSES) - 1)])
            try:
                await self.load()
                return
            except EventflowError as error:
                log.error("the application cannot be loaded again: %s", error)

    # What others ask.

    def describe(self) -> dict[str, Any]:
        """The daemon's state for ``eventflow status`` and ``eventflow functions``."""
        counts, environments = self._dispatcher.counts(), self._pool.counts()
        running = [*self._supervisor.status(), *self._core.mappings.status(), *self._core.notifications.status()]
        triggers: dict[object, list[object]] = {}
        for one in running:
            triggers.setdefault(one["function"], []).append(one["trigger"])
        functions = [
            {
                **function.to_json(),
                "ready": counts.get(function.key, (0, 0))[0],
                "running": counts.get(function.key, (0, 0))[1],
                "environments": environments.get(function.key, {}),
                "triggers": triggers.get(function.name, []),
            }
            for function in (*(self._manifest.functions if self._manifest else ()), *self._deployments.functions.values())
        ]
        return {
            "app": self._manifest.app if self._manifest else self._app,
            "source": self._app,
            "pid": os.getpid(),
            "url": self._url,
            "gateway": None if self._gateway_server is None else self._gateway_server.url,
            "authorizers": self._gateway.authorizers(),
            "version": version("eventflow"),
            "started_at": iso(self._started_at),
            "state": str(self._state.path),
            "buckets": str(self._settings.buckets),
            "memory_limits": self._limiter.name,
            "settings": self._settings.to_json(),
            "functions": functions,
            "triggers": running,
        }

    def _status_line(self) -> str:
        """What ``systemctl status`` shows in a line."""
        if self._manifest is None:
            return "starting"
        if self._stopping.is_set():
            return f"stopping: {self._dispatcher.running} invocations still run"
        counts = self._dispatcher.counts().values()
        return (
            f"{len(counts)} functions; {sum(running for _ready, running in counts)} invocations run, {sum(ready for ready, _running in counts)} wait"
        )

    def _variables(self) -> dict[str, str]:
        """The environment of the functions' processes: the daemon's own, pointed at this endpoint instead of AWS."""
        return {
            **UNTRACED,
            **inherited_variables(),
            "AWS_ENDPOINT_URL": self._url,
            "AWS_ACCESS_KEY_ID": self._credentials.access_key,
            "AWS_SECRET_ACCESS_KEY": self._credentials.secret_key,
            "AWS_REGION": self._settings.region,
            "AWS_DEFAULT_REGION": self._settings.region,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_EXECUTION_ENV": f"AWS_Lambda_python{sys.version_info.major}.{sys.version_info.minor}",
            "EVENTFLOW_LOCAL": "1",
            "LAMBDA_TASK_ROOT": str(Path(self._manifest.root) if self._manifest else Path.cwd()),
            "TZ": ":UTC",
            **({TEST_KILL_AT: kill} if (kill := kill_asked_for()) else {}),
        }


def run(app: str, settings: Settings, *, watch: bool = False, template: Mapping[str, Any] | None = None) -> int:
    """Run the daemon until SIGTERM or SIGINT; with ``watch`` load the application again when its files change. ``template`` is what was said of a
    template. Returns the exit status.

    Raises ``EventflowError`` when it cannot start.
    """
    set_up_logging(settings.log_format)
    if kill := kill_asked_for():
        faultpoint.arm(kill)
        log.warning("%s=%r: A TEST HAS THIS DAEMON KILLED AT A FAULT POINT. Anywhere but in a test, unset that variable.", TEST_KILL_AT, kill)
    faulthandler.enable()  # systemd's watchdog ends a hung daemon with SIGABRT: the log then says where it hung
    tune_interpreter()
    raise_limit()
    asyncio.run(run_until_signalled(app, settings, watch, template))
    return 0


def tune_interpreter() -> None:
    """What this kind of program wants of Python; for the whole process."""
    # The event loop and the writer's thread hand the interpreter to each other at every event: Python's 5 ms would be most of the time.
    sys.setswitchinterval(SWITCH_SECONDS)
    # Events on their way are many young objects without cycles: the collector would look at them all the time and find nothing.
    gc.set_threshold(*COLLECT_AFTER)


async def run_until_signalled(app: str, settings: Settings, watch: bool, template: Mapping[str, Any] | None = None) -> None:
    clock = SystemClock()
    daemon = Daemon(app, settings, clock, watch=watch, template=template)
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(LimitReached(clock))
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, daemon.stop)
    await daemon.run()
