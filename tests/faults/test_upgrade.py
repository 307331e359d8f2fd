"""State files of earlier releases: each opens with today's code, and every event in them goes on as it should."""

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from eventflow.testing.harness import Harness
from tests.fixtures.make_journal import EARLIER, make_app

RELEASES = sorted((Path(__file__).parent.parent / "fixtures").glob("journal-*.sql"))
Open = Callable[[], Harness]


def build(script: Path, file: Path) -> None:
    """The state file that a release left, from its dump."""
    connection = sqlite3.connect(file)
    connection.executescript(script.read_text())
    connection.close()


@pytest.fixture(params=RELEASES, ids=[path.stem for path in RELEASES])
def harness(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Harness]:
    build(request.param, tmp_path / "harness.db")
    opened = Harness(tmp_path)
    yield opened
    opened.close()


def states(harness: Harness, function: str) -> dict[str, str]:
    """The state of each event of a function, by its number ``n``."""
    shown = [harness.event(found["id"]) for found in harness.events(function)]
    return {str(event["payload"]["n"]): event["state"] for event in shown}


async def redrive(harness: Harness, id: str) -> None:
    harness._core.dispatcher.resume(await harness._core.journal.revive([id]))


def test_what_was_ready_runs_once_and_what_waited_wakes(harness: Harness) -> None:
    ran: list[tuple[str, str, Any]] = []
    assert states(harness, "works") == {"1": "done", "2": "done", "6": "ready", "7": "ready"}
    assert states(harness, "recovers") == {"3": "waiting"}
    waiting = harness.events("recovers")[0]["id"]
    harness.start(make_app(ran, broken=False))
    harness.drain()
    assert [event["n"] for _id, name, event in ran if name == "works"] == [6, 7]
    assert [name for _id, name, _event in ran if name == "recovers"] == []
    harness.advance(60 - EARLIER)
    assert [(id, event["n"]) for id, name, event in ran if name == "recovers"] == [(waiting, 3)]
    assert states(harness, "works") == {"1": "done", "2": "done", "6": "done", "7": "done"}
    assert states(harness, "recovers") == {"3": "done"}
    assert [attempt["status"] for attempt in harness.event(waiting)["attempts"]] == ["function_error", "success"]


def test_what_is_dead_can_be_redriven(harness: Harness) -> None:
    ran: list[tuple[str, str, Any]] = []
    harness.start(make_app(ran, broken=False))
    (dead,) = harness.events("dies", "dead")
    assert dead["reason"] == "RetriesExhausted: dies is broken"
    harness._call(redrive(harness, dead["id"]))
    harness.drain()
    assert [(id, event) for id, name, event in ran if name == "dies"] == [(dead["id"], {"n": 4})]
    assert harness.event(dead["id"])["state"] == "done"


@pytest.mark.parametrize(("function", "key"), [("works", "first"), ("works", "ready"), ("recovers", "again"), ("dies", "dead")])
def test_a_key_that_was_accepted_is_known(harness: Harness, function: str, key: str) -> None:
    harness.start(make_app([], broken=False))
    before = len(harness.events(function))
    known = next(found["id"] for found in harness.events(function) if harness.event(found["id"])["key"] == key)
    assert harness.emit(function, {"n": 99}, id=key) == known
    assert len(harness.events(function)) == before


def test_new_events_come_after_the_old_ones(harness: Harness) -> None:
    harness.start(make_app([], broken=False))
    harness.drain()
    fresh = harness.emit("works", {"n": 100})
    assert harness.events()[0]["id"] == fresh


def test_the_triggers_remember(harness: Harness) -> None:
    """The schedule keeps its phase, the bucket knows what it has handled (its files are not in the dump: they went)."""
    ran: list[tuple[str, str, Any]] = []
    harness.start(make_app(ran, broken=False))
    assert harness._call(harness._core.journal.read_cursor("fixture:works")) == {"place": 17}
    harness.advance(5 * 60 - EARLIER)
    assert [event["time"] for _id, name, event in ran if name == "ticks"] == ["2026-01-01T00:04:50Z"]


def test_queues_tables_and_buckets_are_what_they_were(harness: Harness) -> None:
    harness.start(make_app([], broken=False))
    sqs, dynamodb, s3 = harness.client("sqs"), harness.client("dynamodb"), harness.client("s3")
    orders = sqs.get_queue_url(QueueName="orders.fifo")["QueueUrl"]
    again = sqs.send_message(QueueUrl=orders, MessageBody="order 0", MessageGroupId="shop", MessageDeduplicationId="order-0")
    received = sqs.receive_message(QueueUrl=orders, MaxNumberOfMessages=10)["Messages"]
    assert [message["Body"] for message in received] == ["order 0", "order 1", "order 2"]
    assert again["MessageId"] == received[0]["MessageId"]
    failures = sqs.receive_message(QueueUrl=sqs.get_queue_url(QueueName="failures")["QueueUrl"])["Messages"]
    assert '"requestPayload":{"n":4}' in failures[0]["Body"]
    assert sorted(item["key"]["S"] for item in dynamodb.scan(TableName="images")["Items"]) == ["image-0", "image-1", "image-2"]
    found = dynamodb.query(
        TableName="sizes",
        IndexName="by_size",
        KeyConditionExpression="#size = :one",
        ExpressionAttributeNames={"#size": "size"},
        ExpressionAttributeValues={":one": {"N": "1"}},
    )
    assert found["Items"] == [{"key": {"S": "small"}, "size": {"N": "1"}}]
    assert [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]] == ["uploads"]
    assert [upload["Key"] for upload in s3.list_multipart_uploads(Bucket="uploads").get("Uploads", [])] == ["parts"]


def test_the_state_file_is_whole_after_it(harness: Harness, tmp_path: Path) -> None:
    harness.start(make_app([], broken=False))
    harness.advance("10m")
    connection = sqlite3.connect(tmp_path / "harness.db")
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    connection.close()


def test_there_is_a_dump_of_every_release() -> None:
    assert [path.name for path in RELEASES][:1] == ["journal-0.1.0.sql"]
