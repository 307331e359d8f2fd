"""The daemon as a process: what it acknowledged survives kill -9 of everything, it stops gracefully, and it refuses what it must."""

import json
import os
import random
import signal
import stat
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from tests.patience import DAEMON, PATIENCE
from tests.process.daemon_process import DaemonProcess, alive, children_of, daemon

APPEND = """
import json, os, time
def note(name, text):
    file = os.open(name, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, (text + "\\n").encode())
    os.close(file)
"""


def code(folder: Path, body: str) -> str:
    return APPEND + f"HERE = {str(folder)!r}\n" + body


HANDLED = """
@app.function(timeout=60)
def work(event, context):
    note(HERE + "/begun", str(event["n"]))
    while "until" in event and not os.path.exists(event["until"]):
        time.sleep(0.01)
    note(HERE + "/handled", str(event["n"]))

@app.on(Queue("jobs", batch_size=5), timeout=20)
def job(event, context):
    for record in event["Records"]:
        note(HERE + "/handled", record["body"])

@app.on(Bucket("inbox"), timeout=20)
def arrived(event, context):
    for record in event["Records"]:
        note(HERE + "/handled", record["s3"]["object"]["key"])
"""


def test_ready_stop_and_ready_again(tmp_path: Path) -> None:
    with daemon(tmp_path, code(tmp_path, HANDLED)) as process:
        process.start()
        assert process.client("lambda").invoke(FunctionName="work", Payload=b'{"n": 1}')["StatusCode"] == 200
        children = children_of(process.facts["pid"])
        assert process.stop() == 0
        assert not process.facts_path.exists()
        assert not [pid for pid in children if alive(pid)]
        lines = [json.loads(line) for line in process.log.read_text().splitlines()]  # as it is no terminal
        assert {"time", "level", "logger", "message"} <= set(lines[0])
        assert lines[-1]["message"] == "stopped"
        process.start()
        assert process.client("lambda").invoke(FunctionName="work", Payload=b'{"n": 2}')["StatusCode"] == 200
        assert process.rows("handled") == ["1", "2"]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaemonProcess]:
    folder = tmp_path_factory.mktemp("running")
    with daemon(folder, code(folder, HANDLED)) as process:
        yield process.start()


def test_the_state_and_its_secrets_are_their_owner_s_alone(running: DaemonProcess) -> None:
    for file in (running.state / "credentials.json", running.facts_path, *running.state.glob("eventflow.db*")):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file
    with pytest.raises(OSError, match="401"):
        urllib.request.urlopen(f"{running.facts['url']}/_eventflow/status", timeout=PATIENCE)


def test_without_routes_no_port_is_opened(running: DaemonProcess) -> None:
    assert "gateway" not in running.facts


def test_a_second_daemon_on_the_same_state_is_refused_by_pid(running: DaemonProcess) -> None:
    second = subprocess.run(
        [sys.executable, "-m", "eventflow", "run", str(running.app), "--state", str(running.state), "--port", "0"],
        capture_output=True,
        text=True,
        timeout=DAEMON,
        check=False,
    )
    assert second.returncode == 1
    assert f"belongs to a running daemon (pid {running.facts['pid']}, app {running.app})" in second.stderr
    assert running.client("lambda").invoke(FunctionName="work", Payload=b'{"n": 1}')["StatusCode"] == 200


def test_sigterm_lets_running_functions_finish_and_keeps_the_rest(tmp_path: Path) -> None:
    with daemon(tmp_path, code(tmp_path, HANDLED)) as process:
        process.start()
        event = {"n": "slow", "until": str(tmp_path / "go-on")}
        process.client("lambda").invoke(FunctionName="work", InvocationType="Event", Payload=json.dumps(event).encode())
        process.until(lambda: process.rows("begun"), "it runs")
        assert any(function["running"] for function in process.control("status")["functions"])
        assert process.process is not None
        process.process.send_signal(signal.SIGTERM)
        process.until(lambda: "stopping" in process.log.read_text(), "it waits for the function")
        assert process.process.poll() is None
        (tmp_path / "go-on").touch()
        assert process.process.wait(DAEMON) == 0
        assert process.rows("handled") == ["slow"]
        process.start()
        assert [event["state"] for event in process.events(function="work")] == ["done"]


