"""The short way of AWS JSON beside the general way, for bodies and heads of any kind: the same answers, and the operation sees the same."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import example, given
from hypothesis import strategies as st

from eventflow.aws.endpoint import Endpoint
from eventflow.aws.protocols.json_reader import DECODER, decoded
from eventflow.aws.wire import Wires
from eventflow.clock import SystemClock
from eventflow.services.tables import items

KEY, SECRET = "AKIDEXAMPLE", "secret"
REQUEST_ID = re.compile(rb"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Tables:
    """Notes what it is asked for, and answers with the item of the key: as a structure, or as the text that is stored."""

    name = "dynamodb"

    def __init__(self) -> None:
        self.calls: list[Any] = []
        self.operations = {"GetItem": self.get_item, "Query": self.query, "ListTables": self.list_tables}

    def _noted(self, call: Any, params: Any) -> None:
        self.calls.append((call.operation, call.region, call.access_key, call.trace, params))

    async def get_item(self, call: Any, params: dict[str, Any]) -> Mapping[str, Any]:
        self._noted(call, params)
        return {"Item": params["Key"]} if params.get("ConsistentRead") else {"Item": '{"pk":{"S":"käse \\" \\u2028"}}'}

    async def query(self, call: Any, params: dict[str, Any]) -> Mapping[str, Any]:
        self._noted(call, params)
        return {"Items": '[{"n":{"N":"1"}},{}]', "Count": 2, "ScannedCount": 2, "LastEvaluatedKey": params.get("ExclusiveStartKey")}

    async def list_tables(self, call: Any, params: dict[str, Any]) -> Mapping[str, Any] | None:
        self._noted(call, params)
        return {"TableNames": []} if params else None


def endpoint(short: bool) -> tuple[Endpoint, Tables]:
    tables = Tables()
    made = Endpoint([tables], {KEY: SECRET}, SystemClock(), "000000000000", "us-east-1")
    if not short:
        made._express_json = None
    return made, tables


SHORT, GENERAL = endpoint(True), endpoint(False)


def ask(endpoint: Endpoint, headers: list[tuple[bytes, bytes]], pieces: list[bytes]) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    waiting = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
    waiting[-1]["more_body"] = False
    sent: list[Any] = []

    async def receive() -> Any:
        return waiting.pop(0) if waiting else {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/", "raw_path": b"/", "query_string": b"", "scheme": "http", "headers": headers}
    asyncio.run(endpoint(scope, receive, send))
    body = b"".join(message.get("body", b"") for message in sent[1:])
    told = [(name, REQUEST_ID.sub(b"<id>", value)) for name, value in sent[0]["headers"]]
    return sent[0]["status"], told, REQUEST_ID.sub(b"<id>", body)


def signed(body: bytes, target: str, more: dict[str, str]) -> list[tuple[bytes, bytes]]:
    request: Any = AWSRequest("POST", "http://here/", headers={"Host": "here", "X-Amz-Target": target, **more}, data=body)
    SigV4Auth(Credentials(KEY, SECRET), "dynamodb", "us-east-1").add_auth(request)
    pairs = [*request.headers.items(), ("Content-Length", str(len(body)))]
    return [(name.lower().encode(), value.encode("latin-1")) for name, value in pairs]


# JSON as nobody should write it: members twice and in any order, any white space, words that are no JSON, half surrogates, numbers without end.

space = st.sampled_from(["", "", " ", "\n\t ", "\r\n"])
odd = st.sampled_from(
    [
        "NaN",
        "-Infinity",
        "1e400",
        "-0",
        "0.1e-400",
        "1.0",
        "9" * 400,
        "9" * 5000,
        '"\\ud800"',
        '"\\ud83d\\ude00"',
        '"\ud7ff\U0001f600"',
        '"\\u0000"',
        "'x'",
    ]
)
plain = st.sampled_from(
    ["null", "true", "1", "-1.5", '"x"', '"AA=="', '"käse"', "{}", "[]", '{"S":"k"}', '{"N":"1"}', '{"B":"AA=="}', '{"BOOL":true}']
)
names = st.sampled_from(
    ['"TableName"', '"Key"', '"ConsistentRead"', '"pk"', '"S"', '"M"', '"L"', '"Limit"', '"Unknown"', '"K\\u0065y"', '"tableName"', '""', "Key"]
)


def json_object(inner: Any) -> Any:
    member = st.tuples(names, space, inner, space).map(lambda parts: f"{parts[0]}{parts[1]}:{parts[3]}{parts[2]}")
    return st.tuples(st.lists(member, max_size=4), space).map(lambda parts: "{" + parts[1] + ("," + parts[1]).join(parts[0]) + "}")


anything = st.recursive(
    plain | plain | odd, lambda inner: json_object(inner) | st.lists(inner, max_size=3).map(lambda parts: f"[{','.join(parts)}]"), max_leaves=8
)
wrapped = st.tuples(
    st.sampled_from(['{"TableName":"t"%s,"Key":%s}', '{"Key":%s%s,"TableName":"t"}', ' {"TableName" : "t", "ConsistentRead":true %s,"Key":%s}\n']),
    st.sampled_from(["", ',"TableName":"u"', ',"Unknown":[1]', ',"Limit":1.0', ',"Limit":"1"', ",", ',"ConsistentRead":null']),
    anything,
).map(lambda parts: parts[0] % ((parts[2], parts[1]) if parts[0].startswith('{"Key"') else (parts[1], parts[2])))
texts = st.one_of(
    wrapped,
    anything,
    st.tuples(st.sampled_from(["\ufeff", " ", "{} ", "\x00", ""]), wrapped, st.sampled_from(["", "\x00", "{}", "//", "\u00a0", " \n"])).map("".join),
)
usual = plain.filter(lambda text: text.startswith("{")).map(lambda key: f'{{"TableName":"t","Key":{{"pk":{key}}}}}')
bodies = st.one_of((usual | usual | texts).map(lambda text: text.encode("utf-8", "surrogatepass")), st.binary(max_size=40))
targets = st.sampled_from(["GetItem"] * 6 + ["Query", "ListTables", "PutItem", "Nothing", "getitem", ""]).map("DynamoDB_20120810.".__add__)
heads: Any = st.just({}) | st.dictionaries(
    st.sampled_from(
        [
            "Content-Type",
            "X-Amzn-Trace-Id",
            "User-Agent",
            "X-Amzn-Query-Mode",
            "Content-MD5",
            "Transfer-Encoding",
            "Content-Encoding",
            "Expect",
            "X-Other",
        ]
    ),
    st.sampled_from(["application/x-amz-json-1.0", "text/plain", "é", "gzip", "aws-chunked", "100-continue", "AAAA"]),
    min_size=1,
    max_size=2,
)
payloads = st.sampled_from([None, None, None, None, None, "right", "right", "wrong", "UNSIGNED-PAYLOAD", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"])


@example(b'{"TableName":"t","Key":' + b'{"M":{"a":' * 200 + b"{}" + b"}}" * 200 + b"}", "DynamoDB_20120810.GetItem", {}, None, 1)
@example(b'{"TableName":"t","Key":{"a":' + b'{"M":{"a":' * 400 + b"{}" + b"}}" * 400 + b"}}", "DynamoDB_20120810.GetItem", {}, None, 1)
@example(b'{"TableName":"t","Key":{}}', "DynamoDB_20120810.GetItem", {"Content-MD5": "AAAA"}, "right", 1)
@example(b"[" * 30_000, "DynamoDB_20120810.GetItem", {}, None, 1)
@example(b'{"a":' * 9_000, "DynamoDB_20120810.GetItem", {}, None, 1)
@given(bodies, targets, heads, payloads, st.sampled_from([1, 1, 1, 2, 3]))
def test_both_ways_answer_alike(body: bytes, target: str, more: dict[str, str], payload: str | None, pieces: int) -> None:
    if payload is not None:
        stated = {"right": hashlib.sha256(body).hexdigest(), "wrong": "0" * 64}.get(payload, payload)
        more = {**more, "X-Amz-Content-SHA256": stated}
    headers, size = signed(body, target, more), len(body) // pieces + 1
    cut = [body[start : start + size] for start in range(0, len(body), size)] or [b""]
    for _, tables in (SHORT, GENERAL):
        tables.calls.clear()
    mine, theirs = ask(SHORT[0], headers, cut), ask(GENERAL[0], headers, cut)
    assert mine == theirs
    assert repr(SHORT[1].calls) == repr(GENERAL[1].calls)
    assert mine[0] < 500 or mine[0] == 501, mine
    assert mine[0] != 200 or isinstance(json.loads(mine[2]), dict)


@given(texts)
def test_the_quick_way_to_read_json_reads_the_same(text: str) -> None:
    assert outcome(decoded, text) == outcome(DECODER.decode, text)


def outcome(read: Any, text: str) -> str:
    try:
        return repr(read(text))
    except (ValueError, RecursionError) as error:
        return f"{type(error).__name__}: {error}"


letters = st.text(max_size=6)
values: Any = st.recursive(
    letters.map(lambda text: {"S": text})
    | st.binary(max_size=4).map(lambda blob: {"B": blob})
    | st.just({"NULL": True})
    | st.just({"NS": ["1", "-0.5"]}),
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda members: {"L": members})
        | st.dictionaries(letters | st.sampled_from(["B", "BS", "S"]), inner, max_size=3).map(lambda members: {"M": members})
    ),
    max_leaves=6,
)
rows = st.dictionaries(letters | st.sampled_from(["B", "BS", "Item"]), values, max_size=3)
DYNAMODB = Wires().of("dynamodb").main
CAPACITY = {"ConsumedCapacity": {"TableName": "t", "CapacityUnits": 0.5}}


@given(st.lists(rows, max_size=3))
def test_items_that_are_sent_as_they_are_stored_say_the_same(found: list[dict[str, Any]]) -> None:
    stored = [items.dump(item)[0] for item in found]
    answers: list[tuple[str, Any, Any]] = [("GetItem", {"Item": text}, {"Item": item}) for text, item in zip(stored, found, strict=True)]
    answers.append(("Query", {"Items": f"[{','.join(stored)}]", "Count": len(found)}, {"Items": found, "Count": len(found)}))
    for operation, spliced, plainly in answers:
        for more in ({}, CAPACITY):
            sent, written = (DYNAMODB.written(operation, answer | more, "id") for answer in (spliced, plainly))
            assert json.loads(sent.body) == json.loads(written.body)  # type: ignore[arg-type]
            assert (sent.status, sent.headers) == (written.status, written.headers)
