"""One function's events in memory: those that may run now, in order, and those that are running; the rest stay in the journal."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from eventflow.dispatch.journal import Event
from eventflow.function import Function

#: A lane holds no more than this; what is beyond stays on disk until there is room.
MOST_EVENTS = 16_384
MOST_BYTES = 32 * 1024 * 1024
REFILL_BELOW = 4096
REFILL_BYTES = MOST_BYTES // 2
#: So many are claimed at once: in large pieces, as a backlog runs fastest, and in small ones while others emit, who wait for the writer meanwhile.
CLAIM_LIMIT = 512
SHARED_CLAIM_LIMIT = 64
#: Who emitted so many seconds ago is thought to be emitting still.
SHARING_SECONDS = 1.0


@dataclass(eq=False)
class Lane:
    """``loaded`` is the greatest sequence ever taken in; while ``spilled``, later events are on disk only and are claimed when there is room;
    ``refused`` says that one came that was not taken in; ``asked`` has the function as it is for events that came by an alias, by the alias."""

    function: Function
    ready: deque[Event] = field(default_factory=deque)
    running: dict[str, Event] = field(default_factory=dict)
    loaded: int = 0
    bytes: int = 0
    spilled: bool = False
    refused: bool = False
    refilling: bool = False
    asked: dict[str, Function] = field(default_factory=dict)

    def change(self, function: Function) -> None:
        self.function = function
        self.asked.clear()

    def offer(self, event: Event) -> bool:
        """Take in an event that was just accepted, unless the lane is full or has fallen behind the journal."""
        if self.spilled or self.full:
            self.spilled = self.refused = True
            return False
        self.push(event)
        return True

    def push(self, event: Event) -> None:
        self.ready.append(event)
        self.bytes += len(event.payload)
        self.loaded = max(self.loaded, event.sequence)

    def pop(self) -> Event:
        event = self.ready.popleft()
        self.bytes -= len(event.payload)
        return event

    def restore(self, event: Event) -> None:
        """Put back an event that was taken and never started, in front of its successors."""
        self.ready.appendleft(event)
        self.bytes += len(event.payload)

    @property
    def full(self) -> bool:
        return len(self.ready) >= MOST_EVENTS or self.bytes >= MOST_BYTES

    @property
    def hungry(self) -> bool:
        return self.spilled and not self.refilling and len(self.ready) < REFILL_BELOW and self.bytes < REFILL_BYTES
