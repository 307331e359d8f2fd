"""The AWS endpoint: an ASGI application that turns signed requests into calls of operations, and their answers into replies."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from typing import Any

from eventflow.aws.admission import Admitted
from eventflow.aws.body import Arriving, Receive, check_whole, kept, promises
from eventflow.aws.delivery import Send, deliver, gather
from eventflow.aws.express import Express, is_invoke
from eventflow.aws.express_json import ExpressJson, is_json_call
from eventflow.aws.faults import finished, told
from eventflow.aws.operation import Call, Operation, Service
from eventflow.aws.presigner import Presigner
from eventflow.aws.protocols.refusal import UnknownOperation
from eventflow.aws.protocols.s3 import s3_resource
from eventflow.aws.reply import Reply
from eventflow.aws.request import NotText, Request
from eventflow.aws.routing import Router
from eventflow.aws.s3.browsers import Browsers, is_from_browser
from eventflow.aws.sigv2 import OldClaim, OldSignature, old_claim, read_old_signature
from eventflow.aws.sigv4 import Claim, Reason, Refused, Signature, Verifier, read_signature
from eventflow.aws.unserved import unserved
from eventflow.aws.wire import SpokenService, WireOperation, Wires
from eventflow.body_budget import BodyBudget, Share
from eventflow.clock import Clock
from eventflow.errors import ServiceError

Scope = MutableMapping[str, Any]
Asgi = Callable[[Scope, Receive, Send], Awaitable[None]]

CONTROL = "/_eventflow/"
#: The largest body that is read whole; what an operation allows is its own rule, and smaller.
BODY_LIMIT = 16 << 20
#: AWS: a request that has a function's code or a layer in it, which are 50 MB at most before they are written in Base64. One is held at a time.
LARGEST_UPLOAD = 70_167_211
UPLOAD = re.compile(r"/2015-03-31/functions/?|/2015-03-31/functions/[^/]+/code|/2018-10-31/layers/[^/]+/versions")
AnySignature = Signature | OldSignature
log = logging.getLogger("eventflow.aws")


class Endpoint:
    """Every service on one port.

    ``credentials`` maps access key ids to secrets. With ``open`` any credentials or none are taken: for test suites, on loopback only, which
    the caller sees to. Requests below ``/_eventflow/`` go to ``control``, an ASGI application, untouched. ``region`` is for requests that name none.
    """

    def __init__(
        self,
        services: Iterable[Service],
        credentials: Mapping[str, str],
        clock: Clock,
        account: str,
        region: str,
        open: bool = False,
        control: Asgi | None = None,
        body_limit: int = BODY_LIMIT,
        bodies: BodyBudget | None = None,
    ) -> None:
        self._services = {service.name: service for service in services}
        self._wires = Wires()
        self._credentials = credentials
        self._verifier = Verifier(credentials, clock)
        self._presigner = Presigner(credentials, clock) if credentials else None
        self._clock = clock
        self._account = account
        self._region = region
        self._open = open
        self._control = control or self._health
        self._body_limit = body_limit
        self._bodies = bodies or BodyBudget()
        self._uploads = BodyBudget(LARGEST_UPLOAD)
        self._router = Router(self._services.keys(), lambda service: self._wires.of(service).target_prefix)
        self._express = self._short_way()
        self._express_json = self._short_way_of_json()
        self._browsers: Browsers | None = getattr(self._services.get("s3"), "browsers", None)

    def _short_way(self) -> Express | None:
        served = self._services.get("lambda")
        if served is None or "Invoke" not in served.operations or self._open:
            return None
        return Express(served, self._verifier, self._call, self._bodies, self._body_limit, lambda: self._wires.of("lambda").main)

    def _short_way_of_json(self) -> ExpressJson | None:
        if self._open:
            return None
        return ExpressJson(self._services, self._verifier, self._call, self._bodies, self._body_limit, lambda name: self._wires.of(name).main)

    def load(self) -> None:
        """Load the models of all services now instead of at their first requests."""
        self._wires.load(self._services)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await live(receive, send)
        elif scope["path"].startswith(CONTROL):
            await self._control(scope, receive, send)
        elif scope["type"] == "http":
            express = self._express_for(scope)
            if express is not None:
                unread = await express.serve(scope, receive, send)
                if unread is None:
                    return
                receive = unread
            await self._serve(Request.from_scope(scope), receive, send)
        else:
            await send({"type": "websocket.close", "code": 1008})

    def _express_for(self, scope: Scope) -> Express | ExpressJson | None:
        if is_json_call(scope):
            return self._express_json
        return self._express if is_invoke(scope) else None

    async def _serve(self, request: Request, receive: Receive, send: Send) -> None:
        arriving = Arriving(receive, expected=request.has_body)
        bodies, limit = (self._uploads, LARGEST_UPLOAD) if is_large_upload(request) else (self._bodies, self._body_limit)
        with bodies.share() as share:
            reply = await self._reply(request, arriving, share, limit)
        if not arriving.finished and not await finish(arriving, request):
            # What was not read would be taken for the next request on this connection.
            reply.headers["connection"] = "close"
        try:
            await deliver(reply, request.method == "HEAD", receive, send)
        except Exception:
            # The head of the answer is gone already: the server sees that its end is missing, and closes the connection.
            log.exception("%s %s broke off in the middle of its answer", request.method, request.path)

    async def _reply(self, request: Request, arriving: Arriving, share: Share, limit: int) -> Reply:
        signature = claimed(request)
        name = self._router.service(request, "" if signature is None or isinstance(signature, Refused) else signature.service)
        call = self._call(name, request, signature)
        service = self._services.get(name)
        if service is None:
            return unserved(name, self._services, request, call.request_id)
        spoken = self._wires.of(name).spoken(request)
        browsers = self._browsers if name == "s3" and is_from_browser(request) else None
        try:
            reply = None
            if browsers is not None:
                reply = await browsers.serve(call, request, arriving, spoken, None if self._open else self._credentials, self._clock)
            if reply is None:
                admitted = await self._admit(call, request, arriving, signature, share, limit)
                reply = await perform(service, spoken, call, request, admitted)
            if request.method != "HEAD":
                await gather(reply)
        except Exception as error:
            reply = told(error, spoken.dialect, call)
        if browsers is not None:
            browsers.allow(request, reply)
        return finished(reply, spoken.dialect, call)

    def _call(self, service: str, request: Request, signature: AnySignature | Refused | None) -> Call:
        signed = None if isinstance(signature, Refused) else signature
        return Call(
            service=service,
            operation="",
            region=(signed.region if signed else "") or self._region,
            account=self._account,
            access_key=signed.access_key if signed else "",
            request_id=self._clock.new_id(),
            base_url=request.base_url,
            headers=request.headers,
            trace=request.headers.get("x-amzn-trace-id"),
            presigner=self._presigner,
        )

    async def _admit(
        self, call: Call, request: Request, arriving: Arriving, signature: AnySignature | Refused | None, share: Share, limit: int
    ) -> Admitted:
        claim = None if self._open else self._claim(call, request, signature)
        admitted = Admitted(request, arriving, claim, limit, share)
        await admitted.check(s3=call.service == "s3")
        return admitted

    def _claim(self, call: Call, request: Request, signature: AnySignature | Refused | None) -> Claim | OldClaim:
        if isinstance(signature, Refused):
            raise signature
        if not isinstance(signature, OldSignature):
            return self._verifier.claim(request, signature)
        if call.service != "s3":
            raise Refused(Reason.UNSUPPORTED, "Only S3 knows signature version 2. Please use AWS4-HMAC-SHA256.")
        return old_claim(request, signature, s3_resource(request), self._credentials, self._clock.now())

    async def _health(self, scope: Scope, receive: Receive, send: Send) -> None:
        found = scope["path"] == f"{CONTROL}health"
        content = {"status": "ok", "services": sorted(self._services)} if found else {"status": "not found"}
        reply = Reply(200 if found else 404, {"content-type": "application/json"}, json.dumps(content).encode())
        await deliver(reply, scope["method"] == "HEAD", receive, send)


def is_large_upload(request: Request) -> bool:
    length = request.headers.get("content-length", "")
    return length.isdecimal() and int(length) > BODY_LIMIT and UPLOAD.fullmatch(request.path) is not None


async def live(receive: Receive, send: Send) -> None:
    """ASGI's lifespan: there is nothing to start or stop here, the daemon does that."""
    while (message := await receive())["type"] != "lifespan.shutdown":
        await send({"type": f"{message['type']}.complete"})
    await send({"type": "lifespan.shutdown.complete"})


