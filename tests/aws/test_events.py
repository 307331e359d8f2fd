"""EventBridge through boto3: buses, rules, targets, and what reaches queues."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from eventflow.clock import Clock
from eventflow.composition import Core
from eventflow.database import Database
from tests.aws.conftest import ACCOUNT, REGION, AwsServer, client_of, server_of
from tests.patience import PATIENCE

NUMBERS = count()
PATTERN = json.dumps({"source": ["shop"]})
PREFIX = f"arn:aws:events:{REGION}:{ACCOUNT}:"


async def build(database: Database, clock: Clock, account: str, folder: Path) -> Any:
    core = Core(database, clock, buckets=folder / "buckets", account=account, region=REGION)
    await core.open()
    core.buses.start()
    return core.aws_services("python3.11")


server = server_of(build, "module")
events = client_of("events", "module")
sqs = client_of("sqs", "module")


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    return f"{request.node.originalname.replace('_', '-')[5:50]}-{next(NUMBERS)}"


@pytest.fixture
def queue(sqs: Any, name: str) -> str:
    """The ARN of a queue of this test's own."""
    return made_queue(sqs, name)


@pytest.fixture
def bus(events: Any, name: str) -> str:
    """The name of a bus of this test's own."""
    events.create_event_bus(Name=name)
    return name


def made_queue(sqs: Any, name: str) -> str:
    sqs.create_queue(QueueName=name)
    return f"arn:aws:sqs:{REGION}:{ACCOUNT}:{name}"


def bodies(sqs: Any, arn: str) -> list[Any]:
    url = sqs.get_queue_url(QueueName=arn.rpartition(":")[2])["QueueUrl"]
    received = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, MessageAttributeNames=["All"]).get("Messages", [])
    return [json.loads(message["Body"]) for message in received]


def rule(events: Any, bus: str, name: str, targets: list[dict[str, Any]], pattern: str = PATTERN) -> str:
    arn: str = events.put_rule(Name=name, EventBusName=bus, EventPattern=pattern)["RuleArn"]
    events.put_targets(Rule=name, EventBusName=bus, Targets=targets)
    return arn


def put(events: Any, bus: str, detail: Any, **more: Any) -> dict[str, Any]:
    entry = {"Source": "shop", "DetailType": "order", "Detail": json.dumps(detail), "EventBusName": bus, **more}
    answer: dict[str, Any] = events.put_events(Entries=[entry])
    return answer


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def refused(caught: pytest.ExceptionInfo[ClientError]) -> tuple[str, str]:
    return caught.value.response["Error"]["Code"], caught.value.response["Error"]["Message"]


# Events.


def test_an_event_reaches_the_queue_of_a_rule_that_it_matches(events: Any, sqs: Any, bus: str, queue: str) -> None:
    rule(events, bus, "orders", [{"Id": "q", "Arn": queue}])
    answer = put(events, bus, {"id": 1}, Resources=["arn:x"], Time=1_700_000_000)
    assert answer["FailedEntryCount"] == 0
    put(events, bus, {"id": 2}, Source="other")
    assert bodies(sqs, queue) == [
        {
            "version": "0",
            "id": answer["Entries"][0]["EventId"],
            "detail-type": "order",
            "source": "shop",
            "account": ACCOUNT,
            "time": "2023-11-14T22:13:20Z",
            "region": REGION,
            "resources": ["arn:x"],
            "detail": {"id": 1},
        }
    ]


