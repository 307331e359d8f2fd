"""A bucket's directory: its files opened, renamed in and removed without ever following a path out of it."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Container, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from eventflow.errors import ServiceError
from eventflow.services.objects.keys import TEMPORARY, check_writable, segments, unholdable

DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
#: Not blocking, for a pipe that takes a regular file's place between the look and the opening.
FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
FRESH = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
#: Nothing there; or on the way to it something that is no directory, or a symbolic link (which Linux and macOS call differently).
ABSENT = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.EILSEQ, errno.ENXIO}
NO_DIRECTORY = {errno.ENOTDIR, errno.ELOOP}
#: How often a directory may be taken away between its making and the rename into it.
ATTEMPTS = 16
#: How many directories are known to last before all are forgotten, which costs a sync of each.
MOST_REMEMBERED = 10_000
#: A file that is touched to learn the time that the file system would give a change now.
PROBE = "clock"

Path_ = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FileState:
    """What tells one state of a file from the next: an index row holds for exactly one of these."""

    size: int
    mtime_ns: int
    inode: int

    @classmethod
    def of(cls, status: os.stat_result) -> FileState:
        return cls(status.st_size, status.st_mtime_ns, status.st_ino)

    @classmethod
    def parse(cls, text: str) -> FileState:
        return cls(*map(int, text.split(":")))

    def __str__(self) -> str:
        return f"{self.size}:{self.mtime_ns}:{self.inode}"


class MissingDirectoryError(ServiceError):
    """A bucket's own directory is not there: it is on a disk that is not mounted, or somebody removed it."""

    def __init__(self, path: Path) -> None:
        text = f"The bucket's directory {path} is not there. Mount or make it, or delete the bucket, then try again."
        super().__init__("ServiceUnavailable", text, 503)


