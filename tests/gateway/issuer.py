"""An issuer of tokens, made with joserfc and plain JSON: another library than the one that checks them."""

from __future__ import annotations

import base64
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from joserfc import jwk, jws
from joserfc.jws import JWSRegistry

ISSUER = "https://login.example.com/"
AUDIENCE = "shop"
RSA = jwk.RSAKey.generate_key(2048, {"kid": "one", "use": "sig"}, private=True)
OTHER_RSA = jwk.RSAKey.generate_key(2048, {"kid": "two", "use": "sig"}, private=True)
EC = jwk.ECKey.generate_key("P-256", {"kid": "curve", "use": "sig"}, private=True)
ALL = JWSRegistry(algorithms=["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256"], strict_check_header=False)
Signing = jwk.RSAKey | jwk.ECKey


def segment(value: Any) -> str:
    octets = value if isinstance(value, bytes) else (value if isinstance(value, str) else json.dumps(value)).encode()
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


def sign(payload: str | bytes, head: Mapping[str, Any], key: Signing = RSA) -> str:
    return jws.serialize_compact(dict(head), payload, key, registry=ALL)


def sign_raw(head: str, payload: str | bytes) -> str:
    """RS256 over a head that no library would write."""
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
    from cryptography.hazmat.primitives.hashes import SHA256

    private = RSA.private_key
    assert private is not None
    signed = f"{segment(head)}.{segment(payload)}"
    return f"{signed}.{segment(private.sign(signed.encode(), PKCS1v15(), SHA256()))}"


def sign_hmac(head: str, payload: str, secret: bytes) -> str:
    """What a verifier takes for right that hands a public key to HMAC; joserfc refuses to make it."""
    signed = f"{segment(head)}.{segment(payload)}"
    return f"{signed}.{segment(hmac.digest(secret, signed.encode(), 'sha256'))}"


def public_set(*keys: Signing) -> dict[str, Any]:
    return {"keys": [key.as_dict(private=False) for key in keys]}


@dataclass
class Issuer:
    """Makes tokens for an instant (Unix seconds)."""

    now: float
    key: Signing = field(default_factory=lambda: RSA)
    claims: Mapping[str, Any] = field(default_factory=dict)

    def payload(self, **claims: Any) -> dict[str, Any]:
        usual = {"iss": ISSUER, "aud": AUDIENCE, "sub": "ada", "iat": int(self.now), "exp": int(self.now) + 600}
        return {name: value for name, value in {**usual, **self.claims, **claims}.items() if value is not ...}

    def token(self, head: Mapping[str, Any] | None = None, key: Signing | None = None, **claims: Any) -> str:
        key = key or self.key
        algorithm = "RS256" if key.key_type == "RSA" else "ES256"
        return sign(json.dumps(self.payload(**claims)), {"alg": algorithm, "kid": key.kid, "typ": "JWT", **(head or {})}, key)
