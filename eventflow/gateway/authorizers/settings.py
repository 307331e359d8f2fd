"""What an application says of its authorizers, read from its manifest and checked."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eventflow.errors import SettingError
from eventflow.gateway.authorizers.fetching import checked_url
from eventflow.gateway.linear_patterns import LinearPattern, NotLinear
from eventflow.trigger import Resource

#: Names that need no declaration, and can be none's.
IAM = "iam"
NONE = "none"
#: AWS has the RSA ones ("Currently, only RSA-based algorithms are supported"); the others are taken where an authorizer names them.
RSA_ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
ALGORITHMS = (*RSA_ALGORITHMS, "ES256", "ES384", "ES512")
AUTHORIZATION = {
    "HTTP": "$request.header.Authorization",
    "REST": "method.request.header.Authorization",
    "WEBSOCKET": "route.request.header.Authorization",
}
LONGEST_TTL = 3_600


@dataclass(frozen=True)
class JwtSettings:
    """A JWT authorizer. ``jwks`` is an address or an absolute path; None has the keys found by the issuer's own configuration."""

    name: str
    issuer: str
    audience: tuple[str, ...]
    jwks: str | None
    algorithms: tuple[str, ...]
    identity_source: str


@dataclass(frozen=True)
class LambdaSettings:
    """A Lambda authorizer. ``kind`` is ``request`` or ``token``; ``identity_source`` are expressions, None for the API's usual one; ``simple`` and
    ``payload`` (1.0 or 2.0) are for HTTP APIs; ``ttl`` in seconds; ``validation`` is what a token must match."""

    name: str
    function: str
    kind: str
    identity_source: tuple[str, ...] | None
    payload: str
    simple: bool
    ttl: int
    validation: LinearPattern | None


Settings = JwtSettings | LambdaSettings


def read_settings(resource: Resource) -> Settings:
    """Raises SettingError for what cannot be enforced."""
    options = dict(resource.options)
    kind = options.pop("type", None)
    where = f"Authorizer {resource.name!r}"
    known = {"jwt": ("issuer", "audience", "jwks", "algorithms", "identity_source"), "lambda": LAMBDA_OPTIONS}.get(kind)
    if known is None:
        raise SettingError(f"{where}: type={kind!r} is refused: it takes 'jwt' or 'lambda'.")
    for option in options:
        if option not in known:
            raise SettingError(f"{where}: {option}={options[option]!r} is refused: a {kind} authorizer takes {', '.join(known)}.")
    return jwt_settings(where, resource.name, options) if kind == "jwt" else lambda_settings(where, resource.name, options)


def jwt_settings(where: str, name: str, options: Mapping[str, Any]) -> JwtSettings:
    issuer, jwks = options.get("issuer"), options.get("jwks")
    audience, algorithms = texts(options.get("audience")), texts(options.get("algorithms", list(RSA_ALGORITHMS)))
    if not isinstance(issuer, str) or not issuer:
        raise SettingError(
            f"{where}: issuer={issuer!r} is refused: it takes the text that tokens have as 'iss', such as 'https://login.example.com/'."
        )
    if not audience:
        raise SettingError(f"{where}: audience={options.get('audience')!r} is refused: it takes at least one text; a token must be for one of them.")
    if not algorithms or not set(algorithms) <= set(ALGORITHMS):
        raise SettingError(f"{where}: algorithms={options.get('algorithms')!r} is refused: it takes some of {', '.join(ALGORITHMS)}.")
    source = options.get("identity_source", AUTHORIZATION["HTTP"])
    if not isinstance(source, str) or not source.startswith("$request."):
        raise SettingError(
            f"{where}: identity_source={source!r} is refused: a token is in one header or one query parameter, {AUTHORIZATION['HTTP']!r} "
            "or '$request.querystring.token'."
        )
    check_jwks(where, issuer, jwks)
    return JwtSettings(name, issuer, audience, jwks, algorithms, source)


def check_jwks(where: str, issuer: str, jwks: object) -> None:
    setting, address = ("issuer", issuer) if jwks is None else ("jwks", jwks)
    if isinstance(address, str) and jwks is not None and "://" not in address:
        if not Path(address).is_file():
            raise SettingError(f"{where}: jwks={address!r} is refused: there is no such file.")
        return
    try:
        if not isinstance(address, str):
            raise ValueError(f"{address!r} is no text")
        checked_url(address)
    except ValueError as error:
        other = "" if jwks is not None else " The issuer's keys are looked for there; jwks=... names a file or an address where they are instead."
        raise SettingError(f"{where}: {setting}={address!r} is refused: {error}.{other}") from error


LAMBDA_OPTIONS = ("function", "kind", "identity_source", "payload", "simple", "ttl", "validation")


def lambda_settings(where: str, name: str, options: Mapping[str, Any]) -> LambdaSettings:
    function, kind = options.get("function"), options.get("kind", "request")
    payload, simple, ttl = options.get("payload", "2.0"), options.get("simple", False), options.get("ttl", 300)
    if not isinstance(function, str) or not function:
        raise SettingError(f"{where}: function={function!r} is refused: it takes a function of the application, or its name.")
    if kind not in ("request", "token"):
        raise SettingError(f"{where}: kind={kind!r} is refused: it takes 'request' or 'token'.")
    if payload not in ("1.0", "2.0"):
        raise SettingError(f"{where}: payload={payload!r} is refused: it takes '1.0' or '2.0'.")
    if not isinstance(simple, bool) or (simple and (payload != "2.0" or kind == "token")):
        raise SettingError(
            f"{where}: simple={simple!r} is refused: simple responses are True or False, and go with payload='2.0' and kind='request'."
        )
    if not isinstance(ttl, int) or isinstance(ttl, bool) or not 0 <= ttl <= LONGEST_TTL:
        raise SettingError(f"{where}: ttl={ttl!r} is refused: it takes whole seconds from 0 (nothing is cached) to {LONGEST_TTL}.")
    sources = None if "identity_source" not in options else texts(options["identity_source"])
    if kind == "token" and sources is not None and not (len(sources) == 1 and sources[0].startswith("method.request.header.")):
        raise SettingError(f"{where}: identity_source={options['identity_source']!r} is refused: a token authorizer takes one header.")
    if sources == () and ttl:
        raise SettingError(f"{where}: identity_source={options['identity_source']!r} is refused: without a source nothing can be cached; give ttl=0.")
    return LambdaSettings(name, function, kind, sources, payload, simple, ttl, validation_of(where, kind, options.get("validation")))


def validation_of(where: str, kind: str, text: object) -> LinearPattern | None:
    if text is None:
        return None
    if kind != "token" or not isinstance(text, str):
        raise SettingError(f"{where}: validation={text!r} is refused: it is a regular expression, of a token authorizer alone.")
    try:
        return LinearPattern(text, whole=True)
    except re.error as error:
        raise SettingError(f"{where}: validation={text!r} is refused: it is no regular expression: {error}.") from error
    except NotLinear as error:
        raise SettingError(
            f"{where}: validation={text!r} is refused: {error}. A client could send a token that takes hours to be compared."
        ) from error


def texts(value: object) -> tuple[str, ...]:
    """A list of texts, or one; () for what is neither."""
    found = [value] if isinstance(value, str) else value
    if not isinstance(found, list | tuple) or not all(isinstance(one, str) and one for one in found):
        return ()
    return tuple(found)
