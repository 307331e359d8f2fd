"""Lambda's API on a real daemon, with boto3 as the other side."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.aws.deployed import refusal, refused
from tests.process.daemon_process import DaemonProcess, daemon

CODE = """
import json, os, time
dead = app.queue("dead")

@app.function(memory=256, timeout=10, description="answers", environment={"COLOUR": "blue"}, dead_letter_queue=dead)
def echo(event, context):
    print("echo", event)
    custom = context.client_context.custom if context.client_context else None
    return {"event": event, "id": context.aws_request_id, "arn": context.invoked_function_arn, "custom": custom}

@app.function(timeout=1)
def slow(event, context):
    time.sleep(20)

@app.function()
def fails(event, context):
    raise RuntimeError("no luck")

@app.function(url={"auth": "AWS_IAM", "invoke_mode": "RESPONSE_STREAM"})
def streams(event, context):
    yield "one "
    yield "two"
    if event.get("fail"):
        raise RuntimeError("in the middle")

@app.function(reserved_concurrency=1, timeout=60)
def single(event, context):
    while not os.path.exists("go-on"):
        time.sleep(0.01)

@app.function(reserved_concurrency=0)
def off(event, context):
    return 1
"""


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaemonProcess]:
    with daemon(tmp_path_factory.mktemp("lambda"), CODE) as process:
        yield process.start()


@pytest.fixture(scope="module")
def client(process: DaemonProcess) -> Any:
    return process.client("lambda")


def test_a_synchronous_invocation_answers_with_the_handler_s_value(client: Any) -> None:
    context = base64.b64encode(json.dumps({"custom": {"k": "v"}}).encode()).decode()
    answer = client.invoke(FunctionName="echo", Payload=b'{"a": [1, "\\u00e9"]}', ClientContext=context, LogType="Tail")
    value = json.load(answer["Payload"])
    assert (answer["StatusCode"], answer["ExecutedVersion"], "FunctionError" in answer) == (200, "$LATEST", False)
    assert (value["event"], value["custom"]) == ({"a": [1, "é"]}, {"k": "v"})
    assert value["arn"] == "arn:aws:lambda:us-east-1:000000000000:function:echo"
    assert value["id"] == answer["ResponseMetadata"]["RequestId"]
    tail = base64.b64decode(answer["LogResult"]).decode()
    assert tail.startswith(f"START RequestId: {value['id']}")
    assert "echo {'a': [1, 'é']}" in tail
    assert f"REPORT RequestId: {value['id']}" in tail


@pytest.mark.parametrize(
    "name",
    [
        "echo",
        "echo:$LATEST",
        "000000000000:function:echo",
        "arn:aws:lambda:us-east-1:000000000000:function:echo",
        "arn:aws:lambda:us-east-1:000000000000:function:echo:$LATEST",
    ],
)
def test_functions_are_found_by_every_form_of_their_name(client: Any, name: str) -> None:
    assert json.load(client.invoke(FunctionName=name)["Payload"])["event"] == {}


def test_events_are_accepted_and_run(client: Any, process: DaemonProcess) -> None:
    answer = client.invoke(FunctionName="echo", InvocationType="Event", Payload=b'{"n": "by event"}')
    assert (answer["StatusCode"], answer["Payload"].read()) == (202, b"")
    process.until(lambda: any(event["state"] == "done" and event["source"] == "lambda Invoke" for event in process.events(function="echo")), "it ran")


def test_a_dry_run_runs_nothing(client: Any) -> None:
    answer = client.invoke(FunctionName="fails", InvocationType="DryRun")
    assert (answer["StatusCode"], answer["Payload"].read()) == (204, b"")


def test_function_errors_are_answers_with_lambda_s_header(client: Any) -> None:
    answer = client.invoke(FunctionName="fails", LogType="Tail")
    error = json.load(answer["Payload"])
    assert (answer["StatusCode"], answer["FunctionError"]) == (200, "Unhandled")
    assert (error["errorType"], error["errorMessage"]) == ("RuntimeError", "no luck")
    assert "[ERROR] RuntimeError: no luck" in base64.b64decode(answer["LogResult"]).decode()
    late = json.load(client.invoke(FunctionName="slow")["Payload"])
    assert late["errorType"] == "Sandbox.Timedout"
    assert late["errorMessage"].endswith("Task timed out after 1.00 seconds")


def test_what_cannot_be_invoked_is_refused_by_lambda_s_names(client: Any) -> None:
    assert refusal(client.invoke, FunctionName="nobody")[:2] == ("ResourceNotFoundException", 404)
    assert refusal(client.invoke, FunctionName="echo", Qualifier="7")[:2] == ("ResourceNotFoundException", 404)
    assert refusal(client.invoke, FunctionName="echo", Payload=b"{not json")[:2] == ("InvalidRequestContentException", 400)
    assert refusal(client.invoke, FunctionName="echo", Payload=b'"' + b"x" * 6_300_000 + b'"')[:2] == ("RequestTooLargeException", 413)
    assert refusal(client.invoke, FunctionName="echo", InvocationType="Event", Payload=b'"' + b"x" * 1_100_000 + b'"')[:2] == (
        "RequestTooLargeException",
        413,
    )
    assert refusal(client.invoke, FunctionName="echo", ClientContext="!!!")[:2] == ("InvalidRequestContentException", 400)


def test_reserved_concurrency_is_a_throttle_with_its_reason(client: Any, process: DaemonProcess) -> None:
    client.invoke(FunctionName="single", InvocationType="Event")["Payload"].read()
    process.until(lambda: any(one["name"] == "single" and one["running"] for one in process.control("functions")["functions"]), "it runs")
    response = refused(client.invoke, FunctionName="single")
    assert response["Error"]["Code"] == "TooManyRequestsException"
    assert (response["ResponseMetadata"]["HTTPStatusCode"], response["Reason"]) == (429, "ReservedFunctionConcurrentInvocationLimitExceeded")
    assert refusal(client.invoke, FunctionName="off")[0] == "TooManyRequestsException"


def test_functions_are_listed_in_pages_and_described(client: Any) -> None:
    pages = list(client.get_paginator("list_functions").paginate(PaginationConfig={"PageSize": 2}))
    assert [len(page["Functions"]) for page in pages] == [2, 2, 2]
    assert [function["FunctionName"] for page in pages for function in page["Functions"]] == ["echo", "fails", "off", "single", "slow", "streams"]
    described = client.get_function(FunctionName="echo")
    configuration = described["Configuration"]
    assert (configuration["MemorySize"], configuration["Timeout"], configuration["Description"]) == (256, 10, "answers")
    assert configuration["Environment"] == {"Variables": {"COLOUR": "blue"}}
    assert configuration["DeadLetterConfig"] == {"TargetArn": "arn:aws:sqs:us-east-1:000000000000:dead"}
    assert (configuration["State"], configuration["LastUpdateStatus"]) == ("Active", "Successful")
    assert client.get_function(FunctionName="single")["Concurrency"] == {"ReservedConcurrentExecutions": 1}
    assert client.get_account_settings()["AccountLimit"]["UnreservedConcurrentExecutions"] == 999


def test_operations_that_are_not_there_are_named(client: Any) -> None:
    code, status, message = refusal(client.get_policy, FunctionName="echo")
    assert (code, status) == ("NotImplemented", 501)
    assert "GetPolicy" in message


def test_the_command_line_invokes_and_lists(process: DaemonProcess, tmp_path: Path) -> None:
    assert json.loads(process.cli("invoke", "echo", "--payload", '{"x": 1}', "--json").stdout)["payload"]["event"] == {"x": 1}
    failed = process.cli("invoke", "fails")
    assert failed.returncode == 1
    assert "no luck" in failed.stdout + failed.stderr
    assert "echo" in process.cli("functions").stdout
    assert "echo {'x': 1}" in process.cli("logs", "echo").stdout


def streamed(client: Any, name: str, event: dict[str, Any], **options: Any) -> tuple[bytes, dict[str, Any], dict[str, Any]]:
    answer = client.invoke_with_response_stream(FunctionName=name, Payload=json.dumps(event), **options)
    *chunks, last = list(answer["EventStream"])
    return b"".join(chunk["PayloadChunk"]["Payload"] for chunk in chunks), last["InvokeComplete"], answer


def test_a_response_is_streamed_as_events(client: Any) -> None:
    body, complete, answer = streamed(client, "streams", {}, LogType="Tail")
    assert body == b"one two"
    assert (answer["StatusCode"], answer["ExecutedVersion"]) == (200, "$LATEST")
    assert set(complete) == {"LogResult"}
    assert b"REPORT RequestId: " in base64.b64decode(complete["LogResult"])
    body, complete, answer = streamed(client, "echo", {"a": 1})
    assert (json.loads(body)["event"], complete) == ({"a": 1}, {})


def test_a_stream_ends_with_the_function_s_error(client: Any) -> None:
    body, complete, _answer = streamed(client, "streams", {"fail": True})
    assert body == b"one two"
    assert (complete["ErrorCode"], json.loads(complete["ErrorDetails"])["errorMessage"]) == ("Unhandled", "in the middle")
    body, complete, _answer = streamed(client, "fails", {})
    assert (body, complete["ErrorCode"], json.loads(complete["ErrorDetails"])["errorType"]) == (b"", "Unhandled", "RuntimeError")


def test_what_cannot_be_streamed_is_refused_before_the_stream(client: Any) -> None:
    call = client.invoke_with_response_stream
    assert refusal(call, FunctionName="nobody")[:2] == ("ResourceNotFoundException", 404)
    assert refusal(call, FunctionName="off")[:2] == ("TooManyRequestsException", 429)
    assert refusal(call, FunctionName="echo", Payload=b"{")[:2] == ("InvalidRequestContentException", 400)
    dry = call(FunctionName="echo", InvocationType="DryRun")
    assert (dry["StatusCode"], list(dry["EventStream"])) == (204, [])


def test_a_function_sees_the_qualifier_that_it_was_called_by(client: Any) -> None:
    plain = json.loads(client.invoke(FunctionName="echo")["Payload"].read())["arn"]
    assert json.loads(client.invoke(FunctionName="echo", Qualifier="$LATEST")["Payload"].read())["arn"] == f"{plain}:$LATEST"
