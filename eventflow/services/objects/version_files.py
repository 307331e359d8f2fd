"""The bytes of versions: second names, in a hidden folder of the bucket's directory, of the files that are or were objects."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from pathlib import Path

from eventflow.services.objects.directory import ABSENT, DIRECTORY, FILE, FRESH, BucketDirectory, FileState, closing
from eventflow.services.objects.incoming import PIECE, copy_by_kernel
from eventflow.services.objects.keys import TEMPORARY

#: Inside the bucket's own directory, so that a version's second name is in the same file system. No key begins so, and no listing enters it.
VERSIONS = ".eventflow-versions"
#: A file system that has no second names, or no more of them for this file; or a kernel that does not give one to an open file.
NO_LINK = {errno.EPERM, errno.EACCES, errno.EMLINK, errno.EOPNOTSUPP, errno.ENOSYS, errno.ENOENT, errno.EXDEV, errno.EINVAL}


class VersionFiles:
    """The version files of one bucket. Every method blocks and lets ``OSError`` out.

    A version has its second name as long as it lives, also while it is the current one: so it outlives that somebody removes, moves or replaces the
    file of the key by hand. Only who writes *into* that file changes the version too, which its time of change then tells.
    """

    def __init__(self, directory: BucketDirectory) -> None:
        self._directory = directory

    def keep_temporary(self, temporary: str, name: str) -> None:
        """Give a sealed temporary its second name, lasting beyond a power cut."""
        with closing(self._made()) as folder, closing(self._temporaries()) as temporaries:
            with contextlib.suppress(FileExistsError):
                try:
                    os.link(temporary, name, src_dir_fd=temporaries, dst_dir_fd=folder, follow_symlinks=False)
                except OSError as error:
                    if error.errno not in NO_LINK:
                        raise
                    with closing(os.open(temporary, FILE, dir_fd=temporaries)) as source:
                        copy(source, folder, name)
            os.fsync(folder)

    def keep_current(self, key: str, name: str, state: FileState) -> bool:
        """Give the file of a key its second name, unless it has it; False if the key's file is in another state by now."""
        opened = self._directory.open(key)
        if opened is None:
            return key.endswith("/") and self._keep_folder(name, state)
        with closing(opened[0]) as source, closing(self._made()) as folder:
            if opened[1] != state:
                return False
            with contextlib.suppress(FileExistsError):
                try:
                    os.link(f"/proc/self/fd/{source}", name, dst_dir_fd=folder, follow_symlinks=True)
                except OSError as error:
                    if error.errno not in NO_LINK:
                        raise
                    copy(source, folder, name)
            os.fsync(folder)
            return True

    def _keep_folder(self, name: str, state: FileState) -> bool:
        """The bytes of a directory that is an object: none."""
        with closing(self._made()) as folder, closing(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o666, dir_fd=folder)) as empty:
            os.utime(empty, ns=(state.mtime_ns, state.mtime_ns))
            os.fsync(empty)
            os.fsync(folder)
        return True

    def bring_back(self, name: str, temporary: str) -> FileState:
        """Give a version's file a name among the temporaries, from which it can be placed; the state that it is in."""
        with closing(self._folder()) as folder, closing(self._directory.create(temporary)) as target, closing(self._temporaries()) as temporaries:
            os.unlink(temporary, dir_fd=temporaries)
            try:
                os.link(name, temporary, src_dir_fd=folder, dst_dir_fd=temporaries, follow_symlinks=False)
            except OSError as error:
                if error.errno not in NO_LINK or error.errno == errno.ENOENT:
                    raise
                with closing(os.open(name, FILE, dir_fd=folder)) as source:
                    copy(source, temporaries, temporary)
            del target
            return FileState.of(os.stat(temporary, dir_fd=temporaries, follow_symlinks=False))

    def open(self, name: str, state: FileState) -> int | None:
        """A descriptor of a version's bytes; None if they are not there any more as they were."""
        try:
            with closing(self._folder()) as folder:
                descriptor = os.open(name, FILE, dir_fd=folder)
        except OSError as error:
            if error.errno in ABSENT:
                return None
            raise
        if same_bytes(os.fstat(descriptor), state):
            return descriptor
        os.close(descriptor)
        return None

    def present(self, wanted: dict[str, FileState]) -> set[str]:
        """Which of these files are there as they were."""
        try:
            folder = self._folder()
        except OSError as error:
            if error.errno in ABSENT:
                return set()
            raise
        found = set()
        with closing(folder):
            for name, state in wanted.items():
                with contextlib.suppress(FileNotFoundError):
                    if same_bytes(os.stat(name, dir_fd=folder, follow_symlinks=False), state):
                        found.add(name)
        return found

    def discard(self, names: list[str]) -> None:
        """Take away the second names of versions; those that are gone are no error."""
        try:
            folder = self._folder()
        except OSError as error:
            if error.errno in ABSENT:
                return
            raise
        with closing(folder):
            for name in names:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(name, dir_fd=folder)
            os.fsync(folder)

    def leave(self) -> None:
        """Take the hidden folder away if nothing is in it."""
        with contextlib.suppress(OSError):
            Path(self._directory.path, VERSIONS).rmdir()

    def _folder(self) -> int:
        with closing(self._directory.descriptor()) as root:
            return os.open(VERSIONS, DIRECTORY, dir_fd=root)

    def _temporaries(self) -> int:
        with closing(self._directory.descriptor()) as root:
            return os.open(TEMPORARY, DIRECTORY, dir_fd=root)

    def _made(self) -> int:
        with closing(self._directory.descriptor()) as root:
            try:
                os.mkdir(VERSIONS, 0o700, dir_fd=root)
            except FileExistsError:
                return os.open(VERSIONS, DIRECTORY, dir_fd=root)
            os.fsync(root)
            return os.open(VERSIONS, DIRECTORY, dir_fd=root)


def same_bytes(status: os.stat_result, state: FileState) -> bool:
    """Whether a file is as it was. Its inode does not count: a backup that is played back gives it another."""
    return stat.S_ISREG(status.st_mode) and (status.st_size, status.st_mtime_ns) == (state.size, state.mtime_ns)


def copy(source: int, folder: int, name: str) -> None:
    """Copy an open file with its time of change, where it cannot have a second name."""
    status = os.fstat(source)
    os.lseek(source, 0, os.SEEK_SET)
    with closing(os.open(name, FRESH, 0o666, dir_fd=folder)) as target:
        copy_by_kernel(source, target)
        while piece := os.read(source, PIECE):
            rest = memoryview(piece)
            while rest:
                rest = rest[os.write(target, rest) :]
        os.utime(target, ns=(status.st_mtime_ns, status.st_mtime_ns))
        os.fsync(target)
