"""Whether an API answers what its published document says, asked by schemathesis."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from eventflow import App
from tests.gateway.server import gateway
from triggers import Http, Rest

ITEM = {
    "type": "object",
    "required": ["name", "count"],
    "properties": {"name": {"type": "string", "minLength": 1, "maxLength": 20}, "count": {"type": "integer", "minimum": 0, "maximum": 1000}},
    "additionalProperties": False,
}
JSON = {"content-type": "application/json"}
STORED = {"description": "The item.", "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Item"}}}}
REFUSED = {"description": "No.", "content": {"application/json": {"schema": {"type": "object", "required": ["message"]}}}}
CHECKS = ",".join(
    (
        *("not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance"),
        *("response_headers_conformance", "negative_data_rejection"),
    )
)


def items() -> App:
    app = App("items")
    app.rest_api(base_path="/", models={"Item": ITEM}, openapi_route=True)

    @app.on(Rest("PUT /items/{id}", validator="all", models="Item", openapi={"responses": {"200": STORED, "400": REFUSED}}))
    def put(event: Any, context: Any) -> Any:
        return {"statusCode": 200, "headers": JSON, "body": event["body"]}

    @app.on(Rest("GET /items/{id}", validator="params", required=["query.view"], openapi={"responses": {"200": STORED, "400": REFUSED}}))
    def get(event: Any, context: Any) -> Any:
        return {"statusCode": 200, "headers": JSON, "body": json.dumps({"name": "x", "count": len(event["queryStringParameters"]["view"])})}

    return app


def web() -> App:
    app = App("web")
    app.http_api(openapi_route=True)

    @app.on(
        Http(
            "GET /hello/{name}",
            openapi={"responses": {"200": {"description": "A greeting.", "content": {"application/json": {"schema": {"type": "string"}}}}}},
        )
    )
    def hello(event: Any, context: Any) -> Any:
        return {"statusCode": 200, "headers": JSON, "body": json.dumps(event["pathParameters"]["name"])}

    return app


def schemathesis(url: str, folder: Path, examples: int) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "schemathesis.cli", "run", f"{url}/openapi.json", "--checks", CHECKS, "--max-examples", str(examples)]
    command += ["--phases", "examples,coverage,fuzzing", "--seed", "1", "--no-color", "--suppress-health-check", "all"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=300)


@pytest.mark.slow
@pytest.mark.parametrize("app", [items(), web()], ids=str)
def test_an_api_is_as_its_document_says(app: App, tmp_path: Path) -> None:
    with gateway(app) as server:
        done = schemathesis(server.url, tmp_path, 40)
        assert done.returncode == 0, done.stdout + done.stderr
        assert len(server.events) > 20


@pytest.mark.slow
def test_it_would_find_a_document_that_is_wrong(tmp_path: Path) -> None:
    app = App("wrong")
    app.rest_api(base_path="/", openapi_route=True)
    app.on(Rest("GET /x", openapi={"responses": {"204": {"description": "Nothing."}}}), name="x")(lambda event, context: {"statusCode": 200})
    with gateway(app) as server:
        done = schemathesis(server.url, tmp_path, 5)
        assert done.returncode == 1
        assert "1 unique failure" in done.stdout
