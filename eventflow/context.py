"""The context that a handler gets: Lambda's members, in plain Python, because every function's process imports it."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

VERSION = "$LATEST"
DEFAULT_TIMEOUT = 3.0


class Identity:
    """The Amazon Cognito identity that authorised the call; the fields are None when there was none."""

    def __init__(self, cognito_identity_id: str | None = None, cognito_identity_pool_id: str | None = None) -> None:
        self.cognito_identity_id = cognito_identity_id
        self.cognito_identity_pool_id = cognito_identity_pool_id

    def __repr__(self) -> str:
        return f"CognitoIdentity([cognito_identity_id={self.cognito_identity_id},cognito_identity_pool_id={self.cognito_identity_pool_id}])"


class Client:
    """The mobile application that called, as the AWS Mobile SDK describes it; each field is a text or None."""

    def __init__(self, fields: Mapping[str, Any]) -> None:
        self.installation_id: str | None = fields.get("installation_id")
        self.app_title: str | None = fields.get("app_title")
        self.app_version_name: str | None = fields.get("app_version_name")
        self.app_version_code: str | None = fields.get("app_version_code")
        self.app_package_name: str | None = fields.get("app_package_name")


class ClientContext:
    """What the caller sent in ``X-Amz-Client-Context``: ``custom`` and ``env`` as it wrote them, ``client`` as attributes."""

    def __init__(self, sent: Mapping[str, Any]) -> None:
        client = sent.get("client")
        self.custom: dict[str, Any] | None = sent.get("custom")
        self.env: dict[str, Any] | None = sent.get("env")
        self.client: Client | None = Client(client) if isinstance(client, Mapping) else None


class Context:
    """One invocation, as the handler sees it (Lambda developer guide, "Using the Lambda context object to retrieve Python function information").

    ``deadline`` is when the time limit ends, in seconds of the clock ``now``; by default in three seconds of the machine's monotonic clock.
    ``client_context`` is the decoded JSON that the caller sent. All but the function's name have a default, so that a unit test can write
    ``Context("thumbnail")``.
    """

    function_name: str
    function_version: str
    invoked_function_arn: str
    memory_limit_in_mb: str
    aws_request_id: str
    log_group_name: str
    log_stream_name: str
    identity: Identity
    client_context: ClientContext | None
    tenant_id: str | None

    def __init__(
        self,
        function_name: str,
        *,
        aws_request_id: str = "00000000-0000-0000-0000-000000000000",
        invoked_function_arn: str | None = None,
        memory_limit_in_mb: int | str = 128,
        function_version: str = VERSION,
        log_group_name: str | None = None,
        log_stream_name: str = "",
        deadline: float | None = None,
        now: Callable[[], float] = time.monotonic,
        identity: Identity | None = None,
        client_context: Mapping[str, Any] | None = None,
        tenant_id: str | None = None,
    ) -> None:
        self.function_name = function_name
        self.function_version = function_version
        self.invoked_function_arn = invoked_function_arn or f"arn:aws:lambda:us-east-1:000000000000:function:{function_name}"
        self.memory_limit_in_mb = str(memory_limit_in_mb)
        self.aws_request_id = aws_request_id
        self.log_group_name = log_group_name or f"/aws/lambda/{function_name}"
        self.log_stream_name = log_stream_name
        self.identity = identity or Identity()
        self.client_context = None if client_context is None else ClientContext(client_context)
        self.tenant_id = tenant_id
        self._deadline = now() + DEFAULT_TIMEOUT if deadline is None else deadline
        self._now = now

    def of(self, request_id: str, arn: str, deadline: float, client_context: Mapping[str, Any] | None) -> Context:
        """The context of another invocation in the same environment."""
        other = Context.__new__(Context)
        other.__dict__.update(self.__dict__)
        other.aws_request_id = request_id
        other.invoked_function_arn = arn
        other.identity = Identity()
        other.client_context = None if client_context is None else ClientContext(client_context)
        other._deadline = deadline
        return other

    def get_remaining_time_in_millis(self) -> int:
        """Whole milliseconds until the time limit ends; 0 once it has."""
        return max(int((self._deadline - self._now()) * 1000), 0)

    def log(self, message: object) -> None:
        """Write to the function's log, without a line's end of its own, as Lambda's does."""
        sys.stdout.write(str(message))

    def __repr__(self) -> str:
        return (
            f"LambdaContext([aws_request_id={self.aws_request_id},log_group_name={self.log_group_name},log_stream_name={self.log_stream_name},"
            f"function_name={self.function_name},memory_limit_in_mb={self.memory_limit_in_mb},function_version={self.function_version},"
            f"invoked_function_arn={self.invoked_function_arn},client_context={self.client_context},identity={self.identity},tenant_id={self.tenant_id}])"
        )
