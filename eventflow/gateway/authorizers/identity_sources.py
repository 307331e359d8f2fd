"""Identity sources: where in a request an authorizer looks for who is asking, written as AWS writes it."""

from __future__ import annotations

import re
from collections.abc import Callable

from eventflow.errors import SettingError
from eventflow.gateway.apis import Route
from eventflow.gateway.request import Request

#: What a source says of a request: None, or the empty text, where it is not there.
Source = Callable[[Request, Route], str | None]

#: What stands before ``.header.X`` and ``.querystring.X``.
PREFIX = {"HTTP": "$request", "REST": "method.request", "WEBSOCKET": "route.request"}
EXPRESSION = re.compile(
    r"(?P<prefix>\$request|method\.request|route\.request)\.(?P<place>header|querystring)\.(?P<name>[!#$%&'*+.^_`|~0-9A-Za-z-]+)"
    r"|\$?(?P<kind>context|stageVariables)\.(?P<variable>[A-Za-z0-9_.]+)"
)
CONTEXT: dict[str, Source] = {
    "apiId": lambda request, route: route.api.id,
    "domainName": lambda request, route: request.domain,
    "domainPrefix": lambda request, route: request.domain.partition(".")[0],
    "httpMethod": lambda request, route: request.method,
    "identity.sourceIp": lambda request, route: request.source_ip,
    "identity.userAgent": lambda request, route: request.header_map.get("user-agent"),
    "path": lambda request, route: request.path,
    "protocol": lambda request, route: f"HTTP/{request.http_version}",
    "resourcePath": lambda request, route: route.path,
    "routeKey": lambda request, route: route.key,
    "stage": lambda request, route: route.api.stage.name,
}


def source_of(where: str, text: object, protocol: str) -> Source:
    """Raises SettingError, which begins with ``where``."""
    found = EXPRESSION.fullmatch(text) if isinstance(text, str) else None
    prefix = PREFIX[protocol]
    if found is not None and found["prefix"] == prefix:
        name = found["name"]
        return header_source(name.lower()) if found["place"] == "header" else query_source(name)
    if found is not None and found["kind"] == "stageVariables":
        variable = found["variable"]
        return lambda request, route: route.api.stage.variables.get(variable)
    if found is not None and found["kind"] == "context" and found["variable"] in CONTEXT:
        return CONTEXT[found["variable"]]
    dollar = "$" if protocol == "HTTP" else ""
    raise SettingError(
        f"{where}: identity_source={text!r} is refused: in the {protocol} API that uses it it takes {prefix}.header.<name>, "
        f"{prefix}.querystring.<name>, {dollar}stageVariables.<name> or {dollar}context.<name> with {', '.join(CONTEXT)}."
    )


def header_source(name: str) -> Source:
    return lambda request, route: request.header_map.get(name)


def query_source(name: str) -> Source:
    """All values of a parameter, joined as HTTP APIs join them."""
    return lambda request, route: ",".join([value for key, value in request.query_pairs if key == name])
