"""The ETag of a file that was put by hand: the MD5 of its bytes, and whether it can be trusted for later."""

from __future__ import annotations

import hashlib
import os
import time

from eventflow.services.objects.directory import BucketDirectory, FileState
from eventflow.services.objects.incoming import PIECE
from eventflow.services.objects.outgoing import at_hand

#: How often a file may change while it is read before its ETag counts as passing.
ATTEMPTS = 3
#: Up to so many bytes are summed up on the event loop, in about 0.1 ms: less than the way to a thread and back takes.
SMALL = 64 * 1024
#: More than the ticks of the clocks of local file systems, in nanoseconds: of those that keep fractions of a millisecond, and of the others.
TICK = 20_000_000
LONG_TICK = 2_500_000_000
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


def small_etag(descriptor: int) -> tuple[str, FileState, bool] | None:
    """The same for a small file of a local file system whose bytes the kernel has in memory, without waiting for anything; None for another one.

    The kernel's own clock is what such a file system takes its times from, whatever the daemon's Clock says.
    """
    state = FileState.of(os.fstat(descriptor))
    if state.size > SMALL:
        return None
    now = time.clock_gettime_ns(time.CLOCK_REALTIME)
    content = at_hand(descriptor, state.size, 0) if state.size else b""
    if content is None or len(content) != state.size or FileState.of(os.fstat(descriptor)) != state:
        return None
    tick = TICK if state.mtime_ns % 1_000_000 else LONG_TICK
    return hashlib.md5(content, usedforsecurity=False).hexdigest(), state, abs(now - state.mtime_ns) > tick


def md5_of(descriptor: int) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    position = 0
    while piece := os.pread(descriptor, PIECE, position):
        digest.update(piece)
        position += len(piece)
    return digest.hexdigest()
