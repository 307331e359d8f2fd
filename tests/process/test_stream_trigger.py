"""The Stream trigger in a real daemon that is killed: no acknowledged change is lost, and each key's changes come in order."""

from __future__ import annotations

import json
import random
import threading
import time
from pathlib import Path

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from tests.patience import PATIENCE
from tests.process.daemon_process import daemon

BODY = """
from triggers import Stream
app.table("orders", key="id")

@app.on(Stream("orders", batch_size=5, parallelization_factor=2))
def changed(event, context):
    with open({handled!r}, "a") as file:
        for record in event["Records"]:
            image = record["dynamodb"]["NewImage"]
            file.write(image["id"]["S"] + " " + image["n"]["N"] + chr(10))
"""
KEYS = "abcd"


@pytest.mark.slow
def test_no_acknowledged_change_is_lost_or_overtaken_when_the_daemon_is_killed(tmp_path: Path) -> None:
    chance = random.Random(5)
    handled = tmp_path / "handled"
    with daemon(tmp_path, BODY.format(handled=str(handled))) as process:
        process.start()
        acknowledged: list[str] = []
        stopping = threading.Event()

        def write() -> None:
            client, number = None, 0
            while not stopping.is_set():
                number += 1
                key = KEYS[number % len(KEYS)]
                try:
                    client = client or process.client("dynamodb")
                    client.put_item(TableName="orders", Item={"id": {"S": key}, "n": {"N": str(number)}})
                    acknowledged.append(f"{key} {number}")
                except (BotoCoreError, ClientError, OSError, ValueError):
                    client = None
                    time.sleep(0.05)  # killed at this moment: nothing was promised

        writer = threading.Thread(target=write)
        writer.start()
        try:
            for _round in range(3):
                before = len(acknowledged)
                process.until(lambda least=before + 15: len(acknowledged) > least, "changes are acknowledged")
                time.sleep(chance.uniform(0.2, 1.2))
                process.kill()
                process.start()
            time.sleep(0.5)
        finally:
            stopping.set()
            writer.join(PATIENCE)
        assert len(acknowledged) > 40, json.dumps(acknowledged)
        process.until(lambda: set(acknowledged) <= set(handled.read_text().splitlines()), "all that was acknowledged is handled")
        rows = handled.read_text().splitlines()
        for key in KEYS:
            first_seen = list(dict.fromkeys(int(row.split()[1]) for row in rows if row.startswith(key)))
            assert first_seen == sorted(first_seen), f"changes of {key} were overtaken"
        assert len(rows) < 2 * len(set(rows)), "duplicates only where a batch was under way"


WINDOWS = """
from triggers import Stream
app.table("orders", key="id")

@app.on(Stream("orders", batch_size=5, tumbling_window=2))
def collect(event, context):
    ids = event["state"].get("ids", []) + [record["dynamodb"]["Keys"]["id"]["S"] for record in event["Records"]]
    if event["isFinalInvokeForWindow"]:
        with open({told!r}, "a") as file:
            file.write(json.dumps([event["window"]["start"], ids]) + chr(10))
    return {{"state": {{"ids": ids}}}}
"""


@pytest.mark.slow
def test_every_change_is_in_the_state_of_one_window_once_however_the_daemon_is_killed(tmp_path: Path) -> None:
    chance = random.Random(7)
    told = tmp_path / "told"
    told.touch()
    with daemon(tmp_path, "import json\n" + WINDOWS.format(told=str(told))) as process:
        for number in range(3):
            process.start()
            client = process.client("dynamodb")
            for item in range(60):
                client.put_item(TableName="orders", Item={"id": {"S": f"{number}-{item}"}})
            time.sleep(chance.uniform(0, 1.5))
            if number < 2:
                process.kill()
        wanted = {f"{number}-{item}" for number in range(3) for item in range(60)}

        def windows() -> list[list[str]]:
            """What was told of each window; a kill may have had it told twice."""
            return [ids for _start, ids in map(json.loads, dict.fromkeys(told.read_text().splitlines()))]

        process.until(lambda: wanted <= {id for ids in windows() for id in ids}, "every change was told with its window")
        assert sorted(id for ids in windows() for id in ids) == sorted(wanted)
