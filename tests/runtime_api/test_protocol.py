"""The Runtime API as runtimes use it rightly and wrongly, each fault with what Lambda answers."""

import itertools
import json
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from eventflow.runtime import frames
from eventflow.runtime.bootstrap import LARGEST_RESPONSE
from tests.runtime_api.direct import Direct
from tests.runtime_api.packages import packaged
from tests.runtime_api.programs import OBEDIENT

ID = "[^/]*"


@pytest.fixture(scope="module")
def obedient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Direct]:
    """One environment for all that leaves it whole."""
    folder = tmp_path_factory.mktemp("obedient")
    with Direct(folder, packaged(folder, "provided.al2023", {"bootstrap": OBEDIENT})) as direct:
        assert direct.answer().kind == frames.READY
        yield direct


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Direct]:
    with Direct(tmp_path, packaged(tmp_path, "provided.al2023", {"bootstrap": OBEDIENT})) as direct:
        assert direct.answer().kind == frames.READY
        yield direct


def do(direct: Direct, code: str, **how: Any) -> frames.Answer:
    return direct.invoke({"do": code}, **how)


def error(answer: frames.Answer) -> tuple[int, str, str]:
    value = json.loads(answer.content)
    return answer.kind, value["errorType"], value["errorMessage"]


def test_an_invocation_has_lambdas_headers(obedient: Direct) -> None:
    answer = do(obedient, "answer(dict(headers))", context='{"custom": {"a": "ž"}}')
    headers = json.loads(answer.content)
    assert answer.kind == frames.RESULT
    assert headers.pop("Lambda-Runtime-Deadline-Ms").isdigit()
    assert headers.pop("Lambda-Runtime-Client-Context").encode("latin-1").decode() == '{"custom": {"a": "ž"}}'
    assert {name: headers[name] for name in headers if name.startswith("Lambda")} == {
        "Lambda-Runtime-Aws-Request-Id": "id-1",
        "Lambda-Runtime-Invoked-Function-Arn": "arn:f",
        "Lambda-Runtime-Trace-Id": "Root=1",
    }
    assert headers["Content-Type"] == "application/json"


INVALID_ID = {"errorType": "InvalidRequestID", "errorMessage": "Invalid request ID"}
#: code that makes ``seen``, its status, the error's type, what the message says
REFUSALS = [
    ("seen = answer(1, of='nonsense')", 400, "InvalidRequestID", "Invalid request ID"),
    ("seen = call('POST', RUNTIME + '/invocation/nonsense/error', '{}')", 400, "InvalidRequestID", "Invalid request ID"),
    ("seen = call('POST', RUNTIME + '/init/error', '{}')", 403, "InvalidStateTransition", "from RuntimeRunning to RuntimeInitError failed"),
    ("seen = call('GET', RUNTIME + '/restore/next')", 404, "NotFound", "/restore/next"),
    ("seen = call('GET', RUNTIME + '/init/error')", 405, "MethodNotAllowed", "takes POST"),
    (
        "seen = call('POST', '/2020-01-01/extension/register', '{}', {'Lambda-Extension-Name': 'late'})",
        403,
        "Extension.RegistrationClosed",
        "closed already",
    ),
    ("seen = call('PUT', '/2022-07-01/telemetry', '{}')", 202, "Telemetry.NotSupported", "not supported"),
]


@pytest.mark.parametrize(("code", "status", "error_type", "says"), REFUSALS)
def test_what_is_refused_leaves_the_invocation_as_it_was(obedient: Direct, code: str, status: int, error_type: str, says: str) -> None:
    answer = do(obedient, f"{code}\nanswer(seen)")
    assert answer.kind == frames.RESULT
    seen_status, seen = json.loads(answer.content)
    assert (seen_status, seen["errorType"]) == (status, error_type)
    assert says in seen["errorMessage"]


