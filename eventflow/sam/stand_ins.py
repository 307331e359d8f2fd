"""What a build has in the place of eventflow: two modules of the same names whose decorators give handlers back untouched. A decorated application so
runs on AWS Lambda as it is, without a dependency that would do nothing there but take time at every cold start; the template says what it said."""

from __future__ import annotations

EVENTFLOW = '''"""Stands in for eventflow on AWS Lambda, where template.yaml says what starts functions: decorators give handlers back untouched."""

from typing import Any

STAND_IN = True


def untouched(*_triggers: Any, **_settings: Any) -> Any:
    return lambda handler: handler


class Reference:
    """What app.queue("orders") returns: it is its name."""

    def __init__(self, name: Any = "", *_arguments: Any, **_options: Any) -> None:
        self.name = str(name)

    def __str__(self) -> str:
        return self.name


class App:
    def __init__(self, name: str) -> None:
        self.name = name
        self.on = self.function = untouched

    bucket = table = queue = bus = http_api = rest_api = websocket_api = api_key = usage_plan = jwt_authorizer = lambda_authorizer = (
        lambda self, name="default", *arguments, **options: Reference(name)
    )

    def proxy(self, *_arguments: Any, **_options: Any) -> None: ...

    def mock(self, *_arguments: Any, **_options: Any) -> None: ...


def __getattr__(name: str) -> Any:
    """Types of events and such, which stand in annotations."""
    if name.startswith("_") or not name[:1].isupper():
        raise AttributeError(f"eventflow.{name} is not there on AWS Lambda")
    return Any
'''

TRIGGERS = '''"""Stands in for eventflow's triggers on AWS Lambda. Where eventflow itself runs the build, its own are taken."""

import sys
from typing import Any

import eventflow


def own() -> None:
    """Put eventflow's own package in the place of this module."""
    from importlib.util import module_from_spec
    from pathlib import Path

    here = Path(__file__).resolve().parent
    paths = list(sys.path)
    sys.path[:] = [path for path in paths if Path(path or ".").resolve() != here]
    try:
        # Whoever finds it: an installed package may be found by a finder of its own, and not by a path.
        found = [finder.find_spec("triggers", None) for finder in sys.meta_path]
    finally:
        sys.path[:] = paths
    for spec in found:
        if spec is not None and spec.loader is not None and Path(spec.origin or "").resolve().parent != here:
            module = module_from_spec(spec)
            sys.modules["triggers"] = module
            spec.loader.exec_module(module)
            return


def __getattr__(name: str) -> Any:
    """Bucket, Queue and all the others."""
    if name.startswith("_"):
        raise AttributeError(name)
    return lambda *arguments, **settings: None


if not getattr(eventflow, "STAND_IN", False):
    own()
'''

ENTRY = '''"""Lambda's way to {handler}: a coroutine function, which Lambda does not wait for by itself, or one that is no name of its module."""

import asyncio
import inspect

from {module} import {first}

_found = {path}
_loop = None


def handler(event, context):
    global _loop
    value = _found(event, context)
    if inspect.isawaitable(value):
        _loop = _loop or asyncio.new_event_loop()
        value = _loop.run_until_complete(value)
    return value
'''
