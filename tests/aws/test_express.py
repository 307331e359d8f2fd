"""The short way of Invoke answers as the general way does, and takes nothing that the general way refuses."""

from __future__ import annotations

import hashlib
import json
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from botocore.auth import SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from eventflow.aws.express import LARGEST
from eventflow.aws.operation import Call
from eventflow.body_budget import BodyBudget
from eventflow.clock import SystemClock
from eventflow.errors import ServiceError
from tests.patience import PATIENCE

PATH = "/2015-03-31/functions/noop/invocations"
PLAIN = {"StatusCode": 200, "ExecutedVersion": "$LATEST", "Payload": b'{"answer": 42}'}
ANSWERS: dict[str, Mapping[str, Any] | Exception] = {
    "noop": PLAIN,
    "empty": {**PLAIN, "Payload": b""},
    "failed": {**PLAIN, "FunctionError": "Unhandled"},
    "logged": {**PLAIN, "LogResult": "aGVsbG8="},
    "later": {"StatusCode": 202},
    "dry": {"StatusCode": 204},
    "throttled": ServiceError("TooManyRequestsException", "Rate Exceeded.", 429, Reason="ReservedFunctionConcurrentInvocationLimitExceeded"),
    "missing": ServiceError("ResourceNotFoundException", "Function not found", 404, Type="User"),
    "broken": RuntimeError("a mistake of ours"),
}


class Lambda:
    """Answers by the function's name; keeps what it was called with."""

    name = "lambda"

    def __init__(self) -> None:
        self.calls: list[tuple[Call, dict[str, Any]]] = []
        self.operations = {"Invoke": self.invoke}

    async def invoke(self, call: Call, params: dict[str, Any]) -> Mapping[str, Any]:
        self.calls.append((call, params))
        answer = ANSWERS[params["FunctionName"].split(":")[-1]]
        if isinstance(answer, Exception):
            raise answer
        return answer


@dataclass
class Sent:
    """A request as it goes over the wire."""

    method: str = "POST"
    path: str = PATH
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b"{}"

    def with_header(self, name: str, value: str) -> Sent:
        """With another value, or one more header."""
        kept = [(one, old) for one, old in self.headers if one.lower() != name.lower()]
        return Sent(self.method, self.path, [*kept, (name, value)], self.body)

    def value(self, name: str) -> str:
        return next(value for one, value in self.headers if one.lower() == name.lower())


def signed(server: Any, path: str = PATH, body: bytes = b"{}", *, signer: Any = SigV4Auth, service: str = "lambda", **headers: str) -> Sent:
    given = {"Host": "here", "Content-Type": "application/json", **{name.replace("_", "-"): value for name, value in headers.items()}}
    request: Any = AWSRequest("POST", f"http://here{path}", headers=given, data=body)
    signer(Credentials(server.credentials.access_key, server.credentials.secret_key), service, "us-east-1").add_auth(request)
    sent = [*request.headers.items(), ("Content-Length", str(len(body)))]
    return Sent("POST", request.url.removeprefix("http://here"), sent, body)


def exchange(server: Any, sent: Sent) -> tuple[bytes, dict[bytes, bytes], bytes]:
    """The status line, the headers and the body that came back."""
    head = "".join(f"{name}: {value}\r\n" for name, value in sent.headers)
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as connection:
        connection.sendall(f"{sent.method} {sent.path} HTTP/1.1\r\nConnection: close\r\n{head}\r\n".encode("latin-1") + sent.body)
        received = b""
        while piece := connection.recv(65536):
            received += piece
    top, _, body = received.partition(b"\r\n\r\n")
    lines = top.split(b"\r\n")
    return lines[0], dict(line.split(b": ", 1) for line in lines[1:]), body


class Pair:
    """Two servers of the same application; the second has the general way alone. ``short`` are the answers that the first gave the short way."""

    def __init__(self, serve: Any, service: Callable[[], Any] = Lambda, **options: Any) -> None:
        self.one, self.other = serve(lambda *_: [service()], **options), serve(lambda *_: [service()], **options)
        self.other.endpoint._express = None
        self.other.endpoint._credentials = self.one.credentials
        self.other.endpoint._verifier = self.one.endpoint._verifier
        self.general = 0
        serve_generally = self.one.endpoint._serve

        async def counted(*arguments: Any) -> None:
            self.general += 1
            await serve_generally(*arguments)

        self.one.endpoint._serve = counted

    def compare(self, sent: Sent, *, short: bool) -> bytes:
        """Both answer alike; returns the status line."""
        self.general = 0
        mine, theirs = exchange(self.one, sent), exchange(self.other, sent)
        assert self.general == (0 if short else 1)
        assert list(mine[1]) == list(theirs[1])  # the same headers in the same order
        ids = [(headers.pop(b"x-amzn-requestid").decode(), headers.pop(b"date", b"")) for _, headers, _ in (mine, theirs)]
        bodies = [body.replace(request_id.encode(), b"<id>") for (_, _, body), (request_id, _) in zip((mine, theirs), ids, strict=True)]
        assert (mine[0], bodies[0]) == (theirs[0], bodies[1])
        assert {name: value for name, value in mine[1].items() if name != b"content-length"} == {
            name: value for name, value in theirs[1].items() if name != b"content-length"
        }
        (own,), (others,) = self.one.services.values(), self.other.services.values()
        assert [seen(one) for one in own.calls] == [seen(one) for one in others.calls]
        return mine[0]