def test_a_second_response_is_refused(obedient: Direct) -> None:
    assert json.loads(do(obedient, "answer('first')\nseen = answer('second')", request_id="one").content) == "first"
    status, seen = json.loads(do(obedient, "answer(seen)", request_id="two").content)
    assert (status, seen["errorType"]) == (403, "InvalidStateTransition")
    assert seen["errorMessage"].startswith("State transition from RuntimeResponseSent to RuntimeInvocationResponse failed for runtime.")
    late = do(obedient, "seen = answer(0, of='one')\nanswer(seen)", request_id="three")
    assert json.loads(late.content) == [400, INVALID_ID]


def test_who_asks_again_gets_the_same_invocation(obedient: Direct) -> None:
    code = (
        "connection.request('GET', RUNTIME + '/invocation/next')\nagain = connection.getresponse()\nagain.read()\n"
        "answer([id, again.headers['Lambda-Runtime-Aws-Request-Id']])"
    )
    assert json.loads(do(obedient, code, request_id="same").content) == ["same", "same"]


POST = "POST /2018-06-01/runtime/invocation/{id}/response HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n"
RAW = [
    ("nonsense\\r\\n\\r\\n", "400 Bad Request"),
    ("GET / HTTP/2\\r\\n\\r\\n", "400 Bad Request"),
    (POST + "Content-Length: 3\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\n", "400 Bad Request"),
    (POST + "Content-Length: -3\\r\\n\\r\\n", "400 Bad Request"),
    (POST + "Transfer-Encoding: chunked\\r\\n\\r\\nxyz\\r\\n", "400 Bad Request"),
    (POST + "no colon\\r\\n\\r\\n", "400 Bad Request"),
    ("GET / HTTP/1.1\\r\\nX: {'y' * 1200000}\\r\\n\\r\\n", "431 Request Header"),
]


@pytest.mark.parametrize(("text", "status"), RAW)
def test_what_is_no_http_is_answered_and_the_connection_ends(obedient: Direct, text: str, status: str) -> None:
    code = f'try:\n    seen = raw(f"{text}")\nexcept ConnectionError:\n    seen = "HTTP/1.1 {status}"\nanswer(seen)'
    answer = do(obedient, code)
    if "runtime/invocation" in text and answer.kind == frames.ERROR:  # the body of the response that was begun
        assert error(answer)[1] == "Runtime.TruncatedResponse"
    else:
        assert json.loads(answer.content).startswith(f"HTTP/1.1 {status}")


RESPONSES = [
    ('raw(f"' + POST + 'Transfer-Encoding: chunked\\r\\n\\r\\n2\\r\\n[1\\r\\n3;x=y\\r\\n,2]\\r\\n0\\r\\nA: b\\r\\n\\r\\n")', b"[1,2]"),
    ('raw(f"' + POST.replace("1.1", "1.0") + 'Content-Length: 3\\r\\n\\r\\n" + "[4]")', b"[4]"),
    ('raw(f"' + POST + '\\r\\n")', b""),
    ("connection.request('POST', f'{RUNTIME}/invocation/{id}/response', 'no JSON')\nconnection.getresponse().read()", b"no JSON"),
]


@pytest.mark.parametrize(("code", "content"), RESPONSES)
def test_forms_of_a_response(obedient: Direct, code: str, content: bytes) -> None:
    answer = do(obedient, code)
    assert (answer.kind, answer.content) == (frames.RESULT, content)


def test_who_waits_to_be_told_to_send_its_body_is_told(obedient: Direct) -> None:
    """As curl does with a large one."""
    code = (
        "host, port = address.split(':')\n"
        "with socket.create_connection((host, int(port)), timeout=30) as other:\n"
        "    head = f'POST {RUNTIME}/invocation/{id}/response HTTP/1.1\\r\\nExpect: 100-continue\\r\\nContent-Length: 3\\r\\n\\r\\n'\n"
        "    other.sendall(head.encode())\n"
        "    told = other.recv(1000)\n"
        "    other.sendall(b'[3]' if told.startswith(b'HTTP/1.1 100 Continue') else b'[0]')\n"
        "    other.recv(1000)"
    )
    assert do(obedient, code).content == b"[3]"


