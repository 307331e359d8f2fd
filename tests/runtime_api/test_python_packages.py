"""Python functions that are named as on Lambda, in folders of their own, in a zygote that has no application."""

import asyncio
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from eventflow.function import Function
from eventflow.outcome import Outcome
from eventflow.runtime.runtimes import OURSELVES, PROGRAMS, find
from tests.process.spine import Spine, with_packages
from tests.runtime_api.packages import packaged, write

ECHO = "def handler(event, context):\n    return __name__\n"
FINE: list[tuple[str, dict[str, Any], str]] = [
    ("app.handler", {"app.py": ECHO}, "app"),
    ("src/app.handler", {"src/app.py": ECHO}, "src.app"),
    ("src.app.handler", {"src/__init__.py": "", "src/app.py": ECHO}, "src.app"),
    ("my-app.handler", {"my-app.py": ECHO}, "my-app"),
    ("app.handler", {"app.py": b"\xef\xbb\xbf" + ECHO.encode()}, "app"),
    ("app.handler", {"app.py": "from beside import handler\n", "beside.py": ECHO}, "beside"),
    ("app.Things.handle", {"app.py": "class Things:\n    @staticmethod\n    def handle(event, context):\n        return __name__\n"}, "app"),
    ("queue.handler", {"queue.py": ECHO}, "queue"),
    ("app.handler", {"app.py": "import boto3\ndef handler(event, context):\n    return boto3.__name__\n", "boto3/notes.txt": "no module"}, "boto3"),
]
FAILING: list[tuple[str, dict[str, Any], str, str]] = [
    ("gone.handler", {}, "Runtime.ImportModuleError", "Unable to import module 'gone': No module named 'gone'"),
    ("src/gone.handler", {}, "Runtime.ImportModuleError", "Unable to import module 'src/gone': No module named 'src'"),
    ("app.handler", {"app.py": "import nowhere\n"}, "Runtime.ImportModuleError", "Unable to import module 'app': No module named 'nowhere'"),
    ("app.gone", {"app.py": ECHO}, "Runtime.HandlerNotFound", "Handler 'gone' missing on module 'app'"),
    ("app", {"app.py": ECHO}, "Runtime.MalformedHandlerName", "Bad handler 'app': not enough values to unpack (expected 2, got 1)"),
    ("sys.handler", {"sys.py": ECHO}, "Runtime.BuiltInModuleConflict", "Cannot use built-in module sys as a handler module"),
    (
        "app.handler",
        {"app.py": "def handler(:\n"},
        "Runtime.UserCodeSyntaxError",
        "Syntax error in module 'app': invalid syntax (app.py, line 1)",
    ),
    ("app.handler", {"app.py": "raise KeyError('at import')\n"}, "KeyError", "'at import'"),
]


def named(folder: Path, number: int, handler: str, files: dict[str, Any]) -> Function:
    (folder / f"f{number}").mkdir()
    return packaged(folder, OURSELVES, files, handler, name=f"f{number}")


def test_handlers_are_found_as_on_lambda(tmp_path: Path) -> None:
    fine = [named(tmp_path, number, handler, files) for number, (handler, files, _module) in enumerate(FINE)]
    failing = [named(tmp_path, 100 + number, handler, files) for number, (handler, files, *_error) in enumerate(FAILING)]

    async def work(spine: Spine) -> None:
        async def outcome(function: Function) -> Outcome:
            return await spine.invoke(function.name)

        told = await asyncio.gather(*map(outcome, fine))
        assert [one.value() for one in told] == [module for _handler, _files, module in FINE]
        told = await asyncio.gather(*map(outcome, failing))
        assert [(one.error_type, one.error_message) for one in told] == [(error_type, message) for *_, error_type, message in FAILING]

    with_packages(tmp_path, [*fine, *failing], work)


