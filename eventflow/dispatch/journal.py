"""What the dispatcher needs of a durable store of events: the Journal protocol and the values that cross it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Protocol

from eventflow.outcome import Outcome, Step

#: What a claim gives at most, unless it is asked for another measure: it is read while others wait for the writer.
CLAIM_BYTES = 4 * 1024 * 1024


class State(IntEnum):
    """Where an event stands; the numbers are what the store keeps."""

    READY = 0
    WAITING = 1
    DONE = 2
    DEAD = 3


@dataclass(slots=True)
class Event:
    """An accepted asynchronous event. ``id`` is its request id, the same for every attempt; ``sequence`` the order of acceptance.

    ``key`` is the identity its source gave it (a repeated one is ignored), ``trace`` the chain of causes, ``source`` says in words where it
    came from, ``qualifier`` by which version or alias its function was asked for.
    """

    id: str
    function: str
    payload: bytes
    accepted_at: float
    key: str | None = None
    trace: str | None = None
    source: str = ""
    function_errors: int = 0
    system_errors: int = 0
    sequence: int = 0
    qualifier: str | None = None


@dataclass(frozen=True, slots=True)
class CursorMove:
    """A change of a trigger's memory; ``changes`` maps keys to JSON values, None deletes."""

    owner: str
    changes: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class QueueMessage:
    """A message that a settlement sends, in the same transaction. An attribute is text, or a MessageAttributeValue of SQS."""

    queue: str
    body: str
    attributes: Mapping[str, str | Mapping[str, str]] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"queue {self.queue}"


@dataclass(frozen=True, slots=True)
class BusMessage:
    """An event that a settlement puts on a bus, in the same transaction; ``detail`` is JSON."""

    bus: str
    detail_type: str
    detail: Mapping[str, Any]
    resources: Sequence[str]
    trace: str | None

    def __str__(self) -> str:
        return f"bus {self.bus}"


@dataclass(frozen=True, slots=True)
class BucketMessage:
    """An object that a settlement has put into a bucket: written down in the same transaction, and stored afterwards. ``event`` is the event's id."""

    bucket: str
    key: str
    body: str
    event: str

    def __str__(self) -> str:
        return f"bucket {self.bucket}"


Message = QueueMessage | BusMessage | BucketMessage


@dataclass(slots=True)
class Attempt:
    """One finished run: what the ledger keeps of it, for asynchronous and synchronous invocations alike."""

    event_id: str
    function: str
    outcome: Outcome
    memory_mb: int
    synchronous: bool = False


@dataclass(slots=True)
class Settlement:
    """The decision on one event after an attempt, with everything it causes. ``attempt`` is None when the event ended without running."""

    event: Event
    step: Step
    attempt: Attempt | None
    reason: str = ""
    messages: Sequence[Message] = ()
    events: Sequence[Event] = ()


class Journal(Protocol):
    """A durable store of events.

    - ``append`` returns once every event and every cursor is on disk: for each event its request id and whether it is new. An event whose
      ``(function, key)`` was accepted before is not stored again, and its earlier request id is given.
    - ``claim`` gives up to ``limit`` READY events of a function with a sequence greater than ``after``, oldest first, and no more once their
      payloads have ``most_bytes`` together; it does not change them, because one daemon owns the store: what was claimed and not settled when
      the daemon died is READY at the next start.
    - ``wake`` turns up to ``limit`` WAITING events of a function whose time has come into READY ones and gives them, of as many bytes as a claim.
    - ``settle`` returns once the decisions, all they cause, and the ledger rows of further (synchronous) attempts are on disk, in one transaction.
      Where there are attempts alone it may take its time (milliseconds): their callers have been answered.
    - ``read_cursor`` gives a trigger's memory in the order of its keys' UTF-8: all of it, or up to ``limit`` entries behind the key ``after``.
    - ``next_wake`` tells for each function with WAITING events the instant of the earliest.
    """

    async def append(self, events: Sequence[Event], cursors: Sequence[CursorMove] = ()) -> list[tuple[str, bool]]: ...
    async def claim(self, function: str, after: int, limit: int, most_bytes: int = CLAIM_BYTES) -> list[Event]: ...
    async def wake(self, function: str, now: float, limit: int) -> list[Event]: ...
    async def settle(self, settlements: Sequence[Settlement], attempts: Sequence[Attempt] = ()) -> None: ...
    async def backlog(self) -> dict[str, int]: ...
    async def next_wake(self) -> dict[str, float]: ...
    async def read_cursor(self, owner: str, after: str | None = None, limit: int | None = None) -> dict[str, Any]: ...
    async def move_cursor(self, move: CursorMove) -> None: ...
