"""Samples show what users can write: they import the front door, the triggers and, in tests, eventflow.testing, and nothing from behind them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SAMPLES = Path(__file__).parents[2] / "samples"


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module or ""


@pytest.mark.parametrize("path", sorted(SAMPLES.rglob("*.py")), ids=lambda path: str(path.relative_to(SAMPLES)))
def test_a_sample_stays_in_front_of_the_door(path: Path) -> None:
    behind = [name for name in imported(path) if name.startswith(("eventflow.", "triggers.")) and not name.startswith("eventflow.testing")]
    assert behind == []
