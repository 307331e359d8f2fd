"""What is fuzzed: each target takes any bytes, and raises only where a reader does something else than read them or refuse them in its own words."""

from __future__ import annotations

import io
import json
import re
import stat
import tempfile
import zipfile
from base64 import b64encode, urlsafe_b64encode
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any

from eventflow.aws.chunked import UNSIGNED_TRAILER, AnySignature, ChunkedBody, Framing
from eventflow.aws.protocols.refusal import UnknownOperation, Unreadable
from eventflow.aws.request import NotText, Request, joined
from eventflow.aws.s3.form import FormBody
from eventflow.aws.s3.post_policy import read_policy
from eventflow.aws.sigv2 import read_old_signature
from eventflow.aws.sigv4 import Refused, Verifier, canonical_request, read_signature
from eventflow.aws.wire import Wires
from eventflow.clock import SystemClock
from eventflow.cron import ExpressionError
from eventflow.errors import ServiceError
from eventflow.gateway.authorizers.claims import check_claims, scopes_of, written
from eventflow.gateway.authorizers.policies import Malformed
from eventflow.gateway.authorizers.settings import ALGORITHMS
from eventflow.gateway.authorizers.tokens import InvalidKeys, InvalidToken, object_of, read_keys, read_token
from eventflow.gateway.authorizers.verdicts import read_verdict
from eventflow.gateway.websocket.connection import Connection
from eventflow.gateway.websocket.selection import Selection
from eventflow.pattern import compile_pattern
from eventflow.runtime import loopback_http
from eventflow.runtime.loopback_http import Reader
from eventflow.services.expressions.compiler import Compiler
from eventflow.services.expressions.placeholders import Placeholders
from eventflow.services.functions.archive import unpack
from eventflow.services.functions.code import remove_tree, size_of
from eventflow.timetable import parse_timetable, parse_zone
from tests.fuzz.whole import whole
from tests.gateway.frames import BINARY, CLOSE, CONT, PING, TEXT, frame
from tests.gateway.wire import Listener, Wire, on_a_loop, receive

SERVICES = ("s3", "dynamodb", "sqs", "lambda", "events", "scheduler", "dynamodbstreams")
WIRES = Wires()
ROUTES = Selection.parse("here", "$request.body.a.b")
VERIFIER = Verifier({"AKID": "secret"}, SystemClock())
COMPILER = Compiler()
#: Headers that a server has split from their values: a name is a token, a value has no line breaks.
HEADER = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
LINK = stat.S_IFLNK | 0o777
MOST_UNPACKED = 100_000
EVENT: dict[str, Any] = {"source": "a", "detail": {"n": [1, {"m": None}], "ip": "10.0.0.1", "state": "on"}}


def split(data: bytes) -> tuple[Request, bytes] | None:
    """``METHOD path?query``, headers, an empty line and the body, as an HTTP server takes them apart; None for what a server would not hand on."""
    head, _, body = data.partition(b"\n\n")
    first, *lines = head.split(b"\n")
    method, _, address = first.partition(b" ")
    if not re.fullmatch(rb"[A-Z]{1,20}", method) or not re.fullmatch(rb"/[!-~\x80-\xff]*", address):
        return None
    pairs = [(b"host", b"localhost:8000"), (b"content-length", b"%d" % len(body))]
    for line in lines:
        name, _, value = line.partition(b":")
        if HEADER.fullmatch(name) and b"\r" not in value and b"\0" not in value:
            pairs.append((name.lower(), value.strip(b" \t")))
    path, _, query = address.decode("latin-1").partition("?")
    return Request(method.decode(), path, query, joined(pairs)), body


def clients_fault(error: ServiceError, code: str = "") -> str:
    """The code of a refusal that says what the client did wrong."""
    if not 400 <= error.status < 500 or code not in ("", error.code):
        raise AssertionError(f"{error.status} {error}") from error
    return error.code


def read_wire(data: bytes) -> None:
    """A request of any service: its parameters are read, or it is refused in the service's protocol with a client's error."""
    found = split(data[1:])
    if found is None:
        return
    request, body = found
    spoken = WIRES.of(SERVICES[data[0] % len(SERVICES)]).spoken(request)
    dialect = spoken.dialect
    try:
        match = dialect.find(request, body)
        operation = spoken.operation(match.operation)
        if operation is None:
            return  # the endpoint says so
        params = operation.read(request, match, b"" if operation.streaming else body)
        assert isinstance(params, dict)
        return
    except NotText:
        return
    except Unreadable as error:
        refusal = dialect.refuse(error)
    except UnknownOperation as error:
        refusal = dialect.unknown(error.message)
    except ServiceError as error:
        refusal = error
    reply = dialect.fault(refusal, "request-id")
    assert 400 <= reply.status < 500 or reply.status == 501, (reply.status, refusal)
    assert isinstance(reply.body, bytes)


