"""All that a trigger's author needs: one class with one method, and the two verbs of its Target."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

from eventflow.clock import Clock
from eventflow.outcome import Outcome


@dataclass(frozen=True)
class Resource:
    """Something that must exist before a trigger runs. ``kind`` is ``bucket``, ``table``, ``queue``, ``bus``, ``stream`` (that of the table with
    this name), or ``function``, which nobody makes: an application without it is refused."""

    kind: str
    name: str
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclass(frozen=True)
class ApiRoute:
    """A way through the API gateway: ``protocol`` is ``HTTP``, ``REST`` or ``WEBSOCKET``, ``api`` the name of an API of that protocol, ``key`` what
    routes are told apart by (``GET /items/{id}``, ``$default``). ``options`` is what else was asked for, plain JSON values; the gateway refuses at
    load what it does not enforce."""

    protocol: str
    api: str
    key: str
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)


class Trigger(ABC):
    """A source of events for one function.

    A subclass is a frozen dataclass whose fields are plain JSON values (tuples come back as lists, so a ``__post_init__`` that
    normalises them is welcome): the application is loaded in a process of its own, and the daemon makes the trigger again from
    ``kind`` and ``parameters()``. ``kind`` is the name under which the class is published in the entry-point group ``eventflow.triggers``.

    Settings are validated in ``__post_init__``, which raises ``SettingError`` in a sentence that names the setting, the value and the range.
    """

    kind: ClassVar[str]
    #: Whether ``run`` waits for nothing but the Clock, so that a test may run it on a virtual one instead of sweeping.
    clocked: ClassVar[bool] = False

    @abstractmethod
    async def run(self, target: Target) -> None:
        """Deliver events until cancelled. Call ``target.ready()`` once nothing that happens from now on can be missed.

        Acknowledge the source only after ``emit`` has returned, or after ``invoke`` has returned an outcome that you can act on. An exception
        that leaves ``run`` is reported, and ``run`` is called again after a pause: begin by catching up with what was missed.
        """

    async def sweep(self, target: Target) -> int:
        """Look once at the source, now; deliver what is due and return how many events that were. The test harness drains triggers so."""
        return 0

    def resources(self) -> Iterable[Resource]:
        """What must exist before ``run``; the daemon makes what is not there."""
        return ()

    def routes(self) -> Iterable[ApiRoute]:
        """The routes of the API gateway that lead to the trigger's function."""
        return ()

    def parameters(self) -> dict[str, Any]:
        """The fields, as JSON values from which ``type(self)(**parameters)`` makes an equal trigger."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}  # type: ignore[arg-type]

    def identity(self) -> dict[str, Any]:
        """The parameters by which its memory is found again after a restart: leave out what only tunes how the source is watched."""
        return self.parameters()

    def __str__(self) -> str:
        """The trigger as its author wrote it: what is as by default is left out."""
        fields = dataclasses.fields(self)  # type: ignore[arg-type]
        values = [(field.name, getattr(self, field.name), field.default) for field in fields]
        shown = [repr(value) if index == 0 else f"{name}={value!r}" for index, (name, value, default) in enumerate(values) if value != default]
        return f"{type(self).__name__}({', '.join(shown)})"


class Cursor(Protocol):
    """A trigger's durable memory: text keys to JSON values, private to this trigger of this function.

    ``items`` reads everything, in the order of the keys' UTF-8; for much of it, ``limit`` entries at a time, ``after`` the last key of those before.
    ``update`` writes (None deletes) in one transaction and returns when that is on disk. To move the cursor
    together with an event, pass the same mapping to ``emit(..., cursor=...)``: both are on disk, or neither.
    """

    async def items(self, after: str | None = None, limit: int | None = None) -> dict[str, Any]: ...
    async def update(self, changes: Mapping[str, Any]) -> None: ...


class BucketSource(Protocol):
    """A bucket as its trigger sees it: a directory, and what the object store knows of a file in it."""

    name: str
    path: Path

    def key_at(self, path: str) -> str | None:
        """The key of the file at a path below the directory: the path itself, but below ``.eventflow-keys``, where keys lie encoded that no
        directory can hold. There, of a directory, what all keys in it begin with; None for a file that is no object."""
        ...

    async def describe(self, key: str) -> ObjectVersion | None:
        """The object as it is on disk now (its ETag is computed if it is not known yet), or None if there is none."""
        ...

    async def removed(self, key: str) -> ObjectVersion | None:
        """The removal of a key that was described before and is gone: its ``sequencer`` is behind all of its life, ``action`` is ``Delete``,
        or ``DeleteMarkerCreated`` where its versions are kept. None if the key is there, or its removal is not known."""
        ...


@dataclass(frozen=True, slots=True)
class ObjectVersion:
    """One state of one object. ``size`` in bytes, ``etag`` without quotes, ``mtime_ns`` and ``inode`` of the file; ``sequencer`` grows with each
    change of a key. ``action`` is ``Put``, ``Copy``, ``Post`` or ``CompleteMultipartUpload``, and ``Return`` of a version that is the current one
    again because those after it were deleted; of a removal, ``Delete`` or ``DeleteMarkerCreated``. ``trace`` is the trace header of the call that
    wrote it, if one did; ``version_id`` S3's, None for what came while its bucket had no versioning.
    """

    key: str
    size: int
    etag: str
    mtime_ns: int
    inode: int
    sequencer: str
    action: str = "Put"
    trace: str | None = None
    principal: str | None = None
    version_id: str | None = None


class QueueSource(Protocol):
    """A queue as its trigger sees it. Messages are SQS's ``ReceiveMessage`` members as boto3 returns them, all attributes included."""

    arn: str
    region: str
    visibility_timeout: int
    fifo: bool

    async def receive(self, limit: int, wait: float) -> Sequence[Mapping[str, Any]]: ...
    async def delete(self, receipt_handles: Sequence[str]) -> None: ...
    async def change_visibility(self, receipt_handles: Sequence[str], seconds: int) -> None: ...


