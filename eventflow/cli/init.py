"""``eventflow init``: a small application to begin with, which runs and whose own tests pass."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

import click

from eventflow.errors import EventflowError
from eventflow.function import NAME

COMMON = "common"
#: Files that are called otherwise here: one that begins with a dot would count for this repository.
DOTTED = {"gitignore": ".gitignore"}
FOLDERS = ("src",)


@dataclass(frozen=True)
class Template:
    """What its README says: what the application is, a command that tries it, and the function that this runs."""

    about: str
    attempt: str
    function: str
    app: str = "app.py"


TEMPLATES: Mapping[str, Template] = {
    "http": Template(
        "Notes behind an HTTP API, kept in a table.", """curl -X PUT -d '{"text": "milk"}' http://127.0.0.1:8080/notes/1""", "write_note"
    ),
    "thumbnails": Template("Thumbnails of the pictures that come into a bucket.", "cp picture.jpg .eventflow/buckets/uploads/", "thumbnail"),
    "queue": Template(
        "Orders from a queue. What fails comes again alone, and goes to another queue after three times.",
        """eventflow generate-event queue --body '{"id": "a", "amount": 2}' | eventflow invoke accept --payload -""",
        "accept",
    ),
    "schedule": Template("A report every morning.", "eventflow generate-event schedule | eventflow invoke report --payload -", "report"),
    "stream": Template(
        "A count of a table's items that follows its stream.",
        """eventflow generate-event stream --table items --new '{"id": "1"}' | eventflow invoke count --payload -""",
        "count",
    ),
    "sam": Template(
        "A SAM application: `sam build && sam deploy --guided` brings it to AWS as it is.",
        "curl -X POST http://127.0.0.1:8080/words/hello",
        "SayFunction",
        "template.yaml",
    ),
}


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), default=".", metavar="[FOLDER]")
@click.option("--template", type=click.Choice(list(TEMPLATES)), default="http", show_default=True, help="What the application does.")
@click.option("--name", help="The application's name; by default the folder's.")
def init(folder: Path, template: str, name: str | None) -> None:
    """Write a small application with its tests into FOLDER, which is made if it is not there. Nothing is overwritten."""
    called = name if name is not None else proposed(folder)
    if not NAME.fullmatch(called):
        raise EventflowError(f"The name {called!r} is refused: it takes 1 to 64 of A-Z, a-z, 0-9, '_' and '-'. Give another one with --name.")
    content = contents(template, called)
    there = sorted(str(path) for path in content if (folder / path).exists() or (folder / path).is_symlink())
    if there:
        raise EventflowError(f"{folder} has {', '.join(there)} already, and nothing is overwritten. Name an empty folder.")
    try:
        for path, text in content.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            with (folder / path).open("x", encoding="utf-8") as file:
                file.write(text)
    except OSError as error:
        raise EventflowError(f"{error.filename} cannot be written: {error.strerror}.") from error
    click.echo(f"Wrote {called} to {folder}: {', '.join(str(path) for path in content)}.")
    click.echo(f"{'' if folder == Path() else f'cd {folder} && '}eventflow dev {TEMPLATES[template].app}")


def proposed(folder: Path) -> str:
    """The folder's name, as far as it is one."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", folder.resolve().name).strip("-")[:64] or "app"


def contents(template: str, name: str) -> dict[Path, str]:
    """The files of an application, by their paths in its folder."""
    about = TEMPLATES[template]
    words = {
        "name": name,
        "about": about.about,
        "try": about.attempt,
        "function": about.function,
        "app": about.app,
        "python": f"{sys.version_info.major}.{sys.version_info.minor}",
    }
    found = {}
    scaffolds = files("eventflow.cli") / "scaffolds"
    for folder in (COMMON, template):
        for path, file in files_of(scaffolds / folder, Path()):
            text = file.read_text(encoding="utf-8")
            found[path] = re.sub(r"\{\{(\w+)\}\}", lambda match: words[match[1]], text)
    return found


def files_of(folder: Traversable, path: Path) -> list[tuple[Path, Traversable]]:
    found = []
    for entry in sorted(folder.iterdir(), key=lambda one: one.name):
        if entry.is_file():
            found.append((path / DOTTED.get(entry.name, entry.name), entry))
        elif entry.name in FOLDERS:
            found += files_of(entry, path / entry.name)
    return found
