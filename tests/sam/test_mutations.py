"""Templates of which a part is something else: each is read, or refused in a sentence, and nothing else happens."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eventflow.errors import LoadError
from eventflow.manifest import Manifest
from eventflow.sam.document import read_document
from eventflow.sam.options import TemplateOptions
from eventflow.sam.template import manifest_of
from tests.sam.template_daemon import APPS

TEMPLATES = sorted(path for path in APPS.glob("*/template.*"))
JUNK = [None, True, 0, -1, 3.5, "", "text", "arn:aws:sqs:us-east-1:1:x", [], [[]], ["a"], {}, {"a": 1}, {"Ref": "Nowhere"}, {"Ref": "AWS::NoValue"}]
JUNK += [{"Fn::GetAtt": ["Nowhere", "Arn"]}, {"Fn::Sub": "${Nowhere}"}, {"Fn::If": ["None", 1, 2]}, {"Ref": "AWS::Region"}, [{"Ref": 1}]]


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths to all that is in a value."""
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [one for name, part in parts for one in ((*path, name), *places(part, (*path, name)))]


def changed(value: Any, path: tuple[Any, ...], junk: Any) -> Any:
    found = copy.deepcopy(value)
    inner = found
    for name in path[:-1]:
        inner = inner[name]
    inner[path[-1]] = junk
    return found


@pytest.mark.slow
@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.parent.name)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_template_with_something_else_in_it_is_read_or_refused(tmp_path: Path, template: Path, data: st.DataObject) -> None:
    whole = read_document(template)
    path = data.draw(st.sampled_from(places(whole)))
    file = tmp_path / "template.json"
    for folder in ("src", "hello_world", "hello-world", "layer"):
        (tmp_path / folder).mkdir(exist_ok=True)
    file.write_text(json.dumps(changed(whole, path, data.draw(st.sampled_from(JUNK)))))
    options = TemplateOptions("123456789012", "eu-west-1", "http://127.0.0.1:4566", str(tmp_path / "state"), lenient=data.draw(st.booleans()))
    try:
        manifest = manifest_of(file, options, lambda runtime: None)
    except LoadError:
        return
    assert Manifest.from_json(json.loads(json.dumps(manifest.to_json()))) == manifest
