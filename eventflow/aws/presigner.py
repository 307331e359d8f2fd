"""Addresses of this endpoint that anybody may get what is there with, for a while: presigned with the daemon's own key."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from eventflow.aws.sigv4 import ALGORITHM, UNSIGNED, Signature, SigningKey, compact, encoded, signing_key, string_to_sign
from eventflow.clock import Clock


class Presigner:
    """``credentials`` maps access key ids to secrets; the first one signs."""

    def __init__(self, credentials: Mapping[str, str], clock: Clock) -> None:
        self._credentials = credentials
        self._clock = clock

    def address(self, base_url: str, path: str, region: str, life: int) -> str:
        """The address of an object of S3, path-style and plain ASCII, for a GET within ``life`` seconds (AWS: "Authenticating requests: using query
        parameters")."""
        access_key, secret = next(iter(self._credentials.items()))
        now = self._clock.now()
        signature = Signature(access_key, compact(now)[:8], region, "s3", ("host",), "", compact(now), now, life)
        said = {
            "X-Amz-Algorithm": ALGORITHM,
            "X-Amz-Credential": f"{access_key}/{signature.scope}",
            "X-Amz-Date": signature.date,
            "X-Amz-Expires": str(life),
            "X-Amz-SignedHeaders": "host",
        }
        query = "&".join(f"{name}={encoded(value.encode(), '')}" for name, value in said.items())
        canonical = f"GET\n{path}\n{query}\nhost:{urlsplit(base_url).netloc}\n\nhost\n{UNSIGNED}"
        key = SigningKey(signing_key(secret, signature.day, region, "s3"))
        return f"{base_url}{path}?{query}&X-Amz-Signature={key.sign(string_to_sign(signature, canonical))}"
