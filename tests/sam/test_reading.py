"""Templates as text, their parameters, and what lies beside them."""

import contextlib
import json
import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from eventflow.cli.main import cli
from eventflow.errors import LoadError
from eventflow.sam.configuration import overrides_of
from eventflow.sam.document import parse
from eventflow.sam.problems import TemplateError
from tests.examples import examples
from tests.sam.reading import read, resources

FUNCTION = """
Hello:
  Type: AWS::Serverless::Function
  Properties: {CodeUri: src, Handler: app.handler, Runtime: python3.11, Environment: {Variables: {SIZE: !Ref Size, MODE: plain}}}
"""
SIZED = "Parameters: {{Size: {size}}}\nTransform: AWS::Serverless-2016-10-31\nResources:\n" + "".join(
    f"  {line}\n" for line in FUNCTION.replace("{", "{{").replace("}", "}}").strip().splitlines()
)


def test_short_tags_are_the_functions_and_dates_stay_text() -> None:
    text = "a: !Sub '${x}'\nb: !GetAtt Q.Arn.More\nc: !If [C, !Ref X, !Join ['', [!GetAtt [A, B]]]]\nd: 2012-10-17\ne: !Equals [!Condition X, 1]"
    assert parse(text, "t") == {
        "a": {"Fn::Sub": "${x}"},
        "b": {"Fn::GetAtt": ["Q", "Arn.More"]},
        "c": {"Fn::If": ["C", {"Ref": "X"}, {"Fn::Join": ["", [{"Fn::GetAtt": ["A", "B"]}]]}]},
        "d": "2012-10-17",
        "e": {"Fn::Equals": [{"Condition": "X"}, 1]},
    }


BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join(['*' + old] * 10)}]\n" for old, new in zip("abcdefg", "bcdefgh", strict=True)
)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: !Bogus x", "!Bogus is no function"),
        ("a: 1\na: 2", "stands twice"),
        ('{"a": 1, "a": 2}', "stands twice"),
        ("a: [", "not valid YAML"),
        ("a: &x [*x]", "deeper than"),
        (BOMB, "more than 200000 values"),
        ("[" * 300 + "]" * 300, "levels"),
        ("a: !!python/object/apply:os.system ['x']", "not valid YAML"),
    ],
)
def test_a_text_that_is_no_template_is_refused(text: str, said: str) -> None:
    with pytest.raises(TemplateError, match=said):
        parse(text, "t")


@settings(max_examples=examples(40))
@given(st.text(max_size=60) | st.binary(max_size=60).map(lambda data: data.decode("latin-1")))
def test_any_text_is_read_or_refused_in_a_sentence(text: str) -> None:
    with contextlib.suppress(TemplateError):
        parse(text, "t")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=10,
)


@settings(max_examples=40)
@given(st.dictionaries(st.text(max_size=4), json_values, max_size=3))
def test_json_is_read_as_json(value: dict[str, Any]) -> None:
    assert parse(json.dumps(value), "t") == value


@pytest.mark.parametrize(
    ("declared", "overrides", "result"),
    [
        ("{Type: String, Default: small}", {}, "small"),
        ("{Type: String, Default: small}", {"Size": "large"}, "large"),
        ("{Type: Number, Default: 3}", {}, "3"),
        ("{Type: String, Default: true}", {}, "true"),
        ("{Type: Number, MinValue: 1, MaxValue: 5}", {"Size": "2.5"}, "2.5"),
        ("{Type: 'AWS::EC2::VPC::Id'}", {"Size": "vpc-1"}, "vpc-1"),
        ("{Type: String, AllowedPattern: '[a-z]+'}", {"Size": "abc"}, "abc"),
    ],
)
def test_a_parameter_has_the_value_that_is_given_or_its_default(tmp_path: Path, declared: str, overrides: dict[str, str], result: str) -> None:
    (function,) = read(tmp_path, SIZED.format(size=declared), overrides=overrides).functions
    assert function.environment["SIZE"] == result


