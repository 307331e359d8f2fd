"""The short way of AWS JSON answers as the general way does, and takes nothing that the general way refuses."""

from __future__ import annotations

import hashlib
import json
import socket
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from eventflow.aws.express import LARGEST
from eventflow.body_budget import BodyBudget
from eventflow.errors import Overloaded, ServiceError, StorageError
from tests.aws.test_express import Pair as InvokePair
from tests.aws.test_express import Sent, exchange, forged, signed
from tests.patience import PATIENCE

ANSWERS: dict[str, Mapping[str, Any] | Exception | None] = {
    "item": {"Item": {"pk": {"S": "käse"}, "b": {"B": b"\0\1"}, "n": {"N": "1"}}, "ConsumedCapacity": {"CapacityUnits": 0.5}},
    "none": None,
    "refused": ServiceError("ConditionalCheckFailedException", "The conditional request failed", Item={"b": {"B": b"\0"}}),
    "storage": StorageError("the disk is full"),
    "overloaded": Overloaded("too much"),
    "broken": RuntimeError("a mistake of ours"),
}


class Tables:
    """Answers by the table's name; keeps what it was called with."""

    name = "dynamodb"

    def __init__(self) -> None:
        self.calls: list[Any] = []
        self.operations = {"GetItem": self.get_item}

    async def get_item(self, call: Any, params: dict[str, Any]) -> Mapping[str, Any] | None:
        self.calls.append((call, params))
        answer = ANSWERS[params["TableName"]]
        if isinstance(answer, Exception):
            raise answer
        return answer


class Pair(InvokePair):
    """Two servers of the same tables; the second has the general way alone."""

    def __init__(self, serve: Any, **options: Any) -> None:
        super().__init__(serve, service=Tables, **options)
        self.other.endpoint._express_json = None


@pytest.fixture
def pair(serve: Any) -> Pair:
    return Pair(serve)


def asked(
    server: Any, table: str = "item", *, target: str = "DynamoDB_20120810.GetItem", path: str = "/", body: bytes | None = None, **more: str
) -> Sent:
    if body is None:
        body = json.dumps({"TableName": table, "Key": {"pk": {"S": "k"}}}).encode()
    service = more.pop("service", "dynamodb")
    return signed(server, path, body, service=service, X_Amz_Target=target, **more)


@pytest.mark.parametrize("table", ANSWERS)
def test_every_answer_is_the_same(pair: Pair, table: str) -> None:
    pair.compare(asked(pair.one, table), short=True)
    assert len(pair.one.services["dynamodb"].calls) == 1


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"{} {}",
        b' {"TableName": "item", "Key": {}}\n',
        b'{"TableName": 1, "Key": {}}',
        b'{"TableName": "item"}',
        b'{"TableName": "item", "Key": {"pk": {"S": "\\ud800"}}}',
        b'{"TableName": "item", "Key": {"pk": {"S": NaN}}}',
        b'{"TableName": "item", "Key": {}, "Unknown": [1], "ConsistentRead": null}',
        b"\xff",
    ],
)
def test_bodies_that_cannot_be_read(pair: Pair, body: bytes) -> None:
    pair.compare(asked(pair.one, body=body), short=bool(body))


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Amz-Content-Sha256": hashlib.sha256(b'{"TableName": "none", "Key": {}}').hexdigest()},
        {"X-Amz-Security-Token": "a token"},
        {"X-Amzn-Trace-Id": "Root=1-5759e988-bd862e3fe1be46a994272793;Lineage=a:1"},
        {"User-Agent": "Boto3/1.44 é", "Accept": "*/*", "amz-sdk-request": "attempt=1", "x-amzn-query-mode": "true"},
        {"Content-Type": "text/plain"},
    ],
)
def test_what_goes_the_short_way(pair: Pair, headers: dict[str, str]) -> None:
    sent = asked(pair.one, body=b'{"TableName": "none", "Key": {}}', **headers)
    assert pair.compare(sent, short=True) == b"HTTP/1.1 200 OK"


@pytest.mark.parametrize("size, short", [(LARGEST + 1, False), (300_000, False)])
def test_large_bodies_go_the_general_way(pair: Pair, size: int, short: bool) -> None:
    body = json.dumps({"TableName": "none", "Key": {"pk": {"S": "x" * size}}}).encode()
    assert pair.compare(asked(pair.one, body=body), short=short) == b"HTTP/1.1 200 OK"