#: code, kind of the frame, the error's type, its message
FAILURES = [
    ("raw(f'" + POST + "Content-Length: 100\\r\\n\\r\\nhalf', finish=False)", "Runtime.TruncatedResponse", "in the middle of its response"),
    ("streamed(['half'], end='')", "Runtime.TruncatedResponse", "in the middle of its response"),
    ("answer('x' * 6291556)", "Function.ResponseSizeTooLarge", r"^Response payload size exceeded maximum allowed payload size \(6291556 bytes\).$"),
    ("answer(1, **{'Lambda-Runtime-Function-Response-Mode': 'slow'})", "Runtime.InvalidResponseModeHeader", "'slow'"),
    ("call('POST', f'{RUNTIME}/invocation/{id}/error', 'plain', {'Lambda-Runtime-Function-Error-Type': 'Runtime.Odd'})", "Runtime.Odd", "^plain$"),
    ("call('POST', f'{RUNTIME}/invocation/{id}/error', '[]', {'Lambda-Runtime-Function-Error-Type': 'x'})", "Runtime.Unknown", r"^\[\]$"),
    (
        "call('POST', f'{RUNTIME}/invocation/{id}/error', '{\"errorMessage\": \"m\"}', {'Lambda-Runtime-Function-Error-Type': 'Function.x'})",
        "Function.Unknown",
        "^m$",
    ),
]


@pytest.mark.parametrize(("code", "error_type", "says"), FAILURES)
def test_failed_invocations(obedient: Direct, code: str, error_type: str, says: str) -> None:
    kind, found, message = error(do(obedient, code))
    assert (kind, found) == (frames.ERROR, error_type)
    assert re.search(says, message)
    # Another id: a runtime that asks for its next before its half response is seen to be cut gets the same invocation again.
    assert do(obedient, "answer('whole')", request_id="id-2").content == b'"whole"'


def test_an_error_is_passed_on_as_it_was_posted(obedient: Direct) -> None:
    posted = '{"errorMessage":"m","errorType":"T","stackTrace":["a"],"cause":{"b":1}}'
    answer = do(obedient, f"call('POST', f'{{RUNTIME}}/invocation/{{id}}/error', {posted!r})")
    assert (answer.kind, answer.content.decode()) == (frames.ERROR, posted)


def test_the_largest_event_and_response_pass(obedient: Direct) -> None:
    answer = obedient.invoke({"do": "answer(event['x'])", "x": "x" * (LARGEST_RESPONSE - 100)})
    assert (answer.kind, len(answer.content)) == (frames.RESULT, LARGEST_RESPONSE - 98)
    assert json.loads(do(obedient, "seen = answer('x' * 7_000_000)\n", request_id="big").content)["errorType"] == "Function.ResponseSizeTooLarge"
    status, seen = json.loads(do(obedient, "answer(seen)").content)
    assert (status, seen["errorType"]) == (413, "RequestEntityTooLarge")


EXITS = [
    ("os._exit(3)", "RequestId: id-1 Error: Runtime exited with error: exit status 3"),
    ("os._exit(0)", "RequestId: id-1 Error: Runtime exited without providing a reason"),
    ("os.kill(os.getpid(), signal.SIGSEGV)", "RequestId: id-1 Error: Runtime exited with error: signal: segmentation fault"),
]


@pytest.mark.parametrize(("code", "message"), EXITS)
def test_a_runtime_that_exits_without_a_response(fresh: Direct, code: str, message: str) -> None:
    assert error(do(fresh, code)) == (frames.FATAL, "Runtime.ExitError", message)
    assert fresh.process.wait(60) == 1
    assert f"{message}\nRuntime.ExitError" in fresh.log()


