"""Both directions of every protocol against botocore: it writes what we read, and it reads what we write."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any
from urllib.parse import urlencode

import pytest
from botocore.awsrequest import create_request_object, prepare_request_dict
from botocore.model import ListShape, MapShape, OperationModel, Shape, StructureShape
from botocore.parsers import create_parser
from botocore.serialize import create_serializer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from requests.structures import CaseInsensitiveDict

from eventflow.aws.protocols.query import Query
from eventflow.aws.protocols.refusal import UnknownOperation, Unreadable
from eventflow.aws.reply import Reply
from eventflow.aws.request import NotText, Request
from eventflow.aws.wire import SpokenService, Wire, Wires
from eventflow.errors import ServiceError

WIRES = Wires()
HOST = "127.0.0.1:4566"
URL = f"http://{HOST}"
DEPTH = 3
WHOLE_SECONDS = ("rfc822",)
XML_TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff"), max_size=8)
HEADER_TEXT = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=8)
ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


#: Members that HTTP itself gives a value, whatever the caller says.
GIVEN = {"ContentLength"}


def few(function: Callable[..., None]) -> Callable[..., None]:
    return settings(max_examples=4, deadline=None, database=None, suppress_health_check=list(HealthCheck))(function)


def many(function: Callable[..., None]) -> Callable[..., None]:
    return settings(max_examples=40, deadline=None, database=None, suppress_health_check=list(HealthCheck))(function)


class Values:
    """Values of a model's shapes, as one protocol can carry them in one direction."""

    def __init__(self, protocol: str, text: st.SearchStrategy[str], default_time: str, *, request: bool) -> None:
        self.protocol = protocol
        self.text = text
        self.default_time = default_time
        self.request = request

    def of(self, shape: Shape, depth: int = 0, place: str | None = None) -> st.SearchStrategy[Any]:
        if isinstance(shape, StructureShape):
            return self.structure(shape, depth)
        if isinstance(shape, ListShape):
            items = self.of(shape.member, depth + 1, place)
            if self.protocol == "query":
                items = items.filter(lambda item: item != {})  # a form has no way to say an empty structure
            return st.lists(items, min_size=1, max_size=3)
        if isinstance(shape, MapShape):
            return st.dictionaries(self.map_key(shape, place), self.of(shape.value, depth + 1, place), min_size=1, max_size=3)
        return self.scalar(shape, place)

    def map_key(self, shape: MapShape, place: str | None) -> st.SearchStrategy[str]:
        # Header names are read in lower case.
        return st.from_regex(r"[a-z][a-z0-9-]{0,5}", fullmatch=True) if place == "headers" else self.scalar(shape.key, place).filter(bool)

    def structure(self, shape: StructureShape, depth: int) -> st.SearchStrategy[dict[str, Any]]:
        members = {name: member for name, member in shape.members.items() if self.carries(name, member, shape)}
        if shape.is_tagged_union:
            return st.one_of([st.fixed_dictionaries({name: self.of(member, depth + 1)}) for name, member in sorted(members.items())])
        required = {name: self.member(member, depth) for name, member in members.items() if name in shape.required_members}
        deep = depth >= DEPTH
        optional = {name: self.member(member, depth) for name, member in members.items() if name not in required and not deep}
        return st.fixed_dictionaries(required, optional=optional)

    def carries(self, name: str, member: Shape, parent: StructureShape) -> bool:
        """Streams and documents are tested on their own."""
        serialization = member.serialization
        return not (serialization.get("streaming") or serialization.get("eventstream") or getattr(member, "is_document_type", False) or name in GIVEN)

    def member(self, member: Shape, depth: int) -> st.SearchStrategy[Any]:
        location = member.serialization.get("location")
        value = self.of(member, depth + 1, location)
        needs_something = (self.protocol == "query" and isinstance(member, StructureShape)) or (location == "uri" and member.type_name == "string")
        return value.filter(bool) if needs_something else value

    def scalar(self, shape: Shape, place: str | None) -> st.SearchStrategy[Any]:
        kind = shape.type_name
        if place == "statusCode":
            return st.integers(200, 299)
        if kind == "string":
            return self.string(shape, place)
        if kind == "timestamp":
            return self.timestamp(shape, place)
        return {
            "integer": st.integers(-(2**31), 2**31 - 1),
            "long": st.integers(-(2**63), 2**63 - 1),
            "boolean": st.booleans(),
            "float": st.floats(allow_nan=False, allow_infinity=self.request),
            "double": st.floats(allow_nan=False, allow_infinity=self.request),
            "blob": st.binary(max_size=12),
        }[kind]

    def string(self, shape: Shape, place: str | None) -> st.SearchStrategy[str]:
        if getattr(shape, "enum", None):
            return st.sampled_from(shape.enum)  # type: ignore[attr-defined]
        if place in ("header", "headers"):
            return HEADER_TEXT
        return ANY_TEXT if place in ("uri", "querystring") else self.text

    def timestamp(self, shape: Shape, place: str | None) -> st.SearchStrategy[datetime]:
        default = {"header": "rfc822", "querystring": "iso8601", "uri": "iso8601"}.get(place or "", self.default_time)
        form = shape.serialization.get("timestampFormat", default)
        step = timedelta(seconds=1) if form in WHOLE_SECONDS or place == "header" else timedelta(microseconds=1000)
        return st.integers(0, 10**9).map(lambda ticks: datetime(2001, 1, 1, tzinfo=UTC) + ticks * step)


