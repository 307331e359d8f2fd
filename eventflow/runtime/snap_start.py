"""``snap_start``: a process that has imported the app and run its hooks, and from which the environments of one function are forked.

It does what Lambda's snapshot does: the init runs once, in it, and every environment begins as a copy of it.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

from eventflow.runtime import bootstrap, child, handlers
from eventflow.runtime.forks import ForkServer, Request, send
from eventflow.runtime.python import eventflow_log

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
    eventflow_log.set_up()
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
