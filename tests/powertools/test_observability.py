"""Powertools' logger, metrics and tracer without CloudWatch and X-Ray, and its parameters without the services that keep them."""

from __future__ import annotations

import io
import json
from types import ModuleType
from typing import Any

import pytest
from aws_lambda_powertools import Tracer
from aws_lambda_powertools.utilities import parameters
from aws_lambda_powertools.utilities.parameters.exceptions import GetParameterError

from eventflow.testing.harness import Harness


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


def test_logs_and_metrics_are_lines_of_json(
    harness: Harness, application: ModuleType, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    output = io.StringIO()
    monkeypatch.setattr(application.logger.registered_handler, "stream", output)
    assert harness.request("GET", "/prod/things/pot").status == 200
    written = lines(output.getvalue() + capsys.readouterr().out)
    [logged] = [line for line in written if line.get("message") == "asked"]
    assert logged["function_name"] == "over_rest"
    assert logged["function_arn"].endswith(":function:over_rest")
    assert logged["function_memory_size"] == "128"
    [event] = [line["message"] for line in written if isinstance(line.get("message"), dict)]
    assert logged["correlation_id"] == event["requestContext"]["requestId"]
    measured = [line for line in written if "_aws" in line]
    assert any(line.get("Asked") == [1.0] for line in measured)


def test_the_tracer_is_switched_off(harness: Harness) -> None:
    assert Tracer(service="shop").disabled


@pytest.mark.parametrize(
    "get, service",
    [
        (lambda: parameters.get_parameter("/shop/price"), "ssm"),
        (lambda: parameters.get_parameters("/shop"), "ssm"),
        (lambda: parameters.get_secret("shop"), "secretsmanager"),
        (lambda: parameters.get_app_config("shop", "prod", "app"), "appconfig"),
    ],
)
def test_parameters_of_services_that_are_not_there_are_refused(harness: Harness, get: Any, service: str) -> None:
    with pytest.raises(GetParameterError) as refused:
        get()
    assert "NotImplemented" in str(refused.value)
    assert service in str(refused.value)


def test_parameters_in_a_table(harness: Harness) -> None:
    harness.client("dynamodb").put_item(TableName="settings", Item={"id": {"S": "price"}, "value": {"S": "7"}})
    assert parameters.DynamoDBProvider(table_name="settings").get("price") == "7"
