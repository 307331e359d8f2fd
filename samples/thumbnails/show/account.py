"""The demo as a client of its daemon: plain boto3, as it would talk to AWS."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import ClientError

UPLOADS, THUMBNAILS, IMAGES, REQUESTS = "uploads", "thumbnails", "images", "resize-requests"


class Account:
    """What the sample keeps there. The environment says where, and with which credentials."""

    def __init__(self) -> None:
        self._s3 = boto3.client("s3")
        self._sqs = boto3.client("sqs")
        self._images = boto3.resource("dynamodb").Table(IMAGES)

    def rows(self) -> dict[str, dict[str, Any]]:
        """The table of images, by key."""
        return {str(row["key"]): row for row in self._scan()}

    def _scan(self) -> Iterator[dict[str, Any]]:
        page = self._images.scan(ConsistentRead=True)
        yield from page["Items"]
        while "LastEvaluatedKey" in page:
            page = self._images.scan(ConsistentRead=True, ExclusiveStartKey=page["LastEvaluatedKey"])
            yield from page["Items"]

    def upload(self, path: Path, key: str) -> None:
        with path.open("rb") as body:
            self._s3.put_object(Bucket=UPLOADS, Key=key, Body=body)

    def photograph(self, key: str) -> bytes:
        return self._s3.get_object(Bucket=UPLOADS, Key=key)["Body"].read()

    def thumbnail(self, key: str) -> bytes | None:
        """A thumbnail, or None while there is none of that key."""
        try:
            return self._s3.get_object(Bucket=THUMBNAILS, Key=key)["Body"].read()
        except ClientError as error:
            if error.response["Error"]["Code"] == "NoSuchKey":
                return None
            raise

    def request(self, key: str, width: int) -> None:
        """Ask for a photograph in another width."""
        url = self._sqs.get_queue_url(QueueName=REQUESTS)["QueueUrl"]
        self._sqs.send_message(QueueUrl=url, MessageBody=json.dumps({"key": key, "width": width}))
