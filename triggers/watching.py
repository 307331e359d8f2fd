"""A watchdog observer on a bucket's directory, its events brought to the event loop as signs about keys."""

from __future__ import annotations

import asyncio
import functools
import os
import re
import sys
import threading
from collections.abc import Callable, Iterator
from enum import IntEnum
from pathlib import Path

from watchdog.events import (
    DirCreatedEvent,
    DirDeletedEvent,
    DirMovedEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileModifiedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers.api import BaseObserver

from eventflow import Clock
from triggers.inotify import InotifyEmitter
from triggers.loop_observer import LoopObserver, is_running
from triggers.object_keys import ObjectKeys

#: Where the object store keeps unfinished writes: in the bucket, and no part of its content.
TEMPORARY = ".eventflow-tmp"
PROBE = f"{TEMPORARY}/.probe-"
#: How long a probe's event may take before the file system is taken for one that tells nothing.
PROBE_PATIENCE = 3.0
#: File systems that other machines, or programs behind them, change without this kernel's knowledge.
REMOTE = frozenset({"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "glusterfs", "lustre", "vboxsf", "virtiofs", "fuse"})
LINUX = sys.platform == "linux"


class Sign(IntEnum):
    """What an event says of a path; of several about one key the greatest counts."""

    LOOK = 0  # it may have changed, come or gone
    CREATED = 1  # it came, and its writer's close will be told
    PLACED = 2  # it was renamed to its name
    WRITTEN = 3  # its writer closed it
    TREE = 4  # a directory came or went: look at all that is in it
    LOST = 5  # events were lost
    REFUSED = 6  # a directory could not be watched
    ROOT = 7  # the bucket's directory went


def signs_of(event: FileSystemEvent) -> Iterator[tuple[Sign, str]]:
    """The paths that an event is about. Only our own emitter tells when a file was closed: the other systems' events all say no more than to look."""
    source, destination = os.fsdecode(event.src_path), os.fsdecode(event.dest_path)
    match event:
        case DirCreatedEvent() | DirDeletedEvent() | DirMovedEvent():
            yield from ((Sign.TREE, path) for path in (source, destination) if path)
        case FileClosedEvent():
            yield Sign.WRITTEN, source
        case FileMovedEvent():
            yield from ((sign, path) for sign, path in ((Sign.LOOK, source), (Sign.PLACED if LINUX else Sign.LOOK, destination)) if path)
        case FileCreatedEvent():
            yield Sign.CREATED if LINUX else Sign.LOOK, source
        case FileDeletedEvent() | FileModifiedEvent():
            yield Sign.LOOK, source
        case _ if event.event_type == "lost":
            yield Sign.LOST, source
        case _ if event.event_type == "refused":
            yield Sign.REFUSED, source


class Watcher(FileSystemEventHandler):
    """Calls ``receive(sign, path)`` on the event loop, with relative paths: of files that ``keys`` wants and directories that it enters.

    Call ``prepare`` first. ``start`` and ``stop`` block: the one for as long as it takes to find the tree's directories, the other until the
    observer's threads ended, where it has some.
    """

    def __init__(self, root: str, keys: ObjectKeys, clock: Clock, receive: Callable[[Sign, str], None]) -> None:
        self._root = root
        self._keys = keys
        self._clock = clock
        self._receive = receive
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        self._waiting: list[tuple[Sign, str]] = []
        self._probes: dict[str, asyncio.Event] = {}
        self._observer: BaseObserver | LoopObserver | None = None
        self._stopped = False

    def prepare(self) -> None:
        """Make the directory of probes, so that it is watched with the others. OSError if it cannot be made."""
        Path(self._root, TEMPORARY).mkdir(exist_ok=True)

    def start(self) -> None:
        """Raises OSError where the system refuses to watch. A watcher that was stopped meanwhile does not stay."""
        observer = new_observer(self._keys, self._loop)
        observer.schedule(self, self._root, recursive=True)
        observer.start()
        with self._lock:
            self._observer = observer
            stopped = self._stopped
        if stopped:
            self.stop()

    def stop(self) -> None:
        with self._lock:
            self._stopped = True
            observer, self._observer = self._observer, None
        if observer is not None:
            observer.stop()
            observer.join()

    async def reaches(self) -> bool:
        """Make a file and wait for its event: true once all that happened before this call has been received. OSError if no file can be made."""
        seen = asyncio.Event()
        probe = PROBE + self._clock.new_id()
        self._probes[probe] = seen
        path = Path(self._root, probe)
        try:
            touch(path)
            return await self._clock.wait(seen, PROBE_PATIENCE)
        finally:
            remove(path)
            del self._probes[probe]

    # On the event loop, or on the observer's thread.

    def dispatch(self, event: FileSystemEvent) -> None:
        for sign, path in signs_of(event):
            relative = path[len(self._root) + 1 :]
            if path == self._root:
                if isinstance(event, DirDeletedEvent | DirMovedEvent):
                    self._bring(Sign.ROOT, "")
                elif sign > Sign.TREE:
                    self._bring(sign, "")
            elif self._matters(sign, relative):
                self._bring(sign, relative)

    def _matters(self, sign: Sign, relative: str) -> bool:
        if sign >= Sign.REFUSED:
            return True
        wanted = self._keys.enters if sign is Sign.TREE else self._keys.wants
        return wanted(relative) or relative.startswith(PROBE)

    def _bring(self, sign: Sign, relative: str) -> None:
        if is_running(self._loop):
            self._hand_on(sign, relative)
            return
        with self._lock:
            self._waiting.append((sign, relative))
            first = len(self._waiting) == 1
        if first:
            self._loop.call_soon_threadsafe(self._arrive)

    # On the event loop.

    def _arrive(self) -> None:
        with self._lock:
            arrived, self._waiting = self._waiting, []
        for sign, path in arrived:
            self._hand_on(sign, path)

    def _hand_on(self, sign: Sign, path: str) -> None:
        if path.startswith(PROBE):
            probe = self._probes.get(path)
            if probe is not None:
                probe.set()
        else:
            self._receive(sign, path)


def touch(path: Path) -> None:
    path.touch(0o600)


def remove(path: Path) -> None:
    path.unlink(missing_ok=True)


def new_observer(keys: ObjectKeys, loop: asyncio.AbstractEventLoop) -> BaseObserver | LoopObserver:
    if LINUX:
        return LoopObserver(functools.partial(InotifyEmitter, enters=keys.enters, probe=PROBE), loop)
    from watchdog.observers import Observer

    return Observer()


def remote_file_system(path: str) -> str | None:
    """The kind of network file system that a directory lies on, or None. Its events tell of this machine's changes alone."""
    try:
        mounts = Path("/proc/self/mountinfo").read_text(errors="surrogateescape")
    except OSError:
        return None
    kind = mounted_kind(mounts, path)
    return kind if kind in REMOTE or kind.startswith("fuse.") else None


def mounted_kind(mounts: str, path: str) -> str:
    """The type of a path's file system, by ``/proc/self/mountinfo`` (proc_pid_mountinfo(5)): of the longest mount point the last that was mounted."""
    longest, kind = "", ""
    for line in mounts.splitlines():
        before, _, after = line.partition(" - ")
        point = re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), before.split(" ")[4])
        if len(point) >= len(longest) and (path == point or path.startswith(point.rstrip("/") + "/")):
            longest, kind = point, after.split(" ")[0]
    return kind