def values_of(protocol: str, *, request: bool) -> Values:
    xml = protocol in ("query", "rest-xml")
    text = XML_TEXT if protocol == "rest-xml" and request else st.one_of(XML_TEXT, st.sampled_from(["\r\n\t", "a\rb"])) if xml else ANY_TEXT
    return Values(protocol, text, "iso8601" if xml else "unixtimestamp", request=request)


@cache
def strategy(service: str, name: str, *, request: bool) -> st.SearchStrategy[dict[str, Any]]:
    wire, _, protocol = speaking(service)
    model = wire.model.operation_model(name)
    shape = model.input_shape if request else model.output_shape
    return values_of(protocol, request=request).of(shape) if shape is not None else st.just({})


def speaking(service: str) -> tuple[Wire, SpokenService, str]:
    wire = WIRES.of(service)
    return wire, wire.main, wire.model.metadata["protocol"]


def sent(protocol: str, params: Mapping[str, Any], model: OperationModel) -> tuple[Request, bytes]:
    """What botocore sends for these parameters."""
    serialized = create_serializer(protocol, include_validation=False).serialize_to_request(params, model)
    prepare_request_dict(serialized, URL)
    prepared = create_request_object(serialized).prepare()
    path, _, query = prepared.url.removeprefix(URL).partition("?")
    headers = {name.lower(): value.decode("latin-1") if isinstance(value, bytes) else str(value) for name, value in prepared.headers.items()}
    body = prepared.body or b""
    body = body.encode() if isinstance(body, str) else body
    return Request(prepared.method, path, query, {"host": HOST, **headers}), body


def read(spoken: SpokenService, request: Request, body: bytes) -> tuple[str, dict[str, Any]]:
    match = spoken.dialect.find(request, body)
    operation = spoken.operation(match.operation)
    assert operation is not None
    return operation.name, operation.read(request, match, body)


class Body:
    """A body that botocore takes for a stream: it decodes plain bytes."""

    def __init__(self, content: bytes) -> None:
        self.content = content

    def __eq__(self, other: object) -> bool:
        return self.content == other


def received(protocol: str, reply: Reply, model: OperationModel) -> dict[str, Any]:
    """What botocore makes of a reply."""
    assert isinstance(reply.body, bytes)
    body: Any = Body(reply.body) if model.has_streaming_output else reply.body
    response = {"status_code": reply.status, "headers": CaseInsensitiveDict(reply.headers), "body": body, "context": {}}
    parse: Any = create_parser(protocol).parse  # its stubs do not know that there may be no shape
    parsed: dict[str, Any] = parse(response, model.output_shape)
    parsed.pop("ResponseMetadata", None)
    return parsed


