"""The life of a schedule."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.aws.conformance import moto_differs

Refused = Callable[..., tuple[str, int]]


@pytest.fixture
def params(sqs: Any, name: str) -> dict[str, Any]:
    """What CreateSchedule needs."""
    url = sqs.create_queue(QueueName=name)["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    return {
        "Name": name,
        "ScheduleExpression": "rate(1 hour)",
        "FlexibleTimeWindow": {"Mode": "OFF"},
        "Target": {"Arn": arn, "RoleArn": "arn:aws:iam::123456789012:role/scheduler", "Input": '{"a": 1}'},
    }


def test_a_schedule_is_made_told_changed_and_deleted(scheduler: Any, params: dict[str, Any], name: str, refused: Refused) -> None:
    assert scheduler.create_schedule(**params)["ScheduleArn"].endswith(f":schedule/default/{name}")
    told = scheduler.get_schedule(Name=name)
    assert (told["State"], told["ScheduleExpression"], told["Target"]["Input"]) == ("ENABLED", "rate(1 hour)", '{"a": 1}')
    scheduler.update_schedule(
        **{**params, "ScheduleExpression": "cron(0 3 * * ? *)", "ScheduleExpressionTimezone": "Europe/Berlin", "State": "DISABLED"}
    )
    told = scheduler.get_schedule(Name=name)
    assert (told["State"], told["ScheduleExpressionTimezone"]) == ("DISABLED", "Europe/Berlin")
    assert [found["Name"] for found in scheduler.list_schedules(NamePrefix=name)["Schedules"]] == [name]
    scheduler.delete_schedule(Name=name)
    assert refused(scheduler.get_schedule, Name=name) == ("ResourceNotFoundException", 404)


@moto_differs("its status is 400")
def test_a_schedule_that_is_there_already(scheduler: Any, params: dict[str, Any], refused: Refused) -> None:
    scheduler.create_schedule(**params)
    assert refused(scheduler.create_schedule, **params) == ("ConflictException", 409)


@moto_differs("it does not read expressions")
@pytest.mark.parametrize("bad", ["rate(0 hours)", "cron(* * * * *)", "at(tomorrow)", "every hour"])
def test_expressions_that_are_none(scheduler: Any, params: dict[str, Any], bad: str, refused: Refused) -> None:
    assert refused(scheduler.create_schedule, **{**params, "ScheduleExpression": bad}) == ("ValidationException", 400)


def test_a_group_and_its_schedules(scheduler: Any, params: dict[str, Any], name: str, refused: Refused) -> None:
    scheduler.create_schedule_group(Name=name)
    scheduler.create_schedule(**params, GroupName=name)
    assert [found["Name"] for found in scheduler.list_schedules(GroupName=name)["Schedules"]] == [name]
    assert refused(scheduler.get_schedule, Name=name) == ("ResourceNotFoundException", 404)
    assert scheduler.get_schedule_group(Name=name)["State"] == "ACTIVE"
    scheduler.delete_schedule_group(Name=name)
