"""Functions whose code is a folder that the test writes."""

import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from eventflow.function import Function, Package


def packaged(
    folder: Path,
    runtime: str,
    files: Mapping[str, str | bytes],
    handler: str = "app.handler",
    *,
    name: str = "f",
    layers: tuple[Path, ...] = (),
    **settings: Any,
) -> Function:
    """A function called ``f`` with these files; one that begins with ``#!`` may be executed."""
    write(folder / name, files)
    package = Package(runtime, str(folder / name), tuple(map(str, layers)))
    return Function(name=name, handler=handler, package=package, **settings)


def write(folder: Path, files: Mapping[str, str | bytes]) -> Path:
    for path, text in files.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        content = text if isinstance(text, bytes) else textwrap.dedent(text).lstrip("\n").encode()
        file.write_bytes(content)
        if content.startswith(b"#!"):
            file.chmod(0o755)
    return folder
