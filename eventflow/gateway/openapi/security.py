"""Security schemes: authorizers, signatures and API keys, written and read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from eventflow.gateway.authorizers.settings import AUTHORIZATION, IAM
from eventflow.gateway.openapi.integrations import function_of, invocation_uri
from eventflow.gateway.openapi.places import Place

AUTHORIZER, AUTHTYPE = "x-amazon-apigateway-authorizer", "x-amazon-apigateway-authtype"
#: What of an authorizer AWS has no words for.
OWN = "x-eventflow-authorizer"
API_KEY = "api_key"
SIGV4 = "sigv4"
KEY_SCHEME = {"type": "apiKey", "name": "x-api-key", "in": "header"}
SIGV4_SCHEME = {"type": "apiKey", "name": "Authorization", "in": "header", AUTHTYPE: "awsSigv4"}
PLACES = {"header": "header", "querystring": "query"}
JWT_MEMBERS = ("type", "jwtConfiguration", "identitySource")
LAMBDA_MEMBERS = {
    "type": None,
    "authorizerUri": None,
    "identitySource": None,
    "authorizerResultTtlInSeconds": "ttl",
    "identityValidationExpression": "validation",
    "authorizerPayloadFormatVersion": "payload",
    "enableSimpleResponses": "simple",
}


def written(options: Mapping[str, Any], protocol: str, account: str, region: str) -> dict[str, Any]:
    """The scheme of an authorizer, from the options of its resource."""
    if options["type"] == "jwt":
        audience = options["audience"]
        configuration = {"issuer": options["issuer"], "audience": [audience] if isinstance(audience, str) else list(audience)}
        authorizer = {
            "type": "jwt",
            "jwtConfiguration": configuration,
            "identitySource": options.get("identity_source", AUTHORIZATION["HTTP"]),
        }
        scheme: dict[str, Any] = {"type": "http", "scheme": "bearer", "bearerFormat": "JWT", AUTHORIZER: authorizer}
        own = {name: options[name] for name in ("jwks", "algorithms") if name in options}
        return {**scheme, OWN: own} if own else scheme
    sources = options.get("identity_source", AUTHORIZATION[protocol])
    sources = [sources] if isinstance(sources, str) else list(sources)
    authorizer = {"type": options.get("kind", "request"), "authorizerUri": invocation_uri(account, region, options["function"])}
    authorizer["identitySource"] = ",".join(sources)
    for member, option in LAMBDA_MEMBERS.items():
        if option is not None and option in options:
            authorizer[member] = options[option]
    return {"type": "apiKey", **shown_at(sources), AUTHTYPE: "custom", AUTHORIZER: authorizer}


def shown_at(sources: list[str]) -> dict[str, str]:
    """Where clients put what the authorizer looks at, if that is one header or parameter."""
    parts = sources[0].split(".") if len(sources) == 1 else []
    if len(parts) > 2 and parts[-2] in PLACES:
        return {"name": parts[-1], "in": PLACES[parts[-2]]}
    return {"name": "Unused", "in": "header"}


def read(place: Place, protocol: str) -> str | dict[str, Any]:
    """``api_key``, ``iam``, or the options of an authorizer. Raises SettingError for a scheme that nothing would enforce."""
    scheme = place.mapping()
    if AUTHORIZER in scheme:
        kind = place.at(AUTHORIZER).text("type").lower()
        if kind == "jwt" and protocol == "HTTP":
            return jwt(place)
        if kind in ("request", "token"):
            return of_function(place.at(AUTHORIZER), kind, protocol)
        raise place.at(AUTHORIZER).at("type").refused("HTTP APIs have jwt and request authorizers, REST APIs request and token ones")
    if str(scheme.get(AUTHTYPE, "")).lower() == "awssigv4":
        return IAM
    if scheme.get("type") == "apiKey" and str(scheme.get("name", "")).lower() == "x-api-key" and scheme.get("in") == "header":
        if protocol != "REST":
            raise place.refused("only REST APIs have API keys")
        return API_KEY
    raise place.refused(f"nothing would enforce it; it takes {AUTHORIZER}, the {AUTHTYPE} awsSigv4, or the API key x-api-key")


def jwt(place: Place) -> dict[str, Any]:
    authorizer = place.at(AUTHORIZER)
    authorizer.only(JWT_MEMBERS)
    configuration = authorizer.at("jwtConfiguration")
    configuration.only(("issuer", "audience"))
    options = {"type": "jwt", "issuer": configuration.text("issuer"), "audience": configuration.value.get("audience")}
    source = authorizer.value.get("identitySource")
    if source is not None:
        options["identity_source"] = source[0] if isinstance(source, list) and len(source) == 1 else source
    place.at(OWN).only(("jwks", "algorithms"))
    return {**options, **place.at(OWN).mapping()}


def of_function(authorizer: Place, kind: str, protocol: str) -> dict[str, Any]:
    authorizer.only(LAMBDA_MEMBERS)
    options: dict[str, Any] = {"type": "lambda", "kind": kind, "function": function_of(authorizer.at("authorizerUri"))}
    source = authorizer.value.get("identitySource")
    if isinstance(source, str):
        options["identity_source"] = [one.strip() for one in source.split(",")]
    elif source is not None:
        options["identity_source"] = source
    for member, option in LAMBDA_MEMBERS.items():
        if option is not None and member in authorizer.value:
            options[option] = authorizer.value[member]
    if protocol == "HTTP" and "authorizerPayloadFormatVersion" not in authorizer.value:
        options["payload"] = "1.0"  # AWS's own default for documents
    return options
