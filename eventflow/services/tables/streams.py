"""Streams of tables: DynamoDB Streams' operations, and what a trigger reads."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

from eventflow.clock import Clock
from eventflow.database import Database
from eventflow.errors import ServiceError
from eventflow.services.attributes.refusals import invalid, invalid_parameters
from eventflow.services.tables.constraints import Constraints
from eventflow.services.tables.streamreads import (
    ARN,
    ITERATOR_LIFE,
    RETENTION,
    Position,
    Stream,
    find,
    listed,
    members,
    number_of,
    position_of,
    sequence_of,
)
from eventflow.services.tables.streamwriter import VIEWS, StreamWriter
from eventflow.services.tables.trimming import Trimming

T = TypeVar("T")
Params = Mapping[str, Any]
Response = dict[str, Any]

MOST_RECORDS = 1000
MOST_LISTED = 100
ITERATOR_TYPES = ("AFTER_SEQUENCE_NUMBER", "LATEST", "AT_SEQUENCE_NUMBER", "AT_TIMESTAMP", "TRIM_HORIZON")
TRIMMED = "The operation attempted to read past the oldest stream record in a shard."


class Streams:
    """The streams of one account; methods are DynamoDB Streams' operations, as those of ``Tables`` are DynamoDB's."""

    def __init__(self, database: Database, clock: Clock, account: str) -> None:
        self.writer = StreamWriter(clock)
        self._database = database
        self._clock = clock
        self._account = account
        self.trimming = Trimming(database, clock)

    async def open(self) -> None:
        await self._database.migrate("streams", "eventflow.services")

    # Operations.

    async def list_streams(self, region: str, params: Params) -> Response:
        Constraints(params).between("Limit", 1, MOST_LISTED).refuse()
        after, limit = ("", ""), params.get("Limit") or MOST_LISTED
        start = params.get("ExclusiveStartStreamArn")
        if start is not None:
            match = ARN.fullmatch(start)
            if match is None:
                raise invalid(f"Invalid StreamArn: {start}")
            after = match[3], match[4]
        table = params.get("TableName")
        found = await self._database.read(lambda connection: listed(connection, region, table, after, limit + 1, self.writer.now()))
        response: Response = {"Streams": [members(stream, self._account) for stream in found[:limit]]}
        return response | {"LastEvaluatedStreamArn": found[limit - 1].arn(self._account)} if len(found) > limit else response

    async def describe_stream(self, region: str, params: Params) -> Response:
        Constraints(params).required("StreamArn").between("Limit", 1, MOST_LISTED).refuse()
        wanted = params.get("ShardFilter") or {}
        if wanted and (wanted.get("Type") != "CHILD_SHARDS" or not wanted.get("ShardId")):
            raise invalid("ShardFilter takes the Type CHILD_SHARDS and a ShardId")

        def describe(connection: sqlite3.Connection) -> Response:
            stream = find(connection, self._account, region, params["StreamArn"], self.writer.now())
            after = params.get("ExclusiveStartShardId")
            shards = [] if wanted or (after is not None and after >= stream.shard) else [self._shard(connection, stream)]
            return {
                "StreamDescription": {
                    **members(stream, self._account),
                    "StreamStatus": "ENABLED" if stream.closed_at is None else "DISABLED",
                    "StreamViewType": stream.view,
                    "CreationRequestDateTime": stream.created_at / 1000,
                    "KeySchema": stream.schema,
                    "Shards": shards,
                }
            }

        return await self._database.read(describe)

    def _shard(self, connection: sqlite3.Connection, stream: Stream) -> Response:
        numbers = {"StartingSequenceNumber": number_of(stream.horizon(connection, self.writer.now()) + 1)}
        if stream.closed_at is not None:
            numbers["EndingSequenceNumber"] = number_of(stream.last(connection))
        return {"ShardId": stream.shard, "SequenceNumberRange": numbers}

    async def get_shard_iterator(self, region: str, params: Params) -> Response:
        constraints = Constraints(params).required("StreamArn", "ShardId", "ShardIteratorType")
        constraints.choice(params.get("ShardIteratorType"), "shardIteratorType", ITERATOR_TYPES)
        constraints.refuse()
        arn, kind, number = params["StreamArn"], params["ShardIteratorType"], params.get("SequenceNumber")
        if kind.endswith("SEQUENCE_NUMBER") and number is None:
            raise invalid(f"SequenceNumber must be specified for a ShardIteratorType of {kind}")
        if not kind.endswith("SEQUENCE_NUMBER") and number is not None:
            raise invalid(f"SequenceNumber must not be specified for a ShardIteratorType of {kind}")
        if (kind == "AT_TIMESTAMP") != (params.get("Timestamp") is not None):
            raise invalid("Timestamp goes with a ShardIteratorType of AT_TIMESTAMP, and that with a Timestamp")

        def position(connection: sqlite3.Connection) -> Response:
            now = self.writer.now()
            stream = find(connection, self._account, region, arn, now)
            if params["ShardId"] != stream.shard:
                raise ServiceError(
                    "ResourceNotFoundException", f"Requested resource not found: Shard: {params['ShardId']} in Stream: {arn} not found"
                )
            after = self._after(connection, stream, kind, params, now)
            return {"ShardIterator": Position(arn, after, kind != "TRIM_HORIZON", now).token()}

        return await self._database.read(position)

    def _after(self, connection: sqlite3.Connection, stream: Stream, kind: str, params: Params, now: int) -> int:
        """The sequence to go on after."""
        if kind == "LATEST":
            return stream.last(connection)
        if kind == "TRIM_HORIZON":
            return stream.horizon(connection, now)
        if kind == "AT_TIMESTAMP":
            return max(stream.before(connection, milliseconds(params["Timestamp"])), stream.horizon(connection, now))
        sequence = sequence_of(params["SequenceNumber"])
        if sequence > stream.last(connection) + 1 or sequence == 0:
            raise invalid(f"Invalid SequenceNumber: {params['SequenceNumber']}")
        after = sequence - 1 if kind == "AT_SEQUENCE_NUMBER" else sequence
        if after < stream.horizon(connection, now):
            raise ServiceError("TrimmedDataAccessException", TRIMMED)
        return after

    async def get_records(self, region: str, params: Params) -> Response:
        Constraints(params).required("ShardIterator").between("Limit", 1, MOST_RECORDS).refuse()
        position = position_of(params["ShardIterator"])
        limit = params.get("Limit") or MOST_RECORDS

        def get(connection: sqlite3.Connection) -> Response:
            now = self.writer.now()
            stream = find(connection, self._account, region, position.arn, now)
            if now - position.made_at > ITERATOR_LIFE:
                raise ServiceError("ExpiredIteratorException", "Shard iterator has expired")
            after, horizon = position.after, stream.horizon(connection, now)
            if after < horizon and position.fixed:
                raise ServiceError("TrimmedDataAccessException", TRIMMED)
            after = max(after, horizon)
            records = stream.read(connection, self._account, after, limit)
            if records:
                after = sequence_of(records[-1]["dynamodb"]["SequenceNumber"])
            response: Response = {"Records": records}
            if stream.closed_at is None or after < stream.last(connection):
                response["NextShardIterator"] = Position(position.arn, after, bool(records) or position.fixed, now).token()
            return response

        return await self._database.read(get)

    # For triggers.

    async def source(self, region: str, table: str, arn: str | None = None) -> EmbeddedStream:
        """The newest stream of a table, or the one with this ARN, as its trigger sees it."""

        def newest(connection: sqlite3.Connection) -> Stream:
            now = self.writer.now()
            if arn is not None:
                return find(connection, self._account, region, arn, now)
            streams = listed(connection, region, table, ("", ""), MOST_LISTED * MOST_RECORDS, now)
            if not streams:
                raise ServiceError("ResourceNotFoundException", f"Requested resource not found: Table {table} has no stream; enable one")
            return streams[-1]

        return EmbeddedStream(self, self._database, await self._database.read(newest), self._account)


class EmbeddedStream:
    """A ``StreamSource``: one stream of one table."""

    def __init__(self, streams: Streams, database: Database, stream: Stream, account: str) -> None:
        self.arn = stream.arn(account)
        self.region = stream.region
        self.shard = stream.shard
        self._streams = streams
        self._database = database
        self._stream = stream
        self._account = account

    async def edge(self, latest: bool) -> str:
        """The sequence number to begin after: that of the newest record, or the one before the oldest that is kept."""

        def edge(connection: sqlite3.Connection) -> str:
            stream, now = self._stream, self._streams.writer.now()
            return number_of(stream.last(connection) if latest else stream.horizon(connection, now))

        return await self._settled(edge)

    async def read(self, after: str, limit: int, wait: float) -> tuple[Sequence[Mapping[str, Any]], bool]:
        """Records after a sequence number, and whether the stream is closed and has no more; waits so many seconds for the first."""
        began = self._streams._clock.monotonic()
        while True:
            bell = self._streams.writer.bell(self._stream.id)
            try:
                records, closed = await self._settled(lambda connection: self._read(connection, sequence_of(after), limit))
                left = began + wait - self._streams._clock.monotonic()
                if records or closed or left <= 0:
                    return records, closed
                await self._streams._clock.wait(bell, left)
            finally:
                self._streams.writer.unhook(self._stream.id, bell)

    def _read(self, connection: sqlite3.Connection, after: int, limit: int) -> tuple[list[dict[str, Any]], bool]:
        stream = find(connection, self._account, self.region, self.arn, self._streams.writer.now())
        start = max(after, stream.horizon(connection, self._streams.writer.now()))
        records = stream.read(connection, self._account, start, limit)
        return records, stream.closed_at is not None and not records

    async def _settled(self, query: Callable[[sqlite3.Connection], T]) -> T:
        """Ask when every change that has rung is committed: changes are committed in order, so an empty one behind them tells."""
        await self._database.write(nothing)
        return await self._database.read(query)


def nothing(connection: sqlite3.Connection) -> None:
    """A change that changes nothing."""


def milliseconds(instant: Any) -> int:
    return round((instant.timestamp() if isinstance(instant, datetime) else float(instant)) * 1000)


def refuse_specification(specification: Mapping[str, Any] | None) -> str | None:
    """The StreamViewType that a CreateTable's or UpdateTable's StreamSpecification asks for, None where it asks for no stream."""
    if specification is None:
        return None
    constraints = Constraints(specification)
    if specification.get("StreamEnabled") is None:
        constraints.problem(None, "streamSpecification.streamEnabled", "not be null")
    constraints.choice(specification.get("StreamViewType"), "streamSpecification.streamViewType", VIEWS)
    constraints.refuse()
    view: str | None = specification.get("StreamViewType")
    if specification["StreamEnabled"] and view is None:
        raise invalid_parameters("StreamViewType is required when StreamEnabled is true")
    if not specification["StreamEnabled"] and view is not None:
        raise invalid_parameters("StreamViewType may not be specified when StreamEnabled is false")
    return view


__all__ = ["RETENTION", "EmbeddedStream", "Streams", "refuse_specification"]
