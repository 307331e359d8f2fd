"""Which packaged functions have a process with their libraries loaded, below the zygote, and for how long (the daemon's end of ``preloaded``)."""

from __future__ import annotations

import contextlib
import itertools
import shutil
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eventflow.clock import Clock, Timer
from eventflow.function import Function
from eventflow.runtime.limits import Limiter
from eventflow.runtime.nursery import Nursery

#: One from which nothing was forked for so long ends: its function is seldom needed.
IDLE_SECONDS = 900.0
#: The one that was used longest ago makes room for another.
MOST = 32
#: A load that takes longer is given up.
SECONDS = 60.0
#: One that died is made again, but not for ever: it may need more memory than there is.
MOST_DEATHS = 3


@dataclass(eq=False)
class Preload:
    name: str
    function: Function
    nursery: Nursery
    used: float
    at_end: contextlib.ExitStack


class Preloads:
    """A function's is of the function as it was when it was learned what it loads: with other settings it is learned anew."""

    def __init__(self, clock: Clock, limiter: Limiter, folder: Path) -> None:
        self._clock = clock
        self._limiter = limiter
        self._folder = folder
        self._names = itertools.count(1)
        self._by_key: dict[str, Preload] = {}
        self._deaths: Counter[str] = Counter()
        self._timer: Timer | None = None

    def name_of(self, function: Function, nursery: Nursery) -> str | None:
        """What an environment of this function is to be forked from; None: from the zygote."""
        found = self._by_key.get(function.key)
        if found is None or found.function is not function or found.nursery is not nursery:
            return None
        found.used = self._clock.monotonic()
        return found.name

    def learn(self, function: Function, nursery: Nursery, request: Mapping[str, Any], learned: Mapping[str, Any]) -> None:
        """Load these libraries for the next environments of a function; ``request`` is what its last one was asked for with."""
        if self.name_of(function, nursery) is not None:
            return
        deaths = self._deaths[function.key]
        self.forget(function.key)
        self._deaths[function.key] = deaths
        if len(self._by_key) >= MOST:
            self.forget(min(self._by_key.values(), key=lambda one: one.used).function.key)
        name = f"preloaded-{next(self._names)}"
        folder = self._folder / name
        with contextlib.ExitStack() as undo:
            undo.callback(shutil.rmtree, folder, ignore_errors=True)
            (folder / "tmp").mkdir(parents=True)
            # Twice the function's: the process that waits to become the next environment is in it too.
            confinement = self._limiter.confine(name, 2 * function.memory)
            undo.callback(confinement.release)
            nursery.tell(
                {
                    "preload": name,
                    "function": request["function"],
                    "environment": request["environment"],
                    "tmp": str(folder / "tmp"),
                    "procs": list(confinement.procs),
                    "data_limit": confinement.data_limit,
                    "memory_events": confinement.memory_events,
                    "seconds": SECONDS,
                    **learned,
                }
            )
            made = Preload(name, function, nursery, self._clock.monotonic(), undo.pop_all())
        nursery.unloaded[name] = lambda was_ready: self._ended(made, again=was_ready)
        self._by_key[function.key] = made
        if self._timer is None:
            self._timer = self._clock.call_later(IDLE_SECONDS / 4, self._look)

    def forget(self, key: str) -> None:
        """Fork nothing more from a function's; it ends when its environments have ended."""
        del self._deaths[key]
        found = self._by_key.pop(key, None)
        if found is not None:
            with contextlib.suppress(OSError):  # the zygote is gone, and it with it
                found.nursery.tell({"retire": found.name})

    def forget_all(self) -> None:
        """The machine has no memory left."""
        for key in list(self._by_key):
            self.forget(key)

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _ended(self, ended: Preload, *, again: bool) -> None:
        """One that never became ready is not tried again: it stays known, and environments are forked from the zygote."""
        ended.at_end.close()
        key = ended.function.key
        if self._by_key.get(key) is ended:
            self._deaths[key] += 1
            if again and self._deaths[key] < MOST_DEATHS:
                del self._by_key[key]

    def _look(self) -> None:
        self._timer = None
        oldest = self._clock.monotonic() - IDLE_SECONDS
        for key in [key for key, one in self._by_key.items() if one.used < oldest]:
            self.forget(key)
        if self._by_key:
            self._timer = self._clock.call_later(IDLE_SECONDS / 4, self._look)
