"""A bucket's directory: its files opened, renamed in and removed without ever following a path out of it."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from eventflow.errors import ServiceError
from eventflow.services.objects.keys import ENCODED, TEMPORARY, encoded_segments, is_key, segments
from eventflow.services.objects.swapping import exchange

DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
#: Not blocking, for a pipe that takes a regular file's place between the look and the opening.
FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
FRESH = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
#: Nothing there; or on the way to it something that is no directory, or a symbolic link (which Linux and macOS call differently).
ABSENT = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.EILSEQ, errno.ENXIO}
#: Something else is where the key would be, or the file system does not take its name: then it lies under its encoded one.
NO_PLACE = {errno.ENOTDIR, errno.ELOOP, errno.EISDIR, errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL}
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

    A key lies under its own name, or under an encoded one where that cannot be: because no file system takes it, because a directory (or a file) has
    its name, or because the file system takes the name of another object for the same. If both are there, its own name counts.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lasting: set[int] = set()  # inodes of directories whose names are known to outlive a power cut
        self._folds: bool | None = None
        #: Whether files can change names here, as far as that is known.
        self.swaps = True
        self._encoded = path / ENCODED

    def descriptor(self) -> int:
        """The bucket's directory itself, opened."""
        try:
            return os.open(self.path, DIRECTORY)
        except FileNotFoundError:
            raise MissingDirectoryError(self.path) from None

    def state(self, key: str) -> FileState | None:
        """The state of the object's file now."""
        status = self._look(key)
        return FileState.of(status) if status else None

    def open(self, key: str) -> tuple[int, FileState] | None:
        """A descriptor for reading the object's file, and the state that it is open in."""
        path = plain_path(key)
        found = self._open(path) if path else None
        return found or (self._open(encoded_segments_of(key), follow=False) if self._encodes() else None)

    def _open(self, path: Path_, *, follow: bool = True) -> tuple[int, FileState] | None:
        with absent_is_none(), self._parent(path) as parent:
            status = os.stat(path[-1], dir_fd=parent, follow_symlinks=False)
            if stat.S_ISLNK(status.st_mode) and follow:
                target = self._target(path)
                return self._open(target, follow=False) if target else None
            if not stat.S_ISREG(status.st_mode):  # to open a device may do something
                return None
            self._check_spelling(parent, path[-1])
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

    def make_folder(self, key: str) -> int | None:
        """Make that directory, and what leads to it, last beyond a power cut; its inode. None where the key cannot have a directory."""
        path = segments(key)
        try:
            if path and self._may_be_made(path):
                with self._parent((*path, ""), make=True) as folder:
                    return os.fstat(folder).st_ino
        except OSError as error:
            if error.errno not in NO_PLACE:
                raise
        return None

    def place(self, temporary: str, key: str, sync: Callable[[int], object] | None = os.fsync, swap: bool = False) -> None:
        """Rename a temporary to a key, and make that last beyond a power cut: ``sync`` is called with the directory's descriptor. None: somebody else
        has all of it last later. ``swap`` for one that takes a file's place and is not on the disk: the two change names then, where that can be.
        """
        path = plain_path(key)
        try:
            if path and self._may_be_made(path):
                self._place(temporary, path, sync, swap)
                self.remove_encoded(key)
                return
        except OSError as error:
            if error.errno not in NO_PLACE:
                raise
        self._place(temporary, encoded_segments(key), sync)

    def _place(self, temporary: str, path: Path_, sync: Callable[[int], object] | None, swap: bool = False) -> None:
        for attempt in range(ATTEMPTS):
            try:
                with (
                    closing(self.descriptor()) as root,
                    self._parent((TEMPORARY, temporary), root=root) as source,
                    self._parent(path, make=True, last=sync is not None, root=root) as parent,
                ):
                    self._check_free(parent, path[-1])
                    if not (swap and self._swap(parent, path[-1], source, temporary)):
                        os.rename(temporary, path[-1], src_dir_fd=source, dst_dir_fd=parent)
                    if sync:
                        sync(parent)
                return
            except FileNotFoundError:
                # A delete beside us found the directory empty, rightly, and took it away.
                if attempt == ATTEMPTS - 1:
                    raise

    def _swap(self, parent: int, name: str, source: int, temporary: str) -> bool:
        """Have a temporary change names with the file that it replaces, and remove that; whether that was done. A rename over a file has ext4 write
        out the new one's bytes at once, which takes ten times as long and is of no use here: who calls this has them last in another way."""
        if not self.swaps or self.folds():
            return False
        try:
            if not exchange(parent, name, source, temporary):
                self.swaps = False
                return False
        except FileNotFoundError:
            return False  # there is nothing to replace, or nothing to replace it by: a rename says which
        try:
            os.unlink(temporary, dir_fd=source)
        except OSError:  # it was a directory: that stays
            exchange(parent, name, source, temporary)
            raise
        return True

    def remove(self, key: str) -> None:
        """Remove the object's file (or the link that it is), and make that last beyond a power cut."""
        if path := plain_path(key):
            self._unlink(path)
        self.remove_encoded(key)

    def remove_encoded(self, key: str) -> None:
        """Remove the file that a key has under its encoded name."""
        if not self._encodes() or not self._unlink(path := encoded_segments_of(key)):
            return
        while len(path := path[:-1]) > 1:
            try:
                with self._parent(path) as parent:
                    self._lasting.discard(os.stat(path[-1], dir_fd=parent, follow_symlinks=False).st_ino)
                    os.rmdir(path[-1], dir_fd=parent)
            except OSError:
                return  # not empty, or gone

    def _unlink(self, path: Path_) -> bool:
        with absent_is_none(), self._parent(path) as parent:
            self._check_spelling(parent, path[-1])
            if stat.S_ISDIR(os.stat(path[-1], dir_fd=parent, follow_symlinks=False).st_mode):
                return False
            os.unlink(path[-1], dir_fd=parent)
            os.fsync(parent)
            return True
        return False

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

    def lay(self, key: str, temporary: str, content: bytes, mtime_ns: int) -> tuple[FileState | None, FileState]:
        """Write a whole temporary without putting it on the disk; the state that the key's file is in, and that of the temporary."""
        with closing(self.descriptor()) as root:
            standing = self._look(key, root)
            with closing(self._enter(root, TEMPORARY, make=True, last=False)) as folder:
                descriptor = os.open(temporary, FRESH, 0o666, dir_fd=folder)
            with closing(descriptor):
                write_all(descriptor, content)
                os.utime(descriptor, ns=(mtime_ns, mtime_ns))
                return FileState.of(standing) if standing else None, FileState.of(os.fstat(descriptor))

    def create(self, temporary: str) -> int:
        with self._parent((TEMPORARY, temporary), make=True) as parent:
            return os.open(temporary, FRESH, 0o666, dir_fd=parent)

    def open_temporary(self, temporary: str) -> int:
        with self._parent((TEMPORARY, temporary)) as parent:
            return os.open(temporary, FILE, dir_fd=parent)

    def discard(self, temporary: str) -> None:
        with contextlib.suppress(MissingDirectoryError), absent_is_none(), self._parent((TEMPORARY, temporary)) as parent:
            os.unlink(temporary, dir_fd=parent)

    def temporary_state(self, temporary: str) -> FileState | None:
        """The state of a temporary; None if it is not there."""
        with absent_is_none(), self._parent((TEMPORARY, temporary)) as parent:
            return FileState.of(os.stat(temporary, dir_fd=parent, follow_symlinks=False))
        return None

    def sync(self, key: str, state: FileState) -> None:
        """Make an object's file last beyond a power cut, with all that leads to it; nothing where it is not in that state any more."""
        found = self.open(key)
        if found is None:
            return
        with closing(found[0]) as descriptor:
            if found[1] == state:
                os.fsync(descriptor)
        for path in filter(None, (plain_path(key), encoded_segments(key) if self._encodes() else None)):
            with absent_is_none(), self._parent(path, last=True) as parent:
                os.fsync(parent)

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
            with self._parent((TEMPORARY, PROBE), make=True) as parent:
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
        with closing(self.descriptor()) as root, contextlib.suppress(OSError):
            os.rmdir(ENCODED, dir_fd=root)

    def vanish(self) -> None:
        """Remove the directory of a bucket in which there is nothing but empty directories; raises ``OSError`` if there is more."""
        self.leave()
        for folder, _folders, _files in os.walk(self.path, topdown=False):
            Path(folder).rmdir()

    # The way to a file.

    def _look(self, key: str, root: int = -1) -> os.stat_result | None:
        """The status of the regular file of a key."""
        path = plain_path(key)
        status = self._status(path, root) if path else None
        if path and status and stat.S_ISLNK(status.st_mode):
            target = self._target(path)
            status = self._status(target) if target else None
        if (status is None or not stat.S_ISREG(status.st_mode)) and self._encodes():
            status = self._status(encoded_segments_of(key))
        return status if status and stat.S_ISREG(status.st_mode) else None

    def _status(self, path: Path_, root: int = -1) -> os.stat_result | None:
        with absent_is_none(), self._parent(path, root=root) as parent:
            status = os.stat(path[-1], dir_fd=parent, follow_symlinks=False)
            self._check_spelling(parent, path[-1])
            return status
        return None

    def _target(self, path: Path_) -> Path_ | None:
        """Where a symbolic link leads, if that is inside the bucket."""
        target = Path(os.path.realpath(self.path.joinpath(*path)))
        return segments(target.relative_to(self.path).as_posix()) if target.is_relative_to(self.path) else None

    @contextmanager
    def _parent(self, path: Path_, make: bool = False, last: bool | None = None, root: int = -1) -> Iterator[int]:
        """A descriptor of the directory that holds the last name of a path. ``make`` has missing directories made, ``last`` has the names of those on
        the way outlive a power cut: usually of those that are made. ``root`` is a descriptor of the bucket's own directory, for who has it."""
        descriptor = self.descriptor() if root == -1 else root
        try:
            for name in path[:-1]:
                following = self._enter(descriptor, name, make, make if last is None else last)
                if descriptor != root:
                    os.close(descriptor)
                descriptor = following
            yield descriptor
        finally:
            if descriptor != root:
                os.close(descriptor)

    def _enter(self, parent: int, name: str, make: bool, last: bool) -> int:
        try:
            descriptor = os.open(name, DIRECTORY, dir_fd=parent)
        except FileNotFoundError:
            if not make:
                raise
            descriptor = self._make(parent, name)
        try:
            self._check_spelling(parent, name)
            if last:
                self._have_last(parent, descriptor)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    def _encodes(self) -> bool:
        """Whether any key lies under an encoded name: few buckets have one, and this costs less than to look for it."""
        return self._encoded.is_dir()

    # Names that a file system takes for the same.

    def folds(self) -> bool:
        """Whether the file system takes names for the same that differ in case (and then, in how their accents are written). It is known once the
        bucket has a directory for its temporaries; until then nothing was written to it through the store."""
        if self._folds is None:
            ours = self.path / TEMPORARY
            try:
                self._folds = os.path.samestat(ours.lstat(), (self.path / TEMPORARY.upper()).lstat())
            except OSError:
                if not ours.is_dir():
                    return False
                self._folds = False
        return self._folds

    def _may_be_made(self, path: Path_) -> bool:
        """Whether a key's own name is there, or comes back from this file system as it was given. Some write accents in another way."""
        return not self.folds() or all(name.isascii() for name in path) or self._status(path) is not None

    def _check_spelling(self, parent: int, name: str) -> None:
        """Raise as for a name that is not there if the one that is there is spelt in another way."""
        if name and self.folds() and name not in os.listdir(parent):
            raise OSError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), name)

    def _check_free(self, parent: int, name: str) -> None:
        """Raise if another object has this name in another spelling."""
        if not self.folds():
            return
        try:
            os.stat(name, dir_fd=parent, follow_symlinks=False)
        except FileNotFoundError:
            return
        self._check_spelling(parent, name)

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
        os.fsync(parent)
        if len(self._lasting) >= MOST_REMEMBERED:
            self._lasting.clear()
        self._lasting.add(inode)


def write_all(descriptor: int, content: bytes) -> None:
    written = os.write(descriptor, content)
    while written < len(content):
        written += os.write(descriptor, memoryview(content)[written:])


def plain_path(key: str) -> Path_ | None:
    """The path of a key's file under its own name. A folder's key has a directory there, and its file, if it has content, elsewhere."""
    return None if key.endswith("/") else segments(key)


def encoded_segments_of(key: str) -> Path_:
    """The encoded path of anything that somebody may ask for, be it a key or not."""
    return encoded_segments(key) if is_key(key) else (ENCODED, "")


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