def seen(called: tuple[Call, dict[str, Any]]) -> dict[str, Any]:
    """Everything that the operation could see, but for the fresh request id and the presigner, which is each server's own."""
    call, params = called
    return {**{name: getattr(call, name) for name in Call.__slots__ if name not in ("request_id", "presigner")}, "params": params}


@pytest.fixture
def pair(serve: Any) -> Pair:
    return Pair(serve)


@pytest.mark.parametrize("function", ANSWERS)
def test_every_answer_is_the_same(pair: Pair, function: str) -> None:
    pair.compare(signed(pair.one, PATH.replace("noop", function)), short=True)
    assert len(pair.one.services["lambda"].calls) == 1


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-Amz-Content-Sha256": hashlib.sha256(b"{}").hexdigest()},
        {"X-Amz-Security-Token": "a token"},
        {"X-Amzn-Trace-Id": "Root=1-5759e988-bd862e3fe1be46a994272793;Lineage=a:1"},
        {"User-Agent": "Boto3/1.44 é", "Accept": "*/*", "amz-sdk-request": "attempt=1"},
    ],
)
def test_what_goes_the_short_way(pair: Pair, headers: dict[str, str]) -> None:
    assert pair.compare(signed(pair.one, **headers), short=True) == b"HTTP/1.1 200 OK"


@pytest.mark.parametrize("size, short", [(2, True), (LARGEST, None), (LARGEST + 1, False), (300_000, False)])
def test_bodies_of_any_size(pair: Pair, size: int, short: bool | None) -> None:
    body = json.dumps("x" * (size - 2)).encode()
    sent = signed(pair.one, body=body)
    if short is not None:
        pair.compare(sent, short=short)
    else:  # whether it comes in one piece is the network's affair
        assert exchange(pair.one, sent)[2] == exchange(pair.other, sent)[2] == PLAIN["Payload"]
    assert pair.one.services["lambda"].calls[0][1]["Payload"] == body


@pytest.mark.parametrize(
    "path",
    [
        f"{PATH}?Qualifier=%24LATEST",
        f"{PATH}/",
        PATH.replace("noop", "no%6Fp"),
        PATH.replace("noop", "noop%3A%24LATEST"),
        PATH.replace("noop", "arn:aws:lambda:us-east-1:000000000000:function:noop"),
        PATH.replace("noop", "n" * 65),
        "/2015-03-31/functions//invocations",
    ],
)
def test_unusual_addresses_go_the_general_way(pair: Pair, path: str) -> None:
    ANSWERS.setdefault("n" * 65, PLAIN)
    ANSWERS.setdefault("$LATEST", PLAIN)
    pair.compare(signed(pair.one, path), short=False)


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Amz-Invocation-Type": "RequestResponse"},
        {"X-Amz-Invocation-Type": "Event"},
        {"X-Amz-Log-Type": "Tail"},
        {"X-Amz-Client-Context": "e30="},
        {"X-Amz-Tenant-Id": "somebody"},
        {"X-Amz-Target": "Other.Thing"},
        {"Content-MD5": "mZFLkyvTelC5g8XnyQrpOw=="},
        {"Content-MD5": "AAAAAAAAAAAAAAAAAAAAAA=="},
        {"X-Something": "else"},
    ],
)
def test_unusual_headers_go_the_general_way(pair: Pair, headers: dict[str, str]) -> None:
    pair.compare(signed(pair.one, **headers), short=False)


def forged(sent: Sent) -> Sent:
    return sent.with_header("Authorization", sent.value("Authorization")[:-1] + ("0" if sent.value("Authorization")[-1] != "0" else "1"))


REFUSED: dict[str, Callable[[Any, Sent], Sent]] = {
    "no signature": lambda server, sent: Sent("POST", sent.path, [one for one in sent.headers if one[0] != "Authorization"], sent.body),
    "another signature": lambda server, sent: forged(sent),
    "another body": lambda server, sent: Sent("POST", sent.path, sent.headers, b"[]"),
    "another function": lambda server, sent: Sent("POST", sent.path.replace("noop", "empty"), sent.headers, sent.body),
    "another host": lambda server, sent: sent.with_header("Host", "elsewhere"),
    "another content type": lambda server, sent: sent.with_header("Content-Type", "text/plain"),
    "an unsigned target": lambda server, sent: sent.with_header("X-Amz-Target", "Lambda.Thing"),
    "an unknown key": lambda server, sent: sent.with_header(
        "Authorization", sent.value("Authorization").replace(server.credentials.access_key, "AKIASOMEBODYELSE")
    ),
    "another region": lambda server, sent: sent.with_header("Authorization", sent.value("Authorization").replace("us-east-1", "eu-west-1")),
    "another service": lambda server, sent: signed(server, service="sqs"),
    "another hash": lambda server, sent: signed(server, X_Amz_Content_Sha256=hashlib.sha256(b"[]").hexdigest()),
    "an unsigned hash of another body": lambda server, sent: sent.with_header("X-Amz-Content-Sha256", hashlib.sha256(b"[]").hexdigest()),
    "a header twice": lambda server, sent: Sent("POST", sent.path, [*sent.headers, ("Host", "here")], sent.body),
    "a presigned address of another day": lambda server, sent: Sent("POST", f"{sent.path}?X-Amz-Signature=0", sent.headers, sent.body),
}