def test_a_function_that_outlives_the_grace_time_runs_again_uncharged(tmp_path: Path) -> None:
    body = """
@app.function(timeout=60)
def work(event, context):
    note(HERE + "/begun", "x")
    if len(open(HERE + "/begun").readlines()) == 1:
        time.sleep(60)
    note(HERE + "/handled", "x")
"""
    with daemon(tmp_path, code(tmp_path, body)) as process:
        (tmp_path / "eventflow.toml").write_text("grace_seconds = 0.5\n")
        process.start()
        id = json.loads(process.cli("invoke", "work", "--async", "--json").stdout)["request_id"]
        process.until(lambda: process.rows("begun"), "it runs")
        assert process.stop() == 0
        process.start()
        process.until(lambda: process.rows("handled"), "it ran again")
        event = process.until(lambda: (found := process.control(f"events/{id}"))["state"] == "done" and found, "it is done")
        assert [attempt["status"] for attempt in event["attempts"]] == ["success"]


def test_killing_the_daemon_ends_every_process_of_it(tmp_path: Path) -> None:
    body = """
@app.function(timeout=60)
def work(event, context):
    note(HERE + "/begun", "x")
    time.sleep(60)
"""
    with daemon(tmp_path, code(tmp_path, body)) as process:
        process.start()
        process.client("lambda").invoke(FunctionName="work", InvocationType="Event", Payload=b"{}")
        process.until(lambda: process.rows("begun"), "it runs")
        children = children_of(process.facts["pid"])
        assert len(children) >= 2
        process.kill()
        end = time.monotonic() + PATIENCE
        while any(alive(pid) for pid in children) and time.monotonic() < end:
            time.sleep(0.02)
        assert not [pid for pid in children if alive(pid)]


class Load:
    """Sends work by API, by queue and as files until told to stop; ``acknowledged`` holds what the daemon said yes to."""

    def __init__(self, process: DaemonProcess) -> None:
        self.process = process
        self.acknowledged: set[str] = set()
        self.stopping = threading.Event()
        self.threads = [threading.Thread(target=self._run, args=(sender,)) for sender in (self._invoke, self._send, self._put)]

    def __enter__(self) -> "Load":
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self.stopping.set()
        for thread in self.threads:
            thread.join(PATIENCE)

    def _run(self, sender: object) -> None:
        number = 0
        while not self.stopping.is_set():
            number += 1
            try:
                self.acknowledged.add(sender(number))  # type: ignore[operator]
            except (BotoCoreError, ClientError, OSError, KeyError, ValueError):
                time.sleep(0.05)  # it was killed at this moment: not acknowledged, so nothing is promised

    def _invoke(self, number: int) -> str:
        client = self.process.client("lambda")
        for step in range(20):
            name = f"event-{number}-{step}"
            client.invoke(FunctionName="work", InvocationType="Event", Payload=json.dumps({"n": name}).encode())
            self.acknowledged.add(name)
        return name

    def _send(self, number: int) -> str:
        client = self.process.client("sqs")
        url = client.get_queue_url(QueueName="jobs")["QueueUrl"]
        for step in range(20):
            name = f"message-{number}-{step}"
            client.send_message(QueueUrl=url, MessageBody=name)
            self.acknowledged.add(name)
        return name

    def _put(self, number: int) -> str:
        client = self.process.client("s3")
        for step in range(10):
            name = f"object-{number}-{step}"
            client.put_object(Bucket="inbox", Key=name, Body=b"x")
            self.acknowledged.add(name)
        file = f"file-{number}"
        (self.process.bucket("inbox") / file).write_bytes(b"by hand")
        return file


