"""The Queue trigger on a queue behind another endpoint: moto's server stands in for SQS."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

from eventflow import ServiceError, SettingError
from eventflow.clock import SystemClock
from eventflow.testing.recording_target import RecordingTarget
from tests.patience import PATIENCE
from triggers.queue import Queue
from triggers.remote_queue import RemoteQueue

REGION = "eu-west-1"


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
        ("AWS_EC2_METADATA_DISABLED", "true"),
        # Whoever runs functions here has this variable pointing at the daemon; the trigger must not follow it.
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:9"),
    ):
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("triggers.remote_queue.LONGEST_POLL", 1)  # the end of each test waits for a poll to end


@pytest.fixture
def sqs(moto: str, credentials: None) -> Any:
    return boto3.client("sqs", region_name=REGION, endpoint_url=moto)


def address(sqs: Any, name: str, **attributes: str) -> str:
    sqs.create_queue(QueueName=name, Attributes=attributes)
    url: str = sqs.get_queue_url(QueueName=name)["QueueUrl"]
    return url


def drive(trigger: Queue, target: RecordingTarget, condition: Callable[[], bool]) -> None:
    """Run the trigger until the condition holds, then stop it."""

    async def whole() -> None:
        running = asyncio.create_task(trigger.run(target))
        for _look in range(6_000):
            if condition() or running.done():
                break
            await asyncio.sleep(0.01)
        running.cancel()
        done, _pending = await asyncio.wait({running}, timeout=PATIENCE)
        for task in done:
            if not task.cancelled():
                task.result()
        assert condition()

    asyncio.run(whole())


def left(sqs: Any, url: str) -> tuple[int, int]:
    told = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    return int(told["ApproximateNumberOfMessages"]), int(told["ApproximateNumberOfMessagesNotVisible"])


def counted(target: RecordingTarget) -> int:
    return sum(len(payload["Records"]) for payload in target.payloads)


def test_messages_of_a_queue_url_are_handled_and_deleted(sqs: Any) -> None:
    url = address(sqs, "orders")
    for number in range(12):
        sqs.send_message(QueueUrl=url, MessageBody=str(number), MessageAttributes={"n": {"DataType": "Number", "StringValue": str(number)}})
    target = RecordingTarget(SystemClock())
    drive(Queue(url, region=REGION), target, lambda: counted(target) == 12 and left(sqs, url) == (0, 0))
    record = target.payloads[0]["Records"][0]
    assert record["eventSourceARN"] == f"arn:aws:sqs:{REGION}:123456789012:orders"
    assert record["awsRegion"] == REGION
    assert record["messageAttributes"]["n"]["stringValue"] == record["body"]
    assert int(record["attributes"]["ApproximateReceiveCount"]) == 1


def test_a_queue_by_name_at_an_endpoint_with_partial_failures(sqs: Any, moto: str) -> None:
    url = address(sqs, "partial")
    for body in ("good", "bad"):
        sqs.send_message(QueueUrl=url, MessageBody=body)
    target = RecordingTarget(SystemClock())
    target.handler = lambda event: {
        "batchItemFailures": [{"itemIdentifier": record["messageId"]} for record in event["Records"] if record["body"] == "bad"]
    }
    trigger = Queue("partial", partial_failures=True, endpoint_url=moto, region=REGION)
    drive(trigger, target, lambda: counted(target) == 2 and left(sqs, url) == (0, 1))


def test_filters_of_a_queue_elsewhere(sqs: Any) -> None:
    url = address(sqs, "filtered")
    for number in range(12):
        sqs.send_message(QueueUrl=url, MessageBody=f'{{"n": {number}}}')
    target = RecordingTarget(SystemClock())
    trigger = Queue(url, region=REGION, filters=[{"body": {"n": [{"numeric": [">=", 10]}]}}])
    drive(trigger, target, lambda: counted(target) == 2 and left(sqs, url) == (0, 0))


def test_a_failed_batch_stays_hidden(sqs: Any) -> None:
    url = address(sqs, "failing")
    sqs.send_message(QueueUrl=url, MessageBody="x")
    target = RecordingTarget(SystemClock())

    def fails(_event: Any) -> None:
        raise ValueError("no")

    target.handler = fails
    drive(Queue(url, region=REGION), target, lambda: counted(target) == 1)
    assert left(sqs, url) == (0, 1)


def test_a_sweep_of_a_fifo_queue(sqs: Any) -> None:
    url = address(sqs, "steps.fifo", FifoQueue="true", ContentBasedDeduplication="true")
    for number in range(3):
        sqs.send_message(QueueUrl=url, MessageBody=str(number), MessageGroupId="g")
    target = RecordingTarget(SystemClock())
    assert asyncio.run(Queue(url, region=REGION).sweep(target)) == 3
    assert [record["body"] for payload in target.payloads for record in payload["Records"]] == ["0", "1", "2"]
    assert target.payloads[0]["Records"][0]["attributes"]["MessageGroupId"] == "g"


def test_the_visibility_rule_holds_for_remote_queues(sqs: Any) -> None:
    url = address(sqs, "hasty", VisibilityTimeout="2")
    with pytest.raises(SettingError, match="Queue visibility timeout: 2 seconds is less than Function timeout: 3 seconds"):
        asyncio.run(Queue(url, region=REGION).run(RecordingTarget(SystemClock())))


class SlowClient:
    """A client whose receive is answered when the test says so."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.entered, self.release, self._loop = asyncio.Event(), asyncio.Event(), loop
        self.changes: list[Any] = []

    def receive_message(self, **_params: Any) -> Any:
        self._loop.call_soon_threadsafe(self.entered.set)
        asyncio.run_coroutine_threadsafe(self.release.wait(), self._loop).result(PATIENCE)
        return {"Messages": [{"ReceiptHandle": "h", "Body": "x", "MessageId": "m", "MD5OfBody": "", "Attributes": {}}]}

    def change_message_visibility_batch(self, **params: Any) -> Any:
        self.changes += params["Entries"]
        return {"Successful": []}


def with_slow_client(scenario: Callable[[SlowClient, RemoteQueue], Awaitable[None]]) -> None:
    async def whole() -> None:
        client = SlowClient(asyncio.get_running_loop())
        await scenario(client, RemoteQueue(client, "url", f"arn:aws:sqs:{REGION}:1:q", 30))

    asyncio.run(whole())


def test_a_receive_that_is_cancelled_on_its_way_returns_its_messages() -> None:
    async def scenario(client: SlowClient, queue: RemoteQueue) -> None:
        receiving = asyncio.create_task(queue.receive(10, 20))
        await client.entered.wait()
        receiving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await receiving
        client.release.set()
        for _look in range(6_000):
            if client.changes:
                break
            await asyncio.sleep(0.01)
        assert client.changes == [{"Id": "0", "ReceiptHandle": "h", "VisibilityTimeout": 0}]

    with_slow_client(scenario)


def test_entries_that_sqs_refuses_are_told() -> None:
    class Refusing:
        def delete_message_batch(self, **_params: Any) -> Any:
            return {"Failed": [{"Id": "0", "Code": "ReceiptHandleIsInvalid", "Message": "no", "SenderFault": True}]}

    queue = RemoteQueue(Refusing(), "url", f"arn:aws:sqs:{REGION}:1:q", 30)
    with pytest.raises(ServiceError, match="2 of 15 entries were refused: no"):
        asyncio.run(queue.delete([str(number) for number in range(15)]))
