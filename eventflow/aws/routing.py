"""Which service a request is for: one port serves them all."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection

from eventflow.aws.request import Request

#: Names in credential scopes that differ from botocore's names of the services, or that several services share.
SIGNING_NAMES = {
    "apigateway": ("apigateway", "apigatewayv2"),
    "dynamodb": ("dynamodb", "dynamodbstreams"),
    "execute-api": ("apigatewaymanagementapi",),
    "monitoring": ("cloudwatch",),
    "s3": ("s3", "s3control"),
    "states": ("stepfunctions",),
}
#: Addresses that only one service has, for requests that carry neither a credential scope nor a target.
DATED = r"/\d{4}-\d{2}-\d{2}/"
PATHS = (
    (
        re.compile(DATED + r"(functions|event-source-mappings|layers|layers-by-arn|tags|account-settings|code-signing-configs|durable-.*)(/.*)?"),
        "lambda",
    ),
    (re.compile(r"/schedule(s|-groups)(/.*)?"), "scheduler"),
    (re.compile(r"/(restapis|apikeys|usageplans|domainnames)(/.*)?"), "apigateway"),
    (re.compile(r"/v2/(apis|domainnames)(/.*)?"), "apigatewayv2"),
    (re.compile(r"/[^/]+/@connections/.*"), "apigatewaymanagementapi"),
)
FORM = "application/x-www-form-urlencoded"


class Router:
    """Tells the service by the credential scope, else by X-Amz-Target, else by the path, else it is S3. ``target_prefix`` gives a service's
    prefix in X-Amz-Target, or None; it is asked only where the scope does not decide."""

    def __init__(self, services: Collection[str], target_prefix: Callable[[str], str | None]) -> None:
        self._services = services
        self._target_prefix = target_prefix

    def service(self, request: Request, scope_service: str) -> str:
        """The service's name as botocore has it; it may be one that is not served here. ``scope_service`` may be empty."""
        candidates = SIGNING_NAMES.get(scope_service, (scope_service,)) if scope_service else ()
        if len(candidates) == 1:
            return candidates[0]
        return (
            self._by_target(request, [name for name in candidates if name in self._services] or self._services)
            or (next((name for name in candidates if name == self._by_path(request)), candidates[0]) if candidates else None)
            or self._by_path(request)
            or self._by_form(request)
            or "s3"
        )

    def _by_target(self, request: Request, candidates: Collection[str]) -> str | None:
        prefix = request.headers.get("x-amz-target", "").rpartition(".")[0]
        return next((name for name in candidates if self._target_prefix(name) == prefix), None) if prefix else None

    def _by_path(self, request: Request) -> str | None:
        return next((service for pattern, service in PATHS if pattern.fullmatch(request.path)), None)

    def _by_form(self, request: Request) -> str | None:
        """An unsigned form is in the query protocol, and SQS is the only service here that strangers speak it to."""
        is_form = request.headers.get("content-type", "").startswith(FORM) or "Action=" in request.query_string
        return "sqs" if is_form and "sqs" in self._services else None
