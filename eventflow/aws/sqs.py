"""SQS's API: operations on queues and messages, mapped to the rules."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any
from urllib.parse import unquote, urlsplit

from eventflow.aws.operation import Call, operation, operations_of
from eventflow.errors import ServiceError
from eventflow.remembered import remembered
from eventflow.services.queues import Queues, message_attributes
from eventflow.services.queues.attributes import LARGEST_MESSAGE, REFUSED
from eventflow.services.queues.errors import missing, no_such_queue, unknown_attribute
from eventflow.services.queues.message_attributes import TRACE, TRACE_SHAPE
from eventflow.services.queues.sends import Outgoing, Sent

MOST_ENTRIES = 10
ENTRY_ID = re.compile(r"[A-Za-z0-9_-]{1,80}")
SYSTEM_ATTRIBUTES = frozenset(
    (
        "All",
        "SenderId",
        "SentTimestamp",
        "ApproximateReceiveCount",
        "ApproximateFirstReceiveTimestamp",
        "SequenceNumber",
        "MessageDeduplicationId",
        "MessageGroupId",
        "AWSTraceHeader",
        "DeadLetterQueueSourceArn",
    )
)
#: For the page of what is there.
REFUSED_ATTRIBUTES = (*(f"Attributes.{name}" for name in REFUSED), "Attributes.SqsManagedSseEnabled=true")

Params = dict[str, Any]
Answer = Mapping[str, Any]


class SqsService:
    """The queues of the call's region. A queue's URL is the endpoint's own address, the account and the name."""

    name = "sqs"

    def __init__(self, queues: Queues) -> None:
        self.operations = operations_of(self)
        self._queues = queues

    # Queues.

    @operation("CreateQueue", refuses=REFUSED_ATTRIBUTES)
    async def create_queue(self, call: Call, params: Params) -> Answer:
        await self._queues.create(call.region, params["QueueName"], params.get("Attributes") or {}, params.get("tags"))
        return {"QueueUrl": self._url(call, params["QueueName"])}

    @operation("GetQueueUrl")
    async def get_queue_url(self, call: Call, params: Params) -> Answer:
        if params.get("QueueOwnerAWSAccountId") not in (None, "", self._queues.account):
            raise no_such_queue()
        queue = await self._queues.find(call.region, params["QueueName"])
        return {"QueueUrl": self._url(call, queue.name)}

    @operation("ListQueues")
    async def list_queues(self, call: Call, params: Params) -> Answer:
        names, token = await self._queues.names(call.region, params.get("QueueNamePrefix") or "", params.get("MaxResults"), params.get("NextToken"))
        return self._page(call, "QueueUrls", names, token)

    @operation("ListDeadLetterSourceQueues")
    async def list_dead_letter_source_queues(self, call: Call, params: Params) -> Answer:
        name = self._queue(params)
        names, token = await self._queues.dead_letter_sources(call.region, name, params.get("MaxResults"), params.get("NextToken"))
        return {"queueUrls": [], **self._page(call, "queueUrls", names, token)}

    @operation("DeleteQueue")
    async def delete_queue(self, call: Call, params: Params) -> None:
        await self._queues.delete(call.region, self._queue(params))

    @operation("PurgeQueue")
    async def purge_queue(self, call: Call, params: Params) -> None:
        await self._queues.purge(call.region, self._queue(params))

    @operation("GetQueueAttributes")
    async def get_queue_attributes(self, call: Call, params: Params) -> Answer:
        attributes = await self._queues.attributes(call.region, self._queue(params), params.get("AttributeNames") or ())
        return {"Attributes": attributes} if attributes else {}

    @operation("SetQueueAttributes", refuses=REFUSED_ATTRIBUTES)
    async def set_queue_attributes(self, call: Call, params: Params) -> None:
        await self._queues.set_attributes(call.region, self._queue(params), params["Attributes"])

    @operation("TagQueue")
    async def tag_queue(self, call: Call, params: Params) -> None:
        await self._queues.tag(call.region, self._queue(params), params["Tags"])

    @operation("UntagQueue")
    async def untag_queue(self, call: Call, params: Params) -> None:
        await self._queues.untag(call.region, self._queue(params), params["TagKeys"])

    @operation("ListQueueTags")
    async def list_queue_tags(self, call: Call, params: Params) -> Answer:
        tags = await self._queues.tags(call.region, self._queue(params))
        return {"Tags": tags} if tags else {}

    # Message move tasks.

    @operation("StartMessageMoveTask")
    async def start_message_move_task(self, call: Call, params: Params) -> Answer:
        rate = params.get("MaxNumberOfMessagesPerSecond")
        return {"TaskHandle": await self._queues.moves.start(params["SourceArn"], params.get("DestinationArn"), rate)}

    @operation("ListMessageMoveTasks")
    async def list_message_move_tasks(self, call: Call, params: Params) -> Answer:
        return {"Results": await self._queues.moves.latest(params["SourceArn"], params.get("MaxResults"))}

    @operation("CancelMessageMoveTask")
    async def cancel_message_move_task(self, call: Call, params: Params) -> Answer:
        return {"ApproximateNumberOfMessagesMoved": await self._queues.moves.cancel(params["TaskHandle"])}

    # Messages.

    @operation("SendMessage")
    async def send_message(self, call: Call, params: Params) -> Answer:
        message = self._outgoing(call, params)
        (outcome,) = await self._queues.send(call.region, self._queue(params), [message])
        if isinstance(outcome, ServiceError):
            raise outcome
        return sent_members(outcome, params)

    @operation("SendMessageBatch")
    async def send_message_batch(self, call: Call, params: Params) -> Answer:
        entries = checked_entries(params)
        messages = [tried(partial(self._outgoing, call, entry)) for entry in entries]
        good = [message for message in messages if isinstance(message, Outgoing)]
        check_total(good)
        outcomes = iter(await self._queues.send(call.region, self._queue(params), good))
        settled = [next(outcomes) if isinstance(message, Outgoing) else message for message in messages]
        return batch_answer(entries, settled, sent_members)

    @operation("ReceiveMessage")
    async def receive_message(self, call: Call, params: Params) -> Answer:
        system_names = [*(params.get("AttributeNames") or ()), *(params.get("MessageSystemAttributeNames") or ())]
        for name in system_names:
            if name not in SYSTEM_ATTRIBUTES:
                raise unknown_attribute(name)
        limit = params.get("MaxNumberOfMessages")
        received = await self._queues.receive(
            call.region,
            self._queue(params),
            limit=1 if limit is None else limit,
            wait=params.get("WaitTimeSeconds"),
            visibility=params.get("VisibilityTimeout"),
            attempt_id=params.get("ReceiveRequestAttemptId"),
        )
        messages = [one.message(system_names, params.get("MessageAttributeNames") or ()) for one in received]
        return {"Messages": messages} if messages else {}

    @operation("DeleteMessage")
    async def delete_message(self, call: Call, params: Params) -> None:
        raise_refusal(await self._queues.delete_messages(call.region, self._queue(params), [params["ReceiptHandle"]]))

    @operation("DeleteMessageBatch")
    async def delete_message_batch(self, call: Call, params: Params) -> Answer:
        entries = checked_entries(params)
        outcomes = await self._queues.delete_messages(call.region, self._queue(params), [entry["ReceiptHandle"] for entry in entries])
        return batch_answer(entries, outcomes)

    @operation("ChangeMessageVisibility")
    async def change_message_visibility(self, call: Call, params: Params) -> None:
        raise_refusal(await self._queues.change_visibility(call.region, self._queue(params), [visibility_change(params)]))

    @operation("ChangeMessageVisibilityBatch")
    async def change_message_visibility_batch(self, call: Call, params: Params) -> Answer:
        entries = checked_entries(params)
        outcomes = await self._queues.change_visibility(call.region, self._queue(params), [visibility_change(entry) for entry in entries])
        return batch_answer(entries, outcomes)

    # Addresses.

    def _url(self, call: Call, name: str) -> str:
        return f"{call.base_url}/{self._queues.account}/{name}"

    def _queue(self, params: Params) -> str:
        """The name in a QueueUrl. Its host does not matter: daemons are reached under many."""
        address = params["QueueUrl"]
        parts = parts_of(address)
        if not address.startswith(("http://", "https://", "/")) or len(parts) < 2:
            raise ServiceError(
                "InvalidAddress", f"The address {address} is not valid for this endpoint: a queue's is http://<host>/<account>/<name>."
            )
        if parts[-2] != self._queues.account:
            raise no_such_queue()
        return parts[-1]

    def _page(self, call: Call, member: str, names: Sequence[str], token: str | None) -> Answer:
        page: dict[str, Any] = {member: [self._url(call, name) for name in names]} if names else {}
        return page | ({"NextToken": token} if token else {})

    def _outgoing(self, call: Call, params: Params) -> Outgoing:
        trace = message_attributes.trace_of(params.get("MessageSystemAttributes") or {})
        if trace is None and call.trace is not None and TRACE_SHAPE.fullmatch(call.trace):
            trace = call.trace  # the SDK of a traced function sends it as a header: SQS hands it on with the message
        return Outgoing(
            params["MessageBody"],
            params.get("MessageAttributes") or {},
            trace,
            params.get("DelaySeconds"),
            params.get("MessageGroupId"),
            params.get("MessageDeduplicationId"),
            self._queues.account,
        )


