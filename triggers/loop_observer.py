"""Linux: a watchdog emitter that is read by the event loop itself, instead of by a thread that hands on to a thread that hands on to the loop."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from typing import Any

from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers.api import ObservedWatch

from triggers.inotify import EventsLost, InotifyEmitter, Notice

log = logging.getLogger("eventflow.trigger")


class LoopObserver:
    """What the watcher needs of watchdog's observer, for one directory. Events are dispatched on the event loop, in the kernel's order.

    ``start`` may run in a thread: it reads the whole tree. So does, later, whatever a directory that comes has in it; the kernel's queue waits
    meanwhile. ``put`` makes this the emitter's queue.
    """

    def __init__(self, make_emitter: Callable[[Any, Any], InotifyEmitter], loop: asyncio.AbstractEventLoop) -> None:
        self._make_emitter = make_emitter
        self._loop = loop
        self._told: list[FileSystemEvent] = []
        self._walking: asyncio.Task[None] | None = None
        self._stopped = False

    def schedule(self, handler: FileSystemEventHandler, path: str, *, recursive: bool) -> None:
        self._handler = handler
        self._path = path
        self._emitter = self._make_emitter(self, ObservedWatch(path, recursive=recursive))

    @property
    def emitters(self) -> set[InotifyEmitter]:
        return {self._emitter}

    def start(self) -> None:
        """Raises OSError where the system refuses to watch."""
        self._emitter.on_thread_start()
        self._on_loop(self._listen)

    def stop(self) -> None:
        self._emitter.stop()
        self._on_loop(self._end)

    def join(self) -> None:
        """There is no thread to wait for."""

    def put(self, item: tuple[FileSystemEvent, Any]) -> None:
        self._told.append(item[0])
        self._on_loop(self._tell)

    # On the event loop.

    def _on_loop(self, work: Callable[[], None]) -> None:
        if is_running(self._loop):
            work()
        elif not self._loop.is_closed():
            self._loop.call_soon_threadsafe(work)

    def _tell(self) -> None:
        told, self._told = self._told, []
        for event in told:
            self._handler.dispatch(event)

    def _listen(self) -> None:
        if not self._stopped:
            self._loop.add_reader(self._emitter.descriptor, self._read)

    def _read(self) -> None:
        try:
            self._take(iter(self._emitter.read()))
        except Exception:
            self._loop.remove_reader(self._emitter.descriptor)
            log.exception("the notices of %s cannot be read; everything is looked at anew", self._path)
            self.put((EventsLost(self._path), None))

    def _take(self, notices: Iterator[Notice]) -> None:
        for notice in notices:
            if self._emitter.brings_directory(notice):
                self._loop.remove_reader(self._emitter.descriptor)
                self._walking = self._loop.create_task(self._walk(notice, notices))
                return
            self._emitter.take(notice)

    async def _walk(self, notice: Notice, following: Iterator[Notice]) -> None:
        """Take the notice of a directory in a thread, for there may be a whole tree in it, then those behind it."""
        try:
            await asyncio.to_thread(self._emitter.take, notice)
        finally:
            self._walking = None
            if self._stopped:
                self._emitter.close()
            else:
                self._listen()
        if not self._stopped:
            self._take(following)

    def _end(self) -> None:
        if self._stopped:
            return
        self._stopped = True
        if self._walking is None:
            self._loop.remove_reader(self._emitter.descriptor)
            self._emitter.close()


def is_running(loop: asyncio.AbstractEventLoop) -> bool:
    """Whether this is called on that event loop, and not in a thread."""
    try:
        return asyncio.get_running_loop() is loop
    except RuntimeError:
        return False
