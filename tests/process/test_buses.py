"""Event buses of a real daemon: every event that was acknowledged arrives everywhere, whatever is killed, and a loop ends."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from tests.patience import PATIENCE
from tests.process.daemon_process import DaemonProcess, daemon

APPLICATION = """
import os
from triggers import Bus
app.queue("copies")

def note(text):
    file = os.open({log!r}, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(file, (text + "\\n").encode())
    os.close(file)

@app.on(Bus({{"source": ["shop"]}}))
def triggered(event, context):
    note("triggered " + event["id"])

@app.function()
def ruled(event, context):
    note("ruled " + event["id"])
"""


class Putter(threading.Thread):
    """Puts events until the daemon is gone; ``ids`` are those that were acknowledged."""

    def __init__(self, events: Any) -> None:
        super().__init__()
        self.ids: list[str] = []
        self._events = events

    def run(self) -> None:
        entry = {"Source": "shop", "DetailType": "order", "Detail": "{}"}
        try:
            while True:
                self.ids += [put["EventId"] for put in self._events.put_events(Entries=[entry] * 5)["Entries"]]
        except (BotoCoreError, ClientError):
            return


@pytest.mark.slow
def test_what_was_acknowledged_arrives_after_a_kill(tmp_path: Path) -> None:
    log = tmp_path / "handled"
    with daemon(tmp_path, APPLICATION.format(log=str(log))) as process:
        process.start()
        events = process.client("events")
        events.put_rule(Name="r", EventPattern=json.dumps({"source": ["shop"]}))
        arns = {"f": "arn:aws:lambda:us-east-1:000000000000:function:ruled", "q": "arn:aws:sqs:us-east-1:000000000000:copies"}
        events.put_targets(Rule="r", Targets=[{"Id": id, "Arn": arn} for id, arn in arns.items()])
        putters = [Putter(process.client("events")) for _ in range(3)]
        for putter in putters:
            putter.start()
        process.until(lambda: all(len(putter.ids) > 40 for putter in putters), "events were acknowledged")
        process.kill()
        for putter in putters:
            putter.join(PATIENCE)
        acknowledged = {id for putter in putters for id in putter.ids}
        process.start()
        wanted = {f"{function} {id}" for function in ("triggered", "ruled") for id in acknowledged}
        process.until(lambda: wanted <= set(log.read_text().splitlines()), "both functions have every event")
        assert acknowledged <= copies(process)


def copies(process: DaemonProcess) -> set[str]:
    """The ids of the events in the queue."""
    sqs = process.client("sqs")
    url = sqs.get_queue_url(QueueName="copies")["QueueUrl"]
    found: set[str] = set()
    while messages := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=600).get("Messages"):
        found |= {json.loads(message["Body"])["id"] for message in messages}
    return found


@pytest.mark.slow
def test_a_function_that_puts_what_starts_it_is_stopped(tmp_path: Path) -> None:
    body = """
import boto3
from triggers import Bus
events = boto3.client("events")

@app.on(Bus({"source": ["loop"]}), timeout=20)
def again(event, context):
    events.put_events(Entries=[{"Source": "loop", "DetailType": "again", "Detail": "{}"}])
"""
    with daemon(tmp_path, body) as process:
        process.start()
        process.client("events").put_events(Entries=[{"Source": "loop", "DetailType": "first", "Detail": "{}"}])
        [dead] = process.until(lambda: process.events(state="dead"), "the loop is stopped")
        assert dead["reason"].startswith("RecursiveLoop: again stands 16 times in the chain")
        assert len(process.events(state="done")) == 16
