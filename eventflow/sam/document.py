"""Reading a template: YAML with CloudFormation's short tags, or JSON; duplicates, cycles and bombs are refused."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from eventflow.sam.problems import TemplateError

#: CloudFormation's own limit of a template's body, in bytes ("CloudFormation quotas").
LARGEST_TEMPLATE = 1_048_576
#: How many values a template may be written out to: aliases of YAML make much of little.
MOST_VALUES = 200_000
DEEPEST = 100
SHORT_TAGS = (
    "And",
    "Base64",
    "Cidr",
    "Equals",
    "FindInMap",
    "ForEach",
    "GetAZs",
    "GetAtt",
    "If",
    "ImportValue",
    "Join",
    "Length",
    "Not",
    "Or",
    "Select",
    "Split",
    "Sub",
    "ToJsonString",
    "Transform",
)
MAPPING_SECTIONS = ("Parameters", "Mappings", "Conditions", "Globals", "Outputs")
EXTRA = "Reading a template takes the extra `sam`: pip install 'eventflow[sam]'."

Template = dict[str, Any]


def read_template(path: Path) -> Template:
    """The template as plain JSON values, with each short tag as the function that it is short for. Raises TemplateError."""
    value = read_document(path)
    if not isinstance(value, dict) or not isinstance(value.get("Resources"), dict) or not value["Resources"]:
        raise TemplateError(f"{path} is no SAM or CloudFormation template: it has no Resources.")
    for section in MAPPING_SECTIONS:
        if not isinstance(value.get(section) or {}, dict):
            raise TemplateError(f"{path}: {section} takes a mapping.")
    return value


def read_document(path: Path) -> Any:
    """A file of YAML or JSON as plain values."""
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST_TEMPLATE + 1)
    except OSError as error:
        raise TemplateError(f"{path} cannot be read: {error.strerror}.") from error
    if len(data) > LARGEST_TEMPLATE:
        raise TemplateError(f"{path} is larger than {LARGEST_TEMPLATE} bytes, which is CloudFormation's limit of a template.")
    try:
        return parse(data.decode("utf-8-sig"), str(path))
    except UnicodeDecodeError as error:
        raise TemplateError(f"{path} is not UTF-8: {error}.") from error


def parse(text: str, name: str) -> Any:
    """The values that a text of YAML or JSON stands for; ``name`` is what messages call it."""
    try:
        value = parse_json(text) if text.lstrip().startswith("{") else parse_yaml(text, name)
    except RecursionError:
        raise TemplateError(f"{name} is nested deeper than {DEEPEST} levels.") from None
    check_size(value, name)
    return value


def parse_json(text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=unique)
    except json.JSONDecodeError:
        return parse_yaml(text, "the template")  # YAML's flow style begins like JSON


def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise TemplateError(f"The key {key!r} stands twice in one object of the template; remove one of them.")
        found[key] = value
    return found


def parse_yaml(text: str, name: str) -> Any:
    yaml = yaml_library()
    try:
        return yaml.load(text, Loader=loader_class(yaml))
    except yaml.YAMLError as error:
        raise TemplateError(f"{name} is not valid YAML: {error}") from error


def yaml_library() -> Any:
    try:
        return import_module("yaml")
    except ImportError as error:
        raise TemplateError(EXTRA) from error


def loader_class(yaml: Any) -> Any:
    """A SafeLoader that knows the functions' short tags, leaves dates as text and refuses keys that stand twice."""

    class Loader(yaml.SafeLoader):  # type: ignore[misc]
        yaml_implicit_resolvers = {
            first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
            for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
        }

        def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
            seen = set()
            for key, _value in node.value:
                if key.tag != "tag:yaml.org,2002:merge" and key.value in seen and isinstance(key.value, str):
                    raise yaml.constructor.ConstructorError(None, None, f"the key {key.value!r} stands twice in one mapping", key.start_mark)
                seen.add(key.value if isinstance(key.value, str) else id(key))
            return dict(super().construct_mapping(node, deep))

    def function(loader: Any, suffix: str, node: Any) -> dict[str, Any]:
        if isinstance(node, yaml.ScalarNode):
            value: Any = loader.construct_scalar(node)
        elif isinstance(node, yaml.SequenceNode):
            value = loader.construct_sequence(node, deep=True)
        else:
            value = loader.construct_mapping(node, deep=True)
        if suffix in ("Ref", "Condition"):
            return {suffix: value}
        if suffix not in SHORT_TAGS:
            raise yaml.constructor.ConstructorError(None, None, f"!{suffix} is no function of CloudFormation", node.start_mark)
        if suffix == "GetAtt" and isinstance(value, str):
            value = value.split(".", 1)
        return {f"Fn::{suffix}": value}

    Loader.add_multi_constructor("!", function)
    return Loader


def check_size(value: Any, name: str) -> None:
    """Refuse what is endless, too deep or too much once every alias is written out. The work is that of the text: each part is counted once."""
    sizes: dict[int, int] = {}
    open_: set[int] = set()

    def count(part: Any, depth: int) -> int:
        if not isinstance(part, dict | list):
            return 1
        if depth > DEEPEST or id(part) in open_:
            raise TemplateError(f"{name} is nested deeper than {DEEPEST} levels.")
        if id(part) not in sizes:
            open_.add(id(part))
            sizes[id(part)] = 1 + sum(count(one, depth + 1) for one in (part.values() if isinstance(part, Mapping) else part))
            open_.discard(id(part))
        if sizes[id(part)] > MOST_VALUES:
            raise TemplateError(f"{name} holds more than {MOST_VALUES} values once its aliases are written out.")
        return sizes[id(part)]

    count(value, 0)
