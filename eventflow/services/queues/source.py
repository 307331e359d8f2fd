"""One embedded queue as its trigger sees it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from eventflow import faultpoint
from eventflow.errors import ServiceError
from eventflow.services.queues.message_groups import MOST_IN_FLIGHT

if TYPE_CHECKING:
    from eventflow.services.queues.store import Queues

ALL = ("All",)


class EmbeddedQueue:
    """A QueueSource on ``Queues``. A receive may take more than ten messages of a standard queue, all in one transaction."""

    def __init__(self, queues: Queues, region: str, name: str, arn: str, visibility_timeout: int, fifo: bool) -> None:
        self.arn = arn
        self.region = region
        self.visibility_timeout = visibility_timeout
        self.fifo = fifo
        self._queues = queues
        self._name = name

    async def receive(self, limit: int, wait: float) -> Sequence[Mapping[str, Any]]:
        """Messages with all their attributes; ``visibility_timeout`` afterwards is the one that they were received with. A receive that is
        cancelled gives back what it had taken."""
        look = await self._queues.poll(self.region, self._name, min(limit, MOST_IN_FLIGHT) if self.fifo else limit, wait)
        self.visibility_timeout = look.queue.number("VisibilityTimeout")
        if look.received:
            faultpoint.reach("queue.received")
        return [received.message(ALL, ALL) for received in look.received]

    async def delete(self, receipt_handles: Sequence[str]) -> None:
        """Raises the first refusal, after all the others are done."""
        outcomes = await self._queues.delete_messages(self.region, self._name, receipt_handles)
        faultpoint.reach("queue.deleted")
        raise_first(outcomes)

    async def change_visibility(self, receipt_handles: Sequence[str], seconds: int) -> None:
        raise_first(await self._queues.change_visibility(self.region, self._name, [(handle, seconds) for handle in receipt_handles]))


def raise_first(outcomes: Sequence[ServiceError | None]) -> None:
    for outcome in outcomes:
        if outcome is not None:
            raise outcome
