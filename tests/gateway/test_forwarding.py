"""Who the client is when proxies stand before the gateway."""

from __future__ import annotations

from typing import Any

import pytest

from eventflow import App
from eventflow.gateway.forwarding import Client, client_of, networks
from tests.gateway.server import gateway
from triggers import Http

TRUSTED = networks("10.0.0.0/8, 2001:db8::/32")


@pytest.mark.parametrize(
    "peer, headers, client",
    [
        ("192.0.2.1", {"x-forwarded-for": "203.0.113.9"}, Client("192.0.2.1")),  # nobody whom we trust
        ("10.0.0.1", {}, Client("10.0.0.1")),
        ("10.0.0.1", {"x-forwarded-for": "203.0.113.9"}, Client("203.0.113.9")),
        ("10.0.0.1", {"x-forwarded-for": "1.1.1.1, 203.0.113.9, 10.3.3.3"}, Client("203.0.113.9")),  # 1.1.1.1 is what the client made up
        ("10.0.0.1", {"x-forwarded-for": "10.1.1.1, 10.2.2.2"}, Client("10.1.1.1")),
        ("10.0.0.1", {"x-forwarded-for": "not an address"}, Client("10.0.0.1")),
        ("::ffff:10.0.0.1", {"x-forwarded-for": "203.0.113.9:4711"}, Client("203.0.113.9")),
        (
            "10.0.0.1",
            {"x-forwarded-for": "203.0.113.9", "x-forwarded-proto": "https", "x-forwarded-host": "shop.example"},
            Client("203.0.113.9", "https", "shop.example"),
        ),
        (
            "10.0.0.1",
            {"forwarded": 'for="[2001:470::1]:80";proto=https;host="a,b.example", for=10.2.2.2'},
            Client("2001:470::1", "https", "a,b.example"),
        ),
        ("10.0.0.1", {"forwarded": "for=_hidden"}, Client("10.0.0.1")),
        ("10.0.0.1", {"forwarded": "for=unknown, for=203.0.113.9"}, Client("203.0.113.9")),
        ("10.0.0.1", {"forwarded": "for=203.0.113.9", "x-forwarded-for": "1.1.1.1, 203.0.113.9"}, Client("203.0.113.9")),
        ("10.0.0.1", {"forwarded": "for=203.0.113.9", "x-forwarded-for": "198.51.100.1"}, Client("203.0.113.9", disputed=True)),
        ("10.0.0.1", {"forwarded": "proto=https", "x-forwarded-for": "198.51.100.1"}, Client("198.51.100.1")),
    ],
)
def test_the_client_is_the_last_whom_no_trusted_proxy_stands_for(peer: str, headers: dict[str, str], client: Client) -> None:
    assert client_of(peer, [(name.encode(), value.encode()) for name, value in headers.items()], TRUSTED) == client


@pytest.mark.parametrize("trusted, client", [("127.0.0.0/8", "203.0.113.9"), ("", "127.0.0.1")])
def test_the_event_names_the_client(trusted: str, client: str) -> None:
    app = App("forwarding")
    app.on(Http("$default"))(lambda_)
    with gateway(app, surroundings={"trusted_proxies": trusted}) as server:
        event = server.get("/", x_forwarded_for="203.0.113.9", x_forwarded_proto="https").json()
    assert event["requestContext"]["http"]["sourceIp"] == client
    assert event["headers"]["x-forwarded-for"] == "203.0.113.9, 127.0.0.1"
    assert event["headers"]["x-forwarded-proto"] == ("https" if trusted else "http")


def test_two_clients_of_one_request_are_none() -> None:
    """A proxy that writes X-Forwarded-For passes on the Forwarded that a client made up."""
    app = App("forwarding")
    app.on(Http("$default"))(lambda_)
    with gateway(app, surroundings={"trusted_proxies": "127.0.0.1"}) as server:
        assert server.get("/", x_forwarded_for="203.0.113.9", forwarded="for=198.51.100.1").status == 400
        assert server.get("/", x_forwarded_for="203.0.113.9", forwarded="for=203.0.113.9").status == 200


def test_an_address_cannot_end_the_text_that_it_is_in() -> None:
    app = App("forwarding")
    app.on(Http("$default"))(lambda_)
    with gateway(app, surroundings={"trusted_proxies": "127.0.0.1"}) as server:
        event = server.get("/", x_forwarded_for='fe80::1%","a":"b').json()
    assert "a" not in event["requestContext"]["http"]


def lambda_(event: Any, context: Any) -> Any:
    return event
