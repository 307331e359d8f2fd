"""Capacity units: what an operation would have used of a table's and its indexes' throughput, by AWS's rules."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from eventflow.services.tables.definition import SCOPES, Index

READ_UNIT = 4096
WRITE_UNIT = 1024


def read_units(size: int, consistent: bool) -> float:
    """A read of nothing costs as much as the smallest."""
    return max(1, -(-size // READ_UNIT)) * (1.0 if consistent else 0.5)


def write_units(size: int) -> float:
    return float(max(1, -(-size // WRITE_UNIT)))


@dataclass(slots=True)
class Consumed:
    """The units of one table; an index that cost nothing is not in ``indexes``, which is by scope and name."""

    table: float = 0.0
    indexes: dict[tuple[str, str], float] = field(default_factory=dict)

    def charge(self, index: Index, units: float) -> None:
        if units:
            place = (index.scope, index.name)
            self.indexes[place] = self.indexes.get(place, 0.0) + units

    def add(self, other: Consumed) -> None:
        self.table += other.table
        for place, units in other.indexes.items():
            self.indexes[place] = self.indexes.get(place, 0.0) + units

    def report(self, mode: str | None, table: str) -> dict[str, Any] | None:
        """AWS's ConsumedCapacity for this ReturnConsumedCapacity."""
        if mode not in ("TOTAL", "INDEXES"):
            return None
        found: dict[str, Any] = {"TableName": table, "CapacityUnits": self.table + sum(self.indexes.values())}
        if mode == "INDEXES":
            found["Table"] = {"CapacityUnits": self.table}
            for scope in SCOPES:
                arms = {name: {"CapacityUnits": units} for (place, name), units in self.indexes.items() if place == scope}
                if arms:
                    found[scope] = arms
        return found


def reports(mode: str | None, tables: Iterable[tuple[str, Consumed]]) -> dict[str, Any]:
    """The member ConsumedCapacity of a batch's response, or no member."""
    found = [report for name, consumed in tables if (report := consumed.report(mode, name)) is not None]
    return {"ConsumedCapacity": found} if found else {}