def test_a_runtime_that_was_killed_takes_the_environments_process_along(fresh: Direct) -> None:
    """So that the daemon finds out why: it knows whether there was too little memory."""
    fresh.send({"do": "print('last words', flush=True)\nos.kill(os.getpid(), signal.SIGKILL)"})
    assert fresh.process.wait(60) == -signal.SIGKILL
    assert "last words" in fresh.log()


def test_a_runtime_that_exits_after_its_response_is_started_again_for_the_next(fresh: Direct) -> None:
    first = do(fresh, "answer(os.getpid())\nos._exit(1)", request_id="a")
    second = do(fresh, "answer(os.getpid())", request_id="b")
    assert (first.kind, second.kind) == (frames.RESULT, frames.RESULT)
    assert first.content != second.content


def test_invocations_that_come_together_run_one_after_another(obedient: Direct) -> None:
    for number in range(5):
        obedient.send({"do": f"answer([{number}, id])"}, request_id=f"r{number}")
    answers = [obedient.answer() for _ in range(5)]
    assert [json.loads(answer.content) for answer in answers] == [[n, f"r{n}"] for n in range(5)]
    assert all(after.started >= before.started + before.duration / 1000 for before, after in itertools.pairwise(answers))


@pytest.mark.slow
def test_more_connections_than_are_taken_do_no_harm(fresh: Direct) -> None:
    code = "host, port = address.split(':')\nothers = [socket.create_connection((host, int(port))) for _ in range(600)]\nanswer(len(others))"
    assert do(fresh, code).content == b"600"
    assert do(fresh, "[other.close() for other in others]\nanswer(1)").content == b"1"
    assert do(fresh, f"raw(f'{POST}Content-Length: 1\\r\\n\\r\\n2')").content == b"2"


def test_output_is_in_the_log_when_the_answer_is_there(obedient: Direct) -> None:
    code = "print('to the output', flush=True)\nos.write(2, b'to the errors\\n')\nopen('/dev/stderr', 'w').write('by name\\n')\nanswer(1)"
    answer = do(obedient, code)
    assert obedient.log().encode()[: answer.log_end].decode().endswith("to the output\nto the errors\nby name\n")


@pytest.mark.slow
def test_memory_and_processor_time_are_the_runtimes(fresh: Direct) -> None:
    before = do(fresh, "answer(1)")
    after = do(fresh, "held = bytearray(60_000_000)\nfor _ in range(2_000_000): pass\nanswer(1)")
    assert after.peak_kib - before.peak_kib > 50_000
    assert after.cpu_ms > before.cpu_ms


# Streams.

METADATA = "application/vnd.awslambda.http-integration-response"


def test_a_streamed_response_comes_in_pieces_behind_metadata(obedient: Direct) -> None:
    pieces, end = obedient.stream({"do": "streamed(['one ', 'two'])"})
    assert (pieces, end.kind) == (b"{}" + bytes(8) + b"one two", frames.RESULT)
    code = f"streamed(['{{\"statusCode\": 201}}', '\\0' * 8 + 'body'], kind='{METADATA}')"
    assert obedient.stream({"do": code})[0] == b'{"statusCode": 201}' + bytes(8) + b"body"


def test_a_streamed_response_is_joined_for_who_takes_it_whole(obedient: Direct) -> None:
    assert do(obedient, "streamed(['one ', 'two'])").content == b"one two"
    code = f"streamed(['{{\"statusCode\": 201}}', '\\0' * 8 + 'body'], kind='{METADATA}')"
    assert json.loads(do(obedient, code).content) == {"statusCode": 201, "body": "body", "isBase64Encoded": False}


def test_an_error_behind_a_streamed_response(obedient: Direct) -> None:
    code = (
        "import base64\n"
        "body = base64.b64encode(json.dumps({'errorType': 'T', 'errorMessage': 'late'}).encode()).decode()\n"
        "streamed(['one'], f'Lambda-Runtime-Function-Error-Type: T\\r\\nLambda-Runtime-Function-Error-Body: {body}\\r\\n')"
    )
    pieces, end = obedient.stream({"do": code})
    assert pieces.endswith(b"one")
    assert error(end) == (frames.ERROR, "T", "late")
    assert error(obedient.invoke({"do": code})) == (frames.ERROR, "T", "late")


