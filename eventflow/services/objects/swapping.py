"""Two files that change names, in one step of the file system (renameat2(2) with RENAME_EXCHANGE, Linux)."""

from __future__ import annotations

import ctypes
import errno
import os
import sys
from functools import lru_cache
from typing import Any

EXCHANGE = 2
#: What a system, or a file system, says that cannot do it. A filter of system calls says EPERM.
UNABLE = {errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM}


def exchange(folder: int, name: str, other_folder: int, other_name: str) -> bool:
    """Give two files, in directories that are open, each other's names; false where that cannot be done. Raises ``OSError``, and has done nothing.

    Whoever watches the first directory is told that a file went and that one came, in this order.
    """
    function = renameat2()
    if function is None:
        return False
    if function(folder, os.fsencode(name), other_folder, os.fsencode(other_name), EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in UNABLE:
        return False
    raise OSError(number, os.strerror(number), name)


@lru_cache
def renameat2() -> Any:
    """The C library's function; None where there is none."""
    return getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None) if sys.platform == "linux" else None
