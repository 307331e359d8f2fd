"""What all tests share."""

import os

import pytest
from hypothesis import HealthCheck, settings

from tests.examples import ALL

pytest_plugins = ["pytester"]

# How long an example takes is the machine's doing: nothing fails because one was slow.
settings.register_profile("eventflow", max_examples=100 if ALL else 50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("eventflow")

#: The folders whose files take longest come first: so that at the end no process is left alone with one of them.
LONG_FIRST = ["process", "docs", "chaos", "samples", "aws", "faults"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: next((place for place, name in enumerate(LONG_FIRST) if f"tests/{name}/" in item.nodeid), len(LONG_FIRST)))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Half as many again as there are processors: many tests wait for a disk or another process."""
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return processors + (processors + 1) // 2
