"""The checker of the services: it finds what was lost, what is there by half, and what should not be there, each done to a real endpoint by hand."""

from __future__ import annotations

import json
import random
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.aws import builders
from tests.aws.conftest import AwsServer, boto_session, server_of
from tests.chaos.services import changes, notices
from tests.chaos.services.changes import FOLLOWED, ChangeWriter
from tests.chaos.services.items import ItemWriter, create_table
from tests.chaos.services.messages import MessageWriter
from tests.chaos.services.notices import NoticeWriter
from tests.chaos.services.objects import ObjectWriter, stray_files
from tests.chaos.services.register import Promises, Registers, Unanswered, Value

__all__ = ["boto_session"]
BUCKET = "things"
server = server_of(builders.whole, "module")


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
    for left in directory(server).rglob("*"):
        if left.is_file():
            left.unlink()
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


@pytest.fixture
def followed(server: AwsServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ChangeWriter]:
    """A writer at its end, and a function that was told of all."""
    monkeypatch.setattr(changes, "REST", 0.0)
    dynamodb = server.client("dynamodb")
    create_table(dynamodb, FOLLOWED)
    stream = {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"}
    dynamodb.update_table(TableName=FOLLOWED, StreamSpecification=stream)
    writer: ChangeWriter = worked(ChangeWriter(dynamodb, server.client("dynamodbstreams"), tmp_path / "told", "seed"))
    whole: list[dict[str, Any]] = []
    while writer.read_on(whole):
        pass
    (tmp_path / "told").write_text("".join(f"{changes.key(record)} {changes.number(record)}\n" for record in whole))
    yield writer
    dynamodb.delete_table(TableName=FOLLOWED)


def test_changes_that_are_all_there_are_right(followed: ChangeWriter) -> None:
    followed.finish()
    assert followed.registers.wrongs == []
    assert followed.registers.counts["checked"] > 20
    assert followed.read_so_far


def test_a_lost_a_repeated_and_a_false_change_are_found(server: AwsServer, followed: ChangeWriter) -> None:
    with closing(sqlite3.connect(server.database.path)) as connection, connection:
        newest = "SELECT MAX(place) FROM table_stream_records WHERE event = 'MODIFY' AND keys LIKE '%mine%' GROUP BY keys ORDER BY 1 DESC LIMIT 3"
        lost, repeated, false = (place for (place,) in connection.execute(newest))
        named = ", ".join(column[1] for column in connection.execute("PRAGMA table_info(table_stream_records)") if column[1] != "place")
        end = connection.execute("SELECT MAX(place) + 1 FROM table_stream_records").fetchone()[0]
        repeat = f"INSERT INTO table_stream_records (place, {named}) SELECT {end}, {named} FROM table_stream_records WHERE place = {repeated}"
        connection.execute(repeat)
        connection.execute(f"UPDATE table_stream_records SET old_image = new_image WHERE place = {false}")
        connection.execute(f"DELETE FROM table_stream_records WHERE place = {lost}")
    followed.finish()
    told = "\n".join(followed.registers.wrongs)
    assert "are not those that were made: 1 are missing" in told
    assert "is not what the item was before" in told
    assert "the function was not told of all changes: 1 are missing" in told
    assert "are not those that were made: 0 are missing [], 1 are too many" in told


def test_a_function_that_was_told_late_or_not_at_all_is_found(followed: ChangeWriter, tmp_path: Path) -> None:
    lines = (tmp_path / "told").read_text().splitlines()
    place = max({line.split()[0] for line in lines}, key=lambda place: sum(line.startswith(f"{place} ") for line in lines))
    first, second = [line for line in lines if line.startswith(f"{place} ")][:2]
    (tmp_path / "told").write_text("\n".join([second, *lines]))
    followed.finish()
    assert followed.registers.wrongs == [f"the function was told of the changes of {place} out of order"]
    (tmp_path / "told").write_text("\n".join([first, *(line for line in lines if line not in (first, second)), first]))
    followed.registers.wrongs.clear()
    followed.finish()
    assert followed.registers.wrongs == [f"the function was not told of all changes: 1 are missing ['{second.split()[1]}'], 0 are too many []"]


def test_a_put_that_was_not_told_and_one_that_was_told_wrongly_are_found(server: AwsServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The test tells, and not the daemon."""
    monkeypatch.setattr(notices, "REST", 0.0)
    monkeypatch.setattr(NoticeWriter, "_configure", lambda _writer: None)
    s3, sqs = server.client("s3"), server.client("sqs")
    s3.create_bucket(Bucket="telling")
    writer = NoticeWriter(s3, sqs, "telling", tmp_path / "told", "seed")
    worked(writer, 30)
    by_queue, by_function = ([key for key in writer.owed if key.startswith(f"{kind}/")] for kind in notices.KINDS)
    url = sqs.get_queue_url(QueueName=notices.QUEUE)["QueueUrl"]

    def tell(key: str, size: int) -> None:
        body = {"Records": [{"s3": {"object": {"key": key, "size": size}}}]}
        sqs.send_message(QueueUrl=url, MessageBody=json.dumps(body))

    lost, *others = by_queue
    for key in (*others, others[0]):
        tell(key, writer.owed[key])
    tell("queue/never", 0)
    torn, missed, *rest = by_function
    lines = [f"{key} {writer.owed[key]}" for key in rest]
    (tmp_path / "told").write_text("\n".join([*lines, f"{torn} 1000000"]))
    writer.finish()
    assert writer.wrongs == [
        *sorted((f"{lost} was put and never told", f"{missed} was put and never told"), key=lambda wrong: wrong.split()[0]),
        "queue/never was told and never put",
        f"{torn} was told with the size [1000000], it has {writer.owed[torn]}",
    ]


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


def test_what_is_owed_comes_out_once_and_nothing_that_nobody_sent() -> None:
    promises = Promises("seed")
    promises.owed, promises.perhaps = {"a", "b", "c"}, {"d", "e"}
    promises.judge(Counter({"a": 1, "b": 2, "d": 1, "x": 1}), "{name} is lost", "{name} is there {times} times", "nobody sent {name}")
    assert promises.wrongs == ["c is lost", "b is there 2 times", "nobody sent x"]
    assert promises.counts == {"checked": 5, "unanswered": 2, "of which done": 1}
