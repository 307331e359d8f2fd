"""When a file is finished although nobody said so: it is not open for writing, or it has stopped changing."""

from __future__ import annotations

import heapq
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from triggers.watching import Sign

#: The first second look at a file that is open comes soon: the kernel tells of a close a moment before it counts the writer out.
SOON = 0.005


class OpenFiles:
    """Tells whether anybody has a file open for writing: Linux grants a read lease on a file only if nobody has.

    Trusted only after it was right about a file of our own (``prove``): some network file systems answer without asking the other machines.
    The lease is given back at once. Should a writer come in that instant, its ``open`` waits for us, and the kernel's notice to us is a signal
    that is ignored by default.
    """

    def __init__(self) -> None:
        self.trusted = False

    def prove(self, path: Path) -> None:
        """Make a file and see whether it is seen open, then closed."""
        try:
            with path.open("wb"):
                seen_open = has_writer(str(path))
            self.trusted = seen_open is True and has_writer(str(path)) is False
        finally:
            path.unlink(missing_ok=True)

    def written(self, path: str) -> bool | None:
        """Whether the file is open for writing; None if that cannot be known (another user's file, another system)."""
        return has_writer(path) if self.trusted else None


def has_writer(path: str) -> bool | None:
    if sys.platform != "linux":
        return None
    import fcntl

    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
    except BlockingIOError:  # a write lease of somebody else, such as a Samba client that is at work on it
        return True
    except OSError:
        return None
    try:
        fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except BlockingIOError:
        return True
    except OSError:
        return None
    finally:
        os.close(descriptor)
    return False


@dataclass(slots=True)
class _Look:
    sight: str
    since: float
    due: float
    sign: Sign


class Settling:
    """Keys whose files wait to be finished, each with the time of its next look and the sign that it was noticed by.

    Times are a clock's monotonic seconds. ``earlier`` is called when a look is due before all others.
    """

    def __init__(self, settle: float, earlier: Callable[[], None]) -> None:
        self._settle = settle
        self._earlier = earlier
        self._looks: dict[str, _Look] = {}
        self._order: list[tuple[float, str]] = []

    def __contains__(self, key: str) -> bool:
        return key in self._looks

    def settled(self, key: str, sight: str, now: float) -> bool:
        """Note a look: true when the file looked the same ``settle`` seconds ago or longer, and ever since. Otherwise it is looked at again."""
        look = self._looks.get(key)
        since = look.since if look is not None and look.sight == sight else now
        if since < now and now >= since + self._settle:
            return True
        self._schedule(key, _Look(sight, since, since + self._settle, Sign.LOOK))
        return False

    def busy(self, key: str, sight: str, now: float, sign: Sign) -> None:
        """Note that a file is open for writing: it is looked at again soon, then less and less soon, but at least every ``settle`` seconds."""
        since = self._looks[key].since if key in self._looks else now
        self._schedule(key, _Look(sight, since, now + min(self._settle, SOON + 2 * (now - since)), sign))

    def postpone(self, key: str, now: float, seconds: float, sign: Sign) -> None:
        """Look at a file again after so many seconds."""
        self._schedule(key, _Look("", now, now + seconds, sign))

    def forget(self, key: str) -> None:
        self._looks.pop(key, None)

    def due(self, now: float) -> list[tuple[str, Sign]]:
        """The keys whose next look is due, each returned once."""
        found = []
        while self._order and self._order[0][0] <= now:
            due, key = heapq.heappop(self._order)
            look = self._looks.get(key)
            if look is not None and look.due == due:
                found.append((key, look.sign))
        return found

    @property
    def next(self) -> float | None:
        """When the next look is due."""
        return self._order[0][0] if self._order else None

    def _schedule(self, key: str, look: _Look) -> None:
        self._looks[key] = look
        heapq.heappush(self._order, (look.due, key))
        if self._order[0] == (look.due, key):
            self._earlier()
