"""A function's layers at /opt, where Lambda has them: over what the machine has there, in a mount namespace of the environment's own.

That takes root, or a kernel that lets everybody make user namespaces and mount overlays in them (Linux 5.11); without it layers are where they lie.
"""

from __future__ import annotations

import ctypes
import os
import tempfile
from collections.abc import Callable, Sequence

from eventflow.runtime import child

OPT = "/opt"
CLONE_NEWNS, CLONE_NEWUSER = 0x00020000, 0x10000000
MS_RDONLY, MS_REC, MS_PRIVATE = 1, 1 << 14, 1 << 18
#: What separates folders, and options, in an overlay's.
SEPARATORS = ":,\\"

libc = ctypes.CDLL(None)


def show(layers: Sequence[str]) -> bool:
    """Make this process, and what it starts, see the layers at /opt, the last one uppermost; False, and nothing has changed there, where that cannot
    be. The process must have one thread."""
    if not child.LINUX or not layers or not os.path.isdir(OPT) or any(sign in layer for layer in layers for sign in SEPARATORS):  # noqa: PTH112
        return False
    is_alone = libc.unshare(CLONE_NEWNS) == 0 or (succeeds(lambda: enter_user_namespace() and overlay(layers)) and enter_user_namespace())
    return is_alone and overlay(layers)


def overlay(layers: Sequence[str]) -> bool:
    """Mount the layers, where mounts are this process's own."""
    folders = ":".join([*reversed(layers), OPT])
    return mount("none", "/", None, MS_REC | MS_PRIVATE, None) and mount("overlay", OPT, "overlay", MS_RDONLY, f"lowerdir={folders}")


def enter_user_namespace() -> bool:
    """Have mounts of one's own without being root. To be tried out first: who may begin this and not end it has lost its user."""
    user, group = os.geteuid(), os.getegid()
    if libc.unshare(CLONE_NEWNS | CLONE_NEWUSER) != 0:
        return False
    child.die_with_parent()  # the kernel forgets that with new rights
    return say("setgroups", "deny") and say("uid_map", f"{user} {user} 1") and say("gid_map", f"{group} {group} 1")


def succeeds(attempt: Callable[[], bool]) -> bool:
    """Try it in another process."""
    pid = os.fork()
    if pid == 0:
        os._exit(0 if attempt() else 1)
    return os.waitpid(pid, 0)[1] == 0


def mount(source: str, target: str, kind: str | None, flags: int, options: str | None) -> bool:
    texts = [None if text is None else os.fsencode(text) for text in (source, target, kind, options)]
    return bool(libc.mount(*texts[:3], ctypes.c_ulong(flags), texts[3]) == 0)


def say(file: str, text: str) -> bool:
    """Write into a file of this process's own below /proc."""
    try:
        with open(f"/proc/self/{file}", "w") as out:  # noqa: PTH123
            out.write(text)
    except OSError:
        return False
    return True


def works() -> bool:
    """Whether layers can be shown here."""
    with tempfile.TemporaryDirectory() as folder:
        return succeeds(lambda: show([folder]))
