"""The codes that errors had in the query protocol and that SDK users still see: those of the model, and SQS's, which its model lost with JSON."""

from __future__ import annotations

from botocore.model import StructureShape

#: AWS: "Amazon SQS API reference", the errors of each action. What is not here has its shape's name.
SQS = {
    "QueueDoesNotExist": "AWS.SimpleQueueService.NonExistentQueue",
    "QueueNameExists": "QueueAlreadyExists",
    "QueueDeletedRecently": "AWS.SimpleQueueService.QueueDeletedRecently",
    "PurgeQueueInProgress": "AWS.SimpleQueueService.PurgeQueueInProgress",
    "MessageNotInflight": "AWS.SimpleQueueService.MessageNotInflight",
    "UnsupportedOperation": "AWS.SimpleQueueService.UnsupportedOperation",
    "TooManyEntriesInBatchRequest": "AWS.SimpleQueueService.TooManyEntriesInBatchRequest",
    "EmptyBatchRequest": "AWS.SimpleQueueService.EmptyBatchRequest",
    "BatchEntryIdsNotDistinct": "AWS.SimpleQueueService.BatchEntryIdsNotDistinct",
    "BatchRequestTooLong": "AWS.SimpleQueueService.BatchRequestTooLong",
    "InvalidBatchEntryId": "AWS.SimpleQueueService.InvalidBatchEntryId",
}
LOST = {"sqs": SQS}


def query_code(service: str, code: str, shape: StructureShape | None) -> str:
    """The older code of an error of this shape; an error that the model does not know keeps its own."""
    if shape is None:
        return code
    modeled: str | None = shape.metadata.get("error", {}).get("code")
    return modeled or LOST.get(service, {}).get(shape.name, shape.name)
