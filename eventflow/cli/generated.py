"""Events of queues, tables and buses that nobody filled: each is made by the service that makes it in the daemon, on a database in memory."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from eventflow.clock import SystemClock
from eventflow.database import Database
from eventflow.errors import EventflowError, ServiceError
from eventflow.event import S3Event, dynamodb_event, sqs_event
from eventflow.settings import Settings

MOST_RECEIVES = 1000


class StandingClock(SystemClock):
    """The machine's clock, but that it is always ``at`` (Unix seconds)."""

    def __init__(self, at: float) -> None:
        super().__init__()
        self._at = at

    def now(self) -> float:
        return self._at


def queue_event(
    settings: Settings,
    clock: SystemClock,
    queue: str,
    bodies: Sequence[str],
    *,
    attributes: Mapping[str, str] | None = None,
    group: str | None = None,
    deduplication_id: str | None = None,
    receives: int = 1,
    trace: str | None = None,
) -> Mapping[str, Any]:
    """The batch that a function on the queue gets for messages with these bodies, all with the same ``attributes`` (texts), received so often."""
    from eventflow.services.queues import Queues
    from eventflow.services.queues.sends import Outgoing

    fifo = queue.endswith(".fifo")
    given = {name: {"DataType": "String", "StringValue": value} for name, value in (attributes or {}).items()}
    sent = [
        Outgoing(
            body,
            given,
            trace,
            group=group or ("group" if fifo else None),
            deduplication_id=named(deduplication_id or (clock.new_id() if fifo else None), number),
            sender=settings.account_id,
        )
        for number, body in enumerate(bodies)
    ]

    async def messages(database: Database) -> list[Mapping[str, Any]]:
        queues = Queues(database, clock, settings.account_id)
        await queues.open()
        try:
            await queues.create(settings.region, queue, {"FifoQueue": "true"} if fifo else {})
            for outcome in await queues.send(settings.region, queue, sent):
                if isinstance(outcome, ServiceError):
                    raise outcome
            source = await queues.source(settings.region, queue)
            received: list[Mapping[str, Any]] = []
            for _ in range(receives):
                received = list(await source.receive(len(sent), 0))
                await source.change_visibility([message["ReceiptHandle"] for message in received], 0)
            return received
        finally:
            queues.close()

    found = in_memory(messages)
    return sqs_event(found, arn=f"arn:aws:sqs:{settings.region}:{settings.account_id}:{queue}", region=settings.region)


def named(identifier: str | None, number: int) -> str | None:
    """Another one for each message but the first."""
    return f"{identifier}-{number}" if identifier and number else identifier


def stream_event(
    settings: Settings, clock: SystemClock, table: str, keys: Sequence[str], changes: Iterable[tuple[Any, Any]], view: str, *, expired: bool = False
) -> Mapping[str, Any]:
    """The batch that a function on the table's stream gets. ``keys`` are the names of the partition key and perhaps of the sort key, ``changes`` the
    items before and after as plain values, None where there is none; with ``expired`` their time to live removes them."""
    from boto3.dynamodb.types import TypeSerializer

    from eventflow.services.tables import Tables
    from eventflow.services.tables.streamreads import SERVICE

    serialize = TypeSerializer().serialize
    made = [tuple(None if item is None else {name: serialize(value) for name, value in item.items()} for item in change) for change in changes]
    kinds = [key_type(key, made) for key in keys]

    async def records(database: Database) -> tuple[str, Sequence[Mapping[str, Any]]]:
        tables = Tables(database, clock, settings.account_id)
        await tables.prepare()
        key = {"key": keys[0], "key_type": kinds[0], **({"sort": keys[1], "sort_type": kinds[1]} if len(keys) > 1 else {})}
        await tables.ensure(settings.region, table, **key)
        for old, _new in made:
            if old is not None:
                await tables.put_item(settings.region, {"TableName": table, "Item": old})
        await tables.ensure_stream(settings.region, table, view)
        for old, new in made:
            if new is not None:
                await tables.put_item(settings.region, {"TableName": table, "Item": new})
            elif old is not None:
                await tables.delete_item(settings.region, {"TableName": table, "Key": {name: old[name] for name in keys}})
        source = await tables.streams.source(settings.region, table)
        found, _closed = await source.read(await source.edge(latest=False), 1000, 0)
        return source.arn, found

    arn, found = in_memory(records)
    if not found:
        raise EventflowError("The item is the same before and after: a table writes no record of that.")
    return dynamodb_event([{**record, "userIdentity": SERVICE} for record in found] if expired else found, arn=arn)


def key_type(key: str, changes: Iterable[tuple[Any, ...]]) -> str:
    for change in changes:
        for item in change:
            if item is not None:
                if key not in item:
                    raise EventflowError(f"An item has no attribute {key!r}, its key: name the key with --key, or add it to the item.")
                [kind] = item[key]
                return str(kind)
    raise EventflowError("There is no item before and none after: give --new, --old or both.")


def bus_event(
    settings: Settings,
    clock: SystemClock,
    source: str,
    detail_type: str,
    detail: Mapping[str, Any],
    resources: Sequence[str] = (),
    id: str | None = None,
) -> Mapping[str, Any]:
    """An event in EventBridge's envelope."""
    from eventflow.services.bus.entries import event_of

    made = event_of(
        id=id or clock.new_id(),
        bus="default",
        source=source,
        detail_type=detail_type,
        detail=detail,
        account=settings.account_id,
        region=settings.region,
        time=clock.now(),
        resources=resources,
    )
    return made.event


def told_by_bus(settings: Settings, clock: SystemClock, event: S3Event) -> Mapping[str, Any]:
    """What a bucket that tells EventBridge puts on the bus for this event of S3."""
    from eventflow.notifications import bus_event as told

    record = event["Records"][0]
    detail_type, detail = told(record)
    return bus_event(settings, clock, "aws.s3", detail_type, detail, [record["s3"]["bucket"]["arn"]])


def told_by_queue(settings: Settings, clock: SystemClock, event: S3Event, queue: str) -> Mapping[str, Any]:
    """What a function on a queue gets that a bucket tells of this event of S3."""
    return queue_event(settings, clock, queue, [json.dumps(event, separators=(",", ":"), ensure_ascii=False)])


def in_memory(work: Any) -> Any:
    """What the work returns that is done on a database in memory. Raises EventflowError with a service's own refusal."""
    database = Database(":memory:")
    try:
        return asyncio.run(work(database))
    except ServiceError as error:
        raise EventflowError(f"{error.code}: {error.message}") from error
    finally:
        database.close()
