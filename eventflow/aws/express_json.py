"""The short way of the services that speak AWS JSON: what nearly every request of the SDKs to DynamoDB and SQS looks like.

As on the short way of Invoke (see ``express.py``) nothing is refused here but what the operation itself refuses: what is unusual or wrong in
anything before that is handed back as it came, and the general way answers it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from eventflow.aws.body import Receive
from eventflow.aws.delivery import Send
from eventflow.aws.express import HARMLESS, LARGEST, answered_with_body, usual_claim
from eventflow.aws.faults import finished, told
from eventflow.aws.operation import Call, Operation, Service
from eventflow.aws.protocols.dialect import Match
from eventflow.aws.protocols.json_rpc import JsonRpc
from eventflow.aws.reply import Reply
from eventflow.aws.request import Request
from eventflow.aws.routing import SIGNING_NAMES
from eventflow.aws.sigv4 import Claim, Signature, Verifier
from eventflow.aws.wire import SpokenService, WireOperation
from eventflow.body_budget import BodyBudget

Scope = MutableMapping[str, Any]
#: Headers that change nothing in what such an operation does or answers, beyond what is checked or handed on below.
HARMLESS_HERE = HARMLESS | {"x-amz-target", "x-amzn-query-mode"}


@dataclass(frozen=True, slots=True)
class Goal:
    """What a request's target stands for."""

    service: Service
    spoken: SpokenService
    operation: WireOperation
    implementation: Operation
    match: Match


def is_json_call(scope: Scope) -> bool:
    return scope["raw_path"] == b"/" and scope["method"] == "POST" and not scope["query_string"]


class ExpressJson:
    """``call`` makes the Call of a request; ``spoken`` gives the protocol of a service by its name."""

    def __init__(
        self,
        services: Mapping[str, Service],
        verifier: Verifier,
        call: Callable[[str, Request, Signature], Call],
        bodies: BodyBudget,
        body_limit: int,
        spoken: Callable[[str], SpokenService],
    ) -> None:
        self._services = services
        self._verifier = verifier
        self._call = call
        self._bodies = bodies
        self._largest = min(LARGEST, body_limit)
        self._spoken = spoken
        #: By the signature's service and the target. Only operations that there are come in, so strangers cannot fill it.
        self._goals: dict[tuple[str, str], Goal] = {}

    async def serve(self, scope: Scope, receive: Receive, send: Send) -> Receive | None:
        """Answer a request for which ``is_json_call``. If it has to go the general way, return where its body is to be read there."""
        request = Request.from_scope(scope)
        claim = usual_claim(request, len(scope["headers"]), HARMLESS_HERE, self._largest, self._verifier)
        if claim is None:
            return receive
        named = claim.signature.service, request.headers.get("x-amz-target", "")
        goal = self._goals.get(named) or self._find(*named)
        if goal is None:
            return receive
        return await answered_with_body(claim, partial(self._reply, goal), self._bodies, receive, send)

    async def _reply(self, goal: Goal, claim: Claim, body: bytes) -> Reply:
        call = self._call(goal.service.name, claim.request, claim.signature)
        call.operation = goal.operation.name
        dialect = goal.spoken.dialect
        try:
            reply = await goal.operation.perform(goal.implementation, call, claim.request, goal.match, body)
        except Exception as error:
            reply = told(error, dialect, call)
        return finished(reply, dialect, call)

    def _find(self, signed_for: str, target: str) -> Goal | None:
        """The operation of this name, if it is one of the service that the signature is for."""
        for name in SIGNING_NAMES.get(signed_for, (signed_for,)):
            service = self._services.get(name)
            if service is None:
                continue
            spoken = self._spoken(name)
            prefix, _, operation_name = target.rpartition(".")
            if not isinstance(spoken.dialect, JsonRpc) or prefix != spoken.dialect.target_prefix:
                continue
            operation, implementation = spoken.operation(operation_name), service.operations.get(operation_name)
            if operation is None or implementation is None or operation.streaming or operation.checksummed:
                return None
            goal = self._goals[signed_for, target] = Goal(service, spoken, operation, implementation, Match(operation_name, {}))
            return goal
        return None
