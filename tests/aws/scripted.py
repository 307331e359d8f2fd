"""Services whose operations are what a test says, and requests that botocore signed, for tests of the endpoint in front of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

import pytest
import requests
from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotocoreCredentials
from botocore.exceptions import ClientError

from eventflow.aws.operation import Call
from tests.patience import PATIENCE

Answer = Callable[[Call, dict[str, Any]], Awaitable[Mapping[str, Any] | None]]
SERVICES = ("dynamodb", "lambda", "s3", "sqs")


class Scripted:
    """A service whose operations are what a test says; it keeps the calls it got, with the bodies it could read and the errors it met doing so."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.operations: dict[str, Answer] = {}
        self.calls: list[tuple[Call, dict[str, Any]]] = []
        self.bodies: list[bytes] = []
        self.failures: list[Exception] = []

    def on(self, operation: str, answer: Mapping[str, Any] | Exception | Answer | None = None) -> Scripted:
        async def run(call: Call, params: dict[str, Any]) -> Mapping[str, Any] | None:
            self.calls.append((call, params))
            if call.body is not None:
                await self._read(call.body)
            if isinstance(answer, Exception):
                raise answer
            return await answer(call, params) if callable(answer) else answer

        self.operations[operation] = run
        return self

    async def _read(self, body: AsyncIterator[bytes]) -> None:
        read = b""
        try:
            async for piece in body:
                read += piece
        except Exception as failure:
            self.failures.append(failure)
            raise
        self.bodies.append(read)

    @property
    def params(self) -> dict[str, Any]:
        return self.calls[-1][1]

    @property
    def call(self) -> Call:
        return self.calls[-1][0]


def script(server: Any, service: str) -> Scripted:
    found: Scripted = server.services[service]
    return found


def error_of(action: Callable[[], Any]) -> tuple[str, int, str]:
    with pytest.raises(ClientError) as caught:
        action()
    response: Any = caught.value.response
    return response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"], response["Error"].get("Message", "")


def signed(server: Any, method: str, path: str, body: bytes = b"", service: str = "s3", host: str | None = None, **headers: str) -> Any:
    """A request that botocore signed, for requests to send."""
    authority = host or f"127.0.0.1:{server.port}"
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    request: Any = AWSRequest(method, f"http://{authority}{path}", headers=given, data=body)
    request.context["payload_signing_enabled"] = True
    if "x-amz-trailer" in given:
        request.context["checksum"] = {"request_algorithm": {"in": "trailer"}}
    credentials = BotocoreCredentials(server.credentials.access_key, server.credentials.secret_key)
    signer: Any = S3SigV4Auth if service == "s3" else SigV4Auth
    signer(credentials, service, "us-east-1").add_auth(request)
    prepared = requests.Request(method, f"{server.url}{path}", data=body).prepare()
    prepared.url = f"{server.url}{path}"  # as it is: requests would write it anew
    prepared.headers.update({**dict(request.headers.items()), "Host": authority})
    return prepared


def sent(prepared: Any) -> requests.Response:
    with requests.Session() as session:
        return session.send(prepared, timeout=PATIENCE)


def scripted(*_: Any) -> list[Scripted]:
    """What a server is given to build."""
    return [Scripted(name) for name in SERVICES]


def chunked(server: Any, encoded: bytes, length: int, **more: str) -> requests.Response:
    headers = {
        "x_amz_decoded_content_length": str(length),
        "x_amz_trailer": "x-amz-checksum-crc32c",
        "content_encoding": "gzip, aws-chunked",
        **more,
    }
    return sent(signed(server, "PUT", "/bucket/k", encoded, **headers))