@remembered()
def parts_of(address: str) -> tuple[str, ...]:
    """The parts of an address' path, decoded."""
    return tuple(unquote(part) for part in urlsplit(address).path.split("/") if part)


def sent_members(sent: Sent | None, params: Params) -> dict[str, Any]:
    if sent is None:
        return {}
    system = params.get("MessageSystemAttributes")
    members = {
        "MessageId": sent.message_id,
        "MD5OfMessageBody": sent.body_md5,
        "MD5OfMessageAttributes": sent.attributes_md5,
        "MD5OfMessageSystemAttributes": message_attributes.md5({TRACE: system[TRACE]}) if system else None,
        "SequenceNumber": sent.sequence,
    }
    return {name: value for name, value in members.items() if value is not None}


def visibility_change(params: Params) -> tuple[str, int]:
    if params.get("VisibilityTimeout") is None:
        raise missing("VisibilityTimeout")
    return params["ReceiptHandle"], params["VisibilityTimeout"]


def raise_refusal(outcomes: Sequence[ServiceError | None]) -> None:
    for outcome in outcomes:
        if outcome is not None:
            raise outcome


def tried(make: Callable[[], Outgoing]) -> Outgoing | ServiceError:
    try:
        return make()
    except ServiceError as error:
        return error


def checked_entries(params: Params) -> list[Params]:
    """The entries of a batch, once their number and ids are right."""
    entries: list[Params] = params["Entries"]
    if not entries:
        raise ServiceError("EmptyBatchRequest", "There should be at least one entry in the request.")
    if len(entries) > MOST_ENTRIES:
        raise ServiceError("TooManyEntriesInBatchRequest", f"Maximum number of entries per request are {MOST_ENTRIES}. You have sent {len(entries)}.")
    ids = [entry["Id"] for entry in entries]
    if not all(ENTRY_ID.fullmatch(entry_id) for entry_id in ids):
        text = "A batch entry id can only contain alphanumeric characters, hyphens and underscores. It can be at most 80 letters long."
        raise ServiceError("InvalidBatchEntryId", text)
    repeated = next((entry_id for index, entry_id in enumerate(ids) if entry_id in ids[:index]), None)
    if repeated is not None:
        raise ServiceError("BatchEntryIdsNotDistinct", f"Id {repeated} repeated.")
    return entries


def check_total(messages: Sequence[Outgoing]) -> None:
    total = sum(message.size() for message in messages)
    if total > LARGEST_MESSAGE:
        raise ServiceError("BatchRequestTooLong", f"Batch requests cannot be longer than {LARGEST_MESSAGE} bytes. You have sent {total} bytes.")


def batch_answer(
    entries: Sequence[Params], outcomes: Sequence[Any], members: Callable[[Any, Params], dict[str, Any]] = lambda _outcome, _entry: {}
) -> dict[str, list[dict[str, Any]]]:
    """Each entry under Successful or Failed, by its id."""
    answer: dict[str, list[dict[str, Any]]] = {"Successful": [], "Failed": []}
    for entry, outcome in zip(entries, outcomes, strict=True):
        if isinstance(outcome, ServiceError):
            failure = {"Id": entry["Id"], "SenderFault": outcome.status < 500, "Code": outcome.code, "Message": outcome.message}
            answer["Failed"].append(failure)
        else:
            answer["Successful"].append({"Id": entry["Id"], **members(outcome, entry)})
    return {member: found for member, found in answer.items() if found}
