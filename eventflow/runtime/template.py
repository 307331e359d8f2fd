"""``snap_start``: a process that has imported the app and run its hooks, and from which the environments of one function are forked.

A *template* does what Lambda's snapshot does: the init runs once, in it, and every environment begins as a copy of it. This module holds both ends,
the process itself and what the zygote knows of it.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

from eventflow.runtime import bootstrap, child, handlers
from eventflow.runtime.forks import MESSAGE, ForkServer, Request
from eventflow.runtime.limits import times_out_of_memory

#: Lambda: the hooks after a restore have 10 seconds together.
RESTORE_SECONDS = 10.0
log = logging.getLogger("eventflow.snap_start")

# The template's own process.


class RestoreTimedOut(BaseException):
    """The hooks after the restore took too long. Not an Exception: a hook that catches everything is stopped all the same."""


def live(control: socket.socket, request: Request, descriptor: int, parent: int) -> int:
    """Import the app as an environment does, then fork environments until ``control`` closes. The output of the init goes to ``descriptor``,
    the log of the environment that the template was made for."""
    child.become_group_leader(parent)
    child.open_standard_streams()
    child.redirect(descriptor)
    template = request["template"]
    child.enter_limits(template["procs"], template["data_limit"])
    child.take_variables({**request, "tmp": template["tmp"]})
    sys.dont_write_bytecode = True
    bootstrap.set_up_logging()
    try:
        handler = handlers.find(request["function"], request["environment"])
        run_hooks("get_before_snapshot", "Runtime.BeforeSnapshotError")
        warn_of_threads()
    except bootstrap.FunctionFailed as failure:
        send(control, {"failed": failure.error})
        return 1
    child.freeze_memory()
    bootstrap.flush(sys.stdout)
    bootstrap.flush(sys.stderr)
    child.redirect(os.open(os.devnull, os.O_WRONLY))
    if tempfile.tempdir == template["tmp"]:
        tempfile.tempdir = None  # an environment has its own
    below = ForkServer(control, lambda: None, lambda order, connection: restored(handler, order, connection), spare=True)
    send(control, {"ready": True})
    below.serve()
    return 0


def restored(handler: Callable[[Any, Any], Any], request: Request, connection: int) -> int:
    """An environment's life from the copy on."""

    def prepare() -> Callable[[Any, Any], Any]:
        with time_limit(request["function"]["name"]):
            run_hooks("get_after_restore", "Runtime.AfterRestoreError")
        return handler

    return bootstrap.Process(socket.socket(fileno=connection), request["function"]).run(prepare)


def run_hooks(which: str, error_type: str) -> None:
    """Run what the app registered with AWS's ``snapshot_restore_py``: before a snapshot the last one first, after a restore in order."""
    package = sys.modules.get("snapshot_restore_py")
    if package is None:
        return  # who has not imported it has registered nothing
    hooks = list(getattr(package, which)())
    if which == "get_before_snapshot":
        hooks.reverse()
    for function, arguments, keywords in hooks:
        try:
            function(*arguments, **keywords)
        except RestoreTimedOut:
            raise
        except SystemExit as error:
            raise bootstrap.FunctionFailed(*bootstrap.exited(error, "")) from error
        except BaseException as error:
            message = f"{type(error).__name__}: {bootstrap.text_of(error)}"
            raise bootstrap.FunctionFailed(bootstrap.described(error, error_type, message), 1) from error


@contextlib.contextmanager
def time_limit(function: str) -> Iterator[None]:
    """Lambda's limit for the hooks after a restore."""

    def expire(_number: int, _frame: FrameType | None) -> None:
        raise RestoreTimedOut

    former = signal.signal(signal.SIGALRM, expire)
    signal.setitimer(signal.ITIMER_REAL, RESTORE_SECONDS)
    try:
        yield
    except RestoreTimedOut as error:
        message = f"The hooks of {function} after the restore did not finish within {RESTORE_SECONDS:.2f} seconds"
        bootstrap.write_log(f"[ERROR] SnapStartTimeoutException: {message}\n")
        raise bootstrap.FunctionFailed(bootstrap.error_object("SnapStartTimeoutException", message), 1) from error
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, former)


def warn_of_threads() -> None:
    others = [thread.name for thread in threading.enumerate() if thread is not threading.main_thread()]
    if others:
        log.warning(
            "snap_start: the init started threads (%s), and environments are copies without them. Start them in a hook after the restore.",
            ", ".join(others),
        )


def send(control: socket.socket, message: Request) -> None:
    control.sendall(json.dumps(message).encode() + b"\n")


# The zygote's end.


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
    """``is_second`` is one that was made because its predecessor died with environments still ``waiting``; there is no third."""

    name: str
    pid: int
    control: socket.socket
    waiting: list[Asked]
    limits: Request
    killed_before: int
    is_second: bool = False
    is_ready: bool = False
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
        server.exited = self._exited

    def launch(self, request: Request, connection: int, log: int) -> None:
        if "template" not in request:
            self._server.fork(request, connection, log)
            return
        asked = Asked(request, connection, log)
        template = self._by_name.get(request["function"]["name"])
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

    def _start(self, waiting: list[Asked], *, is_second: bool = False) -> None:
        request = waiting[0].request
        name, limits, parent = request["function"]["name"], request["template"], os.getpid()
        ours, theirs = socket.socketpair()

        def become() -> int:
            ours.close()
            for asked in waiting[1:]:
                asked.close()
            os.close(waiting[0].connection)
            return live(theirs, request, waiting[0].log, parent)

        pid = self._server.child(become)
        theirs.close()
        template = Template(name, pid, ours, waiting, limits, times_out_of_memory(limits["memory_events"]), is_second)
        self._by_name[name] = template
        self._server.watch(ours, lambda: self._hear(template))
        self._server.call_later(template, limits["seconds"], lambda: self._time_out(template))

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
