"""An event source mapping at work: receives batches from one queue, runs one function on them, deletes what succeeded."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass

from eventflow import EventflowError, Filters, Outcome, QueueSource, ServiceError, Status, StorageError, Target, Throttled
from triggers.batch import Batch, Message
from triggers.pace import Pace

#: SQS lets a receive wait 20 seconds.
LONGEST_POLL = 20.0
#: Lambda begins with five pollers on a queue that has messages; one is enough while it has none.
MOST_POLLERS = 5
#: Pauses between attempts to run a function that is throttled; they double within the visibility timeout.
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0
#: Seconds after which a poller without a slot asks how many there are.
LOOK_AGAIN = 5.0
#: Messages collected during a window are hidden anew when this share of their visibility timeout has passed.
RENEWAL = 1 / 3


@dataclass(frozen=True)
class Limits:
    """What a mapping may do: messages in a batch, seconds to collect them, batches at once (None: as many as the function may run), and whether
    responses report single failures."""

    batch_size: int
    window: float
    concurrency: int | None
    partial_failures: bool


class Mapping:
    """``run`` goes on until it is cancelled. One poller waits while the queue is empty; while there are messages more of them fetch, and as many
    batches run as the limits and their pace allow."""

    def __init__(self, source: QueueSource, target: Target, limits: Limits, filters: Filters) -> None:
        self._source = source
        self._target = target
        self._clock = target.clock
        self._limits = limits
        self._filters = filters
        self._pace = Pace(target.clock, self._most(), source.visibility_timeout)
        self._helpers = 0
        self._stopping = False

    async def run(self) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                while True:
                    if not await self._fetch(group, LONGEST_POLL):
                        self._pace.idle()
        except ExceptionGroup as failures:
            # Mostly one, and then the same for all: whoever reads the log wants that one.
            raise failures.exceptions[0] from None
        finally:
            self._stopping = True

    async def sweep(self) -> int:
        """Run the function on all that is visible now, one batch after the other; how many messages that were."""
        swept = 0
        while messages := await self._source.receive(self._limits.batch_size, 0):
            wanted = await self._wanted(messages)
            for part in self._batch(wanted).parts() if wanted else ():
                swept += len(part) if await self._attempt(part) is not None else 0
        return swept

    # Fetch.

    async def _fetch(self, group: asyncio.TaskGroup, wait: float) -> bool:
        """Take a slot, fill it with a batch, set it off; False if there were no messages."""
        await self._slot()
        batch: Batch | None = None
        try:
            batch = await self._collect(wait)
        finally:
            if batch is None:
                self._pace.release()
        if batch is None:
            return False
        group.create_task(self._handle(batch))
        self._grow(group)
        return True

    async def _slot(self) -> None:
        """Take a slot; while there is none, look now and then whether the function may run more of them by now."""
        while True:
            self._pace.allow(self._most())
            if await self._pace.acquire(LOOK_AGAIN):
                return

    def _most(self) -> int:
        """Batches that may run at once: by the function's concurrency, as it is now, and by the mapping's own limit."""
        concurrency = self._target.concurrency
        return concurrency if self._limits.concurrency is None else min(concurrency, self._limits.concurrency)

    def _grow(self, group: asyncio.TaskGroup) -> None:
        """There are messages and there is room: one more poller helps until it finds none."""
        if self._helpers < MOST_POLLERS - 1 and not self._pace.full:
            self._helpers += 1
            group.create_task(self._help(group))

    async def _help(self, group: asyncio.TaskGroup) -> None:
        try:
            while not self._pace.full and await self._fetch(group, 0):
                pass
        finally:
            self._helpers -= 1

    async def _collect(self, wait: float) -> Batch | None:
        messages: list[Message] = []
        while not messages:
            received = await self._source.receive(self._limits.batch_size, wait)
            if not received:
                return None
            messages = await self._wanted(received)
        if self._limits.window:
            await self._gather(messages)
        return self._batch(messages)

    async def _wanted(self, messages: Sequence[Message]) -> list[Message]:
        """Those that the filters let through; the others are deleted (Lambda developer guide, "Using event filtering with an Amazon SQS event
        source")."""
        if not self._filters:
            return list(messages)
        wanted: list[Message] = []
        others: list[Message] = []
        for message, record in zip(messages, self._batch(messages).event()["Records"], strict=True):
            (wanted if self._filters.matches(record) else others).append(message)
        if others:
            await self._delete(others)
        return wanted

    async def _gather(self, messages: list[Message]) -> None:
        """Add to the first messages of a batch until it is full or the window, which began with them, is over. What is collected stays hidden
        meanwhile, and the function gets it with its whole visibility timeout before it."""
        hidden_at = self._clock.monotonic()
        end = hidden_at + self._limits.window
        try:
            while len(messages) < self._limits.batch_size and (left := end - self._clock.monotonic()) > 0:
                patience = min(left, LONGEST_POLL, max(1.0, self._source.visibility_timeout * RENEWAL))
                messages += await self._wanted(await self._source.receive(self._limits.batch_size - len(messages), patience))
                if self._clock.monotonic() - hidden_at >= self._source.visibility_timeout * RENEWAL:
                    await self._hide(messages, self._source.visibility_timeout)
                    hidden_at = self._clock.monotonic()
        except asyncio.CancelledError:
            await self._hide(messages, 0)
            raise
        if self._clock.monotonic() > hidden_at:
            await self._hide(messages, self._source.visibility_timeout)

    # Run, settle.

    async def _handle(self, batch: Batch) -> None:
        """Run the function on a batch that holds a slot. An event may not be larger than 6 MB: what is beyond that follows in the same slot."""
        try:
            parts = list(batch.parts())
            for number, part in enumerate(parts):
                if number:
                    await self._hide(part.messages, self._source.visibility_timeout)
                if not await self._run_in_time(part) and batch.fifo:
                    # Later messages may not overtake the failed ones.
                    await self._hide([message for later in parts[number + 1 :] for message in later.messages], 0)
                    break
        finally:
            self._pace.release()

    async def _run_in_time(self, batch: Batch) -> bool:
        """Run the function on a batch, and again after a pause while it cannot be run and the messages are hidden; True if all succeeded."""
        end = self._clock.monotonic() + self._source.visibility_timeout
        pause = FIRST_PAUSE
        while True:
            done = await self._undisturbed(batch)
            if done is not None or self._clock.monotonic() + pause >= end:
                return bool(done)
            try:
                await self._clock.sleep(pause)
            except asyncio.CancelledError:
                await self._hide(batch.messages, 0)
                raise
            pause = min(2 * pause, LONGEST_PAUSE)

    async def _undisturbed(self, batch: Batch) -> bool | None:
        """``_attempt``, which goes on when the trigger is stopped: the function is running then, and what it has done must be deleted."""
        attempt = asyncio.ensure_future(self._attempt(batch))
        try:
            return await asyncio.shield(attempt)
        except asyncio.CancelledError:
            self._stopping = True
            attempt.add_done_callback(self._left_over)
            raise

    async def _attempt(self, batch: Batch) -> bool | None:
        """Run the function on a batch once; whether all of it succeeded, None if the function could not be run."""
        asked = self._clock.now()
        try:
            outcome = await self._target.invoke(batch.event(), trace=batch.trace())
        except (Throttled, StorageError):
            outcome = None
            self._pace.waited(math.inf)
        except EventflowError as error:
            # A stopped loop, say. The messages come back when their visibility ends; the queue's redrive policy bounds how often.
            self._target.report(f"A batch of {self._source.arn} was not run: {error}")
            return False
        if outcome is not None and outcome.status is not Status.SYSTEM_ERROR:
            self._pace.waited(outcome.started_at - asked)
            return await self._settle(batch, outcome)
        if self._stopping:
            await self._hide(batch.messages, 0)
        return None

    async def _settle(self, batch: Batch, outcome: Outcome) -> bool:
        """Delete what succeeded. What failed stays hidden until its visibility ends, as Lambda leaves it."""
        if not outcome.ok:
            if not self._limits.partial_failures:  # with them, Lambda polls on as it did
                self._pace.failed()
            return False
        good = batch.succeeded(outcome.payload) if self._limits.partial_failures else batch
        if len(good):
            await self._delete(good.messages)
        return len(good) == len(batch)

    async def _delete(self, messages: Sequence[Message]) -> None:
        try:
            await self._source.delete([message["ReceiptHandle"] for message in messages])
        except ServiceError as error:
            self._target.report(f"Messages of {self._source.arn} were handled and could not be deleted; they will come again: {error}")

    async def _hide(self, messages: Sequence[Message], seconds: int) -> None:
        """Hide messages for so many seconds from now; 0 returns them. One that is gone by now only needs no hiding."""
        if not messages:
            return
        try:
            await self._source.change_visibility([message["ReceiptHandle"] for message in messages], seconds)
        except ServiceError as error:
            self._target.report(f"The visibility of messages of {self._source.arn} could not be changed: {error}")

    def _left_over(self, attempt: asyncio.Future[bool | None]) -> None:
        """The last batches of a trigger that was stopped: nobody waits for them any more."""
        if not attempt.cancelled() and (error := attempt.exception()) is not None:
            self._target.report(f"A batch of {self._source.arn} that ran while its trigger stopped may come again: {error}")

    def _batch(self, messages: Sequence[Message]) -> Batch:
        return Batch(messages, self._source.arn, self._source.region, self._source.fifo)
