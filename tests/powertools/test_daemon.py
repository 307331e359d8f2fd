"""The same in a daemon, with a process for each invocation: what Powertools takes from the environment of a function."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from tests.patience import DAEMON
from tests.process.daemon_process import daemon

CODE = """
    import os
    from aws_lambda_powertools import Logger, Metrics, Tracer
    from aws_lambda_powertools.event_handler import APIGatewayRestResolver
    from aws_lambda_powertools.utilities import parameters
    from aws_lambda_powertools.utilities.idempotency import DynamoDBPersistenceLayer, idempotent
    from triggers import Rest

    app.table("idempotency", key="id")
    logger, metrics, tracer = Logger(service="shop"), Metrics(namespace="shop", service="shop"), Tracer(service="shop")
    resolver = APIGatewayRestResolver()
    runs = []

    @resolver.get("/things/<name>")
    @tracer.capture_method
    def thing(name):
        logger.info("asked")
        metrics.add_metric(name="Asked", unit="Count", value=1)
        return {"name": name, "traced": not tracer.disabled}

    @app.on(Rest("GET /things/{name}"), timeout=30)
    @logger.inject_lambda_context
    @tracer.capture_lambda_handler
    @metrics.log_metrics(capture_cold_start_metric=True)
    def things(event, context):
        return resolver.resolve(event, context)

    @app.function(timeout=30)
    @idempotent(persistence_store=DynamoDBPersistenceLayer(table_name="idempotency"))
    def once(event, context):
        runs.append(event)
        return {"runs": len(runs), "process": os.getpid()}

    @app.function(timeout=30)
    def secret(event, context):
        return parameters.get_secret("shop")
"""


@pytest.mark.slow
def test_powertools_in_environments(tmp_path: Path) -> None:
    import urllib.request

    with daemon(tmp_path, CODE) as running:
        running.start()
        with urllib.request.urlopen(f"{running.facts['gateway']}/prod/things/pot", timeout=DAEMON) as response:
            assert json.load(response) == {"name": "pot", "traced": False}
        first, second = (running.control("functions/once/invoke", {"payload": {"order": 1}})["payload"] for _ in range(2))
        assert first == second
        assert first["runs"] == 1
        refused = running.control("functions/secret/invoke", {"payload": {}})["payload"]
        assert refused["errorType"] == "GetParameterError"
        assert "eventflow does not have the service 'secretsmanager' yet" in refused["errorMessage"]
        written: list[str] = []
        end = time.monotonic() + DAEMON
        while not any(line.startswith("REPORT") for line in written):
            assert time.monotonic() < end
            written = [line["text"] for line in running.control("logs/things")["lines"]]
        told = [json.loads(line) for line in written if line.startswith("{")]
        [asked] = [line for line in told if line.get("message") == "asked"]
        assert (asked["cold_start"], asked["function_name"]) == (True, "things")
        assert any(line.get("ColdStart") == [1.0] for line in told)
        assert any(line.get("Asked") == [1.0] for line in told)