#: Not to be told from another operation (ListBuckets) by anything but the host name.
TWINS = {"ListDirectoryBuckets"}


def served(service: str) -> list[Any]:
    """All operations of a service that no event stream and no document is part of."""
    model = WIRES.of(service).model
    found = []
    for name in model.operation_names:
        operation = model.operation_model(name)
        if (
            name not in TWINS
            and not operation.endpoint
            and not (operation.has_event_stream_input or operation.has_event_stream_output or operation.deprecated)
        ):
            found.append(pytest.param(service, name, id=f"{service}:{name}"))
    return found


CORE = [*served("dynamodb"), *served("sqs"), *served("lambda"), *served("s3")]
OTHERS = [
    *served("events"),
    *served("sts"),
    *served("sns"),
    *served("scheduler"),
    *served("apigateway"),
    *served("route53"),
    *served("dynamodbstreams"),
]
RICH = [
    ("dynamodb", "PutItem"),
    ("dynamodb", "TransactWriteItems"),
    ("dynamodb", "CreateTable"),
    ("sqs", "SendMessageBatch"),
    ("sqs", "ReceiveMessage"),
    ("lambda", "Invoke"),
    ("lambda", "CreateEventSourceMapping"),
    ("s3", "PutObject"),
    ("s3", "CopyObject"),
    ("s3", "DeleteObjects"),
    ("s3", "PutBucketLifecycleConfiguration"),
    ("s3", "GetObjectAttributes"),
    ("sns", "PublishBatch"),
    ("events", "PutRule"),
]


@pytest.mark.slow
@pytest.mark.parametrize("service, name", [*CORE, *OTHERS])
@few
@given(data=st.data())
def test_reads_what_botocore_sends(service: str, name: str, data: st.DataObject) -> None:
    check_reading(service, name, data)


@pytest.mark.parametrize("service, name", RICH)
@many
@given(data=st.data())
def test_reads_many_values(service: str, name: str, data: st.DataObject) -> None:
    check_reading(service, name, data)


def check_reading(service: str, name: str, data: st.DataObject) -> None:
    wire, spoken, protocol = speaking(service)
    model = wire.model.operation_model(name)
    shape = model.input_shape
    params = data.draw(strategy(service, name, request=True))
    request, body = sent(protocol, params, model)
    operation, found = read(spoken, request, body)
    assert operation == name
    payload = shape.serialization.get("payload", "") if shape is not None else ""
    if params.get(payload) == b"" and payload not in found:
        del params[payload]  # nothing on the wire tells an empty payload from none
    if payload not in params and found.get(payload) == {}:
        del found[payload]  # botocore sends an empty object where a REST body could be, but is not given
    assert {name: value for name, value in found.items() if name not in GIVEN} == params


@pytest.mark.slow
@pytest.mark.parametrize("service, name", [case for case in (*CORE, *OTHERS) if case.id != "s3:GetBucketLocation"])  # its parser is in the client
@few
@given(data=st.data())
def test_writes_what_botocore_reads(service: str, name: str, data: st.DataObject) -> None:
    check_writing(service, name, data)


@pytest.mark.parametrize("service, name", RICH)
@many
@given(data=st.data())
def test_writes_many_values(service: str, name: str, data: st.DataObject) -> None:
    check_writing(service, name, data)


def check_writing(service: str, name: str, data: st.DataObject) -> None:
    wire, spoken, protocol = speaking(service)
    model, operation = wire.model.operation_model(name), spoken.operation(name)
    assert operation is not None
    answer = data.draw(strategy(service, name, request=False))
    reply = operation.write(answer, "request-id")
    found = received(protocol, reply, model)
    assert {key: value for key, value in found.items() if key in answer} == answer


# The query protocol of SQS, whose model has been JSON for years: a client of that time wrote the forms and read the answers below.


def form(**fields: str) -> bytes:
    return urlencode(fields).encode()


def post(path: str = "/", body: bytes = b"", **headers: str) -> Request:
    given_headers = {name.replace("_", "-"): value for name, value in headers.items()}
    return Request(
        "POST", path, "", {"host": HOST, "content-type": "application/x-www-form-urlencoded", "content-length": str(len(body)), **given_headers}
    )


