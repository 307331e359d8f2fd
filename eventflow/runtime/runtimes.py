"""The runtimes that a function's package may name, what each needs on this machine, and whether that is there."""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from eventflow.errors import SettingError
from eventflow.function import Package

#: Lambda's names of what runs a function, with the program that each needs ("" where the code brings its own ``bootstrap``).
PROGRAMS = {
    **{f"python3.{minor}": f"python3.{minor}" for minor in range(8, 15)},
    **{f"nodejs{major}.x": "node" for major in (12, 14, 16, 18, 20, 22, 24)},
    "provided": "",
    "provided.al2": "",
    "provided.al2023": "",
}
#: What needs an interface client of AWS's that does not come with eventflow, and what to do instead.
ELSEWHERE = {
    "java": "a bootstrap that starts java",
    "ruby": "a bootstrap that starts ruby with the gem aws_lambda_ric",
    "dotnet": "a bootstrap that starts the published program, which has Amazon.Lambda.RuntimeSupport",
    "go1": "the compiled program as its bootstrap",
}
#: The variable that names a program by which a function's runtime is started (AWS: "Modifying the runtime environment").
WRAPPER = "AWS_LAMBDA_EXEC_WRAPPER"
OURSELVES = f"python{sys.version_info.major}.{sys.version_info.minor}"


@dataclass(frozen=True, slots=True)
class Found:
    """A program that runs functions: its path, and its version as it says itself."""

    path: str
    version: str


def check(runtime: str) -> None:
    """Raises SettingError, with what to do, where functions of this runtime cannot run here."""
    if runtime not in PROGRAMS:
        raise SettingError(f"the runtime {runtime!r} {unknown(runtime)}")
    program = PROGRAMS[runtime]
    if program and runtime != OURSELVES and find(program) is None:
        raise SettingError(
            f"the runtime {runtime!r} needs the program {program}, which is not on the daemon's PATH: install it, or choose another runtime."
        )
    if program == "node" and int(runtime.removeprefix("nodejs").partition(".")[0]) > major_of(find(program)):
        there = find(program)
        version = there.version if there else ""
        raise SettingError(f"the runtime {runtime!r} needs a newer node than the one on the daemon's PATH, which is {version}.")


def unknown(runtime: str) -> str:
    for family, instead in ELSEWHERE.items():
        if runtime.startswith(family):
            return f"is not supported: use provided.al2023 with {instead}."
    return f"is not supported; there are {', '.join(PROGRAMS)}."


def is_in_process(runtime: str) -> bool:
    """Whether the interpreter that the daemon runs on runs it, in the environment's own process."""
    return runtime == OURSELVES


def runs_programs(package: Package | None, variables: Mapping[str, str]) -> bool:
    """Whether a function is run by programs below its environment's process, and not by that itself. ``variables`` are those set for the function."""
    return package is not None and (not is_in_process(package.runtime) or WRAPPER in variables or bool(extension_files(package)))


def extension_files(package: Package) -> list[str]:
    """The executables in the layers' ``extensions`` folders; of several with one name the last layer's counts, as if unpacked over each other."""
    found: dict[str, str] = {}
    for layer in package.layers:
        folder = os.path.join(layer, "extensions")  # noqa: PTH118
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            for entry in os.scandir(folder):
                if entry.is_file() and os.access(entry.path, os.X_OK):
                    found[entry.name] = entry.path
    return [found[name] for name in sorted(found)]


@functools.cache
def find(program: str) -> Found | None:
    """The program on PATH, asked once for its version; None where it is not there, or does not start."""
    path = shutil.which(program)
    if path is None:
        return None
    try:
        said = subprocess.run([path, "--version"], capture_output=True, text=True, check=True, timeout=30).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    return Found(path, said.strip().removeprefix("Python ").removeprefix("v"))


def major_of(found: Found | None) -> int:
    text = found.version.partition(".")[0] if found else ""
    return int(text) if text.isdigit() else 0
