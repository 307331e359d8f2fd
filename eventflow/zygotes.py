"""The zygotes of a daemon: one for each state of the application's code, made with the environment that functions see, and ended when idle."""

from __future__ import annotations

import asyncio
import logging
import sys
from pathlib import Path

from eventflow.aws.credentials import Credentials
from eventflow.clock import Clock, Timer
from eventflow.runtime.nursery import NO_APP, Nursery
from eventflow.runtime.pool import Pool
from eventflow.sam.options import TemplateOptions
from eventflow.settings import TEST_KILL_AT, Settings, inherited_variables, kill_asked_for

log = logging.getLogger("eventflow.daemon")

#: After a load the next one is prepared, when environments of the present one have started.
PREPARE_SECONDS = 0.3
#: There is no X-Ray daemon here. Powertools' Tracer takes an environment with LAMBDA_TASK_ROOT for Lambda's, and would send it each invocation.
UNTRACED = {"POWERTOOLS_TRACE_DISABLED": "true", "AWS_XRAY_SDK_ENABLED": "false"}


class Zygotes:
    """``app`` is the application's reference, or the path of its template with the ``template`` options that it is run with; ``url`` is the AWS
    endpoint's. With ``prepares`` the next one loads what the application shares before it is asked for. Nothing is begun once ``stopping`` is set."""

    def __init__(
        self,
        app: str,
        template: TemplateOptions | None,
        pool: Pool,
        clock: Clock,
        settings: Settings,
        credentials: Credentials,
        url: str,
        stopping: asyncio.Event,
        *,
        prepares: bool,
    ) -> None:
        self._app = app
        self._template = None if template is None else template.to_json()
        self._pool = pool
        self._clock = clock
        self._settings = settings
        self._credentials = credentials
        self._url = url
        self._stopping = stopping
        self._prepares = prepares
        self._next: Nursery | None = None
        self._preparing: Timer | None = None
        self._retiring: set[asyncio.Task[None]] = set()
        #: Where the application's code is, once that is known.
        self.root: Path | None = None

    def take(self) -> Nursery:
        """One for the application as it is now: that which was prepared, or else a new one. Say ``prepare_next`` when it is loaded."""
        self._forget_preparing()
        nursery, self._next = self._next or self._make(), None
        return nursery

    def without_application(self) -> Nursery:
        return Nursery(NO_APP, self._variables(), self._pool)

    def _make(self) -> Nursery:
        return Nursery(self._app, self._variables(), self._pool, self._template)

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
            "LAMBDA_TASK_ROOT": str(self.root or Path.cwd()),
            "TZ": ":UTC",
            **({TEST_KILL_AT: kill} if (kill := kill_asked_for()) else {}),
        }

    # The next one.

    def prepare_next(self, present: Nursery | None) -> None:
        """Have a process ready for the next change of the files that has loaded all but the application: a little later, not to be in the way of the
        environments that start now. ``present`` is the application's zygote, if it has been loaded ever."""
        if self._prepares and present is not None and not self._stopping.is_set():
            self._forget_preparing()
            self._preparing = self._clock.call_later(PREPARE_SECONDS, lambda: self._prepare(present))

    def _prepare(self, present: Nursery) -> None:
        self._preparing = None
        if self._next is not None or self._stopping.is_set():
            return
        if present.shared is None:  # it is still loading what its environments share
            self.prepare_next(present)
            return
        nursery = self._make()
        try:
            nursery.prepare(present.shared)
        except OSError as error:
            log.warning("the next change of the application takes longer to be loaded: %s", error)
            return
        self._next = nursery

    def _forget_preparing(self) -> None:
        if self._preparing is not None:
            self._preparing.cancel()
            self._preparing = None

    # Their ends.

    def retire(self, former: Nursery) -> None:
        """End it when nothing runs in it any more."""
        task = asyncio.create_task(self._close_when_idle(former))
        self._retiring.add(task)
        task.add_done_callback(self._retiring.discard)

    async def _close_when_idle(self, former: Nursery) -> None:
        while self._pool.busy(former):
            await self._clock.sleep(0.05)
        await former.close()

    async def close(self) -> None:
        """End the one that was prepared; those that run something are the pool's to end."""
        self._forget_preparing()
        if self._next is not None:
            await self._next.close()
