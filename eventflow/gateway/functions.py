"""The Lambda proxy integration: a request becomes an event, the function runs, what it returns becomes the answer."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Protocol

from eventflow.dispatch.dispatcher import RecursionStopped, UnknownFunction
from eventflow.dispatch.invocation import ResponseStream
from eventflow.errors import StorageError, Throttled
from eventflow.gateway.answers import Malformed, answer_1, answer_2
from eventflow.gateway.apis import Route
from eventflow.gateway.deadlines import Deadlines
from eventflow.gateway.events import is_binary
from eventflow.gateway.request import Request
from eventflow.gateway.seams import Answer, Findings, Refusal
from eventflow.outcome import Outcome, Status

log = logging.getLogger("eventflow.gateway")

#: AWS: 6 MB for a synchronous request to Lambda.
LARGEST_EVENT = 6_291_456
EventOf = Callable[[Request, Route, Findings], bytes]
AnswerOf = Callable[[bytes, Request, Route], Answer]


class Invoke(Protocol):
    """The dispatcher's ``invoke``."""

    async def __call__(
        self,
        function: str,
        payload: bytes,
        *,
        trace: str | None = None,
        client_context: str = "",
        request_id: str | None = None,
        stream: ResponseStream | None = None,
    ) -> Outcome: ...


class FunctionIntegration:
    """Runs one function for a route. ``event_of`` writes the event, ``answer_of`` reads the response; both are of one payload format."""

    def __init__(self, function: str, invoke: Invoke, event_of: EventOf, answer_of: AnswerOf) -> None:
        self.function = function
        self._invoke = invoke
        self._event_of = event_of
        self._answer_of = answer_of
        self._limit: Deadlines | None = None

    def _deadlines(self, route: Route) -> Deadlines:
        if self._limit is None:
            self._limit = Deadlines(route.timeout)
        return self._limit

    async def __call__(self, request: Request, route: Route, findings: Findings) -> Answer | Refusal:
        event = self._event_of(request, route, findings)
        if len(event) > LARGEST_EVENT:
            return Refusal("REQUEST_TOO_LARGE")
        try:
            return await self.run(request, route, event)
        except TimeoutError:
            log.warning("%s: %s has not answered after %g s", route.key, self.function, route.timeout)
            return Refusal("INTEGRATION_TIMEOUT")
        except Throttled:
            return Refusal("INTEGRATION_THROTTLED")
        except (StorageError, UnknownFunction, RecursionStopped) as error:
            log.warning("%s: %s was not run: %s", route.key, self.function, error)
            return Refusal("INTEGRATION_FAILURE")

    async def run(self, request: Request, route: Route, event: bytes) -> Answer | Refusal:
        with self._deadlines(route).begin():
            outcome = await self._invoke(self.function, event, trace=request.trace)
        return self.answered(outcome, request, route)

    def answered(self, outcome: Outcome, request: Request, route: Route) -> Answer | Refusal:
        if outcome.status is not Status.SUCCESS:
            return Refusal("INTEGRATION_FAILURE")
        try:
            return self._answer_of(outcome.payload, request, route)
        except Malformed as error:
            log.warning("%s: the response of %s is malformed: %s", route.key, self.function, error)
            return Refusal("INTEGRATION_FAILURE")


def version_2(payload: bytes, request: Request, route: Route) -> Answer:
    return answer_2(payload)


def version_1(payload: bytes, request: Request, route: Route) -> Answer:
    """REST APIs make bytes of Base64 where the first type that the client accepts is one of the API's ``binary_media_types``."""
    accepted = request.header("accept").partition(",")[0].partition(";")[0].strip().lower()
    return answer_1(payload, binary=is_binary(accepted, route.api))


ANSWERS: dict[str, AnswerOf] = {"HTTP": version_2, "REST": version_1}