class StreamSource(Protocol):
    """One stream of a table as its trigger sees it. Records are those of DynamoDB Streams' ``GetRecords`` as boto3 returns them; sequence numbers are
    its texts of digits, which count up without a gap.

    ``edge`` is the sequence number to begin after: that of the newest record, or the one before the oldest that is kept. ``read`` waits up to
    ``wait`` seconds for the first record after a sequence number; its second value says that the stream is closed and has no more.
    """

    arn: str
    region: str
    shard: str

    async def edge(self, latest: bool) -> str: ...
    async def read(self, after: str, limit: int, wait: float) -> tuple[Sequence[Mapping[str, Any]], bool]: ...


class BusEvent(Protocol):
    """An event that waits for its reader. ``event`` is EventBridge's envelope, ``position`` its place in the reader's line, ``trace`` its causes."""

    @property
    def position(self) -> int: ...
    @property
    def event(self) -> Mapping[str, Any]: ...
    @property
    def trace(self) -> str | None: ...


class BusSource(Protocol):
    """An event bus as its trigger sees it. From ``subscribe`` on, events that match the pattern (its JSON) wait for this trigger of this function,
    over restarts too, until ``forget`` says up to which position they are done with. ``receive`` gives the first of them, and waits up to ``wait``
    seconds for one.
    """

    name: str
    region: str

    async def subscribe(self, pattern: str) -> None: ...
    async def receive(self, limit: int, wait: float) -> Sequence[BusEvent]: ...
    async def forget(self, position: int) -> None: ...


class Target(Protocol):
    """One function as its trigger sees it.

    ``function`` is its name, ``version`` the version that runs (``$LATEST``), ``timeout`` its time limit in seconds, ``concurrency`` how many of its
    invocations may run at once; ``account`` and ``region`` serve to build ARNs.
    ``emit`` returns once the event is on disk (its request id); an ``id`` that was emitted before for this function is ignored, and says so
    by returning
    the first event's request id. ``invoke`` runs the function now and returns how it ended; it raises ``Throttled`` when there is no free
    concurrency.
    ``report`` tells the daemon's log and status (a warning that people should see, once per text). ``trace`` continues a chain of causes,
    so that a loop is recognised: pass on what the source gives you. ``stream`` is the newest stream of a table, or the one with that ARN.
    ``send`` puts a message into a queue of the application and returns once it is on disk; ``emit_to`` does as ``emit`` with another function of it;
    ``put_record`` puts a record (JSON) of what a shard's reader gave up into a bucket, as an object with a name as AWS's.
    """

    function: str
    version: str
    timeout: float
    concurrency: int
    account: str
    region: str
    clock: Clock
    cursor: Cursor

    async def emit(self, payload: Any, *, id: str | None = None, trace: str | None = None, cursor: Mapping[str, Any] | None = None) -> str: ...
    async def invoke(self, payload: Any, *, trace: str | None = None) -> Outcome: ...
    def ready(self) -> None: ...
    def report(self, message: str) -> None: ...
    async def bucket(self, name: str) -> BucketSource: ...
    async def queue(self, name: str) -> QueueSource: ...
    async def stream(self, table: str, arn: str | None = None) -> StreamSource: ...
    async def send(self, queue: str, body: str) -> None: ...
    async def put_record(self, bucket: str, shard: str, record: str) -> None: ...
    async def emit_to(self, function: str, payload: Any, *, id: str | None = None) -> str: ...
    async def bus(self, name: str) -> BusSource: ...
