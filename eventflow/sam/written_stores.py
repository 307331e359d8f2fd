"""Tables, queues, buckets and buses of an application as resources of a template, under the names by which its code knows them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from eventflow.trigger import Resource

if TYPE_CHECKING:
    from eventflow.sam.writer import Draft

NUMBERS = frozenset(("VisibilityTimeout", "DelaySeconds", "MessageRetentionPeriod", "MaximumMessageSize", "ReceiveMessageWaitTimeSeconds"))
TRUTHS = frozenset(("FifoQueue", "ContentBasedDeduplication"))


def table(draft: Draft, resource: Resource) -> None:
    options = resource.options
    keys = [(options["key"], options["key_type"], "HASH")]
    if options.get("sort") is not None:
        keys.append((options["sort"], options["sort_type"], "RANGE"))
    properties: dict[str, Any] = {
        "TableName": resource.name,
        "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [{"AttributeName": name, "AttributeType": kind} for name, kind, _role in keys],
        "KeySchema": [{"AttributeName": name, "KeyType": role} for name, _kind, role in keys],
    }
    view = options.get("stream") or ("NEW_AND_OLD_IMAGES" if is_followed(draft, resource.name) else None)
    if view is not None:
        properties["StreamSpecification"] = {"StreamViewType": view}
    draft.add("table", resource.name, "AWS::DynamoDB::Table", properties)


def is_followed(draft: Draft, table: str) -> bool:
    return any(entry.kind == "stream" and entry.parameters["table"] == table for entry in draft.manifest.triggers)


def queue(draft: Draft, resource: Resource) -> None:
    properties: dict[str, Any] = {"QueueName": resource.name}
    if resource.name.endswith(".fifo"):
        properties["FifoQueue"] = True
    for name, text in resource.options.get("Attributes", {}).items():
        properties[name] = int(text) if name in NUMBERS else text == "true" if name in TRUTHS else text
    target = resource.options.get("dead_letter_queue")
    if target is not None:
        receives = resource.options["max_receive_count"]
        properties["RedrivePolicy"] = {"deadLetterTargetArn": draft.arn("queue", target), "maxReceiveCount": receives}
    draft.add("queue", resource.name, "AWS::SQS::Queue", properties)


def bucket(draft: Draft, resource: Resource) -> None:
    draft.add("bucket", resource.name, "AWS::S3::Bucket", {"BucketName": resource.name})
    if "path" in resource.options:
        draft.note(f"Bucket {resource.name}: its folder {resource.options['path']} is this machine's.")


def bus(draft: Draft, resource: Resource) -> None:
    if resource.name != "default":
        draft.add("bus", resource.name, "AWS::Events::EventBus", {"Name": resource.name})


STORES: Mapping[str, Callable[[Draft, Resource], None]] = {"table": table, "queue": queue, "bucket": bucket, "bus": bus}
