"""Where an application's code is, and importing it so that a failure shows the user's own lines and nothing else."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import os
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, TracebackType

from eventflow.errors import LoadError, SettingError
from eventflow.settings import configured_app

DEFAULT_FILE = "app.py"
TEMPLATES = (".yaml", ".yml", ".json", ".template")
#: What SAM's command line looks for in a folder, in its order.
TEMPLATE_FILES = ("template.yaml", "template.yml", "template.json")


@dataclass(frozen=True)
class Source:
    """A module that holds an application: ``root`` goes first on ``sys.path``, ``file`` is None where only the import system can tell it. Or a
    template of SAM or CloudFormation, which has a file and no module."""

    reference: str
    root: Path
    module: str
    file: Path | None = None
    attribute: str | None = None

    @property
    def template(self) -> Path | None:
        """The template that the application is, if it is one."""
        return self.file if self.file is not None and self.file.suffix in TEMPLATES else None

    def __str__(self) -> str:
        return str(self.file) if self.file is not None else self.module


def locate(reference: str) -> Source:
    """What ``module:app``, ``path.py``, ``path.py:app`` or a folder stands for; LoadError says what is wrong with it."""
    if not reference.strip():
        raise LoadError("The application is not named: give a file (app.py), a folder that has an app.py, or module:app.")
    path, attribute = divided(reference)
    if path.is_dir():
        return in_folder(reference, path)
    if path.is_file():
        return in_file(reference, path, attribute)
    if looks_like_path(path):
        raise LoadError(missing(path))
    return Source(reference, Path.cwd(), str(path), None, attribute)


def folder_of(reference: str) -> Path:
    """The folder that a reference's settings and state belong to; nothing is imported and nothing needs to be right yet."""
    path, _attribute = divided(reference)
    if path.is_dir():
        return path.resolve()
    return path.resolve().parent if looks_like_path(path) or path.is_file() else Path.cwd()


def divided(reference: str) -> tuple[Path, str | None]:
    if Path(reference).exists():
        return Path(reference), None  # a colon in a file's name
    left, colon, right = reference.rpartition(":")
    if not colon:
        return Path(reference), None
    if not left or not right:
        raise LoadError(f"{reference!r} names no application: write module:app or path.py:app, with something on both sides of the colon.")
    return Path(left), right


def looks_like_path(path: Path) -> bool:
    return len(path.parts) > 1 or path.suffix in (".py", ".pyw", *TEMPLATES) or path.is_absolute()


def in_folder(reference: str, folder: Path) -> Source:
    """The application that the folder's settings name, else its app.py."""
    named = configured_app(folder)
    if named is not None:
        path, attribute = divided(named)
        if (folder / path).is_file():
            return in_file(reference, folder / path, attribute)
        if looks_like_path(path):
            raise LoadError(f"The settings of {folder} name the application {named!r}. {missing(folder / path)}")
        return Source(reference, folder.resolve(), str(path), None, attribute)
    if (folder / DEFAULT_FILE).is_file():
        return in_file(reference, folder / DEFAULT_FILE, None)
    for name in TEMPLATE_FILES:
        if (folder / name).is_file():
            return in_file(reference, folder / name, None)
    raise LoadError(
        f"The folder {folder} has no {DEFAULT_FILE}, no {TEMPLATE_FILES[0]}, and no eventflow.toml or pyproject.toml ([tool.eventflow]) that names "
        f'the application with app = "path.py:app". {python_files(folder)}'
    )


def in_file(reference: str, path: Path, attribute: str | None) -> Source:
    """A file as a module: in a package it keeps its dotted name, so that its relative imports work."""
    if path.suffix in TEMPLATES:
        if attribute is not None:
            raise LoadError(f"{path}:{attribute} names nothing: a template is an application as a whole.")
        return Source(reference, path.resolve().parent, "", path.resolve())
    if path.suffix != ".py":
        raise LoadError(f"{path} is not a Python file: an application is a .py file that makes an App, or module:app.")
    if "." in path.stem:
        raise LoadError(f"{path} cannot be imported: Python takes the dot in {path.stem!r} for a package. Rename the file.")
    file = path.resolve()
    root, parts = file.parent, [file.stem]
    while (root / "__init__.py").is_file():
        root, parts = root.parent, [root.name, *parts]
    return Source(reference, root, ".".join(parts), file, attribute)


