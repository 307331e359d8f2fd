"""The parameters of a template: declared with defaults and constraints, given by samconfig.toml and on the command line."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from eventflow.sam.problems import Problems, TemplateError

Values = dict[str, str | list[str]]

NAME = re.compile(r"[A-Za-z0-9]{1,255}")
NUMBER = re.compile(r"[-+]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?")
MEMBERS = frozenset(
    (
        "Type",
        "Default",
        "AllowedValues",
        "AllowedPattern",
        "ConstraintDescription",
        "Description",
        "MinLength",
        "MaxLength",
        "MinValue",
        "MaxValue",
        "NoEcho",
    )
)
#: AWS's own types are texts, of which CloudFormation asks AWS whether there is such a thing; here nobody can be asked.
AWS_TYPE = re.compile(r"AWS::[A-Za-z0-9]+::[A-Za-z0-9:]+")
LIST = re.compile(r"List<(.+)>|CommaDelimitedList")


def parameter_values(declared: Any, given: Mapping[str, str], problems: Problems) -> Values:
    """The value of every parameter, lists as lists. What is missing or breaks its rule is a problem with the parameter's name; a value for a
    parameter that is not declared is one too, for it is a mistyped name."""
    if not isinstance(declared or {}, Mapping):
        raise TemplateError("Parameters is not a mapping of names to declarations.")
    found: Values = {}
    for name, declaration in (declared or {}).items():
        where = f"Parameter {name}"
        if not isinstance(declaration, Mapping) or not isinstance(declaration.get("Type"), str):
            problems.wrong(where, "it takes a mapping with a Type.")
            continue
        for member in declaration:
            if member not in MEMBERS:
                problems.wrong(where, f"a parameter has no member {member!r}.")
        value = one_value(where, name, declaration, given, problems)
        if value is not None:
            found[name] = value
    has = ", ".join(declared or {}) or "none"
    for name in given:
        if name not in (declared or {}):
            problems.wrong(f"Parameter {name}", f"a value is given for it, and the template does not declare it; it has: {has}.")
    return found


def one_value(where: str, name: str, declaration: Mapping[str, Any], given: Mapping[str, str], problems: Problems) -> str | list[str] | None:
    kind = declaration["Type"]
    if kind.startswith("AWS::SSM::Parameter"):
        problems.absent(where, f"its Type {kind} is a value of the Parameter Store, which eventflow does not have; give it the Type String.")
        return "" if problems.lenient else None
    listed = LIST.fullmatch(kind)
    inner = (listed[1] or "String") if listed else kind
    if inner not in ("String", "Number") and not AWS_TYPE.fullmatch(inner):
        problems.wrong(where, f"its Type {kind!r} is none of CloudFormation's.")
        return None
    if name not in given and "Default" not in declaration:
        problems.wrong(where, f"it has no default and no value; give one with --parameter-overrides {name}=VALUE.")
        return None
    text = text_of(given.get(name, declaration.get("Default")))
    if text is None:
        problems.wrong(where, f"its default {declaration.get('Default')!r} is not a text.")
        return None
    values = [part.strip() for part in text.split(",")] if listed else [text]
    for value in values:
        try:
            complaint = broken_rule(declaration, inner, value)
        except (TypeError, ValueError) as error:
            complaint = f"a rule of the parameter cannot be read: {error}."
        if complaint:
            shown = "its value" if str(declaration.get("NoEcho", "")).lower() == "true" else repr(value)
            problems.wrong(where, f"{shown} is refused: {declaration.get('ConstraintDescription') or complaint}")
            return None
    return values if listed else text


def text_of(value: Any) -> str | None:
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, str | int | float) else None


def broken_rule(declaration: Mapping[str, Any], kind: str, value: str) -> str | None:
    """Which of the declaration's rules the value breaks."""
    if kind == "Number":
        if not NUMBER.fullmatch(value):
            return "it takes a number."
        for member, breaks in (("MinValue", float(value).__lt__), ("MaxValue", float(value).__gt__)):
            if member in declaration and breaks(float(declaration[member])):
                return f"{member} is {declaration[member]}."
    for member, broken in (("MinLength", len(value).__lt__), ("MaxLength", len(value).__gt__)):
        if member in declaration and broken(int(declaration[member])):
            return f"{member} is {declaration[member]}."
    allowed = [text_of(one) for one in declaration.get("AllowedValues", [])]
    if "AllowedValues" in declaration and value not in allowed:
        return f"AllowedValues are: {', '.join(str(one) for one in allowed)}."
    if pattern := declaration.get("AllowedPattern"):
        try:
            if not re.fullmatch(str(pattern), value):
                return f"AllowedPattern is {pattern}."
        except re.error as error:
            return f"AllowedPattern {pattern!r} is no regular expression: {error}."
    return None
