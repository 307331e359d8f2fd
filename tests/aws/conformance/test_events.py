"""The life of a bus, its rules and their events."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.aws.conformance import moto_differs
from tests.patience import PATIENCE

Refused = Callable[..., tuple[str, int]]
PATTERN = json.dumps({"source": ["shop"], "detail": {"total": [{"numeric": [">", 10]}]}})
EVENT = {"Source": "shop", "DetailType": "order", "Detail": json.dumps({"total": 50})}


@pytest.fixture
def queue(sqs: Any, name: str) -> str:
    url: str = sqs.create_queue(QueueName=name)["QueueUrl"]
    return url


@pytest.fixture
def arn(sqs: Any, queue: str) -> str:
    found: str = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    return found


@pytest.fixture
def bus(events: Any, name: str) -> str:
    events.create_event_bus(Name=name)
    return name


@pytest.fixture
def rule(events: Any, bus: str, arn: str) -> str:
    """A rule ``orders`` on the bus, with the queue as its target."""
    events.put_rule(Name="orders", EventBusName=bus, EventPattern=PATTERN)
    events.put_targets(Rule="orders", EventBusName=bus, Targets=[{"Id": "queue", "Arn": arn}])
    return "orders"


def put(events: Any, bus: str, *entries: dict[str, Any]) -> Any:
    return events.put_events(Entries=[{"EventBusName": bus, **entry} for entry in entries])


def arrived(sqs: Any, queue: str) -> list[Any]:
    """The events that the queue got, as soon as there are any."""
    found: list[Any] = []
    end = time.monotonic() + PATIENCE
    while not found and time.monotonic() < end:
        messages = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10, WaitTimeSeconds=1).get("Messages", [])
        found += [json.loads(message["Body"]) for message in messages]
    return found


def later(sqs: Any, queue: str) -> list[Any]:
    """What comes within a second: nothing, where nothing should."""
    return [json.loads(message["Body"]) for message in sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=1).get("Messages", [])]


def test_a_bus_is_made_described_listed_and_deleted(events: Any, bus: str, refused: Refused) -> None:
    assert events.describe_event_bus(Name=bus)["Arn"].endswith(f":event-bus/{bus}")
    assert [found["Name"] for found in events.list_event_buses(NamePrefix=bus)["EventBuses"]] == [bus]
    assert refused(events.create_event_bus, Name=bus) == ("ResourceAlreadyExistsException", 400)
    events.delete_event_bus(Name=bus)
    assert refused(events.describe_event_bus, Name=bus) == ("ResourceNotFoundException", 400)


def test_there_is_a_default_bus(events: Any) -> None:
    assert events.describe_event_bus()["Name"] == "default"


def test_a_rule_is_described_disabled_enabled_and_deleted(events: Any, bus: str, rule: str, refused: Refused) -> None:
    told = events.describe_rule(Name=rule, EventBusName=bus)
    assert (told["State"], json.loads(told["EventPattern"])) == ("ENABLED", json.loads(PATTERN))
    assert [found["Name"] for found in events.list_rules(EventBusName=bus)["Rules"]] == [rule]
    events.disable_rule(Name=rule, EventBusName=bus)
    assert events.describe_rule(Name=rule, EventBusName=bus)["State"] == "DISABLED"
    events.enable_rule(Name=rule, EventBusName=bus)
    assert refused(events.delete_rule, Name=rule, EventBusName=bus) == ("ValidationException", 400)
    events.remove_targets(Rule=rule, EventBusName=bus, Ids=["queue"])
    events.delete_rule(Name=rule, EventBusName=bus)
    assert refused(events.describe_rule, Name=rule, EventBusName=bus) == ("ResourceNotFoundException", 400)


def test_targets_are_listed_both_ways(events: Any, bus: str, rule: str, arn: str) -> None:
    assert [(target["Id"], target["Arn"]) for target in events.list_targets_by_rule(Rule=rule, EventBusName=bus)["Targets"]] == [("queue", arn)]
    assert events.list_rule_names_by_target(TargetArn=arn, EventBusName=bus)["RuleNames"] == [rule]


@moto_differs("its events have no account")
def test_an_event_that_matches_arrives(events: Any, sqs: Any, bus: str, rule: str, queue: str) -> None:
    answer = put(events, bus, EVENT)
    assert answer["FailedEntryCount"] == 0
    (event,) = arrived(sqs, queue)
    assert (event["source"], event["detail-type"], event["detail"]) == ("shop", "order", {"total": 50})
    assert event["id"] == answer["Entries"][0]["EventId"]
    assert {"version", "account", "time", "region", "resources"} <= set(event)


def test_an_event_that_does_not_match_does_not(events: Any, sqs: Any, bus: str, rule: str, queue: str) -> None:
    put(events, bus, {**EVENT, "Detail": json.dumps({"total": 5})}, {**EVENT, "Source": "other"}, EVENT)
    assert [event["detail"]["total"] for event in [*arrived(sqs, queue), *later(sqs, queue)]] == [50]


def test_bad_entries_fail_alone(events: Any, bus: str) -> None:
    answer = put(events, bus, EVENT, {**EVENT, "Detail": "no JSON"})
    assert answer["FailedEntryCount"] == 1
    assert "EventId" in answer["Entries"][0]
    assert answer["Entries"][1]["ErrorCode"] == "MalformedDetail"


def test_a_target_s_own_input(events: Any, sqs: Any, bus: str, rule: str, arn: str, queue: str) -> None:
    transformer = {"InputPathsMap": {"total": "$.detail.total"}, "InputTemplate": '{"sum": <total>}'}
    events.put_targets(Rule=rule, EventBusName=bus, Targets=[{"Id": "queue", "Arn": arn, "InputTransformer": transformer}])
    put(events, bus, EVENT)
    assert arrived(sqs, queue) == [{"sum": 50}]


LAX = moto_differs("it does not check operators, and fails with 500 on what is no object")


@pytest.mark.parametrize(
    "bad", ["no JSON", '{"source": "shop"}', *(pytest.param(bad, marks=LAX) for bad in ('{"source": [{"unknown": 1}]}', "[]")), '{"source": []}']
)
def test_patterns_that_are_none(events: Any, bus: str, bad: str, refused: Refused) -> None:
    assert refused(events.put_rule, Name="bad", EventBusName=bus, EventPattern=bad) == ("InvalidEventPatternException", 400)


@pytest.mark.parametrize(
    ("detail", "matches"),
    [
        ({"a": ["x"]}, True),
        ({"a": ["y"]}, False),
        ({"a": [{"prefix": "x"}]}, True),
        ({"a": [{"suffix": "y"}]}, False),
        ({"a": [{"equals-ignore-case": "X"}]}, True),
        ({"a": [{"anything-but": ["x"]}]}, False),
        ({"a": [{"wildcard": "*"}]}, True),
        ({"n": [{"numeric": [">=", 1, "<", 2]}]}, True),
        ({"ip": [{"cidr": "10.0.0.0/8"}]}, True),
        ({"none": [{"exists": False}]}, True),
        ({"$or": [{"a": ["y"]}, {"n": [1]}]}, True),
        ({"list": ["two"]}, True),
    ],
)
@moto_differs("it answers TestEventPattern with nothing")
def test_operators_of_patterns(events: Any, detail: Any, matches: bool) -> None:
    event = {
        "id": "1",
        "account": "000000000000",
        "source": "shop",
        "time": "2026-01-01T00:00:00Z",
        "region": "us-east-1",
        "resources": [],
        "detail-type": "order",
        "detail": {"a": "x", "n": 1, "ip": "10.1.2.3", "list": ["one", "two"]},
    }
    assert events.test_event_pattern(EventPattern=json.dumps({"detail": detail}), Event=json.dumps(event))["Result"] is matches


def test_an_archive_is_made_described_and_deleted(events: Any, bus: str, name: str, refused: Refused) -> None:
    source = events.describe_event_bus(Name=bus)["Arn"]
    events.create_archive(ArchiveName=name, EventSourceArn=source, EventPattern=PATTERN, RetentionDays=1)
    assert events.describe_archive(ArchiveName=name)["State"] == "ENABLED"
    events.delete_archive(ArchiveName=name)
    assert refused(events.describe_archive, ArchiveName=name) == ("ResourceNotFoundException", 400)
