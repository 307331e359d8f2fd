"""MiniStack's Lambda, without Docker: a function in a warm worker process, invoked over HTTP like ours. It checks no signature.

It needs botocore at a version of its own, so it lives in a virtual environment of its own, which `make setup-bench` makes.
"""

import io
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import boto3

from benchmarks.server import free_port, started

NAME = "MiniStack, warm"
OWN = Path(__file__).parents[1] / ".venv" / "peers" / "ministack" / "bin" / "ministack"
CODE = "def handler(event, context):\n    return None\n"


def command() -> str | None:
    """The program, if it is installed."""
    return str(OWN) if OWN.exists() else shutil.which("ministack")


@contextmanager
def ministack(program: str) -> Iterator[str]:
    """The address of a MiniStack of our own that has the function ``noop``."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        port = free_port()
        with started([program], port, Path(folder), GATEWAY_PORT=str(port), LAMBDA_EXECUTOR="local"):
            url = f"http://127.0.0.1:{port}"
            create(url)
            yield url


def create(url: str) -> None:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("app.py", CODE)
    client = boto3.client("lambda", endpoint_url=url, region_name="us-east-1", aws_access_key_id="test", aws_secret_access_key="test")
    role = "arn:aws:iam::000000000000:role/r"
    client.create_function(FunctionName="noop", Runtime="python3.11", Role=role, Handler="app.handler", Code={"ZipFile": archive.getvalue()})
    answer = client.invoke(FunctionName="noop", Payload=b"{}")
    assert answer["Payload"].read() == b"null", answer
