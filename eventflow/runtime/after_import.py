"""Something that is done to a module right after its first import, by nobody's asking for it."""

from __future__ import annotations

import importlib.machinery
from collections.abc import Callable, Sequence
from importlib.abc import MetaPathFinder
from types import ModuleType


class AfterImport(MetaPathFinder):
    """Calls ``act`` with the module of this name when it has been executed. Put it in front of ``sys.meta_path`` before anybody imports that."""

    def __init__(self, name: str, act: Callable[[ModuleType], None]) -> None:
        self._name = name
        self._act = act

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> importlib.machinery.ModuleSpec | None:
        if fullname != self._name:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def execute_and_act(module: ModuleType) -> None:
                execute(module)
                self._act(module)

            spec.loader.exec_module = execute_and_act  # type: ignore[method-assign]
        return spec
