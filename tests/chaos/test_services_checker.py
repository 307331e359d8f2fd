"""The checker of the services: it finds what was lost, what is there by half, and what should not be there, each done to a real endpoint by hand."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from eventflow.aws.dynamodb import DynamoDB
from eventflow.aws.operation import Service
from eventflow.aws.s3 import S3Service
from eventflow.aws.sqs import SqsService
from eventflow.clock import Clock
from eventflow.database import Database
from eventflow.services.objects import Objects
from eventflow.services.queues import Queues
from eventflow.services.tables import Tables
from tests.aws.conftest import AwsServer, boto_session, serve
from tests.chaos.services.items import ItemWriter, create_table
from tests.chaos.services.messages import MessageWriter
from tests.chaos.services.objects import ObjectWriter, stray_files
from tests.chaos.services.register import Registers, Unanswered, Value

__all__ = ["boto_session", "serve"]
BUCKET = "things"


async def three_services(database: Database, clock: Clock, account: str, folder: Path) -> list[Service]:
    objects, tables, queues = (
        Objects(database, clock, folder / "buckets", account),
        Tables(database, clock, account),
        Queues(database, clock, account),
    )
    await objects.open()
    await tables.prepare()
    await queues.open()
    return [S3Service(objects), DynamoDB(tables), SqsService(queues)]


@pytest.fixture
def server(serve: Callable[..., AwsServer]) -> Iterator[AwsServer]:
    server = serve(three_services)
    yield server
    objects: Any = server.services["s3"]
    objects.objects.close()


def directory(server: AwsServer) -> Path:
    service: Any = server.services["s3"]
    return Path(service.objects.bucket(BUCKET).path)


def worked(writer: Any, steps: int = 40) -> Any:
    for _ in range(steps):
        writer.step()
    return writer


@pytest.fixture
def objects(server: AwsServer) -> ObjectWriter:
    s3 = server.client("s3")
    s3.create_bucket(Bucket=BUCKET)
    writer: ObjectWriter = worked(ObjectWriter(s3, BUCKET, "mine", "seed"), 25)
    return writer


def test_objects_that_nobody_touched_are_right_and_leave_no_files(server: AwsServer, objects: ObjectWriter) -> None:
    objects.finish()
    assert objects.registers.wrongs == []
    assert stray_files(server.client("s3"), BUCKET, directory(server)) == []


def test_a_lost_a_changed_and_a_stray_object_are_found(server: AwsServer, objects: ObjectWriter) -> None:
    lost, torn = objects.registers.present()[:2]
    (directory(server) / lost).unlink()
    (directory(server) / torn).write_bytes(b"half")
    (directory(server) / "mine" / "left over").write_bytes(b"temporary")
    (directory(server) / ".eventflow-tmp").mkdir(exist_ok=True)
    (directory(server) / ".eventflow-tmp" / "orphan").write_bytes(b"part")
    objects.finish()
    told = "\n".join(objects.registers.wrongs)
    assert f"{lost} must be (" in told
    assert f"{torn} must be (" in told
    assert "'mine/left over'" in told
    assert ".eventflow-tmp/orphan" in stray_files(server.client("s3"), BUCKET, directory(server))


def test_a_lost_item_and_one_that_is_missing_in_the_index_are_found(server: AwsServer) -> None:
    dynamodb = server.client("dynamodb")
    create_table(dynamodb, "things")
    writer = worked(ItemWriter(dynamodb, "things", "mine", "seed", transactions=False))
    writer.finish()
    assert writer.registers.wrongs == []
    name = writer.registers.present()[0]
    dynamodb.delete_item(TableName="things", Key={"pk": {"S": "mine"}, "sk": {"N": name}})
    with sqlite3.connect(server.database.path) as connection:
        connection.execute("DELETE FROM table_entries WHERE item_id = (SELECT MAX(item_id) FROM table_entries)")
    connection.close()
    writer.finish()
    told = "\n".join(writer.registers.wrongs)
    assert f"{name} must be {{" in told
    assert "the index by-colour has [] of mine that must not be there, and not [" in told


@pytest.mark.parametrize("queue", ["standard", "ordered.fifo"])
def test_a_lost_a_doubled_and_a_deleted_message_that_is_there_are_found(server: AwsServer, queue: str) -> None:
    sqs = server.client("sqs")
    url = sqs.create_queue(QueueName=queue, Attributes={"FifoQueue": "true"} if "fifo" in queue else {})["QueueUrl"]

    def writer(prefix: str) -> MessageWriter:
        found = worked(MessageWriter(sqs, url, prefix, "seed"), 30)
        sqs.purge_queue(QueueUrl=url)
        assert found.gone
        assert found.owed
        return found  # type: ignore[no-any-return]

    def send(body: str, id: str) -> None:
        more = {"MessageGroupId": "g", "MessageDeduplicationId": id} if "fifo" in queue else {}
        attributes = {"of": {"DataType": "String", "StringValue": body.split()[0]}}
        sqs.send_message(QueueUrl=url, MessageBody=body, MessageAttributes=attributes, **more)

    judged = writer("mine")
    owed, gone = sorted(judged.owed)[0], sorted(judged.gone)[0]
    send(owed, "1")
    send(owed, "2")
    send(gone, "3")
    judged.finish()
    told = "\n".join(judged.wrongs)
    assert told.count("a message that was acknowledged is lost") == len(judged.owed) - 1
    assert f"a message is there 2 times: {owed[:60]}" in told
    assert f"a message was deleted and is received: {gone[:60]}" in told


class Cut:
    """A store that is asked once more than it answers."""

    def __init__(self, values: dict[str, Value]) -> None:
        self.values = values

    def read(self, name: str) -> Value:
        return self.values.get(name)

    def lose(self, **changes: Value) -> None:
        self.values.update(changes)
        raise Unanswered


@pytest.mark.parametrize(
    ("there", "whole", "wrong"),
    [
        ({}, True, ""),
        ({"a": 1, "b": 2}, True, ""),
        ({"a": 1}, False, ""),
        ({"a": 1}, True, "half of a transaction is there: ['a'] were changed, ['b'] were not"),
        ({"a": 7}, False, "a was None, was to become 1, and is 7"),
    ],
)
def test_a_write_without_an_answer_is_there_or_not_and_a_transaction_is_so_as_a_whole(there: dict[str, int], whole: bool, wrong: str) -> None:
    store = Cut({})
    registers = Registers(store, random.Random(1))
    with pytest.raises(Unanswered):
        registers.write({"a": 1, "b": 2}, store.lose, whole=whole, **there)
    registers.settle()
    assert registers.wrongs == ([wrong] if wrong else [])
    assert registers.known == {"a": None, "b": None, **there}
