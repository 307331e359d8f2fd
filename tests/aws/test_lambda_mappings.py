"""Event source mappings by API on a real daemon, with boto3 as the other side."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.process.daemon_process import DaemonProcess, daemon

CODE = """
import json, os, time

def note(name, value):
    with open(name, "a") as file:
        file.write(json.dumps(value) + "\\n")

@app.function(timeout=5)
def batch(event, context):
    note("batches", [record["body"] for record in event["Records"]])

@app.function(timeout=5)
def change(event, context):
    note("changes", [record["dynamodb"]["Keys"]["id"]["S"] for record in event["Records"]])

@app.function(timeout=60)
def long(event, context):
    return 1

@app.function(timeout=5)
def held(event, context):
    note("started", [record["body"] for record in event["Records"]])
    while not os.path.exists("go-on"):
        time.sleep(0.01)
    note("ended", [record["body"] for record in event["Records"]])

@app.on(Queue("declared", batch_size=7))
def declared(event, context):
    return 1
"""


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaemonProcess]:
    with daemon(tmp_path_factory.mktemp("mappings"), CODE) as process:
        yield process.start()


@pytest.fixture(scope="module")
def client(process: DaemonProcess) -> Any:
    return process.client("lambda")


@pytest.fixture(scope="module")
def sqs(process: DaemonProcess) -> Any:
    return process.client("sqs")


def arn_of(queue: str) -> str:
    return f"arn:aws:sqs:us-east-1:000000000000:{queue}"


def refusal(call: Any, **arguments: Any) -> tuple[str, int, str]:
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    response: dict[str, Any] = caught.value.response  # type: ignore[assignment]
    return response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"], response["Error"]["Message"]


def in_state(process: DaemonProcess, client: Any, uuid: str, state: str) -> dict[str, Any]:
    def there() -> Any:
        found = client.get_event_source_mapping(UUID=uuid)
        return found if found["State"] == state else None

    found: dict[str, Any] = process.until(there, f"the mapping is {state}")
    return found


def lines(process: DaemonProcess, name: str) -> list[Any]:
    return [json.loads(row) for row in process.rows(name)]


def test_a_mapping_polls_its_queue_from_its_creation_to_its_deletion(process: DaemonProcess, client: Any, sqs: Any) -> None:
    url = sqs.create_queue(QueueName="orders")["QueueUrl"]
    made = client.create_event_source_mapping(EventSourceArn=arn_of("orders"), FunctionName="batch", BatchSize=5)
    uuid = made["UUID"]
    assert made["ResponseMetadata"]["HTTPStatusCode"] == 202
    assert (made["State"], made["BatchSize"], made["FunctionResponseTypes"]) == ("Creating", 5, [])
    assert made["EventSourceMappingArn"] == f"arn:aws:lambda:us-east-1:000000000000:event-source-mapping:{uuid}"
    assert in_state(process, client, uuid, "Enabled")["StateTransitionReason"] == "USER_INITIATED"
    sqs.send_message(QueueUrl=url, MessageBody="one")
    process.until(lambda: ["one"] in lines(process, "batches"), "the function got the message")
    deleted = client.delete_event_source_mapping(UUID=uuid)
    assert (deleted["ResponseMetadata"]["HTTPStatusCode"], deleted["State"]) == (202, "Deleting")
    process.until(lambda: uuid not in [one["UUID"] for one in client.list_event_source_mappings()["EventSourceMappings"]], "it is gone")
    assert refusal(client.get_event_source_mapping, UUID=uuid) == (
        "ResourceNotFoundException",
        404,
        "The resource you requested does not exist.",
    )
