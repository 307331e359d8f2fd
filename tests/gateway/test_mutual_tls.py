"""Mutual TLS over real connections, with authorities and certificates made for the test."""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID

from eventflow import App
from eventflow.errors import EventflowError
from eventflow.gateway.authorizers.client_certificates import distinguished
from eventflow.http_guard import Limits, check_authorities, guarded
from tests.gateway.certificates import DAY, NOW, Identity, identity
from tests.gateway.server import GatewayServer, gateway
from tests.patience import PATIENCE
from triggers import Http, Rest


@dataclass
class World:
    server: GatewayServer
    folder: Path
    authority: Identity

    def get(self, path: str, client: Identity | None = None) -> tuple[int, Any]:
        context = ssl.create_default_context(cafile=str(self.authority.files[0]))
        if client is not None:
            context.load_cert_chain(*client.files)
        connection = http.client.HTTPSConnection("127.0.0.1", self.server.port, timeout=PATIENCE, context=context)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("certificates")
    authority = identity(folder, "authority")
    own = identity(folder, "localhost", authority)
    app = App("mutual")
    seen: list[Any] = []

    @app.function()
    def decide(event: Any, context: Any) -> Any:
        seen.append(event)
        return {"isAuthorized": event["requestContext"]["authentication"]["clientCert"]["subjectDN"] == "CN=ada,C=DE"}

    guard = app.lambda_authorizer("guard", decide, simple=True, ttl=0, identity_source=[])

    @app.on(Http("GET /who", authorizer="none"))
    @app.on(Rest("GET /who"))
    @app.on(Http("GET /ada", authorizer=guard))
    def who(event: Any, context: Any) -> Any:
        context = event["requestContext"]
        return {"statusCode": 200, "body": json.dumps(context.get("authentication") or context["identity"])}

    options = {"tls": own.files, "client_ca": authority.files[0], "protocol": guarded(Limits(10_240, 30.0, 60.0))}
    with gateway(app, options=options, surroundings={"mutual_tls": True}) as server:
        yield World(server, folder, authority)


def test_functions_see_who_their_client_is(world: World) -> None:
    ada = identity(world.folder, "ada", world.authority, use=ExtendedKeyUsageOID.CLIENT_AUTH)
    form = "%b %e %H:%M:%S %Y GMT"
    expected = {
        "clientCertPem": ada.files[0].read_text(),
        "subjectDN": "CN=ada,C=DE",
        "issuerDN": "CN=authority,C=DE",
        "serialNumber": "a1:b2:c3",
        "validity": {"notBefore": (NOW - 3 * DAY).strftime(form), "notAfter": (NOW + DAY).strftime(form)},
    }
    assert world.get("/who", ada) == (200, {"clientCert": expected})
    status, shown = world.get("/prod/who", ada)
    assert (status, shown["clientCert"], shown["sourceIp"]) == (200, expected, "127.0.0.1")


def test_authorizers_see_it_too(world: World) -> None:
    assert world.get("/ada", identity(world.folder, "ada", world.authority))[0] == 200
    assert world.get("/ada", identity(world.folder, "eve", world.authority))[0] == 403


def test_who_shows_no_certificate_of_the_authority_does_not_get_through(world: World) -> None:
    other = identity(world.folder, "other")
    strangers = [
        None,
        identity(world.folder, "stranger", other),
        other,
        identity(world.folder, "expired", world.authority, days=-1),
        identity(world.folder, "server", world.authority, use=ExtendedKeyUsageOID.SERVER_AUTH),
    ]
    before = len(world.server.events)
    for client in strangers:
        with pytest.raises(OSError):
            world.get("/who", client)
    assert len(world.server.events) == before


def test_files_without_authorities_are_refused(world: World, tmp_path: Path) -> None:
    for content in ("", "nonsense", identity(tmp_path, "ada", world.authority).files[0].read_text()):
        (tmp_path / "ca.pem").write_text(content)
        with pytest.raises(EventflowError, match=r"ca\.pem has no certificate.*--tls-client-ca"):
            check_authorities(tmp_path / "ca.pem")
    with pytest.raises(EventflowError, match=r"missing\.pem has no certificates"):
        check_authorities(tmp_path / "missing.pem")
    check_authorities(world.authority.files[0])


def test_names_are_written_as_rfc_4514_has_them() -> None:
    name = ((("countryName", "DE"),), (("organizationName", 'A+B, "C"'),), (("commonName", "#x "), ("emailAddress", "a@b")))
    assert distinguished(name) == 'CN=\\#x\\ +emailAddress=a@b,O=A\\+B\\, \\"C\\",C=DE'
