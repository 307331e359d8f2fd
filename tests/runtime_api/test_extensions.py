"""Extensions of layers, and of the runtime itself, beside a function."""

import json
import sys
from pathlib import Path

import pytest

from eventflow.runtime import frames
from tests.process.spine import Spine, with_packages
from tests.runtime_api.direct import Direct
from tests.runtime_api.packages import packaged, write
from tests.runtime_api.programs import OBEDIENT

EXTENSION = f"""
#!{sys.executable} -IS
import http.client, json, os, sys, time

connection = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
name = os.path.basename(__file__)

def call(method, path, body=None, **headers):
    connection.request(method, "/2020-01-01/extension/" + path, body, {{"Lambda-Extension-" + key: value for key, value in headers.items()}})
    response = connection.getresponse()
    return response.status, response.headers, response.read().decode()

def tell(text):
    print(f"{{name}}: {{text}}", flush=True)

def register(*events):
    status, headers, body = call("POST", "register", json.dumps({{"events": events}}), Name=name)
    tell(f"{{status}} {{body}}")
    return headers["Lambda-Extension-Identifier"]

def following(id):
    return json.loads(call("GET", "event/next", Identifier=id)[2])
"""
FAITHFUL = """
id = register("INVOKE", "SHUTDOWN")
while True:
    event = following(id)
    tell(json.dumps(event))
    if event["eventType"] == "SHUTDOWN":
        sys.exit(0)
"""


def with_extension(folder: Path, *codes: str, bootstrap: str = OBEDIENT) -> Direct:
    layer = write(folder / "layer", {f"extensions/watcher{number}": EXTENSION + code for number, code in enumerate(codes)})
    (layer / "extensions" / "README").write_text("not to be executed")
    return Direct(folder, packaged(folder, "provided.al2023", {"bootstrap": bootstrap}, layers=(layer,)))


def told(direct: Direct, name: str = "watcher0") -> list[str]:
    return [line.partition(": ")[2] for line in direct.log().splitlines() if line.startswith(f"{name}: ")]


def test_an_extension_is_told_of_invocations_and_of_the_end(tmp_path: Path) -> None:
    with with_extension(tmp_path, FAITHFUL, "following(register())") as direct:
        assert direct.answer().kind == frames.READY
        assert direct.invoke({"do": "answer(1)"}, request_id="a").content == b"1"
        assert direct.invoke({"do": "answer(2)"}, request_id="b").content == b"2"
        assert direct.close() == 0
        registered, first, second, last = told(direct)
        assert registered == '200 {"functionName": "f", "functionVersion": "$LATEST", "handler": "app.handler"}'
        assert {**json.loads(first), "deadlineMs": 0} == {
            "eventType": "INVOKE",
            "deadlineMs": 0,
            "requestId": "a",
            "invokedFunctionArn": "arn:f",
            "tracing": {"type": "X-Amzn-Trace-Id", "value": "Root=1"},
        }
        assert json.loads(second)["requestId"] == "b"
        assert {**json.loads(last), "deadlineMs": 0} == {"eventType": "SHUTDOWN", "shutdownReason": "spindown", "deadlineMs": 0}


@pytest.mark.slow
def test_an_invocation_ends_when_its_extensions_have_finished(tmp_path: Path) -> None:
    slow = 'id = register("INVOKE")\nwhile True:\n    following(id)\n    time.sleep(0.3)\n    tell("done")'
    with with_extension(tmp_path, slow) as direct:
        assert direct.answer().kind == frames.READY
        answer = direct.invoke({"do": "answer(1)"})
        assert answer.duration >= 300
        assert told(direct)[-1] == "done"


FAILING = [
    ("sys.exit(4)", frames.INIT_ERROR, "Extension.Crash", "extension watcher0 ended: exit status 4"),
    ("register()\nsys.exit(0)", frames.INIT_ERROR, "Extension.Crash", "extension watcher0 ended: exit status 0"),
    (
        "call('POST', 'init/error', '{}', Identifier=register(), **{'Function-Error-Type': 'Extension.NoConfig'})\ntime.sleep(600)",
        frames.INIT_ERROR,
        "Extension.InitError",
        "extension watcher0: Extension.NoConfig {}",
    ),
    ("following(register('INVOKE'))\nsys.exit(5)", frames.FATAL, "Extension.Crash", "RequestId: id-1 Error: extension watcher0 ended: exit status 5"),
    (
        "id = register('INVOKE')\nfollowing(id)\ncall('POST', 'exit/error', '', Identifier=id, **{'Function-Error-Type': 'Extension.Lost'})",
        frames.FATAL,
        "Extension.ExitError",
        "RequestId: id-1 Error: extension watcher0: Extension.Lost",
    ),
]


