"""A batch of SQS messages: its event, what a response says of it, and how it is divided to fit an invocation."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from eventflow import sqs_event

Message = Mapping[str, Any]

#: Lambda invokes with at most 6 MB (AWS: "Lambda quotas", synchronous invocation payload).
LARGEST_PAYLOAD = 6_291_456
ENVELOPE = len('{"Records":[]}')
#: A record without its body and attributes: identifiers, times, ARN, names.
LARGEST_FRAME = 4_096
TRACE = "AWSTraceHeader"
LINEAGE = re.compile(r"(?:^|;)\s*Lineage=([^;]*)")
COUNT = re.compile(r":([0-9]+)(?=\||$)")


@dataclass(frozen=True)
class Batch:
    """Messages of one queue, as ``ReceiveMessage`` gives them, in order."""

    messages: Sequence[Message]
    arn: str
    region: str
    fifo: bool = False

    def __len__(self) -> int:
        return len(self.messages)

    @property
    def handles(self) -> list[str]:
        return [message["ReceiptHandle"] for message in self.messages]

    def event(self) -> Any:
        """The event as Lambda writes it."""
        return sqs_event(self.messages, arn=self.arn, region=self.region)

    def trace(self) -> str | None:
        """The trace header to continue. One invocation has one: where messages bring several, the chain that has come the furthest counts, for it
        is the one that a loop would show in; a shorter one reaches its own end in a later batch."""
        traces = [message["Attributes"][TRACE] for message in self.messages if TRACE in message.get("Attributes", {})]
        return max(traces, key=depth, default=None)

    def parts(self, largest: int = LARGEST_PAYLOAD) -> Iterator[Batch]:
        """This batch in pieces whose events are no larger than ``largest`` bytes; a message is never divided."""
        if sum(map(size_at_most, self.messages)) + ENVELOPE <= largest:
            yield self
            return
        taken: list[Message] = []
        size = ENVELOPE
        for message in self.messages:
            record = record_size(message, self)
            if taken and size + record > largest:
                yield self.of(taken)
                taken, size = [], ENVELOPE
            taken.append(message)
            size += record
        yield self.of(taken)

    def of(self, messages: Sequence[Message]) -> Batch:
        return Batch(messages, self.arn, self.region, self.fifo)

    def succeeded(self, response: bytes) -> Batch:
        """The messages that a response with ``batchItemFailures`` does not report. None at all where the response is malformed: then the whole batch
        failed. On a FIFO queue whatever follows the first failure failed with it, or the order would be lost."""
        failed = reported(response, {message["MessageId"] for message in self.messages})
        if failed is None:
            return self.of(())
        good = [message["MessageId"] not in failed for message in self.messages]
        if self.fifo and not all(good):
            return self.of(self.messages[: good.index(False)])
        return self.of([message for message, fine in zip(self.messages, good, strict=True) if fine])


def reported(response: bytes, ids: set[str]) -> set[str] | None:
    """The identifiers reported as failed; None for what Lambda takes as a failure of the whole batch (AWS: "Implementing partial batch responses"):
    no JSON object, an item without a non-empty ``itemIdentifier``, or one that is not of this batch."""
    try:
        value = json.loads(response)
    except ValueError:
        return None
    if value is None:
        return set()
    items = value.get("batchItemFailures") if isinstance(value, dict) else 0
    if items is None:
        return set()
    if not isinstance(items, list):
        return None
    failed = {identifier(item) for item in items}
    return {name for name in failed if name is not None} if failed <= ids else None


def identifier(item: Any) -> str | None:
    name = item.get("itemIdentifier") if isinstance(item, dict) else None
    return name if isinstance(name, str) and name else None


def size_at_most(message: Message) -> int:
    """An upper bound of a record's size that needs no encoding: a character takes at most four bytes, escaped or not."""
    attributes = message.get("MessageAttributes", {})
    texts = sum(len(name) + len(value.get("StringValue", "")) + len(value.get("BinaryValue", b"")) for name, value in attributes.items())
    return LARGEST_FRAME + 128 * len(attributes) + 4 * (len(message["Body"]) + texts)


def record_size(message: Message, batch: Batch) -> int:
    (record,) = sqs_event([message], arn=batch.arn, region=batch.region)["Records"]
    return len(json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode()) + 1


def depth(trace: str) -> int:
    """How many invocations stand in a trace header's lineage."""
    lineage = LINEAGE.search(trace)
    return sum(int(count) for count in COUNT.findall(lineage[1])) if lineage else 0