def read_form(body: bytes, path: str = "/") -> tuple[str, dict[str, Any]]:
    request = post(path, body)
    spoken = WIRES.of("sqs").spoken(request)
    assert isinstance(spoken.dialect, Query)
    return read(spoken, request, body)


def test_reads_the_forms_of_sqs() -> None:
    body = form(
        **{
            "Action": "SendMessage",
            "Version": "2012-11-05",
            "QueueUrl": f"{URL}/0/q",
            "MessageBody": "a b&c\r\n\u00fc",
            "DelaySeconds": "5",
            "MessageAttribute.1.Name": "kind",
            "MessageAttribute.1.Value.DataType": "Binary",
            "MessageAttribute.1.Value.BinaryValue": "AAE=",
            "MessageAttribute.2.Name": "other",
            "MessageAttribute.2.Value.DataType": "String",
            "MessageAttribute.2.Value.StringValue": "x",
        }
    )
    attributes = {"kind": {"DataType": "Binary", "BinaryValue": b"\x00\x01"}, "other": {"DataType": "String", "StringValue": "x"}}
    expected = {"QueueUrl": f"{URL}/0/q", "MessageBody": "a b&c\r\n\u00fc", "DelaySeconds": 5, "MessageAttributes": attributes}
    assert read_form(body) == ("SendMessage", expected)


def test_reads_lists_and_maps_of_sqs_by_their_old_names() -> None:
    batch = form(
        **{
            "Action": "DeleteMessageBatch",
            "QueueUrl": "u",
            "DeleteMessageBatchRequestEntry.2.Id": "b",
            "DeleteMessageBatchRequestEntry.2.ReceiptHandle": "2",
            "DeleteMessageBatchRequestEntry.1.Id": "a",
            "DeleteMessageBatchRequestEntry.1.ReceiptHandle": "1",
        }
    )
    assert read_form(batch)[1]["Entries"] == [{"Id": "a", "ReceiptHandle": "1"}, {"Id": "b", "ReceiptHandle": "2"}]
    created = read_form(
        form(
            **{
                "Action": "CreateQueue",
                "QueueName": "q",
                "Attribute.1.Name": "DelaySeconds",
                "Attribute.1.Value": "3",
                "Tag.1.Key": "k",
                "Tag.1.Value": "v",
            }
        )
    )
    assert created[1] == {"QueueName": "q", "Attributes": {"DelaySeconds": "3"}, "tags": {"k": "v"}}
    received_ = read_form(form(**{"Action": "ReceiveMessage", "QueueUrl": "u", "AttributeName.1": "All", "MessageAttributeName.1": "x"}))
    assert received_[1] == {"QueueUrl": "u", "AttributeNames": ["All"], "MessageAttributeNames": ["x"]}
    permitted = read_form(form(**{"Action": "AddPermission", "QueueUrl": "u", "Label": "l", "AWSAccountId.1": "1", "ActionName.1": "SendMessage"}))
    assert permitted[1] == {"QueueUrl": "u", "Label": "l", "AWSAccountIds": ["1"], "Actions": ["SendMessage"]}


def test_the_address_of_a_queue_stands_for_its_url() -> None:
    _, params = read_form(form(Action="SendMessage", MessageBody="x"), path="/000000000000/orders")
    assert params["QueueUrl"] == f"{URL}/000000000000/orders"


def test_writes_the_answers_of_sqs_by_their_old_names() -> None:
    operation = WIRES.of("sqs").query.operation("ReceiveMessage")
    assert operation is not None
    message = {
        "MessageId": "1",
        "Body": "<&>\r",
        "Attributes": {"SenderId": "me"},
        "MessageAttributes": {"a": {"DataType": "String", "StringValue": "v"}},
    }
    reply = operation.write({"Messages": [message]}, "id-1")
    assert reply.body == (
        b'<?xml version="1.0" encoding="UTF-8"?>\n<ReceiveMessageResponse xmlns="http://queue.amazonaws.com/doc/2012-11-05/"><ReceiveMessageResult>'
        b"<Message><MessageId>1</MessageId><Body>&lt;&amp;&gt;&#xD;</Body><Attribute><Name>SenderId</Name><Value>me</Value></Attribute>"
        b"<MessageAttribute><Name>a</Name><Value><StringValue>v</StringValue><DataType>String</DataType></Value></MessageAttribute></Message>"
        b"</ReceiveMessageResult><ResponseMetadata><RequestId>id-1</RequestId></ResponseMetadata></ReceiveMessageResponse>"
    )


