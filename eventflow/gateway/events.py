"""Requests as functions get them: payload 2.0 of HTTP APIs and function URLs, payload 1.0 of REST APIs, written as JSON at once."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from eventflow.gateway.apis import URL, Api, Route
from eventflow.gateway.request import Request, quoted
from eventflow.gateway.seams import NOTHING_FOUND, Findings
from eventflow.remembered import remembered

#: Bodies of these types are texts to an HTTP API; those of all others come in Base64.
TEXTUAL = frozenset(f"application/{name}" for name in ("json", "javascript", "xml", "graphql", "x-javascript"))
#: What clients send is remembered up to this length: of some 10 KB each, a thousand would be ten megabytes of nobody's use.
LONGEST_REMEMBERED = 128
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class Writer:
    """Writes the events of one account and region; what is the same for a second is made once."""

    def __init__(self, account: str) -> None:
        self._account = account
        self._second = -1
        self._time = ""

    def time(self, instant: float) -> str:
        """``12/Mar/2020:19:03:58 +0000``, the common log format's."""
        second = int(instant)
        if second != self._second:
            at = datetime.fromtimestamp(second, UTC)
            self._second = second
            self._time = f"{at.day:02}/{MONTHS[at.month - 1]}/{at.year}:{at.hour:02}:{at.minute:02}:{at.second:02} +0000"
        return self._time

    def headers(self, request: Request) -> dict[str, str]:
        """The request's headers with those that API Gateway adds: the way that the request came, and the trace."""
        headers = request.header_map.copy()
        before = headers.get("x-forwarded-for")
        headers["x-forwarded-for"] = f"{before}, {request.peer}" if before else request.peer
        headers["x-forwarded-port"] = request.port
        headers["x-forwarded-proto"] = request.scheme
        headers["x-amzn-trace-id"] = request.trace
        return headers

    def version_2(self, request: Request, route: Route, findings: Findings) -> bytes:
        """The event of an HTTP API ("Working with Lambda proxy integrations for HTTP APIs", payload format 2.0). What is absent is left out."""
        api, stage = route.api, route.api.stage
        headers, cookies = self.headers(request), ""
        if "cookie" in headers:
            del headers["cookie"]
            brought = [value.decode("latin-1") for name, value in request.headers if name == b"cookie"]
            cookies = f'"cookies":{texts(one.strip() for value in brought for one in value.split(";"))},'
        key = quoted(route.key)
        path = quoted(raw_path(request, api))
        parts = [
            '{"version":"2.0","routeKey":', key, ',"rawPath":', path, ',"rawQueryString":', quoted(request.query), ",", cookies,
            '"headers":', object_of(headers), ",",
        ]  # fmt: skip
        if request.query:
            parts += ['"queryStringParameters":', object_of(joined(request.query_pairs)), ","]
        parts += [
            '"requestContext":{"accountId":"', self._account, '","apiId":"', api.id, '",', *self._found_2(findings),
            '"domainName":', quoted(request.domain), ',"domainPrefix":', quoted(request.domain.partition(".")[0]),
            ',"http":{"method":', quoted(request.method), ',"path":', path, ',"protocol":"HTTP/', request.http_version,
            '","sourceIp":', quoted(request.source_ip), ',"userAgent":', quoted(headers.get("user-agent", "")), '},"requestId":"', request.request_id,
            '","routeKey":', key, ',"stage":"', stage.name, '","time":"', self.time(request.received), '","timeEpoch":',
            str(int(request.received * 1000)), "}",
        ]  # fmt: skip
        if request.body:
            text, encoded = body_2(request.body, headers.get("content-type", ""))
            parts += [',"body":', text]
        else:
            encoded = False
        if request.parameters:
            parts += [',"pathParameters":', object_of(request.parameters)]
        if stage.variables:
            parts += [',"stageVariables":', object_of(stage.variables)]
        parts.append(',"isBase64Encoded":true}' if encoded else ',"isBase64Encoded":false}')
        return "".join(parts).encode("ascii")

    def _found_2(self, findings: Findings) -> Iterable[str]:
        if findings is NOTHING_FOUND:
            return ()
        parts = []
        if findings.authentication is not None:
            parts += ['"authentication":', json.dumps(findings.authentication), ","]
        if findings.authorizer is not None:
            parts += ['"authorizer":', json.dumps(findings.authorizer), ","]
        return parts

    def version_1(self, request: Request, route: Route, findings: Findings) -> bytes:
        """The event of a REST API ("Lambda proxy integrations in API Gateway", input format). What is absent is null."""
        api, stage = route.api, route.api.stage
        single, multiple = self._headers_1(request)
        query, queries = both(request.query_pairs)
        body, encoded = body_1(request.body, request.header("content-type"), api)
        event: dict[str, Any] = {
            "resource": route.path,
            "path": event_path(request, api),
            "httpMethod": request.method,
            "headers": single or None,
            "multiValueHeaders": multiple or None,
            "queryStringParameters": query or None,
            "multiValueQueryStringParameters": queries or None,
            "pathParameters": request.parameters or None,
            "stageVariables": stage.variables or None,
            "requestContext": self._context_1(request, route, findings),
            "body": body,
            "isBase64Encoded": encoded,
        }
        return json.dumps(event, separators=(",", ":")).encode()

    def _headers_1(self, request: Request) -> tuple[dict[str, str], dict[str, list[str]]]:
        """Names as clients of HTTP/1.1 write them, which is how REST APIs pass them on."""
        pairs = [(canonical(name), value.decode("latin-1")) for name, value in request.headers if name != b"x-forwarded-for"]
        single, multiple = both(pairs)
        added = self.headers(request)
        for name in ("x-forwarded-for", "x-forwarded-port", "x-forwarded-proto", "x-amzn-trace-id"):
            shown = canonical(name.encode())
            single[shown] = added[name]
            multiple[shown] = [added[name]]
        return single, multiple

    def _context_1(self, request: Request, route: Route, findings: Findings) -> dict[str, Any]:
        api = route.api
        identity = {
            "cognitoIdentityPoolId": None,
            "accountId": None,
            "cognitoIdentityId": None,
            "caller": None,
            "sourceIp": request.source_ip,
            "principalOrgId": None,
            "accessKey": None,
            "cognitoAuthenticationType": None,
            "cognitoAuthenticationProvider": None,
            "userArn": None,
            "userAgent": request.header_map.get("user-agent"),
            "user": None,
        }
        context: dict[str, Any] = {
            "resourceId": resource_id(api, route.path),
            "resourcePath": route.path,
            "httpMethod": request.method,
            "extendedRequestId": request.request_id.replace("-", "")[-16:],
            "requestTime": self.time(request.received),
            "path": request.raw_path,
            "accountId": self._account,
            "protocol": f"HTTP/{request.http_version}",
            "stage": api.stage.name,
            "domainPrefix": request.domain.partition(".")[0],
            "requestTimeEpoch": int(request.received * 1000),
            "requestId": request.request_id,
            "identity": {**identity, **findings.identity},
            "domainName": request.domain,
            "apiId": api.id,
        }
        if findings.authorizer is not None:
            context["authorizer"] = findings.authorizer
        return context