@pytest.mark.slow
@pytest.mark.parametrize(("code", "kind", "error_type", "message"), FAILING)
def test_an_extension_that_fails_takes_the_environment_with_it(tmp_path: Path, code: str, kind: int, error_type: str, message: str) -> None:
    with with_extension(tmp_path, code) as direct:
        answer = direct.answer()
        if answer.kind == frames.READY:
            answer = direct.invoke({"do": "import time; time.sleep(600)"})
        assert answer.kind == kind
        assert json.loads(answer.content) == {"errorType": error_type, "errorMessage": message}
        assert direct.process.wait(60) == 1


@pytest.mark.slow
def test_one_that_cannot_be_started(tmp_path: Path) -> None:
    layer = write(tmp_path / "layer", {"extensions/broken": "#!/no/such/interpreter\n"})
    with Direct(tmp_path, packaged(tmp_path, "provided", {"bootstrap": OBEDIENT}, layers=(layer,))) as direct:
        answer = direct.answer()
        assert (answer.kind, json.loads(answer.content)["errorType"]) == (frames.INIT_ERROR, "Extension.LaunchError")


INTERNAL = """
def extension(method, path, body=None, **headers):
    connection.request(method, "/2020-01-01/extension/" + path, body, {"Lambda-Extension-" + key: value for key, value in headers.items()})
    response = connection.getresponse()
    return response.status, response.headers, json.loads(response.read())

def refused(*arguments, **headers):
    status, _headers, body = extension(*arguments, **headers)
    seen.append([status, body["errorType"]])

refused("POST", "register", '{"events": ["INVOKE"]}')
refused("POST", "register", '{"events": ["SHUTDOWN"]}', Name="inside")
refused("POST", "register", '{"events": ["OTHER"]}', Name="inside")
refused("POST", "register", 'no JSON', Name="inside")
refused("GET", "event/next")
refused("GET", "event/next", Identifier="x")
refused("GET", "event/next", Identifier="00000000-0000-0000-0000-000000000000")
for number in range(10):
    status, headers, _body = extension("POST", "register", '{"events": []}', Name=f"inside{number}")
    seen.append(status)
refused("POST", "register", '{"events": []}', Name="one-more")
refused("POST", "register", '{"events": []}', Name="inside0")
refused("POST", "init/error", "{}", Identifier=headers["Lambda-Extension-Identifier"])
while True:
"""


def test_an_internal_extension_and_what_is_refused(tmp_path: Path) -> None:
    with Direct(tmp_path, packaged(tmp_path, "provided", {"bootstrap": OBEDIENT.replace("while True:\n", INTERNAL, 1)})) as direct:
        assert direct.answer().kind == frames.READY
        assert json.loads(direct.invoke({"do": "answer(seen)"}).content) == [
            [403, "Extension.InvalidExtensionName"],
            [403, "Extension.InvalidEventType"],
            [403, "Extension.InvalidEventType"],
            [403, "InvalidRequestFormat"],
            [403, "Extension.MissingExtensionIdentifier"],
            [403, "Extension.InvalidExtensionIdentifier"],
            [403, "Extension.UnknownExtensionIdentifier"],
            *[200] * 10,
            [403, "Extension.TooManyExtensions"],
            [403, "Extension.InvalidExtensionState"],
            [403, "Extension.MissingHeader"],
        ]


@pytest.mark.slow
def test_a_runtime_with_extensions_is_asked_to_end(tmp_path: Path) -> None:
    polite = OBEDIENT.replace("while True:\n", "signal.signal(signal.SIGTERM, lambda *_: (os.write(1, b'asked'), os._exit(0)))\nwhile True:\n", 1)
    with with_extension(tmp_path, FAITHFUL, bootstrap=polite) as direct:
        assert direct.answer().kind == frames.READY
        assert direct.close() == 0
        assert "asked" in direct.log()


@pytest.mark.slow
def test_an_extension_is_told_when_the_pool_lets_an_environment_go(tmp_path: Path) -> None:
    told = tmp_path / "told"
    code = f"id = register('SHUTDOWN')\nopen({str(told)!r}, 'w').write(following(id)['shutdownReason'])"
    layer = write(tmp_path / "layer", {"extensions/watcher": EXTENSION + code})
    function = packaged(tmp_path, "provided.al2023", {"bootstrap": OBEDIENT}, layers=(layer,), timeout=60)

    async def work(spine: Spine) -> None:
        for _ in range(10):  # it has two seconds, which may pass on a slow machine before it has run
            assert (await spine.invoke("f", b'{"do": "answer(1)"}')).value() == 1
            await spine.until(lambda: not spine.environments("f"))
            if told.exists() and told.read_text() == "spindown":
                return
        raise AssertionError("it was not told")

    with_packages(tmp_path, [function], work, idle_seconds=0.1)