# What cannot be read


def refused(service: str, request: Request, body: bytes = b"") -> ServiceError:
    spoken = WIRES.of(service).spoken(request)
    try:
        read(spoken, request, body)
    except Unreadable as error:
        return spoken.dialect.refuse(error)
    except UnknownOperation as error:
        return spoken.dialect.unknown(error.message)
    raise AssertionError("The request was read.")


def target(operation: str) -> Request:
    return Request("POST", "/", "", {"host": HOST, "x-amz-target": operation})


DYNAMODB = "DynamoDB_20120810"
GET_ITEM = f"{DYNAMODB}.GetItem"
DEEP = b'{"TableName": "t", "Key": {"k": ' + b'{"L": [' * 5000 + b"]}" * 5000 + b"}}"


@pytest.mark.parametrize(
    "body, code, words",
    [
        (b"{", "SerializationException", "not a JSON document"),
        (b"[]", "SerializationException", "START_ARRAY"),
        (b"\xff", "SerializationException", "not a JSON document"),
        (b'{"TableName": NaN}', "SerializationException", "NaN"),
        (b'{"TableName": 1}', "SerializationException", "NUMBER_VALUE can not be converted to a String (in TableName)."),
        (b'{"TableName": "t", "Key": []}', "SerializationException", "START_ARRAY can not be converted to a map (in Key)"),
        (b'{"TableName": "t", "Key": {"k": "v"}}', "SerializationException", "(in Key.k.member)"),
        (b'{"TableName": "t", "Key": {"k": {"B": "?"}}}', "SerializationException", "not Base64"),
        (b'{"TableName": "t", "Key": {"k": {"S": "\\ud800"}}}', "SerializationException", "surrogate"),
        (b'{"TableName": "t", "ConsistentRead": "true", "Key": {}}', "SerializationException", "Boolean"),
        (b'{"Key": {}}', "ValidationException", "Value null at 'tableName' failed to satisfy constraint: Member must not be null"),
        (b"", "ValidationException", "Member must not be null"),
        (DEEP, "SerializationException", "JSON"),
    ],
)
def test_json_that_cannot_be_read(body: bytes, code: str, words: str) -> None:
    error = refused("dynamodb", target(GET_ITEM), body)
    assert (error.code, error.status) == (code, 400)
    assert words in error.message


@pytest.mark.parametrize(
    "number, fits",
    [("2147483647", True), ("2147483648", False), ("1.0", True), ("1.5", False), ("1e999", False), ("true", False), ("9" * 5000, False)],
)
def test_integers_have_a_range(number: str, fits: bool) -> None:
    request, body = target(f"{DYNAMODB}.ListTables"), f'{{"Limit": {number}}}'.encode()
    if fits:
        assert type(read(WIRES.of("dynamodb").main, request, body)[1]["Limit"]) is int
    else:
        assert refused("dynamodb", request, body).code == "SerializationException"


@pytest.mark.parametrize("name", ["", "DynamoDB_20120810", "DynamoDB_20120810.", "Other.GetItem"])
def test_targets_that_name_nothing(name: str) -> None:
    assert refused("dynamodb", target(name)).code == "UnknownOperationException"


def test_sqs_names_the_missing_parameter() -> None:
    error = refused("sqs", target("AmazonSQS.SendMessage"), b'{"QueueUrl": "u"}')
    assert (error.code, error.message) == ("MissingParameter", "The request must contain the parameter MessageBody.")
    body = form(Action="SendMessage", QueueUrl="u")
    assert refused("sqs", post(body=body), body).code == "MissingParameter"


