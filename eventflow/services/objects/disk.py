"""Blocking work on files, where it is done, and what the operating system's refusals mean to a caller."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from eventflow.descriptors import EXHAUSTED, explained
from eventflow.dispatch.batch import Batcher
from eventflow.errors import EventflowError, ServiceError, StorageError

T = TypeVar("T")
#: Puts an open file, or a directory's names, on the disk: ``os.fsync``, or a note that it is to be done.
Sync = Callable[[int], object]
THREADS = 8
#: So many jobs share one visit to a thread.
MOST_TOGETHER = 64
#: File systems that answer for a name at once: no other machine, and no other program, has to be asked.
LOCAL = frozenset({"ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "f2fs", "bcachefs", "tmpfs", "overlay"})


class Disk:
    """Threads of their own, so that a slow disk does not take those of everybody else."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="eventflow-disk")
        self._under_way: set[asyncio.Future[Any]] = set()
        self._visits: dict[Path, Batcher[Job]] = {}

    async def run(self, work: Callable[..., T], *args: Any) -> T:
        """Run ``work`` in a thread. A caller that is cancelled meanwhile still waits for it: nobody tidies up under a thread that is at work."""
        future = asyncio.wrap_future(self._threads.submit(work, *args))
        self._under_way.add(future)
        future.add_done_callback(self._under_way.discard)
        try:
            return await to_the_end(future)
        except OSError as error:
            raise refusal(error) from error

    async def brief(self, place: Path, work: Callable[..., T], *args: Any) -> T:
        """Run work that asks for a name or two below ``place``: here and now on a local file system, because the way to a thread and back costs
        five times as much; elsewhere in a thread, because a file server that is gone would stop everybody."""
        if not is_local(place):
            return await self.run(work, *args)
        try:
            return work(*args)
        except OSError as error:
            raise refusal(error) from error

    async def together(self, place: Path, work: Callable[..., T], *args: Any) -> T:
        """Run ``work(*args, sync)``, which puts something below ``place`` on the disk, in one visit to a thread with whatever else is handed in for
        that place while the thread is away: they share the way there and back, and a directory that several change is synced once. On a file server,
        where one may have to wait for long, each goes alone."""
        if not is_local(place):
            return await self.run(work, *args, os.fsync)
        visits = self._visits.get(place)
        if visits is None:
            visits = self._visits[place] = Batcher(self._visit, lambda: None)
        job = Job(work, args, asyncio.get_running_loop().create_future())
        visits.add(job)
        try:
            return await to_the_end(job.done)
        except OSError as error:
            raise refusal(error) from error

    async def in_line(self, place: Path, work: Callable[..., T], *args: Any) -> T:
        """Run work that syncs nothing in such a visit. One thread after another: many at once would fight with the event loop for the interpreter."""
        return await self.together(place, lambda *given: work(*given[:-1]), *args)

    async def _visit(self, jobs: list[Job]) -> None:
        for start in range(0, len(jobs), MOST_TOGETHER):
            some = jobs[start : start + MOST_TOGETHER]
            try:
                results = await self.run(visit, some)
            except BaseException as failure:  # there are no threads any more: whoever waits has to know
                results = [(None, failure)] * len(some)
            for job, (value, error) in zip(some, results, strict=True):
                if error is None:
                    job.done.set_result(value)
                else:
                    job.done.set_exception(error)

    async def settle(self) -> bool:
        """Wait for the work that is under way; whether there was any."""
        if not self._under_way:
            return False
        await asyncio.wait(set(self._under_way))
        return True

    def close(self) -> None:
        self._threads.shutdown(wait=True)


@dataclass(frozen=True, slots=True)
class Job:
    """Work for a thread, which is called with its arguments and a ``Sync``."""

    work: Callable[..., Any]
    args: tuple[Any, ...]
    done: asyncio.Future[Any]


class Syncs:
    """What is to be put on the disk at the end of a visit, each file and directory once."""

    def __init__(self) -> None:
        self._open: dict[tuple[int, int], int] = {}

    def note(self, descriptor: int) -> tuple[int, int]:
        status = os.fstat(descriptor)
        name = (status.st_dev, status.st_ino)
        if name not in self._open:
            self._open[name] = os.dup(descriptor)
        return name

    def done(self) -> dict[tuple[int, int], Exception]:
        """Sync all; what failed."""
        failed: dict[tuple[int, int], Exception] = {}
        for name, descriptor in self._open.items():
            try:
                os.fsync(descriptor)
            except OSError as error:
                failed[name] = error
            finally:
                os.close(descriptor)
        return failed


def visit(jobs: Sequence[Job]) -> list[tuple[Any, BaseException | None]]:
    """Do the jobs in their order, then all their syncs; the value of each, or why it failed."""
    syncs = Syncs()
    results: list[tuple[Any, BaseException | None, set[tuple[int, int]]]] = []
    for job in jobs:
        asked: set[tuple[int, int]] = set()
        try:
            value = job.work(*job.args, lambda descriptor, asked=asked: asked.add(syncs.note(descriptor)))
            results.append((value, None, asked))
        except BaseException as error:  # it ends this job, and no other
            results.append((None, error, asked))
    failed = syncs.done()
    return [(value, error or next((failed[name] for name in asked if name in failed), None)) for value, error, asked in results]


@lru_cache(maxsize=4096)
def is_local(path: Path) -> bool:
    """Whether a directory lies on a file system of this machine, as far as that is known (proc_pid_mountinfo(5))."""
    try:
        device = path.stat().st_dev
        mounts = Path("/proc/self/mountinfo").read_text(errors="surrogateescape").splitlines()
    except OSError:
        return False
    number = f"{os.major(device)}:{os.minor(device)}"
    kinds = {line.partition(" - ")[2].split(" ")[0] for line in mounts if line.split(" ", 3)[2] == number}
    return bool(kinds) and kinds <= LOCAL


async def to_the_end(work: asyncio.Future[T] | Coroutine[Any, Any, T]) -> T:
    """Await work that must not be left half done: a cancellation takes effect when it has ended."""
    future = asyncio.ensure_future(work)
    cancelled = False
    while not future.done():
        try:
            await asyncio.shield(future)
        except asyncio.CancelledError:
            cancelled = True
        except BaseException:
            break  # the work's own: it is raised below
    if cancelled:
        future.exception()  # looked at, so that it is not reported as lost
        raise asyncio.CancelledError
    return future.result()


def refusal(error: OSError) -> EventflowError:
    """What an operating system's error means to the caller.

    A full disk is 507, which no SDK repeats by itself: a retry of the same upload a second later would only fail again, and the text says what helps.
    """
    where = f" ({error.filename})" if error.filename else ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return ServiceError(
            "InsufficientStorage", f"The disk of this bucket is full{where}: nothing of the object was kept. Free space, then send it again.", 507
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return ServiceError("AccessDenied", f"The operating system refused: {error.strerror}{where}. Give the daemon's user that right.", 403)
    if error.errno in (errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL, errno.ENOTDIR, errno.ELOOP, errno.EISDIR):
        return ServiceError("InvalidArgument", f"The bucket's file system cannot hold this key: {error.strerror}{where}. Use another key.")
    if error.errno in EXHAUSTED:
        return StorageError(f"A file of a bucket could not be opened{where}. {explained(error)} Then try again.")
    return StorageError(f"A file of a bucket could not be read or written: {error.strerror}{where}. Check the disk, then try again.")
