"""Finds the handler of a function that runs in its environment's own process: of the application, or of a Python package as Lambda loads it."""

from __future__ import annotations

import importlib
import os
import sys
import time
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

from eventflow.function import Package
from eventflow.runtime import bootstrap, opt, runtimes
from eventflow.runtime.programs import package_variables
from eventflow.runtime.runtimes import WRAPPER

Handler = Callable[[Any, Any], Any]

#: What Lambda's own Python bootstrap has loaded before the function's code: a file of such a name hides nothing there, either.
LOADED_BEFORE = """
    abc base64 builtins codecs collections concurrent contextlib datetime decimal email encodings enum functools http importlib io json logging math
    numbers operator os posixpath random re signal site socket ssl stat string struct sys threading time traceback types typing urllib uuid warnings
    weakref zipimport
"""


def package_of(function: Mapping[str, Any]) -> Package | None:
    """Of the daemon's description of a function."""
    return None if function.get("package") is None else Package.from_json(function["package"])


def find(function: Mapping[str, Any], variables: Mapping[str, str]) -> Handler:
    """The handler. Raises ``FunctionFailed`` with Lambda's error types. ``variables`` are those that are set for the function."""
    package = package_of(function)
    if package is None:
        return bootstrap.find_handler(function["handler"])
    if runtimes.runs_programs(package, variables):
        message = f"snap_start needs a function that runs in the environment's own process: {runtimes.OURSELVES}, without extensions and {WRAPPER}"
        raise bootstrap.FunctionFailed(bootstrap.error_object("Runtime.InvalidRuntime", message), 1)
    enter(package, variables)
    return of_package(function["handler"], package)


def enter(package: Package, variables: Mapping[str, str]) -> None:
    """Make this process one that has the package as Lambda would: its variables, its folder, and its modules before all others."""
    os.environ.update(package_variables(package, variables))
    opt.show(package.layers)  # else they are found where they lie
    time.tzset()
    try:
        os.chdir(package.folder)
    except OSError as error:
        message = f"the function's folder {package.folder} cannot be entered: {error.strerror}"
        raise bootstrap.FunctionFailed(bootstrap.error_object("Runtime.InvalidWorkingDir", message), 1) from error
    places = [package.folder, *layer_places(package)]
    if not sys.flags.safe_path and sys.path:
        del sys.path[0]  # where the daemon was started
    sys.path[:0] = places
    forget(own_names(places))


def layer_places(package: Package) -> list[str]:
    """Where Lambda has ``/opt/python`` and ``/opt/python/lib/python3.N/site-packages``; the layer that comes last lies above."""
    return [f"{layer}/python{below}" for layer in reversed(package.layers) for below in ("", f"/lib/{runtimes.OURSELVES}/site-packages")]


def own_names(places: list[str]) -> set[str]:
    """The top-level modules that these folders have."""
    names: set[str] = set()
    for place in places:
        try:
            names.update(entry.name.partition(".")[0] for entry in os.scandir(place) if is_module(entry))
        except OSError:
            continue  # a layer without Python
    return names


def is_module(entry: os.DirEntry[str]) -> bool:
    """A folder without ``__init__.py`` hides no module of its name."""
    return entry.name.endswith((".py", ".so")) or os.path.isfile(os.path.join(entry.path, "__init__.py"))  # noqa: PTH113, PTH118


def forget(names: set[str]) -> None:
    """Let modules that are loaded already be loaded anew from the package where it brings them: its boto3 is not ours. What belongs together goes
    together: with one package that is not of Python itself, all of them."""
    top = {name for name in sys.modules if "." not in name}
    mine = {name for name in names & top if name not in LOADED_BEFORE.split() and name not in ("eventflow", "__main__")}
    if any(is_installed(sys.modules[name]) for name in mine):
        mine |= {name for name in top - {"eventflow", "__main__"} if is_installed(sys.modules[name])}
    for name in list(sys.modules):
        if name.partition(".")[0] in mine:
            del sys.modules[name]
    importlib.invalidate_caches()


def is_installed(module: ModuleType) -> bool:
    return "site-packages" in (getattr(module, "__file__", None) or "")


def of_package(name: str, package: Package) -> Handler:
    """The handler that a name like ``folder/module.function`` means."""
    module_name, dot, attribute = name.rpartition(".")
    if not dot:
        message = f"Bad handler '{name}': not enough values to unpack (expected 2, got 1)"
        raise bootstrap.FunctionFailed(bootstrap.error_object("Runtime.MalformedHandlerName", message), 1)
    if module_name.partition(".")[0] in sys.builtin_module_names:
        message = f"Cannot use built-in module {module_name} as a handler module"
        raise bootstrap.FunctionFailed(bootstrap.error_object("Runtime.BuiltInModuleConflict", message), 1)
    module_name, attribute = nested(module_name, attribute, package)
    return bootstrap.import_handler(module_name.replace("/", "."), attribute, shown=module_name)


def nested(module_name: str, attribute: str, package: Package) -> tuple[str, str]:
    """``module.Class.method``: where the text before the last dot is no module's, but a part of it is that of a file, the rest are attributes."""
    path, dot, last = module_name.rpartition(".")
    if not dot or any(exists(place, module_name) for place in (package.folder, *layer_places(package))):
        return module_name, attribute
    for place in (package.folder, *layer_places(package)):
        if os.path.isfile(os.path.join(place, *path.replace("/", ".").split(".")) + ".py"):  # noqa: PTH113, PTH118
            return path, f"{last}.{attribute}"
    return module_name, attribute


def exists(place: str, module_name: str) -> bool:
    path = os.path.join(place, *module_name.replace("/", ".").split("."))  # noqa: PTH118
    return os.path.isdir(path) or os.path.isfile(f"{path}.py")  # noqa: PTH112, PTH113
