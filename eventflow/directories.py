"""Directories that outlive a power cut: a name in a directory lasts only once that directory was synced."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


def make_directory(path: Path) -> None:
    """Make a directory and the parents that are missing, and have their names last. Raises FileExistsError where a file is in the way.

    The last parent is synced even if nothing had to be made: whoever made it may have been killed before that.
    """
    missing = [one for one in path.parents if not one.exists()]
    path.mkdir(parents=True, exist_ok=True)
    for one in (path, *missing):
        # A directory that we may only pass through is not ours, and neither are the names in it.
        with contextlib.suppress(PermissionError):
            sync_directory(one.parent)


def sync_directory(path: Path) -> None:
    """Have the names in a directory last."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
