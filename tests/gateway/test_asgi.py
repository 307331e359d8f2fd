"""ASGI applications as functions."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from eventflow import App, SettingError
from eventflow.app import Loaded
from eventflow.asgi import AsgiFailed, AsgiHandler
from tests.gateway.server import GatewayServer, gateway

lived: list[str] = []


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Says what it was asked, in the way of any framework."""
    if scope["type"] == "lifespan":
        lived.append((await receive())["type"])
        scope["state"]["started"] = "yes"
        await send({"type": "lifespan.startup.complete"})
        await receive()
    body = (await receive())["body"]
    shown = [scope["method"], scope["path"], scope["root_path"], scope["query_string"].decode(), scope["state"]["started"], str(len(body))]
    headers = [(b"content-type", b"text/plain"), (b"set-cookie", b"a=1"), (b"set-cookie", b"b=2"), (b"x-cookie", dict(scope["headers"])[b"cookie"])]
    await send({"type": "http.response.start", "status": 201, "headers": headers})
    await send({"type": "http.response.body", "body": " ".join(shown).encode(), "more_body": True})
    await send({"type": "http.response.body", "body": b"."})


async def image(scope: Any, receive: Any, send: Any) -> None:
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"image/png")]})
    await send({"type": "http.response.body", "body": bytes(range(256))})


app = App("asgi")
app.asgi("/legacy", application)
app.asgi("/image", image, name="picture", memory=256)


@pytest.fixture(scope="module")
def server() -> Iterator[GatewayServer]:
    with gateway(app) as running:
        yield running


def test_it_answers_all_below_its_path(server: GatewayServer) -> None:
    found = server.request("POST", "/legacy/a/b?x=1", b"\0\xff", {"Cookie": "c=3; d=4"})
    assert (found.status, found.text) == (201, "POST /legacy/a/b /legacy x=1 yes 2.")
    assert (found.all("set-cookie"), found["x-cookie"]) == (["a=1", "b=2"], "c=3; d=4")
    assert server.get("/legacy", cookie="e=5").text == "GET /legacy /legacy  yes 0."
    assert server.get("/legacy/", cookie="e=5").text == "GET /legacy/ /legacy  yes 0."  # where the first page of what is mounted is
    assert server.get("/legacyx", cookie="e=5").status == 404
    assert lived == ["lifespan.startup"]


def test_bytes_stay_bytes_and_a_lifespan_need_not_be_known(server: GatewayServer) -> None:
    assert server.get("/image").body == bytes(range(256))


def test_its_function_is_found_by_the_applications_own_name() -> None:
    module = __name__
    manifest = app.manifest(Loaded(app, module, "app", app._root))
    assert {function.name: (function.handler, function.memory) for function in manifest.functions} == {
        "legacy": (f"{module}:app.asgi_functions.legacy", 128),
        "picture": (f"{module}:app.asgi_functions.picture", 256),
    }


def test_an_application_that_does_not_start_says_so() -> None:
    async def fails(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "lifespan.startup.failed", "message": "no database"})

    with pytest.raises(AsgiFailed, match="did not start: no database"):
        asyncio.run(AsgiHandler(fails, "f", "m", "f")({}, None))


@pytest.mark.parametrize("path", ["legacy", "/a/", "/{x}", ""])
def test_paths_that_are_none_are_refused(path: str) -> None:
    with pytest.raises(SettingError, match="it takes a path such as"):
        App("x").asgi(path, image)


class Flask:
    """What is Flask's about a Flask application."""

    def wsgi_app(self) -> None: ...

    def __call__(self, environ: Any, start_response: Any) -> Any:
        raise AssertionError


@pytest.mark.parametrize("given", [Flask(), "site:app", None])
def test_what_is_no_asgi_application_is_refused(given: Any) -> None:
    with pytest.raises(SettingError, match=r"app.asgi\('/legacy'\).*is no ASGI application.*a2wsgi"):
        App("mistaken").asgi("/legacy", given)
