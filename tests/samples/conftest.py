"""The thumbnail sample's modules, imported from its folder as its own process would."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

THUMBNAILS = Path(__file__).parents[2] / "samples" / "thumbnails"


@pytest.fixture(scope="session")
def load() -> Iterator[Callable[[str], ModuleType]]:
    """Imports a module of the sample; what it imported is forgotten at the end, because other samples have an ``app`` too."""
    before = set(sys.modules)
    sys.path.insert(0, str(THUMBNAILS))
    yield importlib.import_module
    sys.path.remove(str(THUMBNAILS))
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", None)).startswith(str(THUMBNAILS)):
            del sys.modules[name]


@pytest.fixture(scope="session")
def picture(load: Callable[[str], ModuleType]) -> ModuleType:
    return load("picture")


@pytest.fixture(scope="session")
def photos(load: Callable[[str], ModuleType]) -> ModuleType:
    return load("photos")
