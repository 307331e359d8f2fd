"""The application that a daemon runs: its code is loaded, what it declares is taken up by all services at once, and again when files change."""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from eventflow.composition import Core
from eventflow.deployments import ZYGOTE_PAUSES, Deployments
from eventflow.errors import EventflowError
from eventflow.function import Function
from eventflow.function_urls import FunctionUrls
from eventflow.gateway.composition import GatewayService
from eventflow.gateway.table import Table
from eventflow.gateway_server import GatewayServer
from eventflow.manifest import Manifest, resolve_triggers
from eventflow.notify import Notifier
from eventflow.reloader import Changes
from eventflow.runtime import boto3_endpoints
from eventflow.runtime.launcher import Launcher
from eventflow.runtime.nursery import Nursery
from eventflow.runtime.pool import Pool
from eventflow.sam.addresses import GATEWAY, with_gateway
from eventflow.supervisor import Supervisor
from eventflow.trigger import Trigger
from eventflow.zygotes import Zygotes

log = logging.getLogger("eventflow.daemon")


@dataclass(eq=False)
class Application:
    """``url`` is the AWS endpoint's. ``manifest`` is what runs, with the gateway's address filled in; None until the first load."""

    core: Core
    pool: Pool
    launcher: Launcher
    deployments: Deployments
    supervisor: Supervisor
    gateway: GatewayService
    server: GatewayServer
    zygotes: Zygotes
    url: str
    stopping: asyncio.Event
    manifest: Manifest | None = None
    _nursery: Nursery | None = None
    _triggers: Sequence[tuple[str, Trigger]] = ()
    _changes: Changes | None = None
    _loading: asyncio.Lock = field(default_factory=asyncio.Lock)
    _restarting: set[asyncio.Task[None]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._urls = FunctionUrls(self.server.open, self._reroute)
        self.core.functions.urls.door = self._urls

    @property
    def functions(self) -> Sequence[Function]:
        """Those that it declares."""
        return self.manifest.functions if self.manifest else ()

    async def start(self, changes: Changes | None) -> None:
        """Load it for the first time, beside the functions made by API. ``changes`` are those of its files, if they are watched."""
        self._changes = changes
        self._urls.begin(await self.core.functions.urls.all())
        await self.core.functions.deploy_all()  # first: the application may not have a function of the same name
        await self.load()

    async def load(self) -> None:
        """Load the application, or load it again: what runs ends with the old code, what follows gets the new. Raises ``LoadError``;
        the former code then goes on."""
        async with self._loading:
            nursery = self.zygotes.take()
            try:
                manifest = Manifest.from_json(await nursery.start())
                if self._nursery is not None:
                    await nursery.warm()  # until then the former code answers sooner
                await self._take_up(manifest, nursery)
            except BaseException:
                await nursery.close()
                raise
            finally:
                self.zygotes.prepare_next(self._nursery)

    async def _take_up(self, manifest: Manifest, nursery: Nursery) -> None:
        self.deployments.check(manifest.functions)
        self.core.concurrency.configure(manifest.functions)
        triggers = resolve_triggers(manifest)
        routes = self._routes(manifest, triggers)
        await self.core.ensure(manifest, triggers)
        if routes.serves:
            self.server.open()
        gateway = self.server.url or ""
        for note in manifest.notes:
            log.info("%s: %s", manifest.app, note.replace(GATEWAY, gateway))
        functions = {function.name: with_gateway(function, gateway) for function in manifest.functions}
        self.manifest, self._nursery = dataclasses.replace(manifest, functions=tuple(functions.values())), nursery
        self._triggers = triggers
        self.zygotes.root = Path(manifest.root)
        if domains := self.gateway.socket_domains(routes):
            self.launcher.variables = {boto3_endpoints.VARIABLE: " ".join((self.url, *domains))}
        if self._changes is not None:
            packages = [function.package for function in functions.values() if function.package is not None]
            self._changes.packages(Path(folder) for package in packages for folder in (package.folder, *package.layers))
        former = self.pool.replace(nursery, functions)
        if nursery.lost:
            self.pool.lost(nursery)  # it died before anybody knew that it was the one
        # In the turn of the event loop in which the functions change: no request meets routes of the one and functions of the other.
        self.gateway.take_up(routes)
        await self.core.dispatcher.start({**functions, **self.deployments.functions})
        await self.supervisor.run([(trigger, self.core.target(functions[name], trigger)) for name, trigger in triggers])
        self.core.mappings.take_up(triggers)
        if former is not None:
            self.zygotes.retire(former)

    def _routes(self, manifest: Manifest, triggers: Sequence[tuple[str, Trigger]]) -> Table:
        names = {*(function.name for function in manifest.functions), *self.deployments.functions, *self._urls.functions()}
        return self.gateway.compile(manifest.app, (*manifest.resources, *self._urls.resources()), triggers, names)

    async def _reroute(self) -> None:
        """Have the gateway serve the function URLs that there are now."""
        async with self._loading:
            if self.manifest is not None:
                self.gateway.take_up(self._routes(self.manifest, self._triggers))

    # Loaded again.

    async def reload_on(self, changes: Changes, notifier: Notifier) -> None:
        """Load it again whenever its files have changed."""
        while True:
            await changes.next()
            begin = self.core.clock.monotonic()
            notifier.reloading()
            try:
                await self.load()
                log.info("loaded the changed application in %.0f ms", (self.core.clock.monotonic() - begin) * 1000)
            except EventflowError as error:
                log.error("the changed application is refused, the former goes on: %s", error)
            notifier.ready()

    def zygote_lost(self, nursery: Nursery) -> None:
        """It died by itself, and all that ran in it."""
        if self.stopping.is_set():
            return
        self.deployments.lost(nursery)
        if nursery is not self._nursery:
            return
        log.error("the zygote (pid %d) died; starting another", nursery.pid)
        task = asyncio.create_task(self._start_again())
        self._restarting.add(task)
        task.add_done_callback(self._restarting.discard)

    async def _start_again(self) -> None:
        for attempt in itertools.count():
            await self.core.clock.sleep(ZYGOTE_PAUSES[min(attempt, len(ZYGOTE_PAUSES) - 1)])
            try:
                await self.load()
                return
            except EventflowError as error:
                log.error("the application cannot be loaded again: %s", error)

    async def close(self) -> None:
        """Start no zygote again any more."""
        for task in self._restarting:
            task.cancel()
        await asyncio.gather(*self._restarting, return_exceptions=True)
