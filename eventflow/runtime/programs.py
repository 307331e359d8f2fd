"""The programs of an environment whose function is not run in its own process: the runtime and its extensions, their variables and their output."""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from eventflow.function import Package
from eventflow.runtime import child
from eventflow.runtime.runtimes import PROGRAMS, WRAPPER

HERE = Path(__file__).parent
NODE_BOOTSTRAP = HERE / "node" / "bootstrap.cjs"
PYTHON_BOOTSTRAP = HERE / "python" / "bootstrap.py"
LAYERS_ROOT = "/opt"
SH = (b"/bin/sh", b"/usr/bin/sh", b"/usr/bin/env sh")
#: More than a pipe holds: one read takes all that was written before it.
PIECE = 1024 * 1024
#: Lambda's clock of a process, as the kernel numbers it (CPUCLOCK_SCHED of a process).
PROCESS_CLOCK = 2


class EntryError(Exception):
    """There is no program to start, or it does not start; the text is Lambda's."""


class Program:
    """A process of this one's group, which ends together with it. Raises EntryError where it cannot be started. ``connection`` is what it gets of the
    Runtime API, with the descriptor's number as its last argument."""

    def __init__(self, command: list[str], variables: Mapping[str, str], folder: str, output: int, connection: socket.socket | None = None) -> None:
        self.name = os.path.basename(command[-1])  # noqa: PTH119 - of a text
        handed = [] if connection is None else [connection.fileno()]
        tied = tie() if connection is not None else ()
        try:
            self._process = subprocess.Popen(
                [*tied, *command, *map(str, handed)],
                cwd=folder,
                env=variables,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=handed,
                preexec_fn=None if tied else child.die_with_parent,  # this process has one thread
            )
        except OSError as error:
            raise EntryError(f"fork/exec {error.filename or command[0]}: {reason(error)}") from error
        self.pid = self._process.pid

    def ended(self) -> int | None:
        """Its wait status in Python's form (minus the signal's number), None while it runs."""
        return self._process.poll()

    def signal(self, number: int) -> None:
        if self._process.poll() is None:
            self._process.send_signal(number)


@functools.cache
def tie() -> tuple[str, ...]:
    """What starts a program, one of ours, so that it ends together with this process: without a copy of this process in between, which takes
    milliseconds. Nothing where the system has no such thing. Asked once, before processes are forked."""
    command = (shutil.which("setpriv") or "", "--pdeathsig", "KILL", "--")
    try:
        return command if child.LINUX and subprocess.run([*command, "true"], capture_output=True, check=False).returncode == 0 else ()
    except OSError:
        return ()


def reason(error: OSError) -> str:
    """As Lambda has it: the system's text in lower case."""
    return "exec format error" if error.errno == errno.ENOEXEC else os.strerror(error.errno or 0).lower()


def end_text(code: int) -> str:
    """How a program ended, in the words of Lambda's errors."""
    if code == 0:
        return "Runtime exited without providing a reason"
    if code < 0:
        return f"Runtime exited with error: signal: {(signal.strsignal(-code) or str(-code)).lower()}"
    return f"Runtime exited with error: exit status {code}"


def runtime_command(package: Package, variables: Mapping[str, str]) -> list[str]:
    """What starts the runtime. Raises EntryError where the code has no entry."""
    program = PROGRAMS.get(package.runtime, "")
    wrapper = variables.get(WRAPPER, "")
    if not program:
        return as_bash(bootstrap_of(package))
    path = sys.executable if package.runtime == f"python{sys.version_info.major}.{sys.version_info.minor}" else shutil.which(program)
    if path is None:
        raise EntryError(f"the program {program}, which runs {package.runtime}, is not on the daemon's PATH")
    command = [path, str(NODE_BOOTSTRAP)] if program == "node" else [path, "-B", str(PYTHON_BOOTSTRAP)]
    return [*as_bash(in_layers(wrapper, package)), *command] if wrapper else command


def takes_connection(package: Package, variables: Mapping[str, str]) -> bool:
    """Whether the runtime is a program that is known to be there, and goes on with a connection that it is started with."""
    return PROGRAMS.get(package.runtime) == "node" and not variables.get(WRAPPER)


