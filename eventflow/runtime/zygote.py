"""The zygote: a process with the app's third-party imports loaded, from which every environment is forked in milliseconds.

It is started as ``python -m eventflow.runtime.zygote FD APP`` with one end of a socket pair. It first loads the app in a throwaway fork, which tells
what the app consists of (the manifest) and which modules came from outside its folder; those it imports itself. It tells
``{"manifest": {...}}`` or ``{"load_error": text}`` before that, and ``{"warm": true}`` after it, and then serves as a ``ForkServer``.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from eventflow import faultpoint
from eventflow.app import load
from eventflow.errors import EventflowError
from eventflow.manifest import Manifest
from eventflow.runtime import bootstrap, boto3_endpoints, boto3_session, child, debugger, handlers, programs, runtimes, snapshot
from eventflow.runtime.dependencies import Init, preload
from eventflow.runtime.forks import ForkServer, Request
from eventflow.runtime.nursery import LENGTH, NO_APP, PREPARED
from eventflow.runtime.runtime_api import Supervisor
from eventflow.runtime.template import Templates
from eventflow.settings import TEST_KILL_AT

#: Services whose clients a zygote without an application has ready: those that functions here use most.
#: What a report says of what environments share.
SHARED = ("modules", "service_data", "clients", "sys_path")
SERVICES = ("s3", "dynamodb", "sqs")
#: What such a zygote has instead of a report on an application. Lambda has boto3 for every Python function, and most use it.
BARE: dict[str, Any] = {
    "manifest": Manifest("", "", None, "").to_json(),
    "modules": ["boto3"],
    "own_modules": {},
    "service_data": [
        *(["load_data_with_path", name] for name in ("endpoints", "sdk-default-configuration", "partitions")),
        *(["load_service_model", service, kind, "api_version", None] for service in SERVICES for kind in ("service-2", "endpoint-rule-set-1")),
        ["load_service_model", "dynamodb", "resources-1", None],
    ],
    "clients": [*(["client", [service], {}] for service in SERVICES), *(["resource", [service], {}] for service in ("s3", "dynamodb"))],
    "sys_path": [],
}


class Zygote:
    def __init__(self, control: socket.socket, reference: str, template: str | None = None, prepared: bool = False) -> None:
        """``prepared``: load what the application shared before, and itself only when the daemon says so."""
        self._control = control
        self._reference = reference
        self._template = template
        self._prepared = prepared

    def run(self) -> int:
        boto3_endpoints.install()
        if self._reference == NO_APP:
            os.environ["AWS_EXECUTION_ENV"] = f"AWS_Lambda_{runtimes.OURSELVES}"  # clients tell it, and are made in advance
        before = self._prepare() if self._prepared else None
        report = inspect_app(self._reference, self._template) if self._reference != NO_APP else BARE
        if "load_error" in report:
            self._tell(report)
            return 1
        self._tell({"manifest": report["manifest"]})
        self._warm_up(report if before is None else added(report, before))
        self._tell({"warm": True, "shared": shared(report, before)})
        faultpoint.reach("zygote.loaded")
        server = ForkServer(self._control, child.stand_ready, begin, spare=True)
        templates = Templates(server)
        server.serve()
        # The daemon is gone or wants us gone: so are all environments.
        templates.end()
        for pid in server.children:
            child.kill_group(pid)
        return 0

    def _warm_up(self, report: dict[str, Any]) -> None:
        """Become what environments are forked from. Requests for them wait in the socket meanwhile."""
        for entry in report["sys_path"]:
            if entry not in sys.path:
                sys.path.insert(0, entry)
        snapshot.install(report["own_modules"])
        preload(report["modules"])
        boto3_session.warm(report["service_data"], report["clients"])
        programs.tie()
        child.freeze_memory()

    def _prepare(self) -> dict[str, Any]:
        """Load what the application shared when it was loaded last, which is what takes long, and wait until it is to be loaded again."""
        before = self._receive()
        self._warm_up({**before, "own_modules": {}})
        seen = {file: changed_at(file) for file in map(file_of, list(sys.modules.values())) if file}
        self._tell({"prepared": True})
        self._receive()
        if any(changed_at(file) != seen[file] for file in seen):  # somebody has installed another version meanwhile: begin anew
            os.set_inheritable(self._control.fileno(), True)
            os.execv(  # noqa: S606 - ourselves
                sys.executable, [sys.executable, "-m", "eventflow.runtime.zygote", str(self._control.fileno()), self._reference]
            )
        return before

    def _receive(self) -> dict[str, Any]:
        """A message with its length before it; not a byte of what follows is taken. Ends the process when the daemon has closed its end."""
        with self._control.makefile("rb", buffering=0) as stream:
            length = stream.read(LENGTH.size) or b""
            data = b""
            while len(length) == LENGTH.size and len(data) < LENGTH.unpack(length)[0]:
                piece = stream.read(LENGTH.unpack(length)[0] - len(data))
                if not piece:
                    sys.exit(0)
                data += piece
        if not data:
            sys.exit(0)
        return dict(json.loads(data))

    def _tell(self, message: dict[str, Any]) -> None:
        self._control.sendall(json.dumps(message).encode() + b"\n")


def shared(report: dict[str, Any], before: dict[str, Any] | None) -> dict[str, Any]:
    """What environments share that need not be the application's present code. boto3's clients are noted when boto3 is imported: of a process that
    had it before, they are those of before."""
    found = {name: report[name] for name in SHARED}
    if before is not None:
        found["clients"] = before["clients"]
        found["service_data"] = before["service_data"]
        found["sys_path"] = list(dict.fromkeys([*before["sys_path"], *report["sys_path"]]))
    return found


def added(report: dict[str, Any], before: dict[str, Any]) -> dict[str, Any]:
    """What is still to be loaded after ``before``."""
    return {**report, "service_data": [one for one in report["service_data"] if one not in before["service_data"]]}


def changed_at(file: str) -> int:
    try:
        return os.stat(file).st_mtime_ns  # noqa: PTH116
    except OSError:
        return 0


def begin(request: Request, connection: int) -> int:
    """An environment's life: the init, then one invocation at a time. With an ``error`` in the request the init has failed already."""

    function, variables, daemon = request["function"], request["environment"], socket.socket(fileno=connection)
    package = handlers.package_of(function)
    if "error" not in request and runtimes.runs_programs(package, variables):
        return Supervisor(daemon, function, variables).run()
    if package is not None and request["learn"]:
        first = Init(function, variables, package)
        return bootstrap.Process(daemon, function).run(first, first.learned)

    def init() -> Callable[[Any, Any], Any]:
        if "error" in request:
            raise bootstrap.FunctionFailed(request["error"], 1)
        if function["debug_port"]:
            debugger.wait(function["debug_port"])
        return handlers.find(function, variables)

    return bootstrap.Process(daemon, function).run(init)


