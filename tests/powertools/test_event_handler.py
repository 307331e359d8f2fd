"""Powertools' event handlers behind the real gateway: HTTP API, REST API and function URL."""

from __future__ import annotations

import gzip
import json

import pytest

from eventflow.testing.harness import Harness


def test_http_api_resolves_path_query_and_request_id(harness: Harness) -> None:
    answer = harness.request("GET", "/items/tea%20pot?size=3")
    assert answer.status == 200
    found = answer.json()
    assert (found["name"], found["size"]) == ("tea pot", 3)
    assert dict(answer.headers)["apigw-requestid"] == found["id"]


def test_http_api_validates_bodies_with_pydantic(harness: Harness) -> None:
    made = harness.request("POST", "/items", json.dumps({"name": "pot", "price": 2}), {"Content-Type": "application/json"})
    assert (made.status, made.json()) == (201, {"name": "pot", "price": 2.0})
    refused = harness.request("POST", "/items", json.dumps({"name": "pot"}), {"Content-Type": "application/json"})
    assert refused.status == 422
    assert refused.json()["detail"][0]["loc"] == ["body", "price"]


def test_http_api_cookies_headers_and_binary(harness: Harness) -> None:
    answer = harness.request("GET", "/cookies")
    assert [value for name, value in answer.headers if name.lower() == "set-cookie"] == ["a=1; Secure", "b=2; Secure"]
    assert dict(answer.headers)["x-two"] == "1, 2"
    assert harness.request("GET", "/picture").body == b"\x89PNG\xff"


def test_rest_api_resolves_queries_headers_and_identity(harness: Harness) -> None:
    answer = harness.request("GET", "/prod/things/pot?q=1&q=2", headers={"User-Agent": "tester"})
    assert answer.json() == {"name": "pot", "query": "2", "all": ["1", "2"], "agent": "tester", "source": "127.0.0.1", "stage": "prod"}


def test_rest_api_bodies_and_errors(harness: Harness) -> None:
    assert harness.request("PUT", "/prod/things/pot", '{"a": [1]}').json() == {"name": "pot", "body": {"a": [1]}}
    missing = harness.request("GET", "/prod/things/nothing")
    assert (missing.status, missing.json()["message"]) == (404, "no nothing")
    broken = harness.request("GET", "/prod/broken")
    assert (broken.status, broken.text) == (418, "division by zero")
    assert harness.request("GET", "/prod/unknown").status == 404


def test_function_url(harness: Harness) -> None:
    answer = harness.request("POST", "/_url/over_url/hello/you", "hi", {"Content-Type": "text/plain"})
    assert answer.json() == {"hello": "you", "body": "hi", "method": "POST"}


@pytest.mark.parametrize("accepted", ["gzip", "identity"])
def test_compressed_answers(harness: Harness, accepted: str) -> None:
    answer = harness.request("GET", "/prod/compressed", headers={"Accept-Encoding": accepted})
    body = gzip.decompress(answer.body) if accepted == "gzip" else answer.body
    assert json.loads(body) == {"text": "a" * 1000}
