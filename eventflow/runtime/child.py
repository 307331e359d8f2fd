"""What a forked process does to become one of its own: a group, its death together with its parent, its output, its limits, its end."""

from __future__ import annotations

import ctypes
import gc
import os
import resource
import signal
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from eventflow.runtime import bootstrap
from eventflow.runtime.python import eventflow_log

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
#: Lambda: 1,024 file descriptors.
MOST_DESCRIPTORS = 1024

LINUX = sys.platform == "linux"
#: Looked up once, in the process that forks the others.
malloc_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's
prctl: Callable[[int, int], int] = ctypes.CDLL(None).prctl if LINUX else lambda _option, _value: -1


def die_with_parent() -> None:
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def freeze_memory() -> None:
    """Before others are forked from this process: give back what it no longer needs, and keep the collector off the pages that they will share."""
    gc.collect()
    if malloc_trim is not None:
        malloc_trim(0)
    gc.freeze()


def adopt_orphans() -> bool:
    """Become the parent of processes below this one whose own parent dies; False where the kernel cannot do that."""
    return prctl(PR_SET_CHILD_SUBREAPER, 1) == 0


def become_group_leader(parent: int) -> None:
    """A session of its own, so that the whole group can be killed; and death together with the parent, where the kernel can promise that."""
    os.setsid()
    die_with_parent()
    if LINUX and os.getppid() != parent:
        os._exit(1)


def redirect(log: int) -> None:
    """Standard output and error go to ``log``, which is closed here; nothing comes in."""
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)


def open_standard_streams() -> None:
    """Python's three streams anew, on nothing until ``redirect``: the inherited ones may hold what the parent has not written yet."""
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    os.close(null)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115
    sys.stdout = open(1, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115


def stand_ready() -> None:
    """What can be done before it is known which function a process is for."""
    open_standard_streams()
    sys.dont_write_bytecode = True
    eventflow_log.set_up()


def enter_limits(procs: Sequence[str], data_limit: int) -> None:
    """Join the control groups that the daemon made for this process; where there are none, a data-segment limit stands in."""
    for path in procs:
        descriptor = os.open(path, os.O_WRONLY)
        os.write(descriptor, b"0")
        os.close(descriptor)
    lower(resource.RLIMIT_NOFILE, MOST_DESCRIPTORS)
    lower(resource.RLIMIT_CORE, 0)
    if data_limit:
        lower(resource.RLIMIT_DATA, data_limit)


def lower(kind: int, value: int) -> None:
    _soft, hard = resource.getrlimit(kind)
    if hard != resource.RLIM_INFINITY:
        value = min(value, hard)
    try:
        resource.setrlimit(kind, (value, hard))
    except (ValueError, OSError):
        return  # a platform without this limit; `eventflow doctor` tells


def take_variables(request: dict[str, Any]) -> None:
    """The function's variables, which may say how it logs, and its folder for temporary files."""
    logged_json = eventflow_log.is_wanted()
    os.environ.update(request["environment"])
    os.environ["TMPDIR"] = request["tmp"]
    if eventflow_log.is_wanted() and not logged_json:  # else the code may have set up its own by now
        eventflow_log.set_up()


def kill_group(pid: int) -> None:
    try:
        os.killpg(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return


def leave(status: int) -> NoReturn:
    """End without running the exit handlers that belong to the parent; the app's own output is flushed."""
    bootstrap.flush(sys.stdout)
    bootstrap.flush(sys.stderr)
    os._exit(status)