def test_entries_are_refused_one_by_one(events: Any, bus: str) -> None:
    good = {"Source": "shop", "DetailType": "order", "Detail": "{}", "EventBusName": bus}
    answer = events.put_events(
        Entries=[
            good,
            {key: value for key, value in good.items() if key != "Source"},
            {key: value for key, value in good.items() if key != "DetailType"},
            {key: value for key, value in good.items() if key != "Detail"},
            good | {"Detail": "not json"},
            good | {"Detail": "[]"},
            good | {"Source": "aws.s3"},
            good | {"EventBusName": "no-such-bus"},
        ]
    )
    assert answer["FailedEntryCount"] == 7
    assert "EventId" in answer["Entries"][0]
    assert [(entry["ErrorCode"], entry["ErrorMessage"]) for entry in answer["Entries"][1:]] == [
        ("InvalidArgument", "Parameter Source is not valid. Reason: Source is a required argument."),
        ("InvalidArgument", "Parameter DetailType is not valid. Reason: DetailType is a required argument."),
        ("InvalidArgument", "Parameter Detail is not valid. Reason: Detail is a required argument."),
        ("MalformedDetail", "Detail is malformed."),
        ("MalformedDetail", "Detail is malformed."),
        ("NotAuthorizedForSourceException", "Not authorized for the source."),
        ("ResourceNotFoundException", "Event bus no-such-bus does not exist."),
    ]


def test_a_request_has_ten_entries_and_a_megabyte(events: Any, bus: str) -> None:
    with pytest.raises(ClientError) as caught:
        events.put_events(Entries=[{"Source": "shop", "DetailType": "order", "Detail": "{}"}] * 11)
    assert refused(caught)[0] == "ValidationException"
    with pytest.raises(ClientError) as caught:
        put(events, bus, {"x": "y" * 1024 * 1024})
    assert refused(caught) == ("ValidationException", "Total size of the entries in the request is over the limit.")
    assert put(events, bus, {"x": "y" * 900_000})["FailedEntryCount"] == 0


def test_what_is_not_there_is_refused_by_name(events: Any, bus: str, queue: str) -> None:
    for operation, params, words in (
        (events.put_permission, {"EventBusName": bus, "Action": "events:PutEvents", "Principal": "1" * 12, "StatementId": "x"}, "PutPermission"),
        (events.create_event_bus, {"Name": "k", "KmsKeyIdentifier": "key"}, "KmsKeyIdentifier"),
        (events.put_targets, {"Rule": "r", "Targets": [{"Id": "1", "Arn": "arn:aws:sns:us-east-1:000000000000:t"}]}, "arn:aws:sns"),
        (
            events.put_targets,
            {"Rule": "r", "Targets": [{"Id": "1", "Arn": queue, "HttpParameters": {"PathParameterValues": ["x"]}}]},
            "HttpParameters",
        ),
    ):
        with pytest.raises(ClientError) as caught:
            operation(**params)
        assert refused(caught)[0] == "NotImplemented"
        assert words in refused(caught)[1]


# Buses.


def test_buses(events: Any, name: str) -> None:
    assert events.describe_event_bus()["Arn"] == f"{PREFIX}event-bus/default"
    made = events.create_event_bus(Name=name, Description="mine", Tags=[{"Key": "a", "Value": "1"}])
    assert made["EventBusArn"] == f"{PREFIX}event-bus/{name}"
    assert events.describe_event_bus(Name=made["EventBusArn"])["Description"] == "mine"
    assert [bus["Name"] for bus in events.list_event_buses(NamePrefix=name)["EventBuses"]] == [name]
    assert "default" in [bus["Name"] for bus in events.list_event_buses()["EventBuses"]]
    first = events.list_event_buses(Limit=1)
    assert first["EventBuses"] != events.list_event_buses(Limit=1, NextToken=first["NextToken"])["EventBuses"]
    assert events.list_tags_for_resource(ResourceARN=made["EventBusArn"])["Tags"] == [{"Key": "a", "Value": "1"}]
    with pytest.raises(ClientError) as caught:
        events.create_event_bus(Name=name)
    assert refused(caught) == ("ResourceAlreadyExistsException", f"Event bus {name} already exists.")
    assert events.update_event_bus(Name=name, Description="yours")["Description"] == "yours"
    events.put_rule(Name="r", EventBusName=name, EventPattern=PATTERN)
    with pytest.raises(ClientError) as caught:
        events.delete_event_bus(Name=name)
    assert refused(caught)[0] == "ValidationException"
    events.delete_rule(Name="r", EventBusName=name)
    events.delete_event_bus(Name=name)
    events.delete_event_bus(Name=name)
    with pytest.raises(ClientError) as caught:
        events.describe_event_bus(Name=name)
    assert refused(caught) == ("ResourceNotFoundException", f"Event bus {name} does not exist.")
    with pytest.raises(ClientError) as caught:
        events.delete_event_bus(Name="default")
    assert refused(caught)[0] == "ValidationException"


