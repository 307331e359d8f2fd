"""What browsers send to S3 that no SDK does: preflight requests, forms with a file, and an Origin that the answer must allow."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import unquote

from eventflow.aws.body import Arriving
from eventflow.aws.operation import Call
from eventflow.aws.protocols.s3 import s3_resource
from eventflow.aws.reply import Reply
from eventflow.aws.request import Request
from eventflow.aws.s3.post_object import PostObject, is_post_form
from eventflow.aws.wire import SpokenService
from eventflow.clock import Clock
from eventflow.errors import ServiceError
from eventflow.services.objects import Objects
from eventflow.services.objects.cors import METHODS, Asked, allowing, answer_headers
from eventflow.services.objects.settings import CORS


def is_from_browser(request: Request) -> bool:
    """Whether this may be anything but a call as SDKs make it."""
    return "origin" in request.headers or request.method == "OPTIONS" or is_post_form(request)


class Browsers:
    """``serve`` answers preflight requests and forms, which are not signed as other requests are; ``allow`` adds to an answer what the bucket's rules
    let other pages see of it."""

    def __init__(self, objects: Objects, post_object: PostObject) -> None:
        self._objects = objects
        self._post_object = post_object

    async def serve(
        self, call: Call, request: Request, arriving: Arriving, spoken: SpokenService, credentials: Mapping[str, str] | None, clock: Clock
    ) -> Reply | None:
        """The answer, or None for a request that is an ordinary one. ``credentials`` are None where nobody has to have any."""
        if request.method == "OPTIONS":
            return self._preflight(request)
        if is_post_form(request):
            return await self._post_object.serve(call, request, arriving, spoken, credentials, clock)
        return None

    def _preflight(self, request: Request) -> Reply:
        """S3's answer to the question whether a page may send a request (Fetch Standard, CORS-preflight)."""
        origin, method = request.headers.get("origin"), request.headers.get("access-control-request-method")
        if origin is None:
            raise ServiceError("BadRequest", "Insufficient information. Origin request header needed.")
        if method not in METHODS:
            raise ServiceError("BadRequest", f"Invalid Access-Control-Request-Method: {method or 'null'}")
        named = request.headers.get("access-control-request-headers", "").split(",")
        asked = Asked(origin, method, tuple(name.strip().lower() for name in named if name.strip()))
        bucket, key = bucket_and_key(request)
        resource = {"Method": method, "ResourceType": "OBJECT" if key else "BUCKET"}
        if bucket not in {known.name for known in self._objects.list_buckets()}:
            raise ServiceError("AccessForbidden", "CORSResponse: Bucket not found", 403, **resource)
        rules = self._objects.settings.get(bucket, CORS)
        if rules is None:
            raise ServiceError("AccessForbidden", "CORSResponse: CORS is not enabled for this bucket.", 403, **resource)
        rule = allowing(rules, asked)
        if rule is None:
            raise ServiceError(
                "AccessForbidden",
                "CORSResponse: This CORS request is not allowed. This is usually because the evalution of Origin, request method / "
                "Access-Control-Request-Method or Access-Control-Request-Headers are not whitelisted by the resource's CORS spec.",
                403,
                **resource,
            )
        return Reply(200, answer_headers(rule, asked))

    def allow(self, request: Request, reply: Reply) -> None:
        """Let the page that sent a request see its answer, if the bucket's rules say so. It was sent: its headers are not looked at any more."""
        if "origin" not in request.headers or request.method == "OPTIONS":
            return
        asked = Asked(request.headers["origin"], request.method)
        rule = allowing(self._objects.settings.get(bucket_and_key(request)[0], CORS) or (), asked)
        if rule is not None:
            reply.headers.update(answer_headers(rule, asked))


def bucket_and_key(request: Request) -> tuple[str, str]:
    bucket, _, key = s3_resource(request).removeprefix("/").partition("/")
    return unquote(bucket), unquote(key)
