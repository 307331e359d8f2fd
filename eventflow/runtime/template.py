"""The processes between the zygote and the environments of one function: what the zygote knows of them.

A *template* is forked from the zygote, and environments from it. There are two kinds: ``snap_start``'s has done the init, and environments wait for
it; ``preloaded`` is made in advance, has libraries loaded, and what comes before it is ready, or when it has failed, is forked from the zygote.

    -> {"preload": <name>, "function": {...}, "environment": {...}, "tmp": path, ..., "libraries": [modules], "own": {module: file}}
    -> {"fork": ..., "preloaded": <name>} or {"fork": ..., "template": {...}} for an environment of one
    -> {"retire": <name>}: end it when its environments have ended
    <- {"unloaded": <name>, "was_ready": bool}: it has ended
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from eventflow.runtime import bootstrap, child, preloaded, snap_start
from eventflow.runtime.forks import MESSAGE, ForkServer, Request
from eventflow.runtime.limits import times_out_of_memory


@dataclass(frozen=True, slots=True)
class Asked:
    """An environment that the zygote was asked for; its descriptors are kept until it is there."""

    request: Request
    connection: int
    log: int

    def close(self) -> None:
        os.close(self.connection)
        os.close(self.log)


@dataclass(eq=False)
class Template:
    """``waiting`` are environments that it has not told of. ``is_second`` is one that was made because its predecessor died with environments still
    waiting; there is no third."""

    name: str
    pid: int
    control: socket.socket
    waiting: list[Asked]
    limits: Request
    killed_before: int
    is_preloaded: bool = False
    is_second: bool = False
    is_ready: bool = False
    is_retired: bool = False
    error: dict[str, Any] | None = None
    environments: set[int] = field(default_factory=set)
    received: bytes = b""


class Templates:
    """The templates below a zygote, one for each function that has been needed. ``server`` forks what is not forked from a template."""

    def __init__(self, server: ForkServer) -> None:
        self._server = server
        self._by_name: dict[str, Template] = {}
        self._adopts = child.adopt_orphans()
        server.launch = self.launch
        server.other = self._heed_daemon
        server.exited = self._exited

    def launch(self, request: Request, connection: int, log: int) -> None:
        asked = Asked(request, connection, log)
        if "template" in request:
            self._launch_restored(asked)
            return
        template = self._by_name.get(request.get("preloaded", ""))
        if template is None or not template.is_ready or template.is_retired:
            self._server.fork(request, connection, log)
            return
        template.waiting.append(asked)
        self._pass_on(template, asked)

    def _launch_restored(self, asked: Asked) -> None:
        template = self._by_name.get(asked.request["function"]["name"])
        if template is None:
            self._start([asked])
            return
        template.waiting.append(asked)
        if template.is_ready:
            self._pass_on(template, asked)

    def end(self) -> None:
        """Kill them and what was forked from them."""
        for template in self._by_name.values():
            for pid in (template.pid, *template.environments):
                child.kill_group(pid)

    def _heed_daemon(self, message: Request) -> None:
        if "preload" in message:
            self._preload(message)
        elif (template := self._by_name.get(message["retire"])) is not None:
            template.is_retired = True
            if template.is_ready:
                template.control.shutdown(socket.SHUT_WR)
            else:
                child.kill_group(template.pid)

    def _preload(self, request: Request) -> None:
        parent = os.getpid()
        self._made(request["preload"], lambda control: preloaded.live(control, request, parent), [], request).is_preloaded = True

    def _start(self, waiting: list[Asked], *, is_second: bool = False) -> None:
        request, parent = waiting[0].request, os.getpid()

        def live(control: socket.socket) -> int:
            for asked in waiting[1:]:
                asked.close()
            os.close(waiting[0].connection)
            return snap_start.live(control, request, waiting[0].log, parent)

        self._made(request["function"]["name"], live, waiting, request["template"]).is_second = is_second

    def _made(self, name: str, live: Callable[[socket.socket], int], waiting: list[Asked], limits: Request) -> Template:
        ours, theirs = socket.socketpair()

        def become() -> int:
            ours.close()
            return live(theirs)

        pid = self._server.child(become)
        theirs.close()
        template = Template(name, pid, ours, waiting, limits, times_out_of_memory(limits["memory_events"]))
        self._by_name[name] = template
        self._server.watch(ours, lambda: self._hear(template))
        self._server.call_later(template, limits["seconds"], lambda: self._time_out(template))
        return template

    def _pass_on(self, template: Template, asked: Asked) -> None:
        with contextlib.suppress(OSError):  # it is dying: its end finds the environment still waiting
            socket.send_fds(template.control, [json.dumps(asked.request).encode() + b"\n"], [asked.connection, asked.log])

    def _hear(self, template: Template) -> bool:
        """Take what a template has to say; False when there is nothing (more)."""
        try:
            data = template.control.recv(MESSAGE, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        *lines, template.received = (template.received + data).split(b"\n")
        for line in lines:
            self._heed(template, json.loads(line))
        if not data:
            child.kill_group(template.pid)  # it can be asked for nothing any more; its end is heard of when it is reaped
            self._server.forget(template.control)
        return bool(data)

    def _heed(self, template: Template, message: Request) -> None:
        if "ready" in message:
            template.is_ready = True
            self._server.cancel(template)
            for asked in template.waiting:
                self._pass_on(template, asked)
        elif "failed" in message:
            template.error = message["failed"]
        elif "forked" in message:
            template.environments.add(message["pid"])
            for asked in [one for one in template.waiting if one.request["fork"] == message["forked"]]:
                template.waiting.remove(asked)
                asked.close()
            self._server.tell(message)
        elif "exited" in message:
            template.environments.discard(message["exited"])
            self._server.tell(message)

    def _time_out(self, template: Template) -> None:
        message = f"The init phase of {template.name} did not finish within {template.limits['seconds']:.2f} seconds"
        template.error = bootstrap.error_object("Sandbox.Timedout", message)
        child.kill_group(template.pid)

    def _exited(self, statuses: dict[int, int]) -> None:
        """Processes below us have ended: templates first, for the environments of one that died became our own."""
        for template in [one for one in self._by_name.values() if one.pid in statuses]:
            self._ended(template, statuses.pop(template.pid))
        self._server.tell_exits(statuses)

    def _ended(self, template: Template, status: int) -> None:
        while template.control.fileno() >= 0 and self._hear(template):
            pass
        if template.control.fileno() >= 0:
            self._server.forget(template.control)
        self._server.cancel(template)
        del self._by_name[template.name]
        for pid in template.environments:
            # They die with their template; where they were handed to us we hear of it, and elsewhere nobody would.
            child.kill_group(pid)
            if self._adopts:
                self._server.children.add(pid)
            else:
                self._server.tell({"exited": pid, "status": signal.SIGKILL})
        if template.is_preloaded:
            self._server.tell({"unloaded": template.name, "was_ready": template.is_ready})
            for asked in template.waiting:
                self._server.fork(asked.request, asked.connection, asked.log)
            return
        if not template.waiting:
            return
        if template.is_ready and not template.is_second:
            self._start(template.waiting, is_second=True)
            return
        error = template.error or self._why(template, status)
        for asked in template.waiting:
            self._server.fork({**asked.request, "error": error}, asked.connection, asked.log)

    def _why(self, template: Template, status: int) -> dict[str, Any]:
        """Why a template died, in Lambda's words."""
        if times_out_of_memory(template.limits["memory_events"]) > template.killed_before:
            return bootstrap.error_object("Runtime.OutOfMemory", "Runtime exited with error: signal: killed (out of memory)")
        code = os.waitstatus_to_exitcode(status)
        end = f"exit status {code}" if code >= 0 else f"signal: {(signal.strsignal(-code) or str(-code)).lower()}"
        return bootstrap.error_object("Runtime.ExitError", f"Runtime exited with error: {end}")
