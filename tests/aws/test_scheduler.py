"""EventBridge Scheduler as boto3 uses it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from eventflow.aws.operation import Service
from eventflow.aws.scheduler import SchedulerService
from eventflow.aws.sqs import SqsService
from eventflow.clock import Clock
from eventflow.database import Database
from eventflow.services.queues import Queues
from eventflow.services.schedules import DaemonTargets, Schedules
from tests.patience import PATIENCE

ACCOUNT, REGION = "000000000000", "us-east-1"
TARGET = {"Arn": f"arn:aws:sqs:{REGION}:{ACCOUNT}:jobs", "RoleArn": f"arn:aws:iam::{ACCOUNT}:role/scheduler"}
OFF = {"Mode": "OFF"}
POLICY = {"MaximumEventAgeInSeconds": 86_400, "MaximumRetryAttempts": 185}


async def scheduler(database: Database, clock: Clock, account: str, _folder: Path) -> list[Service]:
    queues = Queues(database, clock, account)
    functions: Any = None
    schedules = Schedules(database, clock, account, DaemonTargets(functions, queues))
    await queues.open()
    await schedules.open()
    schedules.start()
    return [SchedulerService(schedules), SqsService(queues)]


@pytest.fixture
def server(serve: Callable[..., Any]) -> Iterator[Any]:
    server = serve(scheduler)
    yield server
    server.run(server.services["scheduler"]._schedules.close())


@pytest.fixture
def client(server: Any) -> Any:
    return server.client("scheduler")


def refused(call: Callable[..., Any], **params: Any) -> tuple[str, int, str]:
    with pytest.raises(ClientError) as caught:
        call(**params)
    error = caught.value.response
    return error["Error"]["Code"], error["ResponseMetadata"]["HTTPStatusCode"], error["Error"]["Message"]


def test_a_schedule_is_made_told_replaced_listed_and_deleted(client: Any) -> None:
    start = datetime.now(UTC).replace(microsecond=0) + timedelta(days=1)
    arn = client.create_schedule(
        Name="nightly",
        ScheduleExpression="cron(0 3 * * ? *)",
        ScheduleExpressionTimezone="Europe/Berlin",
        StartDate=start,
        EndDate=start + timedelta(days=7),
        Description="tidies up",
        State="DISABLED",
        FlexibleTimeWindow={"Mode": "FLEXIBLE", "MaximumWindowInMinutes": 15},
        ActionAfterCompletion="DELETE",
        Target={**TARGET, "Input": "{}", "RetryPolicy": {"MaximumRetryAttempts": 3}},
    )["ScheduleArn"]
    assert arn == f"arn:aws:scheduler:{REGION}:{ACCOUNT}:schedule/default/nightly"
    told = client.get_schedule(Name="nightly")
    created = told.pop("CreationDate")
    assert abs((created - datetime.now(UTC)).total_seconds()) < 60
    assert told.pop("LastModificationDate") == created
    told.pop("ResponseMetadata")
    assert told == {
        "Arn": arn,
        "GroupName": "default",
        "Name": "nightly",
        "ScheduleExpression": "cron(0 3 * * ? *)",
        "ScheduleExpressionTimezone": "Europe/Berlin",
        "StartDate": start,
        "EndDate": start + timedelta(days=7),
        "Description": "tidies up",
        "State": "DISABLED",
        "FlexibleTimeWindow": {"Mode": "FLEXIBLE", "MaximumWindowInMinutes": 15},
        "ActionAfterCompletion": "DELETE",
        "Target": {**TARGET, "Input": "{}", "RetryPolicy": {**POLICY, "MaximumRetryAttempts": 3}},
    }
    updated = client.update_schedule(Name="nightly", ScheduleExpression="at(2099-01-01T00:00:00)", FlexibleTimeWindow=OFF, Target=TARGET)
    assert updated["ScheduleArn"] == arn
    told = client.get_schedule(Name="nightly", GroupName="default")
    assert (told["State"], told["ScheduleExpressionTimezone"], told["Target"]) == ("ENABLED", "UTC", {**TARGET, "RetryPolicy": POLICY})
    assert not {"Description", "StartDate", "EndDate"} & set(told)
    (listed,) = client.list_schedules()["Schedules"]
    assert (listed["Arn"], listed["GroupName"], listed["State"], listed["Target"]) == (arn, "default", "ENABLED", {"Arn": TARGET["Arn"]})
    client.delete_schedule(Name="nightly")
    assert client.list_schedules()["Schedules"] == []
    for call in (client.get_schedule, client.delete_schedule):
        assert refused(call, Name="nightly") == ("ResourceNotFoundException", 404, "Schedule nightly does not exist.")
    gone = refused(client.update_schedule, Name="nightly", ScheduleExpression="rate(1 hour)", FlexibleTimeWindow=OFF, Target=TARGET)
    assert gone[:2] == ("ResourceNotFoundException", 404)


def make(client: Any, name: str, **more: Any) -> None:
    client.create_schedule(**{"Name": name, "ScheduleExpression": "at(2099-01-01T00:00:00)", "FlexibleTimeWindow": OFF, "Target": TARGET, **more})


def test_groups_hold_schedules_and_go_with_them(client: Any) -> None:
    tags = [{"Key": "team", "Value": "night"}]
    arn = client.create_schedule_group(Name="reports", Tags=tags)["ScheduleGroupArn"]
    assert arn == f"arn:aws:scheduler:{REGION}:{ACCOUNT}:schedule-group/reports"
    for group in ("reports", "default"):
        make(client, "same", GroupName=group)
    assert refused(make, client=client, name="same") == ("ConflictException", 409, "Schedule same already exists.")
    conflict = refused(client.create_schedule_group, Name="reports")
    assert conflict == ("ConflictException", 409, "Schedule group reports already exists.")
    told = client.get_schedule_group(Name="reports")
    assert (told["Arn"], told["Name"], told["State"]) == (arn, "reports", "ACTIVE")
    assert client.get_schedule_group(Name="default")["State"] == "ACTIVE"
    assert [group["Name"] for group in client.list_schedule_groups()["ScheduleGroups"]] == ["default", "reports"]
    assert [group["Name"] for group in client.list_schedule_groups(NamePrefix="re")["ScheduleGroups"]] == ["reports"]
    client.tag_resource(ResourceArn=arn, Tags=[{"Key": "cost", "Value": "1"}])
    client.untag_resource(ResourceArn=arn, TagKeys=["team"])
    assert client.list_tags_for_resource(ResourceArn=arn)["Tags"] == [{"Key": "cost", "Value": "1"}]
    client.delete_schedule_group(Name="reports")
    assert [schedule["GroupName"] for schedule in client.list_schedules()["Schedules"]] == ["default"]
    missing = ("ResourceNotFoundException", 404, "Schedule group reports does not exist.")
    assert refused(client.get_schedule, Name="same", GroupName="reports") == missing
    assert refused(client.list_schedules, GroupName="reports") == missing
    assert refused(make, client=client, name="same", GroupName="reports") == missing
    assert refused(client.delete_schedule_group, Name="default")[:2] == ("ValidationException", 400)


def test_lists_come_in_pages_and_by_prefix_group_and_state(client: Any) -> None:
    client.create_schedule_group(Name="other")
    for number in range(5):
        make(client, f"a-{number}", State="DISABLED" if number % 2 else "ENABLED")
    make(client, "b", GroupName="other")
    pages = client.get_paginator("list_schedules").paginate(PaginationConfig={"PageSize": 2})
    assert [[schedule["Name"] for schedule in page["Schedules"]] for page in pages] == [["a-0", "a-1"], ["a-2", "a-3"], ["a-4", "b"]]
    assert [schedule["Name"] for schedule in client.list_schedules(NamePrefix="a-", State="DISABLED")["Schedules"]] == ["a-1", "a-3"]
    assert [schedule["Name"] for schedule in client.list_schedules(GroupName="other")["Schedules"]] == ["b"]
    assert refused(client.list_schedules, NextToken="nonsense")[:2] == ("ValidationException", 400)
    pages = client.get_paginator("list_schedule_groups").paginate(PaginationConfig={"PageSize": 1})
    assert [[group["Name"] for group in page["ScheduleGroups"]] for page in pages] == [["default"], ["other"]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"Name": "näm"}, "1 validation error detected: Value 'näm' at 'name' failed to satisfy constraint: Member must satisfy regular expression"),
        ({"Name": "x" * 65}, "at 'name' failed to satisfy constraint: Member must have length less than or equal to 64"),
        ({"State": "ON"}, "Value 'ON' at 'state' failed to satisfy constraint: Member must satisfy enum value set: [ENABLED, DISABLED]"),
        ({"Target": {**TARGET, "RetryPolicy": {"MaximumRetryAttempts": 186}}}, "Value '186' at 'target.retryPolicy.maximumRetryAttempts'"),
        ({"Target": {**TARGET, "RoleArn": "me"}, "State": "ON"}, "2 validation errors detected: "),
        ({"ScheduleExpression": "rate(0 minutes)"}, "Invalid Schedule Expression rate(0 minutes): "),
        ({"Target": {**TARGET, "Arn": "arn:aws:scheduler:::aws-sdk:sqs:sendMessage"}}, "The universal target "),
    ],
)
def test_what_is_wrong_is_named_as_by_aws(server: Any, change: dict[str, Any], message: str) -> None:
    client = server.client("scheduler", parameter_validation=False)
    code, status, text = refused(make, client=client, **{"name": "x", **change})
    assert (code, status) == ("ValidationException", 400)
    assert message in text


def test_a_schedule_sends_to_its_queue(server: Any, client: Any) -> None:
    sqs = server.client("sqs")
    url = sqs.create_queue(QueueName="jobs")["QueueUrl"]
    instant = (datetime.now(UTC) + timedelta(seconds=1)).strftime("%Y-%m-%dT%H:%M:%S")
    make(client, "soon", ScheduleExpression=f"at({instant})", ActionAfterCompletion="DELETE")
    (message,) = sqs.receive_message(QueueUrl=url, WaitTimeSeconds=20)["Messages"]
    assert json.loads(message["Body"])["time"] == f"{instant}Z"
    end = time.monotonic() + PATIENCE
    while client.list_schedules()["Schedules"]:
        assert time.monotonic() < end