# Rules.


def test_rules(events: Any, bus: str, queue: str) -> None:
    made = events.put_rule(Name="a", EventBusName=bus, EventPattern=PATTERN, Description="words", State="DISABLED", RoleArn="arn:aws:iam::0:role/r")
    assert made["RuleArn"] == f"{PREFIX}rule/{bus}/a"
    described = events.describe_rule(Name="a", EventBusName=bus)
    assert {key: described[key] for key in ("Name", "State", "EventPattern", "Description", "EventBusName", "RoleArn")} == {
        "Name": "a",
        "State": "DISABLED",
        "EventPattern": PATTERN,
        "Description": "words",
        "EventBusName": bus,
        "RoleArn": "arn:aws:iam::0:role/r",
    }
    events.enable_rule(Name="a", EventBusName=bus)
    assert events.describe_rule(Name="a", EventBusName=bus)["State"] == "ENABLED"
    events.disable_rule(Name="a", EventBusName=bus)
    assert events.describe_rule(Name="a", EventBusName=bus)["State"] == "DISABLED"
    rule(events, bus, "b", [{"Id": "q", "Arn": queue}])
    assert [one["Name"] for one in events.list_rules(EventBusName=bus)["Rules"]] == ["a", "b"]
    assert [one["Name"] for one in events.list_rules(EventBusName=bus, NamePrefix="b")["Rules"]] == ["b"]
    page = events.list_rules(EventBusName=bus, Limit=1)
    assert [one["Name"] for one in events.list_rules(EventBusName=bus, Limit=1, NextToken=page["NextToken"])["Rules"]] == ["b"]
    assert events.list_rule_names_by_target(TargetArn=queue, EventBusName=bus)["RuleNames"] == ["b"]
    with pytest.raises(ClientError) as caught:
        events.delete_rule(Name="b", EventBusName=bus)
    assert refused(caught) == ("ValidationException", "Rule can't be deleted since it has targets.")
    with pytest.raises(ClientError) as caught:
        events.describe_rule(Name="c", EventBusName=bus)
    assert refused(caught) == ("ResourceNotFoundException", f"Rule c does not exist on EventBus {bus}.")


def test_a_disabled_rule_matches_nothing(events: Any, sqs: Any, bus: str, queue: str) -> None:
    rule(events, bus, "r", [{"Id": "q", "Arn": queue}])
    events.disable_rule(Name="r", EventBusName=bus)
    put(events, bus, {"n": 1})
    events.enable_rule(Name="r", EventBusName=bus)
    put(events, bus, {"n": 2})
    assert [body["detail"] for body in bodies(sqs, queue)] == [{"n": 2}]


@pytest.mark.parametrize(
    ("params", "code", "message"),
    [
        ({}, "ValidationException", "Parameter(s) EventPattern or ScheduleExpression must be specified."),
        ({"ScheduleExpression": "rate(1 hour)"}, "ValidationException", "ScheduleExpression is supported only on the default event bus."),
        (
            {"EventPattern": '{"detail": {"state": "x"}}'},
            "InvalidEventPatternException",
            'Event pattern is not valid. Reason: "state" must be an object or an array (at detail.state)',
        ),
    ],
)
def test_rules_that_cannot_be(events: Any, bus: str, params: dict[str, str], code: str, message: str) -> None:
    with pytest.raises(ClientError) as caught:
        events.put_rule(Name="r", EventBusName=bus, **params)
    assert refused(caught) == (code, message)


