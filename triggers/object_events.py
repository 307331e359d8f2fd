"""From keys that may have changed to the events of S3: each key is looked at, compared with the index, described and emitted."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from eventflow import BucketSource, ObjectVersion, ServiceError, StorageError, Target, s3_event
from triggers.object_index import ObjectIndex, entry_of, is_described, same_content, sequencer_in, shows, sight_in, sight_of
from triggers.object_keys import is_text
from triggers.settling import OpenFiles, Settling
from triggers.snapshot import Oddities, sight_if_file
from triggers.watching import Sign

#: So many keys are under way at once, so that their events share the journal's transactions.
WORKERS = 48
#: From so many waiting keys on, whoever finds more of them waits.
CROWD = 4_000
#: After so many seconds an object that could not be read is tried again.
UNREADABLE_PAUSE = 30.0
#: A file that was made fires at its writer's close. If none is told for so many seconds it may have got its name in another way (linkat).
CLOSE_PATIENCE = 1.0
#: Longer than a tick of any file system's clock, in seconds; some count in whole ones.
LONGEST_TICK = 2.0
REMOVED = ("ObjectRemoved:Delete", "ObjectRemoved:DeleteMarkerCreated", "LifecycleExpiration:Delete", "LifecycleExpiration:DeleteMarkerCreated")
#: A version that is the current one again because those after it were deleted: S3 tells nothing of it.
RETURN = "Return"


class Look(NamedTuple):
    """An object's file as it was a moment ago; ``path`` is where its content is, elsewhere only for a link. ``moved_ns`` is when its content or a
    name of it changed last."""

    sight: str
    path: str
    names: int
    modified: float
    moved_ns: int
    is_link: bool


class ObjectEvents:
    """Turns signs about keys into events, each state of each key at most once.

    What is called a key here and in the index is the path of an object's file; ``_key`` is the key that it is told by.

    Signs only say where to look: what is told is always the state that is there, so that several quick changes may become one event. The keys are
    handled many at a time, one key never twice at once.
    """

    def __init__(self, source: BucketSource, target: Target, index: ObjectIndex, settling: Settling, asked: Callable[[str], bool]) -> None:
        self.root = os.path.realpath(source.path)
        self.open_files = OpenFiles()
        self.oddities = Oddities()
        self.emitted = 0
        self._source = source
        self._target = target
        self._index = index
        self._settling = settling
        self._asked = asked
        self._describes = any(asked(f"ObjectCreated:{action}") for action in ("Put", "Post", "Copy", "CompleteMultipartUpload"))
        self._signs: dict[str, Sign] = {}
        self._busy: set[str] = set()
        self._queue: asyncio.Queue[str] = asyncio.Queue()

    def notice(self, key: str, sign: Sign) -> None:
        """Have a key looked at soon."""
        before = self._signs.get(key)
        self._signs[key] = sign if before is None else max(before, sign)
        if before is None and key not in self._busy:
            self._queue.put_nowait(key)

    async def room(self) -> None:
        """Wait while many keys are waiting."""
        if self._queue.qsize() >= CROWD:
            await self._queue.join()

    async def handled(self) -> None:
        """Wait until every noticed key was looked at, and its event, if it had one, is on disk."""
        await self._queue.join()

    async def work(self) -> None:
        """Handle keys until cancelled. Run ``WORKERS`` of these."""
        while True:
            key = await self._queue.get()
            sign = self._signs.pop(key)
            self._busy.add(key)
            await self._handle(key, sign)
            self._busy.discard(key)
            if key in self._signs:
                self._queue.put_nowait(key)
            self._queue.task_done()

    async def _handle(self, key: str, sign: Sign) -> None:
        try:
            look = self._look(key)
        except OSError as error:
            self.oddities.unreadable(self._path(key), error)
            return
        known = self._index.get(key)
        if look is None:
            self._settling.forget(key)
            if known is not None and is_directory(self.root):  # if even the bucket is gone, who knows what became of the object
                await self._removed(key, known)
        elif shows(known, look.sight) and not self._may_hide_a_change(look, known or "", sign):
            self._settling.forget(key)
        elif self._finished(key, look, sign):
            self._settling.forget(key)
            await self._created(key, known, look, sign)

    def _key(self, path: str) -> str:
        return self._source.key_at(path) or path

    def _path(self, key: str) -> str:
        return f"{self.root}/{key}"

    def _look(self, key: str) -> Look | None:
        """The file of a key, or None if there is none that is an object; OSError if that cannot be known."""
        path = self._path(key)
        if not is_text(key):
            self.oddities.name(path)
            return None
        try:
            status = os.lstat(path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        if sight_if_file(status, path, self.root, self.oddities) is None:
            return None
        is_link = stat.S_ISLNK(status.st_mode)
        return Look(sight_of(status), os.path.realpath(path) if is_link else path, status.st_nlink, status.st_mtime, status.st_ctime_ns, is_link)

    def _may_hide_a_change(self, look: Look, known: str, sign: Sign) -> bool:
        """Whether a file that was written may have changed although it looks as before: an object that was there before the trigger first ran can
        have been open since, and two writes in one tick of the file system's clock leave the same time."""
        return sign is Sign.WRITTEN and (not is_described(known) or abs(self._target.clock.now() - look.modified) < LONGEST_TICK)

    def _finished(self, key: str, look: Look, sign: Sign) -> bool:
        """Whether a file that changed is whole. If it is not, either its close will be told or it is looked at again later."""
        now = self._target.clock.monotonic()
        if sign is Sign.WRITTEN:
            return True
        if sign is Sign.CREATED and look.names == 1 and not look.is_link and key not in self._settling:
            self._settling.postpone(key, now, CLOSE_PATIENCE, sign)
            return False
        written = self.open_files.written(look.path)
        if written:
            self._settling.busy(key, look.sight, now, sign)
            return False
        if written is False or sign is Sign.PLACED:
            return True
        if sign is Sign.CREATED:  # whoever made it has it open, unless it is another name for a file that was there before
            return look.names > 1 or look.is_link
        return self._settling.settled(key, look.sight, now)

    async def _created(self, key: str, known: str | None, look: Look, sign: Sign) -> None:
        if not self._describes:
            self._index.remember(key, look.sight)
            return
        version = await self._describe(key, look, sign)
        if version is None:
            return
        seen = look.sight if look.is_link else sight_in(version)
        entry = entry_of(seen, version)
        if seen != look.sight and self.open_files.written(look.path):  # it changes again under our eyes
            self._settling.busy(key, look.sight, self._target.clock.monotonic(), sign)
        elif entry == known or (sign is Sign.LOOK and same_content(known, entry)) or not self._tells(version):
            self._index.remember(key, entry)
        else:
            # With the ETag, for two writes in one tick of the file system's clock are two states under one time. And a file that was taken away and
            # brought back, long after or where nobody asks for removals, may be in the very state that it was in before.
            came = f"-{look.moved_ns:x}" if known is None else ""
            await self._emit(key, f"ObjectCreated:{version.action}", version.sequencer, f"-{version.etag}{came}", entry, version)

    def _tells(self, version: ObjectVersion) -> bool:
        return version.action != RETURN and self._asked(f"ObjectCreated:{version.action}")

    async def _describe(self, key: str, look: Look, sign: Sign) -> ObjectVersion | None:
        """The object, or None if it went or cannot be read; then it is looked at again."""
        now = self._target.clock.monotonic()
        try:
            version = await self._source.describe(self._key(key))
        except (OSError, ServiceError, StorageError) as error:
            if isinstance(error, ServiceError) and error.code == "SlowDown":  # somebody writes it all the time
                self._settling.busy(key, look.sight, now, sign)
            else:
                self._target.report(f"Bucket {self._source.name!r}: {self._key(key)!r} cannot be read, so its event waits until it can be: {error}")
                self._settling.postpone(key, now, UNREADABLE_PAUSE, sign)
            return None
        if version is None and self._index.get(key) is not None:
            self.notice(key, Sign.LOOK)
        return version

    async def _removed(self, key: str, known: str) -> None:
        if not any(map(self._asked, REMOVED)):
            self._index.remember(key, None)
            return
        removal = await self._source.removed(self._key(key))
        if removal is None and await self._elsewhere(key):
            self._index.remember(key, None)
            return
        name = removed_event(removal.action if removal else "Delete")
        if not self._asked(name):
            self._index.remember(key, None)
            return
        # What the store never saw gets a sequencer right behind that of the state that went: they are compared as if padded with zeros.
        sequencer = removal.sequencer if removal else sequencer_in(known) + "01"
        await self._emit(key, name, sequencer, "", None, removal)

    async def _elsewhere(self, key: str) -> bool:
        """Whether the object has only moved, from its encoded name to its own or the other way: the file there is told of by itself."""
        try:
            return await self._source.describe(self._key(key)) is not None
        except (OSError, ServiceError, StorageError):
            return False

    async def _emit(self, key: str, name: str, sequencer: str, state: str, entry: str | None, version: ObjectVersion | None) -> None:
        """``state`` tells apart, in the event's id, what has one sequencer."""
        target = self._target
        event = s3_event(
            bucket=self._source.name,
            key=self._key(key),
            name=name,
            sequencer=sequencer,
            region=target.region,
            account=target.account,
            time=target.clock.now(),
            request_id=target.clock.new_id(),
            configuration=target.function,
            size=version.size if version and entry else None,
            etag=version.etag if version and entry else None,
            version=version.version_id if version else None,
            principal=version.principal if version else None,
        )
        identity = f"{self._source.name}/{self._key(key)}/{sequencer}{state}/{name}"
        trace = version.trace if version else None
        await target.emit(event, id=identity, trace=trace, cursor=self._index.moves(key, entry))
        self._index.put(key, entry)
        self.emitted += 1


def removed_event(action: str) -> str:
    """The event's name for what a removal is called: ``Delete`` and ``DeleteMarkerCreated`` are ``ObjectRemoved``, others say what they are."""
    return action if ":" in action else f"ObjectRemoved:{action}"


def is_directory(path: str) -> bool:
    return Path(path).is_dir()
