"""The JWT authorizer of HTTP APIs: a route's step that lets in who has a token of the issuer."""

from __future__ import annotations

import logging
from collections import OrderedDict
from dataclasses import dataclass

from eventflow.clock import Clock
from eventflow.gateway.apis import Route
from eventflow.gateway.authorizers.claims import check_claims, scopes_of, written
from eventflow.gateway.authorizers.fetching import FetchFailed
from eventflow.gateway.authorizers.identity_sources import Source
from eventflow.gateway.authorizers.keys import KeySource
from eventflow.gateway.authorizers.settings import JwtSettings
from eventflow.gateway.authorizers.tokens import InvalidToken, claims_of, read_token
from eventflow.gateway.request import Request
from eventflow.gateway.seams import Addition, Findings, Refusal

log = logging.getLogger("eventflow.gateway")

#: So many tokens are remembered as verified, of at most so many characters: about 20 MB at worst.
REMEMBERED = 1_024
LONGEST_REMEMBERED = 4_096
NO_TOKEN = Refusal("UNAUTHORIZED", ((b"www-authenticate", b"Bearer"),), log={"authorizer.error": "there is no token"})


@dataclass(frozen=True, slots=True)
class Verified:
    """A token that is right: what it adds on routes without scopes and on those with some, its scopes, and until when (Unix seconds)."""

    plain: Addition
    scoped: Addition
    scopes: frozenset[str]
    expires: float


class TokenVerifier:
    """Verifies the tokens of one authorizer, each once; it stays over reloads. A token is verified anew when it was forgotten or the issuer's keys
    are other ones than then."""

    def __init__(self, settings: JwtSettings, source: KeySource, clock: Clock) -> None:
        self.settings = settings
        self.source = source
        self._clock = clock
        self._verified: OrderedDict[str, Verified] = OrderedDict()
        self._generation = 0

    async def verified(self, text: str) -> Verified:
        """Raises InvalidToken or FetchFailed."""
        known = self._remembered(text)
        if known is not None:
            return known
        token = read_token(text, self.settings.algorithms)
        claims = claims_of(token, await self.source.find(token.kid))
        expires = check_claims(claims, self.settings.issuer, self.settings.audience, self._clock.now())
        shown, scopes = written(claims), scopes_of(claims)
        found = Verified(
            Addition(authorizer={"jwt": {"claims": shown, "scopes": None}}),
            Addition(authorizer={"jwt": {"claims": shown, "scopes": scopes}}),
            frozenset(scopes),
            expires,
        )
        self._forget_former()
        if len(text) <= LONGEST_REMEMBERED:
            self._verified[text] = found
            if len(self._verified) > REMEMBERED:
                self._verified.popitem(last=False)
        return found

    def _remembered(self, text: str) -> Verified | None:
        if not self.source.usable():
            return None
        self._forget_former()
        known = self._verified.get(text)
        if known is None:
            return None
        if known.expires <= self._clock.now():
            del self._verified[text]
            return None
        self._verified.move_to_end(text)
        return known

    def _forget_former(self) -> None:
        """Forget what was verified with other keys than the issuer's present ones."""
        if self.source.generation != self._generation:
            self._verified.clear()
            self._generation = self.source.generation


class JwtStep:
    """Looks for a token where the authorizer has it, with ``Bearer`` before it or without. One of ``scopes`` is enough."""

    early = True

    def __init__(self, verifier: TokenVerifier, source: Source, scopes: frozenset[str]) -> None:
        self._verifier = verifier
        self._source = source
        self._scopes = scopes
        self._asked = " ".join(sorted(scopes))

    async def __call__(self, request: Request, route: Route, findings: Findings) -> Addition | Refusal | None:
        text = self._source(request, route)
        if not text:
            return NO_TOKEN
        if text[:7].lower() == "bearer ":
            text = text[7:].strip(" ")
        try:
            token = await self._verifier.verified(text)
        except InvalidToken as error:
            return self._refusal("UNAUTHORIZED", "invalid_token", str(error))
        except FetchFailed as error:
            return self._refusal("UNAUTHORIZED", "invalid_token", "the issuer's keys cannot be had", str(error))
        if not self._scopes:
            return token.plain
        if self._scopes.isdisjoint(token.scopes):
            return self._refusal("ACCESS_DENIED", "insufficient_scope", "the token has none of the scopes")
        return token.scoped

    def _refusal(self, kind: str, error: str, description: str, details: str = "") -> Refusal:
        """``details`` are for the access log alone."""
        challenge = f'Bearer scope="{self._asked}" error="{error}" error_description="{description}"'
        return Refusal(kind, ((b"www-authenticate", challenge.encode()),), log={"authorizer.error": details or description})
