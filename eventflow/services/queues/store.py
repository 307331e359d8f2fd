"""Queues with the semantics of Amazon SQS, standard and FIFO, on the one database: what was accepted is on disk."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar
from weakref import WeakValueDictionary

from eventflow import faultpoint
from eventflow.clock import Clock
from eventflow.database import Database
from eventflow.errors import ServiceError, SettingError, StorageError
from eventflow.services.queues import attempts as queue_attempts
from eventflow.services.queues import declaration as queue_declaration
from eventflow.services.queues import messages as queue_messages
from eventflow.services.queues import pages as queue_pages
from eventflow.services.queues import receives as queue_receives
from eventflow.services.queues import records as queue_records
from eventflow.services.queues import sends as queue_sends
from eventflow.services.queues import tags as queue_tags
from eventflow.services.queues.attributes import LONGEST_VISIBILITY, LONGEST_WAIT, READABLE, checked_for_creation, is_fifo
from eventflow.services.queues.errors import between, no_such_queue, over_limit, unknown_attribute
from eventflow.services.queues.in_flight import InFlight
from eventflow.services.queues.move_tasks import MoveTasks
from eventflow.services.queues.receives import Received
from eventflow.services.queues.records import Queue, queue_arn
from eventflow.services.queues.redrive import QUEUE_ARN, RedrivePolicy
from eventflow.services.queues.sends import Outgoing, Sent
from eventflow.services.queues.source import EmbeddedQueue

T = TypeVar("T")

MOST_RECEIVED = 10
MOST_LISTED = 1000
#: What is counted: visible, in flight, delayed.
COUNTED = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible", "ApproximateNumberOfMessagesDelayed")
#: A queue may be purged once a minute (milliseconds).
PURGE_PAUSE = 60_000
#: Expired messages that one look clears away; it is taken again while there are more.
SWEEP = 1000
#: A long poll of a queue with all it may have in flight looks again so often (seconds): deletions ring no bell.
FULL_PAUSE = 1.0
#: Messages deleted by a purge in one transaction: few enough that other changes hardly wait.
PURGE_STEP = 5000


@dataclass(frozen=True, slots=True)
class Look:
    """What one look at a queue found. ``change`` is when a message becomes visible by itself, ``moved`` says that some went to the dead-letter
    queue, ``pending`` that the queue is to be looked at again at once,
    ``full`` that it has as many messages in flight as it may."""

    queue: Queue
    received: list[Received]
    change: int | None = None
    moved: bool = False
    pending: bool = False
    full: bool = False


@dataclass(frozen=True, slots=True)
class Wish:
    """What a receive asks for; ``visibility`` in seconds, the queue's own when None."""

    region: str
    name: str
    limit: int
    visibility: int | None
    attempt_id: str | None


