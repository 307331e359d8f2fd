"""What lies beside a template: samconfig.toml, the file of variables, and what ``sam build`` has made."""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from eventflow.sam.options import TemplateOptions
from eventflow.sam.problems import TemplateError

FILE = "samconfig.toml"
#: Where samconfig.toml says what counts here: for all verbs, then for that which is the most like running.
VERBS = ("global", "deploy")
BUILT = Path(".aws-sam/build/template.yaml")
LONG_FORM = re.compile(r"ParameterKey=(?P<key>[^,]+),ParameterValue=(?P<value>.*)", re.DOTALL)
STACK = re.compile(r"[^A-Za-z0-9-]+")


@dataclass(frozen=True)
class Configuration:
    """samconfig.toml: ``stack`` and ``overrides`` are what it says of the stack's name and the parameters."""

    stack: str | None = None
    overrides: Mapping[str, str] = field(default_factory=dict)
    folder: Path = Path()

    @classmethod
    def read(cls, folder: Path, environment: str) -> Configuration:
        """Raises TemplateError for a file that is not valid."""
        file = folder / FILE
        try:
            values = tomllib.loads(file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return cls(folder=folder)
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise TemplateError(f"{file} is not valid TOML: {error}.") from error
        said: dict[str, Any] = {}
        for verb in VERBS:
            part = values.get(environment, {}).get(verb, {}).get("parameters", {})
            if not isinstance(part, Mapping):
                raise TemplateError(f"{file}: {environment}.{verb}.parameters is not a table.")
            said |= part
        stack = said.get("stack_name")
        return cls(str(stack) if stack else None, overrides_of(said.get("parameter_overrides") or [], str(file)), folder)

    def notes(self, template: Path) -> list[str]:
        """That ``sam build`` has made a newer template than the one that runs."""
        built = self.folder / BUILT
        if built.is_file() and built.resolve() != template.resolve() and built.stat().st_mtime > template.stat().st_mtime:
            return [f"{built} is newer than {template.name}: sam build made it. This runs {template.name}, as asked; name the other to run that."]
        return []


def overrides_of(given: str | Sequence[Any], where: str) -> dict[str, str]:
    """``Key=Value`` and ``ParameterKey=Key,ParameterValue=Value``, in a list or in one text with spaces between, as SAM takes them."""
    try:
        words = shlex.split(given) if isinstance(given, str) else [word for one in given for word in shlex.split(str(one))]
    except ValueError as error:
        raise TemplateError(f"{where}: parameter_overrides cannot be read: {error}.") from error
    found = {}
    for word in words:
        long = LONG_FORM.fullmatch(word)
        key, equals, value = (long["key"], "=", long["value"]) if long else word.partition("=")
        if not equals or not key:
            raise TemplateError(f"{where}: the parameter {word!r} is refused: it takes Key=Value.")
        found[key] = value
    return found


def stack_name(options: TemplateOptions, configuration: Configuration, folder: Path) -> str:
    """The stack's name as somebody said it, or else the folder's, made one of CloudFormation's (letters, digits, hyphens)."""
    named = options.stack_name or configuration.stack
    if named is None:
        parts = [part for part in folder.parts if part not in (".aws-sam", "build")]
        named = STACK.sub("-", parts[-1] if parts else "").strip("-") or "stack"
        named = named if named[0].isalpha() else f"stack-{named}"
        return named[:40].rstrip("-")
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9-]{0,63}", named):
        raise TemplateError(f"The stack name {named!r} is refused: it takes a letter and then up to 63 letters, digits and hyphens.")
    return named


def env_vars(options: TemplateOptions) -> Mapping[str, Mapping[str, str]]:
    """The file of ``--env-vars``: variables by function, and under ``Parameters`` for all. Raises TemplateError."""
    if options.env_vars is None:
        return {}
    file = Path(options.env_vars)
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise TemplateError(f"{file} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise TemplateError(f"{file} is not valid JSON: {error}.") from error
    if not isinstance(values, dict) or not all(isinstance(one, dict) for one in values.values()):
        raise TemplateError(f'{file} takes variables by function: {{"Function": {{"NAME": "value"}}}}, or "Parameters" for all.')
    plain = (str, int, float, bool)
    for function, variables in values.items():
        for name, value in variables.items():
            if not isinstance(value, plain):
                raise TemplateError(f"{file}: {name} of {function} is not a text.")
    return {
        function: {name: json.dumps(value) if isinstance(value, bool) else str(value) for name, value in one.items()}
        for function, one in values.items()
    }
