"""Makes environments: a folder, limits, a log file, a socket, and a process that the zygote forks onto them."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import os
import shutil
import socket
import tempfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from eventflow.clock import Clock
from eventflow.function import JSON, USUAL_LEVEL, Function
from eventflow.runtime.environment import Environment, initialization_type
from eventflow.runtime.limits import Limiter
from eventflow.runtime.nursery import LOAD_SECONDS, Nursery
from eventflow.runtime.preloads import Preloads

#: Lambda gives the init phase 10 seconds.
INIT_SECONDS = 10.0


class Launcher:
    """``arn`` names functions, ``variables`` are further ones of all environments that start from now on, beside those of the zygote."""

    def __init__(self, clock: Clock, limiter: Limiter, arn: Callable[[str], str], folder: Path) -> None:
        self.variables: Mapping[str, str] = {}
        self.limiter = limiter
        self.arn = arn
        self._clock = clock
        self._folder = folder
        self._numbers = itertools.count(1)
        self.preloads = Preloads(clock, limiter, folder)

    def launch(self, function: Function, nursery: Nursery | None, *, provisioned: bool = False) -> Environment:
        """Ask a zygote for an environment. Raises OSError when the machine has no room for it, or there is no zygote; nothing is left behind then."""
        if nursery is None:
            raise OSError("the process that environments are forked from is not running")
        name, now = str(next(self._numbers)), self._clock.monotonic()
        folder = self._folder / name
        with ExitStack() as undo:
            (folder / "tmp").mkdir(parents=True)
            undo.callback(shutil.rmtree, folder, ignore_errors=True)
            confinement = self.limiter.confine(name, function.memory)
            undo.callback(confinement.release)
            log = open_log(folder)
            undo.callback(os.close, log)
            ours, theirs = socket.socketpair()
            undo.callback(ours.close)
            ours.setblocking(False)
            deadline = now + INIT_SECONDS * (1 + function.snap_start)  # the template's init perhaps, and the hooks after the restore
            if not nursery.is_warm.is_set():
                deadline += LOAD_SECONDS  # it is forked only then
            if function.debug_port:
                deadline = now + function.timeout  # a debugger may come late, and stop in the init
            environment = Environment(name, function, nursery, ours, log, confinement, folder, now, deadline, provisioned=provisioned)
            environment.log_stream = self._log_stream(function)
            with theirs:
                nursery.tell({**self._request(environment), **self._ancestor(environment)}, [theirs.fileno(), log])
            undo.pop_all()
        return environment

    def learn(self, environment: Environment, learned: Mapping[str, Any]) -> None:
        """Have what the init of this environment loaded ready for the next ones of its function."""
        with contextlib.suppress(OSError):  # no room for it: they load it themselves
            self.preloads.learn(environment.function, environment.nursery, self._request(environment), learned)

    def _ancestor(self, environment: Environment) -> dict[str, Any]:
        """What it is forked from, if that is not the zygote itself; or whether it is to tell what could be loaded for the next."""
        function = environment.function
        if function.package is None or function.snap_start or function.debug_port:
            return {"learn": False, **self._template(environment)}
        name = self.preloads.name_of(function, environment.nursery)
        return {"learn": True} if name is None else {"learn": False, "preloaded": name}

    def _template(self, environment: Environment) -> dict[str, Any]:
        """With ``snap_start``, what the zygote needs to make the function's template: limits and a folder, which last as long as the zygote."""
        function, nursery = environment.function, environment.nursery
        if not function.snap_start:
            return {}
        template = nursery.templates.get(function.key)
        if template is None:
            name = f"template-{environment.id}"
            folder = self._folder / name
            (folder / "tmp").mkdir(parents=True)
            nursery.at_end.callback(shutil.rmtree, folder, ignore_errors=True)
            confinement = self.limiter.confine(name, function.memory)
            nursery.at_end.callback(confinement.release)
            template = nursery.templates[function.key] = {
                "tmp": str(folder / "tmp"),
                "procs": list(confinement.procs),
                "data_limit": confinement.data_limit,
                "memory_events": confinement.memory_events,
                "seconds": INIT_SECONDS,
            }
        return {"template": template}

    def _log_stream(self, function: Function) -> str:
        """Lambda's form: ``2026/01/31/[$LATEST]<32 hexadecimal digits>``."""
        day = datetime.fromtimestamp(self._clock.now(), UTC).strftime("%Y/%m/%d")
        return f"{day}/[{function.version}]{self._clock.new_id().replace('-', '')}"

    def _request(self, environment: Environment) -> dict[str, Any]:
        function, confinement = environment.function, environment.confinement
        group = f"/aws/lambda/{function.name}"
        described = {
            "name": function.name,
            "handler": function.handler,
            "memory": function.memory,
            "timeout": function.timeout,
            "version": function.version,
            "debug_port": function.debug_port,
            "log_group": group,
            "log_stream": environment.log_stream,
            "package": None if function.package is None else dataclasses.asdict(function.package),
        }
        variables = {
            "_HANDLER": function.handler.replace(":", "."),
            "AWS_LAMBDA_FUNCTION_NAME": function.name,
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.memory),
            "AWS_LAMBDA_FUNCTION_VERSION": function.version,
            "AWS_LAMBDA_INITIALIZATION_TYPE": initialization_type(environment),
            **self.variables,
            **function.environment,
        }
        if function.logs_json:
            variables |= {"AWS_LAMBDA_LOG_FORMAT": JSON, "AWS_LAMBDA_LOG_LEVEL": function.application_log_level or USUAL_LEVEL}
        if not function.snap_start:  # Lambda: a snapshot is of no log stream, and has neither
            variables |= {"AWS_LAMBDA_LOG_GROUP_NAME": group, "AWS_LAMBDA_LOG_STREAM_NAME": environment.log_stream}
        return {
            "fork": environment.id,
            "function": described,
            "environment": variables,
            "tmp": str(environment.folder / "tmp"),
            "procs": list(confinement.procs),
            "data_limit": confinement.data_limit,
        }


def open_log(folder: Path) -> int:
    """A file without a name for all that the process prints; it goes with the last descriptor of it."""
    descriptor, path = tempfile.mkstemp(dir=folder)
    os.close(descriptor)
    try:
        return os.open(path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
    finally:
        Path(path).unlink()
