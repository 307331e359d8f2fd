"""Redrive: which queue takes the messages that were received too often, and whether it agrees to."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from eventflow.errors import ServiceError
from eventflow.services.queues.errors import invalid_attribute, invalid_value

MOST_RECEIVES = 1000
MOST_SOURCES = 10
QUEUE_ARN = re.compile(r"arn:aws:sqs:(?P<region>[a-z0-9-]+):(?P<account>[0-9]{12}):(?P<name>[A-Za-z0-9_-]{1,80}(?:\.fifo)?)")
DEFAULT_MAXIMUM = 10


@dataclass(frozen=True, slots=True)
class RedrivePolicy:
    """After ``maximum`` receives a message goes to the queue ``dead_letter`` of the same account and region."""

    dead_letter: str
    arn: str
    maximum: int

    def text(self) -> str:
        return json.dumps({"deadLetterTargetArn": self.arn, "maxReceiveCount": self.maximum}, separators=(",", ":"))

    @classmethod
    def parse(cls, text: str) -> RedrivePolicy:
        """A RedrivePolicy attribute; raises what SQS answers to a bad one."""
        policy = json_map(text, "RedrivePolicy", "Redrive policy is not a valid JSON map.")
        arn = policy.get("deadLetterTargetArn")
        if arn is None:
            raise refusal(text, "Redrive policy does not contain mandatory attribute: deadLetterTargetArn.")
        match = QUEUE_ARN.fullmatch(arn) if isinstance(arn, str) else None
        if match is None:
            raise refusal(text, "Invalid value for deadLetterTargetArn.")
        return cls(match["name"], arn, maximum_receives(text, policy.get("maxReceiveCount", DEFAULT_MAXIMUM)))


def maximum_receives(text: str, value: Any) -> int:
    number = int(value) if isinstance(value, str) and value.isascii() and value.isdecimal() else value
    if not isinstance(number, int) or isinstance(number, bool) or not 1 <= number <= MOST_RECEIVES:
        raise refusal(text, f"Invalid value for maxReceiveCount: {value}, valid values are from 1 to {MOST_RECEIVES} both inclusive.")
    return number


@dataclass(frozen=True, slots=True)
class RedriveAllowPolicy:
    """Which queues may name this one as their dead-letter queue."""

    permission: str
    sources: tuple[str, ...] = ()

    def text(self) -> str:
        policy: dict[str, Any] = {"redrivePermission": self.permission}
        if self.permission == "byQueue":
            policy["sourceQueueArns"] = list(self.sources)
        return json.dumps(policy, separators=(",", ":"))

    def allows(self, source_arn: str) -> bool:
        return self.permission == "allowAll" or (self.permission == "byQueue" and source_arn in self.sources)

    @classmethod
    def parse(cls, text: str) -> RedriveAllowPolicy:
        policy = json_map(text, "RedriveAllowPolicy", "Redrive allow policy is not a valid JSON map.")
        permission, sources = policy.get("redrivePermission", "allowAll"), policy.get("sourceQueueArns", [])
        if permission not in ("allowAll", "denyAll", "byQueue"):
            raise invalid_attribute("RedriveAllowPolicy", "redrivePermission must be allowAll, denyAll or byQueue.")
        if not isinstance(sources, list) or not all(isinstance(arn, str) and QUEUE_ARN.fullmatch(arn) for arn in sources):
            raise invalid_attribute("RedriveAllowPolicy", "sourceQueueArns must be a list of queue ARNs.")
        if (permission == "byQueue") != bool(sources) or len(sources) > MOST_SOURCES:
            raise invalid_attribute(
                "RedriveAllowPolicy", f"sourceQueueArns (1 to {MOST_SOURCES} of them) goes with redrivePermission byQueue, and only with it."
            )
        return cls(permission, tuple(sources))


def json_map(text: str, parameter: str, reason: str) -> Mapping[str, Any]:
    try:
        policy = json.loads(text)
    except ValueError as error:
        raise invalid_value(parameter, text, reason) from error
    if not isinstance(policy, dict):
        raise invalid_value(parameter, text, reason)
    return policy


def refusal(text: str, reason: str) -> ServiceError:
    return invalid_value("RedrivePolicy", text, reason)