SURROUNDINGS = """
import os, sys, time
import boto3, inlayer, inlibrary, both
def handler(event, context):
    return {
        "modules": [inlayer.WHERE, inlibrary.WHERE, both.WHERE],
        "cwd": os.getcwd(),
        "variables": {name: os.environ.get(name) for name in ("LAMBDA_TASK_ROOT", "AWS_EXECUTION_ENV", "TZ", "_HANDLER", "MINE", "PATH")},
        "zone": time.tzname[0],
        "boto3": boto3.__file__,
        "first": sys.path[0],
        "tables": boto3.client("dynamodb", region_name="us-east-1").meta.endpoint_url,
    }
"""


@pytest.mark.slow
def test_layers_variables_and_boto3(tmp_path: Path) -> None:
    below = f"python/lib/{OURSELVES}/site-packages"
    lower = write(tmp_path / "lower", {"python/inlayer.py": "WHERE = 'lower'", "python/both.py": "WHERE = 'lower'"})
    upper = write(tmp_path / "upper", {f"{below}/inlibrary.py": "WHERE = 'library'", "python/both.py": "WHERE = 'upper'"})
    files = {"app.py": SURROUNDINGS, "inlayer.txt": ""}
    function = packaged(tmp_path, OURSELVES, files, layers=(lower, upper), environment={"MINE": "set", "TZ": "Europe/Berlin"})
    own = {"app.py": "import boto3\ndef handler(event, context):\n    return boto3.WHERE", "boto3.py": "WHERE = 'own'"}
    vendored = packaged(tmp_path, OURSELVES, own, name="own")

    async def work(spine: Spine) -> None:
        told = (await spine.invoke("f")).value()
        assert told["modules"] == ["lower", "library", "upper"]
        assert told["cwd"] == told["first"] == told["variables"]["LAMBDA_TASK_ROOT"] == str(tmp_path / "f")
        variables = told["variables"]
        assert (variables["AWS_EXECUTION_ENV"], variables["_HANDLER"], variables["MINE"]) == (f"AWS_Lambda_{OURSELVES}", "app.handler", "set")
        assert (variables["TZ"], told["zone"]) == ("Europe/Berlin", "CET")
        assert variables["PATH"].startswith(f"{upper}/bin{os.pathsep}{lower}/bin{os.pathsep}")
        assert "site-packages" in told["boto3"]
        assert told["tables"] == "http://127.0.0.1:1"
        assert (await spine.invoke("own")).value() == "own"

    with_packages(tmp_path, [function, vendored], work, variables={"AWS_ENDPOINT_URL": "http://127.0.0.1:1"})


@pytest.mark.slow
def test_a_folder_that_is_gone(tmp_path: Path) -> None:
    function = packaged(tmp_path, OURSELVES, {"app.py": ECHO})

    async def work(spine: Spine) -> None:
        shutil.rmtree(tmp_path / "f")
        outcome = await spine.invoke("f")
        assert outcome.error_type == "Runtime.InvalidWorkingDir"
        assert str(tmp_path / "f") in (outcome.error_message or "")

    with_packages(tmp_path, [function], work)


WRAPPER = '#!/bin/sh\n[[ -n $AWS_LAMBDA_RUNTIME_API ]] && export WRAPPED=yes\nexec "$@"\n'
WRAPPED = """
import logging, os, sys
from decimal import Decimal
import beside
def handler(event, context):
    if "boom" in event:
        raise KeyError(event["boom"])
    logging.warning("warned")
    assert 0 < context.get_remaining_time_in_millis() <= 3000
    return [os.environ["WRAPPED"], os.path.basename(sys.executable), Decimal("1.5"), context.function_name, context.client_context]
"""


