"""Lambda authorizers: a function of the application says who may go on, and its answer stands for all requests of the same identity for a while."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

from eventflow.clock import Clock
from eventflow.dispatch.dispatcher import RecursionStopped, UnknownFunction
from eventflow.errors import StorageError, Throttled
from eventflow.gateway.apis import Api, Route
from eventflow.gateway.authorizers.identity_sources import Source
from eventflow.gateway.authorizers.lambda_events import EventOf
from eventflow.gateway.authorizers.policies import Decision, Malformed, method_arn
from eventflow.gateway.authorizers.settings import LambdaSettings
from eventflow.gateway.authorizers.verdicts import Verdict, read_verdict
from eventflow.gateway.deadlines import within
from eventflow.gateway.functions import Invoke
from eventflow.gateway.linear_patterns import TooCostly
from eventflow.gateway.request import Request
from eventflow.gateway.seams import Addition, Findings, Refusal
from eventflow.outcome import Status

log = logging.getLogger("eventflow.gateway")

#: So many verdicts of one authorizer in one API are remembered, each of an answer of at most 8 KB.
REMEMBERED = 1_024
#: AWS: 10 seconds for the authorizer of an HTTP API, 29 for one of the others.
LONGEST = {"HTTP": 10.0, "REST": 29.0, "WEBSOCKET": 29.0}
EXPLICIT = "User is not authorized to access this resource with an explicit deny"


class Failed(Exception):
    """An authorizer gave no verdict: ``kind`` is the gateway response that follows."""

    def __init__(self, kind: str, why: str) -> None:
        super().__init__(why)
        self.kind = kind


class Authorizer:
    """One authorizer in one API. Requests with the same identity share one invocation and, for ``ttl`` seconds, one verdict."""

    def __init__(self, settings: LambdaSettings, protocol: str, invoke: Invoke, clock: Clock) -> None:
        self.settings = settings
        self._protocol = protocol
        self._invoke = invoke
        self._clock = clock
        self._verdicts: OrderedDict[bytes, tuple[float, Verdict]] = OrderedDict()
        self._asking: dict[bytes, asyncio.Task[Verdict]] = {}

    def remembered(self, key: bytes) -> Verdict | None:
        found = self._verdicts.get(key)
        if found is None:
            return None
        if found[0] <= self._clock.monotonic():
            del self._verdicts[key]
            return None
        self._verdicts.move_to_end(key)
        return found[1]

    async def ask(self, key: bytes, event: Mapping[str, Any], trace: str | None) -> Verdict:
        """The verdict on an event. Raises Failed."""
        if not self.settings.ttl:
            return await self._ask(event, trace)
        task = self._asking.get(key)
        if task is None:
            task = self._asking[key] = asyncio.create_task(self._ask_and_remember(key, event, trace))
        return await asyncio.shield(task)  # a client that leaves takes nobody else with it

    async def _ask_and_remember(self, key: bytes, event: Mapping[str, Any], trace: str | None) -> Verdict:
        try:
            verdict = await self._ask(event, trace)
            self._verdicts[key] = (self._clock.monotonic() + self.settings.ttl, verdict)
            if len(self._verdicts) > REMEMBERED:
                self._verdicts.popitem(last=False)
            return verdict
        finally:
            del self._asking[key]

    async def _ask(self, event: Mapping[str, Any], trace: str | None) -> Verdict:
        longest = LONGEST[self._protocol]
        payload = json.dumps(event, separators=(",", ":")).encode()
        try:
            outcome = await within(self._clock, longest, self._invoke(self.settings.function, payload, trace=trace))
        except TimeoutError as error:
            raise Failed("AUTHORIZER_FAILURE", f"it has not answered within {longest:g} s") from error
        except (Throttled, StorageError, UnknownFunction, RecursionStopped) as error:
            raise Failed("AUTHORIZER_FAILURE", str(error)) from error
        if outcome.status is not Status.SUCCESS:
            if outcome.error_message == "Unauthorized":  # how an authorizer says 401 instead of 403
                raise Failed("UNAUTHORIZED", "it said Unauthorized")
            raise Failed("AUTHORIZER_FAILURE", f"it failed: {outcome.error_type}: {outcome.error_message}")
        try:
            return read_verdict(outcome.payload, simple=self.settings.simple and self._protocol == "HTTP", nested=self._protocol == "HTTP")
        except Malformed as error:
            raise Failed("AUTHORIZER_CONFIGURATION_ERROR", f"its response is malformed: {error}") from error


class LambdaStep:
    """``early``: an authorizer gets no body, so none is read for those whom it turns away."""

    early = True

    def __init__(self, authorizer: Authorizer, sources: Sequence[Source], event_of: EventOf, region: str, account: str, clock: Clock) -> None:
        self._authorizer = authorizer
        self._settings = authorizer.settings
        self._sources = tuple(sources)
        self._event_of = event_of
        self._region, self._account = region, account
        self._clock = clock

    async def __call__(self, request: Request, route: Route, findings: Findings) -> Addition | Refusal | None:
        identity = [source(request, route) or "" for source in self._sources]
        if not all(identity) or not self._is_valid(identity):
            return Refusal("UNAUTHORIZED")
        arn = self._arn(request, route)
        began = self._clock.monotonic()
        key = key_of(identity) if self._settings.ttl else b""
        verdict = self._authorizer.remembered(key) if key else None
        try:
            if verdict is None:
                event = self._event_of(request, route, findings, arn, identity)
                verdict = await self._authorizer.ask(key, event, request.trace)
        except Failed as error:
            if error.kind != "UNAUTHORIZED":
                log.warning("%s of the %s: authorizer %r (%s): %s", route.key, route.api, self._settings.name, self._settings.function, error)
            return Refusal(error.kind, log={"authorizer.error": str(error)})
        decision = verdict.decide(arn)
        if decision is Decision.ALLOW:
            return addition(verdict, route.api, round((self._clock.monotonic() - began) * 1000))
        explicit = decision is Decision.DENY and route.api.protocol != "HTTP"
        return Refusal("ACCESS_DENIED", message=EXPLICIT if explicit else None, log={"authorizer.error": decision.value})

    def _is_valid(self, identity: Sequence[str]) -> bool:
        try:
            return self._settings.validation is None or self._settings.validation.matches(identity[0])
        except TooCostly:
            return False

    def _arn(self, request: Request, route: Route) -> str:
        if route.api.protocol == "WEBSOCKET":
            return f"arn:aws:execute-api:{self._region}:{self._account}:{route.api.id}/{route.api.stage.name}/{route.key}"
        return method_arn(self._region, self._account, route.api, request.method, request.route_path)


def key_of(identity: Sequence[str]) -> bytes:
    """Of fixed size, and another one for ``["a,b"]`` than for ``["a", "b"]``."""
    return hashlib.sha256(json.dumps(identity).encode()).digest()


def addition(verdict: Verdict, api: Api, latency: int) -> Addition:
    """``latency`` is what asking took, in milliseconds."""
    log_variables = {"authorizer.latency": str(latency), "authorizer.integrationLatency": str(latency)}
    if api.protocol == "HTTP":
        return Addition(authorizer={"lambda": verdict.context}, log=log_variables)
    found = {**verdict.texts, "principalId": verdict.principal, "integrationLatency": latency}
    return Addition(authorizer=found, log=log_variables, usage_key=verdict.usage_key)
