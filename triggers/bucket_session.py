"""One run of a bucket trigger: catch up with what happened meanwhile, then watch or poll, and begin again when the ground moves."""

from __future__ import annotations

import asyncio
import errno
import math
import stat
from collections.abc import Awaitable, Callable, Iterable, Set
from pathlib import Path

from eventflow import BucketSource, SettingError, Target
from triggers.entries import Entries
from triggers.object_events import WORKERS, ObjectEvents
from triggers.object_index import ObjectIndex
from triggers.object_keys import ObjectKeys, child, is_below, is_text
from triggers.settling import Settling
from triggers.snapshot import Snapshot
from triggers.watching import LINUX, PROBE, Sign, Watcher, remote_file_system

#: How often, in seconds, the bucket's directory is checked to be the one that is watched: a mount over it, or a rename above it, raises no event.
HEARTBEAT = 5.0
#: How often everything is looked at where an observer does not tell that it lost events.
RELOOK = 300.0
#: A poll rests for so many times the time that its look took.
REST = 4
#: How often, in seconds, a directory that is gone is looked for.
ABSENCE_PAUSE = 1.0
#: The first and the longest pause, in seconds, between attempts to watch again after a limit was reached: each takes what is left of it.
FIRST_REWATCH, LONGEST_REWATCH = 60.0, 960.0
EVERYTHING = frozenset({""})
WATCH_LIMITS = {
    errno.ENOSPC: "the limit of inotify watches is reached; raise it with: sysctl fs.inotify.max_user_watches=1048576",
    errno.EMFILE: "the limit of inotify instances, or of open files, is reached; raise it with: sysctl fs.inotify.max_user_instances=1024",
}


