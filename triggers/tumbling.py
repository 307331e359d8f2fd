"""Tumbling windows: what a function has made of the changes of each stretch of time, carried from batch to batch (Lambda developer guide, "Using
Lambda with DynamoDB streams: tumbling windows")."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from eventflow import StreamSource, iso
from triggers.lane import LARGEST_PAYLOAD, Entry, Lane

#: Bytes of a state's JSON; a window whose state has more is ended early.
LARGEST_STATE = 1024 * 1024
#: Seconds after its end in which changes of a window may still become readable. They are committed in order, a moment after they were made.
GRACE = 1.0
#: Bytes of a window's event beside its records and its state.
ENVELOPE = 1024


@dataclass(slots=True)
class Window:
    """The changes made from ``start`` up to ``end`` (Unix seconds), and the ``state`` that the function returned last. ``last`` is the sequence
    number of the newest of them, ``at`` when that was made. ``early`` says that its state became too large."""

    start: int
    end: int
    arn: str
    shard: str
    state: Any = field(default_factory=dict)
    early: bool = False
    last: str = ""
    at: int = 0

    @classmethod
    def around(cls, entry: Entry, seconds: int, source: StreamSource) -> Window:
        start = entry.at // seconds * seconds
        return cls(start, start + seconds, source.arn, source.shard, last=entry.number, at=entry.at)

    def kept(self) -> dict[str, Any]:
        """As JSON values, of which ``Window(**kept)`` is made."""
        return asdict(self)

    def takes(self, entry: Entry) -> bool:
        """Whether a change belongs to this window; one that a clock that was set back dated before it does."""
        return entry.at < self.end

    def left(self, now: float) -> float:
        """Seconds until it is over for certain."""
        return self.end + GRACE - now

    def closes(self, lane: Lane, arn: str, ended: bool, now: float) -> bool:
        """Whether it is over for a lane of the stream ``arn``, which may have ``ended``."""
        if self.early or self.arn != arn:
            return True
        return not self.takes(lane.waiting[0]) if lane.waiting else ended or self.left(now) <= 0

    @property
    def size(self) -> int:
        """Bytes of its events without the records."""
        return size_of(self.state) + ENVELOPE

    def event(self, entries: Sequence[Entry], *, final: bool = False) -> dict[str, Any]:
        return {
            "Records": [entry.record for entry in entries],
            "window": {"start": iso(self.start, milliseconds=False), "end": iso(self.end, milliseconds=False)},
            "state": self.state,
            "shardId": self.shard,
            "eventSourceARN": self.arn,
            "isFinalInvokeForWindow": final,
            "isWindowTerminatedEarly": final and self.early,
        }

    def took(self, response: bytes, entries: Sequence[Entry]) -> bool:
        """Take over the state from a response; False where it has none, or one that no event has room for, which is a failure."""
        try:
            value = json.loads(response)
        except ValueError:
            return False
        if not isinstance(value, dict) or "state" not in value:
            return False
        size = size_of(value["state"])
        if size + ENVELOPE > LARGEST_PAYLOAD:
            return False
        self.state, self.last, self.at = value["state"], entries[-1].number, entries[-1].at
        self.early = size > LARGEST_STATE
        return True


def size_of(state: Any) -> int:
    """Bytes of its JSON."""
    return len(json.dumps(state, ensure_ascii=False, separators=(",", ":")).encode())
