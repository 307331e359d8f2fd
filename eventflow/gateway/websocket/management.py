"""The management API of WebSocket APIs: what functions send to a connection, ask about it, and end it with (apigatewaymanagementapi of the SDKs)."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable, Mapping

from eventflow.aws import sigv4
from eventflow.aws.refusals import service_error
from eventflow.aws.request import NotText
from eventflow.aws.request import Request as SignedRequest
from eventflow.aws.sigv4 import Claim, Refused
from eventflow.clock import Clock, iso
from eventflow.gateway.apis import Api
from eventflow.gateway.refusals import JSON_TYPE
from eventflow.gateway.request import Request
from eventflow.gateway.seams import Answer, Receive, Scope
from eventflow.gateway.websocket.connection import LARGEST_MESSAGE, MOST_UNSENT, Connection

BELOW = "/@connections/"
SERVICE = "execute-api"
#: A caller may take so many seconds for the whole of a body.
BODY_SECONDS = 30.0


class Problem(Exception):
    """An error of the service: AWS's name of it, the HTTP status, and a sentence."""

    def __init__(self, code: str, status: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.status = status
        self.message = message


class Management:
    """``find`` is asked for a connection of a stage by the connection's id; None if it is gone, or not open yet."""

    def __init__(self, credentials: Mapping[str, str], clock: Clock, find: Callable[[Api, str], Connection | None]) -> None:
        self._verifier = sigv4.Verifier(credentials, clock)
        self._clock = clock
        self._find = find

    async def answer(self, request: Request, api: Api, scope: Scope, receive: Receive) -> Answer:
        """Every request is signed, for the service execute-api."""
        headers = [(b"x-amzn-requestid", request.request_id.encode())]
        try:
            content = await self._answer(request, api, scope, receive)
        except Problem as problem:
            body = json.dumps({"message": problem.message}).encode()
            return Answer(problem.status, [JSON_TYPE, *headers, (b"x-amzn-errortype", problem.code.encode())], body)
        if content is None:
            return Answer(204 if request.method == "DELETE" else 200, headers)
        return Answer(200, [JSON_TYPE, *headers], json.dumps(content).encode())

    async def _answer(self, request: Request, api: Api, scope: Scope, receive: Receive) -> Mapping[str, object] | None:
        if request.method not in ("POST", "GET", "DELETE"):
            raise Problem("MethodNotAllowedException", 405, f"A connection takes POST, GET and DELETE, and not {request.method}.")
        claim = self._claim(SignedRequest.from_scope(scope))
        body = await read(request, receive)
        try:
            claim.check(hashlib.sha256(body).hexdigest())
        except Refused as refused:
            raise told(refused) from refused
        connection = self._find(api, request.path.rpartition(BELOW)[2])
        if connection is None:
            raise Problem("GoneException", 410, "The connection with the provided id no longer exists.")
        if request.method == "GET":
            return self._describe(connection)
        if request.method == "DELETE":
            connection.close(1000, "Connection closed by the server")
        elif not connection.send(body):
            raise Problem(
                "LimitExceededException",
                429,
                f"The client reads too slowly: the connection's buffer of {MOST_UNSENT} bytes is full. Send this again later.",
            )
        return None

    def _claim(self, request: SignedRequest) -> Claim:
        try:
            signature = sigv4.read_signature(request)
            if signature is not None and signature.service != SERVICE:
                raise Problem(
                    "InvalidSignatureException",
                    403,
                    f"Credential should be scoped to correct service: '{SERVICE}', and not {signature.service!r}.",
                )
            return self._verifier.claim(request, signature)
        except Refused as refused:
            raise told(refused) from refused
        except NotText as error:
            raise Problem("IncompleteSignatureException", 403, str(error)) from error

    def _describe(self, connection: Connection) -> Mapping[str, object]:
        facts = connection.facts
        active = self._clock.now() - (self._clock.monotonic() - connection.active)
        return {
            "connectedAt": iso(facts.connected_at),
            "identity": {"sourceIp": facts.source_ip, "userAgent": facts.user_agent or ""},
            "lastActiveAt": iso(active),
        }


def told(refused: Refused) -> Problem:
    error = service_error(refused, "rest-json")
    return Problem(error.code, error.status, error.message)


async def read(request: Request, receive: Receive) -> bytes:
    """The body, whole. Raises Problem for one that is too large or too slow; ``request.complete`` says whether it was read to its end."""
    pieces: list[bytes] = []
    size, more = 0, True
    try:
        async with asyncio.timeout(BODY_SECONDS):
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise Problem("BadRequestException", 400, "The request ended before its body did.")
                pieces.append(message.get("body", b""))
                size += len(pieces[-1])
                if size > LARGEST_MESSAGE:
                    raise Problem("PayloadTooLargeException", 413, f"The data has more than {LARGEST_MESSAGE} bytes; send a reference to it instead.")
                more = message.get("more_body", False)
    except TimeoutError:
        raise Problem("RequestTimeoutException", 408, f"The request's body did not come within {BODY_SECONDS:g} seconds.") from None
    request.complete = True
    return b"".join(pieces)
