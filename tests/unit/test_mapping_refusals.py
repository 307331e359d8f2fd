"""What event source mappings by API are refused, in Lambda's words, and the forms of names and values that they take."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from mapping_bench import ACCOUNT, REGION, World, queue_arn, refusal, world

STREAM = f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/items/stream/2026-01-01T00:00:00.000"


OTHER = "parameter for given event source mapping type."


QUEUE_REFUSALS: list[tuple[dict[str, Any], str]] = [
    ({"EventSourceArn": None}, "Unrecognized event source."),
    ({"EventSourceArn": "arn:aws:s3:::bucket"}, "Unrecognized event source. arn:aws:s3:::bucket is the ARN of no SQS queue"),
    ({"EventSourceArn": "arn:aws:kinesis:us-east-1:000000000000:stream/s"}, "eventflow does not have Kinesis streams as event sources"),
    ({"EventSourceArn": "arn:aws:kafka:us-east-1:000000000000:cluster/c/1"}, "eventflow does not have Managed Streaming for Apache Kafka"),
    ({"EventSourceArn": "arn:aws:mq:us-east-1:000000000000:broker:b:1"}, "eventflow does not have Amazon MQ"),
    ({"EventSourceArn": "arn:aws:rds:us-east-1:000000000000:cluster:c"}, "eventflow does not have DocumentDB"),
    ({"EventSourceArn": "arn:aws:sqs:eu-west-1:000000000000:orders"}, "is not of this account and region, which are 000000000000 and us-east-1"),
    ({"EventSourceArn": "arn:aws:sqs:us-east-1:111111111111:orders"}, "is not of this account and region"),
    ({"EventSourceArn": "arn:aws:sqs:us-east-1:000000000000:or/ders"}, "Unrecognized event source."),
    (
        {"EventSourceArn": queue_arn("nowhere")},
        "SQS Error Code: AWS.SimpleQueueService.NonExistentQueue. SQS Error Message: The specified queue does not exist.",
    ),
    ({"EventSourceArn": STREAM, "StartingPosition": "LATEST"}, f"Stream not found: {STREAM}"),
    ({"FunctionName": "nobody"}, "Function does not exist"),
    ({"FunctionName": "f:7"}, "Function does not exist"),
    ({"FunctionName": "arn:aws:lambda:eu-west-1:000000000000:function:f"}, "Function does not exist"),
    ({"FunctionName": "111111111111:function:f"}, "Function does not exist"),
    ({"BatchSize": 11}, "Maximum batch window in seconds must be greater than 0 if maximum batch size is greater than 10"),
    ({"EventSourceArn": queue_arn("line.fifo"), "MaximumBatchingWindowInSeconds": 1}, "Batching window is not supported for FIFO queues"),
    ({"EventSourceArn": queue_arn("line.fifo"), "BatchSize": 11}, "BatchSize 11 is invalid: a batch of a FIFO queue has up to 10 messages."),
    ({"FilterCriteria": {"Filters": [{"Pattern": "{"}]}}, "Invalid filter pattern definition."),
    ({"FilterCriteria": {"Filters": [{"Pattern": '{"body": "x"}'}]}}, "Invalid filter pattern definition."),
    ({"FilterCriteria": {"Filters": [{}]}}, "Invalid filter pattern definition."),
    ({"FilterCriteria": {"Filters": [{"Pattern": '{"body": ["x"]}'}] * 6}}, "FilterCriteria has 6 Filters; an event source mapping may have 5."),
    ({"StartingPosition": "LATEST"}, f"Unsupported StartingPosition {OTHER}"),
    ({"ParallelizationFactor": 2}, f"Unsupported ParallelizationFactor {OTHER}"),
    ({"MaximumRetryAttempts": 2}, f"Unsupported MaximumRetryAttempts {OTHER}"),
    ({"BisectBatchOnFunctionError": True}, f"Unsupported BisectBatchOnFunctionError {OTHER}"),
    ({"TumblingWindowInSeconds": 2}, f"Unsupported TumblingWindowInSeconds {OTHER}"),
    ({"DestinationConfig": {"OnFailure": {"Destination": queue_arn("lost")}}}, f"Unsupported DestinationConfig {OTHER}"),
    ({"ProvisionedPollerConfig": {"MinimumPollers": 2}}, "eventflow does not have the parameter ProvisionedPollerConfig yet; leave it out."),
    ({"KMSKeyArn": "arn:aws:kms:x"}, "eventflow does not have the parameter KMSKeyArn yet"),
    ({"MetricsConfig": {"Metrics": ["EventCount"]}}, "eventflow does not have the parameter MetricsConfig yet"),
    ({"SelfManagedEventSource": {}}, "eventflow does not have the parameter SelfManagedEventSource yet"),
    ({"Topics": ["t"]}, "eventflow does not have the parameter Topics yet"),
    ({"Tags": {"aws:x": "y"}}, "The tag 'aws:x' is not valid"),
    ({"Tags": {str(number): "" for number in range(51)}}, "An event source mapping may have 50 tags; these would be 51."),
]


def test_what_a_queue_s_mapping_is_refused(tmp_path: Path) -> None:
    async def scenario(at: World) -> None:
        await at.queue("line.fifo")
        asked = {"EventSourceArn": await at.queue(), "FunctionName": "f"}
        for params, message in QUEUE_REFUSALS:
            code, text = await refusal(at.mappings.create({**asked, **params}))
            assert code == "InvalidParameterValueException"
            assert message in text
        assert (await at.mappings.page({}))["EventSourceMappings"] == []

    world(scenario, tmp_path)


STREAM_REFUSALS: list[tuple[dict[str, Any], str]] = [
    (
        {"StartingPosition": None},
        "1 validation error detected: Value null at 'startingPosition' failed to satisfy constraint: Member must not be null.",
    ),
    ({"StartingPosition": "AT_TIMESTAMP"}, "Unsupported starting position for arn type: "),
    ({"StartingPositionTimestamp": 1}, "eventflow does not have the parameter StartingPositionTimestamp yet"),
    ({"ScalingConfig": {"MaximumConcurrency": 2}}, f"Unsupported ScalingConfig {OTHER}"),
    ({"MaximumRecordAgeInSeconds": 59}, "MaximumRecordAgeInSeconds 59 is invalid: it takes -1, for no end, or 60 to 604800."),
    ({"TumblingWindowInSeconds": 30, "ParallelizationFactor": 2}, "ParallelizationFactor must be 1 with TumblingWindowInSeconds"),
    ({"DestinationConfig": {"OnSuccess": {"Destination": queue_arn("lost")}}}, f"Unsupported DestinationConfig {OTHER}"),
    (
        {"DestinationConfig": {"OnFailure": {"Destination": "arn:aws:sns:us-east-1:000000000000:topic"}}},
        "What a mapping gives up is told to SQS queues and S3 buckets alone; DestinationConfig.OnFailure.Destination is arn:aws:sns:",
    ),
    (
        {"DestinationConfig": {"OnFailure": {"Destination": "arn:aws:s3:::bucket"}}},
        "The destination arn:aws:s3:::bucket is invalid: there is no such bucket.",
    ),
    (
        {"DestinationConfig": {"OnFailure": {"Destination": queue_arn("line.fifo")}}},
        "DestinationConfig.OnFailure.Destination takes a standard queue",
    ),
    ({"DestinationConfig": {"OnFailure": {"Destination": queue_arn("nowhere")}}}, "AWS.SimpleQueueService.NonExistentQueue"),
    (
        {"DestinationConfig": {"OnFailure": {"Destination": "arn:aws:sqs:us-east-1:111111111111:lost"}}},
        "The destination arn:aws:sqs:us-east-1:111111111111:lost is not of this account and region",
    ),
]


def test_what_a_stream_s_mapping_is_refused(tmp_path: Path) -> None:
    async def scenario(at: World) -> None:
        await at.queue("line.fifo")
        asked = {"EventSourceArn": await at.table(), "FunctionName": "f", "StartingPosition": "LATEST"}
        for params, message in STREAM_REFUSALS:
            code, text = await refusal(at.mappings.create({**asked, **params}))
            assert code == "InvalidParameterValueException"
            assert message in text
        assert (await at.mappings.page({}))["EventSourceMappings"] == []

    world(scenario, tmp_path)


def test_a_second_mapping_between_the_same_two_is_refused(tmp_path: Path) -> None:
    async def scenario(at: World) -> None:
        queue, stream = await at.queue(), await at.table()
        first, second = await at.create(queue), await at.create(stream, StartingPosition="LATEST")
        other = await at.create(queue, "g")
        text = f'An event source mapping with SQS arn (" {queue} ") and function (" f ") already exists. Please update or delete the existing mapping'
        again = {"EventSourceArn": queue, "FunctionName": f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:f"}
        assert await refusal(at.mappings.create(again)) == ("ResourceConflictException", f"{text} with UUID {first}")
        assert await refusal(at.mappings.update(other, {"FunctionName": "f"})) == ("ResourceConflictException", f"{text} with UUID {first}")
        code, message = await refusal(at.mappings.create({"EventSourceArn": stream, "FunctionName": "f", "StartingPosition": "TRIM_HORIZON"}))
        assert code == "ResourceConflictException"
        assert message == (
            f'The event source arn (" {stream} ") and function (" f ") provided mapping already exists. '
            f"Please update or delete the existing mapping with UUID {second}"
        )
        asked = {"EventSourceArn": await at.queue("q"), "FunctionName": "f"}
        both = await asyncio.gather(at.mappings.create(asked), at.mappings.create(asked), return_exceptions=True)
        assert sorted(type(one).__name__ for one in both) == ["ServiceError", "dict"]

    world(scenario, tmp_path)


def test_functions_are_found_by_every_form_of_their_name(tmp_path: Path) -> None:
    async def scenario(at: World) -> None:
        arn = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:f"
        queue = await at.queue()
        for name in ("f", "function:f", "f:$LATEST", f"{ACCOUNT}:function:f", arn, f"{ACCOUNT}:function:f:$LATEST"):
            uuid = await at.create(queue, name)
            assert (await at.mappings.get(uuid))["FunctionArn"] == (f"{arn}:$LATEST" if name.endswith("LATEST") else arn)
            await at.send(name)
            await at.clock.settle()
            assert at.bodies()[-1] == [name]
            await at.mappings.delete(uuid)
            await at.clock.settle()

    world(scenario, tmp_path)


def test_what_an_update_empties_is_gone(tmp_path: Path) -> None:
    async def scenario(at: World) -> None:
        filters = {"Filters": [{"Pattern": '{"body": ["a"]}'}]}
        uuid = await at.create(await at.queue(), FilterCriteria=filters, ScalingConfig={"MaximumConcurrency": 2})
        told = await at.mappings.get(uuid)
        assert (told["FilterCriteria"], told["ScalingConfig"]) == (filters, {"MaximumConcurrency": 2})
        await at.send("a", "b")
        await at.clock.settle()
        await at.mappings.update(uuid, {"FilterCriteria": {}, "ScalingConfig": {}})
        await at.clock.settle()
        assert not {"FilterCriteria", "ScalingConfig"} & (await at.mappings.get(uuid)).keys()
        await at.send("b")
        await at.clock.settle()
        assert at.bodies() == [["a"], ["b"]]
        await at.queue("lost")
        wanted = {"OnFailure": {"Destination": queue_arn("lost")}}
        uuid = await at.create(await at.table(), StartingPosition="LATEST", DestinationConfig=wanted)
        assert (await at.mappings.get(uuid))["DestinationConfig"] == wanted
        await at.mappings.update(uuid, {"DestinationConfig": {"OnFailure": {}}})
        assert (await at.mappings.get(uuid))["DestinationConfig"] == {"OnFailure": {}}

    world(scenario, tmp_path)
