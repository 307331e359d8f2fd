"""Whole file systems put on the disk at once."""

from __future__ import annotations

import ctypes
import errno
import os
import re
import sys
from collections.abc import Iterable
from pathlib import Path

#: From this version of Linux on syncfs(2) tells that something could not be written.
TELLS_ERRORS = (5, 8)
RUN_OF_THE_MACHINE = Path("/proc/sys/kernel/random/boot_id")


def sync_file_systems(paths: Iterable[Path]) -> bool:
    """Put all that was written so far, to any file of the file systems that these directories are on, on the disk; each of them once. Blocks, and
    raises ``OSError``. False: this machine cannot do that."""
    if not can_sync_file_systems():
        return False
    done: set[int] = set()
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            device = os.fstat(descriptor).st_dev
            if device not in done and not sync_file_system(descriptor):
                return False
            done.add(device)
        finally:
            os.close(descriptor)
    return True


def can_sync_file_systems() -> bool:
    release = re.match(r"(\d+)\.(\d+)", os.uname().release)
    return sys.platform == "linux" and release is not None and (int(release[1]), int(release[2])) >= TELLS_ERRORS


def sync_file_system(descriptor: int) -> bool:
    library = ctypes.CDLL(None, use_errno=True)  # of the process itself: the C library
    if library.syncfs(descriptor) == 0:
        return True
    number = ctypes.get_errno()
    if number == errno.ENOSYS:
        return False
    raise OSError(number, os.strerror(number))


def run_of_the_machine() -> str | None:
    """What tells this run of the machine, from its start on, from all others; None where the system does not say."""
    try:
        return RUN_OF_THE_MACHINE.read_text().strip() or None
    except OSError:
        return None
