"""Mutual TLS: the certificate of a connection's client, which the server has checked, as functions and authorizers get to see it."""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterable, Sequence
from typing import Any

from eventflow.gateway.apis import URL, Api, Route
from eventflow.gateway.request import Request
from eventflow.gateway.seams import Addition, Findings, Integration, Refusal, Step
from eventflow.trigger import ApiRoute

#: Where the server puts it in the ASGI scope's ``state``.
STATE = "client_certificate"
#: The short names of RFC 4514 for those that OpenSSL writes out.
ATTRIBUTES = {
    "commonName": "CN",
    "countryName": "C",
    "domainComponent": "DC",
    "localityName": "L",
    "organizationName": "O",
    "organizationalUnitName": "OU",
    "stateOrProvinceName": "ST",
    "streetAddress": "STREET",
    "userId": "UID",
}
SPECIAL = re.compile(r'([,+"\\<>;])')


def client_certificate(connection: ssl.SSLObject) -> Addition | None:
    """What the certificate of a connection's client adds to its requests: ``clientCert`` ("Mutual TLS", API Gateway developer guide). None where
    the client showed none."""
    octets, details = connection.getpeercert(binary_form=True), connection.getpeercert()
    if octets is None or not details:
        return None
    return addition_of(octets, details)


def addition_of(octets: bytes, details: Any) -> Addition:
    serial = details["serialNumber"].lower()
    serial = serial.zfill(len(serial) + len(serial) % 2)
    validity = {"notBefore": details["notBefore"], "notAfter": details["notAfter"]}
    shown = {
        "clientCertPem": ssl.DER_cert_to_PEM_cert(octets),
        "subjectDN": distinguished(details["subject"]),
        "issuerDN": distinguished(details["issuer"]),
        "serialNumber": ":".join(serial[at : at + 2] for at in range(0, len(serial), 2)),
        "validity": validity,
    }
    return Addition(identity={"clientCert": shown}, authentication={"clientCert": shown})


def distinguished(name: Iterable[Iterable[tuple[str, str]]]) -> str:
    """A name as RFC 4514 writes it: the most special part first."""
    parts = ["+".join(f"{ATTRIBUTES.get(kind, kind)}={escaped(value)}" for kind, value in part) for part in name]
    return ",".join(reversed(parts))


def escaped(value: str) -> str:
    text = SPECIAL.sub(r"\\\1", value)
    if text[:1] in ("#", " "):
        text = f"\\{text}"
    return f"{text[:-1]}\\ " if len(value) > 1 and value.endswith(" ") else text


class ClientCertificates:
    """Adds the client's certificate to every request, before authorizers are asked. Only plugged in where clients must show one."""

    route_options: frozenset[str] = frozenset()
    api_options: frozenset[str] = frozenset()

    def load(self, apis: Sequence[Api]) -> None:
        """There is nothing to say of it."""

    def step(self, api: Api, route: ApiRoute) -> Step | None:
        return None if api.protocol == URL else CertificateStep()

    def extend(self, api: Api) -> Iterable[tuple[str, Integration]]:
        return ()

    def took_up(self) -> None:
        """There is nothing to keep."""


class CertificateStep:
    early = True

    async def __call__(self, request: Request, route: Route, findings: Findings) -> Addition | Refusal | None:
        found: Addition | None = request.scope.get("state", {}).get(STATE)
        return found
