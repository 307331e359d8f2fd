"""An object's bytes on their way out: one open file, so that an overwrite meanwhile changes nothing of them."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator

from eventflow.errors import StorageError
from eventflow.services.objects.disk import Disk
from eventflow.services.objects.incoming import PIECE

#: The most that is read on the event loop at a time, in about 0.1 ms.
MOST_AT_HAND = 256 * 1024
CLOSED = -1


class Outgoing:
    """The bytes of an open file as an asynchronous iterator. It closes the file at its end, in ``aclose``, and when nobody holds it any more."""

    def __init__(self, descriptor: int, disk: Disk) -> None:
        self.descriptor = descriptor
        self._disk = disk
        self._position = 0
        self._stop = 0

    def limit(self, start: int, stop: int) -> None:
        """Give only the bytes from ``start`` up to ``stop``, which is not among them."""
        self._position, self._stop = start, stop

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if self._position >= self._stop or self.descriptor == CLOSED:
            self._close()
            raise StopAsyncIteration
        rest = self._stop - self._position
        piece = at_hand(self.descriptor, min(MOST_AT_HAND, rest), self._position)
        if not piece:
            piece = await self._disk.run(os.pread, self.descriptor, min(PIECE, rest), self._position)
        if not piece:
            self._close()
            raise StorageError("The object's file was cut short by hand while it was read; read it again.")
        self._position += len(piece)
        return piece

    async def aclose(self) -> None:
        self._close()

    def _close(self) -> None:
        if self.descriptor != CLOSED:
            descriptor, self.descriptor = self.descriptor, CLOSED
            os.close(descriptor)

    __del__ = _close


def at_hand(descriptor: int, size: int, position: int) -> bytes | None:
    """Bytes of a file that the kernel has in memory, fewer than asked for where it has no more; None where it would have to wait for the disk, or
    cannot tell."""
    if not hasattr(os, "RWF_NOWAIT"):  # not Linux
        return None
    buffer = bytearray(size)
    try:
        count = os.preadv(descriptor, [buffer], position, os.RWF_NOWAIT)
    except OSError:  # not in memory, or a file system that does not know the flag: whoever waits for the bytes learns what is wrong
        return None
    return bytes(memoryview(buffer)[:count])
