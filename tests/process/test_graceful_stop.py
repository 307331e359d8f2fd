"""SIGTERM at every stage of an event: what runs finishes within the grace time or runs again uncharged, and nothing runs twice without need."""

import json
import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.process.daemon_process import DaemonProcess, daemon

CODE = """
import os, time
def note(name, text):
    with open(HERE + "/" + name, "a") as file:
        file.write(str(text) + "\\n")
"""


def code(folder: Path, body: str) -> str:
    return f"HERE = {str(folder)!r}\n{CODE}{body}"


def emit(process: DaemonProcess, payload: Any = None) -> None:
    process.client("lambda").invoke(FunctionName="work", InvocationType="Event", Payload=json.dumps(payload).encode())


def stop_seconds(process: DaemonProcess) -> float:
    begin = time.monotonic()
    assert process.stop() == 0
    return time.monotonic() - begin


def attempts(process: DaemonProcess) -> list[list[str]]:
    """How the attempts of each event ended."""
    found = [process.control(f"events/{event['id']}") for event in process.events(function="work")]
    return [[attempt["status"] for attempt in event["attempts"]] for event in found]


def all_done(process: DaemonProcess) -> bool:
    return all(event["state"] == "done" for event in process.events(function="work"))


@pytest.mark.slow
def test_while_an_environment_is_made(tmp_path: Path) -> None:
    body = """
if "AWS_LAMBDA_FUNCTION_NAME" in os.environ:
    note("init", os.getpid())
    while not os.path.exists(HERE + "/stopped"):
        time.sleep(0.01)
@app.function()
def work(event, context):
    note("handled", event)
"""
    with daemon(tmp_path, code(tmp_path, body)) as process:
        process.start()
        emit(process, 1)
        process.until(lambda: process.rows("init"), "an environment is being made")
        assert process.stop() == 0, "nobody waits for an environment that has not begun to run anything: it never would"
        assert process.rows("handled") == []
        (tmp_path / "stopped").touch()
        process.start()
        process.until(lambda: process.rows("handled"), "it runs at the next start")
        process.until(lambda: all_done(process), "it is done")
        assert attempts(process) == [["success"]]


@pytest.mark.slow
def test_while_many_short_events_are_in_flight(tmp_path: Path) -> None:
    body = """
log = os.open(HERE + "/handled", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
@app.function()
def work(event, context):
    os.write(log, b"%d\\n" % event)
@app.function(timeout=110)
def emitter(event, context):
    import boto3
    client = boto3.client("lambda")
    for number in range(400):
        client.invoke(FunctionName="work", InvocationType="Event", Payload=str(number).encode())
        note("emitted", number)
"""
    (tmp_path / "eventflow.toml").write_text("grace_seconds = 110\n")
    with daemon(tmp_path, code(tmp_path, body)) as process:
        process.start()
        process.client("lambda").invoke(FunctionName="emitter", InvocationType="Event")
        process.until(lambda: len(process.rows("handled")) > 30, "many were handled")
        assert process.stop() == 0
        process.start()
        emitted = {int(number) for number in process.rows("emitted")}
        process.until(lambda: emitted <= {int(row) for row in process.rows("handled")} and all_done(process), "all are handled")
        assert max(Counter(process.rows("handled")).values()) == 1, "a graceful stop lets what runs finish: nothing runs twice"
        assert all(found == ["success"] for found in attempts(process))


@pytest.mark.slow
def test_while_an_event_waits_for_its_retry(tmp_path: Path) -> None:
    body = """
@app.function()
def work(event, context):
    raise ValueError("no")
"""
    with daemon(tmp_path, code(tmp_path, body)) as process:
        process.start()
        emit(process)
        process.until(lambda: [event["state"] for event in process.events()] == ["waiting"], "it waits")
        due = process.events()[0]["retry_at"]
        assert stop_seconds(process) < 25, "the retry is due after a minute, and the grace time is 30 s"
        process.start()
        [event] = process.events()
        assert (event["state"], event["retry_at"], event["failed_attempts"]) == ("waiting", due, 1)


def test_while_a_batch_of_a_queue_runs(tmp_path: Path) -> None:
    body = """
@app.on(Queue("jobs"), timeout=30)
def work(event, context):
    note("begun", len(event["Records"]))
    time.sleep(1.5)
    for record in event["Records"]:
        note("handled", record["body"])
"""
    with daemon(tmp_path, code(tmp_path, body)) as process:
        process.start()
        queue = process.client("sqs").get_queue_url(QueueName="jobs")["QueueUrl"]
        process.client("sqs").send_message(QueueUrl=queue, MessageBody="a")
        process.until(lambda: process.rows("begun"), "the batch runs")
        assert process.stop() == 0
        assert process.rows("handled") == ["a"]
        process.start()
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        left = process.client("sqs").get_queue_attributes(QueueUrl=queue, AttributeNames=names)["Attributes"]
        assert left == dict.fromkeys(names, "0"), "what has run is deleted from the queue before the daemon ends"


def test_a_second_signal_hurries(tmp_path: Path) -> None:
    body = """
@app.function(timeout=900)
def work(event, context):
    note("begun", event)
    if event == 1 and len(open(HERE + "/begun").readlines()) == 1:
        time.sleep(600)
"""
    (tmp_path / "eventflow.toml").write_text("grace_seconds = 300\n")
    with daemon(tmp_path, code(tmp_path, body)) as process:
        process.start()
        emit(process, 1)
        process.until(lambda: process.rows("begun"), "it runs")
        assert process.process is not None
        process.process.send_signal(signal.SIGTERM)
        process.until(lambda: "stopping" in process.log.read_text(), "it waits for the function")
        time.sleep(0.5)
        assert process.process.poll() is None, "the first signal waits"
        assert stop_seconds(process) < 60
        process.start()
        process.until(lambda: len(process.rows("begun")) == 2 and all_done(process), "it ran again")
        assert attempts(process) == [["success"]], "the attempt that was cut off is not charged"
