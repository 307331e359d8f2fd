"""What Query and Scan have in common: what is to be returned of the items that are read, and where a page ends."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from eventflow.errors import ServiceError
from eventflow.services.attributes.refusals import invalid, invalid_parameters
from eventflow.services.attributes.values import Item, valid_item
from eventflow.services.expressions.compiler import Compiler, Filter
from eventflow.services.expressions.placeholders import Placeholders
from eventflow.services.expressions.projections import Projection
from eventflow.services.tables.capacity import Consumed, read_units
from eventflow.services.tables.constraints import Constraints, refuse_mixed, refuse_stray_placeholders
from eventflow.services.tables.definition import Index, Table
from eventflow.services.tables.items import load
from eventflow.services.tables.keys import NOT_THE_SCHEMA, RowKey
from eventflow.services.tables.older import check_older, older_filter, older_projection, refuse_idle_operator

PAGE = 1024 * 1024
BAD_START = "The provided starting key is invalid"

#: A page of so many items is read on the event loop itself: the way to a thread and back takes longer.
SHORT = 64

#: The item's JSON and whether it has binary in it, its size where it was found (the table or an index), and its size in the table.
Row = tuple[str, int, int, int]


class Lengthy(Exception):
    """There is more to read than a short page."""


class Reading:
    """What one page of items is read with. ``filter``, ``projection`` and ``select`` are set by who knows the request's language."""

    def __init__(self, params: Mapping[str, Any], index_name: str | None, start: Item | None, placeholders: Placeholders) -> None:
        self.index_name = index_name
        self.limit: int | None = params.get("Limit")
        self.consistent = bool(params.get("ConsistentRead"))
        self.capacity: str | None = params.get("ReturnConsumedCapacity")
        self.start = start
        self.placeholders = placeholders
        self.filter: Filter | None = None
        self.projection: Projection | None = None
        self.select: str | None = None
        self.most: int | None = None  # more items than this are Lengthy
        self.texts = False  # whether items that are returned whole may be one text of JSON

    def index_of(self, table: Table) -> Index | None:
        if self.index_name is None:
            return None
        index = table.index(self.index_name)
        if index.is_global and self.consistent:
            raise invalid("Consistent reads are not supported on global secondary indexes")
        return index

    def start_in(self, table: Table, index: Index | None) -> tuple[RowKey, RowKey] | None:
        """The key to go on after: that of the index, or of the table, and that of the item."""
        if self.start is None:
            return None
        expected = key_names(table, index)
        if len(self.start) != len(expected) or any(name not in self.start for name in expected):
            raise invalid(BAD_START if index else f"{BAD_START}: {NOT_THE_SCHEMA}")
        try:
            item_key = table.keys.of_key({name: self.start[name] for name in table.keys.names})
            return (index.keys.of_key({name: self.start[name] for name in index.keys.names}) if index else item_key), item_key
        except ServiceError as error:
            raise invalid(f"{BAD_START}: {error.message}") from error


class Request(Reading):
    """The reading of a Query or Scan that its own request says nothing against."""

    def __init__(self, params: Mapping[str, Any], compiler: Compiler, expressions: tuple[str, ...]) -> None:
        refuse_mixed(params)
        refuse_idle_operator(params)
        refuse_stray_placeholders(params, expressions)
        start = start_key(params.get("ExclusiveStartKey"))
        placeholders = Placeholders(params.get("ExpressionAttributeNames"), params.get("ExpressionAttributeValues"))
        super().__init__(params, params.get("IndexName"), start, placeholders)
        self._compiler = compiler
        self._params = params

    def compile(self) -> None:
        """The filter and the projection; a Query's key condition comes before them."""
        text = self._params.get("FilterExpression")
        self.filter = self._compiler.condition("FilterExpression", text, self.placeholders) if text is not None else older_filter(self._params)
        text = self._params.get("ProjectionExpression")
        self.projection = self._compiler.projection(text, self.placeholders) if text is not None else older_projection(self._params)
        self.placeholders.refuse_unused()
        self.select = self._params.get("Select")
        self._refuse_selection()

    def _refuse_selection(self) -> None:
        if self.projection is not None and self.select not in (None, "SPECIFIC_ATTRIBUTES"):
            what = "only the Count" if self.select == "COUNT" else self.select
            member = "AttributesToGet" if self._params.get("AttributesToGet") else "ProjectionExpression"
            raise invalid(f"Cannot specify the {member} when choosing to get {what}")
        if self.select == "SPECIFIC_ATTRIBUTES" and self.projection is None:
            raise invalid_parameters("Must specify the AttributesToGet or ProjectionExpression when choosing to get SPECIFIC_ATTRIBUTES")
        if self.select == "ALL_PROJECTED_ATTRIBUTES" and self.index_name is None:
            raise invalid_parameters("ALL_PROJECTED_ATTRIBUTES can be used only when Querying using an IndexName")


