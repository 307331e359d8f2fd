"""``eventflow export sam``: templates that SAM's own translator and cfn-lint take, code that runs on AWS Lambda, and the way back."""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from eventflow.cli.importing import declared
from eventflow.cli.main import cli
from eventflow.function import Function
from eventflow.gateway.composition import described
from eventflow.gateway.openapi.export import document
from eventflow.manifest import Manifest, resolve_triggers
from eventflow.sam.options import TemplateOptions
from eventflow.sam.template import manifest_of
from eventflow.settings import Settings
from tests.patience import DAEMON, PATIENCE
from tests.process.daemon_process import daemon

APPLICATION = Path(__file__).with_name("exported_application.py")
ACCOUNT, REGION = "123456789012", "us-east-1"


def export(*arguments: str, status: int = 0) -> Any:
    shown = CliRunner().invoke(cli, ["export", "sam", *arguments])
    assert shown.exit_code == status, shown.output
    return shown


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported")
    shutil.copy(APPLICATION, folder / "app.py")
    (folder / "pictures").mkdir()
    (folder / "pictures" / "large.jpg").write_text("not code")
    (folder / ".eventflow").mkdir()
    (folder / ".eventflow" / "eventflow.db").write_text("state")
    (folder / "data").mkdir()
    (folder / "data" / "prices.json").write_text("{}")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        export("app.py", "--output", "out")
    return folder / "out"


