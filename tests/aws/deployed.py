"""Functions made by Lambda's API in tests: their archives, and what a call is refused with."""

from __future__ import annotations

import io
import sys
import zipfile
from collections.abc import Mapping
from typing import Any

import pytest
from botocore.exceptions import ClientError

ROLE = "arn:aws:iam::000000000000:role/any"
RUNTIME = f"python3.{sys.version_info.minor}"


def zipped(files: Mapping[str, str]) -> bytes:
    """An archive of these texts by name, the same bytes each time."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as out:
        for name, text in files.items():
            out.writestr(zipfile.ZipInfo(name), text)
    return archive.getvalue()


def create(client: Any, name: str, code: str | bytes, **parameters: Any) -> Any:
    """Make a function of Python: of the text of its ``main.py``, or of an archive that has one."""
    archive = zipped({"main.py": code}) if isinstance(code, str) else code
    given = {"Runtime": RUNTIME, "Role": ROLE, "Handler": "main.handler", "Code": {"ZipFile": archive}}
    return client.create_function(FunctionName=name, **{**given, **parameters})


def refused(call: Any, **arguments: Any) -> dict[str, Any]:
    """The response to a call that fails."""
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    return dict(caught.value.response)


def refusal(call: Any, **arguments: Any) -> tuple[str, int, str]:
    """The code, status and message that a call fails with."""
    response = refused(call, **arguments)
    return response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"], response["Error"]["Message"]
