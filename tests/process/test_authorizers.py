"""Authorizers in a real daemon: tokens against a file of keys, functions in processes of their own, and what status tells."""

from __future__ import annotations

import http.client
import json
import time
from pathlib import Path
from urllib.parse import urlsplit

from tests.gateway.issuer import AUDIENCE, ISSUER, OTHER_RSA, RSA, Issuer, public_set
from tests.patience import PATIENCE
from tests.process.daemon_process import DaemonProcess, daemon

CODE = f"""
from triggers import Http
users = app.jwt_authorizer("users", issuer={ISSUER!r}, audience={AUDIENCE!r}, jwks="jwks.json")
app.http_api(authorizer=users)

@app.function()
def decide(event, context):
    return {{"isAuthorized": event["identitySource"] == ["sesame"]}}

guard = app.lambda_authorizer("guard", decide, simple=True, identity_source="$request.header.word")

@app.on(Http("GET /token"))
@app.on(Http("GET /word", authorizer=guard))
def answer(event, context):
    return event["requestContext"]["authorizer"].get("jwt", {{"claims": {{"sub": "by word"}}}})["claims"]["sub"]
"""


def ask(process: DaemonProcess, path: str, **headers: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection(str(urlsplit(process.facts["gateway"]).netloc), timeout=PATIENCE)
    try:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def test_tokens_and_words(tmp_path: Path) -> None:
    (tmp_path / "jwks.json").write_text(json.dumps(public_set(RSA)))
    issuer = Issuer(time.time())
    with daemon(tmp_path, CODE) as process:
        process.start()
        assert "not asked yet" in process.cli("status").stdout
        assert ask(process, "/token", authorization=f"Bearer {issuer.token()}") == (200, "ada")
        assert ask(process, "/token", authorization=issuer.token(key=OTHER_RSA))[0] == 401
        assert ask(process, "/token", authorization=issuer.token(exp=int(time.time()) - 1))[0] == 401
        assert ask(process, "/word", word="sesame") == (200, "by word")
        assert ask(process, "/word", word="other")[0] == 403
        assert ask(process, "/word")[0] == 401
        (users,) = (one for one in json.loads(process.cli("status", "--json").stdout)["authorizers"] if one["name"] == "users")
        assert (users["keys"], users["failure"]) == (1, None)
