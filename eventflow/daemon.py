"""The daemon: composes the parts, starts them in order, serves until told to stop, and stops them in order."""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import gc
import logging
import os
import secrets
import signal
import sys
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from eventflow import faultpoint
from eventflow.application import Application
from eventflow.aws.credentials import Credentials
from eventflow.aws.endpoint import Endpoint
from eventflow.body_budget import BodyBudget
from eventflow.clock import Clock, SystemClock, iso
from eventflow.clock_watch import ClockWatch
from eventflow.composition import Core
from eventflow.control import Control
from eventflow.database import Database
from eventflow.debugging import Debugging
from eventflow.deployments import Deployments
from eventflow.descriptors import LimitReached, raise_limit
from eventflow.errors import EventflowError, StorageError
from eventflow.gateway.composition import GatewayService
from eventflow.gateway.plugs import Surroundings
from eventflow.gateway.throttle import Limit
from eventflow.gateway_server import GatewayServer
from eventflow.http_server import HttpServer
from eventflow.journals.check import examine_at_start
from eventflow.log_format import set_up_logging
from eventflow.notify import Notifier
from eventflow.reloader import Changes
from eventflow.runtime.launcher import Launcher
from eventflow.runtime.limits import choose_limiter
from eventflow.runtime.nursery import Nursery
from eventflow.runtime.pool import Pool
from eventflow.sam.options import TemplateOptions
from eventflow.services.logs import LogStore
from eventflow.settings import TEST_KILL_AT, Settings, kill_asked_for, service_manager
from eventflow.source import locate
from eventflow.state_directory import StateDirectory
from eventflow.supervisor import Supervisor
from eventflow.zygotes import Zygotes

log = logging.getLogger("eventflow.daemon")

DAY = 86_400.0
PRUNE_SECONDS = 3600.0
SWITCH_SECONDS = 0.0005
#: Objects made until the collector looks at the young, looks at the young until it looks at the middle-aged, and so on.
COLLECT_AFTER = (20_000, 20, 50)
DEAD_RETENTION_FACTOR = 2


class Daemon:
    """One application on one state directory. ``run`` returns when it was stopped; ``stop`` may be called from a signal handler."""

    def __init__(self, app: str, settings: Settings, clock: Clock, *, watch: bool = False, template: Mapping[str, Any] | None = None) -> None:
        """``template`` is what the user says of a template of SAM, in the words of ``TemplateOptions``."""
        self._app = app
        self._template_flags = dict(template or {})
        self._watch = watch
        self._settings = settings
        self._clock = clock
        self._state = StateDirectory(settings.state)
        self._changes: Changes | None = None
        self._stopping = asyncio.Event()
        self._started_at = clock.now()
        self._grace = settings.grace_seconds
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
        self._zygotes = self._make_zygotes()
        self._dispatcher.attach(self._pool)
        self._deployments = Deployments(
            self._pool, self._dispatcher, self._core.concurrency, clock, self._zygotes.without_application, self._zygotes.retire
        )
        self._core.functions.attach(self._deployments)
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
        self._gateway_server = GatewayServer(self._gateway, settings, self._gateway_opened)
        self._application = Application(
            core,
            self._pool,
            self._launcher,
            self._deployments,
            self._supervisor,
            self._gateway,
            self._gateway_server,
            self._zygotes,
            self._url,
            self._stopping,
        )
        self._token = secrets.token_urlsafe(32)

    def _make_zygotes(self) -> Zygotes:
        app, options = self._app, None
        if self._template is not None:
            app = str(self._template)
            options = TemplateOptions(self._core.account, self._core.region, self._url, str(self._state.path), **self._template_flags)
        prepares = self._watch and options is None
        return Zygotes(app, options, self._pool, self._clock, self._settings, self._credentials, self._url, self._stopping, prepares=prepares)

    def _zygote_lost(self, nursery: Nursery) -> None:
        self._application.zygote_lost(nursery)

    def _gateway_opened(self) -> None:
        if self._application.manifest is not None:  # else all is announced at once, when it is loaded
            self._announce()

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
        await self._application.start(self._changes)
        await self._core.start()
        faultpoint.reach("daemon.loaded")
        self._announce()
        gateway = self._gateway_server.url
        log.info(
            "%s: %d functions, %d triggers; AWS endpoint %s%s; state in %s",
            self._app,
            len(self._application.functions),
            len(self._supervisor.status()),
            self._url,
            "" if gateway is None else f"; API gateway {gateway}",
            self._state.path,
        )
        self._notifier.ready()
        faultpoint.reach("daemon.announced")

    def _announce(self) -> None:
        said = {"pid": os.getpid(), "url": self._url, "version": version("eventflow"), "started_at": iso(self._started_at), "token": self._token}
        gateway = self._gateway_server.url
        self._state.announce(said if gateway is None else {**said, "gateway": gateway})

    async def _serve(self, serving: asyncio.Task[None]) -> None:
        aside = [asyncio.create_task(self._prune()), asyncio.create_task(ClockWatch(self._core).run())]
        if self._changes is not None:
            log.info("watching %s: the application is loaded again when its files change", self._root)
            aside.append(asyncio.create_task(self._application.reload_on(self._changes, self._notifier)))
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
        started = self._application.manifest is not None
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
        await self._application.close()  # it goes on until now, for what runs may need an environment
        await self._deployments.close()
        faultpoint.reach("daemon.drained")
        await self._pool.close()
        await self._zygotes.close()
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
        await self._gateway_server.close(self._grace)
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

    # What others ask.

    def describe(self) -> dict[str, Any]:
        """The daemon's state for ``eventflow status`` and ``eventflow functions``."""
        manifest, counts, environments = self._application.manifest, self._dispatcher.counts(), self._pool.counts()
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
            for function in (*self._application.functions, *self._deployments.functions.values())
        ]
        return {
            "app": manifest.app if manifest else self._app,
            "source": self._app,
            "pid": os.getpid(),
            "url": self._url,
            "gateway": self._gateway_server.url,
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
        if self._application.manifest is None:
            return "starting"
        if self._stopping.is_set():
            return f"stopping: {self._dispatcher.running} invocations still run"
        counts = self._dispatcher.counts().values()
        return (
            f"{len(counts)} functions; {sum(running for _ready, running in counts)} invocations run, {sum(ready for ready, _running in counts)} wait"
        )


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
