"""Provisioned throughput: what a table and its global indexes may use in a second, with five minutes of what was not used kept for bursts."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from eventflow.clock import Clock
from eventflow.errors import ServiceError
from eventflow.services.tables.capacity import Consumed
from eventflow.services.tables.definition import GLOBAL

BURST_SECONDS = 300
EXCEEDED = "ProvisionedThroughputExceededException"
TABLE_EXCEEDED = (
    "The level of configured provisioned throughput for the table was exceeded. Consider increasing your provisioning level with the UpdateTable API."
)
INDEX_EXCEEDED = (
    "The level of configured provisioned throughput for one or more global secondary indexes of the table was exceeded. "
    "Consider increasing your provisioning level for the under-provisioned global secondary indexes with the UpdateTable API"
)

#: A bucket's name: the table's identifier, the global index (None: the table itself), and "Read" or "Write".
Name = tuple[int, str | None, str]


@dataclass(slots=True)
class _Bucket:
    """So many units were left at an instant of the monotonic clock."""

    level: float
    at: float


class Throughput:
    """The buckets of all tables with provisioned throughput. They begin full, and are in memory: a restart fills them.

    What an operation uses is known when it is done. It is admitted while anything is left and may leave less than nothing, which those after it
    wait for; over any longer time no more than what is provisioned is used. Methods may be called from any thread.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._buckets: dict[Name, _Bucket] = {}
        self._lock = threading.Lock()

    def of(self, table_id: int, definition: Mapping[str, Any]) -> TableThroughput | None:
        if definition["BillingMode"] != "PROVISIONED":
            return None
        holders = {None: definition, **{index["IndexName"]: index for index in definition.get(GLOBAL, ())}}
        rates = {(table_id, name, kind): rate for name, holder in holders.items() for kind, rate in _rates(holder["ProvisionedThroughput"])}
        return TableThroughput(self, rates, table_id)

    def forget(self, table_id: int) -> None:
        with self._lock:
            for name in [name for name in self._buckets if name[0] == table_id]:
                del self._buckets[name]

    def left(self, name: Name, rate: int) -> float:
        with self._lock:
            return self._filled(name, rate).level

    def use(self, name: Name, rate: int, units: float) -> None:
        with self._lock:
            self._filled(name, rate).level -= units

    def _filled(self, name: Name, rate: int) -> _Bucket:
        now, most = self._clock.monotonic(), float(rate * BURST_SECONDS)
        bucket = self._buckets.get(name)
        if bucket is None:
            bucket = self._buckets[name] = _Bucket(most, now)
        bucket.level = min(most, bucket.level + (now - bucket.at) * rate)
        bucket.at = now
        return bucket


def _rates(throughput: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    for kind in ("Read", "Write"):
        yield kind, throughput[f"{kind}CapacityUnits"]


class TableThroughput:
    """The meter of one table, see ``Meter``."""

    def __init__(self, throughput: Throughput, rates: Mapping[Name, int], table_id: int) -> None:
        self._throughput = throughput
        self._rates = rates
        self._id = table_id

    def admit_read(self, index: str | None) -> None:
        name = (self._id, index, "Read")
        if self._throughput.left(name, self._rates[name]) <= 0:
            raise ServiceError(EXCEEDED, INDEX_EXCEEDED if index else TABLE_EXCEEDED)

    def admit_write(self) -> None:
        """A write needs the table and all its global indexes, whatever it turns out to change in them."""
        for name, rate in self._rates.items():
            if name[2] == "Write" and self._throughput.left(name, rate) <= 0:
                raise ServiceError(EXCEEDED, INDEX_EXCEEDED if name[1] else TABLE_EXCEEDED)

    def charge_read(self, consumed: Consumed) -> None:
        self._charge(consumed, "Read")

    def charge_write(self, consumed: Consumed) -> None:
        self._charge(consumed, "Write")

    def _charge(self, consumed: Consumed, kind: str) -> None:
        """Local indexes use the table's throughput."""
        own = consumed.table
        for (scope, index), units in consumed.indexes.items():
            if scope == GLOBAL:
                self._use(index, kind, units)
            else:
                own += units
        self._use(None, kind, own)

    def _use(self, index: str | None, kind: str, units: float) -> None:
        name = (self._id, index, kind)
        self._throughput.use(name, self._rates[name], units)
