"""A queue behind another endpoint (Amazon SQS, or anything that speaks its API), reached with boto3 in worker threads."""

from __future__ import annotations

import asyncio
import math
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from eventflow import ServiceError

#: Hosts of AWS that tell their region: sqs.<region>.amazonaws.com, and the older <region>.queue.amazonaws.com.
REGION_IN_HOST = re.compile(r"(?:sqs(?:-fips)?\.([a-z0-9-]+)\.(?:amazonaws|api\.aws)|([a-z0-9-]+)\.queue\.amazonaws)")
MOST_AT_ONCE = 10
#: A thread in a request cannot be interrupted, and stopping waits for it: polls are shorter than the 20 seconds that SQS allows.
LONGEST_POLL = 5
ALL = ["All"]


class Handover:
    """Messages on their way from a thread to the loop: whoever waits takes them, or gives them up; exactly one of both happens."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._given_up = False
        self._messages: list[dict[str, Any]] = []

    def put(self, messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """In the thread: hand the messages over. Returns those that nobody waits for any more."""
        with self._lock:
            if self._given_up:
                return messages
            self._messages = messages
            return []

    def give_up(self) -> list[dict[str, Any]]:
        """In the loop: wait no more. Returns what was handed over already."""
        with self._lock:
            self._given_up = True
            return self._messages


class RemoteQueue:
    """A QueueSource over boto3. Credentials are found as boto3 finds them: environment, profile, instance."""

    def __init__(self, client: Any, url: str, arn: str, visibility_timeout: int) -> None:
        self.arn = arn
        self.region = arn.split(":")[3]
        self.visibility_timeout = visibility_timeout
        self.fifo = arn.endswith(".fifo")
        self._client = client
        self._url = url

    @classmethod
    async def connect(cls, name: str, endpoint_url: str | None, region: str | None, default_region: str) -> RemoteQueue:
        """The queue of a URL, or of a name at an endpoint."""
        return await asyncio.to_thread(cls._connect, name, endpoint_url, region, default_region)

    @classmethod
    def _connect(cls, name: str, endpoint_url: str | None, region: str | None, default_region: str) -> RemoteQueue:
        # Imported here: the name of a queue on this machine needs no boto3.
        import boto3
        from botocore.config import Config

        session = boto3.session.Session()
        client = session.client(
            "sqs",
            # Given, or AWS_ENDPOINT_URL, which may well point at this daemon, would lead a real queue's messages astray.
            endpoint_url=endpoint_url or origin(name),
            region_name=region or region_of(name) or session.region_name or default_region,
            config=Config(retries={"mode": "standard", "total_max_attempts": 5}, connect_timeout=10, read_timeout=LONGEST_POLL + 30),
        )
        url = name if is_url(name) else client.get_queue_url(QueueName=name)["QueueUrl"]
        attributes = client.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn", "VisibilityTimeout"])["Attributes"]
        return cls(client, url, attributes["QueueArn"], int(attributes["VisibilityTimeout"]))

    async def receive(self, limit: int, wait: float) -> Sequence[Mapping[str, Any]]:
        """At most ten messages, whatever the limit. A receive that is cancelled returns what it gets to the queue."""
        handover = Handover()
        receiving = asyncio.ensure_future(asyncio.to_thread(self._receive, handover, limit, wait))
        try:
            return await asyncio.shield(receiving)
        except asyncio.CancelledError:
            if messages := handover.give_up():
                await asyncio.to_thread(self._return, messages)
            raise

    def _receive(self, handover: Handover, limit: int, wait: float) -> list[dict[str, Any]]:
        answer = self._client.receive_message(
            QueueUrl=self._url,
            MaxNumberOfMessages=min(limit, MOST_AT_ONCE),
            WaitTimeSeconds=min(math.ceil(wait), LONGEST_POLL),
            VisibilityTimeout=self.visibility_timeout,
            MessageSystemAttributeNames=ALL,
            MessageAttributeNames=ALL,
        )
        messages: list[dict[str, Any]] = answer.get("Messages", [])
        if unwanted := handover.put(messages):
            self._return(unwanted)
            return []
        return messages

    def _return(self, messages: Sequence[Mapping[str, Any]]) -> None:
        from botocore.exceptions import BotoCoreError, ClientError

        # Where even that fails the messages come back when their visibility ends, and there is nobody left to tell.
        with suppress(BotoCoreError, ClientError):
            self._change_visibility([message["ReceiptHandle"] for message in messages], 0)

    async def delete(self, receipt_handles: Sequence[str]) -> None:
        await asyncio.to_thread(self._delete, receipt_handles)

    def _delete(self, handles: Sequence[str]) -> None:
        self._in_tens(self._client.delete_message_batch, [{"ReceiptHandle": handle} for handle in handles])

    async def change_visibility(self, receipt_handles: Sequence[str], seconds: int) -> None:
        await asyncio.to_thread(self._change_visibility, receipt_handles, seconds)

    def _change_visibility(self, handles: Sequence[str], seconds: int) -> None:
        changes = [{"ReceiptHandle": handle, "VisibilityTimeout": seconds} for handle in handles]
        self._in_tens(self._client.change_message_visibility_batch, changes)

    def _in_tens(self, call: Callable[..., Mapping[str, Any]], entries: Sequence[Mapping[str, Any]]) -> None:
        """Send entries ten at a time; the first one that was refused is raised when all are sent."""
        refused: list[Mapping[str, Any]] = []
        for start in range(0, len(entries), MOST_AT_ONCE):
            batch = [{"Id": str(number), **entry} for number, entry in enumerate(entries[start : start + MOST_AT_ONCE])]
            refused += call(QueueUrl=self._url, Entries=batch).get("Failed", [])
        if refused:
            raise ServiceError(
                refused[0]["Code"], f"{len(refused)} of {len(entries)} entries were refused: {refused[0].get('Message', 'no reason given')}"
            )


def is_url(name: str) -> bool:
    return name.startswith(("http://", "https://"))


def origin(name: str) -> str | None:
    """Scheme and host of a queue's URL."""
    parts = urlsplit(name)
    return f"{parts.scheme}://{parts.netloc}" if is_url(name) else None


def region_of(name: str) -> str | None:
    match = REGION_IN_HOST.match(urlsplit(name).hostname or "") if is_url(name) else None
    return (match[1] or match[2]) if match else None