@pytest.mark.slow
def test_nothing_acknowledged_is_lost_when_everything_is_killed_under_load(tmp_path: Path) -> None:
    chance = random.Random(7)
    with daemon(tmp_path, code(tmp_path, HANDLED)) as process:
        process.start()
        with Load(process) as load:
            for _round in range(6):
                before = len(load.acknowledged)
                process.until(lambda least=before + 10: len(load.acknowledged) > least, "it is under load")
                time.sleep(chance.uniform(0.2, 1.2))
                below = children_of(process.facts["pid"])
                for victim in chance.sample(below, min(2, len(below))):
                    kill(victim)
                time.sleep(chance.uniform(0.1, 0.5))
                process.kill()
                process.start()
        acknowledged = set(load.acknowledged)
        assert len(acknowledged) > 40
        # An event whose environment was killed while it ran comes again a minute later, so that this can take as long.
        process.until(lambda: acknowledged <= set(process.rows("handled")), "all that was acknowledged is handled", 240)
        handled = process.rows("handled")
        assert len(handled) < 2 * len(set(handled)), "duplicates only where an attempt was under way"


def kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


@pytest.mark.slow
def test_files_that_came_changed_or_went_while_it_was_down_fire_once(tmp_path: Path) -> None:
    body = """
@app.on(Bucket("inbox", events=("ObjectCreated:*", "ObjectRemoved:*")))
def f(event, context):
    for record in event["Records"]:
        note(HERE + "/handled", record["eventName"] + " " + record["s3"]["object"]["key"])
"""
    with daemon(tmp_path, code(tmp_path, body)) as process:
        process.start()
        for name in ("stays", "changes", "goes"):
            (process.bucket("inbox") / name).write_bytes(b"first")
        process.until(lambda: len(process.events(state="done")) == 3, "three arrived")
        process.kill()
        (process.bucket("inbox") / "changes").write_bytes(b"second, longer")
        (process.bucket("inbox") / "goes").unlink()
        (process.bucket("inbox") / "new file+.txt").write_bytes(b"new")
        process.start()
        process.until(lambda: len(process.events(state="done")) == 6, "three more events")
        process.stop()
        process.start()
        (process.bucket("inbox") / "last").write_bytes(b"x")
        process.until(lambda: len(process.rows("handled")) >= 7, "the last arrived")
        assert sorted(process.rows("handled")[3:]) == [
            "ObjectCreated:Put changes",
            "ObjectCreated:Put last",
            "ObjectCreated:Put new%20file%2B.txt".replace("%20", "+"),
            "ObjectRemoved:Delete goes",
        ]


def test_a_function_that_writes_into_its_own_bucket_is_stopped(tmp_path: Path) -> None:
    body = """
import boto3
s3 = boto3.client("s3")
@app.on(Bucket("inbox"), timeout=20)
def f(event, context):
    key = event["Records"][0]["s3"]["object"]["key"]
    note(HERE + "/handled", key)
    s3.put_object(Bucket="inbox", Key=key + "x", Body=b"again")
"""
    with daemon(tmp_path, code(tmp_path, body)) as process:
        process.start()
        process.client("s3").put_object(Bucket="inbox", Key="k", Body=b"1")
        process.until(lambda: process.events(state="dead"), "the loop is stopped")
        [dead] = process.events(state="dead")
        assert len(process.rows("handled")) == 16
        assert dead["reason"].startswith("RecursiveLoop: f stands 16 times in the chain")
        assert "recursive loop was stopped" in process.log.read_text()


def test_dev_takes_changed_code_without_losing_events_and_keeps_the_old_when_it_is_broken(tmp_path: Path) -> None:
    body = """
@app.function(timeout=20)
def work(event, context):
    time.sleep(0.01)
    note(HERE + "/handled", f"{event} old")
"""
    with daemon(tmp_path, code(tmp_path, body)) as process:
        process.start(verb="dev")
        client = process.client("lambda")
        source = process.app.read_text()
        for number in range(60):
            client.invoke(FunctionName="work", InvocationType="Event", Payload=str(number).encode())
            if number == 20:
                process.app.write_text("def broken(:\n")
            if number == 40:
                process.until(lambda: "the changed application is refused" in process.log.read_text(), "the broken code is refused")
                process.until(lambda: any(line.startswith("39 ") for line in process.rows("handled")), "the old code has handled what came before")
                process.app.write_text(source.replace("old", "new"))
                process.until(lambda: "loaded the changed application" in process.log.read_text(), "the good code is loaded")
        process.until(lambda: len(process.rows("handled")) == 60, "all were handled")
        handled = {line.split()[0]: line.split()[1] for line in process.rows("handled")}
        assert set(handled) == {str(number) for number in range(60)}
        assert handled["39"] == "old"
        assert handled["59"] == "new"
        assert process.stop() == 0