# Beginnings that fail.

NOT_EXECUTABLE = "echo this has no interpreter"
BEGINNINGS = [
    ({}, "Runtime.InvalidEntrypoint", r"Couldn't find valid bootstrap\(s\): \[.*/f/bootstrap .*/layer/bootstrap\]"),
    ({"bootstrap": NOT_EXECUTABLE}, "Runtime.InvalidEntrypoint", "fork/exec .*/f/bootstrap: permission denied"),
    ({"bootstrap": "#!/no/such/interpreter\n"}, "Runtime.InvalidEntrypoint", "fork/exec .*/f/bootstrap: no such file or directory"),
    ({"bootstrap": "#!/bin/sh\nexit 7\n"}, "Runtime.ExitError", "^Runtime exited with error: exit status 7$"),
    ({"bootstrap": "#!/bin/sh\n"}, "Runtime.ExitError", "^Runtime exited without providing a reason$"),
]


@pytest.mark.parametrize(("files", "error_type", "says"), BEGINNINGS)
def test_a_runtime_that_does_not_begin(tmp_path: Path, files: dict[str, str], error_type: str, says: str) -> None:
    (tmp_path / "layer").mkdir()
    function = packaged(tmp_path, "provided", files, layers=(tmp_path / "layer",))
    (tmp_path / "f").mkdir(exist_ok=True)
    with Direct(tmp_path, function) as direct:
        kind, found, message = error(direct.answer())
        assert (kind, found) == (frames.INIT_ERROR, error_type)
        assert re.search(says, message)
        assert direct.process.wait(60) == 1


def test_a_text_that_may_be_executed_but_has_no_interpreter(tmp_path: Path) -> None:
    function = packaged(tmp_path, "provided", {"bootstrap": NOT_EXECUTABLE})
    (tmp_path / "f" / "bootstrap").chmod(0o755)
    with Direct(tmp_path, function) as direct:
        kind, found, message = error(direct.answer())
        assert (kind, found, message.endswith("bootstrap: exec format error")) == (frames.INIT_ERROR, "Runtime.InvalidEntrypoint", True)


def test_an_init_error_is_told_as_it_was_posted(tmp_path: Path) -> None:
    failing = OBEDIENT.replace("while True:", 'call("POST", RUNTIME + "/init/error", \'{"errorType": "T", "errorMessage": "m"}\')\nwhile True:')
    with Direct(tmp_path, packaged(tmp_path, "provided", {"bootstrap": failing})) as direct:
        assert error(direct.answer()) == (frames.INIT_ERROR, "T", "m")
        assert direct.process.wait(60) == 1


def test_the_bootstrap_of_a_layer_and_the_variables(tmp_path: Path) -> None:
    (tmp_path / "layer").mkdir()
    function = packaged(tmp_path / "code", "provided.al2", {"data": "x"})
    layer = packaged(tmp_path, "provided.al2", {"bootstrap": OBEDIENT}, name="layer")
    assert layer.package is not None
    function = packaged(tmp_path / "code", "provided.al2", {"data": "x"}, layers=(tmp_path / "layer",))
    with Direct(tmp_path, function) as direct:
        assert direct.answer().kind == frames.READY
        told = json.loads(do(direct, "answer({**os.environ, 'cwd': os.getcwd()})").content)
        assert told["cwd"] == told["LAMBDA_TASK_ROOT"] == str(tmp_path / "code" / "f")
        assert told["AWS_LAMBDA_RUNTIME_API"].startswith("127.0.0.1:")
        assert told["PATH"].startswith(f"{tmp_path}/layer/bin:")
        assert told["LD_LIBRARY_PATH"].endswith(f"{tmp_path}/layer/lib")
        assert told["TZ"] == ":UTC"
        assert "AWS_EXECUTION_ENV" not in told
