"""Functions made by API on a daemon that is killed while they are deployed: the old version runs, or the new one, and never a mixture."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import sys
import threading
import urllib.request
import zipfile
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from eventflow.settings import TEST_KILL_AT
from tests.patience import DAEMON, PATIENCE
from tests.process.daemon_process import DaemonProcess, daemon

ROLE = "arn:aws:iam::000000000000:role/any"
HANDLER = """
import os
from other import NUMBER
HERE = {0}
def handler(event, context):
    if event == "not a number":
        raise ValueError(event)
    return [HERE, NUMBER, int(os.environ["NUMBER"]), context.function_version]
"""


def zipped(number: int) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("main.py", HANDLER.format(number))
        archive.writestr("other.py", f"NUMBER = {number}\n")
        archive.writestr("ballast", bytes(200_000))
    return out.getvalue()


def create(client: Any) -> None:
    settings = {
        "Runtime": f"python3.{sys.version_info.minor}",
        "Role": ROLE,
        "Handler": "main.handler",
        "Environment": {"Variables": {"NUMBER": "0"}},
    }
    client.create_function(FunctionName="f", Code={"ZipFile": zipped(0)}, **settings)


def invoke(client: Any) -> Any:
    answer = client.invoke(FunctionName="f")
    value = json.load(answer["Payload"])
    assert "FunctionError" not in answer, value
    return value


def left_over(process: DaemonProcess) -> list[str]:
    return [entry.name for entry in (process.state / "functions").iterdir() if entry.name.startswith(".incoming")]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("point", "runs"),
    [("code.archived", 0), ("code.unpacked", 0), ("code.recorded", 1), ("code.deployed", 1)],
)
def test_a_kill_between_the_steps_of_a_deploy_leaves_the_one_code_or_the_other(tmp_path: Path, point: str, runs: int) -> None:
    with daemon(tmp_path, "") as process:
        create(process.start().client("lambda"))
        assert process.stop() == 0
        # The start deploys what there is, and passes the last of the points once.
        process.variables[TEST_KILL_AT] = f"{point} {2 if point == 'code.deployed' else 1} {tmp_path / 'mark'}"
        process.start()
        client = process.client("lambda", read_timeout=DAEMON)
        with pytest.raises((BotoCoreError, ClientError)):
            client.update_function_code(FunctionName="f", ZipFile=zipped(1))
        assert process.process is not None
        process.process.wait(DAEMON)
        process.variables.clear()
        process.start()
        assert invoke(process.client("lambda")) == [runs, runs, 0, "$LATEST"]
        assert left_over(process) == []
        code = process.client("lambda").get_function(FunctionName="f")
        with urllib.request.urlopen(code["Code"]["Location"], timeout=PATIENCE) as answer:
            sha = hashlib.sha256(answer.read())
        assert base64.b64encode(sha.digest()).decode() == code["Configuration"]["CodeSha256"]
        assert sorted(entry.name for entry in (process.state / "functions").iterdir()) == [sha.hexdigest(), f"{sha.hexdigest()}.zip"]


@pytest.mark.slow
def test_a_kill_between_a_deletion_and_the_end_of_its_events_drops_them_at_the_next_start(tmp_path: Path) -> None:
    with daemon(tmp_path, "") as process:
        process.variables[TEST_KILL_AT] = f"code.recorded 3 {tmp_path / 'mark'}"
        client = process.start().client("lambda", read_timeout=DAEMON)
        create(client)
        client.put_function_concurrency(FunctionName="f", ReservedConcurrentExecutions=1)
        client.invoke(FunctionName="f", InvocationType="Event", Payload=b'"not a number"')
        process.until(lambda: [one["state"] for one in process.events()] == ["waiting"], "the event waits for its retry")
        with pytest.raises((BotoCoreError, ClientError)):
            client.delete_function(FunctionName="f")
        assert process.process is not None
        process.process.wait(DAEMON)
        process.variables.clear()
        process.start()
        [event] = process.events()
        assert (event["state"], event["reason"].partition(":")[0]) == ("dead", "FunctionDeleted")
        create(process.client("lambda"))
        assert [one["state"] for one in process.events()] == ["dead"]


@pytest.mark.slow
def test_kills_at_any_moment_of_many_deploys_lose_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    with daemon(tmp_path, "") as process:
        create(process.start().client("lambda"))
        acknowledged, versions = 0, {}
        for round in range(6):
            client = process.client("lambda", read_timeout=DAEMON)
            killer = threading.Timer(0.02 + 0.11 * round, process.kill)
            killer.start()
            attempted = acknowledged
            try:
                while True:
                    attempted += 1
                    answer = client.update_function_code(FunctionName="f", ZipFile=zipped(attempted), Publish=True)
                    acknowledged = attempted
                    versions[answer["Version"]] = attempted
            except (BotoCoreError, ClientError):
                killer.join()
            process.start()
            client = process.client("lambda", read_timeout=DAEMON)
            here, beside, _, _ = invoke(client)
            assert here == beside
            assert here in (acknowledged, attempted)
            acknowledged = here
            for version, number in versions.items():
                answer = client.invoke(FunctionName="f", Qualifier=version)
                assert json.load(answer["Payload"]) == [number, number, 0, version]
            assert left_over(process) == []