def test_a_broken_app_is_refused_with_its_traceback(tmp_path: Path) -> None:
    with daemon(tmp_path, "raise LookupError('no config')") as process:
        process.start(ready=False)
        assert process.process is not None
        assert process.process.wait(DAEMON) == 1
        text = process.log.read_text()
        assert "LookupError: no config" in text
        assert f'File "{process.app}", line 4' in text
        assert "eventflow/" not in text.split("Traceback")[1]


def test_the_zygote_is_started_again(running: DaemonProcess) -> None:
    before = children_of(running.facts["pid"])
    for pid in before:
        kill(pid)
    running.until(lambda: set(children_of(running.facts["pid"])) - set(before), "another zygote")
    client = running.client("lambda")
    running.until(lambda: invoked(client), "functions run again")
    assert running.rows("handled")[-1] == "7"


def invoked(client: object) -> bool:
    try:
        return client.invoke(FunctionName="work", Payload=b'{"n": 7}')["StatusCode"] == 200  # type: ignore[attr-defined]
    except ClientError:
        return False


def test_what_a_killed_daemon_left_is_swept_away_and_ended(tmp_path: Path) -> None:
    body = """
import subprocess
@app.function(timeout=60)
def work(event, context):
    child = subprocess.Popen(["sleep", "300"], start_new_session=True)
    note(HERE + "/child", str(child.pid))
    time.sleep(60 if event.get("long") else 0)
"""
    (tmp_path / "eventflow.toml").write_text("grace_seconds = 0.2\n")
    with daemon(tmp_path, code(tmp_path, body)) as process:
        process.start()
        limits = process.control("status")["memory_limits"]
        process.client("lambda").invoke(FunctionName="work", InvocationType="Event", Payload=b'{"long": 1}')
        process.until(lambda: process.rows("child"), "it runs")
        process.kill()
        assert list((process.state / "run").iterdir())
        process.start()
        assert process.client("lambda").invoke(FunctionName="work", Payload=b"{}")["StatusCode"] == 200
        if limits.startswith("cgroup"):
            process.until(lambda: not alive(int(process.rows("child")[0])), "the child that had left its session is ended")
        process.stop()
        assert list((process.state / "run").iterdir()) == []
        for pid in map(int, process.rows("child")):
            kill(pid)


def test_dead_events_are_listed_explained_and_redriven_from_the_command_line(tmp_path: Path) -> None:
    body = """
failures = app.queue("failures")
@app.function(retries=0, on_failure=failures)
def work(event, context):
    if not os.path.exists(HERE + "/mended"):
        raise LookupError(f"no part {event['n']}")
    note(HERE + "/handled", str(event["n"]))
"""
    with daemon(tmp_path, code(tmp_path, body)) as process:
        process.start()
        ids = [json.loads(process.cli("invoke", "work", "--async", "--payload", f'{{"n": {n}}}', "--json").stdout)["request_id"] for n in (1, 2)]
        process.until(lambda: len(process.events(state="dead")) == 2, "both are dead")
        assert {event["id"] for event in json.loads(process.cli("dlq", "list", "--json").stdout)["events"]} == set(ids)
        shown = process.cli("events", "show", ids[0]).stdout
        assert "RetriesExhausted: no part 1" in shown
        assert "LookupError" in shown
        sqs = process.client("sqs")
        messages = sqs.receive_message(QueueUrl=sqs.get_queue_url(QueueName="failures")["QueueUrl"], MaxNumberOfMessages=10)["Messages"]
        assert {json.loads(message["Body"])["requestContext"]["requestId"] for message in messages} == set(ids)
        (tmp_path / "mended").touch()
        assert process.cli("events", "replay", ids[0]).returncode == 0
        process.until(lambda: process.rows("handled") == ["1"], "the first ran again")
        assert process.cli("dlq", "redrive", "--all").returncode == 0
        process.until(lambda: process.rows("handled") == ["1", "2"], "so did the other")
        process.until(lambda: len(process.events(state="done")) == 2, "both are done")
        assert json.loads(process.cli("dlq", "list", "--json").stdout)["events"] == []
        assert process.cli("events", "replay", "nothing").returncode == 1