def test_schedules_are_checked(events: Any) -> None:
    for expression in ("rate(5 minute)", "at(2030-01-01T00:00:00)", "cron(* * * * * *)"):
        with pytest.raises(ClientError) as caught:
            events.put_rule(Name="scheduled", ScheduleExpression=expression)
        assert refused(caught)[1].startswith("Parameter ScheduleExpression is not valid.")
    events.put_rule(Name="scheduled", ScheduleExpression="rate(1 day)")
    assert events.describe_rule(Name="scheduled")["ScheduleExpression"] == "rate(1 day)"
    events.delete_rule(Name="scheduled")


# Targets.


def test_targets(events: Any, sqs: Any, bus: str, queue: str) -> None:
    events.put_rule(Name="r", EventBusName=bus, EventPattern=PATTERN)
    target = {"Id": "q", "Arn": queue, "RetryPolicy": {"MaximumRetryAttempts": 3, "MaximumEventAgeInSeconds": 60}, "DeadLetterConfig": {"Arn": queue}}
    assert events.put_targets(Rule="r", EventBusName=bus, Targets=[target])["FailedEntryCount"] == 0
    assert events.list_targets_by_rule(Rule="r", EventBusName=bus)["Targets"] == [target]
    with pytest.raises(ClientError) as caught:
        events.put_targets(Rule="r", EventBusName=bus, Targets=[{"Id": str(n), "Arn": queue} for n in range(5)])
    assert refused(caught)[0] == "LimitExceededException"
    answer = events.remove_targets(Rule="r", EventBusName=bus, Ids=["q", "nobody"])
    assert [entry["TargetId"] for entry in answer["FailedEntries"]] == ["nobody"]
    assert events.list_targets_by_rule(Rule="r", EventBusName=bus)["Targets"] == []


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ({"Arn": "nonsense"}, "Parameter nonsense is not valid. Reason: Provided Arn is not in correct format."),
        ({"Input": "{}", "InputPath": "$"}, "Only one of Input, InputPath, or InputTransformer must be provided for target t."),
        ({"Input": "not json"}, "JSON syntax error in input for target t"),
        ({"InputPath": "detail"}, "Invalid InputPath for target t: 'detail' does not begin with $."),
        ({"InputTransformer": {"InputTemplate": '"<x>"'}}, "InputTemplate for target t contains placeholder(s) that are not in InputPathsMap: x."),
        ({"InputTransformer": {"InputPathsMap": {"x": "$.a"}, "InputTemplate": "{<x>"}}, "Invalid InputTemplate for target t"),
        ({"InputTransformer": {"InputPathsMap": {"AWSx": "$.a"}, "InputTemplate": '"y"'}}, "Invalid InputPathsMap for target t"),
        ({"Arn": f"arn:aws:sqs:{REGION}:{ACCOUNT}:q.fifo"}, "Parameter(s) SqsParameters must be specified for target: t."),
        ({"RetryPolicy": {"MaximumRetryAttempts": 186}}, "Member must have value less than or equal to 185"),
        ({"DeadLetterConfig": {"Arn": f"arn:aws:sqs:{REGION}:{ACCOUNT}:q.fifo"}}, "dead-letter queues of targets are standard queues"),
    ],
)
def test_targets_that_cannot_be(events: Any, bus: str, target: dict[str, Any], words: str) -> None:
    events.put_rule(Name="r", EventBusName=bus, EventPattern=PATTERN)
    with pytest.raises(ClientError) as caught:
        events.put_targets(Rule="r", EventBusName=bus, Targets=[{"Id": "t", "Arn": f"arn:aws:sqs:{REGION}:{ACCOUNT}:q", **target}])
    assert refused(caught)[0] == "ValidationException"
    assert words in refused(caught)[1]


