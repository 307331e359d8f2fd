"""Linux: an emitter for watchdog that reads the kernel's notices itself, so that none is held back, guessed or lost without a word."""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from watchdog.events import DirCreatedEvent, DirDeletedEvent, FileClosedEvent, FileCreatedEvent, FileDeletedEvent, FileMovedEvent, FileSystemEvent
from watchdog.observers.api import EventEmitter

# <sys/inotify.h>
IN_CLOSE_WRITE = 0x00000008
IN_MOVED_FROM = 0x00000040
IN_MOVED_TO = 0x00000080
IN_CREATE = 0x00000100
IN_DELETE = 0x00000200
IN_DELETE_SELF = 0x00000400
IN_MOVE_SELF = 0x00000800
IN_UNMOUNT = 0x00002000
IN_Q_OVERFLOW = 0x00004000
IN_IGNORED = 0x00008000
IN_ONLYDIR = 0x01000000
IN_DONT_FOLLOW = 0x02000000
IN_EXCL_UNLINK = 0x04000000
IN_ISDIR = 0x40000000

DIRECTORY_ONLY = IN_ONLYDIR | IN_DONT_FOLLOW | IN_EXCL_UNLINK
CHANGES = IN_CLOSE_WRITE | IN_MOVED_FROM | IN_MOVED_TO | IN_CREATE | IN_DELETE | DIRECTORY_ONLY
ROOT_CHANGES = CHANGES | IN_DELETE_SELF | IN_MOVE_SELF
ROOT_LOST = IN_DELETE_SELF | IN_MOVE_SELF | IN_UNMOUNT | IN_IGNORED

HEADER = struct.Struct("iIII")
READ_SIZE = 65_536
#: Errors of a watch that was to be added: the directory went meanwhile, or is none.
GONE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)


class EventsLost(FileSystemEvent):
    """The kernel's queue overflowed: anything may have happened since, and directories may be unwatched."""

    event_type = "lost"


class WatchRefused(FileSystemEvent):
    """A directory below ``src_path`` could not be watched: what happens in it will not be told."""

    event_type = "refused"


@dataclass(frozen=True, slots=True)
class Notice:
    """One record of the kernel; ``watch`` is the directory's number, ``name`` the entry in it."""

    watch: int
    mask: int
    name: str


class Inotify:
    """The kernel's queue of notices. The calls raise OSError as the system calls do."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self.descriptor = self._call(self._libc.inotify_init1, os.O_NONBLOCK | os.O_CLOEXEC)

    def add(self, path: str, mask: int) -> int:
        """The number of a directory's watch: the same one as before if that very directory has one."""
        return self._call(self._libc.inotify_add_watch, self.descriptor, os.fsencode(path), ctypes.c_uint32(mask), path=path)

    def remove(self, watch: int) -> None:
        self._libc.inotify_rm_watch(self.descriptor, watch)

    def read(self) -> list[Notice]:
        try:
            return list(notices_in(os.read(self.descriptor, READ_SIZE)))
        except BlockingIOError:
            return []

    def close(self) -> None:
        os.close(self.descriptor)

    @staticmethod
    def _call(function: Callable[..., int], *arguments: Any, path: str | None = None) -> int:
        result = function(*arguments)
        if result == -1:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), path)
        return result


def notices_in(buffer: bytes) -> Iterator[Notice]:
    position = 0
    while position < len(buffer):
        watch, mask, _cookie, length = HEADER.unpack_from(buffer, position)
        position += HEADER.size
        yield Notice(watch, mask, os.fsdecode(buffer[position : position + length].rstrip(b"\0")))
        position += length


