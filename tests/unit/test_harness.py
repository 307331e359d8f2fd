"""The harness: whole applications in the test's process, on a clock that moves when told to, with boto3 as their client."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest

from eventflow import App, EventflowError
from eventflow.testing.harness import Harness
from triggers import Bucket, Queue, Schedule, Stream

Start = Callable[[str | App], Harness]


def test_a_schedule_fires_at_each_of_its_instants(eventflow_harness: Start) -> None:
    app, fired = App("t"), []

    @app.on(Schedule("rate(5 minutes)"))
    def tick(event: Any, context: Any) -> None:
        fired.append((event["time"], harness.clock.now()))

    harness = eventflow_harness(app)
    start = harness.clock.now()
    harness.advance("4m59s")
    assert fired == []
    harness.advance("10m1s")
    assert [at - start for _time, at in fired] == [300, 600, 900]
    assert fired[0][0] == "2026-01-01T00:05:00Z"


def test_files_and_put_objects_reach_a_bucket_s_function(eventflow_harness: Start) -> None:
    app, seen = App("t"), []

    @app.on(Bucket("uploads", events=("ObjectCreated:*", "ObjectRemoved:*"), suffix=".txt"))
    def arrived(event: Any, context: Any) -> None:
        record = event["Records"][0]
        seen.append((record["eventName"], record["s3"]["object"]["key"]))

    harness = eventflow_harness(app)
    (harness.bucket_path("uploads") / "by hand.txt").write_text("x")
    (harness.bucket_path("uploads") / "other.bin").write_text("x")
    boto3.client("s3").put_object(Bucket="uploads", Key="a/b.txt", Body=b"y")
    harness.drain()
    boto3.client("s3").delete_object(Bucket="uploads", Key="a/b.txt")
    harness.drain()
    harness.drain()
    assert sorted(seen[:2]) == [("ObjectCreated:Put", "a/b.txt"), ("ObjectCreated:Put", "by+hand.txt")]
    assert seen[2:] == [("ObjectRemoved:Delete", "a/b.txt")]


def test_a_notification_that_is_set_by_api_reaches_its_function(eventflow_harness: Start) -> None:
    app, seen = App("t"), []
    app.bucket("uploads")

    @app.function()
    def arrived(event: Any, context: Any) -> None:
        seen.append(event["Records"][0]["s3"]["object"]["key"])

    harness = eventflow_harness(app)
    s3 = boto3.client("s3")
    s3.put_object(Bucket="uploads", Key="before")
    arn = boto3.client("lambda").get_function(FunctionName="arrived")["Configuration"]["FunctionArn"]
    rule = {"LambdaFunctionArn": arn, "Events": ["s3:ObjectCreated:*"]}
    s3.put_bucket_notification_configuration(Bucket="uploads", NotificationConfiguration={"LambdaFunctionConfigurations": [rule]})
    s3.put_object(Bucket="uploads", Key="after")
    harness.drain()
    assert seen == ["after"]


def test_changes_of_a_table_reach_a_stream_s_function_and_what_fails_comes_again(eventflow_harness: Start) -> None:
    app = App("t")
    seen: list[list[str]] = []
    orders, lost = app.table("orders", key="id"), app.queue("lost")

    @app.on(Stream(orders.name, batch_size=2, maximum_retry_attempts=1, on_failure=lost.name, filters=[{"eventName": ["INSERT", "MODIFY"]}]))
    def changed(event: Any, context: Any) -> None:
        keys = [record["dynamodb"]["Keys"]["id"]["S"] for record in event["Records"]]
        seen.append(keys)
        if "bad" in keys:
            raise ValueError("bad")

    harness = eventflow_harness(app)
    table = boto3.resource("dynamodb").Table("orders")
    for key in ("a", "b", "c"):
        table.put_item(Item={"id": key, "n": 1})
    table.delete_item(Key={"id": "a"})
    harness.drain()
    assert seen == [["a", "b"], ["c"]]
    table.put_item(Item={"id": "bad"})
    harness.drain()
    assert seen[2:] == [["bad"]]
    harness.advance("1m")
    assert seen[2:] == [["bad"], ["bad"]]
    queue = boto3.client("sqs")
    (message,) = queue.receive_message(QueueUrl=queue.get_queue_url(QueueName="lost")["QueueUrl"])["Messages"]
    assert json.loads(message["Body"])["DDBStreamBatchInfo"]["batchSize"] == 1
    harness.exceptions.clear()


def test_a_declared_view_is_that_of_the_stream(eventflow_harness: Start) -> None:
    app = App("t")
    app.table("orders", key="id", stream="KEYS_ONLY")
    seen: list[Any] = []

    @app.on(Stream("orders"))
    def changed(event: Any, context: Any) -> None:
        seen.extend(record["dynamodb"] for record in event["Records"])

    harness = eventflow_harness(app)
    boto3.resource("dynamodb").Table("orders").put_item(Item={"id": "a", "n": 1})
    harness.drain()
    assert seen[0]["Keys"] == {"id": {"S": "a"}}
    assert "NewImage" not in seen[0]


def test_messages_are_handled_and_failing_ones_come_back_after_their_visibility(eventflow_harness: Start) -> None:
    app, bodies = App("t"), []
    app.queue("jobs", visibility_timeout=60)

    @app.on(Queue("jobs", batch_size=10, partial_failures=True))
    def work(event: Any, context: Any) -> Any:
        bodies.append(sorted(record["body"] for record in event["Records"]))
        bad = [record for record in event["Records"] if record["body"] == "bad" and record["attributes"]["ApproximateReceiveCount"] == "1"]
        return {"batchItemFailures": [{"itemIdentifier": record["messageId"]} for record in bad]}

    harness = eventflow_harness(app)
    sqs = harness.client("sqs")
    url = sqs.get_queue_url(QueueName="jobs")["QueueUrl"]
    for body in ("good", "bad"):
        sqs.send_message(QueueUrl=url, MessageBody=body)
    harness.drain()
    assert bodies == [["bad", "good"]]
    harness.advance("61s")
    assert bodies == [["bad", "good"], ["bad"]]
    harness.advance("1h")
    assert len(bodies) == 2


def test_six_hours_of_retries_pass_in_a_moment_and_end_in_the_failure_queue(eventflow_harness: Start) -> None:
    app = App("t")
    failures = app.queue("failures")
    times = []

    @app.function(retries=2, on_failure=failures)
    def fails(event: Any, context: Any) -> None:
        times.append(harness.clock.now())
        raise KeyError("nothing there")

    harness = eventflow_harness(app)
    id = harness.emit("fails", {"order": 7})
    assert harness.event(id)["state"] == "waiting"
    harness.advance("6h")
    assert [time - times[0] for time in times] == [0, 60, 180]
    assert harness.event(id)["state"] == "dead"
    assert [type(error) for error in harness.exceptions] == [KeyError] * 3
    sqs = harness.client("sqs")
    [message] = sqs.receive_message(QueueUrl=sqs.get_queue_url(QueueName="failures")["QueueUrl"])["Messages"]
    assert json.loads(message["Body"])["requestPayload"] == {"order": 7}


def test_functions_call_each_other_through_lambda(eventflow_harness: Start) -> None:
    app = App("t")

    @app.function()
    def outer(event: Any, context: Any) -> Any:
        answer = boto3.client("lambda").invoke(FunctionName="inner", Payload=json.dumps({"n": event["n"]}))
        return json.load(answer["Payload"])

    @app.function()
    async def inner(event: Any, context: Any) -> Any:
        return [event["n"] + 1, context.function_name, context.get_remaining_time_in_millis()]

    harness = eventflow_harness(app)
    assert harness.invoke("outer", {"n": 1}).value() == [2, "inner", 3000]


def test_an_outcome_that_is_no_json_is_lambda_s_error(eventflow_harness: Start) -> None:
    app = App("t")

    @app.function()
    def bad(event: Any, context: Any) -> Any:
        return {1, 2} if event else exit(3)

    harness = eventflow_harness(app)
    assert harness.invoke("bad", 1).error_type == "Runtime.MarshalError"
    assert harness.invoke("bad", 0).error_type == "Runtime.ExitError"


def test_two_harnesses_do_not_know_of_each_other(eventflow_harness: Start) -> None:
    app = App("t")
    app.queue("jobs")
    first, second = eventflow_harness(app), eventflow_harness(app)
    first.client("sqs").create_queue(QueueName="extra")
    assert len(first.client("sqs").list_queues()["QueueUrls"]) == 2
    assert len(second.client("sqs").list_queues()["QueueUrls"]) == 1


def test_an_unknown_event_is_named(eventflow_harness: Start) -> None:
    with pytest.raises(EventflowError, match="no event nothing"):
        eventflow_harness(App("t")).event("nothing")


@pytest.mark.slow
def test_an_application_is_imported_when_its_endpoint_is_there_and_forgotten_afterwards(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        myapp="""
        import boto3
        from eventflow import App
        app = App("mine")
        app.bucket("things")
        s3 = boto3.client("s3")
        @app.function()
        def put(event, context):
            s3.put_object(Bucket="things", Key="k", Body=b"v")
        """,
        test_it="""
        import sys, boto3, pytest
        @pytest.mark.parametrize("time", [1, 2])
        def test_put(eventflow_harness, time):
            assert "myapp" not in sys.modules
            harness = eventflow_harness("myapp.py")
            assert harness.invoke("put", {}).ok
            assert boto3.client("s3").get_object(Bucket="things", Key="k")["Body"].read() == b"v"
        def test_clock(eventflow_clock):
            assert eventflow_clock.now() == 1767225600
        """,
    )
    pytester.runpytest_subprocess("-q").assert_outcomes(passed=3)


def test_the_thumbnail_sample_runs_in_the_harness(eventflow_harness: Start, tmp_path: Path) -> None:
    from PIL import Image

    sample = Path(__file__).parents[2] / "samples" / "thumbnails" / "app.py"
    harness = eventflow_harness(str(sample))
    Image.new("RGB", (900, 600), "teal").save(harness.bucket_path("uploads") / "sea.jpg")
    (harness.bucket_path("uploads") / "torn.jpg").write_bytes(b"\xff\xd8\xff\xe0 not really")
    harness.drain()
    [item] = boto3.client("dynamodb").scan(TableName="images")["Items"]
    assert (item["key"]["S"], item["width"]["N"], item["height"]["N"]) == ("sea.jpg", "900", "600")
    assert [event["state"] for event in harness.events("thumbnail")] in (["waiting", "done"], ["done", "waiting"])
    harness.advance("2m")
    [dead] = harness.events("thumbnail", "dead")
    assert "torn.jpg" in dead["reason"]
