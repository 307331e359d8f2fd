"""Logs as JSON: what functions write and what is written about them, with awslambdaric, which does it by itself, as the other side."""

import importlib.util
import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from eventflow.function import Function
from tests.process.spine import Spine, with_packages, with_spine
from tests.runtime_api.packages import packaged, write

OURSELVES = f"python3.{sys.version_info.minor}"
STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{3})?Z")
PYTHON = """
import json, logging
log = logging.getLogger("own")
def handler(event, context):
    print("only printed")
    print(json.dumps({"level": "debug", "message": "printed, below"}))
    print(json.dumps({"message": "printed, without level"}))
    logging.debug("below")
    logging.info("told %s", 1, extra={"order": 7})
    log.warning({"as": "object"})
    try:
        raise ValueError("caught")
    except ValueError:
        log.exception("failed")
    if event.get("boom"):
        raise KeyError("k")
"""
NODE = """
exports.handler = async (event) => {
  process.stdout.write('only printed\\n');
  console.debug('below');
  console.log('told %s', 1);
  console.warn({ as: 'object' });
  console.error('failed', new RangeError('caught'));
  console.error(new TypeError('alone'));
  const circle = { toString: () => 'circle' }; circle.circle = circle;
  console.log(circle);
  if (event.boom) throw new RangeError('k');
};
"""
RIC = f"#!/bin/sh\nexec {sys.executable} -m awslambdaric app.handler\n"
JSON_LOG: dict[str, Any] = {"log_format": "JSON", "timeout": 60, "memory": 256}


def lines(spine: Spine, name: str) -> list[Any]:
    """Each line of a function's log: what it says as JSON, or its text."""
    return [json.loads(line) if line.startswith('{"') else line for line in spine.log_text(name).splitlines()]


def platform(found: list[Any]) -> list[dict[str, Any]]:
    return [line for line in found if isinstance(line, dict) and str(line.get("type")).startswith("platform.")]


def own(found: list[Any]) -> list[Any]:
    told = platform(found)
    return [line for line in found if line not in told]


def python(folder: Path, name: str, **settings: Any) -> Function:
    return packaged(folder, OURSELVES, {"app.py": PYTHON}, name=name, **{**JSON_LOG, **settings})


def plain(record: Any) -> Any:
    """Without what differs from one run to the next; stamps are checked."""
    if not isinstance(record, dict):
        return record
    assert "timestamp" not in record or STAMP.fullmatch(record["timestamp"])
    place = {"location": re.sub(r"^.*/|\d+$", "", record["location"])} if "location" in record else {}
    return {name: value for name, value in record.items() if name not in ("timestamp", "requestId", "stackTrace")} | place


RECORDS = [
    "only printed",
    {"message": "printed, without level"},
    {"level": "INFO", "message": "told 1", "logger": "root", "order": 7},
    {"level": "WARNING", "message": {"as": "object"}, "logger": "own"},
    {
        "level": "ERROR",
        "message": "failed",
        "logger": "own",
        "errorType": "ValueError",
        "errorMessage": "caught",
        "location": "app.py:handler:",
    },
]


def test_a_python_function_and_what_is_written_about_it(tmp_path: Path) -> None:
    async def work(spine: Spine) -> None:
        outcome = await spine.invoke("f")
        assert outcome.ok
        found = lines(spine, "f")
        assert [plain(line) for line in own(found)] == RECORDS
        records = [line for line in own(found) if "logger" in line]
        assert records[-1]["stackTrace"][0].startswith('  File "')
        start, begun, report = platform(found)
        assert [start["type"], begun["type"], report["type"]] == ["platform.initStart", "platform.start", "platform.report"]
        assert found[0] == start
        assert found[-1] == report
        assert all(STAMP.fullmatch(event["time"]) for event in (start, begun, report))
        assert start["record"]["initializationType"] == "on-demand"
        request_id = begun["record"]["requestId"]
        assert begun["record"] == {"requestId": request_id, "version": "$LATEST"}
        assert {record["requestId"] for record in records} == {request_id}
        assert report["record"]["status"] == "success"
        assert report["record"]["metrics"].keys() == {"durationMs", "billedDurationMs", "memorySizeMB", "maxMemoryUsedMB", "initDurationMs"}
        assert report["record"]["metrics"]["memorySizeMB"] == 256

        failed = await spine.invoke("f", b'{"boom": 1}')
        error, done, report = lines(spine, "f")[-3:]
        assert plain(error) == {"level": "ERROR", "errorType": "KeyError", "errorMessage": "'k'"}
        assert error["stackTrace"] == failed.value()["stackTrace"]
        assert done["type"] == "platform.runtimeDone"
        assert error["requestId"] == report["record"]["requestId"]
        assert (report["record"]["status"], report["record"]["errorType"]) == ("error", "KeyError")
        assert "initDurationMs" not in report["record"]["metrics"]

    with_packages(tmp_path, [python(tmp_path, "f")], work)


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("awslambdaric") is None, reason="awslambdaric is not installed")
def test_every_python_writes_the_same(tmp_path: Path) -> None:
    """In the environment's process, in an interpreter of its own, and with AWS's own client, told by Lambda's variables alone."""
    layer = write(tmp_path / "layer", {"wrapper": '#!/bin/bash\nexec "$@"\n'})
    ric = packaged(tmp_path, "provided.al2023", {"app.py": PYTHON, "bootstrap": RIC}, name="ric", **JSON_LOG)
    other = python(tmp_path, "other", layers=(layer,), environment={"AWS_LAMBDA_EXEC_WRAPPER": "/opt/wrapper"})

    async def work(spine: Spine) -> None:
        told = {}
        for name in ("f", "ric", "other"):
            assert (await spine.invoke(name)).ok
            assert (await spine.invoke(name, b'{"boom": 1}')).error_type == "KeyError"
            told[name] = own(lines(spine, name))
        assert [plain(line) for line in told["ric"]] == [plain(line) for line in told["f"]]
        assert [plain(line) for line in told["other"]] == [plain(line) for line in told["f"]]
        for theirs, ours in zip(told["ric"], told["f"], strict=True):
            assert isinstance(theirs, str) or theirs.keys() == ours.keys()

    with_packages(tmp_path, [python(tmp_path, "f"), ric, other], work)