class InotifyEmitter(EventEmitter):
    """Watches the directories of a tree that ``enters`` (given relative paths) agrees to. Its thread is never started: ``LoopObserver`` calls
    ``on_thread_start``, then ``read`` and ``take``, and ``close`` at the end.

    It differs from watchdog's own in what a bucket depends on. A rename is told at once, as a file that came and a file that went, never held back to
    find its other half. An overflow of the kernel's queue and a refused watch are events. A directory is reported after it is watched, so that
    who then looks into it misses nothing. A file that was renamed to its name is ``FileMovedEvent("", name)``, one whose writer closed it
    ``FileClosedEvent``; ``FileCreatedEvent`` alone promises nothing. Of the directory of ``probe`` (a relative path) nothing is told but that
    files were created whose paths begin so.
    """

    def __init__(self, event_queue: Any, watch: Any, *, enters: Callable[[str], bool], probe: str, **settings: Any) -> None:
        super().__init__(event_queue, watch, **settings)
        self._enters = enters
        self._root = watch.path
        self._probe = f"{watch.path}/{probe}"
        self._probes = self._probe.rpartition("/")[0]
        self._paths: dict[int, str] = {}
        self._inotify: Inotify | None = None

    def on_thread_start(self) -> None:
        self._inotify = Inotify()
        try:
            self._watch_tree(self._root)
        except BaseException:
            self.close()
            raise

    @property
    def descriptor(self) -> int:
        """Readable when there are notices."""
        assert self._inotify is not None
        return self._inotify.descriptor

    def read(self) -> list[Notice]:
        """What the kernel has to tell, up to a few thousand notices; it does not wait."""
        assert self._inotify is not None
        return self._inotify.read()

    def close(self) -> None:
        if self._inotify is not None:
            self._inotify.close()
            self._inotify = None

    def brings_directory(self, notice: Notice) -> bool:
        """Whether ``take`` will read a tree."""
        return bool(notice.mask & IN_ISDIR and notice.mask & (IN_CREATE | IN_MOVED_TO) and notice.watch in self._paths)

    def take(self, notice: Notice) -> None:
        """Tell what a notice means, and watch what came with it."""
        if notice.mask & IN_Q_OVERFLOW:
            self.queue_event(EventsLost(self._root))
            return
        directory = self._paths.get(notice.watch)
        if directory is None:
            return
        if notice.mask & (IN_IGNORED | IN_UNMOUNT):
            del self._paths[notice.watch]
        if directory == self._root and notice.mask & ROOT_LOST:
            self.queue_event(DirDeletedEvent(self._root))
        elif notice.name:
            path = f"{directory}/{notice.name}"
            if notice.mask & IN_ISDIR:
                self._take_directory(path, notice.mask)
            else:
                self._take_file(path, notice.mask)

    def _take_file(self, path: str, mask: int) -> None:
        if path.startswith(self._probes + os.sep) and not path.startswith(self._probe):
            return
        if mask & IN_CLOSE_WRITE:
            self.queue_event(FileClosedEvent(path))
        elif mask & IN_MOVED_TO:
            self.queue_event(FileMovedEvent("", path))
        elif mask & IN_CREATE:
            self.queue_event(FileCreatedEvent(path))
        elif mask & (IN_DELETE | IN_MOVED_FROM):
            self.queue_event(FileDeletedEvent(path))

    def _take_directory(self, path: str, mask: int) -> None:
        if mask & (IN_CREATE | IN_MOVED_TO):
            try:
                news = self._watch_tree(path)
            except OSError:
                self.queue_event(WatchRefused(path))
                return
            if news:
                self.queue_event(DirCreatedEvent(path))
        elif mask & IN_MOVED_FROM:  # one that is deleted was empty, and the kernel forgets its watch itself
            self._unwatch_tree(path)
            self.queue_event(DirDeletedEvent(path))

    def _watch_tree(self, top: str) -> bool:
        """Watch a directory and those in it; false if it was watched already under this path, or is not to be entered.

        Each directory is watched before it is listed: one that is made meanwhile is found or told of, if not both.
        """
        news = False
        waiting = [top]
        while waiting and self.should_keep_running():
            path = waiting.pop()
            if path == self._probes:
                self._add(path, IN_CREATE | DIRECTORY_ONLY)
            elif self._enters(path[len(self._root) + 1 :]) and self._add(path, self._mask(path)):
                news = True
                waiting.extend(directories_in(path))
        return news

    def _mask(self, path: str) -> int:
        return ROOT_CHANGES if path == self._root else CHANGES

    def _add(self, path: str, mask: int) -> bool:
        """Watch one directory; false if that is no news or it is gone."""
        assert self._inotify is not None
        try:
            watch = self._inotify.add(path, mask)
        except OSError as error:
            if error.errno in GONE and path != self._root:
                return False
            if error.errno == errno.EACCES and path != self._root:  # whoever looks into it will say so
                return True
            raise
        news = self._paths.get(watch) != path
        self._paths[watch] = path
        return news

    def _unwatch_tree(self, top: str) -> None:
        """Forget the watches of a directory that went: the kernel would go on telling of it under the name that it had."""
        assert self._inotify is not None
        inside = top + os.sep
        for watch, path in list(self._paths.items()):
            if path == top or path.startswith(inside):
                del self._paths[watch]
                self._inotify.remove(watch)


def directories_in(path: str) -> list[str]:
    try:
        with os.scandir(path) as entries:
            return [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
    except OSError:  # gone, or unreadable: whoever looks into it will say so
        return []
