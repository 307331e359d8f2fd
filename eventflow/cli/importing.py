"""What an application declares, for verbs that need no daemon: it is imported in a process of its own, where its standard output disturbs nobody."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence

from eventflow.errors import LoadError
from eventflow.manifest import Manifest
from eventflow.settings import Settings, inherited_variables

#: What that process runs. Standard output is ours alone; what the application prints goes to standard error.
LOADER = """
import inspect, json, os, sys
answer = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)
from eventflow.app import load
from eventflow.errors import EventflowError
try:
    loaded = load(sys.argv[1])
    manifest = loaded.manifest()
    handlers = {one.name: inspect.unwrap(loaded.app.handler(one.name)) for one in manifest.functions}
    awaited = [name for name, handler in handlers.items() if inspect.iscoroutinefunction(handler)]
    json.dump({"manifest": manifest.to_json(), "awaited": awaited}, answer)
except EventflowError as error:
    json.dump({"error": str(error)}, answer)
"""
SECONDS = 60


def declared(app: str, settings: Settings) -> tuple[Manifest, Sequence[str]]:
    """What the application declares, and the functions whose handlers are coroutine functions. Raises LoadError."""
    aws = {"AWS_REGION": settings.region, "AWS_DEFAULT_REGION": settings.region, "AWS_ACCESS_KEY_ID": "none", "AWS_SECRET_ACCESS_KEY": "none"}
    variables = {**inherited_variables(), **aws, "EVENTFLOW_LOCAL": "1"}
    try:
        done = subprocess.run([sys.executable, "-c", LOADER, app], env=variables, stdout=subprocess.PIPE, text=True, timeout=SECONDS, check=False)
        answer = json.loads(done.stdout)
    except subprocess.TimeoutExpired as error:
        raise LoadError(f"{app} has not been imported after {SECONDS} s.") from error
    except ValueError as error:
        raise LoadError(f"{app} cannot be imported: its process ended with {done.returncode}; what it said is above.") from error
    if "error" in answer:
        raise LoadError(answer["error"])
    return Manifest.from_json(answer["manifest"]), answer["awaited"]
