"""Who else puts a Python function behind HTTP on one machine: `chalice local` and serverless-offline, with a function that returns a constant."""

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.server import free_port, started

PEERS = Path(__file__).parents[1] / ".venv" / "peers"
CHALICE, OFFLINE = "chalice local", "serverless-offline, Python"
CHALICE_APP = """
from chalice import Chalice

app = Chalice("bench")

@app.route("/constant")
def constant():
    return {"hello": "world"}
"""
HANDLER = "def constant(event, context):\n    return {'statusCode': 200, 'body': '{\"hello\": \"world\"}'}\n"
SERVERLESS = """
service: bench
provider:
  name: aws
  runtime: python3.11
plugins:
  - serverless-offline
functions:
  constant:
    handler: handler.constant
    events:
      - httpApi: GET /constant
"""


def chalice_program() -> str | None:
    own = PEERS / "chalice" / "bin" / "chalice"
    return str(own) if own.exists() else None


def offline_program() -> str | None:
    own = PEERS / "serverless" / "node_modules" / ".bin" / "serverless"
    return str(own) if own.exists() and shutil.which("node") else None


@contextmanager
def chalice(program: str) -> Iterator[str]:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder, port = Path(name), free_port()
        (folder / ".chalice").mkdir()
        (folder / ".chalice" / "config.json").write_text(json.dumps({"version": "2.0", "app_name": "bench", "stages": {"dev": {}}}))
        (folder / "app.py").write_text(CHALICE_APP)
        with started([program, "local", "--port", str(port), "--no-autoreload"], port, folder, AWS_DEFAULT_REGION="us-east-1"):
            yield f"http://127.0.0.1:{port}/constant"


@contextmanager
def offline(program: str) -> Iterator[str]:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder, port = Path(name), free_port()
        (folder / "handler.py").write_text(HANDLER)
        (folder / "serverless.yml").write_text(SERVERLESS)
        (folder / "node_modules").symlink_to(PEERS / "serverless" / "node_modules")
        command = [program, "offline", "--httpPort", str(port), "--lambdaPort", str(free_port()), "--websocketPort", str(free_port()), "--noTimeout"]
        with started(command, port, folder, SLS_TELEMETRY_DISABLED="1", SLS_NOTIFICATIONS_MODE="off", AWS_REGION="us-east-1"):
            yield f"http://127.0.0.1:{port}/constant"
