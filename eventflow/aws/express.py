"""The short way of Invoke: what nearly every invocation looks like, verified like any other and answered without the detours of the general way.

It never refuses. A request that is unusual or wrong in anything is handed back as it came, and the general way, which knows all rules, answers it. So
this module can be wrong in one manner only, by accepting too much, and what it accepts is little: a POST to a function's plain name, without a query,
with no header but those that mean nothing to Invoke, its body in one piece, and a signature in the Authorization header that covers that very body.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

from eventflow.aws.body import Receive
from eventflow.aws.delivery import Send, deliver
from eventflow.aws.faults import finished, told
from eventflow.aws.operation import Call, Service
from eventflow.aws.reply import Reply
from eventflow.aws.request import NotText, Request
from eventflow.aws.sigv4 import Claim, Refused, Signature, Verifier, read_signature
from eventflow.aws.wire import SpokenService
from eventflow.body_budget import BodyBudget
from eventflow.errors import Overloaded

Scope = MutableMapping[str, Any]
INVOKE = re.compile(rb"/2015-03-31/functions/([A-Za-z0-9_-]{1,64})/invocations")
#: Headers that change nothing in what Invoke does or answers, beyond what is checked or handed on below.
HARMLESS = frozenset(
    (
        *("accept", "accept-encoding", "amz-sdk-invocation-id", "amz-sdk-request", "authorization", "connection", "content-length", "content-type"),
        *("host", "user-agent", "x-amz-content-sha256", "x-amz-date", "x-amz-security-token", "x-amz-user-agent", "x-amzn-trace-id"),
    )
)
#: Larger bodies come in several pieces, and what is saved here is nothing beside what they cost.
LARGEST = 64 * 1024
#: The members of an answer that has nothing but a result.
PLAIN = {"StatusCode", "ExecutedVersion", "Payload"}


def is_invoke(scope: Scope) -> bool:
    return scope["method"] == "POST" and not scope["query_string"] and INVOKE.fullmatch(scope["raw_path"]) is not None


class Express:
    """``call`` makes the Call of a request; ``spoken`` gives Lambda's protocol, whose model is loaded only when an answer is not plain."""

    def __init__(
        self,
        service: Service,
        verifier: Verifier,
        call: Callable[[str, Request, Signature], Call],
        bodies: BodyBudget,
        body_limit: int,
        spoken: Callable[[], SpokenService],
    ) -> None:
        self._invoke = service.operations["Invoke"]
        self._verifier = verifier
        self._call = call
        self._bodies = bodies
        self._largest = min(LARGEST, body_limit)
        self._spoken = spoken

    async def serve(self, scope: Scope, receive: Receive, send: Send) -> Receive | None:
        """Answer a request for which ``is_invoke``. If it has to go the general way, return where its body is to be read there."""
        request = Request.from_scope(scope)
        claim = usual_claim(request, len(scope["headers"]), HARMLESS, self._largest, self._verifier)
        if claim is None or claim.signature.service != "lambda":
            return receive
        return await answered_with_body(claim, self._reply, self._bodies, receive, send)

    async def _reply(self, claim: Claim, body: bytes) -> Reply:
        call = self._call("lambda", claim.request, claim.signature)
        call.operation = "Invoke"
        try:
            answer = await self._invoke(call, {"FunctionName": claim.request.path.split("/")[3], "Payload": body}) or {}
            if answer.keys() == PLAIN:
                return plain(answer, call.request_id)
            reply = self._spoken().written("Invoke", answer, call.request_id)
        except Exception as error:
            reply = told(error, self._spoken().dialect, call)
        return finished(reply, self._spoken().dialect, call)


def usual_claim(request: Request, sent_headers: int, harmless: frozenset[str], largest: int, verifier: Verifier) -> Claim | None:
    """The claim of a request that has nothing unusual in its head: so many headers were sent, these may be there, and its body has a length."""
    headers = request.headers
    length = headers.get("content-length", "")
    if len(headers) != sent_headers or not headers.keys() <= harmless or "authorization" not in headers:
        return None
    if not (length.isascii() and length.isdigit() and len(length) <= 6 and 0 < int(length) <= largest):
        return None
    try:
        return verifier.claim(request, read_signature(request))
    except (Refused, NotText):
        return None


async def answered_with_body(
    claim: Claim, answer: Callable[[Claim, bytes], Awaitable[Reply]], bodies: BodyBudget, receive: Receive, send: Send
) -> Receive | None:
    """Send the answer to a claim and its body. If that is not the signed one in one piece, or memory is short, return where it is to be read."""
    message = await receive()
    if not is_signed(claim, message):
        return again(message, receive)
    body: bytes = message["body"]
    with bodies.share() as share:
        try:
            share.take(len(body))
        except Overloaded:
            return again(message, receive)
        reply = await answer(claim, body)
    await deliver(reply, False, receive, send)
    return None


def is_signed(claim: Claim, message: Mapping[str, Any]) -> bool:
    """Whether the message is the whole body, and the one that was signed."""
    if message["type"] != "http.request" or message.get("more_body"):
        return False
    payload_hash = hashlib.sha256(message["body"]).hexdigest()
    if claim.request.headers.get("x-amz-content-sha256", payload_hash) != payload_hash:
        return False
    try:
        claim.check(payload_hash)
    except Refused:
        return False
    return True


def again(message: MutableMapping[str, Any], receive: Receive) -> Receive:
    """A ``receive`` that begins with a message that was taken already."""
    waiting = [message]

    async def first_again() -> MutableMapping[str, Any]:
        return waiting.pop() if waiting else await receive()

    return first_again


def plain(answer: Mapping[str, Any], request_id: str) -> Reply:
    """What the general way makes of such an answer by Lambda's model."""
    headers = {"content-type": "application/json", "x-amz-executed-version": answer["ExecutedVersion"], "x-amzn-requestid": request_id}
    return Reply(answer["StatusCode"], headers, answer["Payload"])
