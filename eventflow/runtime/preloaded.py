"""The process that a packaged function's environments are forked from once it is known what its init loads: it has the libraries, and no more.

It runs nothing of the function's own code: each environment does its init as Lambda has it, on libraries that are there already.
"""

from __future__ import annotations

import socket
import sys
import tempfile
import threading

from eventflow.runtime import bootstrap, child, handlers, snapshot
from eventflow.runtime.dependencies import preload
from eventflow.runtime.forks import ForkServer, Request, send
from eventflow.runtime.python import eventflow_log


def live(control: socket.socket, request: Request, parent: int) -> int:
    """Load the libraries under the function's own limits and variables, then fork environments until ``control`` closes and those have ended. What
    cannot be shared by copies, which is what has started threads, ends at once: environments are forked from the zygote then."""
    child.become_group_leader(parent)
    child.open_standard_streams()
    child.enter_limits(request["procs"], request["data_limit"])
    child.take_variables(request)
    sys.dont_write_bytecode = True
    eventflow_log.set_up()  # before the libraries, which may add to it: environments keep what they find
    package = handlers.package_of(request["function"])
    assert package is not None
    try:
        handlers.enter(package, request["environment"])
    except bootstrap.FunctionFailed:
        return 1  # each environment says so itself
    snapshot.install(request["own"])
    preload(request["libraries"])
    if threading.active_count() > 1:
        return 1
    child.freeze_memory()
    if tempfile.tempdir == request["tmp"]:
        tempfile.tempdir = None  # an environment has its own
    below = ForkServer(control, child.open_standard_streams, begin, spare=True, lingers=True)
    send(control, {"ready": True})
    below.serve()
    return 0


def begin(request: Request, connection: int) -> int:
    """An environment's life: the rest of the init, then one invocation at a time."""
    function = request["function"]
    package = handlers.package_of(function)
    assert package is not None
    return bootstrap.Process(socket.socket(fileno=connection), function).run(lambda: handlers.of_package(function["handler"], package))