class BucketSession:
    """``mode`` is ``auto``, ``events`` or ``poll``; ``settle`` in seconds; ``asked`` says whether an event of this name is wanted."""

    def __init__(self, source: BucketSource, target: Target, *, keys: ObjectKeys, asked: Callable[[str], bool], mode: str, settle: float) -> None:
        self._name = source.name
        self._target = target
        self._clock = target.clock
        self._keys = keys
        self._mode = mode
        self._settle = settle
        self._wake = asyncio.Event()
        self._settling = Settling(settle, self._wake.set)
        self._index = ObjectIndex(target.cursor)
        self._events = ObjectEvents(source, target, self._index, self._settling, asked)
        self._root = self._events.root
        self._trees: set[str] = set()
        self._touched: set[str] | None = None
        self._broken: Sign | None = None
        #: While a limit of the system is reached: when watching is tried again, and after which pause.
        self._rewatch: tuple[float, float] | None = None
        self._ready = False

    async def run(self) -> None:
        """Deliver events until cancelled."""
        await self._working(self._follow)

    async def sweep(self) -> int:
        """Deliver what differs from the index now, every file taken as finished; how many events that were."""
        await self._working(self._look_once)
        return self._events.emitted

    async def _working(self, body: Callable[[], Awaitable[None]]) -> None:
        """Run ``body`` while workers handle the keys it notices. The first failure of either ends both."""
        await self._index.load()
        try:
            async with asyncio.TaskGroup() as group:
                workers = [group.create_task(self._events.work()) for _ in range(WORKERS)]
                await body()
                for worker in workers:
                    worker.cancel()
        except BaseExceptionGroup as failures:
            raise failures.exceptions[0] from None

    async def _look_once(self) -> None:
        if self._index.fresh:
            await self._catch_up(None)
        else:
            await self._look_at(sign=Sign.WRITTEN)
        await self._events.handled()
        await self._index.save()

    # One round of this loop ends when the directory went, or events did.

    async def _follow(self) -> None:
        while True:
            await self._directory()
            self._broken = None
            self._touched = set() if self._index.fresh else None
            identity = identity_of(self._root)
            watcher = await self._watcher()
            try:
                await self._catch_up(watcher)
                self._tell_ready()
                await self._serve(watcher, identity)
            finally:
                if watcher is not None:
                    watcher.stop()
            self._tell_why()

    async def _directory(self) -> None:
        """Wait until the bucket's directory is there."""
        if identity_of(self._root) is not None:
            return
        self._report(f"its directory {self._root} is gone. Make it again or mount its disk: the trigger goes on then, by what changed meanwhile.")
        while identity_of(self._root) is None:
            await self._clock.sleep(ABSENCE_PAUSE)
        self._report(f"its directory {self._root} is back; everything in it is looked at.")

    async def _watcher(self) -> Watcher | None:
        """A watcher that is known to work, or None to poll."""
        if self._mode == "poll" or (self._rewatch is not None and self._clock.monotonic() < self._rewatch[0]):
            return None
        kind = remote_file_system(self._root) if self._mode == "auto" else None
        if kind is not None:
            self._poll_because(f"{self._root} lies on {kind}, which other machines can change unnoticed here")
            return None
        watcher = Watcher(self._root, self._keys, self._clock, self._receive)
        problem: str | None = ""
        try:
            problem = await self._problem_with(watcher)
        finally:
            if problem is not None:
                watcher.stop()
        if problem is None:
            if self._rewatch is not None:
                self._rewatch = None
                self._report("there is room for its watches again: it is watched, no longer polled.")
            return watcher
        if problem in WATCH_LIMITS.values():
            self._poll_for_now(problem)
        else:
            self._poll_because(problem)
        return None

    async def _problem_with(self, watcher: Watcher) -> str | None:
        """Start a watcher and try it on a file of our own; why it is of no use, or None."""
        try:
            watcher.prepare()
        except OSError as error:
            return cannot_probe(self._root, error)
        try:
            await asyncio.to_thread(watcher.start)
        except OSError as error:
            return WATCH_LIMITS.get(error.errno or 0) or f"{self._root} cannot be watched ({error.strerror})"
        try:
            if not await watcher.reaches():
                return f"the file system of {self._root} tells of no changes"
            self._events.open_files.prove(Path(self._root, PROBE + self._clock.new_id()))
        except OSError as error:
            return cannot_probe(self._root, error)
        return None

    def _poll_because(self, problem: str) -> None:
        if self._mode == "events":
            raise SettingError(f"Bucket {self._name!r}: watch='events' cannot be had: {problem}. Use watch='auto' or watch='poll'.")
        self._report(f"{problem}. So it is polled: a file fires when it has not changed for {self._settle:g} seconds.")

    def _poll_for_now(self, limit: str) -> None:
        """Poll until there may be room for watches again. It is told once, however often that is tried."""
        pause = FIRST_REWATCH if self._rewatch is None else min(self._rewatch[1] * 2, LONGEST_REWATCH)
        if self._rewatch is None:
            self._poll_because(limit)
        self._rewatch = self._clock.monotonic() + pause, pause

    async def _catch_up(self, watcher: Watcher | None) -> None:
        """Notice what came, changed and went while nobody looked. Files from before the trigger's first run are entered and do not fire."""
        if not self._index.fresh:
            await self._look_at()
            return
        old = Entries()
        await self._look_at(old=old)
        if watcher is not None and not await self._told_all(watcher):
            return
        for key in self._touched or ():
            old.drop(key)
        for directory in old.directories():
            if is_below(directory, self._trees):
                for name, _ in list(old.items_in(directory)):
                    old.drop(child(directory, name))
        if self._broken is None:
            await self._index.begin(old)
            self._touched = None
            if old:
                self._report(f"{len(old)} objects were there before function {self._target.function!r} was asked to handle them; they do not fire.")

    async def _told_all(self, watcher: Watcher) -> bool:
        """Wait until whatever happened up to now has been told, for that is new. If it does not come, begin again."""
        try:
            if await watcher.reaches():
                return True
        except OSError as error:
            self._report(cannot_probe(self._root, error))
        self._broken = Sign.ROOT
        return False

    async def _serve(self, watcher: Watcher | None, identity: tuple[int, int] | None) -> None:
        """Look again at what is unfinished, into directories that came, and at everything from time to time, until the ground moves."""
        relook = self._next_look(watcher, 0.0)
        while self._broken is None:
            now = self._clock.monotonic()
            due = min(now + HEARTBEAT, relook, self._settling.next or now + HEARTBEAT)
            await self._clock.wait(self._wake, max(due - now, 0.0))
            self._wake.clear()
            for key, sign in self._settling.due(self._clock.monotonic()):
                self._events.notice(key, sign)
            await self._look_into_trees()
            started = self._clock.monotonic()
            if started >= relook:
                await self._look_at()
                relook = self._next_look(watcher, self._clock.monotonic() - started)
            await self._index.save()
            self._tell_oddities()
            if identity_of(self._root) != identity or (watcher is None and self._rewatch is not None and started >= self._rewatch[0]):
                self._broken = Sign.ROOT

    def _next_look(self, watcher: Watcher | None, took: float) -> float:
        """When everything is looked at again, after a look that took so many seconds."""
        if watcher is None:
            return self._clock.monotonic() + max(self._settle, REST * took)
        return math.inf if LINUX else self._clock.monotonic() + RELOOK

    async def _look_into_trees(self) -> None:
        trees, self._trees = self._trees, set()
        for tree in trees:
            if not is_text(tree):
                self._events.oddities.name(f"{self._root}/{tree}")
        if trees := topmost(tree for tree in trees if is_text(tree)):
            await self._look_at(trees)

    async def _look_at(self, tops: Set[str] = EVERYTHING, sign: Sign = Sign.LOOK, old: Entries | None = None) -> None:
        """Notice every key from these directories downward that differs from the index. Unknown ones go into ``old`` instead."""
        batches = Snapshot(self._root, self._keys, self._index, self._events.oddities).batches(tops)
        try:
            while self._broken is None and (batch := await asyncio.to_thread(next, batches, None)) is not None:
                if old is not None:
                    adopted = {key: sight for key, sight in batch.items() if sight is not None and self._index.get(key) is None}
                    await asyncio.to_thread(old.extend, adopted)
                    batch = {key: sight for key, sight in batch.items() if key not in adopted}
                for key in batch:
                    self._events.notice(key, sign)
                self._tell_oddities()
                await self._events.room()
        except FileNotFoundError:
            self._broken = Sign.ROOT

    def _receive(self, sign: Sign, path: str) -> None:
        """Take what a watcher tells."""
        if sign < Sign.TREE:
            if self._touched is not None:
                self._touched.add(path)
            self._events.notice(path, sign)
            return
        if sign is Sign.TREE:
            self._trees.add(path)
        else:
            self._broken = sign
        self._wake.set()

    # What people are told.

    def _tell_ready(self) -> None:
        if not self._ready and self._broken is None:
            self._ready = True
            self._target.ready()

    def _tell_why(self) -> None:
        """Why a round ended, where the next one does not say so itself."""
        if self._broken is Sign.LOST:
            self._report(
                "so much happened at once that the system dropped notices; everything is looked at instead. "
                "Should this come often, raise the limit with: sysctl fs.inotify.max_queued_events=262144"
            )
        elif self._broken is Sign.REFUSED:
            self._poll_for_now(WATCH_LIMITS[errno.ENOSPC])

    def _tell_oddities(self) -> None:
        for text in self._events.oddities.untold():
            self._report(text)

    def _report(self, text: str) -> None:
        self._target.report(f"Bucket {self._name!r}: {text}")


def cannot_probe(root: str, error: OSError) -> str:
    return f"no file can be made in {root} to try whether changes are told ({error.strerror})"


def identity_of(path: str) -> tuple[int, int] | None:
    """The device and inode of a directory, or None if there is none."""
    try:
        status = Path(path).stat()
    except OSError:
        return None
    return (status.st_dev, status.st_ino) if stat.S_ISDIR(status.st_mode) else None


def topmost(trees: Iterable[str]) -> set[str]:
    """The directories that lie in no other of them."""
    known = set(trees)
    return {tree for tree in known if not is_below(tree.rpartition("/")[0], known)}