def inspect_app(reference: str, template: str | None = None) -> dict[str, Any]:
    """Load the app in a throwaway fork; its report, or ``{"load_error": text}``. ``template`` is what a template is run with, as JSON."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        sys.dont_write_bytecode = True  # a .pyc of the app would hide an edit of the same length within the same second
        try:
            report = describe_app(reference) if template is None else describe_template(reference, template)
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
    notes = boto3_session.Notes()
    sys.meta_path.insert(0, notes)
    loaded = load(reference)
    sys.meta_path.remove(notes)
    return {
        "manifest": loaded.app.manifest(loaded).to_json(),
        "modules": foreign_modules(loaded.root),
        "own_modules": own_modules(loaded.root),
        "service_data": boto3_session.data_read(),
        "clients": notes.calls,
        "sys_path": [entry for entry in sys.path if entry not in path_before],
    }


def describe_template(reference: str, options: str) -> dict[str, Any]:
    """What a template of SAM or CloudFormation consists of. It is data: no code of it is imported."""
    from eventflow.runtime import runtimes
    from eventflow.sam.options import TemplateOptions
    from eventflow.sam.template import manifest_of

    manifest = manifest_of(Path(reference), TemplateOptions.from_json(json.loads(options)), runtimes.check)
    return {**BARE, "manifest": manifest.to_json()}


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


def main(arguments: list[str]) -> int:
    descriptor, reference, template = int(arguments[0]), arguments[1], (arguments[2] if len(arguments) > 2 else None)
    prepared = template == PREPARED
    child.die_with_parent()
    os.set_inheritable(descriptor, False)
    if kill := os.environ.pop(TEST_KILL_AT, ""):
        faultpoint.arm(kill)  # the daemon has said so loudly; functions, and what they start, are not to see it
    return Zygote(socket.socket(fileno=descriptor), reference, None if prepared else template, prepared).run()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