def test_inputs(events: Any, sqs: Any, bus: str, name: str) -> None:
    """The forms of the user guide's page on input transformation, each to a queue of its own."""
    paths = {"instance": "$.detail.instance", "status": "$.detail.status", "list": "$.detail.list", "none": "$.detail.none", "n": "$.detail.list[1]"}
    forms: dict[str, tuple[dict[str, Any], Any]] = {
        "constant": ({"Input": '{"a": [1, 2]}'}, {"a": [1, 2]}),
        "path": ({"InputPath": "$.detail.list"}, [1, 2]),
        "type": ({"InputPath": "$['detail-type']"}, "order"),
    }
    templates = {
        "string": ('"instance <instance> is in <status>"', "instance i-0 is in RUNNING"),
        "object": ('{"instance": <instance>, "list": <list>, "n": <n>}', {"instance": "i-0", "list": [1, 2], "n": 2}),
        "quoted": ('{"say": "instance \\"<instance>\\" is in <status>"}', {"say": 'instance "i-0" is in RUNNING'}),
        "missing": ('{"x": "<none>", "y": <none>}', {"x": "", "y": ""}),
        "listing": ('"<list>"', "[1,2]"),
        "predefined": ('{"rule": <aws.events.rule-arn>, "name": "<aws.events.rule-name>"}', {"rule": f"{PREFIX}rule/{bus}/four", "name": "four"}),
    }
    forms |= {
        form: ({"InputTransformer": {"InputPathsMap": paths, "InputTemplate": template}}, found) for form, (template, found) in templates.items()
    }
    queues = {form: made_queue(sqs, f"{name}-{form}") for form in forms}
    for number, group in (
        ("one", ["constant", "path", "type"]),
        ("two", ["string", "object", "quoted"]),
        ("three", ["missing", "listing"]),
        ("four", ["predefined"]),
    ):
        rule(events, bus, number, [{"Id": form, "Arn": queues[form], **forms[form][0]} for form in group])
    put(events, bus, {"instance": "i-0", "status": "RUNNING", "list": [1, 2]})
    assert {form: bodies(sqs, arn) for form, arn in queues.items()} == {form: [found] for form, (_target, found) in forms.items()}


def test_the_whole_event_as_a_variable(events: Any, sqs: Any, bus: str, queue: str) -> None:
    template = '{"event": <aws.events.event.json>, "taken": "<aws.events.event.ingestion-time>", "envelope": <aws.events.event>}'
    rule(events, bus, "r", [{"Id": "q", "Arn": queue, "InputTransformer": {"InputTemplate": template}}])
    put(events, bus, {"n": 1})
    (body,) = bodies(sqs, queue)
    assert body["event"]["detail"] == {"n": 1}
    assert "detail" not in body["envelope"]
    assert body["taken"].endswith("Z")


def test_a_fifo_queue_as_a_target(events: Any, sqs: Any, bus: str, name: str) -> None:
    url = sqs.create_queue(QueueName=f"{name}.fifo", Attributes={"FifoQueue": "true", "ContentBasedDeduplication": "true"})["QueueUrl"]
    rule(events, bus, "r", [{"Id": "q", "Arn": f"arn:aws:sqs:{REGION}:{ACCOUNT}:{name}.fifo", "SqsParameters": {"MessageGroupId": "g"}}])
    put(events, bus, {"n": 1})
    (message,) = sqs.receive_message(QueueUrl=url, AttributeNames=["MessageGroupId"])["Messages"]
    assert message["Attributes"]["MessageGroupId"] == "g"


def test_a_bus_as_a_target_and_a_loop(events: Any, sqs: Any, bus: str, queue: str, name: str) -> None:
    second = events.create_event_bus(Name=f"{name}-2")["EventBusArn"]
    rule(events, bus, "on", [{"Id": "b", "Arn": second}])
    rule(events, f"{name}-2", "back", [{"Id": "b", "Arn": f"{PREFIX}event-bus/{bus}"}, {"Id": "q", "Arn": queue}])
    put(events, bus, {"n": 1})
    assert [body["detail"] for body in bodies(sqs, queue)] == [{"n": 1}]


