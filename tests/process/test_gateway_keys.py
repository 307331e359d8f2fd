"""API keys of a whole daemon: made, told, counted, and all of that again after a stop and after a kill."""

from __future__ import annotations

import json
import sqlite3
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.patience import PATIENCE
from tests.process.daemon_process import DaemonProcess, daemon

CODE = """
from triggers import Rest
app.rest_api(access_log="json")
app.api_key("made")
app.usage_plan("basic", keys=["made"], quota=5, period="MONTH")

@app.on(Rest("GET /items", api_key=True))
def items(event, context):
    return {"statusCode": 200, "body": "items"}
"""


def ask(process: DaemonProcess, key: str) -> int:
    request = urllib.request.Request(f"{process.facts['gateway']}/prod/items", headers={"x-api-key": key})
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def used(process: DaemonProcess) -> int:
    return int(json.loads(process.cli("keys", "--json").stdout)[0]["plans"][0]["used"])


def written(process: DaemonProcess) -> bool:
    with sqlite3.connect(f"file:{process.state}/eventflow.db?mode=ro", uri=True) as connection:
        found = connection.execute("SELECT used FROM api_key_usage").fetchone()
    connection.close()
    return found is not None and found[0] == 4


@pytest.mark.slow
def test_a_key_and_its_use_outlive_stops_and_kills(tmp_path: Path) -> None:
    with daemon(tmp_path, CODE) as process:
        process.start()
        key = process.cli("keys", "made").stdout.strip()
        assert len(key) == 40
        assert [ask(process, "x" * 40), ask(process, key), ask(process, key)] == [403, 200, 200]
        assert used(process) == 2
        assert ask(process, "y" * 40) == 403
        assert process.stop() == 0  # within the second in which counts are not written yet
        assert len((process.state / "logs" / "access" / "rest-default.log").read_text().splitlines()) == 4

        process.start()
        assert process.cli("keys", "made").stdout.strip() == key
        assert used(process) == 2
        assert [ask(process, key), ask(process, key)] == [200, 200]
        process.until(lambda: written(process), "the counts are written")
        process.kill()

        process.start()
        assert [ask(process, key), ask(process, key)] == [200, 429]
        lines = [json.loads(line) for line in process.cli("logs", "--access", "default").stdout.splitlines()]
        assert [line["status"] for line in lines[-2:]] == ["200", "429"]
        assert "made here" in process.cli("keys").stdout
        for file in [process.log, *(process.state / "logs").rglob("*.log")]:
            assert key not in file.read_text()
