"""JSON Web Tokens: read strictly, and checked with keys that their issuer published. PyJWT does the cryptography (the extra ``gateway``)."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt.algorithms import ECAlgorithm, RSAAlgorithm, get_default_algorithms
from jwt.exceptions import PyJWTError

#: Longer ones are refused before anything of them is read.
LONGEST_TOKEN = 16_384
COMPACT = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)")
#: A key that a token brings itself, or says where to get, is its author's and not the issuer's (RFC 8725, 3.10).
BROUGHT_KEYS = frozenset(("jku", "jwk", "x5c", "x5u"))
LEAST_RSA_BITS = 2048
MOST_RSA_BITS = 16_384
LONGEST_MEMBER = MOST_RSA_BITS // 8 * 4 // 3 + 8
LARGEST_EXPONENT = 2**64
MOST_KEYS = 100
KEY_TYPES = {"RS": "RSA", "PS": "RSA", "ES": "EC"}
CURVES = {"ES256": "secp256r1", "ES384": "secp384r1", "ES512": "secp521r1"}
#: What a public key consists of; all other members, a private key's above all, are left out before a library sees them.
PUBLIC_MEMBERS = {"RSA": ("kty", "n", "e"), "EC": ("kty", "crv", "x", "y")}
SIGNERS = {name: one for name, one in get_default_algorithms().items() if name in CURVES or name[:2] in ("RS", "PS")}


class InvalidToken(Exception):
    """A token that lets nobody in. The text says why, for the client: it repeats nothing of what the client sent."""


class InvalidKeys(Exception):
    """A document that is no JSON Web Key Set; the text says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Key:
    """A public key. ``algorithm`` is the one that it is for, None where its issuer does not say."""

    kid: str
    kind: str
    algorithm: str | None
    public: RSAPublicKey | EllipticCurvePublicKey


@dataclass(frozen=True, slots=True)
class Token:
    """A token whose head was read; whether its signature is right, ``claims_of`` tells."""

    algorithm: str
    kid: str
    signed: bytes
    payload: str
    signature: bytes


def read_token(text: str, algorithms: Collection[str]) -> Token:
    """The head of a token. Raises InvalidToken."""
    if len(text) > LONGEST_TOKEN:
        raise InvalidToken("the token is too long")
    found = COMPACT.fullmatch(text)
    if found is None:
        raise InvalidToken("the token is malformed")
    head = object_of(found[1])
    algorithm, kid = head.get("alg"), head.get("kid")
    if not isinstance(algorithm, str) or algorithm not in algorithms:
        raise InvalidToken("the token's signing algorithm is not allowed")
    if "crit" in head or "b64" in head:
        raise InvalidToken("the token's header has extensions that are not understood")
    if not BROUGHT_KEYS.isdisjoint(head):
        raise InvalidToken("the token's header brings a key of its own")
    if not isinstance(kid, str) or not kid:
        raise InvalidToken("the token's header has no kid")
    return Token(algorithm, kid, text[: found.end(2)].encode(), found[2], decoded(found[3]))


def claims_of(token: Token, keys: Sequence[Key]) -> dict[str, Any]:
    """The claims of a token that one of the keys signed. Raises InvalidToken."""
    if not keys:
        raise InvalidToken("the token's kid names none of the issuer's keys")
    signer = SIGNERS[token.algorithm]
    for key in keys:
        if key.kind != KEY_TYPES[token.algorithm[:2]] or key.algorithm not in (None, token.algorithm):
            continue
        if isinstance(key.public, EllipticCurvePublicKey) and key.public.curve.name != CURVES[token.algorithm]:
            continue
        if signer.verify(token.signed, signer.prepare_key(key.public), token.signature):
            return object_of(token.payload)
    raise InvalidToken("the token's signature is invalid")


def decoded(text: str) -> bytes:
    """Base64url without padding, in the one form that its bytes have."""
    try:
        octets = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError) as error:
        raise InvalidToken("the token is malformed") from error
    if base64.urlsafe_b64encode(octets).rstrip(b"=") != text.encode():
        raise InvalidToken("the token is malformed")
    return octets


def object_of(text: str) -> dict[str, Any]:
    """A part of a token as a JSON object in UTF-8, in which no member comes twice: of two, each reader would believe another."""
    try:
        value = strict_json(decoded(text))
    except (ValueError, RecursionError) as error:
        raise InvalidToken("the token is malformed") from error
    if not isinstance(value, dict):
        raise InvalidToken("the token is malformed")
    return value


def strict_json(octets: bytes) -> Any:
    """Raises ValueError, also for members that come twice and for what is no JSON number, or RecursionError."""
    return json.loads(octets.decode("utf-8"), object_pairs_hook=unique, parse_constant=no_number)


def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a member comes twice")
    return found


def no_number(text: str) -> Any:
    raise ValueError(f"{text} is no JSON")


def read_keys(document: bytes) -> dict[str, tuple[Key, ...]]:
    """The keys of a JWKS (RFC 7517) that can check signatures, by ``kid``; those that cannot are left out. Raises InvalidKeys."""
    try:
        value = strict_json(document)
    except (ValueError, RecursionError) as error:
        raise InvalidKeys(f"it is no JSON: {error}") from error
    entries = value.get("keys") if isinstance(value, dict) else None
    if not isinstance(entries, list):
        raise InvalidKeys('it is no object with a list "keys"')
    if len(entries) > MOST_KEYS:
        raise InvalidKeys(f"it has {len(entries)} keys; {MOST_KEYS} are allowed")
    found: dict[str, tuple[Key, ...]] = {}
    for entry in entries:
        key = key_of(entry) if isinstance(entry, dict) else None
        if key is not None:
            found[key.kid] = (*found.get(key.kid, ()), key)
    if not found:
        raise InvalidKeys('none of its keys can check signatures: that takes an RSA key of at least 2048 bits or an EC key, with a "kid"')
    return found


def key_of(entry: Mapping[str, Any]) -> Key | None:
    kid, kind, algorithm = entry.get("kid"), entry.get("kty"), entry.get("alg")
    if not isinstance(kid, str) or not isinstance(kind, str) or kind not in PUBLIC_MEMBERS or entry.get("use", "sig") != "sig":
        return None
    operations = entry.get("key_ops", ["verify"])
    if not isinstance(operations, list) or "verify" not in operations or not (algorithm is None or isinstance(algorithm, str)):
        return None
    members = {name: entry.get(name) for name in PUBLIC_MEMBERS[kind]}
    if not all(isinstance(value, str) and len(value) <= LONGEST_MEMBER for value in members.values()):
        return None
    try:
        public = RSAAlgorithm.from_jwk(members) if kind == "RSA" else ECAlgorithm.from_jwk(members)
    except (PyJWTError, ValueError):
        return None
    if isinstance(public, RSAPublicKey) and not (LEAST_RSA_BITS <= public.key_size <= MOST_RSA_BITS and public.public_numbers().e < LARGEST_EXPONENT):
        return None
    assert isinstance(public, RSAPublicKey | EllipticCurvePublicKey)
    return Key(kid, kind, algorithm, public)
