"""A body on its way into a bucket: written to a temporary, its ETag and checksum computed as it passes."""

from __future__ import annotations

import errno
import hashlib
import os
import weakref
from collections.abc import AsyncIterator, Callable

from eventflow.errors import ServiceError
from eventflow.services.objects.checksums import Checksum, encoded, new_digest
from eventflow.services.objects.directory import BucketDirectory, FileState, write_all
from eventflow.services.objects.disk import Disk, Sync

PIECE = 1024 * 1024
LARGEST_COPY = 64 * PIECE
#: A body of up to so many bytes goes to a thread once, when it is sealed; its digests are computed on the event loop, in about 0.1 ms.
SMALL = 64 * 1024
NO_KERNEL_COPY = {errno.EXDEV, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL}
#: The most that one upload, or one part of one, may bring.
LARGEST_BODY = 5 * 1024**3


class Incoming:
    """A temporary file of a bucket. Every method blocks but ``keep``. Begin with ``open``, or with ``keep`` of a whole small body; end with ``seal``
    and a rename, or with ``discard``, which also takes away what an ``open`` left whose caller was cancelled."""

    def __init__(self, directory: BucketDirectory, name: str, algorithm: str | None) -> None:
        self.directory = directory
        self.name = name
        self.size = 0
        self._algorithm = algorithm
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._digest = new_digest(algorithm) if algorithm else None
        self._kept = b""
        self._descriptor = -1
        self._close: Callable[[], object] = nothing_to_close

    def open(self) -> None:
        self._descriptor = self.directory.create(self.name)
        self._close = weakref.finalize(self, os.close, self._descriptor)

    def keep(self, body: bytes) -> None:
        """Take a whole small body; ``seal`` makes the file of it."""
        self._kept = body
        self._sum_up(body)

    def write(self, piece: bytes) -> None:
        self._sum_up(piece)
        self._write(piece)

    def _sum_up(self, piece: bytes) -> None:
        self._md5.update(piece)
        if self._digest:
            self._digest.update(piece)
        self.size += len(piece)

    def _write(self, piece: bytes) -> None:
        write_all(self._descriptor, piece)

    def append(self, descriptor: int) -> None:
        """Add a whole open file, by the kernel alone where nothing has to be computed on the way. (The MD5 is not: who appends knows the ETag.)"""
        if self._digest is None:
            copy_by_kernel(descriptor, self._descriptor)
            self.size = os.lseek(self._descriptor, 0, os.SEEK_CUR)
        while piece := os.read(descriptor, PIECE):
            self.write(piece)

    @property
    def md5(self) -> bytes:
        return self._md5.digest()

    @property
    def checksum(self) -> Checksum | None:
        return Checksum(self._algorithm, encoded(self._digest.digest())) if self._algorithm and self._digest else None

    @property
    def at_hand(self) -> bytes | None:
        """The whole body, if it was kept."""
        return self._kept if self._descriptor == -1 else None

    def seal(self, mtime_ns: int, sync: Sync = os.fsync) -> FileState:
        """Give the file its time of change and put it on the disk."""
        if self._descriptor == -1:
            self.open()
            self._write(self._kept)
        os.utime(self._descriptor, ns=(mtime_ns, mtime_ns))
        sync(self._descriptor)
        state = FileState.of(os.fstat(self._descriptor))
        self._close()
        return state

    def discard(self) -> None:
        self._close()
        self.directory.discard(self.name)


def copy_by_kernel(source: int, target: int) -> None:
    """Copy from one file's position to another's as far as the kernel does it; the rest is left to the caller."""
    try:
        while os.copy_file_range(source, target, LARGEST_COPY):
            pass
    except AttributeError:
        return  # not Linux
    except OSError as error:
        if error.errno not in NO_KERNEL_COPY:
            raise


def nothing_to_close() -> None:
    """A temporary that was not opened."""


async def receive(body: AsyncIterator[bytes], incoming: Incoming, disk: Disk) -> None:
    """Write a whole body, which comes in ``pieces``, into a temporary, which the caller discards if this raises."""
    async for piece in body:
        check_size(incoming.size + len(piece))
        await disk.run(incoming.write, piece)


def check_size(size: int, largest: int = LARGEST_BODY) -> None:
    if size > largest:
        message = "Your proposed upload exceeds the maximum allowed size"
        raise ServiceError("EntityTooLarge", message, ProposedSize=str(size), MaxSizeAllowed=str(largest))


async def beginning(body: AsyncIterator[bytes]) -> bytes:
    """A small body as a whole, or the first bytes of one that is not."""
    gathered: list[bytes] = []
    size = 0
    async for chunk in body:
        gathered.append(chunk)
        size += len(chunk)
        if size > SMALL:
            break
    return gathered[0] if len(gathered) == 1 else b"".join(gathered)


async def pieces(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """A body in pieces of about 1 MiB, the last one smaller: a hop to a thread is worth that much."""
    gathered = [first]
    size = len(first)
    async for chunk in rest:
        gathered.append(chunk)
        size += len(chunk)
        if size >= PIECE:
            yield b"".join(gathered)
            gathered, size = [], 0
    if size:
        yield b"".join(gathered)