@pytest.mark.slow
def test_our_bootstrap_for_other_versions_and_wrapper_scripts(tmp_path: Path) -> None:
    """The interpreter is the same here; that the code is run by another program is what a wrapper and another version have in common."""
    layer = write(tmp_path / "layer", {"wrapper": WRAPPER, "python/beside.py": ""})
    wrapped = {"AWS_LAMBDA_EXEC_WRAPPER": "/opt/wrapper"}
    function = packaged(tmp_path, OURSELVES, {"app.py": WRAPPED}, layers=(layer,), environment=wrapped)
    handlers = {"gone": "gone.handler", "missing": "app.missing", "bad": "app", "syntax": "app.handler"}
    failing = [
        packaged(tmp_path, OURSELVES, {"app.py": code}, handlers[name], name=name, layers=(layer,), environment=wrapped)
        for name, code in {"gone": ECHO, "missing": ECHO, "bad": ECHO, "syntax": "def handler(:\n"}.items()
    ]

    async def work(spine: Spine) -> None:
        assert (await spine.invoke("f")).value() == ["yes", Path(sys.executable).name, 1.5, "f", None]
        assert "[WARNING]\t" in spine.log_text("f")
        outcome = await spine.invoke("f", b'{"boom": "k"}')
        assert (outcome.error_type, outcome.error_message) == ("KeyError", "'k'")
        assert json.loads(outcome.payload)["stackTrace"][0].startswith(f'  File "{tmp_path}/f/app.py", line 6, in handler')
        told = {function.name: (await spine.invoke(function.name)) for function in failing}
        assert [told[name].error_type for name in ("gone", "missing", "bad", "syntax")] == [
            "Runtime.ImportModuleError",
            "Runtime.HandlerNotFound",
            "Runtime.MalformedHandlerName",
            "Runtime.UserCodeSyntaxError",
        ]
        assert told["gone"].error_message == "Unable to import module 'gone': No module named 'gone'"

    with_packages(tmp_path, [function, *failing], work)


@pytest.mark.slow
def test_pythons_of_other_versions(tmp_path: Path) -> None:
    others = [name for name in PROGRAMS if name.startswith("python") and name != OURSELVES and find(name) is not None]
    if not others:
        pytest.skip("there is no Python of another version on this machine")
    code = "import sys\ndef handler(event, context):\n    return list(sys.version_info[:2])"
    functions = [packaged(tmp_path, other, {"app.py": code}, name=other.replace(".", "-")) for other in others]

    async def work(spine: Spine) -> None:
        for function in functions:
            assert (await spine.invoke(function.name)).value() == [3, int(function.name.partition("-")[2])]

    with_packages(tmp_path, functions, work)


@pytest.mark.slow
def test_snap_start_copies_a_process_that_has_loaded_the_package(tmp_path: Path) -> None:
    code = "import os\nloaded = os.getpid()\ndef handler(event, context):\n    return [loaded, os.getpid(), os.getcwd()]"
    function = packaged(tmp_path, OURSELVES, {"app.py": code}, snap_start=True)

    async def work(spine: Spine) -> None:
        loaded, pid, folder = (await spine.invoke("f")).value()
        assert loaded != pid
        assert folder == str(tmp_path / "f")

    with_packages(tmp_path, [function], work)


@pytest.mark.slow
def test_a_python_function_with_an_extension_in_a_layer(tmp_path: Path) -> None:
    extension = f"""
    #!{sys.executable} -IS
    import http.client, os
    connection = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
    connection.request("POST", "/2020-01-01/extension/register", '{{"events": []}}', {{"Lambda-Extension-Name": "watcher"}})
    response = connection.getresponse()
    print("registered", response.status, flush=True)
    id = response.headers["Lambda-Extension-Identifier"]
    response.read()
    connection.request("GET", "/2020-01-01/extension/event/next", headers={{"Lambda-Extension-Identifier": id}})
    connection.getresponse()
    """
    layer = write(tmp_path / "layer", {"extensions/watcher": extension})
    function = packaged(tmp_path, OURSELVES, {"app.py": ECHO}, layers=(layer,), timeout=60)

    async def work(spine: Spine) -> None:
        assert (await spine.invoke("f")).value() == "app"
        assert "registered 200" in spine.log_text("f")

    with_packages(tmp_path, [function], work)