class BucketDirectory:
    """The files of one bucket. Every method blocks and lets ``OSError`` out; a key that is not there is None.

    Every directory on the way is opened relative to the one before it and never through a symbolic link, so that nobody who can write to the
    bucket can lead a call out of it. A link at the end of a key is followed where its target is a regular file of the same bucket.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lasting: set[int] = set()  # inodes of directories whose names are known to outlive a power cut

    def descriptor(self) -> int:
        """The bucket's directory itself, opened."""
        try:
            return os.open(self.path, DIRECTORY)
        except FileNotFoundError:
            raise MissingDirectoryError(self.path) from None

    def state(self, key: str) -> FileState | None:
        """The state of the object's file now."""
        found = self._look(key)
        return FileState.of(found[1]) if found else None

    def open(self, key: str) -> tuple[int, FileState] | None:
        """A descriptor for reading the object's file, and the state that it is open in."""
        path = None if key.endswith("/") else segments(key)
        return self._open(path) if path else None

    def _open(self, path: Path_, *, follow: bool = True) -> tuple[int, FileState] | None:
        with absent_is_none(), self._parent(path) as parent:
            status = os.stat(path[-1], dir_fd=parent, follow_symlinks=False)
            if stat.S_ISLNK(status.st_mode) and follow:
                target = self._target(path)
                return self._open(target, follow=False) if target else None
            if not stat.S_ISREG(status.st_mode):  # to open a device may do something
                return None
            descriptor = os.open(path[-1], FILE, dir_fd=parent)
            status = os.fstat(descriptor)
            if stat.S_ISREG(status.st_mode):
                return descriptor, FileState.of(status)
            os.close(descriptor)
        return None

    def folder(self, key: str) -> int | None:
        """The inode of the directory that a folder's key means."""
        path = segments(key)
        status = self._status(path) if path else None
        return status.st_ino if status and stat.S_ISDIR(status.st_mode) else None

    def make_folder(self, key: str) -> int:
        """Make that directory, and what leads to it, last beyond a power cut; its inode."""
        path = check_writable(key)
        with self._parent((*path, ""), make=key) as folder:
            return os.fstat(folder).st_ino

    def place(self, temporary: str, key: str) -> None:
        """Rename a temporary to a key, and make that last beyond a power cut."""
        path = check_writable(key)
        for attempt in range(ATTEMPTS):
            try:
                with self._parent((TEMPORARY, temporary)) as source, self._parent(path, make=key) as parent:
                    os.rename(temporary, path[-1], src_dir_fd=source, dst_dir_fd=parent)
                    os.fsync(parent)
                return
            except FileNotFoundError:
                # A delete beside us found the directory empty, rightly, and took it away.
                if attempt == ATTEMPTS - 1:
                    raise
            except IsADirectoryError:
                raise unholdable(key, "a directory has this name") from None

    def remove(self, key: str) -> None:
        """Remove the object's file (or the link that it is), and make that last beyond a power cut."""
        path = segments(key)
        if path is None:
            return
        with absent_is_none(), self._parent(path) as parent:
            os.unlink(path[-1], dir_fd=parent)
            os.fsync(parent)

    def prune(self, path: Sequence[str], keep: Container[str]) -> None:
        """Remove a directory that became empty and then its parents; ``keep`` are the folders' keys that stay."""
        while path and "/".join(path) + "/" not in keep:
            try:
                with self._parent(tuple(path)) as parent:
                    self._lasting.discard(os.stat(path[-1], dir_fd=parent, follow_symlinks=False).st_ino)
                    os.rmdir(path[-1], dir_fd=parent)
            except OSError:
                return  # not empty, or gone, or not ours to remove: it may stay
            path = path[:-1]

    # Temporaries.

    def create(self, temporary: str) -> int:
        with self._parent((TEMPORARY, temporary), make=temporary) as parent:
            return os.open(temporary, FRESH, 0o666, dir_fd=parent)

    def open_temporary(self, temporary: str) -> int:
        with self._parent((TEMPORARY, temporary)) as parent:
            return os.open(temporary, FILE, dir_fd=parent)

    def discard(self, temporary: str) -> None:
        with contextlib.suppress(MissingDirectoryError), absent_is_none(), self._parent((TEMPORARY, temporary)) as parent:
            os.unlink(temporary, dir_fd=parent)

    def keep_temporaries(self) -> None:
        """Make the names of the temporaries last beyond a power cut."""
        with self._parent((TEMPORARY, "")) as folder:
            os.fsync(folder)

    def sweep(self, keep: Container[str]) -> int:
        """Remove the temporaries that an interrupted daemon left, except these; how many they were."""
        swept = 0
        with absent_is_none(), self._parent((TEMPORARY, "")) as folder:
            with os.scandir(folder) as entries:
                leftovers = [entry.name for entry in entries if entry.name not in keep and not entry.is_dir(follow_symlinks=False)]
            for name in leftovers:
                os.unlink(name, dir_fd=folder)
                swept += 1
        return swept

    def time_of_change(self) -> int | None:
        """The time stamp (ns) that the file system would give a change now; None where nothing can be written."""
        try:
            with self._parent((TEMPORARY, PROBE), make=PROBE) as parent:
                descriptor = os.open(PROBE, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666, dir_fd=parent)
                with closing(descriptor):
                    os.utime(descriptor)
                    return os.fstat(descriptor).st_mtime_ns
        except OSError:
            return None

    def leave(self) -> None:
        """Take away what the store put beside the files of a bucket."""
        self.sweep(())
        with closing(self.descriptor()) as root, contextlib.suppress(OSError):  # absent, or somebody keeps something in it
            os.rmdir(TEMPORARY, dir_fd=root)

    def vanish(self) -> None:
        """Remove the directory of a bucket in which there is nothing but empty directories; raises ``OSError`` if there is more."""
        self.leave()
        for folder, _folders, _files in os.walk(self.path, topdown=False):
            Path(folder).rmdir()

    # The way to a file.

    def _look(self, key: str) -> tuple[Path_, os.stat_result] | None:
        """Where the regular file of a key is, and its status."""
        path = None if key.endswith("/") else segments(key)
        status = self._status(path) if path else None
        if path and status and stat.S_ISLNK(status.st_mode):
            path = self._target(path)
            status = self._status(path) if path else None
        return (path, status) if path and status and stat.S_ISREG(status.st_mode) else None

    def _status(self, path: Path_) -> os.stat_result | None:
        with absent_is_none(), self._parent(path) as parent:
            return os.stat(path[-1], dir_fd=parent, follow_symlinks=False)
        return None

    def _target(self, path: Path_) -> Path_ | None:
        """Where a symbolic link leads, if that is inside the bucket."""
        target = Path(os.path.realpath(self.path.joinpath(*path)))
        return segments(target.relative_to(self.path).as_posix()) if target.is_relative_to(self.path) else None

    @contextmanager
    def _parent(self, path: Path_, make: str | None = None) -> Iterator[int]:
        """A descriptor of the directory that holds the last name of a path. ``make`` is the key for which missing directories are made."""
        descriptor = self.descriptor()
        try:
            for name in path[:-1]:
                following = self._enter(descriptor, name, make)
                os.close(descriptor)
                descriptor = following
            yield descriptor
        finally:
            os.close(descriptor)

    def _enter(self, parent: int, name: str, make: str | None) -> int:
        try:
            descriptor = os.open(name, DIRECTORY, dir_fd=parent)
        except FileNotFoundError:
            if make is None:
                raise
            descriptor = self._make(parent, name)
        except OSError as error:
            if make is None or error.errno not in NO_DIRECTORY:
                raise
            raise unholdable(make, f"{name!r} on its way is an object or a link, and cannot be a directory too") from None
        if make is not None:
            self._have_last(parent, descriptor)
        return descriptor

    def _make(self, parent: int, name: str) -> int:
        with contextlib.suppress(FileExistsError):
            os.mkdir(name, dir_fd=parent)
            self._lasting.discard(os.stat(name, dir_fd=parent).st_ino)  # inodes are used again
        return os.open(name, DIRECTORY, dir_fd=parent)

    def _have_last(self, parent: int, descriptor: int) -> None:
        """Sync the directory that holds this one, once: whoever made it, a put beside us or another program, may not have done so yet."""
        inode = os.fstat(descriptor).st_ino
        if inode in self._lasting:
            return
        try:
            os.fsync(parent)
        except OSError:
            os.close(descriptor)
            raise
        if len(self._lasting) >= MOST_REMEMBERED:
            self._lasting.clear()
        self._lasting.add(inode)


@contextmanager
def absent_is_none() -> Iterator[None]:
    """What is not there is not an error: whoever looks returns None after this block."""
    try:
        yield
    except OSError as error:
        if error.errno not in ABSENT:
            raise


@contextmanager
def closing(descriptor: int) -> Iterator[int]:
    try:
        yield descriptor
    finally:
        os.close(descriptor)
