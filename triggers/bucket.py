"""The Bucket trigger: a function runs when an object of a bucket was created or removed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from eventflow import Resource, SettingError, Target, Trigger
from triggers.bucket_session import BucketSession
from triggers.object_keys import ObjectKeys

EVENTS = (
    "ObjectCreated:*",
    "ObjectCreated:Put",
    "ObjectCreated:Post",
    "ObjectCreated:Copy",
    "ObjectCreated:CompleteMultipartUpload",
    "ObjectRemoved:*",
    "ObjectRemoved:Delete",
    "ObjectRemoved:DeleteMarkerCreated",
    "LifecycleExpiration:*",
    "LifecycleExpiration:Delete",
    "LifecycleExpiration:DeleteMarkerCreated",
)
WAYS = ("auto", "events", "poll")
BUCKET_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
SHORTEST_SETTLE, LONGEST_SETTLE = 0.1, 3600.0


@dataclass(frozen=True)
class Bucket(Trigger):
    """Objects of the bucket ``name``, each told once when it is whole, in the event of S3.

    A bucket is a directory, and a file that comes into it by any means is an object. It is whole when its writer closed it or it was renamed to its
    name; never an object is a file that begins with a dot, lies in a directory that does, or ends in ``.part``, ``.tmp`` or ``~``. Files that were
    there before the trigger ran for the first time do not fire; those that came, changed or went while the daemon was down do, once. An object that
    was put through S3 under a key that no directory can hold, and so lies encoded, fires with its key whatever its name is.

    ``events`` are S3's names, with or without ``s3:``. ``prefix`` and ``suffix`` narrow the keys; several of either mean any of them (S3 takes one).

    What counts as a change: another size, modification time or inode. Writing the same bytes again, or ``touch``, fires as it would on S3; if only
    the modification time differs and nobody was seen to write (``utime``, or while the daemon was down), the ETag decides. A rename is a removal and
    a creation. Several changes in a row may become one event, of the last state. A symbolic link to a file of the bucket fires when the link is made,
    not when that file changes; any other link is skipped, and so is what is no regular file or has a name that is not UTF-8.

    In a bucket with versions the events tell the version's id, and a delete that keeps what it hides is ``ObjectRemoved:DeleteMarkerCreated``. What
    happens to versions that are not the current one is not told, nor is it when one is the current one again.

    ``watch`` says how changes are found: by the system's events (``events``), by looking (``poll``), or by events where they can be had (``auto``).
    ``settle`` is for where nobody tells that a file is whole: there it is when it has not changed for so many seconds.
    """

    kind: ClassVar[str] = "bucket"

    name: str
    events: str | Sequence[str] = ("ObjectCreated:*",)
    prefix: str | Sequence[str] = ()
    suffix: str | Sequence[str] = ()
    watch: str = "auto"
    settle: float = 1.0

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not BUCKET_NAME.fullmatch(self.name):
            raise SettingError(
                f"Bucket name={self.name!r} is refused: it takes 3 to 63 of a-z, 0-9, '-' and '.', with a letter or digit at both ends."
            )
        for setting in ("events", "prefix", "suffix"):
            object.__setattr__(self, setting, self._texts(setting))
        object.__setattr__(self, "events", tuple(event.removeprefix("s3:") for event in self.events))
        self._check_events()
        if self.watch not in WAYS:
            raise SettingError(f"Bucket {self.name!r}: watch={self.watch!r} is refused: it takes {' or '.join(map(repr, WAYS))}.")
        if isinstance(self.settle, bool) or not isinstance(self.settle, int | float) or not SHORTEST_SETTLE <= self.settle <= LONGEST_SETTLE:
            raise SettingError(
                f"Bucket {self.name!r}: settle={self.settle!r} is refused: it takes {SHORTEST_SETTLE:g} to {LONGEST_SETTLE:g} seconds."
            )

    def _texts(self, setting: str) -> tuple[str, ...]:
        """A setting of one text or several as a tuple without empty ones."""
        value = getattr(self, setting)
        texts = (value,) if isinstance(value, str) else tuple(value) if isinstance(value, Iterable) else (value,)
        if not all(isinstance(text, str) for text in texts):
            raise SettingError(f"Bucket {self.name!r}: {setting}={value!r} is refused: it takes one text or several.")
        return tuple(text for text in texts if text)

    def _check_events(self) -> None:
        for event in self.events:
            if event not in EVENTS:
                raise SettingError(f"Bucket {self.name!r}: {event!r} in events is refused: it takes {', '.join(EVENTS)}, each with or without 's3:'.")
        if not self.events:
            raise SettingError(f"Bucket {self.name!r}: events is empty, so nothing would ever fire; it takes {', '.join(EVENTS)}.")

    def resources(self) -> Iterable[Resource]:
        return (Resource("bucket", self.name),)

    def asks_for(self, event: str) -> bool:
        """Whether an event of this name (``ObjectCreated:Put``) is wanted."""
        return event in self.events or f"{event.partition(':')[0]}:*" in self.events

    def identity(self) -> dict[str, Any]:
        """Another way of watching looks at the same files."""
        return {name: value for name, value in self.parameters().items() if name not in ("watch", "settle")}

    async def run(self, target: Target) -> None:
        session = await self._session(target)
        await session.run()

    async def sweep(self, target: Target) -> int:
        """Deliver what came, changed or went since the last sweep or run. Every file is taken as whole."""
        session = await self._session(target)
        return await session.sweep()

    async def _session(self, target: Target) -> BucketSession:
        source = await target.bucket(self.name)
        keys = ObjectKeys(tuple(self.prefix), tuple(self.suffix), source.key_at)
        return BucketSession(source, target, keys=keys, asked=self.asks_for, mode=self.watch, settle=self.settle)
