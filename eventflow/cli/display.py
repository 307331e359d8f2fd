"""How the verbs show things: tables, JSON, times; and the options that several verbs share."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import click

from eventflow.cli.client import Client
from eventflow.settings import read_settings

F = TypeVar("F", bound=Callable[..., Any])

state_option = click.option(
    "--state", type=click.Path(path_type=Path), metavar="DIR", help="The daemon's state directory, by default .eventflow in this folder."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def client_of(state: Path | None) -> Client:
    """The daemon that the option, the environment or the settings of this folder name."""
    return Client.of(read_settings(Path.cwd(), {"state": state}).state)


def print_json(value: Any) -> None:
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def print_table(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Columns as wide as their widest cell; a column of numbers stands to the right."""
    body = [list(row) for row in rows]
    lines = [list(headings), *[[cell_text(cell) for cell in row] for row in body]]
    widths = [max(len(line[column]) for line in lines) for column in range(len(headings))]
    numeric = [holds_numbers([row[column] for row in body]) for column in range(len(headings))]
    for line in lines:
        cells = (cell.rjust(width) if right else cell.ljust(width) for cell, width, right in zip(line, widths, numeric, strict=True))
        click.echo("  ".join(cells).rstrip())


def print_facts(facts: Iterable[tuple[str, object]]) -> None:
    """A name and a value on each line; a value of several lines is indented."""
    known = [(name, cell_text(value)) for name, value in facts if value not in (None, "")]
    width = max((len(name) for name, _value in known), default=0)
    for name, value in known:
        click.echo(f"{name.ljust(width)}  {value.replace(chr(10), chr(10) + ' ' * (width + 2))}")


def cell_text(value: object) -> str:
    return "-" if value is None else str(value)


def holds_numbers(column: Sequence[object]) -> bool:
    known = [cell for cell in column if cell is not None]
    return bool(known) and all(isinstance(cell, (int, float)) and not isinstance(cell, bool) for cell in known)


def local_time(instant: float | None) -> str | None:
    """A Unix time as people here read it."""
    return None if instant is None else datetime.fromtimestamp(instant, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")
