"""The reading side of streams: which there are, and what of their records is readable."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from eventflow.errors import ServiceError
from eventflow.services.attributes.refusals import invalid
from eventflow.services.tables.items import load
from eventflow.services.tables.streamwriter import SPAN

#: Records, and the streams that were closed, are readable for a day (milliseconds).
RETENTION = 24 * 3600 * 1000
#: A shard iterator lives for 15 minutes (milliseconds).
ITERATOR_LIFE = 15 * 60 * 1000
#: What one GetRecords returns at most, in characters of its records.
PAGE = 1024 * 1024
#: Sequence numbers are 21 digits long, as AWS's shortest.
FIRST_NUMBER = 10**20
SEQUENCE = re.compile(r"1[0-9]{20}")
ARN = re.compile(r"arn:aws:dynamodb:([a-z0-9-]+):([0-9]{12}):table/([A-Za-z0-9_.-]{3,255})/stream/([0-9T:.-]+)")
SERVICE = {"Type": "Service", "PrincipalId": "dynamodb.amazonaws.com"}

COLUMNS = "id, region, table_name, label, view, key_schema, created_at, closed_at, trimmed"
FIND = f"SELECT {COLUMNS} FROM table_streams WHERE region = ? AND table_name = ? AND label = ?"
LIST = f"""
SELECT {COLUMNS} FROM table_streams
WHERE region = ? AND (table_name, label) > (?, ?) AND (? IS NULL OR table_name = ?) AND (closed_at IS NULL OR closed_at > ?)
ORDER BY table_name, label LIMIT ?
"""
LAST = "SELECT MAX(place) FROM table_stream_records WHERE place > ? AND place < ?"
SEEK = "SELECT place, created_at FROM table_stream_records WHERE place >= ? AND place < ? ORDER BY place LIMIT 1"
NEWEST = "SELECT place, created_at FROM table_stream_records WHERE place > ? AND place < ? ORDER BY place DESC LIMIT 1"
READ = """
SELECT place, created_at, event, expired, bytes, binary, keys, new_image, old_image FROM table_stream_records
WHERE place > ? AND place < ? ORDER BY place LIMIT ?
"""
ALL = "SELECT id FROM table_streams"
TRIM = """
DELETE FROM table_stream_records WHERE place IN (
    SELECT place FROM table_stream_records WHERE place > ? AND place < ? ORDER BY place LIMIT ?
) RETURNING place
"""
OLDEST = "SELECT created_at FROM table_stream_records WHERE place > ? AND place < ? ORDER BY place LIMIT 1"
TRIMMED = "UPDATE table_streams SET trimmed = ? WHERE id = ?"
FORGET = "DELETE FROM table_streams WHERE id = ? AND closed_at <= ?"


@dataclass(frozen=True, slots=True)
class Stream:
    """A stream, enabled or closed. Times are milliseconds; ``trimmed`` is the sequence of the last record that was deleted."""

    id: int
    region: str
    table: str
    label: str
    view: str
    key_schema: str
    created_at: int
    closed_at: int | None
    trimmed: int

    @property
    def schema(self) -> Any:
        return json.loads(self.key_schema)

    @property
    def shard(self) -> str:
        """The one shard. All changes are committed by one writer, one after the other: a second shard could not be filled beside the first,
        and with one the order of all changes is kept, not only that of each key."""
        return f"shardId-{self.created_at:020d}-{self.id:08x}"

    def arn(self, account: str) -> str:
        return f"arn:aws:dynamodb:{self.region}:{account}:table/{self.table}/stream/{self.label}"

    def last(self, connection: sqlite3.Connection) -> int:
        """The sequence of the newest record, kept or trimmed; 0 before the first."""
        place = connection.execute(LAST, self._span()).fetchone()[0]
        return self.trimmed if place is None else place - self.id * SPAN

    def horizon(self, connection: sqlite3.Connection, now: int) -> int:
        """The sequence of the last record that is too old to be read."""
        return self.before(connection, now - RETENTION + 1)

    def before(self, connection: sqlite3.Connection, instant: int) -> int:
        """The sequence of the last record from before an instant."""
        place = self._first_since(connection, instant)
        return self.last(connection) if place is None else place - self.id * SPAN - 1

    def read(self, connection: sqlite3.Connection, account: str, after: int, limit: int) -> list[dict[str, Any]]:
        """Records in order, as GetRecords has them: so many, or as many as make a megabyte."""
        found: list[dict[str, Any]] = []
        size = 0
        arn = self.arn(account)
        for row in connection.execute(READ, (self.id * SPAN + after, (self.id + 1) * SPAN, limit)):
            size += sum(len(text) for text in row[6:] if text is not None)
            if found and size > PAGE:
                break
            found.append(self._record(arn, *row))
        return found

    def _record(
        self, arn: str, place: int, at: int, event: str, expired: int, size: int, binary: int, keys: str, new: str | None, old: str | None
    ) -> dict[str, Any]:
        number = number_of(place - self.id * SPAN)
        change: dict[str, Any] = {"ApproximateCreationDateTime": at // 1000, "Keys": load(keys, binary)}
        for member, image in (("NewImage", new), ("OldImage", old)):
            if image is not None:
                change[member] = load(image, binary)
        change |= {"SequenceNumber": number, "SizeBytes": size, "StreamViewType": self.view}
        record = {
            "eventID": hashlib.blake2b(f"{arn}/{number}".encode(), digest_size=16).hexdigest(),
            "eventName": event,
            "eventVersion": "1.1",
            "eventSource": "aws:dynamodb",
            "awsRegion": self.region,
            "dynamodb": change,
        }
        return record | {"userIdentity": SERVICE} if expired else record

    def due(self, connection: sqlite3.Connection, now: int) -> bool:
        """Whether ``trim`` has anything to delete."""
        oldest = connection.execute(OLDEST, self._span()).fetchone()
        since = oldest[0] if oldest is not None else self.closed_at
        return since is not None and since <= now - RETENTION

    def trim(self, connection: sqlite3.Connection, now: int, most: int) -> int:
        """Delete the oldest records that are older than a day, and the stream when it was closed as long ago; how many records that were."""
        begin, end = self._span()
        if self.closed_at is None or self.closed_at > now - RETENTION:
            end = self._first_since(connection, now - RETENTION + 1) or end
        gone = [row[0] for row in connection.execute(TRIM, (begin, end, most)).fetchall()]
        if gone:
            connection.execute(TRIMMED, (max(gone) - self.id * SPAN, self.id))
        elif self.closed_at is not None:
            connection.execute(FORGET, (self.id, now - RETENTION))
        return len(gone)

    def _first_since(self, connection: sqlite3.Connection, instant: int) -> int | None:
        """The place of the first record from an instant on. It is looked for by halves: a day's records are too many to be walked. Where the
        clock was set back meanwhile, records of that time may be taken for older or younger than they are, by as much as it was set."""
        oldest, newest = connection.execute(SEEK, self._span()).fetchone(), connection.execute(NEWEST, self._span()).fetchone()
        if oldest is None or newest[1] < instant:
            return None
        if oldest[1] >= instant:
            return int(oldest[0])
        low, high = oldest[0], newest[0]
        found = high  # no record is between the two
        while high - low > 1:
            middle = (low + high) // 2
            place, at = connection.execute(SEEK, (middle, found + 1)).fetchone()
            if at < instant:
                low = place
            else:
                found, high = place, middle
        return int(found)

    def _span(self) -> tuple[int, int]:
        return self.id * SPAN, (self.id + 1) * SPAN


def find(connection: sqlite3.Connection, account: str, region: str, arn: str, now: int) -> Stream:
    match = ARN.fullmatch(arn)
    row = connection.execute(FIND, (region, match[3], match[4])).fetchone() if match and (match[1], match[2]) == (region, account) else None
    stream = Stream(*row) if row else None
    if stream is None or (stream.closed_at is not None and stream.closed_at <= now - RETENTION):
        raise ServiceError("ResourceNotFoundException", f"Requested resource not found: Stream: {arn} not found")
    return stream


def listed(connection: sqlite3.Connection, region: str, table: str | None, after: tuple[str, str], limit: int, now: int) -> list[Stream]:
    """Streams by table and age."""
    return [Stream(*row) for row in connection.execute(LIST, (region, *after, table, table, now - RETENTION, limit))]


def everything(connection: sqlite3.Connection) -> list[Stream]:
    return [Stream(*row) for row in connection.execute(f"SELECT {COLUMNS} FROM table_streams ORDER BY id")]


def number_of(sequence: int) -> str:
    return str(FIRST_NUMBER + sequence)


def sequence_of(number: str) -> int:
    if not SEQUENCE.fullmatch(number):
        raise invalid(f"Invalid SequenceNumber: {number}")
    return int(number) - FIRST_NUMBER


@dataclass(frozen=True, slots=True)
class Position:
    """What a shard iterator says: go on after this sequence. ``fixed`` tells a position that a record was named for, which may be trimmed by now,
    from the oldest one there is at each time."""

    arn: str
    after: int
    fixed: bool
    made_at: int

    def token(self) -> str:
        packed = json.dumps([self.after, self.fixed, self.made_at]).encode()
        return f"{self.arn}|1|{base64.urlsafe_b64encode(packed).decode()}"


def position_of(token: str) -> Position:
    arn, _bar, packed = token.rpartition("|1|")
    try:
        after, fixed, made_at = json.loads(base64.urlsafe_b64decode(packed.encode()))
    except (ValueError, TypeError, binascii.Error, RecursionError) as error:
        raise invalid("Invalid ShardIterator") from error
    if not (type(after) is int and type(fixed) is bool and type(made_at) is int and 0 <= after < SPAN):
        raise invalid("Invalid ShardIterator")
    return Position(arn, after, fixed, made_at)


def members(stream: Stream, account: str) -> Mapping[str, Any]:
    return {"StreamArn": stream.arn(account), "TableName": stream.table, "StreamLabel": stream.label}
