"""Uploaded code on the disk: for each content a read-only folder and beside it the archive, made whole and synced before anything names them, removed
when nothing does."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import logging
import os
import re
import shutil
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TypeVar

from eventflow import faultpoint
from eventflow.clock import Clock, Timer
from eventflow.directories import make_directory, sync_directory
from eventflow.errors import StorageError
from eventflow.services.functions.archive import unpack
from eventflow.services.objects.syncing import sync_file_systems

log = logging.getLogger("eventflow.functions")

T = TypeVar("T")
SHA = re.compile(r"[0-9a-f]{64}")
INCOMING = ".incoming-"
ARCHIVE = ".zip"
#: What ran when its code was replaced may run for 900 seconds more and load modules then; only after that nobody reads the code.
GRACE = 1000.0
PIECE = 1 << 20


@dataclass(frozen=True, slots=True)
class Code:
    """Unpacked code: the hexadecimal SHA-256 of its archive, the archive's size, and the size of its files."""

    sha: str
    size: int
    unzipped: int

    @property
    def sha256(self) -> str:
        """As Lambda writes it."""
        return base64.b64encode(bytes.fromhex(self.sha)).decode()


class CodeStore:
    """Folders and archives below ``folder``, named by content. ``named`` tells which of some contents are named by what is on disk."""

    def __init__(self, folder: Path, clock: Clock, named: Callable[[Iterable[str]], Awaitable[set[str]]]) -> None:
        self.folder = folder
        self._clock = clock
        self._named = named
        self._held: Counter[str] = Counter()
        #: One at a time unpacks or removes: no more memory and processor than that goes into it, whatever comes.
        self._at_work = asyncio.Lock()
        self._forgotten: dict[str, float] = {}  # and when they may go, in monotonic seconds
        self._timer: Timer | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def path(self, sha: str) -> Path:
        return self.folder / sha

    def archive(self, sha: str) -> Path:
        """Where the archive is; what an earlier release unpacked has none."""
        return self.folder / f"{sha}{ARCHIVE}"

    async def open_archive(self, sha: str) -> tuple[IO[bytes], int] | None:
        """An archive and its size, for ``read``; None where there is none."""
        return await self._in_thread(opened, self.archive(sha))

    async def read(self, file: IO[bytes]) -> bytes:
        return await self._in_thread(file.read, PIECE)

    async def open(self) -> None:
        """Remove what a crash left behind, and what nothing names any more."""
        await self._in_thread(self._sweep)
        names = {entry.name.removesuffix(ARCHIVE) for entry in self.folder.iterdir()} if self.folder.exists() else set()
        await self._remove_unnamed([name for name in names if SHA.fullmatch(name)])

    def _sweep(self) -> None:
        if self.folder.exists():
            for entry in self.folder.glob(f"{INCOMING}*"):
                if entry.is_dir():
                    remove_tree(entry)
                else:
                    entry.unlink()

    async def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @contextlib.asynccontextmanager
    async def holding(self, archive: IO[bytes]) -> AsyncIterator[Code]:
        """Unpack an archive. Its code stays within the context; what is not named on disk there goes. Raises as ``unpack`` does, and
        StorageError."""
        sha, size = await self._in_thread(digest_of, archive)
        self._held[sha] += 1
        try:
            async with self._at_work:
                unzipped = await self._in_thread(self._keep, sha, archive)
            faultpoint.reach("code.unpacked")
            yield Code(sha, size, unzipped)
        finally:
            self._held[sha] -= 1
            if not self._held[sha]:
                del self._held[sha]
            self.forget([sha])

    def forget(self, contents: Iterable[str]) -> None:
        """These contents may not be named any more: remove them when nobody can be reading them."""
        due = self._clock.monotonic() + GRACE
        self._forgotten |= dict.fromkeys(contents, due)
        self._arm()

    def _arm(self) -> None:
        if self._timer is None and self._forgotten:
            wait = min(self._forgotten.values()) - self._clock.monotonic()
            self._timer = self._clock.call_later(max(0.0, wait), self._ring)

    def _ring(self) -> None:
        self._timer = None
        now = self._clock.monotonic()
        due = {sha for sha, at in self._forgotten.items() if at <= now}
        for sha in due:
            del self._forgotten[sha]
        self._arm()
        task = asyncio.get_running_loop().create_task(self._remove_later(due))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _remove_later(self, contents: set[str]) -> None:
        try:
            await self._remove_unnamed(contents)
        except StorageError as error:
            log.warning("code that nothing uses is removed at the next start: %s", error)

    async def _remove_unnamed(self, contents: Iterable[str]) -> None:
        async with self._at_work:
            # Who holds one now may name it while the question is on its way; who comes later waits, and unpacks it anew.
            free = [sha for sha in contents if sha not in self._held]
            for sha in set(free) - await self._named(free):
                await self._in_thread(self._remove, sha)

    async def _in_thread(self, work: Callable[..., T], *arguments: object) -> T:
        """A caller that goes meanwhile still waits: nobody tidies up under a thread that is at work."""
        running = asyncio.ensure_future(asyncio.to_thread(work, *arguments))
        try:
            await asyncio.shield(running)
        except asyncio.CancelledError:
            await asyncio.wait({running})
            raise
        except OSError as error:
            raise StorageError(
                f"Code could not be kept below {self.folder}: {error}. Nothing was changed; make room or mend the disk, then send it again."
            ) from error
        return running.result()

    # In a thread.

    def _keep(self, sha: str, archive: IO[bytes]) -> int:
        path = self.path(sha)
        if path.exists():
            if not self.archive(sha).exists():
                self._keep_archive(sha, archive)
                sync_directory(self.folder)
            return size_of(path)
        make_directory(self.folder)
        self.folder.chmod(0o700)  # code may have secrets in it
        incoming = Path(tempfile.mkdtemp(prefix=INCOMING, dir=self.folder))
        try:
            archive.seek(0)
            unzipped = unpack(archive, incoming)
            sync_tree(incoming)
            self._keep_archive(sha, archive)
            faultpoint.reach("code.archived")
            incoming.rename(path)
        except BaseException:
            remove_tree(incoming)
            raise
        sync_directory(self.folder)
        return unzipped

    def _keep_archive(self, sha: str, archive: IO[bytes]) -> None:
        """The archive on the disk, under its name. A crash may leave it without its folder: nothing names it then, and the next start removes it."""
        descriptor, name = tempfile.mkstemp(prefix=INCOMING, dir=self.folder)
        incoming = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as out:
                archive.seek(0)
                shutil.copyfileobj(archive, out, PIECE)
                out.flush()
                os.fsync(out.fileno())
            incoming.rename(self.archive(sha))
        except BaseException:
            incoming.unlink(missing_ok=True)
            raise

    def _remove(self, sha: str) -> None:
        remove_tree(self.path(sha))
        self.archive(sha).unlink(missing_ok=True)


