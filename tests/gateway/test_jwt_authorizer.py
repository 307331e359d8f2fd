"""The JWT authorizer of HTTP APIs over real connections; tokens are made by another library, or by hand."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from eventflow import App, SettingError
from eventflow.gateway.authorizers import json_web_tokens
from eventflow.gateway.authorizers.tokens import claims_of
from eventflow.testing.virtual_clock import VirtualClock
from tests.gateway.issuer import AUDIENCE, EC, ISSUER, OTHER_RSA, RSA, Issuer, public_set, segment, sign, sign_hmac, sign_raw
from tests.gateway.server import GatewayServer, gateway
from triggers import Http, Rest

CLOCK = VirtualClock()
issuer = Issuer(CLOCK.now())


def application(keys: Path, **options: Any) -> App:
    app = App("tokens")
    jwt = app.jwt_authorizer("users", issuer=ISSUER, audience=[AUDIENCE, "second"], jwks=str(keys), **options)
    app.http_api(authorizer=jwt)

    @app.on(Http("GET /who"))
    @app.on(Http("GET /open", authorizer="none"))
    @app.on(Http("GET /read", scopes=["read", "write"]))
    def who(event: Any, context: Any) -> Any:
        return event["requestContext"].get("authorizer", "nobody")

    return app


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("keys") / "jwks.json"
    path.write_text(json.dumps(public_set(RSA, EC)))
    return path


@pytest.fixture(scope="module")
def server(keys: Path) -> Iterator[GatewayServer]:
    with gateway(application(keys), clock=CLOCK) as running:
        yield running


def ask(server: GatewayServer, token: str, path: str = "/who") -> Any:
    return server.get(path, authorization=token)


def test_a_token_lets_its_owner_in(server: GatewayServer) -> None:
    token = issuer.token(groups=["admin", "reader"], verified=True, level=3, ratio=1.5, address={"city": "Ulm"}, none=None, scope="read other")
    for written in (token, f"Bearer {token}", f"bearer  {token}"):
        found = ask(server, written)
        assert found.status == 200, found.body
        assert found.json() == {
            "jwt": {
                "claims": {
                    "iss": ISSUER, "aud": AUDIENCE, "sub": "ada", "iat": str(int(CLOCK.now())), "exp": str(int(CLOCK.now()) + 600),
                    "groups": "[admin reader]", "verified": "true", "level": "3", "ratio": "1.5", "address": '{"city":"Ulm"}', "scope": "read other",
                },
                "scopes": None,
            }
        }  # fmt: skip


def test_all_routes_are_closed_that_do_not_say_otherwise(server: GatewayServer) -> None:
    assert server.get("/open").text == "nobody"
    found = server.get("/who")
    assert (found.status, found.json(), found["www-authenticate"]) == (401, {"message": "Unauthorized"}, "Bearer")
    assert server.get("/read").status == 401


class Recorder:
    def __init__(self) -> None:
        self.errors: list[str | None] = []

    def record(self, request: Any, route: Any, findings: Any, answer: Any, seconds: float) -> None:
        self.errors.append(findings.log.get("authorizer.error"))


def test_access_logs_tell_why(keys: Path) -> None:
    with gateway(application(keys), clock=CLOCK) as server:
        recorder = server.service.app.table.apis[0].access_log = Recorder()
        for token, path in (("", "/who"), (issuer.token(aud="x"), "/who"), (issuer.token(), "/read"), (issuer.token(), "/who")):
            ask(server, token, path)
    assert recorder.errors == ["there is no token", "the token does not have a valid audience", "the token has none of the scopes", None]


def test_one_of_a_routes_scopes_is_enough(server: GatewayServer) -> None:
    assert ask(server, issuer.token(scope="other write"), "/read").json()["jwt"]["scopes"] == ["other", "write"]
    assert ask(server, issuer.token(scp=["read"]), "/read").status == 200
    for claims in ({}, {"scope": "reader"}, {"scope": 7}, {"scope": "", "scp": "read"}):
        found = ask(server, issuer.token(**claims), "/read")
        assert (found.status, found.json()) == (403, {"message": "Forbidden"})
        assert found["www-authenticate"] == (
            'Bearer scope="read write" error="insufficient_scope" error_description="the token has none of the scopes"'
        )


@pytest.mark.parametrize(
    ("claims", "why"),
    [
        ({"iss": "https://login.example.com"}, "the token does not have a valid issuer"),
        ({"iss": ...}, "the token does not have a valid issuer"),
        ({"aud": "other"}, "the token does not have a valid audience"),
        ({"aud": ...}, "the token does not have a valid audience"),
        ({"aud": []}, "the token does not have a valid audience"),
        ({"aud": {"shop": 1}}, "the token does not have a valid audience"),
        ({"aud": "other", "client_id": AUDIENCE}, "the token does not have a valid audience"),
        ({"exp": ...}, "the token has no expiry"),
        ({"exp": int(CLOCK.now())}, "the token has expired"),
        ({"exp": str(int(CLOCK.now()) + 600)}, "the token's exp is no number of seconds"),
        ({"exp": True}, "the token's exp is no number of seconds"),
        ({"exp": None}, "the token's exp is no number of seconds"),
        ({"nbf": int(CLOCK.now()) + 1}, "the token is not valid yet"),
        ({"nbf": "now"}, "the token's nbf is no number of seconds"),
        ({"iat": int(CLOCK.now()) + 1}, "the token was issued in the future"),
    ],
)
def test_claims_that_let_nobody_in(server: GatewayServer, claims: dict[str, Any], why: str) -> None:
    found = ask(server, issuer.token(**claims))
    assert (found.status, found["www-authenticate"]) == (401, f'Bearer scope="" error="invalid_token" error_description="{why}"')


def test_claims_that_let_in(server: GatewayServer) -> None:
    for claims in (
        {"aud": ["x", "second"]}, {"aud": ..., "client_id": AUDIENCE}, {"nbf": int(CLOCK.now())}, {"iat": ...}, {"exp": CLOCK.now() + 0.5},
    ):  # fmt: skip
        assert ask(server, issuer.token(**claims)).status == 200, claims


HEAD = {"alg": "RS256", "kid": "one"}
PAYLOAD = json.dumps(issuer.payload())
PEM = RSA.as_pem(private=False)
GOOD = issuer.token()
HEAD_PART, PAYLOAD_PART, SIGNATURE_PART = GOOD.split(".")
HOSTILE = {
    "none": f"{segment({'alg': 'none', 'kid': 'one'})}.{segment(PAYLOAD)}.",
    "none with a signature": f"{segment({'alg': 'none', 'kid': 'one'})}.{segment(PAYLOAD)}.{SIGNATURE_PART}",
    "None": f"{segment({'alg': 'None', 'kid': 'one'})}.{segment(PAYLOAD)}.{SIGNATURE_PART}",
    "the public key as a secret": sign_hmac('{"alg":"HS256","kid":"one"}', PAYLOAD, PEM),
    "the modulus as a secret": sign_hmac('{"alg":"HS256","kid":"one"}', PAYLOAD, str(RSA.as_dict()["n"]).encode()),
    "a list of algorithms": sign_raw('{"alg":["RS256"],"kid":"one"}', PAYLOAD),
    "no algorithm": sign_raw('{"kid":"one"}', PAYLOAD),
    "a curve that was not asked for": sign(PAYLOAD, {"alg": "ES256", "kid": "curve"}, EC),
    "rsa with a curve's key": sign(PAYLOAD, {"alg": "RS256", "kid": "curve"}, RSA),
    "another's key": sign(PAYLOAD, HEAD, OTHER_RSA),
    "no kid": sign(PAYLOAD, {"alg": "RS256"}, RSA),
    "kid of a path": sign(PAYLOAD, {"alg": "RS256", "kid": "../../../dev/null"}, RSA),
    "kid is a number": sign_raw('{"alg":"RS256","kid":1}', PAYLOAD),
    "crit": sign_raw('{"alg":"RS256","kid":"one","crit":["exp"],"exp":1}', PAYLOAD),
    "b64": sign_raw('{"alg":"RS256","kid":"one","b64":false}', PAYLOAD),
    "jwk": sign(PAYLOAD, {**HEAD, "jwk": OTHER_RSA.as_dict(private=False)}, OTHER_RSA),
    "jwk beside the right key": sign(PAYLOAD, {**HEAD, "jwk": RSA.as_dict(private=False)}),
    "jku": sign(PAYLOAD, {**HEAD, "jku": "http://127.0.0.1:1/keys"}),
    "x5u": sign(PAYLOAD, {**HEAD, "x5u": "http://127.0.0.1:1/chain"}),
    "x5c": sign(PAYLOAD, {**HEAD, "x5c": ["MII"]}),
    "alg twice": sign_raw('{"alg":"none","alg":"RS256","kid":"one"}', PAYLOAD),
    "aud twice": sign_raw(json.dumps(HEAD), PAYLOAD[:-1] + ',"aud":"shop"}'),
    "nested member twice": sign_raw(json.dumps(HEAD), PAYLOAD[:-1] + ',"x":{"a":1,"a":2}}'),
    "NaN": sign_raw(json.dumps(HEAD), PAYLOAD[:-1] + ',"x":NaN}'),
    "never expires": sign_raw(json.dumps(HEAD), json.dumps({**issuer.payload(), "exp": 7}).replace('"exp": 7', '"exp": 1e999')),
    "a very long number": sign_raw(json.dumps(HEAD), PAYLOAD[:-1] + f',"x":{"9" * 5000}}}'),
    "deep": sign_raw(json.dumps(HEAD), "[" * 5000),
    "deep head": f"{segment('[' * 8000)}.{PAYLOAD_PART}.{SIGNATURE_PART}",
    "payload is a list": sign_raw(json.dumps(HEAD), "[]"),
    "payload is no UTF-8": sign_raw(json.dumps(HEAD), b'{"iss":"\xff"}'),
    "head is a text": f"{segment(json.dumps('RS256'))}.{PAYLOAD_PART}.{SIGNATURE_PART}",
    "changed payload": f"{HEAD_PART}.{segment(json.dumps(issuer.payload(sub='eve')))}.{SIGNATURE_PART}",
    "empty signature": f"{HEAD_PART}.{PAYLOAD_PART}.",
    "short signature": f"{HEAD_PART}.{PAYLOAD_PART}.AA",
    "padded": f"{HEAD_PART}.{PAYLOAD_PART}.{SIGNATURE_PART}==",
    "a space in it": f"{HEAD_PART}.{PAYLOAD_PART}. {SIGNATURE_PART}",
    "another last character": GOOD[:-1] + ("B" if GOOD[-1] == "A" else chr(ord(GOOD[-1]) + 1)),
    "two parts": f"{HEAD_PART}.{PAYLOAD_PART}",
    "five parts": f"{GOOD}.AA.AA",
    "twice": f"{GOOD},{GOOD}",
    "not at all": "open sesame",
    "Bearer alone": "Bearer ",
    "Basic": "Basic YTpi",
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_tokens(server: GatewayServer, name: str) -> None:
    for _again in range(2):  # nothing of them is remembered
        found = ask(server, HOSTILE[name])
        assert (found.status, found.json()) == (401, {"message": "Unauthorized"}), name
        assert "ada" not in str(found.headers)


def test_two_headers_are_no_token(server: GatewayServer) -> None:
    answer = server.raw(f"GET /who HTTP/1.1\r\nHost: x\r\nAuthorization: {GOOD}\r\nAuthorization: {GOOD}\r\nConnection: close\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 401 ")


def test_other_algorithms_where_they_are_named(keys: Path) -> None:
    with gateway(application(keys, algorithms=["ES256", "PS256"], identity_source="$request.querystring.token"), clock=CLOCK) as server:
        assert server.get(f"/who?token={issuer.token(key=EC)}").status == 200
        assert server.get(f"/who?token={issuer.token({'alg': 'PS256'})}").status == 200
        assert server.get(f"/who?token={issuer.token()}").status == 401
        assert server.get(f"/who?token={issuer.token(key=EC)}&token={issuer.token(key=EC)}").status == 401
        assert server.get("/who", authorization=issuer.token(key=EC)).status == 401


def test_a_token_that_was_let_in_expires(keys: Path) -> None:
    clock = VirtualClock()
    with gateway(application(keys), clock=clock) as server:
        token = Issuer(clock.now()).token(exp=int(clock.now()) + 30)
        assert ask(server, token).status == ask(server, token).status == 200
        clock.advance_from_thread(server._loop, 30)
        assert ask(server, token).status == 401


def test_a_token_is_verified_once_and_few_are_remembered(keys: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    verified: list[str] = []

    def counted(token: Any, found: Any) -> Any:
        claims = claims_of(token, found)
        verified.append(claims["sub"])
        return claims

    monkeypatch.setattr(json_web_tokens, "claims_of", counted)
    monkeypatch.setattr(json_web_tokens, "REMEMBERED", 3)
    with gateway(application(keys), clock=CLOCK) as server:
        tokens = {name: issuer.token(sub=name) for name in "abcd"}
        for name in "aaabbaacdb":  # b is the one that was asked for longest ago when d comes
            assert ask(server, tokens[name]).json()["jwt"]["claims"]["sub"] == name
    assert "".join(verified) == "abcdb"


def test_keys_that_are_taken_out_of_the_file_let_nobody_in(tmp_path: Path) -> None:
    clock, path = VirtualClock(), tmp_path / "jwks.json"
    path.write_text(json.dumps(public_set(RSA)))
    issuer = Issuer(clock.now())
    with gateway(application(path), clock=clock) as server:
        assert ask(server, issuer.token()).status == 200
        path.write_text(json.dumps(public_set(OTHER_RSA)))
        clock.advance_from_thread(server._loop, 2)
        assert ask(server, issuer.token(key=OTHER_RSA)).status == 200, "an unknown key has the file read again"
        assert ask(server, issuer.token()).status == 401, "what was verified with the former key is forgotten"


def test_a_file_of_keys_that_is_gone_lets_nobody_in_before_long(tmp_path: Path) -> None:
    clock, path = VirtualClock(), tmp_path / "jwks.json"
    path.write_text(json.dumps(public_set(RSA)))
    token = Issuer(clock.now()).token()
    with gateway(application(path), clock=clock) as server:
        assert ask(server, token).status == 200
        path.unlink()
        for seconds in (30, 29):
            clock.advance_from_thread(server._loop, seconds)
            assert ask(server, token).status == 200, "a file that is being replaced may be away for a moment"
        clock.advance_from_thread(server._loop, 2)
        assert ask(server, token).status == 401, "though the token was verified before"


BROKEN = [
    ({"issuer": ""}, "issuer=''"),
    ({"audience": []}, r"audience=\[\]"),
    ({"jwks": "nowhere.json"}, "there is no such file"),
    ({"jwks": "http://login.example.com/keys"}, "not https"),
    ({"jwks": "https://user@login.example.com/keys"}, "is no address"),
    ({"jwks": None, "issuer": "login"}, "issuer='login' is refused"),
    ({"algorithms": ["HS256"]}, r"algorithms=\['HS256'\]"),
    ({"algorithms": ["none"]}, r"algorithms=\['none'\]"),
    ({"algorithms": []}, r"algorithms=\[\]"),
    ({"identity_source": "$request.body.token"}, "identity_source="),
    ({"identity_source": "$context.path"}, "identity_source="),
]


@pytest.mark.parametrize(("options", "error"), BROKEN)
def test_what_cannot_be_enforced_is_refused(server: GatewayServer, options: dict[str, Any], error: str) -> None:
    app = App("broken")
    app.http_api(authorizer=app.jwt_authorizer("users", **{"issuer": ISSUER, "audience": "shop", "jwks": __file__, **options}))
    app.on(Http("GET /who"))(lambda_free)
    with pytest.raises(SettingError, match=error):
        server.load(app)


def lambda_free(event: Any, context: Any) -> Any:
    return None


def test_routes_that_forget_their_authorizer_are_refused(server: GatewayServer) -> None:
    app = App("forgetful")
    app.jwt_authorizer("users", issuer=ISSUER, audience="shop")
    app.on(Http("GET /who"))(lambda_free)
    with pytest.raises(SettingError, match="The authorizer 'users' is declared, and closes nothing"):
        server.load(app)
    app.on(Http("GET /mine", authorizer="users"))(lambda_free)
    with pytest.raises(SettingError, match="route 'GET /who' says nothing of an authorizer, and would be open"):
        server.load(app)
    app = App("misspelled")
    app.on(Http("GET /mine", authorizer="user"))(lambda_free)
    with pytest.raises(SettingError, match="authorizer='user' is refused: the application has 'iam', 'none'"):
        server.load(app)
    for nothing in ("", "None", " none"):
        app = App("nothing")
        app.on(Http("GET /mine", authorizer=nothing))(lambda_free)
        with pytest.raises(SettingError, match=f"authorizer='{nothing}' is refused"):
            server.load(app)
    for strange in ("", [], ["iam"], {"jwt": "x"}, True):
        app = App("strange")
        app.http_api(authorizer=strange)
        app.on(Http("GET /mine"))(lambda_free)
        with pytest.raises(SettingError, match=r"HTTP API 'default': authorizer=.* is refused"):
            server.load(app)
    app = App("scoped")
    app.on(Http("GET /mine", authorizer="iam", scopes=["read"]))(lambda_free)
    with pytest.raises(SettingError, match="only tokens have scopes"):
        server.load(app)
    app = App("rest")
    app.on(Rest("GET /mine", authorizer=app.jwt_authorizer("users", issuer=ISSUER, audience="shop")))(lambda_free)
    with pytest.raises(SettingError, match="JWT authorizers are for HTTP APIs"):
        server.load(app)


def test_without_the_extra_the_error_says_what_to_install(server: GatewayServer, keys: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    for module in ("json_web_tokens", "keys", "tokens", "claims"):
        monkeypatch.delitem(sys.modules, f"eventflow.gateway.authorizers.{module}", raising=False)
        monkeypatch.delattr(f"eventflow.gateway.authorizers.{module}", raising=False)
    monkeypatch.setitem(sys.modules, "jwt.algorithms", None)
    with pytest.raises(SettingError, match=r"pip install 'eventflow\[gateway\]'"):
        server.load(application(keys))