@pytest.mark.skipif(shutil.which("node") is None, reason="there is no node on this machine")
def test_a_node_function(tmp_path: Path) -> None:
    async def work(spine: Spine) -> None:
        assert (await spine.invoke("f")).ok
        assert (await spine.invoke("f", b'{"boom": 1}')).error_type == "RangeError"
        records = own(lines(spine, "f"))
        told, warned, failed, alone, circle = records[1:6]
        assert records[0] == "only printed"
        assert plain(told) == {"level": "INFO", "message": "told 1"}
        assert plain(warned) == {"level": "WARN", "message": {"as": "object"}}
        assert plain(failed) | {"message": ""} == {"level": "ERROR", "message": "", "errorType": "RangeError", "errorMessage": "caught"}
        assert failed["stackTrace"][0] == "RangeError: caught"
        assert alone["message"]["errorType"] == "TypeError"
        assert alone["message"].keys() == {"errorType", "errorMessage", "stackTrace"}
        assert "Circular" in circle["message"]
        last = records[-1]
        assert (last["level"], last["errorType"], last["errorMessage"]) == ("ERROR", "RangeError", "k")
        assert last["message"].startswith("Invoke Error")
        assert re.fullmatch(r"[0-9a-f-]{36}", last["requestId"])

    with_packages(tmp_path, [packaged(tmp_path, "nodejs20.x", {"index.js": NODE}, "index.handler", **JSON_LOG)], work)


LEVELS = """
import logging, time

@app.function(log_format="JSON", application_log_level="ERROR", system_log_level="WARN", timeout=1)
def quiet(event, context):
    print('{"level": "WARN", "message": "below"}')
    print('{"level": "warning", "message": "below"}')
    print('{"message": "below: its level is INFO"}')
    print('{"level": "FATAL", "message": "above"}')
    print('{no JSON')
    logging.getLogger("any").warning("below")
    while event.get("long"):
        time.sleep(1)

@app.function(log_format="JSON", application_log_level="TRACE", system_log_level="DEBUG")
def talkative(event, context):
    print('{"level": "TRACE", "message": "kept"}')
    logging.debug("kept")

@app.function(log_format="JSON", snap_start=True, timeout=60)
def snapped(event, context):
    logging.info("restored")

@app.function()
def text(event, context):
    print('{"level": "TRACE"}')
"""


def test_levels_are_enforced(tmp_path: Path) -> None:
    async def work(spine: Spine) -> None:
        for name in ("quiet", "talkative", "text"):
            assert (await spine.invoke(name)).ok
        spine.logs.flush()
        assert spine.log_text("quiet").splitlines() == ['{"level": "FATAL", "message": "above"}', "{no JSON"]
        assert (await spine.invoke("quiet", b'{"long": true}')).error_type == "Sandbox.Timedout"
        done, report = platform(lines(spine, "quiet"))
        assert (done["type"], done["record"]["status"]) == ("platform.runtimeDone", "timeout")
        assert (report["type"], report["record"]["status"], report["record"]["errorType"]) == ("platform.report", "timeout", "Sandbox.Timedout")
        assert "Task timed out" not in spine.log_text("quiet")
        assert [line["message"] for line in own(lines(spine, "talkative"))] == ["kept", "kept"]
        kinds = [event["type"].removeprefix("platform.") for event in platform(lines(spine, "talkative"))]
        assert kinds == ["initStart", "start", "runtimeDone", "report"]
        assert (await spine.invoke("snapped")).ok
        start, _begun, record, report = lines(spine, "snapped")
        assert (start["type"], start["record"]["initializationType"]) == ("platform.initStart", "snap-start")
        assert (record["level"], record["message"]) == ("INFO", "restored")
        assert "restoreDurationMs" in report["record"]["metrics"]
        text = spine.log_text("text").splitlines()
        assert text[0].startswith("START RequestId: ")
        assert text[1] == '{"level": "TRACE"}'

    with_spine(tmp_path, LEVELS, work)