def opened(path: Path) -> tuple[IO[bytes], int] | None:
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return None
    return file, os.fstat(file.fileno()).st_size


def digest_of(archive: IO[bytes]) -> tuple[str, int]:
    digest, size = hashlib.sha256(), 0
    archive.seek(0)
    while piece := archive.read(PIECE):
        digest.update(piece)
        size += len(piece)
    return digest.hexdigest(), size


def size_of(folder: Path) -> int:
    """How many bytes the files below a folder have, and the targets of links."""
    entries = (Path(place) / name for place, folders, files in os.walk(folder) for name in (*folders, *files))
    return sum(entry.lstat().st_size for entry in entries if entry.is_symlink() or not entry.is_dir())


def sync_tree(folder: Path) -> None:
    """Put all below a folder on the disk, and the names in it."""
    if sync_file_systems([folder]):
        return
    for place, _folders, files in os.walk(folder):
        for name in files:
            if not (Path(place) / name).is_symlink():
                descriptor = os.open(Path(place) / name, os.O_RDONLY | os.O_CLOEXEC)
                try:
                    os.fsync(descriptor)
                finally:
                    os.close(descriptor)
        sync_directory(Path(place))


def remove_tree(path: Path) -> None:
    """Remove a folder whose folders are read-only; one that is not there is no error. It gets a temporary's name first, so that a
    crash leaves nothing by halves."""
    if not path.exists():
        return
    if not path.name.startswith(INCOMING):
        path = path.rename(path.with_name(f"{INCOMING}{path.name}"))
    for place, _folders, _files in os.walk(path):
        Path(place).chmod(0o700)
    shutil.rmtree(path)
