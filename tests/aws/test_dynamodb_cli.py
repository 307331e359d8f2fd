"""``eventflow tables``: what goes out comes in the same, whatever the types, and an error says where to go on."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from pathlib import Path
from typing import Any

import boto3
import pytest
from click.testing import CliRunner, Result

from eventflow.cli.main import cli
from eventflow.clock import SystemClock
from tests.aws.builders import dynamodb
from tests.aws.conftest import AwsServer


async def control(scope: MutableMapping[str, Any], receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]) -> None:
    """The one question of the control API that is asked."""
    assert scope["path"] == "/_eventflow/status"
    body = json.dumps({"settings": {"region": {"value": "us-east-1"}}}).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", str(len(body)).encode())]})
    await send({"type": "http.response.body", "body": body})


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, boto_session: boto3.Session) -> Iterator[AwsServer]:
    folder = tmp_path_factory.mktemp("tables")
    server = AwsServer(dynamodb, folder, boto_session, SystemClock(), control=control)
    (folder / "daemon.json").write_text(json.dumps({"pid": os.getpid(), "url": server.url, "token": "token"}))
    server.credentials.save(folder / "credentials.json")
    server.state = folder  # type: ignore[attr-defined]
    yield server
    server.close()


@pytest.fixture
def run(server: AwsServer) -> Callable[..., Result]:
    def invoke(*arguments: str, input: bytes | None = None) -> Result:
        return CliRunner().invoke(cli, ["tables", *arguments, "--state", str(server.state)], input=input)  # type: ignore[attr-defined]

    return invoke


@pytest.fixture
def client(server: AwsServer) -> Iterator[Any]:
    client = server.client("dynamodb")
    yield client
    for name in client.list_tables()["TableNames"]:
        client.delete_table(TableName=name)


def create(client: Any, name: str) -> None:
    client.create_table(
        TableName=name,
        KeySchema=[{"AttributeName": "p", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "p", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )


def everything(client: Any, name: str) -> dict[str, Any]:
    found = [item for page in client.get_paginator("scan").paginate(TableName=name) for item in page["Items"]]
    return {item["p"]["S"]: item for item in found}


ITEM = {
    "p": {"S": "\u00e9\u2028\n"},
    "n": {"N": "0.12345678901234567890123456789012345678"},
    "b": {"B": b"\x00\xff"},
    "B": {"M": {"B": {"S": "AA=="}, "BS": {"L": [{"B": b"1"}, {"NULL": True}, {"BOOL": False}]}}},
    "bs": {"BS": [b"1", b"22"]},
}


def test_what_is_exported_is_imported_the_same(client: Any, run: Callable[..., Result], tmp_path: Path) -> None:
    create(client, "from")
    create(client, "into")
    client.put_item(TableName="from", Item=ITEM)
    for number in range(60):
        client.put_item(TableName="from", Item={"p": {"S": str(number)}, "filler": {"S": "x" * 30_000}})
    for name in ("items.json", "items.json.gz"):
        result = run("export", "from", "--output", str(tmp_path / name))
        assert result.exit_code == 0, result.output
        assert result.stderr == "61 items exported.\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["items.json", "items.json.gz"]
    text = (tmp_path / "items.json").read_bytes()
    assert gzip.decompress((tmp_path / "items.json.gz").read_bytes()) == text
    assert {"Item": {"p": {"S": "1"}, "filler": {"S": "x" * 30_000}}} in map(json.loads, text.splitlines())
    assert run("import", "into", str(tmp_path / "items.json.gz")).stderr == "61 items imported.\n"
    assert everything(client, "into") == everything(client, "from")
    assert run("import", "into", "-", input=run("export", "from").stdout_bytes).exit_code == 0
    assert everything(client, "into") == everything(client, "from")
    listed = json.loads(run("list", "--json").stdout)["tables"]
    assert [(each["name"], each["items"], each["key"]) for each in listed] == [("from", 61, ["p"]), ("into", 61, ["p"])]
    assert "from   ACTIVE     61" in run("list").stdout


def lines(*items: Any) -> bytes:
    return b"".join(json.dumps({"Item": item}).encode() + b"\n" for item in items)


def test_an_import_that_fails_says_where_to_go_on(client: Any, run: Callable[..., Result], tmp_path: Path) -> None:
    create(client, "into")
    good = [{"p": {"S": str(number % 40)}, "n": {"N": str(number)}} for number in range(70)]
    file = tmp_path / "items.json"
    file.write_bytes(lines(*good[:60]) + b"{}\n" + lines(*good[60:]))
    result = run("import", "into", str(file))
    assert result.exit_code == 1
    assert result.stderr.startswith('Error: Line 61 is no line of an export, {"Item": {...}}: it has no "Item".')
    assert "--from-line 61" in result.stderr
    assert everything(client, "into") == {item["p"]["S"]: item for item in good[:60]}
    assert run("import", "into", str(file), "--from-line", "62").stderr == "10 items imported.\n"
    assert everything(client, "into") == {item["p"]["S"]: item for item in good}, "the last of two lines with one key is what is there"
    file.write_bytes(lines(*good[:30], {"q": {"S": "no key"}}))
    result = run("import", "into", str(file))
    assert result.exit_code == 1
    assert "Missing the key p in the item" in result.stderr
    assert "go on with --from-line 26" in result.stderr
    for bad in (b"\xff\n", b"[]\n", b'{"Item": {"p": 1}}\n', b'{"Item": {"p": {"B": "%"}}}\n', b'{"Item":' + b'{"a":{"M":' * 5000):
        assert "Line 1 is no line of an export" in run("import", "into", "-", input=bad).stderr


def test_errors_are_sentences(client: Any, run: Callable[..., Result], tmp_path: Path) -> None:
    result = run("export", "none", "--output", str(tmp_path / "none"))
    assert result.exit_code == 1
    assert result.stderr == "Error: ResourceNotFoundException: Requested resource not found.\n"
    assert list(tmp_path.iterdir()) == []
    assert "ResourceNotFoundException" in run("import", "none", "-", input=b"").stderr
    create(client, "into")
    assert "cannot be read" in run("import", "into", str(tmp_path / "none")).stderr
    assert run("import", "into", "-", input=b"").stderr == "0 items imported.\n"
    assert run("list", "--region", "eu-west-1").stdout.splitlines() == ["TABLE  STATUS  ITEMS  BYTES  KEY  INDEXES"]
