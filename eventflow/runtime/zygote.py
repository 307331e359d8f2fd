"""The zygote: a process with the app's third-party imports loaded, from which every environment is forked in milliseconds.

It is started as ``python -m eventflow.runtime.zygote FD APP`` with one end of a socket pair. It first loads the app in a throwaway fork, which tells
what the app consists of (the manifest) and which modules came from outside its folder; those it imports itself. Then it serves, one JSON line each:

    daemon -> zygote: {"fork": <environment>, "function": {...}, "procs": [paths]}   with two descriptors: the process's socket, its log file
    zygote -> daemon: {"manifest": {...}} | {"load_error": text} | {"forked": <environment>, "pid": n} | {"exited": pid, "status": wait status}
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import json
import os
import resource
import select
import signal
import socket
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

from eventflow import faultpoint
from eventflow.app import Loaded, load
from eventflow.errors import EventflowError
from eventflow.runtime import bootstrap, boto3_session, snapshot
from eventflow.settings import TEST_KILL_AT

PR_SET_PDEATHSIG = 1
MESSAGE = 262_144
#: Lambda: 1,024 file descriptors.
MOST_DESCRIPTORS = 1024


class Zygote:
    def __init__(self, control: socket.socket, reference: str) -> None:
        self._control = control
        self._reference = reference
        self._received = b""
        self._descriptors: list[int] = []
        self._loaded: Loaded | None = None
        self._children: set[int] = set()

    def run(self) -> int:
        report = inspect_app(self._reference)
        if "load_error" in report:
            self._tell(report)
            return 1
        for entry in report["sys_path"]:
            if entry not in sys.path:
                sys.path.insert(0, entry)
        snapshot.install(report.pop("own_modules"))
        preload(report.pop("modules"))
        boto3_session.warm(report.pop("service_data"))
        gc.collect()
        gc.freeze()
        self._tell(report)
        faultpoint.reach("zygote.loaded")
        return self._serve()

    def _serve(self) -> int:
        wakeup, signalled = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC) if hasattr(os, "pipe2") else nonblocking_pipe()
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        signal.set_wakeup_fd(signalled)
        while True:
            sources: list[Any] = [self._control, wakeup]
            readable, _, _ = select.select(sources, [], [])
            if wakeup in readable:
                os.read(wakeup, 4096)
                self._reap()
            if self._control in readable and not self._receive():
                return self._end()

    def _receive(self) -> bool:
        data, descriptors, _flags, _address = socket.recv_fds(self._control, MESSAGE, 64)
        if not data:
            return False
        self._received += data
        self._descriptors += descriptors
        *lines, self._received = self._received.split(b"\n")
        for line in lines:
            self._fork(json.loads(line))
        return True

    def _fork(self, request: dict[str, Any]) -> None:
        connection, log = self._descriptors[:2]
        del self._descriptors[:2]
        parent = os.getpid()
        faultpoint.reach("zygote.asked")
        pid = os.fork()
        if pid == 0:
            self._become_environment(request, connection, log, parent)
        os.close(connection)
        os.close(log)
        faultpoint.reach("zygote.forked")
        self._children.add(pid)
        self._tell({"forked": request["fork"], "pid": pid})

    def _become_environment(self, request: dict[str, Any], connection: int, log: int, parent: int) -> NoReturn:
        status = 1
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            self._control.close()
            become_group_leader(parent)
            faultpoint.reach("environment.begun")
            redirect(log)
            enter_limits(request)
            sys.dont_write_bytecode = True
            os.environ.update(request["environment"])
            os.environ["TMPDIR"] = request["tmp"]
            bootstrap.set_up_logging()
            status = bootstrap.Process(socket.socket(fileno=connection), request["function"]).run()
        except BaseException:
            traceback.print_exc()
        finally:
            leave(status)

    def _reap(self) -> None:
        while self._children:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid in self._children:
                self._children.discard(pid)
                self._tell({"exited": pid, "status": status})

    def _end(self) -> int:
        """The daemon is gone or wants us gone: so are all environments."""
        for pid in self._children:
            kill_group(pid)
        return 0

    def _tell(self, message: dict[str, Any]) -> None:
        self._control.sendall(json.dumps(message).encode() + b"\n")


def nonblocking_pipe() -> tuple[int, int]:
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    os.set_blocking(writer, False)
    return reader, writer


def inspect_app(reference: str) -> dict[str, Any]:
    """Load the app in a throwaway fork; its report, or ``{"load_error": text}``."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        sys.dont_write_bytecode = True  # a .pyc of the app would hide an edit of the same length within the same second
        try:
            report = describe_app(reference)
        except EventflowError as error:
            report = {"load_error": str(error)}
        except BaseException:
            report = {"load_error": f"Loading {reference} failed:\n{traceback.format_exc()}"}
        with open(writer, "wb") as pipe:  # noqa: PTH123 - a descriptor, not a path
            pipe.write(json.dumps(report).encode())
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)
    os.close(writer)
    with open(reader, "rb") as pipe:  # noqa: PTH123
        text = pipe.read()
    _, status = os.waitpid(pid, 0)
    if not text:
        return {"load_error": f"Loading {reference} ended its process (wait status {status}): does it call os._exit, or crash, at import?"}
    return dict(json.loads(text))


