"""What is told of records of a stream that were given up: to a queue or a function, where the batch lies, not the records; to a bucket the records
too (Lambda developer guide, "Retain discarded records")."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from eventflow import StreamSource, Target, iso

#: Before the name of a function or a bucket, where a queue's has nothing.
FUNCTION, BUCKET = "function:", "bucket:"


@dataclass(frozen=True, slots=True)
class Discarded:
    """So many records between two sequence numbers, and when these two were made (Unix seconds)."""

    first: str
    last: str
    first_at: int
    last_at: int
    size: int


async def tell(
    target: Target, destination: str, source: StreamSource, discarded: Discarded, condition: str, invocations: int, event: Mapping[str, Any]
) -> None:
    """Returns once the record is on disk. ``event`` is what the function was given, or would have been."""
    record = record_of(target, source, discarded, condition, invocations)
    if destination.startswith(FUNCTION):
        place = f"{source.arn}/{discarded.first}-{discarded.last}/{condition}"
        await target.emit_to(destination.removeprefix(FUNCTION), record, id=f"{target.function}/{place}")
    elif destination.startswith(BUCKET):
        await target.put_record(destination.removeprefix(BUCKET), source.shard, json.dumps({**record, "payload": json.dumps(event)}))
    else:
        await target.send(destination, json.dumps(record))


def record_of(target: Target, source: StreamSource, discarded: Discarded, condition: str, invocations: int) -> dict[str, Any]:
    found: dict[str, Any] = {
        "requestContext": {
            "requestId": target.clock.new_id(),
            "functionArn": f"arn:aws:lambda:{target.region}:{target.account}:function:{target.function}",
            "condition": condition,
            "approximateInvokeCount": invocations,
        }
    }
    if invocations:
        found["responseContext"] = {"statusCode": 200, "executedVersion": target.version, "functionError": "Unhandled"}
    return found | {
        "version": "1.0",
        "timestamp": iso(target.clock.now()),
        "DDBStreamBatchInfo": {
            "shardId": source.shard,
            "startSequenceNumber": discarded.first,
            "endSequenceNumber": discarded.last,
            "approximateArrivalOfFirstRecord": iso(discarded.first_at, milliseconds=False),
            "approximateArrivalOfLastRecord": iso(discarded.last_at, milliseconds=False),
            "batchSize": discarded.size,
            "streamArn": source.arn,
        },
    }