@pytest.mark.parametrize(
    ("declared", "overrides", "said"),
    [
        ("{Type: String}", {}, "Parameter Size: it has no default and no value"),
        ("{Type: Number}", {"Size": "much"}, "'much' is refused: it takes a number"),
        ("{Type: Number, MaxValue: 5}", {"Size": "6"}, "MaxValue is 5"),
        ("{Type: String, MinLength: 3}", {"Size": "ab"}, "MinLength is 3"),
        ("{Type: String, AllowedValues: [a, b]}", {"Size": "c"}, "AllowedValues are: a, b"),
        ("{Type: String, AllowedPattern: '[a-z]+'}", {"Size": "A"}, "AllowedPattern is"),
        ("{Type: String, AllowedPattern: '[a-z]+', ConstraintDescription: small letters}", {"Size": "A"}, "small letters"),
        ("{Type: String, AllowedValues: [a], NoEcho: true}", {"Size": "secret"}, "its value is refused"),
        ("{Type: Colour}", {"Size": "red"}, "none of CloudFormation's"),
        ("{Type: String, Default: a}", {"Sise": "b"}, "Parameter Sise: a value is given for it"),
        ("{Type: 'AWS::SSM::Parameter::Value<String>', Default: /a}", {}, "Parameter Store"),
    ],
)
def test_a_parameter_that_breaks_its_rule_is_refused_by_name(tmp_path: Path, declared: str, overrides: dict[str, str], said: str) -> None:
    with pytest.raises(LoadError, match="Parameter") as raised:
        read(tmp_path, SIZED.format(size=declared), overrides=overrides)
    assert said in str(raised.value)
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    ("given_", "found"),
    [
        (["A=1", "B='x y'"], {"A": "1", "B": "x y"}),
        ("A=1 B='x y'", {"A": "1", "B": "x y"}),
        ("ParameterKey=A,ParameterValue=1,2", {"A": "1,2"}),
        (["A=b=c"], {"A": "b=c"}),
    ],
)
def test_overrides_are_written_as_sam_takes_them(given_: Any, found: dict[str, str]) -> None:
    assert overrides_of(given_, "here") == found


def test_an_override_without_a_value_is_refused() -> None:
    with pytest.raises(TemplateError, match="'y' is refused"):
        overrides_of("A=1 y", "here")


def test_samconfig_names_the_stack_and_gives_parameters_which_flags_beat(tmp_path: Path) -> None:
    (tmp_path / "samconfig.toml").write_text(
        '[default.global.parameters]\nstack_name = "mine"\n[default.deploy.parameters]\nparameter_overrides = "Size=from-file"\n'
        '[prod.deploy.parameters]\nstack_name = "theirs"\nparameter_overrides = ["Size=from-prod"]\n'
    )
    text = SIZED.format(size="{Type: String, Default: a}")

    def seen(**options: Any) -> tuple[str, str, str]:
        manifest = read(tmp_path, text, **{"stack_name": None, **options})
        return manifest.app, manifest.functions[0].name, manifest.functions[0].environment["SIZE"]

    assert seen() == ("mine", "mine-Hello", "from-file")
    assert seen(config_env="prod") == ("theirs", "theirs-Hello", "from-prod")
    assert seen(overrides={"Size": "flag"}, stack_name="flag") == ("flag", "flag-Hello", "flag")


def test_a_stack_is_named_after_its_folder_and_that_name_is_the_same_at_every_start(tmp_path: Path) -> None:
    folder = tmp_path / "1 My_App"
    folder.mkdir()
    manifest = read(folder, SIZED.format(size="{Type: String, Default: a}"), stack_name=None)
    assert manifest.app == "stack-1-My-App"
    assert manifest == read(folder, SIZED.format(size="{Type: String, Default: a}"), stack_name=None)


def test_env_vars_give_values_to_variables_that_the_template_declares(tmp_path: Path) -> None:
    file = tmp_path / "env.json"
    file.write_text('{"Parameters": {"MODE": "all", "SIZE": "all"}, "Hello": {"SIZE": 5, "UNDECLARED": "x"}}')
    (function,) = read(tmp_path, SIZED.format(size="{Type: String, Default: a}"), env_vars=str(file)).functions
    assert function.environment == {"SIZE": "5", "MODE": "all"}


