"""The thumbnail sample's modules, imported from its folder as its own process would."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

THUMBNAILS = Path(__file__).parents[2] / "samples" / "thumbnails"


@pytest.fixture(scope="session")
def sample_path() -> Iterator[Path]:
    sys.path.insert(0, str(THUMBNAILS))
    yield THUMBNAILS
    sys.path.remove(str(THUMBNAILS))


@pytest.fixture(scope="session")
def picture(sample_path: Path) -> ModuleType:
    return importlib.import_module("picture")


@pytest.fixture(scope="session")
def photos(sample_path: Path) -> ModuleType:
    return importlib.import_module("photos")
