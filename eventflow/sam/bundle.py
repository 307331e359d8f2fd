"""The build directory of a SAM template: an application's code as it is, stand-ins for eventflow, and a list of what else it needs."""

from __future__ import annotations

import ast
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping
from importlib import metadata
from pathlib import Path

from eventflow.errors import EventflowError, LoadError
from eventflow.function import Function
from eventflow.manifest import Manifest
from eventflow.sam.stand_ins import ENTRY, EVENTFLOW, TRIGGERS

#: Lambda's limit of unpacked code, layers included ("Lambda quotas"), in bytes.
LARGEST = 262_144_000
STAND_INS = {"eventflow.py": EVENTFLOW, "triggers.py": TRIGGERS}
REQUIREMENTS = "requirements.txt"
#: Folders that are no code, beside those that begin with a dot.
LEFT_OUT = frozenset(("__pycache__", "node_modules", "venv", "env", "tests"))
#: What Lambda's Python runtime has already.
THERE = frozenset(("boto3", "botocore", "s3transfer", "jmespath", "python-dateutil", "six", "urllib3", "eventflow"))
ENTRIES = "eventflow_entry_"


def handlers(manifest: Manifest, awaited: Iterable[str]) -> tuple[dict[str, str], dict[str, str]]:
    """Lambda's text of each function's handler, and the modules that must be written for some of them: for those in ``awaited``, which are coroutine
    functions, and for those that are deeper in their module."""
    texts, entries, waits = {}, {}, set(awaited)
    for function in manifest.functions:
        module, _, path = function.handler.partition(":")
        if "." not in path and function.name not in waits:
            texts[function.name] = f"{module.replace('.', '/')}.{path}"
            continue
        name = ENTRIES + function.name.replace("-", "_")
        while f"{name}.py" in entries:
            name += "_"
        texts[function.name] = f"{name}.handler"
        entries[f"{name}.py"] = entry(function, module, path)
    return texts, entries


def entry(function: Function, module: str, path: str) -> str:
    return ENTRY.format(handler=function.handler, module=module, first=path.partition(".")[0], path=path)


def build(root: Path, target: Path, kept_out: Iterable[Path], entries: Mapping[str, str]) -> None:
    """Fill ``target``. ``kept_out`` are folders below ``root`` that are no code: state, buckets, the output itself. Raises EventflowError."""
    out, left = [path.resolve() for path in kept_out], LARGEST
    for name in (*STAND_INS, *entries):
        if (root / name).exists():
            raise EventflowError(f"{root / name} has the name of a module that the build writes itself; rename it.")
    for file in files_of(root, out):
        left -= file.stat().st_size
        if left < 0:
            raise EventflowError(f"{root} has more than {LARGEST} bytes, which is Lambda's limit: move data out of the application's folder.")
        place = target / file.relative_to(root)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, place)
    for name, text in {**STAND_INS, **entries}.items():
        (target / name).write_text(text, encoding="utf-8")
    if not (target / REQUIREMENTS).exists():
        found = requirements(root, sorted(target.rglob("*.py")), target)
        (target / REQUIREMENTS).write_text("".join(f"{line}\n" for line in found), encoding="utf-8")


def files_of(folder: Path, out: list[Path]) -> Iterator[Path]:
    """The regular files of an application; a link that leads out of its folder is left where it is."""
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.name in LEFT_OUT or path.resolve() in out or path.is_symlink() or path.suffix == ".pyc":
            continue
        if path.is_dir() and not (path / "pyvenv.cfg").exists():
            yield from files_of(path, out)
        elif path.is_file():
            yield path


def requirements(root: Path, files: Iterable[Path], target: Path) -> list[str]:
    """The installed packages that the code imports, with their versions; what Lambda's runtime has is left out. Raises LoadError for parts of
    eventflow that work nowhere but here."""
    packages, found = metadata.packages_distributions(), {}
    own = {path.name.removesuffix(".py") for path in target.iterdir()}
    for file in files:
        for module, line in imports_of(file):
            top, _, rest = module.partition(".")
            if top in ("eventflow", "triggers") and rest:
                raise LoadError(f"{root / file.relative_to(target)}:{line} imports {module}, which is not there on AWS Lambda.")
            for name in () if top in own or top in sys.stdlib_module_names else packages.get(top, ()):
                if name.lower() not in THERE:
                    found[name] = f"{name}=={metadata.version(name)}"
    return [found[name] for name in sorted(found, key=str.lower)]


def imports_of(file: Path) -> Iterator[tuple[str, int]]:
    """The modules that a file imports, each with its line; of ``from a import b`` the module ``a``. What only types are for is none."""
    if file.name in STAND_INS:
        return
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError):
        return  # it is imported by nobody, or says so itself
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((one.name, node.lineno) for one in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module, node.lineno
