"""A schedule's target: what it may be, and what it is given when an instant has come."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from eventflow.clock import iso
from eventflow.services.schedules.refusals import invalid

#: AWS: "Input ... can be up to 256 KB" (EventBridge Scheduler quotas: target invocation payload).
LARGEST_INPUT = 256 * 1024
#: AWS: the defaults of RetryPolicy (API reference, RetryPolicy).
MOST_ATTEMPTS, LONGEST_AGE = 185, 86_400

ARN = re.compile(r"arn:aws:(?P<service>[^:]*):(?P<region>[^:]*):(?P<account>[^:]*):(?P<resource>.+)", re.DOTALL)
FUNCTION = re.compile(r"function:(?P<name>[A-Za-z0-9_-]{1,64})(?::(?P<qualifier>[^:]+))?")
QUEUE = re.compile(r"[A-Za-z0-9_-]{1,80}(\.fifo)?")
BUS = re.compile(r"event-bus/[A-Za-z0-9_./-]{1,256}")
KINDS = {"lambda": FUNCTION, "sqs": QUEUE, "events": BUS}
#: The parameters that belong to one kind of target, and those that belong to targets that are not there.
PARAMETERS = {"SqsParameters": "sqs", "EventBridgeParameters": "events"}
SERVED = frozenset(("Arn", "RoleArn", "DeadLetterConfig", "RetryPolicy", "Input", *PARAMETERS))
OFFER = "this service invokes Lambda functions, sends to SQS queues and puts events on EventBridge buses."


@dataclass(frozen=True, slots=True)
class Place:
    """Where a schedule lives; its targets live there too. ``buses`` says whether there are event buses."""

    region: str
    account: str
    buses: bool


def checked(target: Mapping[str, Any], place: Place) -> dict[str, Any]:
    """A target that can be served, its retry policy filled in."""
    for name in target:
        if name not in SERVED:
            raise invalid(f"Target.{name} is not supported: {OFFER}")
    kind = kind_of(target["Arn"], place)
    for name, owner in PARAMETERS.items():
        if name in target and kind != owner:
            raise invalid(f"Target.{name} does not belong to the target {target['Arn']}.")
    check_parameters(kind, target)
    check_input(kind, target.get("Input"))
    dead_letters = (target.get("DeadLetterConfig") or {}).get("Arn")
    if dead_letters is not None:
        check_home(dead_letters, place, "DeadLetterConfig.Arn")
    policy = {"MaximumEventAgeInSeconds": LONGEST_AGE, "MaximumRetryAttempts": MOST_ATTEMPTS, **(target.get("RetryPolicy") or {})}
    return {**target, "RetryPolicy": policy}


def kind_of(arn: str, place: Place) -> str:
    found = ARN.fullmatch(arn)
    if found is None:
        raise invalid(f"Provided Arn is not in correct format: {arn}")
    if found["service"] == "scheduler" and found["resource"].startswith("aws-sdk:"):
        raise invalid(f"The universal target {arn} is not supported: {OFFER}")
    pattern = KINDS.get(found["service"])
    if pattern is None or (found["service"] == "events" and not place.buses):
        raise invalid(f"The target {arn} is not supported: {OFFER}")
    resource = pattern.fullmatch(found["resource"])
    if resource is None:
        raise invalid(f"Provided Arn is not in correct format: {arn}")
    if pattern is FUNCTION and resource["qualifier"] not in (None, "$LATEST"):
        raise invalid(f"The target {arn} names a version or alias, and functions here have $LATEST alone: leave it out.")
    check_home(arn, place, "Arn")
    return found["service"]


def check_home(arn: str, place: Place, member: str) -> None:
    found = ARN.fullmatch(arn)
    if found is None or (found["region"], found["account"]) != (place.region, place.account):
        raise invalid(f"Target.{member} {arn} is not in this region and account ({place.region}, {place.account}), where all targets must be.")


def check_parameters(kind: str, target: Mapping[str, Any]) -> None:
    if kind == "events" and "EventBridgeParameters" not in target:
        raise invalid("EventBridgeParameters must be specified for an EventBridge event bus target.")
    if kind == "sqs" and target["Arn"].endswith(".fifo") and not (target.get("SqsParameters") or {}).get("MessageGroupId"):
        raise invalid("SqsParameters.MessageGroupId must be specified for a FIFO queue.")


def check_input(kind: str, text: str | None) -> None:
    if text is None:
        return
    if len(text.encode()) > LARGEST_INPUT:
        raise invalid(f"Target.Input is longer than {LARGEST_INPUT} bytes.")
    if kind == "sqs":
        return
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise invalid(f"Target.Input is not valid JSON, which {'a function' if kind == 'lambda' else 'an event bus'} takes: {error}.") from error
    if kind == "events" and not isinstance(value, dict):
        raise invalid("Target.Input must be a JSON object for an event bus: it becomes the event's detail.")


@dataclass(frozen=True, slots=True)
class Fire:
    """An instant that has come: what is to be delivered, and how often that was tried. ``due_at`` and ``try_at`` are Unix seconds."""

    id: str
    arn: str
    instant: float
    due_at: float
    target: Mapping[str, Any]
    attempts: int

    @property
    def to(self) -> str:
        return str(self.target["Arn"])

    @property
    def service(self) -> str:
        return self.to.split(":")[2]

    @property
    def region(self) -> str:
        return self.to.split(":")[3]

    @property
    def execution(self) -> str:
        """What AWS calls the execution id: 16 hexadecimal digits."""
        return self.id.replace("-", "")[-16:]

    @property
    def time(self) -> str:
        return iso(self.instant, milliseconds=False)

    def payload(self) -> str:
        """What the target gets: the input with its context attributes filled in (AWS: "Adding context attributes"), or Scheduler's own event."""
        text = self.target.get("Input")
        if text is None:
            return self._event()
        values = {"schedule-arn": self.arn, "scheduled-time": self.time, "execution-id": self.execution, "attempt-number": str(self.attempts + 1)}
        for name, value in values.items():
            text = text.replace(f"<aws.scheduler.{name}>", value)
        return str(text)

    def _event(self) -> str:
        _arn, _aws, _scheduler, region, account, _schedule = self.arn.split(":", 5)
        event = {
            "version": "0",
            "id": self.id,
            "detail-type": "Scheduled Event",
            "source": "aws.scheduler",
            "account": account,
            "time": self.time,
            "region": region,
            "resources": [self.arn],
            "detail": "{}",
        }
        return json.dumps(event, separators=(",", ":"))

    def letter(self, code: str, message: str, exhausted: str) -> dict[str, str]:
        """The attributes of its message in the dead-letter queue (AWS: "Configuring a schedule's dead-letter queue")."""
        return {
            "ERROR_CODE": code,
            "ERROR_MESSAGE": message or code,
            "EXECUTION_ID": self.execution,
            "EXHAUSTED_RETRY_CONDITION": exhausted,
            "IS_PAYLOAD_TRUNCATED": "false",
            "RETRY_ATTEMPTS": str(self.attempts),
            "SCHEDULED_TIME": self.time,
            "SCHEDULE_ARN": self.arn,
            "TARGET_ARN": self.to,
        }