@pytest.mark.parametrize(
    "changed",
    [
        {"path": "/?x=y"},
        {"path": "//"},
        {"path": "/x"},
        {"target": "DynamoDB_20120810.PutItem"},
        {"target": "DynamoDB_20120810.Nothing"},
        {"target": "DynamoDB_20120810."},
        {"target": "GetItem"},
        {"target": "DynamoDBStreams_20120810.GetItem"},
        {"target": "DynamoDBStreams_20120810.ListStreams"},
        {"target": "AmazonSQS.GetItem"},
        {"service": "sqs"},
        {"service": "sqs", "target": "AmazonSQS.SendMessage"},
        {"Content-MD5": "AAAAAAAAAAAAAAAAAAAAAA=="},
        {"Content-Encoding": "gzip"},
        {"X-Something": "else"},
        {"X-Amz-Content-Sha256": "UNSIGNED-PAYLOAD"},
    ],
)
def test_what_is_unusual_goes_the_general_way(pair: Pair, changed: dict[str, str]) -> None:
    pair.compare(asked(pair.one, **changed), short=False)  # type: ignore[arg-type]


REFUSED: dict[str, Callable[[Any, Sent], Sent]] = {
    "no signature": lambda server, sent: Sent("POST", sent.path, [one for one in sent.headers if one[0] != "Authorization"], sent.body),
    "another signature": lambda server, sent: forged(sent),
    "another body": lambda server, sent: Sent("POST", sent.path, sent.headers, sent.body.replace(b'"k"', b'"l"')),
    "another target": lambda server, sent: sent.with_header("X-Amz-Target", "DynamoDB_20120810.PutItem"),
    "an unsigned target": lambda server, sent: sent.with_header("Authorization", sent.value("Authorization").replace(";x-amz-target", "")),
    "another host": lambda server, sent: sent.with_header("Host", "elsewhere"),
    "an unknown key": lambda server, sent: sent.with_header(
        "Authorization", sent.value("Authorization").replace(server.credentials.access_key, "AKIASOMEBODYELSE")
    ),
    "another region": lambda server, sent: sent.with_header("Authorization", sent.value("Authorization").replace("us-east-1", "eu-west-1")),
    "another service": lambda server, sent: sent.with_header("Authorization", sent.value("Authorization").replace("/dynamodb/", "/sqs/")),
    "a header twice": lambda server, sent: Sent("POST", sent.path, [*sent.headers, ("Host", "here")], sent.body),
}


@pytest.mark.parametrize("how", REFUSED)
def test_refusals_are_the_general_way_s(pair: Pair, how: str) -> None:
    sent = asked(pair.one)
    assert pair.compare(sent, short=True) == b"HTTP/1.1 200 OK"  # and what is remembered of it helps nobody
    status = pair.compare(REFUSED[how](pair.one, sent), short=False)
    assert status.split()[1] in (b"400", b"403", b"404", b"501")
    assert len(pair.one.services["dynamodb"].calls) == 1


def test_no_room_for_bodies(serve: Any) -> None:
    pair = Pair(serve, bodies=BodyBudget(most=40))
    assert pair.compare(asked(pair.one, body=b'{"TableName": "none", "Key": {}}'), short=True) == b"HTTP/1.1 200 OK"
    pair.compare(asked(pair.one, body=b'{"TableName": "none", "Key": {}}' + b" " * 10), short=False)
    assert pair.one.endpoint._bodies.held == 0


def test_a_body_that_comes_late_or_in_pieces(pair: Pair) -> None:
    sent = asked(pair.one)
    head = "".join(f"{name}: {value}\r\n" for name, value in sent.headers)
    for server in (pair.one, pair.other):
        with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for piece in (f"POST / HTTP/1.1\r\nConnection: close\r\n{head}\r\n".encode(), sent.body[:5], sent.body[5:]):
                connection.sendall(piece)
            assert connection.recv(65536).startswith(b"HTTP/1.1 200")


def test_an_open_endpoint_has_no_short_way(serve: Any) -> None:
    server = serve(lambda *_: [Tables()], open=True)
    assert server.endpoint._express_json is None
    body = b'{"TableName": "none", "Key": {}}'
    sent = Sent(path="/", headers=[("Host", "h"), ("X-Amz-Target", "DynamoDB_20120810.GetItem"), ("Content-Length", str(len(body)))], body=body)
    assert exchange(server, sent)[0] == b"HTTP/1.1 200 OK"


def test_boto3_goes_the_short_way(pair: Pair) -> None:
    assert pair.one.client("dynamodb").get_item(TableName="item", Key={"pk": {"S": "k"}})["Item"] == ANSWERS["item"]["Item"]  # type: ignore[index]
    assert pair.general == 0
