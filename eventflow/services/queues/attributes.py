"""The attributes a queue can be given: their ranges, defaults and rules, and the refusal of those that would not be enforced."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from eventflow.errors import ServiceError
from eventflow.services.queues.errors import invalid, invalid_attribute, unknown_attribute
from eventflow.services.queues.redrive import RedriveAllowPolicy, RedrivePolicy

FIFO_SUFFIX = ".fifo"
LARGEST_MESSAGE = 1_048_576
LONGEST_VISIBILITY = 43_200
LONGEST_DELAY = 900
LONGEST_WAIT = 20

#: name -> (least, most, default); seconds, except for bytes in MaximumMessageSize.
NUMBERS = {
    "DelaySeconds": (0, LONGEST_DELAY, 0),
    "MaximumMessageSize": (1024, LARGEST_MESSAGE, LARGEST_MESSAGE),
    "MessageRetentionPeriod": (60, 1_209_600, 345_600),
    "ReceiveMessageWaitTimeSeconds": (0, LONGEST_WAIT, 0),
    "VisibilityTimeout": (0, LONGEST_VISIBILITY, 30),
}
#: For FIFO queues only: name -> (choices, the default first). FifoThroughputLimit is a quota of AWS; a queue here has none, so either value is kept.
FIFO_CHOICES = {
    "ContentBasedDeduplication": ("false", "true"),
    "DeduplicationScope": ("queue", "messageGroup"),
    "FifoThroughputLimit": ("perQueue", "perMessageGroupId"),
}
POLICIES: Mapping[str, Callable[[str], str]] = {
    "RedrivePolicy": lambda text: RedrivePolicy.parse(text).text(),
    "RedriveAllowPolicy": lambda text: RedriveAllowPolicy.parse(text).text(),
}
#: Attributes of SQS that this service does not enforce; an empty value asks for nothing and passes.
REFUSED = {
    "Policy": "queue policies are not enforced by this service; leave Policy out and restrict callers by their own credentials",
    "KmsMasterKeyId": "messages are not encrypted with KMS keys here; leave KmsMasterKeyId out and keep the state directory on an encrypted disk",
    "KmsDataKeyReusePeriodSeconds": "messages are not encrypted with KMS keys here; leave KmsDataKeyReusePeriodSeconds out",
}
#: What GetQueueAttributes can be asked for beyond the above.
MEASURED = (
    "QueueArn",
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesNotVisible",
    "ApproximateNumberOfMessagesDelayed",
    "CreatedTimestamp",
    "LastModifiedTimestamp",
)
SETTABLE = (*NUMBERS, *POLICIES, *FIFO_CHOICES, "FifoQueue", "SqsManagedSseEnabled", *REFUSED)
READABLE = (*MEASURED, *SETTABLE, "All")

PLAIN_NAME = re.compile(r"[A-Za-z0-9_-]{1,80}")
FIFO_NAME = re.compile(r"(?=.{1,80}\Z)[A-Za-z0-9_-]+\.fifo")


def is_fifo(name: str) -> bool:
    return name.endswith(FIFO_SUFFIX)


def check_name(name: str, fifo: bool) -> None:
    if fifo and not FIFO_NAME.fullmatch(name):
        rule = "can only include alphanumeric characters, hyphens, or underscores, must end with .fifo suffix and be 1 to 80 in length."
        raise invalid(f"The name of a FIFO queue {rule}")
    if not fifo and not PLAIN_NAME.fullmatch(name):
        raise invalid("Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length")


def checked_for_creation(name: str, given: Mapping[str, str]) -> dict[str, str]:
    """The attributes of a new queue as they are kept. FifoQueue must agree with the name, as on SQS."""
    wants_fifo = given.get("FifoQueue", "").lower()
    if "FifoQueue" in given and wants_fifo != "true":
        # SQS knows the attribute on FIFO queues alone, and there it can only be true.
        raise unknown_attribute("FifoQueue") if wants_fifo == "false" else invalid_attribute("FifoQueue")
    check_name(name, wants_fifo == "true")
    rest = {attribute: value for attribute, value in given.items() if attribute != "FifoQueue"}
    return checked(rest, fifo=wants_fifo == "true")


def checked_for_change(given: Mapping[str, str], current: Mapping[str, str], *, fifo: bool) -> dict[str, str]:
    """The attributes after a change: the current ones, the given ones over them."""
    if "FifoQueue" in given:
        if not fifo:
            raise unknown_attribute("FifoQueue")
        if given["FifoQueue"].lower() != "true":
            raise invalid_attribute("FifoQueue", "Modifying queue type is not supported.")
    rest = {attribute: value for attribute, value in given.items() if attribute != "FifoQueue"}
    changed = {**current, **checked(rest, fifo=fifo)}
    check_throughput(changed)
    return {attribute: value for attribute, value in changed.items() if value != ""}


def checked(given: Mapping[str, str], *, fifo: bool) -> dict[str, str]:
    """The given attributes in the form they are kept in; an empty policy stays empty (it removes the one that was there)."""
    kept = {name: checked_value(name, value, fifo=fifo) for name, value in given.items()}
    check_throughput(kept)
    return kept


def checked_value(name: str, value: str, *, fifo: bool) -> str:
    if name in NUMBERS:
        return checked_number(name, value)
    if name in POLICIES:
        return POLICIES[name](value) if value else ""
    if name in FIFO_CHOICES and fifo:
        return checked_choice(name, value)
    if name == "SqsManagedSseEnabled":
        return checked_encryption(value)
    if name in REFUSED:
        if value == "":
            return ""
        raise ServiceError("InvalidAttributeValue", f"Invalid value for the parameter {name}. Reason: {REFUSED[name]}.")
    raise unknown_attribute(name)


def checked_number(name: str, value: str) -> str:
    least, most, _default = NUMBERS[name]
    if not re.fullmatch("[0-9]{1,10}", value) or not least <= int(value) <= most:
        raise invalid_attribute(name)
    return str(int(value))


def checked_choice(name: str, value: str) -> str:
    if value not in FIFO_CHOICES[name]:
        raise invalid_attribute(name)
    return value


def checked_encryption(value: str) -> str:
    """SqsManagedSseEnabled: ``false`` is the truth here and passes; ``true`` would be a promise that is not kept."""
    if value == "false":
        return value
    if value == "true":
        raise invalid_attribute(
            "SqsManagedSseEnabled", "messages are not encrypted by the queue here; set it to false and keep the state directory on an encrypted disk."
        )
    raise invalid_attribute("SqsManagedSseEnabled")


def check_throughput(attributes: Mapping[str, str]) -> None:
    if attributes.get("FifoThroughputLimit") == "perMessageGroupId" and attributes.get("DeduplicationScope") != "messageGroup":
        raise invalid_attribute("FifoThroughputLimit", "perMessageGroupId is allowed only when DeduplicationScope is messageGroup.")


def with_defaults(kept: Mapping[str, str], *, fifo: bool) -> dict[str, str]:
    """Every settable attribute's value as GetQueueAttributes tells it; policies only where there is one."""
    told = {name: str(default) for name, (_least, _most, default) in NUMBERS.items()}
    told["SqsManagedSseEnabled"] = "false"
    if fifo:
        told |= {name: choices[0] for name, choices in FIFO_CHOICES.items()} | {"FifoQueue": "true"}
    return told | {name: value for name, value in kept.items() if value != ""}
