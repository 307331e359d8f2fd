"""Fault points: each is named once and reached somewhere, a trap springs once, and what was found at them stays mended."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from eventflow import faultpoint
from eventflow.errors import SettingError
from eventflow.faultpoint import POINTS
from eventflow.settings import inherited_variables, kill_asked_for, read_settings
from tests.patience import DAEMON
from tests.process.daemon_process import children_of, daemon

SOURCES = Path(faultpoint.__file__).parent
KINDS = ("bucket", "schedule", "queue", "stream")
REACH = """
import sys
from eventflow import faultpoint
faultpoint.arm(sys.argv[1])
for _ in range(3):
    faultpoint.reach("daemon.opened")
    faultpoint.reach("transaction.begun")
    print("went on", flush=True)
"""
ECHO = """
@app.function(timeout=30)
def echo(event, context):
    return event
"""


def test_every_point_of_the_list_is_in_the_code_once_and_every_one_in_the_code_is_listed() -> None:
    named: list[str] = []
    for file in SOURCES.rglob("*.py"):
        for text in re.findall(r'faultpoint\.reach\(f?"([^"]+)"\)', file.read_text()):
            named += [text.replace("{self._kind}", kind) for kind in KINDS] if "{" in text else [text]
    assert set(POINTS) <= set(named)
    assert sorted(name for name in named if name.partition(".")[0] not in KINDS) == sorted(
        name for name in POINTS if name.partition(".")[0] not in KINDS
    )


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", REACH, *arguments], capture_output=True, text=True, timeout=DAEMON, check=False)


def test_a_trap_kills_at_the_nth_reaching_and_only_once(tmp_path: Path) -> None:
    ended = run(f"transaction.begun 2 {tmp_path / 'mark'}")
    assert (ended.returncode, ended.stdout) == (-signal.SIGKILL, "went on\n")
    again = run(f"transaction.begun 2 {tmp_path / 'mark'}")
    assert (again.returncode, again.stdout) == (0, "went on\n" * 3)


@pytest.mark.parametrize("text", ["", "nowhere 1 /tmp/x", "daemon.opened one /tmp/x", "daemon.opened 1"])
def test_what_is_no_fault_point_is_refused(text: str) -> None:
    with pytest.raises(SettingError, match=r"is no fault point: it takes POINT NTH FILE"):
        faultpoint.arm(text)


def test_nothing_is_armed_by_itself() -> None:
    assert faultpoint.trap is None
    assert not kill_asked_for({})
    faultpoint.reach("daemon.opened")


def test_the_variable_is_known_and_not_handed_to_functions(tmp_path: Path) -> None:
    variables = {"EVENTFLOW_TEST_KILL_AT": "daemon.opened 1 /tmp/x"}
    read_settings(tmp_path, {}, variables)
    assert kill_asked_for(variables) == "daemon.opened 1 /tmp/x"
    assert inherited_variables(variables) == {}


def test_the_daemon_says_loudly_that_it_will_be_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVENTFLOW_TEST_KILL_AT", f"daemon.opened 1 {tmp_path / 'mark'}")
    with daemon(tmp_path, ECHO) as process:
        process.start(ready=False)
        assert process.process is not None
        assert process.process.wait(DAEMON) == -signal.SIGKILL
        assert "A TEST HAS THIS DAEMON KILLED AT A FAULT POINT" in process.log.read_text()


@pytest.mark.slow
def test_a_zygote_that_dies_as_soon_as_it_has_loaded_the_application_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVENTFLOW_TEST_KILL_AT", f"zygote.loaded 1 {tmp_path / 'mark'}")
    with daemon(tmp_path, ECHO) as process:
        process.start()
        client = process.client("lambda")
        answer = process.until(lambda: answered(client), "another zygote runs functions")
        assert answer == b'{"n": 1}'
        assert os.path.exists(tmp_path / "mark")  # noqa: PTH110


SLOW = """
import os, time
if os.path.exists(HERE + "/loaded"):
    time.sleep(2)
open(HERE + "/loaded", "w").close()
@app.on(Queue("jobs"))
def echo(event, context):
    time.sleep(0.5)
    open(HERE + "/handled", "a").write(event["Records"][0]["body"] + "\\n")
"""


@pytest.mark.slow
def test_a_stop_while_the_application_is_loaded_again_runs_what_waits_and_starts_no_trigger(tmp_path: Path) -> None:
    with daemon(tmp_path, f"HERE = {str(tmp_path)!r}\n" + SLOW) as process:
        process.start()
        for pid in children_of(process.facts["pid"]):
            os.kill(pid, signal.SIGKILL)
        process.until(lambda: "starting another" in process.log.read_text(), "the zygote is missed")
        sqs = process.client("sqs")
        sqs.send_message(QueueUrl=sqs.get_queue_url(QueueName="jobs")["QueueUrl"], MessageBody="waits for the zygote")
        process.until(
            lambda: process.control("status")["functions"][0]["environments"] == {} and is_received(sqs), "its batch waits for an environment"
        )
        assert process.stop() == 0
        assert process.rows("handled") == ["waits for the zygote"]
        assert "it starts again" not in process.log.read_text()
        assert "Traceback" not in process.log.read_text()


def is_received(sqs: Any) -> bool:
    url = sqs.get_queue_url(QueueName="jobs")["QueueUrl"]
    found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["ApproximateNumberOfMessagesNotVisible"])["Attributes"]
    return bool(found["ApproximateNumberOfMessagesNotVisible"] == "1")


def answered(client: object) -> bytes:
    """The function's answer; empty while there is no zygote to run it."""
    try:
        response = client.invoke(FunctionName="echo", Payload=b'{"n": 1}')  # type: ignore[attr-defined]
    except ClientError:
        return b""
    return response["Payload"].read()
