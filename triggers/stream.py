"""The Stream trigger: batches of changes of a table's items, as an event source mapping of Lambda delivers them."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from eventflow import Filters, Resource, SettingError, Target, Trigger
from triggers.discarded import BUCKET, FUNCTION
from triggers.progress import Limits
from triggers.shard import Shard

TABLE = re.compile(r"[A-Za-z0-9_.-]{3,255}")
QUEUE = re.compile(r"(?=.{1,80}\Z)[A-Za-z0-9_-]+")
POSITIONS = ("TRIM_HORIZON", "LATEST")
LARGEST_BATCH = 10_000
LONGEST_WINDOW = 300
LONGEST_TUMBLING = 900
MOST_LANES = 10
MOST_RETRIES = 10_000
#: The ages, in seconds, that a record may be given; -1 is as long as the stream keeps it.
AGES = (60, 604_800)


@dataclass(frozen=True)
class Stream(Trigger):
    """Invokes the function with batches of up to ``batch_size`` changes of the items of ``table``, in the order in which they were made.

    The table is one of this application; it gets a stream with new and old images if it has none. ``starting_position`` is where the first run
    begins: at the oldest change that is kept (``TRIM_HORIZON``), or at those from now on (``LATEST``). ``window`` is how many seconds a batch may be
    collected for; ``parallelization_factor`` how many batches run at once, with all changes of one key in one line. ``filters`` are patterns, of
    which a record must match one.

    A batch that fails comes again, and the changes behind it wait, until it succeeds, has been retried ``maximum_retry_attempts`` times, or its
    records are older than ``maximum_record_age`` seconds (-1: without end, up to the day that the stream keeps them). It is then given up, and
    ``on_failure`` is told where it lies in the stream: a queue or its name, a function's handler or ``function:`` and its name; ``bucket:`` and the
    name of a bucket, which gets the records too, is for mappings made by Lambda's API, as ``stream`` is. With
    ``bisect_on_error`` a failed batch is halved first; with ``partial_failures`` the function answers
    ``{"batchItemFailures": [{"itemIdentifier": SequenceNumber}]}``, and the batch comes again from the lowest of them on.

    With ``tumbling_window`` seconds, each stretch of so many seconds has a state, which is in the event (``state``, beside ``window`` and what else
    Lambda has there) and in the answer (``{"state": ...}``, or the batch has failed). When it is over the function gets it once more, without
    records and with ``isFinalInvokeForWindow``; a state over 1 MB ends it early. State and place are kept together, and outlive a restart.

    With ``stream``, the ARN of one of the table's streams, that one alone is read, and none that is enabled after it.

    Numbers and rules are those of Lambda's event source mappings for DynamoDB.
    """

    kind: ClassVar[str] = "stream"

    table: str
    batch_size: int = 100
    window: int = 0
    starting_position: str = "TRIM_HORIZON"
    parallelization_factor: int = 1
    bisect_on_error: bool = False
    maximum_retry_attempts: int = -1
    maximum_record_age: int = -1
    on_failure: str | Callable[..., Any] | None = None
    partial_failures: bool = False
    tumbling_window: int = 0
    filters: Sequence[str | Mapping[str, Any]] = ()
    stream: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "table", str(self.table))
        if not TABLE.fullmatch(self.table):
            raise SettingError(f"Stream: table={self.table!r} is refused: it takes a table's name, 3 to 255 of A-Z, a-z, 0-9, '_', '-' and '.'.")
        check_number("batch_size", self.batch_size, 1, LARGEST_BATCH, "records")
        check_number("window", self.window, 0, LONGEST_WINDOW, "seconds")
        check_number("tumbling_window", self.tumbling_window, 0, LONGEST_TUMBLING, "seconds")
        if self.tumbling_window and self.parallelization_factor != 1:
            raise SettingError(
                f"Stream: parallelization_factor={self.parallelization_factor!r} is refused beside tumbling_window: a window has one state, so that "
                "its batches come one after the other."
            )
        check_number("parallelization_factor", self.parallelization_factor, 1, MOST_LANES, "batches at once")
        if self.maximum_retry_attempts != -1:
            check_number("maximum_retry_attempts", self.maximum_retry_attempts, 0, MOST_RETRIES, "attempts, or -1 for no end")
        if self.maximum_record_age != -1:
            check_number("maximum_record_age", self.maximum_record_age, *AGES, "seconds, or -1 for no end")
        if self.starting_position not in POSITIONS:
            raise SettingError(f"Stream: starting_position={self.starting_position!r} is refused: it takes {' or '.join(POSITIONS)}.")
        for setting in ("bisect_on_error", "partial_failures"):
            if not isinstance(getattr(self, setting), bool):
                raise SettingError(f"Stream: {setting}={getattr(self, setting)!r} is refused: it takes True or False.")
        if self.stream is not None and not (isinstance(self.stream, str) and f":table/{self.table}/stream/" in self.stream):
            raise SettingError(f"Stream: stream={self.stream!r} is refused: it takes the ARN of a stream of the table {self.table}.")
        self._check_destination()
        try:
            Filters(self.filters)
        except SettingError as error:
            raise SettingError(f"Stream: {str(error).rstrip('.')}.") from error
        object.__setattr__(self, "filters", tuple(self.filters))

    def _check_destination(self) -> None:
        if self.on_failure is None or inspect.isroutine(self.on_failure):  # the application has the name of a handler put here
            return
        object.__setattr__(self, "on_failure", str(self.on_failure))
        if self.stream is not None and str(self.on_failure).startswith(BUCKET):
            return
        name = str(self.on_failure).removeprefix(FUNCTION)
        if not QUEUE.fullmatch(name):
            raise SettingError(
                f"Stream: on_failure={self.on_failure!r} is refused: it takes a standard queue (1 to 80 of A-Z, a-z, 0-9, '_' and '-') or a function "
                "of this application, the function by its handler or as 'function:NAME'."
            )

    def parameters(self) -> dict[str, Any]:
        return {**super().parameters(), "filters": list(self.filters)}

    def identity(self) -> dict[str, Any]:
        """A function has one place in a table's stream, however it is read on."""
        return {"table": self.table} if self.stream is None else {"table": self.table, "stream": self.stream}

    def resources(self) -> Iterable[Resource]:
        yield Resource("stream", self.table)
        if isinstance(self.on_failure, str):
            kind, _, name = self.on_failure.rpartition(":")
            yield Resource(kind or "queue", name)

    async def run(self, target: Target) -> None:
        shard = await self._shard(target)
        target.ready()
        await shard.run()

    async def sweep(self, target: Target) -> int:
        return await (await self._shard(target)).sweep()

    async def _shard(self, target: Target) -> Shard:
        limits = Limits(
            self.batch_size,
            float(self.window),
            max(1, min(self.parallelization_factor, target.concurrency)),
            self.bisect_on_error,
            self.maximum_retry_attempts,
            self.maximum_record_age,
            self.partial_failures,
            None if self.on_failure is None else str(self.on_failure),
            self.tumbling_window,
        )
        return await Shard.open(self.table, target, limits, Filters(self.filters), self.starting_position == "LATEST", self.stream)


def check_number(setting: str, value: object, least: int, most: int, unit: str) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise SettingError(f"Stream: {setting}={value!r} is refused: it takes {least} to {most} {unit}.")
