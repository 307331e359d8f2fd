"""One line of a stream's records: those of some keys, in order, and how far a function has come with them."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from dataclasses import dataclass, field
from typing import Any

#: Lambda invokes with at most 6 MB (AWS: "Lambda quotas", synchronous invocation payload).
LARGEST_PAYLOAD = 6_291_456
ENVELOPE = len('{"Records":[]}')


@dataclass(frozen=True, slots=True)
class Entry:
    """One record as Lambda writes it; ``size`` in bytes of its JSON, ``at`` is when the change was made (Unix seconds)."""

    sequence: int
    record: Any
    size: int
    at: int

    @property
    def number(self) -> str:
        return str(self.record["dynamodb"]["SequenceNumber"])


@dataclass(slots=True)
class Lane:
    """``done`` is the sequence up to which all is done; ``ends`` the ends of the pieces that a failed batch was cut into, the first of them is tried
    now; ``failures`` counts its attempts so far, and ``retry_at`` (Unix seconds) is when the next may begin."""

    done: int
    ends: list[int] = field(default_factory=list)
    failures: int = 0
    retry_at: float = 0.0
    waiting: deque[Entry] = field(default_factory=deque)
    filled: asyncio.Event = field(default_factory=asyncio.Event)

    def add(self, entry: Entry) -> None:
        self.waiting.append(entry)
        self.filled.set()

    def batch(self, most: int, beside: int = 0) -> list[Entry]:
        """The records of the next attempt: those of a piece, or as many as a batch and an invocation may have, with so many bytes beside them."""
        self.ends = [end for end in self.ends if end >= self.waiting[0].sequence]
        found: list[Entry] = []
        size = ENVELOPE + beside
        for entry in self.waiting:
            beyond = entry.sequence > self.ends[0] if self.ends else len(found) >= most
            if beyond or (found and size + entry.size + 1 > LARGEST_PAYLOAD):
                break
            found.append(entry)
            size += entry.size + 1
        return found

    def advance(self, entries: list[Entry]) -> None:
        """These, the first that wait, are done, one way or another."""
        for _entry in entries:
            self.waiting.popleft()
        self.done = entries[-1].sequence
        self.ends = [end for end in self.ends if end > self.done]
        self.failures, self.retry_at = 0, 0.0
        if not self.waiting:
            self.ends.clear()
            self.filled.clear()

    def cut(self, entries: list[Entry]) -> None:
        """Try the first half alone, then the second."""
        half = entries[(len(entries) - 1) // 2].sequence
        self.keep(entries)
        self.ends.insert(0, half)

    def keep(self, entries: list[Entry]) -> None:
        """Try the same records again."""
        last = entries[-1].sequence
        if not self.ends or self.ends[0] != last:
            self.ends.insert(0, last)

    def state(self) -> list[Any]:
        return [self.done, self.ends, self.failures, self.retry_at]


def entry_of(record: Any) -> Entry:
    size = len(json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode())
    return Entry(int(record["dynamodb"]["SequenceNumber"]), record, size, record["dynamodb"]["ApproximateCreationDateTime"])


def reported(response: bytes, entries: list[Entry]) -> int | None:
    """How many of the first records a response with ``batchItemFailures`` leaves as done: those before the lowest that it reports. None for what
    Lambda takes as a failure of the whole batch: no JSON object, an item without an identifier, or one that is not of this batch."""
    try:
        value = json.loads(response)
    except ValueError:
        return None
    items = (value or {}).get("batchItemFailures") if isinstance(value, dict | None) else 0
    if items is None:
        return len(entries)
    if not isinstance(items, list):
        return None
    places = {entry.number: place for place, entry in enumerate(entries)}
    named = [item.get("itemIdentifier") if isinstance(item, dict) else None for item in items]
    found = [places.get(name) if isinstance(name, str) else None for name in named]
    known = [place for place in found if place is not None]
    return min(known, default=len(entries)) if len(known) == len(found) else None