class Queues:
    """The queues of one account. Every method that changes something returns once that is on disk.

    Standard queues keep the order of arrival as far as visibility allows; a message is received at least once. An old receipt handle, used after the
    message was received again, deletes nothing and says nothing, as on SQS. ``moves`` are the message move tasks.
    """

    def __init__(self, database: Database, clock: Clock, account: str, in_flight: InFlight | None = None) -> None:
        self.account = account
        self._database = database
        self._clock = clock
        self._in_flight = in_flight or InFlight()
        #: Held by those who wait; gone with the last of them.
        self._bells: WeakValueDictionary[tuple[str, str], asyncio.Event] = WeakValueDictionary()
        self.moves = MoveTasks(database, clock, account, self.wake)

    async def open(self) -> None:
        await self._database.migrate("queues", "eventflow.services")
        await self.moves.resume()

    def close(self) -> None:
        self.moves.close()

    # Queues.

    def arn(self, region: str, name: str) -> str:
        return queue_arn(region, self.account, name)

    async def create(self, region: str, name: str, attributes: Mapping[str, str], tags: Mapping[str, str] | None = None) -> None:
        """Make a queue; one that is there already stays as it is if the given attributes are its own, else QueueNameExists."""
        kept = checked_for_creation(name, attributes)
        queue_tags.check(tags or {})
        await self._database.write(lambda connection: queue_declaration.create(connection, self.account, region, name, kept, tags or {}, self._now()))

    async def ensure(self, region: str, name: str, **options: Any) -> None:
        """Declare a queue: it is made if it is not there, and has the given attributes afterwards; those not given stay as they are.

        Options are attributes by their AWS names (``VisibilityTimeout=60``), ``Attributes`` with a mapping of them, and ``dead_letter_queue`` with
        ``max_receive_count``: the name of a queue of the same region, which is made too if it is not there. A ``.fifo`` name makes a FIFO queue.
        """
        given, dead_letter, receives = queue_declaration.declared(name, options)
        if dead_letter is not None:
            given["RedrivePolicy"] = RedrivePolicy(dead_letter, self.arn(region, dead_letter), receives).text()

        def change(connection: sqlite3.Connection) -> None:
            if dead_letter is not None:
                queue_declaration.declare(connection, self.account, region, dead_letter, {}, self._now())
            queue_declaration.declare(connection, self.account, region, name, given, self._now())

        try:
            await self._database.write(change)
        except ServiceError as error:
            raise SettingError(f"Queue {name!r}: {error.message}") from error
        self.wake(region, name)

    async def find(self, region: str, name: str) -> Queue:
        return await self._database.read(lambda connection: queue_records.find(connection, region, name))

    async def names(self, region: str, prefix: str = "", limit: int | None = None, token: str | None = None) -> tuple[list[str], str | None]:
        """Names in order, at most 1,000, and the token of the next page: only where ``limit`` was given, as on SQS."""
        return await self._page(lambda connection, after, most: queue_records.names(connection, region, prefix, after, most), limit, token)

    async def dead_letter_sources(self, region: str, name: str, limit: int | None = None, token: str | None = None) -> tuple[list[str], str | None]:
        """The queues whose redrive policy names this one."""

        def query(connection: sqlite3.Connection, after: str, most: int) -> list[str]:
            queue_records.find(connection, region, name)
            return queue_records.sources(connection, region, name, after, most)

        return await self._page(query, limit, token)

    async def attributes(self, region: str, name: str, wanted: Iterable[str]) -> dict[str, str]:
        names = set(wanted)
        for attribute in names.difference(READABLE):
            raise unknown_attribute(attribute)
        told = await self._database.read(partial(self._told, region, name, "All" in names or not names.isdisjoint(COUNTED))) if names else {}
        return {attribute: value for attribute, value in told.items() if attribute in names or "All" in names}

    async def set_attributes(self, region: str, name: str, attributes: Mapping[str, str]) -> None:
        def change(connection: sqlite3.Connection) -> None:
            queue_declaration.change(connection, self.account, queue_records.find(connection, region, name), attributes, self._now())

        await self._database.write(change)
        self.wake(region, name)

    async def purge(self, region: str, name: str) -> None:
        """Delete all messages, those in flight too; once a minute."""

        def begin(connection: sqlite3.Connection) -> tuple[Queue, int]:
            queue, now = queue_records.find(connection, region, name), self._now()
            if queue.purged_at is not None and now - queue.purged_at < PURGE_PAUSE:
                raise ServiceError(
                    "PurgeQueueInProgress", f"Only one PurgeQueue operation on {name} is allowed every {PURGE_PAUSE // 1000} seconds.", 403
                )
            queue_records.mark_purged(connection, queue, now)
            return queue, queue_messages.newest(connection)

        await self._purge(*await self._database.write(begin))

    async def delete(self, region: str, name: str) -> None:
        """Delete a queue with its messages. A CreateQueue of its name is refused for a minute, as on SQS."""

        def begin(connection: sqlite3.Connection) -> tuple[Queue, int]:
            return queue_records.find(connection, region, name), queue_messages.newest(connection)

        queue, newest = await self._database.write(begin)
        await self._purge(queue, newest)
        await self._database.write(lambda connection: queue_records.delete(connection, queue, self._now()))
        self.wake(region, name)

    async def tags(self, region: str, name: str) -> dict[str, str]:
        return await self._database.read(lambda connection: queue_tags.of(connection, queue_records.find(connection, region, name)))

    async def tag(self, region: str, name: str, tags: Mapping[str, str]) -> None:
        await self._database.write(lambda connection: queue_tags.add(connection, queue_records.find(connection, region, name), tags))

    async def untag(self, region: str, name: str, keys: Iterable[str]) -> None:
        await self._database.write(lambda connection: queue_tags.remove(connection, queue_records.find(connection, region, name), keys))

    # Messages.

    async def send(self, region: str, name: str, messages: Sequence[Outgoing]) -> list[Sent | ServiceError]:
        """Accept messages; each is accepted or refused by itself, in order."""

        def change(connection: sqlite3.Connection) -> list[Sent | ServiceError]:
            queue, now = queue_records.find(connection, region, name), self._now()
            for message in messages if queue.fifo else ():  # without its place in the order a FIFO message refuses its whole batch
                queue_sends.check_fifo(queue, message)
            return [attempt(partial(queue_sends.send, connection, queue, message, self._clock.new_id(), now)) for message in messages]

        outcomes = await self._database.write(change)
        faultpoint.reach("message.sent")
        self.wake(region, name)
        return outcomes

    def send_in(
        self,
        connection: sqlite3.Connection,
        region: str,
        name_or_arn: str,
        body: str,
        attributes: Mapping[str, str | Mapping[str, Any]] | None = None,
        now: float | None = None,
        *,
        trace: str | None = None,
        group: str | None = None,
        deduplication_id: str | None = None,
    ) -> Sent:
        """Send inside somebody else's ``database.write``; call ``wake`` after that commit. Attributes are texts, or MessageAttributeValue mappings.

        Raises ServiceError where SendMessage would be refused (no such queue, too large, ...); nothing was written then, so the caller may go on.
        """
        match = QUEUE_ARN.fullmatch(name_or_arn)
        if match is not None and match["account"] != self.account:
            raise no_such_queue()
        queue = queue_records.find(connection, match["region"] if match else region, match["name"] if match else name_or_arn)
        valued = {key: {"DataType": "String", "StringValue": value} if isinstance(value, str) else value for key, value in (attributes or {}).items()}
        message = Outgoing(body, valued, trace, None, group, deduplication_id, self.account)
        return queue_sends.send(connection, queue, message, self._clock.new_id(), self._now() if now is None else milliseconds(now))

    def wake(self, region: str, name_or_arn: str) -> None:
        """Let those who wait for messages of this queue look again."""
        match = QUEUE_ARN.fullmatch(name_or_arn)
        bell = self._bells.pop((match["region"], match["name"]) if match else (region, name_or_arn), None)
        if bell is not None:
            bell.set()

    async def receive(
        self, region: str, name: str, *, limit: int = 1, wait: int | None = None, visibility: int | None = None, attempt_id: str | None = None
    ) -> list[Received]:
        """Up to ten messages. Waits up to ``wait`` seconds (the queue's own time when None) for the first of them. A receive of a FIFO queue under an
        ``attempt_id`` gives the same again when it is repeated with it."""
        between("MaxNumberOfMessages", limit, 1, MOST_RECEIVED, f"Must be between 1 and {MOST_RECEIVED}, if provided.")
        between("WaitTimeSeconds", wait, 0, LONGEST_WAIT, f"Must be >= 0 and <= {LONGEST_WAIT}, if provided.")
        between("VisibilityTimeout", visibility, 0, LONGEST_VISIBILITY, f"Must be between 0 and {LONGEST_VISIBILITY}, if provided.")
        return (await self.poll(region, name, limit, wait, visibility, attempt_id)).received

    async def poll(
        self, region: str, name: str, limit: int, wait: float | None, visibility: int | None = None, attempt_id: str | None = None
    ) -> Look:
        """``receive`` without its limits, for the daemon itself. Sleeps until a send or until a message becomes visible by itself."""
        began = self._clock.monotonic()
        while True:
            bell = self._bells.setdefault((region, name), asyncio.Event())  # before the look, or a send in between would be missed
            look = await self._look(region, partial(self._take, Wish(region, name, limit, visibility, attempt_id)))
            if look.pending:
                continue
            patience = look.queue.number("ReceiveMessageWaitTimeSeconds") if wait is None else wait
            left = began + patience - self._clock.monotonic()
            if look.full and not patience:  # who waits gets no error, as on SQS, and goes on waiting
                raise over_limit(name)
            if look.received or left <= 0:
                return look
            if look.full:
                left = min(left, FULL_PAUSE)
            await self._clock.wait(bell, left if look.change is None else min(left, look.change / 1000 - self._clock.now()))

    async def delete_messages(self, region: str, name: str, handles: Sequence[str]) -> list[ServiceError | None]:
        """Delete the messages of these handles; each by itself."""

        def step(connection: sqlite3.Connection, queue: Queue, now: int, *, handle: str) -> None:
            queue_messages.delete(connection, queue, handle, now)

        outcomes = await self._each(region, name, [partial(step, handle=handle) for handle in handles])
        faultpoint.reach("message.deleted")
        if is_fifo(name):  # a group may have opened
            self.wake(region, name)
        return outcomes

    async def change_visibility(self, region: str, name: str, changes: Sequence[tuple[str, int]]) -> list[ServiceError | None]:
        """Hide messages for so many seconds from now (0: visible at once); each handle by itself."""

        def step(connection: sqlite3.Connection, queue: Queue, now: int, *, handle: str, seconds: int) -> None:
            queue_messages.change_visibility(connection, queue, handle, seconds, now)

        outcomes = await self._each(region, name, [partial(step, handle=handle, seconds=seconds) for handle, seconds in changes])
        self.wake(region, name)
        return outcomes

    async def source(self, region: str, name: str) -> EmbeddedQueue:
        """The queue as its trigger sees it."""
        queue = await self.find(region, name)
        return EmbeddedQueue(self, region, name, self.arn(region, name), queue.number("VisibilityTimeout"), queue.fifo)

    # The steps.

    def _now(self) -> int:
        return milliseconds(self._clock.now())

    def _told(self, region: str, name: str, counted: bool, connection: sqlite3.Connection) -> dict[str, str]:
        """All attributes; the messages are counted, which takes the longer the more there are, only if that is asked for."""
        queue = queue_records.find(connection, region, name)
        counts = queue_messages.counts(connection, queue, self._now()) if counted else ()
        return {
            "QueueArn": self.arn(region, name),
            **{attribute: str(count) for attribute, count in zip(COUNTED, counts, strict=counted)},
            "CreatedTimestamp": str(queue.created_at // 1000),
            "LastModifiedTimestamp": str(queue.modified_at // 1000),
            **queue.attributes(),
        }

    async def _page(
        self, query: Callable[[sqlite3.Connection, str, int], list[str]], limit: int | None, token: str | None
    ) -> tuple[list[str], str | None]:
        between("MaxResults", limit, 1, MOST_LISTED, f"MaxResults must be an integer between 1 and {MOST_LISTED}.")
        after = queue_pages.start(token)
        found = await self._database.read(lambda connection: query(connection, after, (limit or MOST_LISTED) + 1))
        if limit is None or len(found) <= limit:
            return found[:MOST_LISTED], None
        return found[:limit], queue_pages.token_after(found[limit - 1])

    async def _purge(self, queue: Queue, newest: int) -> None:
        while await self._database.write(lambda connection: queue_messages.purge(connection, queue, newest, PURGE_STEP, self._now())) == PURGE_STEP:
            pass

    async def _look(self, region: str, take: Callable[[sqlite3.Connection], Look]) -> Look:
        looking = asyncio.ensure_future(self._database.write(take))
        try:
            look = await asyncio.shield(looking)
        except asyncio.CancelledError:
            await self._abandon(looking)
            raise
        if look.moved and look.queue.redrive is not None:
            self.wake(region, look.queue.redrive.dead_letter)
        if look.received:
            faultpoint.reach("message.hidden")
        return look

    async def _abandon(self, looking: asyncio.Future[Look]) -> None:
        """Who waited for these messages is gone: give them back as if they had never been received."""
        # With the database closing they stay hidden until their visibility ends, which is what a lost receive means anyway.
        with suppress(StorageError, ServiceError):
            look = await looking
            if look.received:
                await self._database.write(lambda connection: queue_receives.give_back(connection, look.queue, look.received, self._now()))
                self.wake(look.queue.region, look.queue.name)

    def _take(self, wish: Wish, connection: sqlite3.Connection) -> Look:
        queue, now = queue_records.find(connection, wish.region, wish.name), self._now()
        seconds = queue.number("VisibilityTimeout") if wish.visibility is None else wish.visibility
        if wish.attempt_id is not None:
            queue_attempts.check(queue.fifo, wish.attempt_id)
            if receipts := queue_attempts.earlier(connection, queue, wish.attempt_id, now):
                queue_attempts.hidden_again(connection, queue, wish.attempt_id, now + 1000 * seconds)
                return Look(queue, queue_receives.receive_again(connection, queue, receipts, seconds, now))
        if queue_messages.expire(connection, queue, now, SWEEP) == SWEEP:
            return Look(queue, [], pending=True)
        room = self._in_flight.room(connection, queue, wish.limit, now)
        full = room == 0 and not queue.fifo  # a FIFO queue at its limit only seems empty
        taker = queue_receives.taker(
            connection, queue, seconds, self.arn(wish.region, wish.name), now, partial(self._in_flight.about, connection, queue, now)
        )
        received = taker.take(room)
        self._in_flight.took(queue, len(received))
        if wish.attempt_id is not None and received:
            receipts = [one.receipt for one in received]
            queue_attempts.remember(connection, queue, wish.attempt_id, receipts, now + 1000 * seconds, now)
        if not received and taker.pending:
            return Look(queue, [], moved=taker.moved > 0, pending=True)
        return Look(queue, received, None if received else queue_receives.next_change(connection, queue, now), taker.moved > 0, full=full)

    async def _each(self, region: str, name: str, steps: Sequence[Callable[[sqlite3.Connection, Queue, int], None]]) -> list[ServiceError | None]:
        def change(connection: sqlite3.Connection) -> list[ServiceError | None]:
            queue, now = queue_records.find(connection, region, name), self._now()
            return [attempt(partial(step, connection, queue, now)) for step in steps]

        return await self._database.write(change)


def attempt(step: Callable[[], T]) -> T | ServiceError:
    """One entry of a batch: its refusal is its own, its neighbours' work is kept. Steps check before they write."""
    try:
        return step()
    except ServiceError as error:
        return error


def milliseconds(instant: float) -> int:
    return round(instant * 1000)
