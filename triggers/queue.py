"""The Queue trigger: batches of messages of a queue, embedded or on SQS, as an event source mapping of Lambda delivers them."""

from __future__ import annotations

import re
from collections import abc
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar
from urllib.parse import urlsplit

from eventflow import Filters, QueueSource, Resource, SettingError, Target, Trigger
from triggers.mapping import Limits, Mapping
from triggers.remote_queue import RemoteQueue, is_url

NAME = re.compile(r"(?=.{1,80}\Z)[A-Za-z0-9_-]+(\.fifo)?")
LARGEST_BATCH = 10_000
LARGEST_FIFO_BATCH = 10
#: A batch beyond this many messages takes several receives on SQS, and so needs a window to collect them in.
LARGEST_BATCH_WITHOUT_WINDOW = 10
LONGEST_WINDOW = 300
CONCURRENCY = (2, 1_000)


@dataclass(frozen=True)
class Queue(Trigger):
    """Invokes the function with batches of up to ``batch_size`` messages and deletes them when it succeeds.

    ``name`` is a queue of this application, or with ``endpoint_url`` one at that endpoint, or a queue's URL. ``window`` is how many seconds a batch
    may be collected for. After an error the batch comes again when the queue's visibility timeout ends; with ``partial_failures`` the function
    answers ``{"batchItemFailures": [{"itemIdentifier": messageId}]}`` and only those come again. ``maximum_concurrency`` bounds how many batches
    run at once below what the function itself may. ``region`` goes with a queue elsewhere, where its URL does not tell. ``filters`` are patterns, of
    which a message must match one; the others are deleted, and the function never sees them. A pattern is asked of the record as Lambda's event has
    it, its ``body`` read as JSON where that is an object or array. Numbers and rules are those of Lambda's event source mappings for SQS.
    """

    kind: ClassVar[str] = "queue"

    name: str
    batch_size: int = 10
    window: int = 0
    partial_failures: bool = False
    maximum_concurrency: int | None = None
    endpoint_url: str | None = None
    region: str | None = None
    filters: Sequence[str | abc.Mapping[str, Any]] = ()

    def __post_init__(self) -> None:
        check_name(self.name)
        check_number("batch_size", self.batch_size, 1, LARGEST_BATCH, "messages")
        check_number("window", self.window, 0, LONGEST_WINDOW, "seconds")
        if not isinstance(self.partial_failures, bool):
            raise SettingError(f"Queue: partial_failures={self.partial_failures!r} is refused: it takes True or False.")
        if self.maximum_concurrency is not None:
            check_number("maximum_concurrency", self.maximum_concurrency, *CONCURRENCY, "batches at once")
        self._check_batch()
        self._check_place()
        try:
            Filters(self.filters)
        except SettingError as error:
            raise SettingError(f"Queue: {error}") from error
        object.__setattr__(self, "filters", tuple(self.filters))

    def _check_batch(self) -> None:
        fifo = self.name.endswith(".fifo")
        if fifo and self.batch_size > LARGEST_FIFO_BATCH:
            raise SettingError(f"Queue: batch_size={self.batch_size} is refused: a batch of a FIFO queue has 1 to {LARGEST_FIFO_BATCH} messages.")
        if fifo and self.window:
            raise SettingError(f"Queue: window={self.window} is refused: batches of a FIFO queue are not collected for, leave it 0.")
        if self.batch_size > LARGEST_BATCH_WITHOUT_WINDOW and not self.window:
            raise SettingError(
                f"Queue: batch_size={self.batch_size} is refused with window=0: more than {LARGEST_BATCH_WITHOUT_WINDOW} messages "
                f"need a window of 1 to {LONGEST_WINDOW} seconds to be collected in."
            )

    def _check_place(self) -> None:
        if self.endpoint_url is not None and not (
            isinstance(self.endpoint_url, str) and is_url(self.endpoint_url) and urlsplit(self.endpoint_url).netloc
        ):
            raise SettingError(
                f"Queue: endpoint_url={self.endpoint_url!r} is refused: it takes an address such as https://sqs.eu-west-1.amazonaws.com."
            )
        if self.region is not None and not (isinstance(self.region, str) and re.fullmatch(r"[a-z0-9-]{1,40}", self.region)):
            raise SettingError(f"Queue: region={self.region!r} is refused: it takes a region's name such as eu-west-1.")
        if self.region is not None and self.embedded:
            raise SettingError(
                f"Queue: region={self.region!r} is refused: {self.name!r} is a queue of this application; regions go with a queue's URL."
            )

    def parameters(self) -> dict[str, Any]:
        return {**super().parameters(), "filters": list(self.filters)}

    @property
    def embedded(self) -> bool:
        return not is_url(self.name) and self.endpoint_url is None

    def resources(self) -> Iterable[Resource]:
        return (Resource("queue", self.name),) if self.embedded else ()

    async def run(self, target: Target) -> None:
        mapping = await self._mapping(target)
        target.ready()
        await mapping.run()

    async def sweep(self, target: Target) -> int:
        return await (await self._mapping(target)).sweep()

    async def _mapping(self, target: Target) -> Mapping:
        source = await self._source(target)
        if target.timeout > source.visibility_timeout:
            raise SettingError(
                f"Queue {self.name}, function {target.function}: Queue visibility timeout: {source.visibility_timeout} seconds is less than "
                f"Function timeout: {target.timeout:g} seconds. Raise the queue's visibility timeout (six times the function's timeout is advised)."
            )
        limits = Limits(self.batch_size, self.window, self.maximum_concurrency, self.partial_failures)
        return Mapping(source, target, limits, Filters(self.filters, "body"))

    async def _source(self, target: Target) -> QueueSource:
        if self.embedded:
            return await target.queue(self.name)
        return await RemoteQueue.connect(self.name, self.endpoint_url, self.region, target.region)


def check_name(name: object) -> None:
    """A queue's name, or the URL of one: its path ends in account and name."""
    path = urlsplit(name).path if isinstance(name, str) and is_url(name) else name
    parts = path.strip("/").split("/") if isinstance(path, str) else []
    fits = len(parts) >= 2 if isinstance(name, str) and is_url(name) else len(parts) == 1
    if not fits or not NAME.fullmatch(parts[-1]):
        raise SettingError(
            f"Queue: name={name!r} is refused: it takes a queue's name (1 to 80 of A-Z, a-z, 0-9, '_' and '-', and .fifo for a FIFO queue) "
            "or its URL (https://host/account/name)."
        )


def check_number(setting: str, value: object, least: int, most: int, unit: str) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise SettingError(f"Queue: {setting}={value!r} is refused: it takes {least} to {most} {unit}.")
