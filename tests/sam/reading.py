"""A template's text as a manifest, for tests."""

import textwrap
from pathlib import Path
from typing import Any

from eventflow.manifest import Manifest
from eventflow.sam.options import TemplateOptions
from eventflow.sam.template import manifest_of

SAM = "Transform: AWS::Serverless-2016-10-31\n"


def read(folder: Path, text: str, **options: Any) -> Manifest:
    """The manifest of a template in this folder; ``src`` beside it is there."""
    (folder / "src").mkdir(exist_ok=True)
    file = folder / "template.yaml"
    file.write_text(textwrap.dedent(text))
    given = {"account": "123456789012", "region": "eu-west-1", "endpoint": "http://127.0.0.1:4566", "state": str(folder / "state")}
    return manifest_of(file, TemplateOptions(**{**given, "stack_name": "shop", **options}), lambda runtime: None)


def resources(folder: Path, text: str, **options: Any) -> Manifest:
    """The manifest of a SAM template with these resources."""
    return read(folder, f"{SAM}Resources:\n{textwrap.indent(textwrap.dedent(text), '  ')}", **options)
