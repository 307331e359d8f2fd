"""``AWS::Include``: a file of this machine in the place of the function that names it, as ``aws cloudformation package`` would upload it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from eventflow.sam.document import read_document
from eventflow.sam.problems import TemplateError

DEEPEST = 5


def included(value: Any, folder: Path, depth: int = 0) -> Any:
    """The value with every ``Fn::Transform`` of ``AWS::Include`` replaced by its file, seen from the template's folder. Raises TemplateError."""
    if isinstance(value, list):
        return [included(one, folder, depth) for one in value]
    if not isinstance(value, Mapping):
        return value
    found: dict[str, Any] = {}
    for name, one in value.items():
        if name == "Fn::Transform" and isinstance(one, Mapping) and one.get("Name") == "AWS::Include":
            content = included(file_of(one, folder, depth), folder, depth + 1)
            if len(value) == 1:
                return content
            if not isinstance(content, Mapping):
                raise TemplateError("AWS::Include: beside other keys it takes a file with a mapping.")
            found.update(content)
        else:
            found[name] = included(one, folder, depth)
    return found


def file_of(include: Mapping[str, Any], folder: Path, depth: int) -> Any:
    parameters = include.get("Parameters")
    location = parameters.get("Location") if isinstance(parameters, Mapping) else None
    if not isinstance(location, str) or location.startswith("s3://"):
        raise TemplateError(f"AWS::Include: Location={location!r} is refused: it takes the path of a file on this machine.")
    if depth >= DEEPEST:
        raise TemplateError(f"AWS::Include: {location} is included deeper than {DEEPEST} levels.")
    return read_document(folder / location)
