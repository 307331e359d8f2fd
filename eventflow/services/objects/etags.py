"""The ETag of a file that was put by hand: the MD5 of its bytes, and whether it can be trusted for later."""

from __future__ import annotations

import hashlib
import os

from eventflow.services.objects.directory import BucketDirectory, FileState
from eventflow.services.objects.incoming import PIECE

#: How often a file may change while it is read before its ETag counts as passing.
ATTEMPTS = 3
EMPTY = hashlib.md5(b"", usedforsecurity=False).hexdigest()


def compute_etag(descriptor: int, directory: BucketDirectory) -> tuple[str, FileState, bool]:
    """The MD5 of an open file, the state that it belongs to, and whether that state can be told from every later one.

    A file system's clock ticks some hundred times a second: a file that changed in the present tick can change once more without its time showing
    it. Its MD5 holds for this answer only.
    """
    for _ in range(ATTEMPTS):
        state = FileState.of(os.fstat(descriptor))
        now = directory.time_of_change()
        etag = md5_of(descriptor)
        if FileState.of(os.fstat(descriptor)) == state:
            return etag, state, now != state.mtime_ns
    return etag, FileState.of(os.fstat(descriptor)), False


def md5_of(descriptor: int) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    position = 0
    while piece := os.pread(descriptor, PIECE, position):
        digest.update(piece)
        position += len(piece)
    return digest.hexdigest()
