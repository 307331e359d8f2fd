"""Functions made by Lambda's API on a real daemon, with boto3 as the other side."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import zipfile
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.process.daemon_process import DaemonProcess, daemon

APP = """
@app.function()
def declared(event, context):
    return "application"
"""
ROLE = "arn:aws:iam::000000000000:role/any"
RUNTIME = "python3.11"
#: Says what it was asked, what it is, and what is beside it.
HANDLER = """
import os
from extra.words import WORD
def handler(event, context):
    said = {"version": context.function_version, "arn": context.invoked_function_arn, "colour": os.environ.get("COLOUR")}
    return {"event": event, "word": WORD, **said}
"""


def zipped(files: Mapping[str, str] | None = None, word: str = "one") -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as out:
        for name, text in (files or {"main.py": HANDLER, "extra/words.py": f"WORD = {word!r}\n"}).items():
            out.writestr(zipfile.ZipInfo(name), text)
    return archive.getvalue()


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaemonProcess]:
    with daemon(tmp_path_factory.mktemp("functions"), APP) as process:
        yield process.start()


@pytest.fixture(scope="module")
def client(process: DaemonProcess) -> Any:
    return process.client("lambda")


def create(client: Any, name: str, **parameters: Any) -> Any:
    given = {"Runtime": RUNTIME, "Role": ROLE, "Handler": "main.handler", "Code": {"ZipFile": zipped()}}
    return client.create_function(FunctionName=name, **{**given, **parameters})


def invoke(client: Any, name: str, event: Any = None, **parameters: Any) -> Any:
    answer = client.invoke(FunctionName=name, Payload=json.dumps(event), **parameters)
    assert "FunctionError" not in answer, answer["Payload"].read()
    return json.load(answer["Payload"])


def refusal(call: Any, **arguments: Any) -> tuple[str, int, str]:
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    response: Any = caught.value.response
    return response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"], response["Error"]["Message"]


def test_a_function_is_made_run_told_of_and_deleted(client: Any) -> None:
    made = create(client, "first", Environment={"Variables": {"COLOUR": "blue"}}, Tags={"team": "a"}, Description="says")
    arn = "arn:aws:lambda:us-east-1:000000000000:function:first"
    assert (made["FunctionArn"], made["Version"], made["State"], made["LastUpdateStatus"]) == (arn, "$LATEST", "Active", "Successful")
    assert made["CodeSha256"] == base64.b64encode(hashlib.sha256(zipped()).digest()).decode()
    assert made["CodeSize"] == len(zipped())
    assert made["LastModified"].endswith("+0000")
    said = invoke(client, "first", {"n": 1})
    assert said == {"event": {"n": 1}, "word": "one", "version": "$LATEST", "arn": arn, "colour": "blue"}
    found = client.get_function(FunctionName=arn)
    assert found["Tags"] == {"team": "a"}
    assert {**found["Configuration"], "ResponseMetadata": 0} == {**made, "ResponseMetadata": 0}
    assert "first" in [function["FunctionName"] for function in client.list_functions()["Functions"]]
    client.delete_function(FunctionName="first")
    assert refusal(client.invoke, FunctionName="first")[:2] == ("ResourceNotFoundException", 404)
    assert refusal(client.get_function, FunctionName="first")[:2] == ("ResourceNotFoundException", 404)