def accept(params: Mapping[str, Any]) -> Constraints:
    return check_older(Constraints(params).choices("ReturnConsumedCapacity", "Select"), params)


def start_key(start: Mapping[str, Any] | None) -> Item | None:
    if start is None:
        return None
    try:
        return valid_item(start)
    except ServiceError as error:
        raise invalid(f"{BAD_START}: {error.message}") from error


def key_names(table: Table, index: Index | None) -> tuple[str, ...]:
    """The attributes of a LastEvaluatedKey."""
    return tuple(dict.fromkeys((*table.keys.names, *(index.keys.names if index else ()))))


class View:
    """What of an item a reading sees and returns, in the table or in an index."""

    def __init__(self, reading: Reading, index: Index | None) -> None:
        self._reading = reading
        self._index = index
        self.fetches = self._needs_table()
        self.counts_only = reading.select == "COUNT"
        narrowed = index is not None and index.projected is not None and not self.fetches
        #: Nothing of what is read is looked at or left out.
        self.whole = reading.filter is None and reading.projection is None and not narrowed

    def _needs_table(self) -> bool:
        """A local index gets what it lacks from the table; a global one cannot."""
        index, reading = self._index, self._reading
        if index is None or index.projected is None:
            return False
        wanted = {str(path[0]) for path in reading.projection.paths} if reading.projection else set()
        missing = sorted(wanted - index.projected)
        if index.is_global:
            if reading.select == "ALL_ATTRIBUTES":
                raise invalid_parameters(
                    f"Select type ALL_ATTRIBUTES is not supported for global secondary index {index.name} because its projection type is not ALL"
                )
            if missing:
                raise invalid_parameters(f"Global secondary index {index.name} does not project [{', '.join(missing)}]")
            return False
        filtered = {str(path[0]) for path in reading.filter.paths} if reading.filter else set()
        return reading.select == "ALL_ATTRIBUTES" or bool(missing) or bool(filtered - index.projected)

    def of(self, item: Item) -> Item:
        return item if self._index is None or self.fetches else self._index.view(item)

    def returned(self, item: Item) -> Item:
        return self._reading.projection.of(item) if self._reading.projection else item


def read_page(reading: Reading, table: Table, index: Index | None, rows: Iterable[Row]) -> dict[str, Any]:
    """Read until the limit or a megabyte is reached, the item that reaches it included; all that is read counts, found or filtered out."""
    if table.meter is not None:
        table.meter.admit_read(index.name if index is not None and index.is_global else None)
    view = View(reading, index)
    blind = view.whole and (reading.texts or view.counts_only)
    found: list[Item] = []
    texts: list[str] = []
    matched = scanned = size = 0
    fetched = 0.0
    last: Item | None = None
    consistent, limit, most = reading.consistent, reading.limit, reading.most
    for body, binary, bytes_here, bytes_in_table in rows:
        if scanned == most:
            raise Lengthy
        scanned += 1
        size += bytes_here
        if view.fetches:
            fetched += read_units(bytes_in_table, consistent)
        ends = scanned == limit or size >= PAGE
        if blind:
            if not view.counts_only:
                texts.append(body)
            if ends:
                last = load(body, binary)
                break
            continue
        item = load(body, binary)
        seen = view.of(item)
        if reading.filter is None or reading.filter.test(seen):
            matched += 1
            if not view.counts_only:
                found.append(view.returned(seen))
        if ends:
            last = item
            break
    response: dict[str, Any] = {"Count": scanned if blind else matched, "ScannedCount": scanned}
    if not view.counts_only:
        response["Items"] = f"[{','.join(texts)}]" if blind else found
    if last is not None:
        response["LastEvaluatedKey"] = {name: last[name] for name in key_names(table, index)}
    consumed = _consumed(index, read_units(size, reading.consistent), fetched)
    if table.meter is not None:
        table.meter.charge_read(consumed)
    report = consumed.report(reading.capacity, table.name)
    return response if report is None else response | {"ConsumedCapacity": report}


def _consumed(index: Index | None, units: float, fetched: float) -> Consumed:
    consumed = Consumed(units if index is None else fetched)
    if index is not None:
        consumed.charge(index, units)
    return consumed
