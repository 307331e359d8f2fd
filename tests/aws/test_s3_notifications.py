"""Notifications of buckets that are set by API: to queues and functions, with filters, over restarts."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from test_s3 import refused

from eventflow.aws.operation import Service
from eventflow.clock import Clock, SystemClock
from eventflow.composition import Core
from eventflow.database import Database
from eventflow.function import Function
from tests.aws.conftest import ACCOUNT, REGION, AwsServer

FUNCTION = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:thumbnail"


class World:
    """A server with all services and one function, which nobody runs; its state outlives it."""

    def __init__(self, folder: Path, session: boto3.Session) -> None:
        self.server = AwsServer(self._build, folder, session, SystemClock())
        self.s3, self.sqs = self.server.client("s3"), self.server.client("sqs")

    async def _build(self, database: Database, clock: Clock, account: str, folder: Path) -> list[Service]:
        self.core = Core(database, clock, buckets=folder / "buckets", account=account, region=REGION)
        await self.core.open()
        await self.core.dispatcher.start({"thumbnail": Function(name="thumbnail", handler="app.thumbnail")})
        self.core.buses.start()
        await self.core.notifications.start()
        return self.core.aws_services("python3.11")

    def queue(self, name: str) -> tuple[str, str]:
        url = self.sqs.create_queue(QueueName=name)["QueueUrl"]
        return url, f"arn:aws:sqs:{REGION}:{ACCOUNT}:{name}"

    def bucket(self, name: str) -> str:
        self.s3.create_bucket(Bucket=name)
        return name

    def told(self, url: str, count: int) -> list[Any]:
        """So many messages of a queue, waited for and deleted; in the order of their keys."""
        found: list[Any] = []
        while len(found) < count:
            messages = self.sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=10).get("Messages", [])
            assert messages, found
            for message in messages:
                self.sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
            found += [json.loads(message["Body"]) for message in messages]
        return sorted(found, key=lambda body: str(body.get("Records", [{"s3": {"object": {"key": ""}}}])[0]["s3"]["object"]["key"]))

    def left(self, url: str) -> int:
        asked = self.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages"])
        return int(asked["Attributes"]["ApproximateNumberOfMessages"])

    def events_of_function(self) -> list[Any]:
        async def read() -> list[Any]:
            rows = await self.core.database.read(lambda connection: connection.execute("SELECT payload FROM events ORDER BY rowid").fetchall())
            return [json.loads(payload) for (payload,) in rows]

        return self.server.run(read())

    def close(self) -> None:
        self.server.run(self.core.notifications.stop())
        self.server.run(self._close())
        self.server.close()

    async def _close(self) -> None:
        await self.core.dispatcher.stop(0.0)
        self.core.close()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, boto_session: boto3.Session) -> Iterator[World]:
    world = World(tmp_path_factory.mktemp("notifications"), boto_session)
    yield world
    world.close()


def queue_rule(arn: str, *events: str, id: str | None = None, **filters: str) -> dict[str, Any]:
    rule: dict[str, Any] = {"QueueArn": arn, "Events": list(events or ("s3:ObjectCreated:*",))}
    if filters:
        rule["Filter"] = {"Key": {"FilterRules": [{"Name": name, "Value": value} for name, value in filters.items()]}}
    return rule | ({"Id": id} if id else {})


def configure(world: World, bucket: str, *rules: dict[str, Any], **more: Any) -> None:
    configuration = {"QueueConfigurations": list(rules), **more} if rules else more
    world.s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration=configuration)


def names(bodies: list[Any]) -> list[tuple[str, str]]:
    return [(body["Records"][0]["eventName"], body["Records"][0]["s3"]["object"]["key"]) for body in bodies]


def test_a_queue_hears_of_objects_that_come_and_go(world: World) -> None:
    bucket, (url, arn) = world.bucket("tells-a-queue"), world.queue("listener")
    world.s3.put_object(Bucket=bucket, Key="before")
    assert world.s3.get_bucket_notification_configuration(Bucket=bucket).keys() == {"ResponseMetadata"}
    configure(world, bucket, queue_rule(arn, "s3:ObjectCreated:*", "s3:ObjectRemoved:Delete", id="mine", prefix="in/", suffix=".txt"))
    (test,) = world.told(url, 1)
    assert (test["Service"], test["Event"], test["Bucket"]) == ("Amazon S3", "s3:TestEvent", bucket)
    world.s3.put_object(Bucket=bucket, Key="in/a b.txt", Body=b"hello")
    world.s3.put_object(Bucket=bucket, Key="out/a.txt")
    world.s3.put_object(Bucket=bucket, Key="in/a.jpg")
    world.s3.copy_object(Bucket=bucket, Key="in/copy.txt", CopySource={"Bucket": bucket, "Key": "before"})
    put, copied = world.told(url, 2)
    record = put["Records"][0]
    assert names([put, copied]) == [("ObjectCreated:Put", "in/a+b.txt"), ("ObjectCreated:Copy", "in/copy.txt")]
    assert (record["s3"]["configurationId"], record["s3"]["bucket"]["name"], record["s3"]["object"]["size"]) == ("mine", bucket, 5)
    world.s3.delete_object(Bucket=bucket, Key="in/a b.txt")
    assert names(world.told(url, 1)) == [("ObjectRemoved:Delete", "in/a+b.txt")]
    assert world.left(url) == 0
    (kept,) = world.s3.get_bucket_notification_configuration(Bucket=bucket)["QueueConfigurations"]
    filters = kept.pop("Filter")["Key"]["FilterRules"]
    assert kept == {"Id": "mine", "QueueArn": arn, "Events": ["s3:ObjectCreated:*", "s3:ObjectRemoved:Delete"]}
    assert [(rule["Name"].lower(), rule["Value"]) for rule in filters] == [("prefix", "in/"), ("suffix", ".txt")]


def test_a_function_hears_of_objects_and_two_rules_share_a_bucket(world: World) -> None:
    bucket, (url, arn) = world.bucket("tells-a-function"), world.queue("other")
    function = {"LambdaFunctionArn": FUNCTION, "Events": ["s3:ObjectCreated:Put"]}
    configure(world, bucket, queue_rule(arn, "s3:ObjectRemoved:*"), LambdaFunctionConfigurations=[function])
    assert world.told(url, 1)[0]["Event"] == "s3:TestEvent"
    world.s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    world.s3.delete_object(Bucket=bucket, Key="k")
    assert names(world.told(url, 1)) == [("ObjectRemoved:Delete", "k")]
    mine = [event for event in world.events_of_function() if event["Records"][0]["s3"]["bucket"]["name"] == bucket]
    assert names(mine) in ([("ObjectCreated:Put", "k")], [])  # the file may be gone before anybody has looked at it
    world.s3.put_object(Bucket=bucket, Key="stays", Body=b"x")
    configure(world, bucket)
    world.s3.put_object(Bucket=bucket, Key="unheard")
    assert world.s3.get_bucket_notification_configuration(Bucket=bucket).keys() == {"ResponseMetadata"}
    world.s3.delete_object(Bucket=bucket, Key="stays")
    assert world.left(url) == 0


def test_each_way_in_has_its_name(world: World) -> None:
    bucket, (url, arn) = world.bucket("names-the-ways"), world.queue("of-ways")
    configure(world, bucket, queue_rule(arn, "s3:ObjectCreated:Post", "s3:ObjectCreated:CompleteMultipartUpload"))
    world.told(url, 1)
    world.s3.put_object(Bucket=bucket, Key="put")
    form = world.s3.generate_presigned_post(bucket, "posted")
    fields = "".join(f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n' for name, value in form["fields"].items())
    body = f'{fields}--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\nx\r\n--b--\r\n'
    request = urllib.request.Request(form["url"], body.encode(), {"Content-Type": "multipart/form-data; boundary=b"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        assert answer.status == 204
    upload = {"Bucket": bucket, "Key": "parts"}
    upload["UploadId"] = world.s3.create_multipart_upload(**upload)["UploadId"]
    etag = world.s3.upload_part(**upload, PartNumber=1, Body=b"x")["ETag"]
    world.s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": etag}]})
    assert names(world.told(url, 2)) == [("ObjectCreated:CompleteMultipartUpload", "parts"), ("ObjectCreated:Post", "posted")]
    configure(world, bucket)


def test_the_bus_hears_of_all_objects(world: World) -> None:
    bucket, (url, arn) = world.bucket("tells-the-bus"), world.queue("behind-the-bus")
    bus = world.server.client("events")
    bus.put_rule(Name="objects", EventPattern=json.dumps({"source": ["aws.s3"], "detail": {"bucket": {"name": [bucket]}}}))
    bus.put_targets(Rule="objects", Targets=[{"Id": "queue", "Arn": arn}])
    configure(world, bucket, EventBridgeConfiguration={})
    assert world.s3.get_bucket_notification_configuration(Bucket=bucket)["EventBridgeConfiguration"] == {}
    etag = world.s3.put_object(Bucket=bucket, Key="a b", Body=b"hello")["ETag"].strip('"')
    (created,) = [json.loads(message["Body"]) for message in received(world, url)]
    assert (created["source"], created["detail-type"], created["resources"]) == ("aws.s3", "Object Created", [f"arn:aws:s3:::{bucket}"])
    told = created["detail"]["object"]
    assert (told["key"], told["size"], told["etag"], created["detail"]["reason"]) == ("a b", 5, etag, "PutObject")
    world.s3.delete_object(Bucket=bucket, Key="a b")
    (deleted,) = [json.loads(message["Body"]) for message in received(world, url)]
    assert (deleted["detail-type"], deleted["detail"]["deletion-type"]) == ("Object Deleted", "Permanently Deleted")
    configure(world, bucket)


def received(world: World, url: str) -> list[Any]:
    messages: list[Any] = world.sqs.receive_message(QueueUrl=url, WaitTimeSeconds=10)["Messages"]
    for message in messages:
        world.sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    return messages


def test_what_a_configuration_may_not_be(world: World) -> None:
    bucket, (_url, arn) = world.bucket("refuses"), world.queue("destination")
    world.sqs.create_queue(QueueName="ordered.fifo", Attributes={"FifoQueue": "true"})
    put = world.s3.put_bucket_notification_configuration

    def code(*rules: dict[str, Any], **more: Any) -> tuple[str, int]:
        return refused(put, Bucket=bucket, NotificationConfiguration={"QueueConfigurations": list(rules), **more})

    invalid = ("InvalidArgument", 400)
    assert code(queue_rule(arn.replace("destination", "nobody"))) == invalid
    assert code(queue_rule(arn.replace("destination", "ordered.fifo"))) == invalid
    assert code(queue_rule(arn.replace(ACCOUNT, "111111111111"))) == invalid
    assert code(queue_rule("nonsense")) == invalid
    for name in (f"{FUNCTION}s", FUNCTION.replace(REGION, "eu-west-1"), "nonsense"):
        assert code(LambdaFunctionConfigurations=[{"LambdaFunctionArn": name, "Events": ["s3:ObjectCreated:*"]}]) == invalid
    assert code(TopicConfigurations=[{"TopicArn": "arn:aws:sns:us-east-1:1:t", "Events": ["s3:ObjectCreated:*"]}]) == ("NotImplemented", 501)
    assert code(queue_rule(arn, "s3:Nonsense")) == invalid
    for event in ("s3:ObjectRestore:Post", "s3:ReducedRedundancyLostObject", "s3:ObjectTagging:*", "s3:LifecycleTransition"):
        assert code(queue_rule(arn, event)) == ("NotImplemented", 501)
    twice = queue_rule(arn, prefix="a")
    twice["Filter"]["Key"]["FilterRules"] *= 2
    assert code(twice) == invalid
    assert code(queue_rule(arn, infix="a")) == invalid
    assert code(queue_rule(arn, prefix="a" * 1025)) == invalid
    assert code(queue_rule(arn, id="same", prefix="a"), queue_rule(arn, id="same", prefix="b")) == invalid
    skipping = {"Bucket": bucket, "NotificationConfiguration": {}, "SkipDestinationValidation": True}
    assert refused(put, **skipping) == ("NotImplemented", 501)
    assert refused(put, Bucket="not-there", NotificationConfiguration={}) == ("NoSuchBucket", 404)
    assert world.s3.get_bucket_notification_configuration(Bucket=bucket).keys() == {"ResponseMetadata"}


@pytest.mark.parametrize(
    "one, other, overlap",
    [
        ({}, {}, True),
        ({"prefix": "a"}, {"prefix": "ab"}, True),
        ({"prefix": "a"}, {"prefix": "b"}, False),
        ({"suffix": ".jpg"}, {"suffix": "g"}, True),
        ({"suffix": ".jpg"}, {"suffix": ".png"}, False),
        ({"prefix": "a"}, {"suffix": ".jpg"}, True),
    ],
)
def test_configurations_that_overlap(world: World, one: dict[str, str], other: dict[str, str], overlap: bool) -> None:
    bucket, (_url, arn) = world.bucket("overlaps"), world.queue("destination")
    rules = [queue_rule(arn, "s3:ObjectCreated:Put", **one), queue_rule(arn, "s3:ObjectCreated:*", **other)]
    if overlap:
        given = {"Bucket": bucket, "NotificationConfiguration": {"QueueConfigurations": rules}}
        assert refused(world.s3.put_bucket_notification_configuration, **given) == ("InvalidArgument", 400)
    else:
        configure(world, bucket, *rules)
    apart = [queue_rule(arn, "s3:ObjectCreated:Put", **one), queue_rule(arn, "s3:ObjectRemoved:*", **other)]
    configure(world, bucket, *apart)
    configure(world, bucket)


def test_a_bucket_that_goes_takes_its_rules_along(world: World) -> None:
    bucket, (_url, arn) = world.bucket("goes"), world.queue("destination")
    configure(world, bucket, queue_rule(arn))
    assert len([one for one in world.core.notifications.status() if "goes" in str(one["trigger"])]) == 1
    world.s3.delete_bucket(Bucket=bucket)
    assert [one for one in world.core.notifications.status() if "goes" in str(one["trigger"])] == []
    world.bucket(bucket)
    assert world.s3.get_bucket_notification_configuration(Bucket=bucket).keys() == {"ResponseMetadata"}
    world.s3.delete_bucket(Bucket=bucket)


def test_what_happened_while_nobody_ran_is_told_after_a_restart(tmp_path: Path, boto_session: boto3.Session) -> None:
    first = World(tmp_path, boto_session)
    bucket, (url, arn) = first.bucket("restarted"), first.queue("listener")
    configure(first, bucket, queue_rule(arn, "s3:ObjectCreated:*"))
    first.told(url, 1)
    first.s3.put_object(Bucket=bucket, Key="one")
    assert names(first.told(url, 1)) == [("ObjectCreated:Put", "one")]
    first.close()
    (tmp_path / "buckets" / bucket / "two").write_bytes(b"by hand, while it was down")
    second = World(tmp_path, boto_session)
    url = second.sqs.get_queue_url(QueueName="listener")["QueueUrl"]
    assert names(second.told(url, 1)) == [("ObjectCreated:Put", "two")]
    second.s3.put_object(Bucket=bucket, Key="three")
    assert names(second.told(url, 1)) == [("ObjectCreated:Put", "three")]
    configure(second, bucket)
    assert second.server.run(second.core.database.read(lambda connection: connection.execute(MEMORIES).fetchall())) == []
    second.close()


MEMORIES = "SELECT * FROM cursors WHERE owner LIKE 'notification/%'"


def test_nobody_is_configured_before_the_daemon_runs(serve: Callable[..., Any]) -> None:
    async def build(database: Database, clock: Clock, account: str, folder: Path) -> list[Service]:
        core = Core(database, clock, buckets=folder / "buckets", account=account, region=REGION)
        await core.open()
        return core.aws_services("python3.11")

    s3 = serve(build).client("s3")
    s3.create_bucket(Bucket="early")
    assert refused(s3.put_bucket_notification_configuration, Bucket="early", NotificationConfiguration={}) == ("ServiceUnavailable", 503)
