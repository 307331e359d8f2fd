"""The app's own modules as they were when it was loaded: environments that start later run that code, whatever an editor has written since."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import spec_from_file_location
from pathlib import Path
from types import CodeType, ModuleType


class SnapshotLoader(SourceFileLoader):
    """Runs code that was compiled earlier; also saves each environment from reading it."""

    def __init__(self, name: str, path: str, code: CodeType) -> None:
        super().__init__(name, path)
        self._code = code

    def get_code(self, fullname: str) -> CodeType:
        return self._code


class Snapshot(MetaPathFinder):
    """``modules`` maps names to files; what cannot be compiled is left to the ordinary import, which says why."""

    def __init__(self, modules: dict[str, str]) -> None:
        self._loaders = {name: loader for name, path in modules.items() if (loader := compiled(name, path)) is not None}

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        loader = self._loaders.get(fullname)
        if loader is None:
            return None
        package = [str(Path(loader.path).parent)] if Path(loader.path).name == "__init__.py" else None
        return spec_from_file_location(fullname, loader.path, loader=loader, submodule_search_locations=package)


def compiled(name: str, path: str) -> SnapshotLoader | None:
    # From the source, not from its .pyc: that is taken for current when an edit of the same length came within the same second.
    try:
        code = compile(Path(path).read_bytes(), path, "exec", dont_inherit=True)
    except (OSError, SyntaxError, ValueError):
        return None
    return SnapshotLoader(name, path, code)


def install(modules: dict[str, str]) -> None:
    sys.meta_path.insert(0, Snapshot(modules))
