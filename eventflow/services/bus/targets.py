"""Targets of rules: what PutTargets accepts, and what each is once it was read."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from eventflow.services.bus.errors import invalid, not_there, refuse_members, unlike
from eventflow.services.bus.inputs import CHOICES, Payload, payload_of
from eventflow.services.bus.names import NAME, check_name, parse_arn

#: Parameters of targets that there are none of here.
REFUSED = (
    "KinesisParameters",
    "RunCommandParameters",
    "EcsParameters",
    "BatchParameters",
    "HttpParameters",
    "RedshiftDataParameters",
    "SageMakerPipelineParameters",
    "AppSyncParameters",
)
FUNCTION = re.compile(r"function:(?P<name>[A-Za-z0-9_-]{1,64})(?P<qualifier>:\$LATEST)?")
BUS = re.compile(r"event-bus/(?P<name>[/.\-_A-Za-z0-9]+)")
LOG_GROUP = re.compile(r"log-group:(?P<name>[.\-_/#A-Za-z0-9]{1,512})(:\*)?")
QUEUE_NAME = re.compile(r"[A-Za-z0-9_-]{1,80}(\.fifo)?")
FIFO = ".fifo"
#: AWS: attempts after the first, and seconds for all of them, where a target says nothing.
MOST_ATTEMPTS = 185
LONGEST_AGE = 86_400
SHORTEST_AGE = 60
LONGEST_INPUT = 8192
LONGEST_ARN = 1600


@dataclass(frozen=True)
class Target:
    """``kind`` is ``function``, ``queue``, ``bus`` or ``log group``, ``name`` its name there; ``region`` its own."""

    id: str
    arn: str
    kind: str
    name: str
    region: str
    payload: Payload
    group: str | None = None
    dead_letters: str | None = None
    attempts: int = MOST_ATTEMPTS
    age: int = LONGEST_AGE
    settings: str = ""


def read_target(given: Mapping[str, Any], account: str) -> Target:
    """A target as PutTargets has it. Raises ValidationException for what EventBridge refuses, NotImplemented for what is not here."""
    name, arn = given["Id"], given["Arn"]
    check_name("targets.member.id", name, 64, NAME)
    if not 1 <= len(arn) <= LONGEST_ARN:
        raise unlike("targets.member.arn", arn, f"have length less than or equal to {LONGEST_ARN}")
    refuse_members(given, REFUSED, f"the parameter (target {name}) ")
    kind, resource, region = place(arn, account)
    check_lengths(given)
    payload = payload_of(given)
    if kind == "bus" and any(given.get(choice) is not None for choice in CHOICES):
        raise not_there(f"Input, InputPath and InputTransformer for event buses as targets (target {name})")
    check_json_for_functions(kind, given)
    policy = given.get("RetryPolicy") or {}
    return Target(
        name,
        arn,
        kind,
        resource,
        region,
        payload,
        group_of(given, kind, resource),
        dead_letters(given, account),
        bounded("maximumRetryAttempts", policy.get("MaximumRetryAttempts"), 0, MOST_ATTEMPTS, MOST_ATTEMPTS),
        bounded("maximumEventAgeInSeconds", policy.get("MaximumEventAgeInSeconds"), SHORTEST_AGE, LONGEST_AGE, LONGEST_AGE),
        json.dumps(given),
    )


def place(arn: str, account: str) -> tuple[str, str, str]:
    """The kind, name and region of what an ARN names."""
    parsed = parse_arn(arn)
    if parsed is None:
        raise invalid(f"Parameter {arn} is not valid. Reason: Provided Arn is not in correct format.")
    if parsed.account != account:
        raise not_there(f"targets in other accounts ({arn}; the account here is {account})")
    if parsed.service == "lambda":
        found = FUNCTION.fullmatch(parsed.resource)
        if found is None:
            raise not_there(f"versions and aliases of functions as targets ({arn}), function ARNs end in their name")
        return "function", found["name"], parsed.region
    if parsed.service == "sqs" and QUEUE_NAME.fullmatch(parsed.resource):
        return "queue", parsed.resource, parsed.region
    group = LOG_GROUP.fullmatch(parsed.resource) if parsed.service == "logs" else None
    if group is not None:
        return "log group", group["name"], parsed.region
    bus = BUS.fullmatch(parsed.resource) if parsed.service == "events" else None
    if bus is not None:
        return "bus", bus["name"], parsed.region
    raise not_there(f"targets other than functions, queues, event buses and log groups ({arn})")


def check_lengths(given: Mapping[str, Any]) -> None:
    for member, longest in (("Input", LONGEST_INPUT), ("InputPath", 256)):
        if len(given.get(member) or "") > longest:
            raise unlike(f"targets.member.{member[0].lower()}{member[1:]}", "...", f"have length less than or equal to {longest}")
    if len((given.get("InputTransformer") or {}).get("InputTemplate") or "") > LONGEST_INPUT:
        raise unlike("targets.member.inputTransformer.inputTemplate", "...", f"have length less than or equal to {LONGEST_INPUT}")


def check_json_for_functions(kind: str, given: Mapping[str, Any]) -> None:
    """A function's event is one JSON value; lines of several are for queues."""
    lines = ((given.get("InputTransformer") or {}).get("InputTemplate") or "").split("\n")
    strings = [line for line in lines if line.strip().startswith('"')]
    if kind == "function" and len(strings) > 1 and len(strings) == len([line for line in lines if line.strip()]):
        raise invalid(
            f"Invalid InputTemplate for target {given['Id']} : a function takes one JSON value, and the template has several lines of strings."
        )


def group_of(given: Mapping[str, Any], kind: str, resource: str) -> str | None:
    parameters = given.get("SqsParameters")
    if parameters and kind != "queue":
        raise invalid(f"Parameter(s) SqsParameters not valid for target: {given['Id']}.")
    group: str | None = (parameters or {}).get("MessageGroupId")
    if kind == "queue" and resource.endswith(FIFO) and not group:
        raise invalid(f"Parameter(s) SqsParameters must be specified for target: {given['Id']}.")
    return group


def dead_letters(given: Mapping[str, Any], account: str) -> str | None:
    arn = (given.get("DeadLetterConfig") or {}).get("Arn")
    if arn is None:
        return None
    parsed = parse_arn(arn)
    if parsed is None or parsed.service != "sqs" or parsed.account != account or not QUEUE_NAME.fullmatch(parsed.resource):
        raise invalid(f"Parameter DeadLetterConfig.Arn {arn} is not valid. Reason: it takes the ARN of a standard queue of this account.")
    if parsed.resource.endswith(FIFO):
        raise invalid(f"Parameter DeadLetterConfig.Arn {arn} is not valid. Reason: dead-letter queues of targets are standard queues.")
    return str(arn)


def bounded(member: str, value: int | None, least: int, most: int, default: int) -> int:
    if value is None:
        return default
    if not least <= value <= most:
        bound = f"greater than or equal to {least}" if value < least else f"less than or equal to {most}"
        raise unlike(f"targets.member.retryPolicy.{member}", value, f"have value {bound}")
    return value
