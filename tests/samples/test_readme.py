"""The README's example is an application that loads."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

README = Path(__file__).parents[2] / "README.md"


def test_the_example_of_the_readme_declares_what_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    (example,) = re.findall(r"^```python\n(.*?)^```", README.read_text(), re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {"__name__": "readme"}
    exec(compile(example, str(README), "exec"), names)
    app = names["app"]
    assert [(name, trigger.kind) for name, trigger in app.triggers] == [("thumbnail", "bucket"), ("tidy", "schedule"), ("order", "queue")]
    assert app.functions["order"].reserved_concurrency == 4
