"""S3 notifications under kills: puts into a bucket that tells a queue and a function of them, and whether each that was acknowledged was told."""

import json
import random
import time
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.parse import unquote_plus

from tests.chaos.services.register import Unanswered, asked

QUEUE, IDLE, FUNCTION = "noticed", "never-noticed", "notice"
KINDS = ("queue", "function")
SIZES = (0, 1, 700, 70_000)
REST = 240.0
#: To be filled in with the file in which the function notes what it is told: an object's key and size.
APPLICATION = """
@app.function(timeout=30)
def notice(event, context):
    with open({noticed!r}, "a") as file:
        for record in event["Records"]:
            file.write(record["s3"]["object"]["key"] + " " + str(record["s3"]["object"]["size"]) + "\\n")
"""


class NoticeWriter:
    """Puts objects, each under a name of its own, and deletes them when they were told. One rule, for nothing that is put, comes and goes: the others
    must not notice. ``noted`` is the function's file."""

    kind = "S3 notifications"

    def __init__(self, s3: Any, sqs: Any, bucket: str, noted: Path, seed: str) -> None:
        self._s3, self._sqs, self._bucket, self._noted = s3, sqs, bucket, noted
        self._url = sqs.create_queue(QueueName=QUEUE)["QueueUrl"]
        sqs.create_queue(QueueName=IDLE)
        self._chance = random.Random(seed)
        self._number = 0
        #: What was put, by key: its size.
        self.owed: dict[str, int] = {}
        self.perhaps: dict[str, int] = {}
        #: What was told so far, by key: which sizes.
        self.told: dict[str, set[int]] = {}
        self.gone: set[str] = set()
        self.counts: Counter[str] = Counter()
        self.wrongs: list[str] = []
        self._configure()

    def step(self) -> None:
        self._chance.choices((self._put, self._configure, self._tidy), (20, 2, 1))[0]()

    def settle(self) -> None:
        asked(self._sqs.get_queue_attributes, QueueUrl=self._url, AttributeNames=["QueueArn"])

    def _put(self) -> None:
        self._number += 1
        key, size = f"{self._chance.choice(KINDS)}/{self._number}", self._chance.choice(SIZES)
        self.perhaps[key] = size
        if "ETag" not in asked(self._s3.put_object, Bucket=self._bucket, Key=key, Body=b"x" * size):
            raise Unanswered
        self.owed[key] = self.perhaps.pop(key)
        self.counts["acknowledged"] += 1

    def _configure(self) -> None:
        def rule(name: str, prefix: str, **destination: str) -> dict[str, Any]:
            rules = [{"Name": "prefix", "Value": prefix}]
            return {"Id": name, "Events": ["s3:ObjectCreated:*"], "Filter": {"Key": {"FilterRules": rules}}, **destination}

        queues = [rule("queue", "queue/", QueueArn=arn("sqs", QUEUE))]
        if self._chance.random() < 0.7:
            queues.append(rule("idle", f"{self._chance.random()}/", QueueArn=arn("sqs", IDLE)))
        functions = [rule("function", "function/", LambdaFunctionArn=arn("lambda", f"function:{FUNCTION}"))]
        configuration = {"QueueConfigurations": queues, "LambdaFunctionConfigurations": functions}
        asked(self._s3.put_bucket_notification_configuration, Bucket=self._bucket, NotificationConfiguration=configuration)

    def _tidy(self) -> None:
        """Take what was told, and delete those objects: so the bucket stays small, however long this goes on."""
        self._hear()
        doomed = sorted(self.told.keys() - self.gone)[:500]
        if doomed:
            asked(self._s3.delete_objects, Bucket=self._bucket, Delete={"Objects": [{"Key": key} for key in doomed], "Quiet": True})
            self.gone.update(doomed)

    def _hear(self) -> None:
        for line in self._noted.read_text().splitlines() if self._noted.exists() else ():
            key, size = line.split()
            self._heard(key, int(size))
        while messages := asked(self._sqs.receive_message, QueueUrl=self._url, MaxNumberOfMessages=10).get("Messages"):
            for message in messages:
                for record in json.loads(message["Body"]).get("Records", ()):  # a test event has none
                    self._heard(record["s3"]["object"]["key"], record["s3"]["object"]["size"])
            handles = [{"Id": str(number), "ReceiptHandle": message["ReceiptHandle"]} for number, message in enumerate(messages)]
            asked(self._sqs.delete_message_batch, QueueUrl=self._url, Entries=handles)

    def _heard(self, key: str, size: int) -> None:
        self.told.setdefault(unquote_plus(key), set()).add(size)

    def finish(self) -> None:
        """Every put that was acknowledged was told, once or more, as what it was; and nothing that was never put."""
        end = time.monotonic() + REST
        self._hear()
        while not self.owed.keys() <= self.told.keys() and time.monotonic() < end:
            time.sleep(0.1)
            self._hear()
        self.counts["checked"] += len(self.told)
        puts = {**self.owed, **self.perhaps}
        self.wrongs += [f"{key} was put and never told" for key in sorted(self.owed.keys() - self.told.keys())]
        self.wrongs += [f"{key} was told and never put" for key in sorted(self.told.keys() - puts.keys())]
        for key in sorted(puts.keys() & self.told.keys()):
            if self.told[key] != {puts[key]}:
                self.wrongs.append(f"{key} was told with the size {sorted(self.told[key])}, it has {puts[key]}")
        self.counts["unanswered"] = len(self.perhaps)
        self.counts["of which done"] = len(self.perhaps.keys() & self.told.keys())


def arn(service: str, resource: str) -> str:
    return f"arn:aws:{service}:us-east-1:000000000000:{resource}"
