"""Which requests of boto3 in functions go to the daemon instead of to where they are addressed."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest
from botocore.awsrequest import AWSRequest

from eventflow.runtime.boto3_endpoints import VARIABLE, redirect

DOMAIN = "abcdefghij.execute-api.us-east-1.amazonaws.com"
OTHER = "zzzzzzzzzz.execute-api.us-east-1.amazonaws.com"


@pytest.fixture(autouse=True)
def daemon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, f"http://127.0.0.1:4566 {DOMAIN} second.execute-api.us-east-1.amazonaws.com")


@pytest.mark.parametrize("host", [DOMAIN, "second.execute-api.us-east-1.amazonaws.com", DOMAIN.upper()])
def test_a_domain_of_the_daemons_leads_to_it(host: str) -> None:
    request = AWSRequest("POST", f"https://{host}/prod/@connections/a%3D?x=1")
    redirect(request)
    assert request.url == "http://127.0.0.1:4566/prod/@connections/a%3D?x=1"
    assert request.headers["Host"] == host


@pytest.mark.parametrize("url", [f"https://{OTHER}/prod/x", "https://example.com/prod/x", f"https://{DOMAIN}.example.com/x", f"https://x.{DOMAIN}/x"])
def test_no_other_is_touched(url: str) -> None:
    request = AWSRequest("POST", url)
    redirect(request)
    assert request.url == url
    assert "Host" not in request.headers


def test_without_websocket_apis_nothing_is(monkeypatch: pytest.MonkeyPatch) -> None:
    for value in (None, ""):
        monkeypatch.delenv(VARIABLE) if value is None else monkeypatch.setenv(VARIABLE, value)
        request = AWSRequest("POST", f"https://{DOMAIN}/x")
        redirect(request)
        assert request.url == f"https://{DOMAIN}/x"


SCRIPT = """
    import http.server, os, sys, threading
    from eventflow.runtime import boto3_endpoints

    if sys.argv[1] == "late":
        import botocore.handlers
    boto3_endpoints.install()
    assert ("botocore" in sys.modules) is (sys.argv[1] == "late")

    class Daemon(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            print(self.headers["Host"], self.path, "SignedHeaders=host;" in self.headers["Authorization"])
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()
        def log_message(self, *arguments): ...

    server = http.server.HTTPServer(("127.0.0.1", 0), Daemon)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    os.environ[boto3_endpoints.VARIABLE] = f"http://127.0.0.1:{server.server_port} abc.execute-api.us-east-1.amazonaws.com"
    os.environ |= {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_DEFAULT_REGION": "us-east-1"}
    import boto3

    for session in (boto3, boto3.Session()):
        api = session.client("apigatewaymanagementapi", endpoint_url="https://abc.execute-api.us-east-1.amazonaws.com/prod")
        api.post_to_connection(ConnectionId="x=", Data=b"1")
"""


@pytest.mark.parametrize("when", ["early", "late"])
def test_every_session_of_a_process_does_it_whenever_botocore_came(when: str) -> None:
    ran = subprocess.run([sys.executable, "-c", textwrap.dedent(SCRIPT), when], capture_output=True, text=True, timeout=120, check=False)
    assert ran.stdout == "abc.execute-api.us-east-1.amazonaws.com /prod/@connections/x%3D True\n" * 2, ran.stderr