def template(exported: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((exported / "template.yaml").read_text())
    return found


@pytest.fixture(scope="module")
def back(exported: Path) -> Manifest:
    """The application that the template is to eventflow."""
    options = TemplateOptions(ACCOUNT, REGION, "http://127.0.0.1:4566", str(exported.parent / "state"))
    return manifest_of(exported / "template.yaml", options, lambda _runtime: None)


@pytest.fixture(scope="module")
def there(exported: Path) -> Manifest:
    """The application that was exported."""
    manifest, _awaited = declared(str(exported.parent / "app.py"), Settings(exported, exported))
    return manifest


def test_what_is_written(exported: Path) -> None:
    assert sorted(str(path.relative_to(exported)) for path in exported.rglob("*") if path.is_file()) == [
        "code/app.py",
        "code/data/prices.json",
        "code/eventflow.py",
        "code/eventflow_entry_deep_one.py",
        "code/eventflow_entry_sell.py",
        "code/requirements.txt",
        "code/triggers.py",
        "template.yaml",
    ]
    functions = {
        one["Properties"]["FunctionName"]: one["Properties"] for one in template(exported)["Resources"].values() if "Handler" in one["Properties"]
    }
    assert functions["picture"]["Handler"] == "app.picture"
    assert functions["sell"]["Handler"] == "eventflow_entry_sell.handler"
    assert functions["tidy"]["EventInvokeConfig"] == {"MaximumRetryAttempts": 0, "MaximumEventAgeInSeconds": 120}
    assert (exported / "code" / "requirements.txt").read_text() == ""


#: What a template changes of a function: where its code is.
CODE = {"handler", "package", "snap_start"}


def settings_of(function: Function) -> dict[str, Any]:
    found = {name: value for name, value in dataclasses.asdict(function).items() if name not in CODE}
    return {**found, "url": plain(found["url"])}


def plain(value: Any) -> Any:
    return json.loads(json.dumps(value))


def triggers_of(manifest: Manifest) -> list[str]:
    """Those that are no routes, in any order; where a folder is looked at is of the machine alone."""
    kept = []
    for function, trigger in resolve_triggers(manifest):
        if trigger.kind not in ("http", "rest"):
            parameters = {name: value for name, value in trigger.parameters().items() if name not in ("watch", "settle")}
            parameters["filters"] = [json.loads(one) if isinstance(one, str) else one for one in parameters.get("filters", ())]
            kept.append(json.dumps([function, trigger.kind, parameters], sort_keys=True, default=list))
    return sorted(kept)


@pytest.mark.slow
def test_the_way_back_has_the_same_functions(exported: Path, there: Manifest, back: Manifest) -> None:
    assert {one.name: settings_of(one) for one in back.functions} == {one.name: settings_of(one) for one in there.functions}
    assert all(one.package is not None and one.package.folder == str(exported / "code") for one in back.functions)
    assert {one.name for one in back.functions if one.snap_start} == {"addressed", "serve"}


@pytest.mark.slow
def test_the_way_back_has_the_same_triggers(there: Manifest, back: Manifest) -> None:
    assert triggers_of(back) == triggers_of(there)


def tables_of(manifest: Manifest) -> dict[str, Any]:
    found = {}
    for one in manifest.resources:
        if one.kind != "table":
            continue
        definition = one.options.get("definition")
        if definition is None:
            keys = [(one.options["key"], one.options["key_type"]), (one.options.get("sort"), one.options["sort_type"])]
            found[one.name] = [list(key) for key in keys if key[0] is not None]
        else:
            kinds = {each["AttributeName"]: each["AttributeType"] for each in definition["AttributeDefinitions"]}
            found[one.name] = [[key["AttributeName"], kinds[key["AttributeName"]]] for key in definition["KeySchema"]]
    return found


@pytest.mark.slow
def test_the_way_back_has_the_same_data(there: Manifest, back: Manifest) -> None:
    assert tables_of(back) == tables_of(there)
    queues = [{one.name: plain(one.options) for one in manifest.resources if one.kind == "queue"} for manifest in (back, there)]
    for options in queues[1].values():
        options.get("Attributes", {}).pop("FifoQueue", None)  # the name says it
    assert queues[0] == queues[1]
    for kind in ("bucket", "bus"):
        assert {one.name for one in back.resources if one.kind == kind} == {one.name for one in there.resources if one.kind == kind}
    views = {
        one.name: one.options["definition"].get("StreamSpecification", {}).get("StreamViewType") for one in back.resources if one.kind == "table"
    }
    assert views == {"sales": "NEW_AND_OLD_IMAGES", "plain": "KEYS_ONLY"}


def documents(manifest: Manifest) -> dict[str, Any]:
    apis = described(manifest.app, ACCOUNT, manifest.resources, resolve_triggers(manifest))
    written = {api.protocol: document(api, ACCOUNT, REGION) for api in apis if api.protocol in ("HTTP", "REST") and api.routes}
    return {protocol: [comparable(one["paths"]), one.get("x-amazon-apigateway-cors")] for protocol, one in written.items()}


def comparable(paths: Mapping[str, Any]) -> dict[str, Any]:
    """What an API does: routes, what they lead to, and who may use them."""
    return {
        f"{method} {path}": [
            operation["x-amazon-apigateway-integration"],
            operation.get("security") or [],
            operation.get("requestBody", {}).get("content"),
            operation.get("x-amazon-apigateway-request-validator"),
        ]
        for path, operations in paths.items()
        for method, operation in operations.items()
    }


@pytest.mark.slow
def test_the_way_back_has_the_same_apis(there: Manifest, back: Manifest) -> None:
    assert documents(back) == documents(there)
    stages = {one.name: (one.options.get("stage"), one.options.get("throttle")) for one in back.resources if one.kind == "api"}
    assert stages["HTTP/default"] == ("$default", {"rate": 10.0, "burst": 5})
    assert stages["REST/default"] == ("live", {"rate": 7.0, "burst": 3})


def test_the_code_runs_without_eventflow(exported: Path) -> None:
    """As Lambda runs it: the build first on the path, handlers imported by their texts."""
    program = """
import importlib, json, sys
sys.path.insert(0, sys.argv[1])
def call(handler, event):
    module, _, name = handler.rpartition(".")
    return getattr(importlib.import_module(module.replace("/", ".")), name)(event, None)
print(json.dumps([
    call("app.picture", {"Records": [1]}), call("eventflow_entry_sell.handler", {}), call("eventflow_entry_deep_one.handler", {}),
    sys.modules["eventflow"].__file__, sys.modules["triggers"].__file__,
    sorted(name for name in sys.modules if name.startswith(("eventflow.", "triggers."))),
]))
"""
    done = subprocess.run([sys.executable, "-I", "-c", program, str(exported / "code")], capture_output=True, text=True, timeout=PATIENCE, check=True)
    code = exported / "code"
    assert json.loads(done.stdout) == [1, {"statusCode": 200, "body": "sold"}, "deep", str(code / "eventflow.py"), str(code / "triggers.py"), []]


@pytest.mark.slow
def test_cfn_lint_takes_the_template(exported: Path) -> None:
    lint = Path(sys.executable).with_name("cfn-lint")
    done = subprocess.run([lint, "template.yaml"], cwd=exported, capture_output=True, text=True, timeout=DAEMON, check=False)
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr


def exported_code(folder: Path, code: str, *flags: str, status: int = 0) -> Any:
    (folder / "app.py").write_text("from eventflow import App\nfrom triggers import *\napp = App('t')\n" + code)
    return export(str(folder / "app.py"), "--output", str(folder / "out"), *flags, status=status)


HANDLER = "\ndef f(event, context): ...\n"
REFUSED = [
    ("@app.on(Schedule('rate(1 day)', catch_up='all'))", "catch_up='all': EventBridge does not catch up"),
    ("@app.on(Schedule('cron(0 3 * * ? *)', timezone='Europe/Berlin'))", "give it input=..."),
    ("@app.function(url={'invoke_mode': 'RESPONSE_STREAM'})", "streams no responses"),
    ("@app.function(retry_delays=[5, 5, 5])", "it takes no retry_delays"),
    ("@app.on(Queue('https://sqs.eu-west-1.amazonaws.com/123456789012/orders'))", "a queue elsewhere"),
    ("app.table('t01', key='id')\n@app.on(Stream('t01', on_failure='function:f0'))", "not a function"),
    ("app.api_key('partner')\n@app.function()", "api_key partner"),
    ("app.http_api('logged', access_log='common')\n@app.on(Http('GET /', api='logged'))", "access_log"),
    (
        "app.jwt_authorizer('j', issuer='https://a.example/', audience='b', algorithms=['RS256'])\n@app.on(Http('GET /', authorizer='j'))",
        "jwks and algorithms",
    ),
    ("app.websocket_api('w', idle_timeout=60)\n@app.on(WebSocket('$connect', api='w'))", "idle for ten minutes"),
    ("app.http_api('staged', stages={'a': {}, 'b': {}})\n@app.on(Http('GET /', api='staged'))", "has one stage"),
]


@pytest.mark.slow
def test_what_a_template_cannot_say(tmp_path: Path) -> None:
    """Each is told by name, and nothing is written; --lenient leaves it out."""
    code = "".join(f"{one}\ndef f{number}(event, context): ...\n" for number, (one, _told) in enumerate(REFUSED))
    shown = exported_code(tmp_path, code, status=1)
    assert f"t has {len(REFUSED)} things" in shown.stderr
    assert [told for _one, told in REFUSED if told not in shown.stderr] == []
    assert not (tmp_path / "out").exists()
    lenient = exported_code(tmp_path, code, "--lenient")
    assert [told for _one, told in REFUSED if told not in lenient.stderr] == []
    assert (tmp_path / "out" / "template.yaml").exists()


@pytest.mark.slow
def test_websocket_apis(tmp_path: Path) -> None:
    code = (
        "app.websocket_api('default', throttle={'rate': 10, 'burst': 5})\n@app.on(WebSocket('$connect'))\n"
        "@app.on(WebSocket('join', route_response_selection_expression='$default', timeout=2.5, throttle={'rate': 1}))"
    ) + HANDLER
    exported_code(tmp_path, code)
    api = next(one for one in template(tmp_path / "out")["Resources"].values() if one["Type"] == "AWS::Serverless::WebSocketApi")
    assert sorted(api["Properties"]["Routes"]) == ["$connect", "join"]
    assert api["Properties"]["StageName"] == "prod"
    assert {key: route.get("IntegrationTimeout") for key, route in api["Properties"]["Routes"].items()} == {"$connect": None, "join": 2500}
    assert api["Properties"]["DefaultRouteSettings"] == {"ThrottlingRateLimit": 10, "ThrottlingBurstLimit": 5}
    assert api["Properties"]["RouteSettings"] == {"join": {"ThrottlingRateLimit": 1}}
    lint = Path(sys.executable).with_name("cfn-lint")
    done = subprocess.run([lint, "template.yaml"], cwd=tmp_path / "out", capture_output=True, text=True, timeout=DAEMON, check=False)
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr


@pytest.mark.slow
def test_only_an_output_of_ours_is_replaced(tmp_path: Path) -> None:
    exported_code(tmp_path, "@app.function()" + HANDLER)
    (tmp_path / "out" / "code" / "stray.py").write_text("")
    exported_code(tmp_path, "@app.function()" + HANDLER)
    assert not (tmp_path / "out" / "code" / "stray.py").exists()
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith(".out")) == []
    (tmp_path / "out" / "template.yaml").write_text("mine")
    assert "was not written by" in exported_code(tmp_path, "@app.function()" + HANDLER, status=1).stderr
    assert (tmp_path / "out" / "template.yaml").read_text() == "mine"


