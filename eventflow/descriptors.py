"""The limit of open files: raised as far as this user may, and named where it is reached."""

from __future__ import annotations

import asyncio
import errno
import logging
import resource
from typing import Any

from eventflow.clock import Clock

log = logging.getLogger("eventflow.descriptors")

#: A connection, a running function and a log file take one each.
WANTED = 65_536
#: The seconds between two times that the same limit is told.
TELL_EVERY = 60.0
EXHAUSTED = (errno.EMFILE, errno.ENFILE)


def raise_limit() -> int:
    """Raise the soft limit of open files to the hard one, or to 65,536 if that is less; returns what is in force."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = WANTED if hard == resource.RLIM_INFINITY else min(WANTED, hard)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return soft
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    except (OSError, ValueError) as error:  # macOS has a limit of its own below an infinite one
        log.warning("the limit of open files stays %d: %s", soft, error)
        return soft
    return wanted


class LimitReached:
    """An event loop's handler of exceptions that nobody awaits: of those, one that says that no more files may be open is told as such."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._told_at: float | None = None

    def __call__(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if not isinstance(error, OSError) or error.errno not in EXHAUSTED:
            loop.default_exception_handler(context)
            return
        now = self._clock.monotonic()
        if self._told_at is None or now >= self._told_at + TELL_EVERY:
            self._told_at = now
            log.error("%s New connections wait until others are closed.", explained(error))


def explained(error: OSError) -> str:
    """What to do about EMFILE or ENFILE."""
    if error.errno == errno.ENFILE:
        return "The whole machine has no open files left (sysctl fs.file-max): end what keeps them."
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return (
        f"The daemon's limit of open files is reached: {soft} (at most {hard} for this user). Raise it with `ulimit -n` before the start, or "
        "LimitNOFILE= in the systemd unit."
    )