def missing(path: Path) -> str:
    folder = path.parent
    if not folder.is_dir():
        return f"There is no file {path}: the folder {folder} does not exist."
    close = difflib.get_close_matches(path.name, [entry.name for entry in folder.glob("*.py")], n=1)
    return f"There is no file {path}. " + (f"Did you mean {folder / close[0]}?" if close else python_files(folder))


def python_files(folder: Path) -> str:
    names = sorted(entry.name for entry in folder.glob("*.py"))
    return f"Python files in {folder}: {', '.join(names)}." if names else f"There is no Python file in {folder.resolve()}."


def import_source(source: Source) -> ModuleType:
    """The module, its root put first on ``sys.path``; LoadError tells what went wrong in the user's own lines."""
    if str(source.root) not in sys.path[:1]:
        sys.path.insert(0, str(source.root))
    importlib.invalidate_caches()
    try:
        module = importlib.import_module(source.module)
    except ModuleNotFoundError as error:
        raise LoadError(not_found(source, error)) from error
    except (SettingError, LoadError) as error:
        raise LoadError(f"{place(error.__traceback__, source.root)}{error}") from error
    except Exception as error:
        raise LoadError(failed(source, error)) from error
    except SystemExit as error:
        raise LoadError(
            f'{source} ended its process while it was imported: sys.exit({error.code!r}). Keep that under `if __name__ == "__main__":`.'
        ) from error
    if source.file is not None and not is_from(module, source.file):
        taker = getattr(module, "__file__", None) or "a built-in module"
        raise LoadError(f"{source.file} cannot be imported as {source.module!r}: that name is taken by {taker}. Rename the file.")
    return module


def is_from(module: ModuleType, file: Path) -> bool:
    found = getattr(module, "__file__", None)
    return found is not None and Path(found).resolve() == file


def not_found(source: Source, error: ModuleNotFoundError) -> str:
    if (
        error.name is not None
        and (source.module == error.name or source.module.startswith(f"{error.name}."))
        and not own_frames(source, error.__traceback__)
    ):
        return (
            f"No module named {source.module!r} in {source.root} or among the installed packages (missing: {error.name}). {python_files(source.root)}"
        )
    return failed(source, error)


def failed(source: Source, error: BaseException) -> str:
    """The traceback as the user's code sees it: without the import system and what stands above it."""
    frames = own_frames(source, error.__traceback__)
    lines = ["Traceback (most recent call last):\n", *traceback.format_list(frames)] if frames else []
    lines += traceback.format_exception_only(error)
    return f"{source} failed while it was imported.\n{''.join(lines).rstrip()}"


def own_frames(source: Source, found: TracebackType | None) -> list[traceback.FrameSummary]:
    """The frames from the first one outside this file and the import system on, the import system left out further down too."""
    machinery = (__file__, importlib.__file__)
    return [frame for frame in traceback.extract_tb(found) if frame.filename not in machinery and not frame.filename.startswith("<frozen ")]


def place(found: TracebackType | None, root: Path) -> str:
    """``file:line: `` of the application's line that called into eventflow or into a trigger."""
    package = str(Path(__file__).parent)
    frames = [
        frame for frame in traceback.extract_tb(found) if not frame.filename.startswith(("<", package)) and frame.filename != importlib.__file__
    ]
    frames = [frame for frame in frames if frame.filename.startswith(f"{root}{os.sep}")] or frames
    return f"{frames[-1].filename}:{frames[-1].lineno}: " if frames else ""