def object_of(values: Mapping[str, str]) -> str:
    return "{" + ",".join([f"{quoted(name)}:{quoted(value)}" for name, value in values.items()]) + "}"


def texts(values: Iterable[str]) -> str:
    return "[" + ",".join([quoted(value) for value in values]) + "]"


def joined(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in pairs:
        found[name] = f"{found[name]},{value}" if name in found else value
    return found


def both(pairs: Iterable[tuple[str, str]]) -> tuple[dict[str, str], dict[str, list[str]]]:
    """The last value of each name, and all of them."""
    single: dict[str, str] = {}
    multiple: dict[str, list[str]] = {}
    for name, value in pairs:
        single[name] = value
        multiple.setdefault(name, []).append(value)
    return single, multiple


@remembered(1024, LONGEST_REMEMBERED)
def canonical(name: bytes) -> str:
    """``Content-Type`` for ``content-type``."""
    return "-".join([part[:1].upper() + part[1:] for part in name.decode("latin-1").split("-")])


def body_2(body: bytes, content_type: str) -> tuple[str, bool]:
    """The body as a JSON string, and whether it is Base64."""
    if is_textual(content_type):
        try:
            return quoted(body.decode()), False
        except UnicodeDecodeError:
            pass
    return f'"{base64.b64encode(body).decode()}"', True


@remembered(longest=LONGEST_REMEMBERED)
def is_textual(content_type: str) -> bool:
    media_type, _, parameters = content_type.lower().partition(";")
    media_type = media_type.strip()
    return (
        not content_type
        or media_type.startswith("text/")
        or media_type in TEXTUAL
        or (media_type.startswith("application/") and media_type.endswith(("+json", "+xml")))
        or "charset=utf-8" in parameters
    )


def body_1(body: bytes, content_type: str, api: Api) -> tuple[str | None, bool]:
    """REST APIs pass binary what ``binary_media_types`` names, all else as text: bytes that are no UTF-8 are lost."""
    if not body:
        return None, False
    if is_binary(content_type.partition(";")[0].strip().lower(), api):
        return base64.b64encode(body).decode(), True
    return body.decode(errors="replace"), False


def is_binary(media_type: str, api: Api) -> bool:
    """Whether a type is among the API's ``binary_media_types``: ``image/png``, ``image/*`` or ``*/*``."""
    allowed = api.binary_media_types
    return bool(allowed) and any(one in ("*/*", media_type) or (one.endswith("/*") and media_type.startswith(one[:-1])) for one in allowed)


def event_path(request: Request, api: Api) -> str:
    """``path`` of payload 1.0: without the stage, but with the base path that the client used."""
    return request.raw_path if request.mount else request.raw_path.removeprefix(api.stage.segment) or "/"


def raw_path(request: Request, api: Api) -> str:
    """``rawPath`` of payload 2.0: decoded, with the stage, and without the base path. Only a function URL's is as it was sent."""
    if api.protocol == URL:
        return request.raw_path.removeprefix(request.mount) or "/"
    return f"{api.stage.segment}{request.route_path}" if request.mount else request.path


def resource_id(api: Api, path: str) -> str:
    return f"{hash_of(api.id + path):x}"[:6]


def hash_of(text: str) -> int:
    value = 0xCBF29CE484222325
    for octet in text.encode():
        value = ((value ^ octet) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return value