def test_a_log_group_as_a_target(events: Any, server: AwsServer, bus: str, name: str) -> None:
    logs = server.client("logs")
    logs.create_log_group(logGroupName=f"/aws/events/{name}")
    (group,) = logs.describe_log_groups(logGroupNamePrefix=f"/aws/events/{name}")["logGroups"]
    rule(events, bus, "kept", [{"Id": "l", "Arn": group["arn"], "InputPath": "$.detail"}])
    for n in range(3):
        put(events, bus, {"n": n})
    kept = logs.get_log_events(logGroupName=group["logGroupName"], logStreamName="kept", startFromHead=True, limit=2)
    assert [json.loads(event["message"]) for event in kept["events"]] == [{"n": 0}, {"n": 1}]
    more = {"logStreamName": "kept", "startFromHead": True, "nextToken": kept["nextForwardToken"]}
    assert [event["message"] for event in logs.get_log_events(logGroupName=group["logGroupName"], **more)["events"]] == ['{"n":2}']
    page = logs.filter_log_events(logGroupName=group["logGroupName"], limit=2)
    rest = logs.filter_log_events(logGroupName=group["logGroupName"], nextToken=page["nextToken"])
    assert [json.loads(event["message"])["n"] for event in page["events"] + rest["events"]] == [0, 1, 2]
    assert [stream["logStreamName"] for stream in logs.describe_log_streams(logGroupName=group["logGroupName"])["logStreams"]] == ["kept"]
    assert logs.describe_log_groups(logGroupNamePrefix=group["logGroupName"])["logGroups"][0]["storedBytes"] == 21
    logs.put_retention_policy(logGroupName=group["logGroupName"], retentionInDays=7)
    assert logs.describe_log_groups(logGroupNamePrefix=group["logGroupName"])["logGroups"][0]["retentionInDays"] == 7
    logs.delete_log_group(logGroupName=group["logGroupName"])
    with pytest.raises(ClientError) as caught:
        logs.filter_log_events(logGroupName=group["logGroupName"])
    assert refused(caught)[0] == "ResourceNotFoundException"
    with pytest.raises(ClientError) as caught:
        logs.filter_log_events(logGroupName="x", filterPattern="ERROR")
    assert refused(caught) == ("NotImplemented", "eventflow does not have the parameter filterPattern of CloudWatch Logs; leave it out.")


def test_a_queue_that_is_gone_leaves_a_dead_letter(events: Any, sqs: Any, bus: str, queue: str) -> None:
    gone = f"arn:aws:sqs:{REGION}:{ACCOUNT}:never-made"
    arn = rule(events, bus, "r", [{"Id": "q", "Arn": gone, "DeadLetterConfig": {"Arn": queue}, "InputPath": "$.detail"}])
    put(events, bus, {"n": 1})
    url = sqs.get_queue_url(QueueName=queue.rpartition(":")[2])["QueueUrl"]
    (message,) = sqs.receive_message(QueueUrl=url, MessageAttributeNames=["All"])["Messages"]
    told = {key: value["StringValue"] for key, value in message["MessageAttributes"].items()}
    assert told["RULE_ARN"] == arn
    assert told["TARGET_ARN"] == gone
    assert told["ERROR_CODE"] == "NO_RESOURCE"
    assert json.loads(message["Body"])["detail"] == {"n": 1}


# Patterns and tags.


def test_event_patterns_are_tested(events: Any) -> None:
    event = {"id": "1", "account": "0", "source": "shop", "time": "2026-01-01T00:00:00Z", "region": REGION, "resources": [], "detail-type": "t"}
    assert events.test_event_pattern(EventPattern=PATTERN, Event=json.dumps(event))["Result"] is True
    assert events.test_event_pattern(EventPattern=PATTERN, Event=json.dumps(event | {"source": "x"}))["Result"] is False
    with pytest.raises(ClientError) as caught:
        events.test_event_pattern(EventPattern=PATTERN, Event='{"id": "1"}')
    assert refused(caught)[0] == "ValidationException"
    with pytest.raises(ClientError) as caught:
        events.test_event_pattern(EventPattern='{"source": "shop"}', Event=json.dumps(event))
    assert refused(caught)[0] == "InvalidEventPatternException"


