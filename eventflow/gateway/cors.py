"""Cross-origin resource sharing of HTTP APIs: preflight requests are answered without the function, answers get what browsers ask for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from eventflow.errors import SettingError
from eventflow.gateway.routes import METHODS
from eventflow.gateway.seams import Answer, Headers

SETTINGS = ("allow_origins", "allow_methods", "allow_headers", "expose_headers", "max_age", "allow_credentials")
LONGEST_AGE = 86_400


@dataclass(frozen=True)
class Cors:
    """The ``CorsConfiguration`` of an HTTP API ("Configure CORS for HTTP APIs", API Gateway developer guide). ``max_age`` in seconds."""

    allow_origins: tuple[str, ...] = ()
    allow_methods: tuple[str, ...] = ()
    allow_headers: tuple[str, ...] = ()
    expose_headers: tuple[str, ...] = ()
    max_age: int | None = None
    allow_credentials: bool = False

    @classmethod
    def read(cls, where: str, value: Any) -> Cors:
        """From ``True`` (every origin, method and header) or a mapping of the settings. Raises SettingError."""
        if value is True:
            return cls(("*",), ("*",), ("*",))
        if not isinstance(value, Mapping):
            raise SettingError(f"{where}: cors={value!r} is refused: it takes True, or a dict with {', '.join(SETTINGS)}.")
        for name in value:
            if name not in SETTINGS:
                raise SettingError(f"{where}: cors has no setting {name!r}; it has: {', '.join(SETTINGS)}.")
        lists = {name: texts(where, name, value.get(name, ())) for name in SETTINGS[:4]}
        cors = cls(**lists, max_age=value.get("max_age"), allow_credentials=value.get("allow_credentials", False))
        cors.check(where)
        return cors

    def check(self, where: str) -> None:
        for origin in self.allow_origins:
            if origin != "*" and "://" not in origin:
                raise SettingError(
                    f"{where}: cors: the origin {origin!r} is refused: it takes '*', or a scheme and host such as https://shop.example."
                )
        for method in self.allow_methods:
            if method not in (*METHODS, "*"):
                raise SettingError(f"{where}: cors: the method {method!r} is refused: it takes '*' or {', '.join(METHODS)}.")
        age = self.max_age
        if age is not None and (isinstance(age, bool) or not isinstance(age, int) or not -1 <= age <= LONGEST_AGE):
            raise SettingError(f"{where}: cors: max_age={age!r} is refused: it takes -1 to {LONGEST_AGE} seconds.")
        if not isinstance(self.allow_credentials, bool):
            raise SettingError(f"{where}: cors: allow_credentials={self.allow_credentials!r} is refused: it takes True or False.")
        if self.allow_credentials and "*" in (*self.allow_origins, *self.allow_methods, *self.allow_headers):
            raise SettingError(f"{where}: cors: allow_credentials=True is refused beside '*': name the origins, methods and headers.")

    def preflight(self, headers: Mapping[str, str]) -> Answer | None:
        """The answer to a preflight request; None for an OPTIONS request that is none."""
        origin, method = headers.get("origin"), headers.get("access-control-request-method")
        if origin is None or method is None:
            return None
        if not self._allows(origin) or not ("*" in self.allow_methods or method in self.allow_methods):
            return Answer(204)
        answer = list(self.headers_for(origin))
        if self.allow_methods:
            answer.append((b"access-control-allow-methods", ",".join(self.allow_methods).encode()))
        if self.allow_headers:
            answer.append((b"access-control-allow-headers", ",".join(self.allow_headers).encode()))
        if self.max_age is not None:
            answer.append((b"access-control-max-age", str(self.max_age).encode()))
        return Answer(204, answer)

    def headers_for(self, origin: str | None) -> Headers:
        """What an answer to a request from this origin gets."""
        if origin is None or not self._allows(origin):
            return ()
        every = "*" in self.allow_origins
        headers = [(b"access-control-allow-origin", b"*" if every else origin.encode("latin-1"))]
        if not every:
            headers.append((b"vary", b"Origin"))
        if self.allow_credentials:
            headers.append((b"access-control-allow-credentials", b"true"))
        if self.expose_headers:
            headers.append((b"access-control-expose-headers", ",".join(self.expose_headers).encode()))
        return headers

    def _allows(self, origin: str) -> bool:
        return any(allowed in ("*", origin) or (allowed.endswith("://*") and origin.startswith(allowed[:-1])) for allowed in self.allow_origins)


def texts(where: str, name: str, value: Any) -> tuple[str, ...]:
    if (
        isinstance(value, str)
        or not isinstance(value, Sequence)
        or not all(isinstance(one, str) and one.isprintable() and one.isascii() for one in value)
    ):
        raise SettingError(f"{where}: cors: {name}={value!r} is refused: it takes a list of texts.")
    return tuple(value)
