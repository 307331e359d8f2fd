"""What statements say: trees of conditions and actions as expressions have them, and the values that they name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from eventflow.services.attributes.values import Item, Value
from eventflow.services.expressions.conditions import Condition
from eventflow.services.expressions.paths import Path
from eventflow.services.expressions.updates import Action


@dataclass(frozen=True, slots=True)
class Select:
    """``paths`` None is ``*``; ``order`` has attribute names, each with whether it is descending."""

    table: str
    index: str | None
    paths: tuple[Path, ...] | None
    where: Condition | None
    order: Sequence[tuple[str, bool]] = ()


@dataclass(frozen=True, slots=True)
class Insert:
    table: str
    item: Item


@dataclass(frozen=True, slots=True)
class Update:
    """``returning`` is a ReturnValues of UpdateItem."""

    table: str
    actions: tuple[Action, ...]
    where: Condition | None
    returning: str = "NONE"


@dataclass(frozen=True, slots=True)
class Delete:
    table: str
    where: Condition | None
    returning: str = "NONE"


@dataclass(frozen=True, slots=True)
class Exists:
    """A condition of a transaction: the one item that ``select`` names is there, and fulfils its conditions."""

    select: Select


Statement = Select | Insert | Update | Delete | Exists


@dataclass(frozen=True, slots=True)
class Parsed:
    """A statement, and what its trees name: attributes as ``#n0``, values as ``:v0``."""

    statement: Statement
    names: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, Value] = field(default_factory=dict)

    @property
    def table(self) -> str:
        return self.statement.select.table if isinstance(self.statement, Exists) else self.statement.table