async def perform(service: Service, spoken: SpokenService, call: Call, request: Request, admitted: Admitted) -> Reply:
    """Find the operation, read its parameters, run it, write its answer."""
    dialect = spoken.dialect
    body = await admitted.whole() if dialect.names_operation_in_body else b""
    match = dialect.find(request, body)
    operation, implementation = chosen(service, spoken, match.operation)
    call.operation = operation.name
    promised = promises(request.headers, checksummed=operation.checksummed)
    if operation.streaming:
        call.body = kept(admitted.pieces(), promised)
    elif not dialect.names_operation_in_body:
        body = await admitted.whole()
        check_whole(body, promised)
    return await operation.perform(implementation, call, request, match, body)


def chosen(service: Service, spoken: SpokenService, name: str) -> tuple[WireOperation, Operation]:
    operation = spoken.operation(name)
    if operation is None:
        raise UnknownOperation(f"The service {service.name} has no operation {name!r}.")
    implementation = service.operations.get(name)
    if implementation is None:
        raise ServiceError("NotImplemented", f"eventflow does not have {service.name}:{name} yet.", 501)
    return operation, implementation


def claimed(request: Request) -> AnySignature | Refused | None:
    """The signature that a request carries, or why it cannot be read; the latter is answered once it is known in which protocol."""
    try:
        return read_signature(request) or read_old_signature(request)
    except Refused as refused:
        return refused
    except NotText as error:
        return Refused(Reason.INCOMPLETE_QUERY, str(error))


async def finish(arriving: Arriving, request: Request) -> bool:
    """Take in what is left of a body that nobody asked for; whether the connection is fit for another request."""
    if "expect" in request.headers:
        return False  # the client has not sent it yet, and must not be asked to
    try:
        return await arriving.drain()
    except ServiceError:
        return False
