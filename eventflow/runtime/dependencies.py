"""What the init of a packaged function imports that is not its own code: libraries, which a process may load before an environment is asked for.

A module is a library's where a distribution installed it (its name is in a ``*.dist-info`` beside it), or where it comes with the interpreter. A file
that lies beside the handler without that is the function's own, and may do at import what must be done in each environment: open a connection, draw
a number. Only its code is kept, not what it made.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Mapping
from typing import Any

from eventflow.function import Package
from eventflow.runtime import handlers

#: An init that took less is not worth a process that shortens the next.
WORTH_MS = 20.0


class Init:
    """The init of a packaged function, which can tell afterwards what it imported."""

    def __init__(self, function: Mapping[str, Any], variables: Mapping[str, str], package: Package) -> None:
        self._function = function
        self._variables = variables
        self._package = package
        self._before: frozenset[str] = frozenset()

    def __call__(self) -> handlers.Handler:
        handlers.enter(self._package, self._variables)
        self._before = frozenset(sys.modules)
        return handlers.of_package(self._function["handler"], self._package)

    def learned(self, milliseconds: float) -> dict[str, Any] | None:
        """What another process could load before: ``libraries`` in the order of their import, and the files of the function's ``own`` modules. None
        where that would save next to nothing."""
        if milliseconds < WORTH_MS:
            return None
        places = [self._package.folder, *handlers.layer_places(self._package)]
        installed = {place: installed_in(place) for place in places}
        libraries: list[str] = []
        own: dict[str, str] = {}
        for name, module in list(sys.modules.items()):
            file = getattr(module, "__file__", None)
            if name in self._before or name == "__main__" or not isinstance(file, str):
                continue
            if is_library(file, installed):
                libraries.append(name)
            elif file.endswith(".py"):
                own[name] = file
        return {"libraries": libraries, "own": own} if libraries else None


def preload(modules: list[str]) -> None:
    """Import what is not there yet."""
    for name in modules:
        if name not in sys.modules:
            try:
                importlib.import_module(name)
            except Exception:
                # Some modules can be imported only by another one; then each environment imports it that way.
                continue


def is_library(file: str, installed: Mapping[str, set[str]]) -> bool:
    """``installed`` has the names that distributions brought, by the folders of the package."""
    under = [place for place in installed if file.startswith(place + os.sep)]
    if not under:
        return True
    place = max(under, key=len)
    return file[len(place) + 1 :].partition(os.sep)[0] in installed[place]


def installed_in(place: str) -> set[str]:
    """The files and folders that installed distributions brought into a folder, as their records tell (PyPA: "Recording installed projects")."""
    names: set[str] = set()
    try:
        records = [os.path.join(entry.path, "RECORD") for entry in os.scandir(place) if entry.name.endswith(".dist-info")]  # noqa: PTH118
    except OSError:
        return names  # a layer without Python
    for record in records:
        try:
            with open(record, encoding="utf-8", errors="replace") as lines:  # noqa: PTH123
                names.update(line.partition(",")[0].partition("/")[0] for line in lines)
        except OSError:
            continue  # stripped from the package: its modules count as the function's own
    return names
