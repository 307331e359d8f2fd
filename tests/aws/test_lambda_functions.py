"""Functions made by Lambda's API on a real daemon, with boto3 as the other side."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError
from botocore.handlers import validate_bucket_name

from tests.aws import deployed
from tests.aws.deployed import RUNTIME, refusal, zipped
from tests.patience import PATIENCE
from tests.process.daemon_process import DaemonProcess, daemon

APP = """
@app.function()
def declared(event, context):
    return "application"
"""
#: Says what it was asked, what it is, and what is beside it.
HANDLER = """
import os
from extra.words import WORD
def handler(event, context):
    said = {"version": context.function_version, "arn": context.invoked_function_arn, "colour": os.environ.get("COLOUR")}
    return {"event": event, "word": WORD, **said}
"""


def saying(word: str = "one") -> bytes:
    return zipped({"main.py": HANDLER, "extra/words.py": f"WORD = {word!r}\n"})


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaemonProcess]:
    with daemon(tmp_path_factory.mktemp("functions"), APP) as process:
        yield process.start()


@pytest.fixture(scope="module")
def client(process: DaemonProcess) -> Any:
    return process.client("lambda")


def create(client: Any, name: str, **parameters: Any) -> Any:
    return deployed.create(client, name, saying(), **parameters)


def invoke(client: Any, name: str, event: Any = None, **parameters: Any) -> Any:
    answer = client.invoke(FunctionName=name, Payload=json.dumps(event), **parameters)
    assert "FunctionError" not in answer, answer["Payload"].read()
    return json.load(answer["Payload"])


def test_a_function_is_made_run_told_of_and_deleted(client: Any) -> None:
    made = create(client, "first", Environment={"Variables": {"COLOUR": "blue"}}, Tags={"team": "a"}, Description="says")
    arn = "arn:aws:lambda:us-east-1:000000000000:function:first"
    assert (made["FunctionArn"], made["Version"], made["State"], made["LastUpdateStatus"]) == (arn, "$LATEST", "Active", "Successful")
    assert made["CodeSha256"] == base64.b64encode(hashlib.sha256(saying()).digest()).decode()
    assert made["CodeSize"] == len(saying())
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


def test_code_and_settings_change_and_a_revision_guards_both(client: Any) -> None:
    made = create(client, "changing")
    dry = client.update_function_code(FunctionName="changing", ZipFile=saying("dry"), DryRun=True)
    assert dry["CodeSha256"] == base64.b64encode(hashlib.sha256(saying("dry")).digest()).decode()
    assert invoke(client, "changing")["word"] == "one"
    after = client.update_function_code(FunctionName="changing", ZipFile=saying("two"), RevisionId=made["RevisionId"])
    assert (after["LastUpdateStatus"], after["RevisionId"] != made["RevisionId"]) == ("Successful", True)
    assert invoke(client, "changing")["word"] == "two"
    stale = {"FunctionName": "changing", "RevisionId": made["RevisionId"]}
    assert refusal(client.update_function_code, ZipFile=saying(), **stale)[:2] == ("PreconditionFailedException", 412)
    assert refusal(client.update_function_configuration, Timeout=5, **stale)[:2] == ("PreconditionFailedException", 412)
    client.update_function_configuration(FunctionName="changing", Timeout=7, MemorySize=256, Environment={"Variables": {"COLOUR": "red"}})
    client.get_waiter("function_updated_v2").wait(FunctionName="changing")
    found = client.get_function_configuration(FunctionName="changing")
    assert (found["Timeout"], found["MemorySize"], found["Environment"]) == (7, 256, {"Variables": {"COLOUR": "red"}})
    assert invoke(client, "changing")["colour"] == "red"


def test_versions_and_aliases_are_invoked_by_qualifier_and_arn(client: Any) -> None:
    arn = create(client, "qualified", Publish=True)["FunctionArn"]
    assert arn.endswith(":qualified:1")
    second = client.update_function_code(FunctionName="qualified", ZipFile=saying("two"), Publish=True)
    assert (second["Version"], invoke(client, "qualified:1")["word"], invoke(client, arn)["version"]) == ("2", "one", "1")
    client.update_function_code(FunctionName="qualified", ZipFile=saying("three"))
    alias = client.create_alias(FunctionName="qualified", Name="live", FunctionVersion="1", Description="d")
    assert alias["AliasArn"] == arn.removesuffix("1") + "live"
    answer = client.invoke(FunctionName="qualified", Qualifier="live")
    assert (answer["ExecutedVersion"], json.load(answer["Payload"])["word"]) == ("1", "one")
    routed = client.update_alias(FunctionName="qualified", Name="live", RoutingConfig={"AdditionalVersionWeights": {"2": 1.0}})
    assert routed["RoutingConfig"] == {"AdditionalVersionWeights": {"2": 1.0}}
    by_name = client.invoke(FunctionName="qualified:live")
    by_name["Payload"].read()
    assert by_name["ExecutedVersion"] == "2"
    assert invoke(client, "qualified")["word"] == "three"
    assert client.get_function(FunctionName="qualified", Qualifier="live")["Configuration"]["Version"] == "1"
    assert [version["Version"] for version in client.list_versions_by_function(FunctionName="qualified")["Versions"]] == ["$LATEST", "1", "2"]
    assert [one["Name"] for one in client.list_aliases(FunctionName="qualified")["Aliases"]] == ["live"]
    code, status, message = refusal(client.delete_function, FunctionName="qualified", Qualifier="1")
    assert (code, status, "live" in message) == ("ResourceConflictException", 409, True)
    client.delete_alias(FunctionName="qualified", Name="live")
    client.delete_function(FunctionName="qualified", Qualifier="1")
    for gone in ("qualified:1", "qualified:live", "qualified:77", "qualified:nobody"):
        assert refusal(client.invoke, FunctionName=gone)[:2] == ("ResourceNotFoundException", 404)


def test_publishing_checks_what_it_publishes(client: Any) -> None:
    made = create(client, "published")
    assert refusal(client.publish_version, FunctionName="published", CodeSha256="x")[0] == "InvalidParameterValueException"
    assert refusal(client.publish_version, FunctionName="published", RevisionId="x")[:2] == ("PreconditionFailedException", 412)
    first = client.publish_version(FunctionName="published", CodeSha256=made["CodeSha256"], RevisionId=made["RevisionId"], Description="the first")
    assert (first["Version"], first["Description"]) == ("1", "the first")
    assert client.publish_version(FunctionName="published")["Version"] == "1"


def test_layers_are_there_for_the_functions_that_name_them(client: Any) -> None:
    content = {"ZipFile": zipped({"python/extra_layer.py": "WORD = 'from a layer'\n"})}
    layer = client.publish_layer_version(LayerName="words", Content=content, CompatibleRuntimes=[RUNTIME], Description="d", LicenseInfo="MIT")
    assert (layer["Version"], layer["LayerVersionArn"]) == (1, "arn:aws:lambda:us-east-1:000000000000:layer:words:1")
    code = {"ZipFile": zipped({"main.py": "from extra_layer import WORD\ndef handler(event, context): return WORD\n"})}
    made = create(client, "layered", Code=code, Layers=[layer["LayerVersionArn"]])
    assert made["Layers"] == [{"Arn": layer["LayerVersionArn"], "CodeSize": layer["Content"]["CodeSize"]}]
    assert invoke(client, "layered") == "from a layer"
    assert client.get_layer_version_by_arn(Arn=layer["LayerVersionArn"])["Content"]["CodeSha256"] == layer["Content"]["CodeSha256"]
    assert [one["LayerName"] for one in client.list_layers(CompatibleRuntime=RUNTIME)["Layers"]] == ["words"]
    assert client.list_layers(CompatibleRuntime="nodejs20.x")["Layers"] == []
    client.delete_layer_version(LayerName="words", VersionNumber=1)
    assert client.list_layer_versions(LayerName="words")["LayerVersions"] == []
    assert refusal(client.get_layer_version, LayerName="words", VersionNumber=1)[:2] == ("ResourceNotFoundException", 404)
    client.update_function_configuration(FunctionName="layered", Timeout=9)  # what used the layer keeps it
    assert invoke(client, "layered") == "from a layer"
    assert (
        refusal(create, client=client, name="late", Layers=[layer["LayerVersionArn"]])[2]
        == f"Layer version {layer['LayerVersionArn']} does not exist."
    )
    assert client.publish_layer_version(LayerName="words", Content=content)["Version"] == 2


def test_what_versions_share_and_what_becomes_of_events(client: Any, process: DaemonProcess) -> None:
    sqs = process.client("sqs")
    arn = sqs.get_queue_attributes(QueueUrl=sqs.create_queue(QueueName="failed")["QueueUrl"], AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    create(client, "settled", Code={"ZipFile": zipped({"main.py": "def handler(event, context): raise ValueError('no')\n"})})
    client.put_function_event_invoke_config(FunctionName="settled", MaximumRetryAttempts=0, DestinationConfig={"OnFailure": {"Destination": arn}})
    merged = client.update_function_event_invoke_config(FunctionName="settled", MaximumEventAgeInSeconds=60)
    assert (merged["MaximumRetryAttempts"], merged["MaximumEventAgeInSeconds"]) == (0, 60)
    assert merged["DestinationConfig"] == {"OnSuccess": {}, "OnFailure": {"Destination": arn}}
    assert merged["FunctionArn"].endswith(":settled:$LATEST")
    assert client.list_function_event_invoke_configs(FunctionName="settled")["FunctionEventInvokeConfigs"][0]["MaximumEventAgeInSeconds"] == 60
    client.invoke(FunctionName="settled", InvocationType="Event", Payload=b'{"n": 1}')["Payload"].read()
    url = sqs.get_queue_url(QueueName="failed")["QueueUrl"]
    (message,) = process.until(lambda: sqs.receive_message(QueueUrl=url, WaitTimeSeconds=1).get("Messages"), "the failure was sent")
    assert json.loads(message["Body"])["requestContext"]["condition"] == "RetriesExhausted"
    client.delete_function_event_invoke_config(FunctionName="settled")
    assert refusal(client.get_function_event_invoke_config, FunctionName="settled")[:2] == ("ResourceNotFoundException", 404)
    assert client.put_function_concurrency(FunctionName="settled", ReservedConcurrentExecutions=0)["ReservedConcurrentExecutions"] == 0
    assert refusal(client.invoke, FunctionName="settled")[:2] == ("TooManyRequestsException", 429)
    assert client.get_account_settings()["AccountLimit"]["UnreservedConcurrentExecutions"] == 1000
    client.put_function_concurrency(FunctionName="settled", ReservedConcurrentExecutions=900)
    assert client.get_function(FunctionName="settled")["Concurrency"] == {"ReservedConcurrentExecutions": 900}
    create(client, "greedy")
    code, _, message = refusal(client.put_function_concurrency, FunctionName="greedy", ReservedConcurrentExecutions=1)
    assert (code, "below its minimum value of [100]" in message) == ("InvalidParameterValueException", True)
    client.delete_function_concurrency(FunctionName="settled")
    assert "ReservedConcurrentExecutions" not in client.get_function_concurrency(FunctionName="settled")
    client.put_function_recursion_config(FunctionName="settled", RecursiveLoop="Allow")
    assert client.get_function_recursion_config(FunctionName="settled")["RecursiveLoop"] == "Allow"
    function = "arn:aws:lambda:us-east-1:000000000000:function:settled"
    client.tag_resource(Resource=function, Tags={"a": "1", "b": "2"})
    client.untag_resource(Resource=function, TagKeys=["a"])
    assert client.list_tags(Resource=function)["Tags"] == {"b": "2"}


def test_events_that_come_by_an_alias_a_version_or_neither_have_settings_of_their_own(client: Any, process: DaemonProcess) -> None:
    sqs = process.client("sqs")
    url = sqs.create_queue(QueueName="ends")["QueueUrl"]
    queue = {"Destination": sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]}
    say = "def handler(event, context):\n    if event['fail']: raise ValueError('no')\n    return context.invoked_function_arn\n"
    arn = create(client, "asked", Code={"ZipFile": zipped({"main.py": say})}, Publish=True)["FunctionArn"].removesuffix(":1")
    client.create_alias(FunctionName="asked", Name="live", FunctionVersion="1")
    configure, settings = client.put_function_event_invoke_config, {"MaximumRetryAttempts": 0}
    made = configure(FunctionName="asked", Qualifier="live", **settings, DestinationConfig={"OnSuccess": queue, "OnFailure": queue})
    configure(FunctionName="asked", Qualifier="1", **settings)
    assert made["FunctionArn"] == f"{arn}:live"
    changed = client.update_function_event_invoke_config(FunctionName=f"{arn}:live", MaximumEventAgeInSeconds=120)
    assert (changed["MaximumRetryAttempts"], changed["MaximumEventAgeInSeconds"]) == (0, 120)
    assert changed["DestinationConfig"] == {"OnSuccess": queue, "OnFailure": queue}
    listed = client.list_function_event_invoke_configs(FunctionName="asked")["FunctionEventInvokeConfigs"]
    assert [one["FunctionArn"].removeprefix(f"{arn}:") for one in listed] == ["1", "live"]
    assert refusal(client.get_function_event_invoke_config, FunctionName="asked")[0] == "ResourceNotFoundException"
    assert refusal(configure, FunctionName="asked", Qualifier="none", **settings)[:2] == ("ResourceNotFoundException", 404)

    def ask(fail: bool, **parameters: Any) -> str:
        answer = client.invoke(FunctionName="asked", InvocationType="Event", Payload=json.dumps({"fail": fail}), **parameters)
        found: str = answer["ResponseMetadata"]["RequestId"]
        return found

    def message() -> Any:
        (one,) = process.until(lambda: sqs.receive_message(QueueUrl=url, WaitTimeSeconds=1).get("Messages"), "a record was sent")
        sqs.delete_message(QueueUrl=url, ReceiptHandle=one["ReceiptHandle"])
        return json.loads(one["Body"])

    ask(False, Qualifier="1")
    ask(True)  # unqualified: two retries, and no destination
    ask(False, Qualifier="live")
    record = message()
    assert record["requestContext"]["functionArn"] == f"{arn}:live"
    assert (record["responsePayload"], record["responseContext"]["executedVersion"]) == (f"{arn}:live", "1")
    ask(True, Qualifier="live")
    record = message()
    assert (record["requestContext"]["functionArn"], record["requestContext"]["approximateInvokeCount"]) == (f"{arn}:live", 1)
    wanted = {("1", "done"), ("live", "done"), ("live", "dead"), (None, "waiting")}
    asked = ("asked", "asked:1")
    process.until(
        lambda: {(one["qualifier"], one["state"]) for one in process.events() if one["function"] in asked} == wanted, "all came to their ends"
    )


def test_events_that_wait_for_a_function_are_dropped_with_it(client: Any, process: DaemonProcess) -> None:
    failing = {"Code": {"ZipFile": zipped({"main.py": "def handler(event, context): raise ValueError('no')\n"})}}
    create(client, "brief", Publish=True, **failing)
    for qualifier in ("1", "$LATEST"):
        client.invoke(FunctionName="brief", InvocationType="Event", Qualifier=qualifier)

    def ends() -> dict[str, tuple[str, str]]:
        return {one["qualifier"]: (one["state"], one["reason"]) for one in process.events() if one["function"].startswith("brief")}

    process.until(lambda: [state for state, _ in ends().values()] == ["waiting", "waiting"], "both wait for their retry")
    client.delete_function(FunctionName="brief", Qualifier="1")
    assert (ends()["1"][0], ends()["$LATEST"][0]) == ("dead", "waiting")
    client.delete_function(FunctionName="brief")
    gone = {"$LATEST": "brief", "1": "brief:1"}
    dead = {qualifier: ("dead", f"FunctionDeleted: {key} was deleted while the event waited for it.") for qualifier, key in gone.items()}
    assert ends() == dead
    ids = [one["id"] for one in process.events() if one["function"].startswith("brief")]
    assert process.control("dlq/redrive", {"ids": ids}) == {"redriven": [], "left": 2}
    for arguments in (("events", "replay", ids[0]), ("dlq", "redrive", "--function", "brief"), ("dlq", "redrive", ids[0])):
        done = process.cli(*arguments)
        assert (done.returncode, "unction" in done.stderr) == (1, True), done.stderr
    assert ends() == dead
    create(client, "brief")
    assert {state for state, _ in ends().values()} == {"dead"}


def test_what_came_by_an_alias_goes_on_with_its_version_where_the_former_is_deleted(client: Any, process: DaemonProcess) -> None:
    create(client, "moved", Code={"ZipFile": zipped({"main.py": "def handler(event, context): raise ValueError('no')\n"})}, Publish=True)
    client.create_alias(FunctionName="moved", Name="live", FunctionVersion="1")
    client.invoke(FunctionName="moved", InvocationType="Event", Qualifier="live")

    def events() -> list[tuple[str, str, str]]:
        return [(one["function"], one["qualifier"], one["state"]) for one in process.events() if one["function"].startswith("moved")]

    process.until(lambda: events() == [("moved:1", "live", "waiting")], "the event waits for its retry")
    client.update_function_configuration(FunctionName="moved", Description="another")
    client.publish_version(FunctionName="moved")
    client.update_alias(FunctionName="moved", Name="live", FunctionVersion="2")
    client.delete_function(FunctionName="moved", Qualifier="1")
    assert events() == [("moved:2", "live", "waiting")]


LARGE = b'"' + b"x" * 1_048_575 + b'"'


@pytest.mark.parametrize(
    ("parameters", "code", "status", "words"),
    [
        ({"InvocationType": "Later"}, "ValidationException", 400, "Value 'Later' at 'invocationType' failed to satisfy constraint"),
        ({"LogType": "Head"}, "ValidationException", 400, "enum value set: [None, Tail]"),
        ({"InvocationType": "Event", "ClientContext": "!"}, "InvalidRequestContentException", 400, "Client context must be"),
        ({"InvocationType": "DryRun", "Payload": LARGE * 6}, "RequestTooLargeException", 413, "Request must be smaller than 6291456 bytes"),
        (
            {"InvocationType": "Event", "Payload": LARGE},
            "RequestTooLargeException",
            413,
            "1048577 byte payload is too large for the Event invocation",
        ),
        ({"Qualifier": "01"}, "ResourceNotFoundException", 404, "Function not found: arn:aws:lambda:us-east-1:000000000000:function:called:01"),
        ({"FunctionName": "arn:aws-cn:lambda:us-east-1:000000000000:function:called"}, "ResourceNotFoundException", 404, "of another partition"),
    ],
)
def test_invocations_that_cannot_be_are_refused_in_lambda_s_words(
    client: Any, process: DaemonProcess, parameters: dict[str, Any], code: str, status: int, words: str
) -> None:
    loose = process.client("lambda", parameter_validation=False)
    if "called" not in [one["FunctionName"] for one in client.list_functions()["Functions"]]:
        create(client, "called", Publish=True)
    before = len(process.events())
    found = refusal(loose.invoke, **{"FunctionName": "called", **parameters})
    assert (found[:2], words in found[2]) == ((code, status), True), found
    assert len(process.events()) == before


def test_what_all_versions_share_is_asked_for_without_a_qualifier(client: Any) -> None:
    create(client, "shared-plainly", Publish=True)
    code, _, message = refusal(client.put_function_concurrency, FunctionName="shared-plainly:1", ReservedConcurrentExecutions=1)
    assert (code, "Aliases and versions do not support this operation" in message) == ("InvalidParameterValueException", True)
    assert refusal(client.get_function_recursion_config, FunctionName="shared-plainly:1")[0] == "ValidationException"  # by the model itself
    assert refusal(client.update_function_code, FunctionName="shared-plainly", ZipFile=b"")[2] == "Uploaded file must be a non-empty zip"


def test_code_comes_from_a_bucket(client: Any, process: DaemonProcess) -> None:
    s3 = process.client("s3")
    s3.create_bucket(Bucket="deployments")
    s3.put_object(Bucket="deployments", Key="a/f.zip", Body=saying("bucket"))
    create(client, "fetched", Code={"S3Bucket": "deployments", "S3Key": "a/f.zip"})
    assert invoke(client, "fetched")["word"] == "bucket"
    code, _, message = refusal(client.update_function_code, FunctionName="fetched", S3Bucket="deployments", S3Key="nothing")
    assert code == "InvalidParameterValueException"
    assert message.startswith("Error occurred while GetObject. S3 Error Code: NoSuchKey.")


@pytest.mark.slow
def load(address: str) -> tuple[int, bytes]:
    """What a plain GET without credentials gets."""
    try:
        with urllib.request.urlopen(address, timeout=PATIENCE) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def test_archives_are_loaded_again_from_presigned_addresses(client: Any, process: DaemonProcess) -> None:
    create(client, "kept", Publish=True)
    client.update_function_code(FunctionName="kept", ZipFile=saying("two"))
    layer = client.publish_layer_version(LayerName="kept", Content={"ZipFile": saying("layer")})
    by_arn = client.get_layer_version_by_arn(Arn=layer["LayerVersionArn"])
    for code, sha, archive in (
        (client.get_function(FunctionName="kept")["Code"], client.get_function_configuration(FunctionName="kept")["CodeSha256"], saying("two")),
        (client.get_function(FunctionName="kept", Qualifier="1")["Code"], "", saying()),
        (layer["Content"], layer["Content"]["CodeSha256"], saying("layer")),
        (by_arn["Content"], by_arn["Content"]["CodeSha256"], saying("layer")),
    ):
        assert load(code["Location"]) == (200, archive)
        assert sha in ("", base64.b64encode(hashlib.sha256(archive).digest()).decode())
    function = client.get_function(FunctionName="kept")["Code"]
    assert function["RepositoryType"] == "S3"
    other = hashlib.sha256(saying()).hexdigest()
    address = urllib.parse.urlsplit(function["Location"])
    assert dict(urllib.parse.parse_qsl(address.query))["X-Amz-Expires"] == "600"
    changed = address._replace(path=f"{address.path[:-64]}{other}").geturl()
    for address_, code in (
        (changed, b"SignatureDoesNotMatch"),
        (re.sub("X-Amz-Date=20", "X-Amz-Date=19", function["Location"]).replace("%2F20", "%2F19"), b"Request has expired"),
        (function["Location"].replace("Expires=600", "Expires=601"), b"SignatureDoesNotMatch"),
        (f"{address.scheme}://{address.netloc}{address.path}", b"AccessDenied"),
        (f"{address.scheme}://{address.netloc}/_lambda", b"AccessDenied"),
    ):
        status, body = load(address_)
        assert (status, code in body, body[:5]) == (403, True, b"<?xml"), body
    s3 = process.client("s3", parameter_validation=False)
    s3.meta.events.unregister("before-parameter-build.s3", validate_bucket_name)
    assert refusal(s3.list_objects_v2, Bucket="_lambda")[1] in (400, 404)
    assert refusal(s3.put_object, Bucket="_lambda", Key=address.path.removeprefix("/_lambda/"), Body=b"")[1] in (400, 404)
    client.delete_function(FunctionName="kept")
    assert load(function["Location"])[0] == 200  # who was given an address may use it


def test_large_archives_pass_up_to_lambda_s_limit(client: Any) -> None:
    large = {"main.py": "def handler(event, context): return 1\n", "data": "x" * 20_000_000}
    assert create(client, "large", Code={"ZipFile": zipped(large)})["CodeSize"] > 20_000_000
    assert invoke(client, "large") == 1
    code, status, message = refusal(client.update_function_code, FunctionName="large", ZipFile=bytes(53_000_000))
    assert (code, status) == ("RequestEntityTooLargeException", 413)
    assert message.startswith("Request must be smaller than 70167211 bytes")


@pytest.mark.parametrize(
    ("parameters", "code", "words"),
    [
        ({"Role": "nobody"}, "ValidationException", "at 'role' failed to satisfy constraint"),
        ({"Runtime": "python9.9"}, "InvalidParameterValueException", "Value python9.9 at 'runtime' failed to satisfy constraint"),
        ({"Handler": "a b"}, "ValidationException", "at 'handler' failed to satisfy constraint"),
        ({"Timeout": 901}, "ValidationException", "less than or equal to 900"),
        ({"MemorySize": 10_241}, "ValidationException", "less than or equal to 10240"),
        ({"Environment": {"Variables": {"AWS_REGION": "x"}}}, "InvalidParameterValueException", "Reserved keys used in this request: AWS_REGION"),
        ({"Environment": {"Variables": {"A1": "x" * 4096}}}, "InvalidParameterValueException", "exceeded the 4KB limit"),
        ({"Environment": {"Variables": {"1": "x"}}}, "ValidationException", "[a-zA-Z]([a-zA-Z0-9_])+"),
        ({"Layers": ["arn:aws:lambda:us-east-1:000000000000:layer:no:1"]}, "InvalidParameterValueException", "does not exist"),
        (
            {"Layers": [f"arn:aws:lambda:us-east-1:000000000000:layer:n{n}:1" for n in range(6)]},
            "InvalidParameterValueException",
            "more than 5 layers",
        ),
        ({"Code": {"ImageUri": "x"}}, "InvalidParameterValueException", "ImageUri"),
        ({"Code": {"ZipFile": b"no zip"}}, "InvalidParameterValueException", "Could not unzip uploaded file"),
        ({"Code": {}}, "InvalidParameterValueException", "Please provide a source for function code."),
        ({"VpcConfig": {"SubnetIds": ["subnet-1"]}}, "InvalidParameterValueException", "VpcConfig"),
        ({"EphemeralStorage": {"Size": 1024}}, "InvalidParameterValueException", "EphemeralStorage"),
        ({"TracingConfig": {"Mode": "Active"}}, "InvalidParameterValueException", "TracingConfig"),
        ({"FileSystemConfigs": [{"Arn": "a", "LocalMountPath": "/mnt/x"}]}, "ValidationException", "fileSystemConfigs"),
        ({"DeadLetterConfig": {"TargetArn": "arn:aws:sns:us-east-1:000000000000:t"}}, "InvalidParameterValueException", "no topics"),
        ({"DeadLetterConfig": {"TargetArn": "arn:aws:sqs:us-east-1:000000000000:nobody"}}, "ResourceNotFoundException", "does not exist"),
    ],
    ids=str,
)
def test_what_cannot_be_is_refused_in_lambda_s_words(client: Any, parameters: dict[str, Any], code: str, words: str) -> None:
    refused, _, message = refusal(create, client=client, name="never", **parameters)
    assert (refused, words in message) == (code, True), message
    assert refusal(client.get_function, FunctionName="never")[0] == "ResourceNotFoundException"


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("arn:aws:lambda:us-east-1:000000000000:function:declared", None),
        ("000000000000:function:declared", None),
        ("000000000000:declared", None),
        ("function:declared", None),
        ("us-east-1:000000000000:function:declared:$LATEST", None),
        ("arn:aws:lambda:eu-west-1:000000000000:function:declared", "ResourceNotFoundException"),
        ("arn:aws:lambda:us-east-1:999999999999:function:declared", "ResourceNotFoundException"),
        ("arn:aws:sqs:us-east-1:000000000000:declared", "ValidationException"),
        ("a:b:c:d", "ValidationException"),
        ("declared:", "ValidationException"),
        ("sp ace", "ValidationException"),
        ("n" * 65, "ValidationException"),
    ],
)
def test_names_of_every_form_and_nonsense(client: Any, name: str, code: str | None) -> None:
    if code is None:
        assert client.get_function(FunctionName=name)["Configuration"]["FunctionName"] == "declared"
        assert invoke(client, name) == "application"
    else:
        assert refusal(client.get_function, FunctionName=name)[0] == code
        assert refusal(client.invoke, FunctionName=name)[0] == code


def test_the_application_s_functions_are_listed_with_the_others_and_changed_in_the_application_alone(client: Any) -> None:
    create(client, "aaa", Publish=True)
    create(client, "zzz")
    names = [
        one["FunctionName"] for page in client.get_paginator("list_functions").paginate(PaginationConfig={"PageSize": 1}) for one in page["Functions"]
    ]
    assert names == sorted(names)
    assert {"aaa", "declared", "zzz"} <= set(names)
    every = [(one["FunctionName"], one["Version"]) for one in client.list_functions(FunctionVersion="ALL")["Functions"]]
    assert {("aaa", "$LATEST"), ("aaa", "1"), ("declared", "$LATEST")} <= set(every)
    code, status, message = refusal(client.delete_function, FunctionName="declared")
    assert (code, status) == ("ResourceConflictException", 409)
    assert "declared in the module app" in message
    assert refusal(create, client=client, name="declared")[:2] == ("ResourceConflictException", 409)
    assert refusal(create, client=client, name="aaa")[2] == "Function already exist: aaa"


def test_what_is_not_there_is_named(client: Any) -> None:
    create(client, "plain")
    policy = {"StatementId": "s", "Action": "lambda:InvokeFunction", "Principal": "*"}
    assert refusal(client.add_permission, FunctionName="plain", **policy)[:2] == ("NotImplemented", 501)
    assert refusal(client.get_policy, FunctionName="plain")[:2] == ("NotImplemented", 501)
    assert refusal(client.get_runtime_management_config, FunctionName="plain")[:2] == ("NotImplemented", 501)


def test_pages_of_versions_aliases_and_layers_have_everything_once(client: Any) -> None:
    create(client, "paged", Publish=True)
    for timeout in (4, 5):
        client.update_function_configuration(FunctionName="paged", Timeout=timeout)
        client.publish_version(FunctionName="paged")
    for name in ("a", "b", "c"):
        client.create_alias(FunctionName="paged", Name=name, FunctionVersion="1" if name == "b" else "2")
        client.publish_layer_version(LayerName="paged", Content={"ZipFile": saying()})

    def pages(operation: str, member: str, field: str, **parameters: Any) -> list[Any]:
        found = client.get_paginator(operation).paginate(PaginationConfig={"PageSize": 1}, **parameters)
        return [one[field] for page in found for one in page[member]]

    assert pages("list_versions_by_function", "Versions", "Version", FunctionName="paged") == ["$LATEST", "1", "2", "3"]
    assert pages("list_aliases", "Aliases", "Name", FunctionName="paged") == ["a", "b", "c"]
    assert pages("list_aliases", "Aliases", "Name", FunctionName="paged", FunctionVersion="2") == ["a", "c"]
    assert pages("list_layer_versions", "LayerVersions", "Version", LayerName="paged") == [3, 2, 1]
    assert [page for page in pages("list_layers", "Layers", "LayerName") if page == "paged"] == ["paged"]


def test_aliases_that_cannot_be_are_refused_and_weights_are_taken_back(client: Any) -> None:
    made = create(client, "aliased", Publish=True)
    client.update_function_code(FunctionName="aliased", ZipFile=saying("two"), Publish=True)
    alias = client.create_alias(FunctionName="aliased", Name="live", FunctionVersion="1")

    def refused(**parameters: Any) -> str:
        call = client.create_alias if "Name" in parameters else client.update_alias
        return refusal(call, **{"FunctionName": "aliased", "Name": "live", **parameters})[0]

    assert refused(Name="live", FunctionVersion="1") == "ResourceConflictException"
    assert refused(Name="other", FunctionVersion="9") == "ResourceNotFoundException"
    assert refused(FunctionVersion="$LATEST", RoutingConfig={"AdditionalVersionWeights": {"1": 0.5}}) == "InvalidParameterValueException"
    assert refused(RoutingConfig={"AdditionalVersionWeights": {"1": 0.5}}) == "InvalidParameterValueException"
    assert refused(RoutingConfig={"AdditionalVersionWeights": {"9": 0.5}}) == "ResourceNotFoundException"
    assert refused(RoutingConfig={"AdditionalVersionWeights": {"1": 0.1, "2": 0.1}}) == "InvalidParameterValueException"
    assert refused(RevisionId="x") == "PreconditionFailedException"
    client.update_alias(FunctionName="aliased", Name="live", RoutingConfig={"AdditionalVersionWeights": {"2": 0.5}}, RevisionId=alias["RevisionId"])
    assert "RoutingConfig" in client.get_alias(FunctionName="aliased", Name="live")
    assert "RoutingConfig" not in client.update_alias(FunctionName="aliased", Name="live", RoutingConfig={"AdditionalVersionWeights": {}})
    assert refusal(client.get_function, FunctionName="aliased:1", Qualifier="2")[0] == "InvalidParameterValueException"
    assert refusal(client.update_function_code, FunctionName=made["FunctionArn"], ZipFile=saying())[0] == "InvalidParameterValueException"


def test_the_format_and_levels_of_a_functions_log(client: Any) -> None:
    logging = {"ApplicationLogLevel": "INFO", "LogFormat": "JSON", "LogGroup": "/aws/lambda/logging", "SystemLogLevel": "WARN"}
    failing = {"ZipFile": zipped({"main.py": "def handler(event, context): raise ValueError(event)\n"})}
    made = create(client, "logging", Code=failing, LoggingConfig={"LogFormat": "JSON", "SystemLogLevel": "WARN"})
    assert made["LoggingConfig"] == logging
    assert client.get_function_configuration(FunctionName="logging")["LoggingConfig"] == logging
    changed = client.update_function_configuration(FunctionName="logging", LoggingConfig={"ApplicationLogLevel": "DEBUG"})
    assert changed["LoggingConfig"] == {**logging, "ApplicationLogLevel": "DEBUG"}
    tail = client.invoke(FunctionName="logging", LogType="Tail")["LogResult"]
    assert [json.loads(line)["type"] for line in base64.b64decode(tail).splitlines() if b"platform." in line] == [
        "platform.runtimeDone",
        "platform.report",
    ]
    text = {"LogFormat": "Text", "LogGroup": "/aws/lambda/logging"}
    for wrong in ({"LogFormat": "Text", "SystemLogLevel": "INFO"}, {"LogGroup": "others"}):
        with pytest.raises(ClientError, match=r"LogLevel is not supported when|LogGroup='others'") as raised:
            client.update_function_configuration(FunctionName="logging", LoggingConfig=wrong)
        assert raised.value.response["Error"]["Code"] == "InvalidParameterValueException"
    changed = client.update_function_configuration(FunctionName="logging", LoggingConfig=text)
    assert changed["LoggingConfig"] == text
    with pytest.raises(ClientError, match="LogLevel is not supported when"):
        client.update_function_configuration(FunctionName="logging", LoggingConfig={"ApplicationLogLevel": "DEBUG"})