def describe_app(reference: str) -> dict[str, Any]:
    path_before = list(sys.path)
    loaded = load(reference)
    return {
        "manifest": loaded.app.manifest(loaded).to_json(),
        "modules": foreign_modules(loaded.root),
        "own_modules": own_modules(loaded.root),
        "service_data": boto3_session.data_read(),
        "sys_path": [entry for entry in sys.path if entry not in path_before],
    }


def foreign_modules(root: Path) -> list[str]:
    """The imported modules that come from outside the app's folder, in the order of their import."""
    files = {name: file_of(module) for name, module in list(sys.modules.items()) if name != "__main__"}
    return [name for name, file in files.items() if file and not is_own(file, root)]


def own_modules(root: Path) -> dict[str, str]:
    """The imported modules of the app itself, with their files."""
    files = {name: file_of(module) for name, module in list(sys.modules.items()) if name != "__main__"}
    return {name: file for name, file in files.items() if file and is_own(file, root) and file.endswith(".py")}


def file_of(module: ModuleType) -> str | None:
    file = getattr(module, "__file__", None)
    return file if isinstance(file, str) else None


def is_own(file: str, root: Path) -> bool:
    """Under the app's folder; a virtual environment in that folder is not the app's own."""
    return file.startswith(str(root) + os.sep) and "site-packages" not in file


def preload(modules: list[str]) -> None:
    for name in modules:
        if name not in sys.modules:
            try:
                importlib.import_module(name)
            except Exception:
                # Some modules can be imported only by another one; then each environment imports it that way.
                continue


def become_group_leader(parent: int) -> None:
    """A session of its own, so that the whole group can be killed; and death together with the zygote, where the kernel can promise that."""
    os.setsid()
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)


def redirect(log: int) -> None:
    """Standard output and error go to the log file, nothing comes in."""
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(null)
    os.close(log)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115
    sys.stdout = open(1, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115


def enter_limits(request: dict[str, Any]) -> None:
    """Join the control groups that the daemon made for this environment; where there are none, a data-segment limit stands in."""
    for path in request["procs"]:
        with open(path, "w") as procs:  # noqa: PTH123
            procs.write("0")
    lower(resource.RLIMIT_NOFILE, MOST_DESCRIPTORS)
    lower(resource.RLIMIT_CORE, 0)
    if request["data_limit"]:
        lower(resource.RLIMIT_DATA, request["data_limit"])


def lower(kind: int, value: int) -> None:
    _soft, hard = resource.getrlimit(kind)
    if hard != resource.RLIM_INFINITY:
        value = min(value, hard)
    try:
        resource.setrlimit(kind, (value, hard))
    except (ValueError, OSError):
        return  # a platform without this limit; `eventflow doctor` tells


def kill_group(pid: int) -> None:
    try:
        os.killpg(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return


def leave(status: int) -> NoReturn:
    """End without running the exit handlers that belong to the zygote; the app's own output is flushed."""
    bootstrap.flush(sys.stdout)
    bootstrap.flush(sys.stderr)
    os._exit(status)


def main(arguments: list[str]) -> int:
    descriptor, reference = int(arguments[0]), arguments[1]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    os.set_inheritable(descriptor, False)
    if kill := os.environ.pop(TEST_KILL_AT, ""):
        faultpoint.arm(kill)  # the daemon has said so loudly; functions, and what they start, are not to see it
    return Zygote(socket.socket(fileno=descriptor), reference).run()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
