"""The application, started once for all tests: its gateway, tables and queues are eventflow's own, its handlers run in this process."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from types import ModuleType

import pytest

from eventflow.testing.harness import Harness


@pytest.fixture(scope="package")
def harness(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Harness]:
    harness = Harness(tmp_path_factory.mktemp("powertools"))
    with pytest.MonkeyPatch.context() as patch:
        for name, value in harness.variables.items():
            patch.setenv(name, value)
        patch.setenv("POWERTOOLS_TRACE_DISABLED", "true")  # what eventflow's environments have
        try:
            harness.start(importlib.import_module("tests.powertools.application").app)
            yield harness
        finally:
            harness.close()


@pytest.fixture(scope="package")
def application(harness: Harness) -> ModuleType:
    return importlib.import_module("tests.powertools.application")