@pytest.mark.parametrize("text", ["[", "[]", '{"Hello": 1}', '{"Hello": {"A": []}}'])
def test_env_vars_of_another_form_are_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "env.json"
    file.write_text(text)
    with pytest.raises(LoadError, match=r"env\.json"):
        read(tmp_path, SIZED.format(size="{Type: String, Default: a}"), env_vars=str(file))


def test_a_newer_build_is_told(tmp_path: Path) -> None:
    built = tmp_path / ".aws-sam/build/template.yaml"
    built.parent.mkdir(parents=True)
    built.write_text("Resources: {}")
    template = tmp_path / "template.yaml"
    text = SIZED.format(size="{Type: String, Default: a}")
    read(tmp_path, text)
    os.utime(built, (template.stat().st_atime + 1_000_000, template.stat().st_mtime + 1_000_000))
    assert any("is newer than template.yaml" in note for note in read(tmp_path, text).notes)


def test_included_files_are_in_their_places(tmp_path: Path) -> None:
    (tmp_path / "more.yaml").write_text("Policies: !Sub '${AWS::Region}'\n")
    (tmp_path / "queue.yaml").write_text("DelaySeconds: 5\n")
    text = (
        "Q:\n  Type: AWS::SQS::Queue\n  Properties:\n    Fn::Transform: {Name: AWS::Include, Parameters: {Location: queue.yaml}}\n    QueueName: q\n"
    )
    (queue,) = resources(tmp_path, text).resources
    assert (queue.name, queue.options) == ("q", {"Attributes": {"DelaySeconds": "5"}})


def test_the_flags_of_templates_are_refused_for_an_application_in_python(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("from eventflow import App\napp = App('x')\n")
    done = CliRunner().invoke(cli, ["run", str(tmp_path / "app.py"), "--lenient"])
    assert done.exit_code == 1
    assert "--lenient is for templates" in done.output


def test_a_translation_is_made_once_for_a_template_and_its_parameters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = SIZED.format(size="{Type: String, Default: a}")
    first = read(tmp_path, text)
    monkeypatch.setattr("eventflow.sam.template.translate", lambda *given: pytest.fail("it is translated again"))
    assert read(tmp_path, text) == first
    (kept,) = (tmp_path / "state/sam/translated").iterdir()
    monkeypatch.undo()
    kept.write_text("{")
    assert read(tmp_path, text) == first
    assert read(tmp_path, text, overrides={"Size": "b"}).functions[0].environment["SIZE"] == "b"
    for size in range(10):
        read(tmp_path, text, overrides={"Size": str(size)})
    assert len(list((tmp_path / "state/sam/translated").iterdir())) == 8


@pytest.mark.parametrize("module", ["yaml", "samtranslator.translator.translator"])
def test_without_the_extra_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(LoadError, match=r"pip install 'eventflow\[sam\]'"):
        read(tmp_path, SIZED.format(size="{Type: String, Default: a}"))


def test_flags_say_what_a_template_is_run_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: dict[str, Any] = {}

    def run(app: str, settings: Any, *, watch: bool, template: dict[str, Any]) -> int:
        said.update(template, watch=watch)
        return 0

    monkeypatch.setattr("eventflow.cli.run.daemon_module", lambda: SimpleNamespace(run=run))
    (tmp_path / "template.yaml").write_text("Resources: {}")
    words = [
        "dev",
        str(tmp_path),
        "--parameter-overrides",
        "A=1",
        "B='x y'",
        "--env-vars",
        "env.json",
        "--port",
        "0",
        "--lenient",
        "--config-env",
        "prod",
    ]
    done = CliRunner().invoke(cli, words)
    assert done.exit_code == 0, done.output
    assert said == {
        "overrides": {"A": "1", "B": "x y"},
        "env_vars": str(Path("env.json").resolve()),
        "lenient": True,
        "config_env": "prod",
        "watch": True,
    }
