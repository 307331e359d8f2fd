"""A daemon that is killed while it tells of objects: what was put is told after the next start."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.patience import DAEMON
from tests.process.daemon_process import DaemonProcess, daemon

APPLICATION = """
app.queue("told")
app.bucket("watched")

@app.function(timeout=5)
def unused(event, context):
    return event
"""


def keys_told(sqs: Any, url: str) -> set[str]:
    """The keys of the messages that are there, which are deleted."""
    found: set[str] = set()
    while messages := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=2).get("Messages"):
        for message in messages:
            found |= {record["s3"]["object"]["key"] for record in json.loads(message["Body"]).get("Records", ())}
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    return found


def configured(process: DaemonProcess) -> None:
    arn = process.client("sqs").get_queue_attributes(QueueUrl=queue(process), AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    rule = {"QueueArn": arn, "Events": ["s3:ObjectCreated:*"]}
    process.client("s3").put_bucket_notification_configuration(Bucket="watched", NotificationConfiguration={"QueueConfigurations": [rule]})


def queue(process: DaemonProcess) -> str:
    url: str = process.client("sqs").get_queue_url(QueueName="told")["QueueUrl"]
    return url


@pytest.mark.slow
@pytest.mark.parametrize("point", ["notification.emitting", "notification.emitted", "transaction.applied"])
def test_an_object_is_told_whatever_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, point: str) -> None:
    with daemon(tmp_path, APPLICATION) as process:
        process.start()
        configured(process)
        assert [one["kind"] for one in process.control("status")["triggers"]] == ["bucket"]
        process.stop()
        mark = tmp_path / "mark"
        monkeypatch.setenv("EVENTFLOW_TEST_KILL_AT", f"{point} 1 {mark}" if point.startswith("notification") else f"{point} 30 {mark}")
        process.start()
        s3 = process.client("s3")
        put: set[str] = set()
        for number in range(200):
            try:
                s3.put_object(Bucket="watched", Key=f"k{number}", Body=b"x")
            except Exception:  # the daemon is gone: whatever was not acknowledged may be told or not
                break
            put.add(f"k{number}")
        assert process.process is not None
        assert process.process.wait(DAEMON) == -signal.SIGKILL
        monkeypatch.delenv("EVENTFLOW_TEST_KILL_AT")
        process.start()
        told: set[str] = set()
        sqs, url = process.client("sqs"), queue(process)

        def complete() -> bool:
            told.update(keys_told(sqs, url))
            return put <= told

        process.until(complete, f"all of {len(put)} objects are told")
        assert os.path.exists(mark)  # noqa: PTH110