def serve(data: bytes) -> None:
    """A request to the endpoint as a whole, as a client without credentials may send it to one that is open."""
    found = split(data)
    if found is not None:
        request, body = found
        status = whole().answer(request.method, request.path, request.query_string, request.headers, body)
        whole().check(status)


def read_signatures(data: bytes) -> None:
    """The signature of a request, in its header or its address, of version 4 or 2: read, and never right by chance."""
    found = split(data)
    if found is None:
        return
    request, body = found
    for read in (read_signature, read_old_signature):
        try:
            signature: Any = read(request)
            if signature is None or read is read_old_signature:
                continue
            canonical_request(request, signature, "UNSIGNED-PAYLOAD")
            claim = VERIFIER.claim(request, signature)
            claim.check("UNSIGNED-PAYLOAD")
        except (Refused, NotText):
            continue
        raise AssertionError(f"a signature that nobody made was taken: {body!r}")


def driven(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """The result of a coroutine that waits for nothing: an event loop for each would cost more than all that it does."""
    try:
        coroutine.send(None)
    except StopIteration as ended:
        return ended.value
    raise AssertionError("it waits for something")


async def pieces_of(data: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


def read_chunks(data: bytes) -> None:
    """An aws-chunked body: the same in whatever pieces it comes, and never more or less than its length says."""
    length = data[0] if data else 0

    async def decode(size: int) -> tuple[str, bytes]:
        headers = {"x-amz-decoded-content-length": str(length), "x-amz-trailer": "x-amz-checksum-crc32" if length % 2 else ""}
        read = b""
        body = ChunkedBody(pieces_of(data[1:], size), Framing.of(UNSIGNED_TRAILER, headers), AnySignature())
        try:
            async for piece in body.decoded():
                read += piece
        except ServiceError as error:
            return clients_fault(error), b""
        assert len(read) == length
        return "", read

    outcomes = {driven(decode(size)) for size in (1, 7, 100_000)}
    assert len(outcomes) == 1, outcomes


def read_form(data: bytes) -> None:
    """A browser's multipart form, the same in whatever pieces it comes."""
    content_type, _, body = data.partition(b"\n")

    async def decode(size: int) -> tuple[str, str, bytes]:
        try:
            form = FormBody(pieces_of(body, size), content_type.decode("latin-1"))
            fields = await form.fields()
            return "", repr(sorted(fields.items())), b"".join([piece async for piece in form.file()])
        except ServiceError as error:
            return clients_fault(error), "", b""

    outcomes = {driven(decode(size)) for size in (1, 100_000)}
    assert len(outcomes) == 1, outcomes


def read_post_policy(data: bytes) -> None:
    """The policy of a browser's form."""
    try:
        policy = read_policy(data.decode("latin-1"))
        _ = policy.sizes
        policy.check({"key": "user/1", "bucket": "b"}, 0.0)
    except ServiceError as error:
        clients_fault(error)


def read_expressions(data: bytes) -> None:
    """DynamoDB's expressions, with a name and a value to put in."""
    text = data[1:].decode("utf-8", "replace")
    placeholders = Placeholders({"#n": "name"}, {":v": {"N": "1"}, ":s": {"S": "s"}})
    readers: tuple[Callable[[], Any], ...] = (
        lambda: COMPILER.condition("ConditionExpression", text, placeholders).test({"name": {"N": "1"}, "a": {"L": [{"S": "s"}]}}),
        lambda: COMPILER.update(text, placeholders),
        lambda: COMPILER.projection(text, placeholders),
        lambda: COMPILER.key_condition(text, placeholders)(),
    )
    try:
        readers[data[0] % len(readers)]()
    except ServiceError as error:
        clients_fault(error, "ValidationException")


def read_pattern(data: bytes) -> None:
    """An event pattern, and whether an event matches it."""
    try:
        compile_pattern(data.decode("utf-8", "replace")).matches(EVENT)
    except ServiceError as error:
        clients_fault(error, "InvalidEventPatternException")


def read_tokens(data: bytes) -> None:
    """A JSON Web Token, whose payload is read as if its signature were right, and what of it a function would get to see."""
    with suppress(InvalidToken):
        token = read_token(data.decode("latin-1"), ALGORITHMS)
        claims = object_of(token.payload)
        json.dumps(written(claims))
        scopes_of(claims)
        check_claims(claims, "issuer", ["audience"], 1.0)


def read_key_sets(data: bytes) -> None:
    with suppress(InvalidKeys):
        assert read_keys(data)


def read_verdicts(data: bytes) -> None:
    """The answer of a Lambda authorizer, applied to a request."""
    for simple in (True, False):
        with suppress(Malformed):
            read_verdict(data, simple=simple, nested=simple).decide("arn:aws:execute-api:us-east-1:1:abc/prod/GET/a:b")


def read_frames(data: bytes) -> None:
    """What a WebSocket client sends, in two pieces, and which routes its messages take."""

    def work(listener: Listener, wire: Wire, connection: Connection) -> None:
        for piece in (data[: len(data) // 2], data[len(data) // 2 :]):
            if piece and not wire.closed:
                receive(connection, piece[:60_000])
            while listener.running:
                listener.finish()
        for text in listener.texts:
            ROUTES.key(text)
        connection.connection_lost(None)
        assert len(listener.ends) == 1

    on_a_loop(work)


def read_runtime_requests(data: bytes) -> None:
    """What a runtime sends to the Runtime API: the same in whatever pieces it comes."""

    def read(pieces: list[bytes]) -> tuple[list[object], bytes]:
        reader, body = Reader(), b""
        heads: list[object] = []
        try:
            for piece in pieces:
                for found in reader.feed(piece):
                    if isinstance(found, bytes):
                        body += found
                    else:
                        heads.append(found)
        except loopback_http.Malformed as error:
            heads.append(error.status)
        return heads, body

    size = data[0] % 16 + 1 if data else 1
    assert read([data]) == read([data[start : start + size] for start in range(0, len(data), size)])


def unpack_code(data: bytes) -> None:
    """An archive of code: unpacked within its folder and its limit, or refused, and nothing else is touched."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "code"
        folder.mkdir()
        with suppress(ServiceError):
            assert unpack(io.BytesIO(data), folder, MOST_UNPACKED) == size_of(folder) <= MOST_UNPACKED
        assert [path.name for path in Path(place).iterdir()] == ["code"]
        remove_tree(folder)


def read_schedule(data: bytes) -> None:
    """A schedule's expression, and its next instants."""
    text = data.decode("utf-8", "replace")
    try:
        timetable = parse_timetable(text, parse_zone("Europe/Berlin"))
    except ExpressionError as error:
        if not 0 <= error.position <= len(text):
            raise AssertionError(f"the mark is at {error.position}") from error
        return
    instant: float | None = 1_780_000_000.0
    for _ in range(3):
        if instant is not None:
            following = timetable.after(instant, 1_770_000_000.0)
            assert following is None or following > instant
            instant = following


def request_of(service: str, first: str, body: bytes | str = b"", **headers: str) -> bytes:
    lines = "".join(f"\n{name.replace('_', '-')}: {value}" for name, value in headers.items())
    prefix = bytes([SERVICES.index(service)])
    return prefix + f"{first}{lines}\n\n".encode() + (body.encode() if isinstance(body, str) else body)


AUTHORIZATION = "AWS4-HMAC-SHA256 Credential=AKID/20260101/us-east-1/s3/aws4_request, SignedHeaders=host;x-amz-date, Signature=" + "0" * 64
FORM = (
    b'multipart/form-data; boundary=xx\n--xx\r\nContent-Disposition: form-data; name="key"\r\n\r\nuser/1\r\n'
    b'--xx\r\nContent-Disposition: form-data; name="file"; filename="f"\r\nContent-Type: text/plain\r\n\r\nhello\r\n--xx--\r\n'
)
LIFECYCLE = (
    b"<LifecycleConfiguration><Rule><ID>a</ID><Status>Enabled</Status><Filter/>"
    b"<Expiration><Days>1</Days></Expiration></Rule></LifecycleConfiguration>"
)
SCHEDULE = {
    "ScheduleExpression": "rate(1 day)",
    "FlexibleTimeWindow": {"Mode": "OFF"},
    "Target": {"Arn": "arn:aws:sqs:us-east-1:000000000000:queue", "RoleArn": "arn:aws:iam::000000000000:role/r"},
}


def archive_of(*entries: tuple[str, bytes, int]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content, mode in entries:
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16
            archive.writestr(info, content, zipfile.ZIP_DEFLATED)
    return out.getvalue()


def target_of(operation: str, params: dict[str, Any]) -> bytes:
    return f"POST /\nx-amz-target: {operation}\ncontent-type: application/x-amz-json-1.0\n\n{json.dumps(params)}".encode()


#: By name: the target, and what to begin with.
TARGETS: dict[str, tuple[Callable[[bytes], None], list[bytes]]] = {
    "wire": (
        read_wire,
        [
            request_of("s3", "PUT /b/k%2F?partNumber=1&uploadId=u", b"x", x_amz_meta_a="1", content_md5="AAAA"),
            request_of("s3", "POST /b?delete", "<Delete><Object><Key>k</Key></Object><Quiet>true</Quiet></Delete>"),
            request_of("s3", "GET /b?list-type=2&max-keys=3&prefix=%61&encoding-type=url", if_modified_since="Thu, 01 Jan 2026 00:00:00 GMT"),
            request_of("s3", "PUT /b?tagging", "<Tagging><TagSet><Tag><Key>k</Key><Value>v</Value></Tag></TagSet></Tagging>"),
            request_of("dynamodb", "POST /", json.dumps({"TableName": "t", "Key": {"k": {"B": "AA=="}}}), x_amz_target="DynamoDB_20120810.GetItem"),
            request_of("sqs", "POST /", json.dumps({"QueueUrl": "u", "MessageBody": "x", "DelaySeconds": 1}), x_amz_target="AmazonSQS.SendMessage"),
            request_of("sqs", "POST /1/q", "Action=SendMessage&MessageBody=x&MessageAttribute.1.Name=a&MessageAttribute.1.Value.DataType=String"),
            request_of("lambda", "POST /2015-03-31/functions/f/invocations", b"{}", x_amz_invocation_type="Event"),
            request_of("events", "POST /", json.dumps({"Entries": [{"Time": 1, "Detail": "{}"}]}), x_amz_target="AWSEvents.PutEvents"),
            request_of("scheduler", "DELETE /schedules/n?groupName=g&clientToken=t"),
            request_of("scheduler", "POST /schedules/n", json.dumps({"ScheduleExpression": "rate(1 day)", "StartDate": 1.5, "Target": {"Arn": "a"}})),
        ],
    ),
    "endpoint": (
        serve,
        [
            b"PUT /bucket/a%2Fb%20c\nx-amz-meta-a: 1\n\nhello",
            b"GET /bucket?list-type=2&prefix=a&delimiter=%2F&max-keys=2&encoding-type=url\n\n",
            b"GET /bucket/a%2Fb%20c?partNumber=1&versionId=null\nrange: bytes=0-3\n\n",
            b"PUT /bucket/../../x\nx-amz-copy-source: /bucket/a%2Fb%20c\n\n",
            b"POST /bucket?delete\n\n<Delete><Object><Key>a</Key></Object></Delete>",
            b"PUT /bucket?lifecycle\n\n" + LIFECYCLE,
            target_of("DynamoDB_20120810.PutItem", {"TableName": "table", "Item": {"pk": {"S": "a"}, "n": {"N": "1"}, "l": {"L": [{"NULL": True}]}}}),
            target_of(
                "DynamoDB_20120810.UpdateItem",
                {
                    "TableName": "table",
                    "Key": {"pk": {"S": "a"}},
                    "UpdateExpression": "SET #n = #n + :v",
                    "ExpressionAttributeNames": {"#n": "n"},
                    "ExpressionAttributeValues": {":v": {"N": "1"}},
                },
            ),
            target_of("DynamoDB_20120810.Scan", {"TableName": "table", "Limit": 1, "Segment": 0, "TotalSegments": 2}),
            target_of("DynamoDB_20120810.ExecuteStatement", {"Statement": "SELECT * FROM \"table\" WHERE pk = 'a'"}),
            target_of("AmazonSQS.SendMessage", {"QueueUrl": "http://h/000000000000/queue", "MessageBody": "x", "DelaySeconds": 1}),
            target_of("AmazonSQS.ReceiveMessage", {"QueueUrl": "http://h/000000000000/queue", "MaxNumberOfMessages": 2}),
            target_of("AWSEvents.PutRule", {"Name": "r", "EventPattern": '{"source": ["a"]}'}),
            target_of("AWSEvents.PutEvents", {"Entries": [{"Source": "a", "DetailType": "b", "Detail": "{}"}]}),
            b"POST /schedules/s\n\n" + json.dumps(SCHEDULE).encode(),
            b"GET /schedules?MaxResults=1\n\n",
        ],
    ),
    "signatures": (
        read_signatures,
        [
            f"GET /b/k\nauthorization: {AUTHORIZATION}\nx-amz-date: 20260101T000000Z\n\n".encode(),
            b"GET /b/k?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKID%2F20260101%2Fus-east-1%2Fs3%2Faws4_request"
            b"&X-Amz-Date=20260101T000000Z&X-Amz-Expires=60&X-Amz-SignedHeaders=host&X-Amz-Signature=" + b"0" * 64,
            b"GET /b/k?AWSAccessKeyId=AKID&Expires=1900000000&Signature=AAAA",
        ],
    ),
    "chunks": (read_chunks, [b"\x05" + b"5\r\nhello\r\n0\r\nx-amz-checksum-crc32:NhCmhg==\r\n\r\n", b"\x02" + b"1\r\na\r\n1\r\nb\r\n0\r\n\r\n"]),
    "form": (read_form, [FORM]),
    "policy": (
        read_post_policy,
        [b64encode(b'{"expiration": "2099-01-01T00:00:00Z", "conditions": [{"bucket": "b"}, ["starts-with", "$key", "user/"]]}')],
    ),
    "expressions": (
        read_expressions,
        [
            b"\x00#n = :v AND (attribute_exists(a.b[1]) OR NOT size(a) BETWEEN :v AND :v)",
            b"\x00contains(a, :s) OR #n IN (:v, :s) AND begins_with(a, :s)",
            b"\x01SET #n = if_not_exists(a, :v) + :v, b = list_append(a, :s) REMOVE c[0], d ADD e :v DELETE f :s",
            b"\x02a, b.c[3].#n",
            b"\x03#n = :v AND begins_with(r, :s)",
        ],
    ),
    "frames": (
        read_frames,
        [
            frame(TEXT, b'{"a": {"b": "c"}}') + frame(PING, b"x") + frame(CLOSE, (1000).to_bytes(2) + b"bye"),
            frame(TEXT, b'{"a": ', fin=False) + frame(CONT, b"", fin=False) + frame(CONT, b"1}"),
            frame(BINARY, b"\xff"),
            frame(TEXT, "grün".encode(), mask=bytes(4)) * 9,
        ],
    ),
    "pattern": (
        read_pattern,
        [
            b'{"source": ["a", {"prefix": "b"}], "detail": {"n": [{"numeric": [">", 1, "<=", 5]}], "ip": [{"cidr": "10.0.0.0/8"}]}}',
            b'{"$or": [{"a": [{"exists": false}]}, {"detail": {"state": [{"anything-but": {"wildcard": "o*n"}}]}}]}',
        ],
    ),
    "tokens": (
        read_tokens,
        [
            b".".join(urlsafe_b64encode(part).rstrip(b"=") for part in parts)
            for parts in (
                (b'{"alg":"RS256","kid":"a"}', b'{"iss":"issuer","aud":["audience"],"exp":9,"iat":1,"scope":"a b","g":["x",{"y":1.5}]}', b"sig"),
                (b'{"alg":"none","kid":"a","crit":["b64"]}', b'{"exp":1e999,"exp":1}', b""),
            )
        ],
    ),
    "keys": (
        read_key_sets,
        [
            b'{"keys":[{"kty":"EC","kid":"c","crv":"P-256","x":"AA","y":"AA"},{"kty":"RSA","kid":"a","n":"' + b"x" * 342 + b'","e":"AQAB"}]}',
        ],
    ),
    "verdicts": (
        read_verdicts,
        [
            b'{"isAuthorized":true,"context":{"a":[1]}}',
            b'{"principalId":"a","policyDocument":{"Statement":[{"Effect":"Allow","Action":"execute-api:Invoke","Resource":"arn:aws:*:*:*:*/a?b"}]}}',
        ],
    ),
    "runtime": (
        read_runtime_requests,
        [
            b"GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: x\r\n\r\n",
            b"POST /2018-06-01/runtime/invocation/1/response HTTP/1.0\r\nContent-Length: 3\r\n\r\nabcGET / HTTP/1.1\r\n\r\n",
            b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\nLambda-Runtime-Function-Error-Type: T\r\n\r\n",
        ],
    ),
    "archives": (unpack_code, [archive_of(("main.py", b"print(1)\n" * 9, 0o644), ("lib/run", b"#!", 0o755), ("l", b"lib/run", LINK))]),
    "schedule": (
        read_schedule,
        [b"rate(5 minutes)", b"cron(0/5 8-17,20 ? * MON-FRI 2026-2030)", b"cron(0 3 LW * ? *)", b"cron(0 3 ? * 6#3 *)", b"at(2030-03-31T02:30:00)"],
    ),
}
