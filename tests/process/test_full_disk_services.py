"""A disk that fills up under S3, DynamoDB, SQS and Scheduler: each refuses, keeps nothing of what it refused and all that it acknowledged."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.process.daemon_process import DaemonProcess, daemon
from tests.process.test_full_disk import mounted

SIZE = 96 * 1024 * 1024
CODE = """
app.bucket("files")
app.queue("jobs")
app.table("things", key="key")
"""
BALLAST = "x" * 200_000
SPARE = 2 * 1024 * 1024
#: What the state file says, and what a bucket's directory says.
REFUSALS = {("ServiceUnavailable", 503), ("InsufficientStorage", 507)}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    yield from mounted(tmp_path, SIZE)


class Filling:
    """One kind of write, repeated until it is refused three times."""

    def __init__(self, kind: str, write: Callable[[str], Any]) -> None:
        self.kind = kind
        self.kept: list[str] = []
        self.refusals: list[tuple[str, int]] = []
        self.write = write

    def fill(self) -> None:
        for number in range(400):
            name = f"{self.kind}-{number}"
            try:
                self.write(name)
            except ClientError as error:
                self.refusals.append((error.response["Error"]["Code"], error.response["ResponseMetadata"]["HTTPStatusCode"]))
                if len(self.refusals) == 3:
                    return
            else:
                self.kept.append(name)


def fillings(process: DaemonProcess) -> list[Filling]:
    s3, dynamodb, sqs, scheduler = (process.client(service) for service in ("s3", "dynamodb", "sqs", "scheduler"))
    url = sqs.get_queue_url(QueueName="jobs")["QueueUrl"]
    upload = s3.create_multipart_upload(Bucket="files", Key="whole")["UploadId"]
    target = {"Arn": "arn:aws:sqs:us-east-1:000000000000:jobs", "RoleArn": "arn:aws:iam::000000000000:role/r", "Input": BALLAST}

    def schedule(name: str) -> None:
        scheduler.create_schedule(Name=name, ScheduleExpression="at(2099-01-01T00:00:00)", FlexibleTimeWindow={"Mode": "OFF"}, Target=target)

    def part(name: str) -> None:
        number = int(name.rpartition("-")[2]) + 1
        s3.upload_part(Bucket="files", Key="whole", UploadId=upload, PartNumber=number, Body=BALLAST.encode())

    return [
        Filling("object", lambda name: s3.put_object(Bucket="files", Key=name, Body=BALLAST.encode())),
        Filling("part", part),
        Filling("item", lambda name: dynamodb.put_item(TableName="things", Item={"key": {"S": name}, "ballast": {"S": BALLAST}})),
        Filling("message", lambda name: sqs.send_message(QueueUrl=url, MessageBody=f"{name} {BALLAST}")),
        Filling("schedule", schedule),
    ]


def there(process: DaemonProcess) -> dict[str, list[str]]:
    """What of each kind a client finds."""
    s3, dynamodb, sqs, scheduler = (process.client(service) for service in ("s3", "dynamodb", "sqs", "scheduler"))
    url = sqs.get_queue_url(QueueName="jobs")["QueueUrl"]
    messages: list[str] = []
    while received := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=600).get("Messages"):
        messages += [message["Body"].split()[0] for message in received]
    objects = [found["Key"] for found in s3.list_objects_v2(Bucket="files").get("Contents", ())]
    for key in objects:
        assert s3.get_object(Bucket="files", Key=key)["Body"].read() == BALLAST.encode()
    (upload,) = s3.list_multipart_uploads(Bucket="files")["Uploads"]
    parts = s3.list_parts(Bucket="files", Key="whole", UploadId=upload["UploadId"]).get("Parts", ())
    pages = scheduler.get_paginator("list_schedules").paginate()
    return {
        "object": objects,
        "part": [f"part-{part['PartNumber'] - 1}" for part in parts],
        "item": [item["key"]["S"] for page in dynamodb.get_paginator("scan").paginate(TableName="things") for item in page["Items"]],
        "message": messages,
        "schedule": [schedule["Name"] for page in pages for schedule in page["Schedules"]],
    }


@pytest.mark.slow
def test_each_service_refuses_what_a_full_disk_does_not_take_and_keeps_what_it_acknowledged(tmp_path: Path, small_disk: Path) -> None:
    with daemon(tmp_path, CODE) as process:
        process.state = small_disk / "state"
        process.start()
        filler = small_disk / "filler"
        kinds = fillings(process)
        for filling in kinds:
            free = os.statvfs(small_disk).f_bavail * os.statvfs(small_disk).f_frsize
            with filler.open("ab") as file:
                file.write(bytes(max(0, free - SPARE)))
            filling.fill()
            assert len(filling.refusals) == 3, filling.kind
            assert set(filling.refusals) <= REFUSALS, filling.kind
            assert filling.kept, filling.kind
            filler.unlink()
            process.until(lambda again=filling: goes_on(again), "it accepts again")
        process.kill()
        process.start()
        found = there(process)
        for filling in kinds:
            assert sorted(found[filling.kind]) == sorted(filling.kept), filling.kind
        temporaries = [path for path in (process.bucket("files") / ".eventflow-tmp").iterdir() if path.name != "clock"]
        assert len(temporaries) == len(found["part"])


def goes_on(filling: Filling) -> bool:
    name = f"{filling.kind}-500"
    try:
        filling.write(name)
    except ClientError:
        return False
    filling.kept.append(name)
    return True