@pytest.mark.parametrize("how", REFUSED)
def test_refusals_are_the_general_way_s(pair: Pair, how: str) -> None:
    sent = signed(pair.one)
    assert pair.compare(sent, short=True) == b"HTTP/1.1 200 OK"  # and what is remembered of it helps nobody
    status = pair.compare(REFUSED[how](pair.one, sent), short=False)
    assert status.split()[1] in (b"400", b"403", b"501")
    assert len(pair.one.services["lambda"].calls) == 1


def test_an_authorization_that_came_twice_goes_the_general_way(pair: Pair) -> None:
    sent = signed(pair.one)
    pair.compare(Sent("POST", sent.path, [*sent.headers, ("Authorization", "x")], sent.body), short=False)


def test_the_word_unsigned_counts_for_nothing(pair: Pair) -> None:
    pair.compare(signed(pair.one, X_Amz_Content_Sha256="UNSIGNED-PAYLOAD"), short=False)


def test_a_presigned_invocation_goes_the_general_way(pair: Pair) -> None:
    def signer(credentials: Credentials, service: str, region: str) -> Any:
        return SigV4QueryAuth(credentials, service, region, expires=60)

    pair.compare(signed(pair.one, signer=signer), short=False)


def test_a_signature_that_is_too_old(serve: Any) -> None:
    class Stopped(SystemClock):
        at: float | None = None  # the same for both: their answers say the second

        def now(self) -> float:
            return super().now() if self.at is None else self.at

    clock = Stopped()
    pair = Pair(serve, clock=clock)
    sent = signed(pair.one)
    assert pair.compare(sent, short=True) == b"HTTP/1.1 200 OK"
    assert pair.compare(sent, short=True) == b"HTTP/1.1 200 OK"  # AWS takes a request again, too, as long as it is young
    clock.at = clock.now() + 16 * 60
    assert pair.compare(sent, short=False) == b"HTTP/1.1 403 Forbidden"


def test_a_body_that_comes_late_or_in_pieces(pair: Pair) -> None:
    sent = signed(pair.one, body=b'{"a": "b"}')
    head = "".join(f"{name}: {value}\r\n" for name, value in sent.headers)
    for server in (pair.one, pair.other):
        with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for piece in (f"POST {sent.path} HTTP/1.1\r\nConnection: close\r\n{head}\r\n".encode(), *(bytes((octet,)) for octet in sent.body)):
                connection.sendall(piece)
            assert connection.recv(65536).startswith(b"HTTP/1.1 200")
        assert server.services["lambda"].calls[0][1]["Payload"] == sent.body


def test_chunked_transfer_goes_the_general_way(pair: Pair) -> None:
    sent = signed(pair.one)
    kept = [one for one in sent.headers if one[0] != "Content-Length"]
    pair.compare(Sent("POST", sent.path, [*kept, ("Transfer-Encoding", "chunked")], b"2\r\n{}\r\n0\r\n\r\n"), short=False)


def test_no_room_for_bodies(serve: Any) -> None:
    pair = Pair(serve, bodies=BodyBudget(most=10))
    assert pair.compare(signed(pair.one, body=b'"234567"'), short=True) == b"HTTP/1.1 200 OK"
    assert pair.compare(signed(pair.one, body=b'"2345678901"'), short=False).split()[1] == b"429"
    assert pair.one.endpoint._bodies.held == 0


def test_the_limit_of_bodies(serve: Any) -> None:
    pair = Pair(serve, body_limit=10)
    assert pair.compare(signed(pair.one, body=b'"23456789"'), short=True) == b"HTTP/1.1 200 OK"
    assert pair.compare(signed(pair.one, body=b'"234567890"'), short=False).split()[1] == b"413"


def test_an_open_endpoint_has_no_short_way(serve: Any) -> None:
    server = serve(lambda *_: [Lambda()], open=True)
    assert server.endpoint._express is None
    assert exchange(server, Sent(headers=[("Host", "here"), ("Content-Length", "2")]))[0] == b"HTTP/1.1 200 OK"


def test_boto3_goes_the_short_way(pair: Pair) -> None:
    answer = pair.one.client("lambda").invoke(FunctionName="noop", Payload=b"{}")
    assert answer["Payload"].read() == PLAIN["Payload"]
    assert answer["ResponseMetadata"]["RequestId"] == pair.one.services["lambda"].calls[0][0].request_id
    assert pair.general == 0