@pytest.mark.parametrize(
    "fields, code",
    [
        ({}, "InvalidAction"),
        ({"Action": "SendMessage", "QueueUrl.1": "u", "MessageBody": "x"}, "InvalidParameterValue"),
        ({"Action": "SendMessage", "QueueUrl": "u", "MessageBody": "x", "DelaySeconds": "soon"}, "InvalidParameterValue"),
        ({"Action": "ReceiveMessage", "QueueUrl": "u", "AttributeName.one": "x"}, "InvalidParameterValue"),
        ({"Action": "CreateQueue", "QueueName": "u", "Attribute.1.Name": "x"}, "InvalidParameterValue"),
        ({"Action": "ReceiveMessage", "QueueUrl": "u", "." * 5000: "x"}, "MalformedQueryString"),
    ],
)
def test_forms_that_cannot_be_read(fields: dict[str, str], code: str) -> None:
    body = form(**fields)
    assert refused("sqs", post(body=body), body).code == code


def test_a_form_has_an_end() -> None:
    body = b"Action=ListQueues&" + b"&".join(b"x.%d=" % number for number in range(30_000))
    assert refused("sqs", post(body=body), body).code == "MalformedQueryString"


BOMB = (
    b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'
    b"<Delete><Object><Key>&b;</Key></Object></Delete>"
)


@pytest.mark.parametrize(
    "body, words",
    [
        (b"<Delete>", "not well-formed"),
        (b"<Delete></Other>", "not well-formed"),
        (b"\x00", "not well-formed"),
        (b'<?xml version="1.0" encoding="nonsense"?><Delete/>', "not well-formed"),
        (BOMB, "Document type declarations are not accepted"),
        (b"<!DOCTYPE a SYSTEM 'file:///etc/passwd'><Delete/>", "Document type declarations are not accepted"),
        (b"<a>" * 100_000, "nests deeper"),
        (b"<Delete><Quiet>maybe</Quiet></Delete>", "not a boolean"),
        (b"<Delete><Object/></Delete>", "Key is missing"),
        (b"<Delete></Delete>", "Objects is missing"),
        (b"<Delete><Quiet>true</Quiet><Quiet>false</Quiet></Delete>", "only once"),
    ],
)
def test_xml_that_cannot_be_read(body: bytes, words: str) -> None:
    error = refused("s3", Request("POST", "/bucket", "delete", {"host": HOST}), body)
    assert (error.code, error.status) == ("MalformedXML", 400)
    assert words in error.message


@pytest.mark.parametrize(
    "method, path, query, headers, code",
    [
        ("GET", "/b", "list-type=2&max-keys=many", {}, "InvalidArgument"),
        ("GET", "/b/k", "", {"if-modified-since": "yesterday"}, "InvalidArgument"),
        ("PUT", "/b/k", "partNumber=one&uploadId=u", {}, "InvalidArgument"),
        ("PATCH", "/b/k", "", {}, "MethodNotAllowed"),
        ("POST", "/", "", {}, "MethodNotAllowed"),
    ],
)
def test_s3_requests_that_cannot_be_read(method: str, path: str, query: str, headers: dict[str, str], code: str) -> None:
    assert refused("s3", Request(method, path, query, {"host": HOST, **headers})).code == code


@pytest.mark.parametrize("path, query", [("/b/%ff", ""), ("/b/k", "versionId=%ff"), ("/b/\xe9", "")])
def test_addresses_that_are_not_text(path: str, query: str) -> None:
    with pytest.raises(NotText):
        read(WIRES.of("s3").main, Request("GET", path, query, {"host": HOST}), b"")


def test_lambda_refuses_in_rest_json() -> None:
    bad = Request("POST", "/2015-03-31/functions", "", {"host": HOST})
    assert refused("lambda", bad, b'{"FunctionName": 3}').code == "SerializationException"
    assert refused("lambda", bad, b"{}").code == "ValidationException"
    unknown = refused("lambda", Request("GET", "/2015-03-31/nothing", "", {"host": HOST}))
    assert (unknown.code, unknown.status) == ("UnknownOperationException", 404)


# Errors


def text_of(reply: Reply) -> bytes:
    assert isinstance(reply.body, bytes)
    return reply.body