def bootstrap_of(package: Package) -> str:
    places = [os.path.join(folder, "bootstrap") for folder in (package.folder, *reversed(package.layers))]  # noqa: PTH118 - texts
    for place in places:
        if os.path.isfile(place):  # noqa: PTH113
            return place
    raise EntryError(f"Couldn't find valid bootstrap(s): [{' '.join(places)}]")


def in_layers(path: str, package: Package) -> str:
    """A path below ``/opt`` as the file of the last layer that has it."""
    if path.startswith(f"{LAYERS_ROOT}/"):
        for layer in reversed(package.layers):
            found = layer + path.removeprefix(LAYERS_ROOT)
            if os.path.exists(found):  # noqa: PTH110
                return found
    return path


def as_bash(path: str) -> list[str]:
    """On Amazon Linux ``/bin/sh`` is bash, and scripts for it rely on that: where there is a bash, it runs them here too."""
    with contextlib.suppress(OSError), open(path, "rb") as file:  # noqa: PTH123
        line = file.readline(256)
        bash = shutil.which("bash")
        if line.startswith(b"#!") and line[2:].rstrip(b"\n").strip(b" \t") in SH and bash and os.access(path, os.X_OK):
            return [bash, path]
    return [path]


def package_variables(package: Package, given: Mapping[str, str]) -> dict[str, str]:
    """What Lambda sets for a function's code, with the layers where it would look below ``/opt``. What the function sets itself stays."""
    layers = list(reversed(package.layers))  # what comes later lies above
    node = package.runtime.removeprefix("nodejs").partition(".")[0]
    found = {
        "LAMBDA_TASK_ROOT": package.folder,
        "LAMBDA_RUNTIME_DIR": str(HERE),
        "TZ": ":UTC",
        "LANG": "en_US.UTF-8",
        "PATH": joined(f"{layer}/bin" for layer in layers),
        "LD_LIBRARY_PATH": joined([package.folder, f"{package.folder}/lib", *(f"{layer}/lib" for layer in layers)]),
    }
    if not package.runtime.startswith("provided"):
        found["AWS_EXECUTION_ENV"] = f"AWS_Lambda_{package.runtime}"
    if package.runtime.startswith("nodejs"):
        found["NODE_PATH"] = joined(f"{layer}/nodejs/{folder}" for layer in layers for folder in (f"node{node}/node_modules", "node_modules"))
    else:
        found["PYTHONPATH"] = joined(f"{layer}/python" for layer in layers)
    variables = {name: value for name, value in found.items() if name not in given}
    for name in ("PATH", "LD_LIBRARY_PATH", "NODE_PATH", "PYTHONPATH"):
        if name in variables:
            inherited = "" if name == "PYTHONPATH" and package.runtime.startswith("python") else os.environ.get(name, "")
            variables[name] = joined([variables[name], inherited])
    return {name: value for name, value in variables.items() if value}


def joined(folders: Iterable[str]) -> str:
    return os.pathsep.join(folder for folder in folders if folder)


class Output:
    """A pipe for what the programs write, copied into the environment's log: a file that they opened anew by its name they could cut short."""

    def __init__(self, log: int) -> None:
        self._log = log
        self.reader, self.writer = os.pipe()
        os.set_blocking(self.reader, False)

    def drain(self) -> int:
        """Copy what is there now; returns where the log ends."""
        with contextlib.suppress(BlockingIOError):
            data = os.read(self.reader, PIECE)
            while data:
                data = data[os.write(self._log, data) :]
        return os.lseek(self._log, 0, os.SEEK_END)


def cpu_ms(programs: Iterable[Program]) -> float:
    """Processor time that they have used so far, and this process with the programs that have ended."""
    used = time.process_time()
    for program in programs:
        with contextlib.suppress(OSError, AttributeError):
            used += time.clock_gettime((~program.pid << 3) | PROCESS_CLOCK)
    return used * 1000


def peak_kib(programs: Iterable[Program]) -> int:
    """The sum of what each has had resident at most; 0 where the system does not say."""
    total = 0
    for program in programs:
        with contextlib.suppress(OSError, ValueError), open(f"/proc/{program.pid}/status", "rb") as status:  # noqa: PTH123
            total += next((int(line.split()[1]) for line in status if line.startswith(b"VmHWM:")), 0)
    return total


def listen() -> socket.socket:
    """The port of the Runtime API, on this machine alone."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)
    listener.setblocking(False)
    return listener
