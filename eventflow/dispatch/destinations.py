"""What an asynchronous event's end causes: the record for its destination, the bare event for the dead-letter queue."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from eventflow.clock import Clock
from eventflow.dispatch.journal import BucketMessage, BusMessage, Event, Message, QueueMessage
from eventflow.event import DestinationRecord, destination_record
from eventflow.function import Destination, Function
from eventflow.outcome import Dead, Done, Outcome

#: AWS cuts the dead-letter message's ErrorMessage attribute to 1 KB.
LONGEST_ERROR_MESSAGE = 1024
SUCCESS = "Success"


@dataclass(slots=True)
class Consequences:
    """What is to be sent in the transaction that settles the event."""

    messages: list[Message] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)


def consequences(
    event: Event, function: Function, step: Done | Dead, outcome: Outcome | None, arn: Callable[[str], str], clock: Clock
) -> Consequences:
    """What follows from an event's end (AWS: "Capturing records of Lambda asynchronous invocations"); a dead-letter queue and an on-failure
    destination both get theirs when both are set."""
    found = Consequences()
    destination = function.on_success if isinstance(step, Done) else function.on_failure
    if destination is not None:
        record = record_of(event, function, step, outcome, arn, clock)
        deliver(destination, record, event, outcome, found, clock)
    if isinstance(step, Dead) and function.dead_letter_queue is not None:
        found.messages.append(dead_letter(function.dead_letter_queue, event, outcome, step))
    return found


def record_of(
    event: Event, function: Function, step: Done | Dead, outcome: Outcome | None, arn: Callable[[str], str], clock: Clock
) -> DestinationRecord:
    return destination_record(
        time=clock.now(),
        request_id=event.id,
        function_arn=arn(function.name),
        condition=SUCCESS if isinstance(step, Done) else step.condition,
        invoke_count=event.function_errors + event.system_errors + isinstance(step, Done),
        request=json.loads(event.payload),
        response=outcome.value() if outcome is not None else None,
        executed_version=function.version,
        qualifier=event.qualifier,
        function_error="Unhandled" if isinstance(step, Dead) else None,
    )


def deliver(destination: Destination, record: DestinationRecord, event: Event, outcome: Outcome | None, found: Consequences, clock: Clock) -> None:
    text = json.dumps(record, separators=(",", ":"))
    if destination.kind == "queue":
        found.messages.append(QueueMessage(destination.name, text))
    elif destination.kind == "bus":
        found.messages.append(on_bus(destination.name, record, event.trace))
    elif destination.kind == "bucket":
        found.messages.append(BucketMessage(destination.name, object_key(event, clock), text, event.id))
    else:
        source = f"destination of {event.function} ({event.id})"
        found.events.append(Event(clock.new_id(), destination.name, text.encode(), clock.now(), trace=event.trace, source=source))


def on_bus(bus: str, record: DestinationRecord, trace: str | None) -> BusMessage:
    """AWS: the record is the detail of an event of the source ``lambda``, whose resources are the function and the destination."""
    context = record["requestContext"]
    result = "Success" if context["condition"] == SUCCESS else "Failure"
    arn = ":".join((*context["functionArn"].replace(":lambda:", ":events:", 1).split(":")[:5], f"event-bus/{bus}"))
    return BusMessage(bus, f"Lambda Function Invocation Result - {result}", record, [context["functionArn"], arn], trace)


def object_key(event: Event, clock: Clock) -> str:
    """AWS: ``aws/lambda/async/<function>/YYYY/MM/DD/YYYY-MM-DDTHH.MM.SS-<random UUID>``."""
    at = datetime.fromtimestamp(clock.now(), UTC)
    return f"aws/lambda/async/{event.function.partition(':')[0]}/{at:%Y/%m/%d}/{at:%Y-%m-%dT%H.%M.%S}-{clock.new_id()}"


def dead_letter(queue: str, event: Event, outcome: Outcome | None, step: Dead) -> QueueMessage:
    """AWS: the event as it came, with RequestID, ErrorCode and ErrorMessage as message attributes."""
    reason = (outcome.error_message if outcome is not None else None) or step.condition
    code = {"DataType": "Number", "StringValue": "200" if outcome is not None else "429"}
    attributes: dict[str, str | Mapping[str, str]] = {"RequestID": event.id, "ErrorCode": code, "ErrorMessage": cut(reason)}
    return QueueMessage(queue, event.payload.decode(), attributes)


def cut(text: str) -> str:
    return text.encode()[:LONGEST_ERROR_MESSAGE].decode(errors="ignore") or "unknown"
