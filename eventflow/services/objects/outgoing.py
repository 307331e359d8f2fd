"""An object's bytes on their way out: one open file, so that an overwrite meanwhile changes nothing of them."""

from __future__ import annotations

import os
import weakref
from collections.abc import AsyncIterator

from eventflow.errors import StorageError
from eventflow.services.objects.disk import Disk
from eventflow.services.objects.incoming import PIECE


class Outgoing:
    """The bytes of an open file as an asynchronous iterator. It closes the file at its end, in ``aclose``, and when nobody holds it any more."""

    def __init__(self, descriptor: int, disk: Disk) -> None:
        self.descriptor = descriptor
        self._disk = disk
        self._position = 0
        self._stop = 0
        self._close = weakref.finalize(self, os.close, descriptor)

    def limit(self, start: int, stop: int) -> None:
        """Give only the bytes from ``start`` up to ``stop``, which is not among them."""
        self._position, self._stop = start, stop

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if self._position >= self._stop or not self._close.alive:
            self._close()
            raise StopAsyncIteration
        piece = await self._disk.run(os.pread, self.descriptor, min(PIECE, self._stop - self._position), self._position)
        if not piece:
            self._close()
            raise StorageError("The object's file was cut short by hand while it was read; read it again.")
        self._position += len(piece)
        return piece

    async def aclose(self) -> None:
        self._close()
