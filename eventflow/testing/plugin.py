"""The pytest plugin: ``eventflow_clock``, and ``eventflow_harness`` to run an application in the test's process."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from eventflow.app import App
    from eventflow.testing.harness import Harness
    from eventflow.testing.virtual_clock import VirtualClock


pytest.register_assert_rewrite("eventflow.testing.trigger_contract", "eventflow.testing.journal_contract")


@pytest.fixture
def eventflow_clock() -> VirtualClock:
    """A clock that stands still until ``await clock.advance("2m")``."""
    from eventflow.testing.virtual_clock import VirtualClock

    return VirtualClock()


@pytest.fixture
def eventflow_harness(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str | App], Harness]]:
    """``harness = eventflow_harness("samples/thumbnails/app.py")`` or ``eventflow_harness(app)``: started, with boto3 pointed at it.

    Give the path, not the App, of an application that makes its boto3 clients at import: it is imported when the endpoint is there.
    """
    from eventflow.app import load
    from eventflow.testing.harness import Harness

    harnesses: list[Harness] = []
    roots: list[Path] = []
    modules, path = set(sys.modules), list(sys.path)

    def imported(reference: str) -> App:
        loaded = load(reference)
        roots.append(loaded.root)
        return loaded.app

    def start(app: str | App) -> Harness:
        harness = Harness(tmp_path / f"eventflow-{len(harnesses)}")
        harnesses.append(harness)
        for name, value in harness.variables.items():
            monkeypatch.setenv(name, value)
        harness.start(imported(app) if isinstance(app, str) else app)
        return harness

    yield start
    for harness in harnesses:
        harness.close()
    forget_modules(modules, roots)
    sys.path[:] = path


def forget_modules(known: set[str], roots: list[Path]) -> None:
    """Undo the import of applications, so that the next test imports them anew; libraries stay."""
    for name in set(sys.modules) - known:
        file = Path(getattr(sys.modules[name], "__file__", None) or "/")
        if "site-packages" not in file.parts and any(file.is_relative_to(root) for root in roots):
            del sys.modules[name]