def test_tags(events: Any, bus: str) -> None:
    arn = events.put_rule(Name="r", EventBusName=bus, EventPattern=PATTERN, Tags=[{"Key": "a", "Value": "1"}])["RuleArn"]
    events.tag_resource(ResourceARN=arn, Tags=[{"Key": "b", "Value": "2"}])
    events.untag_resource(ResourceARN=arn, TagKeys=["a"])
    assert events.list_tags_for_resource(ResourceARN=arn)["Tags"] == [{"Key": "b", "Value": "2"}]
    with pytest.raises(ClientError) as caught:
        events.list_tags_for_resource(ResourceARN=f"{PREFIX}rule/{bus}/nobody")
    assert refused(caught)[0] == "ResourceNotFoundException"


# Archives and replays.


def test_archives_and_replays(events: Any, sqs: Any, bus: str, queue: str, name: str) -> None:
    source = f"{PREFIX}event-bus/{bus}"
    made = events.create_archive(ArchiveName=name[:40], EventSourceArn=source, EventPattern=PATTERN, RetentionDays=7, Description="words")
    assert made["State"] == "ENABLED"
    for n in range(3):
        put(events, bus, {"n": n}, Time=1_700_000_000 + 60 * n)
    put(events, bus, {"n": 9}, Source="other", Time=1_700_000_000)
    described = events.describe_archive(ArchiveName=name[:40])
    assert (described["EventCount"], described["RetentionDays"], described["EventPattern"]) == (3, 7, PATTERN)
    assert described["SizeBytes"] > 0
    assert [one["ArchiveName"] for one in events.list_archives(EventSourceArn=source)["Archives"]] == [name[:40]]
    chosen = rule(events, bus, "r", [{"Id": "q", "Arn": queue}])
    rule(events, bus, "other", [{"Id": "q", "Arn": queue}])
    destination = {"Arn": source, "FilterArns": [chosen]}
    span = {"EventStartTime": 1_700_000_000, "EventEndTime": 1_700_000_120}
    started = events.start_replay(ReplayName=name, EventSourceArn=made["ArchiveArn"], Destination=destination, **span)
    assert started["State"] == "STARTING"
    until(lambda: events.describe_replay(ReplayName=name)["State"] == "COMPLETED")
    replay = events.describe_replay(ReplayName=name)
    assert (replay["State"], replay["Destination"]) == ("COMPLETED", destination)
    assert "ReplayEndTime" in replay
    assert [(body["detail"]["n"], body["replay-name"]) for body in bodies(sqs, queue)] == [(0, name), (1, name)]
    assert events.describe_archive(ArchiveName=name[:40])["EventCount"] == 3, "what is replayed is not archived again"
    assert name in [one["ReplayName"] for one in events.list_replays(State="COMPLETED")["Replays"]]
    with pytest.raises(ClientError) as caught:
        events.cancel_replay(ReplayName=name)
    assert refused(caught)[0] == "IllegalStatusException"
    with pytest.raises(ClientError) as caught:
        events.start_replay(ReplayName=name, EventSourceArn=made["ArchiveArn"], Destination=destination, **span)
    assert refused(caught)[0] == "ResourceAlreadyExistsException"
    assert events.update_archive(ArchiveName=name[:40], RetentionDays=0)["State"] == "ENABLED"
    events.delete_archive(ArchiveName=name[:40])
    with pytest.raises(ClientError) as caught:
        events.describe_archive(ArchiveName=name[:40])
    assert refused(caught)[0] == "ResourceNotFoundException"
