"""What came into large directories and went out of them, told by the kernel: inotify(7), where a file system tells of all its changes."""

from __future__ import annotations

import ctypes
import os
import stat
import struct
import sys
import threading
import weakref
from dataclasses import dataclass, field
from typing import Any

# <sys/inotify.h>
IN_MOVED_FROM, IN_MOVED_TO, IN_CREATE, IN_DELETE = 0x40, 0x80, 0x100, 0x200
IN_UNMOUNT, IN_Q_OVERFLOW, IN_IGNORED = 0x2000, 0x4000, 0x8000
IN_ONLYDIR, IN_ISDIR = 0x01000000, 0x40000000
COMES = IN_CREATE | IN_MOVED_TO
GOES = IN_DELETE | IN_MOVED_FROM
HEADER = struct.Struct("iIII")
READ_SIZE = 65_536
#: The types of file systems (statfs(2)) that nothing but this kernel changes: ext2 to ext4, XFS, Btrfs, F2FS, bcachefs, ZFS, tmpfs.
LOCAL = frozenset({0xEF53, 0x58465342, 0x9123683E, 0xF2F52010, 0xCA451A4E, 0x2FC12FC1, 0x01021994})
#: Of so many changes none is kept: to read the directory anew is as quick.
MOST_CHANGES = 50_000


@dataclass(slots=True, eq=False)
class News:
    """What happened in a directory since it was asked for: names as they stand in keys (a directory's with its slash) and whether they are there now.
    ``lost`` says that more may have happened. Names in ``left`` were moved away: of two files that changed names each is told to have gone before the
    other is told to have come, though a name was there all the time."""

    watch: int
    changes: dict[bytes, bool] = field(default_factory=dict)
    left: set[bytes] = field(default_factory=set)
    lost: bool = False

    def note(self, name: bytes, there: bool, moved: bool = False) -> None:
        self.changes[name] = there
        if moved and not there:
            self.left.add(name)
        else:
            self.left.discard(name)
        if len(self.changes) > MOST_CHANGES:
            self.lost = True
            self.changes.clear()
            self.left.clear()

    def taken(self, directory: int) -> dict[bytes, bool]:
        """The changes so far, which are news no more, for who has the directory open."""
        changes, left = self.changes, self.left
        self.changes, self.left = {}, set()
        return changes | {name: is_there(directory, name) for name in left}


class NameWatch:
    """News of directories. The kernel puts a change into its queue before the call that made it returns, so that after ``take`` all news are there
    that anybody can know of. To be called from one thread at a time."""

    def __init__(self) -> None:
        self._descriptor: int | None = None
        self._news: dict[int, list[News]] = {}

    def begin(self, directory: int) -> News | None:
        """Collect the news of an open directory from now on; None where they cannot be had."""
        if sys.platform != "linux":
            return None
        try:
            if self._descriptor is None:
                if kind_of_file_system(directory) not in LOCAL:
                    return None
                self._descriptor = call("inotify_init1", os.O_NONBLOCK | os.O_CLOEXEC)
                weakref.finalize(self, os.close, self._descriptor)
            elif kind_of_file_system(directory) not in LOCAL:
                return None
            path = f"/proc/self/fd/{directory}".encode()
            watch = call("inotify_add_watch", self._descriptor, path, ctypes.c_uint32(COMES | GOES | IN_ONLYDIR))
        except OSError:  # a limit of the system is reached, or there is no /proc
            return None
        news = News(watch)
        self._news.setdefault(watch, []).append(news)
        return news

    def end(self, news: News) -> None:
        """Collect these no more."""
        others = [one for one in self._news.pop(news.watch, ()) if one is not news]
        if others:
            self._news[news.watch] = others
        elif self._descriptor is not None:
            library().inotify_rm_watch(self._descriptor, news.watch)

    def take(self) -> None:
        """Fetch what the kernel has to tell."""
        while self._descriptor is not None:
            try:
                buffer = os.read(self._descriptor, READ_SIZE)
            except BlockingIOError:
                return
            self._sort(buffer)

    def _sort(self, buffer: bytes) -> None:
        position = 0
        while position < len(buffer):
            watch, mask, _cookie, length = HEADER.unpack_from(buffer, position)
            position += HEADER.size
            name = buffer[position : position + length].rstrip(b"\0")
            position += length
            if mask & IN_Q_OVERFLOW:
                for news in [one for several in self._news.values() for one in several]:
                    news.lost = True
            for news in self._news.get(watch, ()):
                if mask & (IN_IGNORED | IN_UNMOUNT):
                    news.lost = True
                elif mask & (COMES | GOES) and is_utf8(name):
                    news.note(name + b"/" if mask & IN_ISDIR else name, bool(mask & COMES), bool(mask & IN_MOVED_FROM))


def is_there(directory: int, name: bytes) -> bool:
    """Whether an open directory has a file of this name, or a directory if it ends in a slash."""
    try:
        status = os.lstat(os.fsdecode(name.rstrip(b"/")), dir_fd=directory)
    except OSError:
        return False
    return stat.S_ISDIR(status.st_mode) == name.endswith(b"/")


def is_utf8(name: bytes) -> bool:
    try:
        name.decode()
    except UnicodeDecodeError:
        return False
    return True


_loading = threading.Lock()
_library: list[Any] = []


def library() -> Any:
    with _loading:
        if not _library:
            _library.append(ctypes.CDLL(None, use_errno=True))
    return _library[0]


def call(function: str, *arguments: Any) -> int:
    result: int = getattr(library(), function)(*arguments)
    if result == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def kind_of_file_system(descriptor: int) -> int:
    """``f_type`` of statfs(2), the first member of its structure."""
    buffer = ctypes.create_string_buffer(256)
    call("fstatfs", descriptor, buffer)
    return ctypes.c_long.from_buffer(buffer).value & 0xFFFFFFFF