def error_read_by_botocore(service: str, error: ServiceError) -> tuple[dict[str, Any], Reply]:
    wire, spoken, protocol = speaking(service)
    reply = spoken.dialect.fault(error, "id-1")
    response = {"status_code": reply.status, "headers": CaseInsensitiveDict(reply.headers), "body": reply.body, "context": {}}
    parser: Any = create_parser(protocol)
    parsed: dict[str, Any] = parser.parse(response, None)
    shape = wire.model.shape_for_error_code(parsed["Error"]["Code"]) or wire.model.shape_for_error_code(parsed["Error"].get("QueryErrorCode"))
    if shape is not None:
        parsed |= parser.parse(response, shape)
    return parsed, reply


@pytest.mark.parametrize(
    "service, code", [("dynamodb", "ResourceNotFoundException"), ("lambda", "ResourceNotFoundException"), ("s3", "NoSuchBucket"), ("sns", "NotFound")]
)
def test_errors_that_the_model_knows(service: str, code: str) -> None:
    parsed, _ = error_read_by_botocore(service, ServiceError(code, "There is none: <&>.", 404))
    assert parsed["Error"]["Code"] == code
    assert parsed["Error"]["Message"] == "There is none: <&>."
    assert parsed["ResponseMetadata"]["HTTPStatusCode"] == 404


@pytest.mark.parametrize("service", ["dynamodb", "sqs", "lambda", "s3", "sns", "route53"])
def test_errors_that_the_model_does_not_know(service: str) -> None:
    parsed, _ = error_read_by_botocore(service, ServiceError("Strange", "What?", 418))
    assert (parsed["Error"]["Code"], parsed["Error"]["Message"]) == ("Strange", "What?")


def test_errors_have_members() -> None:
    item = {"k": {"B": b"1"}}
    parsed, reply = error_read_by_botocore("dynamodb", ServiceError("ConditionalCheckFailedException", "The conditional request failed", Item=item))
    assert parsed["Item"] == item
    assert b'"__type":"com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException"' in text_of(reply)
    throttled = ServiceError(
        "TooManyRequestsException", "Rate exceeded", 429, retryAfterSeconds="3", Reason="ReservedFunctionConcurrentInvocationLimitExceeded"
    )
    parsed, reply = error_read_by_botocore("lambda", throttled)
    assert (parsed["retryAfterSeconds"], parsed["Reason"], parsed["Type"]) == ("3", "ReservedFunctionConcurrentInvocationLimitExceeded", "User")
    assert reply.headers["x-amzn-errortype"] == "TooManyRequestsException"
    parsed, _ = error_read_by_botocore("s3", ServiceError("NoSuchKey", "The specified key does not exist.", 404, Key="a<b"))
    assert parsed["Error"]["Key"] == "a<b"


@pytest.mark.parametrize("code", ["QueueDoesNotExist", "AWS.SimpleQueueService.NonExistentQueue"])
def test_sqs_says_its_codes_twice(code: str) -> None:
    parsed, reply = error_read_by_botocore("sqs", ServiceError(code, "The specified queue does not exist."))
    assert reply.headers["x-amzn-query-error"] == "AWS.SimpleQueueService.NonExistentQueue;Sender"
    assert b"com.amazonaws.sqs#QueueDoesNotExist" in text_of(reply)
    assert parsed["Error"]["QueryErrorCode"] == "QueueDoesNotExist"
    in_xml = WIRES.of("sqs").query.dialect.fault(ServiceError(code, "None."), "id-1")
    assert b"<Code>AWS.SimpleQueueService.NonExistentQueue</Code>" in text_of(in_xml)


def test_an_answer_with_a_strange_member_is_a_mistake_of_ours() -> None:
    for service, name in [("dynamodb", "GetItem"), ("lambda", "Invoke"), ("s3", "GetObject"), ("s3", "ListObjectsV2"), ("sns", "Publish")]:
        operation = WIRES.of(service).main.operation(name)
        assert operation is not None
        with pytest.raises(KeyError):
            operation.write({"Itme": 1}, "id-1")