@pytest.mark.slow
def test_what_works_only_here_is_named(tmp_path: Path) -> None:
    shown = exported_code(tmp_path, "from eventflow.client import Client\n@app.function()" + HANDLER, status=1)
    assert "app.py:4 imports eventflow.client" in shown.stderr
    (tmp_path / "eventflow_entry_f.py").write_text("")
    shown = exported_code(tmp_path, "@app.function()\nasync def f(event, context): ...\n", status=1)
    assert "rename it" in shown.stderr


@pytest.mark.slow
def test_dependencies_are_listed_or_kept(tmp_path: Path) -> None:
    exported_code(tmp_path, "import yaml, boto3, json\n@app.function()" + HANDLER)
    assert (tmp_path / "out" / "code" / "requirements.txt").read_text().lower().startswith("pyyaml==")
    (tmp_path / "requirements.txt").write_text("pyyaml>=6\n")
    exported_code(tmp_path, "import yaml\n@app.function()" + HANDLER)
    assert (tmp_path / "out" / "code" / "requirements.txt").read_text() == "pyyaml>=6\n"


@pytest.mark.slow
def test_eventflow_runs_the_template(exported: Path, tmp_path: Path) -> None:
    """In a daemon: decorated handlers of a build, whose stand-ins give way to eventflow's own modules."""
    with daemon(tmp_path, "") as running:
        running.app = exported / "template.yaml"
        running.start()
        answers = {
            name: running.control(f"functions/{name}/invoke", {"payload": {"Records": [1, 2]}})["payload"] for name in ("picture", "deep-one", "note")
        }
        assert answers == {"picture": 2, "deep-one": "deep", "note": {"level": "debug", "event": {"Records": [1, 2]}}}
        with urllib.request.urlopen(f"{running.facts['gateway']}/files/a", timeout=DAEMON) as response:
            assert response.read() == b"sold"
