"""What targets of rules and of schedules have in common: how often one is tried, and where what never reaches it goes."""

from __future__ import annotations

from typing import Any

from eventflow.sam.plan import Plan
from eventflow.sam.properties import Properties

#: AWS's ranges of a RetryPolicy (EventBridge and Scheduler API references, RetryPolicy): attempts after the first, seconds.
RANGES = {"MaximumRetryAttempts": (0, 185), "MaximumEventAgeInSeconds": (60, 86_400)}


def delivery(plan: Plan, target: Properties) -> dict[str, Any]:
    """``RetryPolicy`` and ``DeadLetterConfig`` of a target, as PutTargets and CreateSchedule take them."""
    found: dict[str, Any] = {}
    policy = target.at("RetryPolicy")
    bounds = {member: value for member in RANGES if (value := bounded(policy, member, *RANGES[member])) is not None}
    if bounds:
        found["RetryPolicy"] = bounds
    config = target.at("DeadLetterConfig")
    arn = config.take("Arn")
    queue = plan.named(arn)
    if queue is not None and queue.kind == "queue":
        found["DeadLetterConfig"] = {"Arn": arn}
        if queue.name.endswith(".fifo"):
            config.wrong("Arn", f"{queue.name!r} is refused: dead-letter queues of targets are standard queues.")
    elif arn is not None and not plan.stack.is_absent(arn):
        config.absent("Arn", f"{arn!r}: what never reaches a target goes to a queue of this account.")
    return found


def bounded(said: Properties, member: str, least: int, most: int) -> int | None:
    value = said.number(member)
    if value is not None and not least <= value <= most:
        said.wrong(member, f"{value} is refused: it takes {least} to {most}.")
        return None
    return value
