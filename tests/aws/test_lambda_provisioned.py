"""Provisioned concurrency by Lambda's API: environments of a real daemon that are warm before the first invocation."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.aws.deployed import create, refusal
from tests.patience import PATIENCE
from tests.process.daemon_process import DaemonProcess, daemon

pytestmark = pytest.mark.slow  # a daemon of its own, killed and started again

HANDLER = """
import os
if os.environ.get("BROKEN"):
    raise RuntimeError("at import")
def handler(event, context):
    return os.environ["AWS_LAMBDA_INITIALIZATION_TYPE"]
"""


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaemonProcess]:
    with daemon(tmp_path_factory.mktemp("provisioned"), "") as process:
        yield process.start()


@pytest.fixture(scope="module")
def client(process: DaemonProcess) -> Any:
    client = process.client("lambda")
    for name, variables in (("f", {}), ("broken", {"BROKEN": "1"})):
        create(client, name, HANDLER, Environment={"Variables": variables}, Publish=True)
        client.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
    return client


def until(client: Any, status: str, name: str = "f", qualifier: str = "1") -> Any:
    end = time.monotonic() + PATIENCE
    while (found := client.get_provisioned_concurrency_config(FunctionName=name, Qualifier=qualifier))["Status"] != status:
        assert time.monotonic() < end, found
        time.sleep(0.02)
    return found


def environments(process: DaemonProcess, key: str) -> int:
    (found,) = [one for one in process.control("status")["functions"] if f"{one['name']}:{one['version']}" == key]
    return sum(found["environments"].values())


def test_environments_are_warm_stay_so_over_kills_and_go_with_the_setting(process: DaemonProcess, client: Any) -> None:
    put = client.put_provisioned_concurrency_config
    assert put(FunctionName="f", Qualifier="1", ProvisionedConcurrentExecutions=3)["RequestedProvisionedConcurrentExecutions"] == 3
    ready = until(client, "READY")
    assert ready["AvailableProvisionedConcurrentExecutions"] == 3
    assert json.load(client.invoke(FunctionName="f", Qualifier="1")["Payload"]) == "provisioned-concurrency"
    assert json.load(client.invoke(FunctionName="f")["Payload"]) == "on-demand"
    refused = refusal(put, FunctionName="f", Qualifier="live", ProvisionedConcurrentExecutions=1)
    assert refused[0] == "ResourceConflictException"

    process.kill()
    process.start()
    again = process.client("lambda")
    until(again, "READY")
    assert environments(process, "f:1") == 3
    assert [one["Status"] for one in again.list_provisioned_concurrency_configs(FunctionName="f")["ProvisionedConcurrencyConfigs"]] == ["READY"]
    again.delete_provisioned_concurrency_config(FunctionName="f", Qualifier="1")
    gone = refusal(again.get_provisioned_concurrency_config, FunctionName="f", Qualifier="1")
    assert gone[:2] == ("ProvisionedConcurrencyConfigNotFoundException", 404)


def test_an_alias_keeps_the_version_warm_that_it_names(process: DaemonProcess, client: Any) -> None:
    client = process.client("lambda")
    client.put_provisioned_concurrency_config(FunctionName="f", Qualifier="live", ProvisionedConcurrentExecutions=2)
    until(client, "READY", qualifier="live")
    assert environments(process, "f:1") == 2
    client.update_function_configuration(FunctionName="f", Description="another")
    assert client.publish_version(FunctionName="f")["Version"] == "2"
    client.update_alias(FunctionName="f", Name="live", FunctionVersion="2")
    until(client, "READY", qualifier="live")
    assert environments(process, "f:2") == 2
    with pytest.raises(ClientError, match="provisioned concurrency"):
        client.update_alias(FunctionName="f", Name="live", RoutingConfig={"AdditionalVersionWeights": {"1": 0.5}})
    client.delete_alias(FunctionName="f", Name="live")
    assert client.list_provisioned_concurrency_configs(FunctionName="f")["ProvisionedConcurrencyConfigs"] == []


def test_what_cannot_be_provisioned_is_refused_and_what_fails_is_told(process: DaemonProcess, client: Any) -> None:
    client = process.client("lambda")
    put = client.put_provisioned_concurrency_config
    assert "unpublished" in refusal(put, FunctionName="f", Qualifier="$LATEST", ProvisionedConcurrentExecutions=1)[2]
    assert refusal(put, FunctionName="f", Qualifier="9", ProvisionedConcurrentExecutions=1)[:2] == ("ResourceNotFoundException", 404)
    assert "minimum value of [100]" in refusal(put, FunctionName="f", Qualifier="1", ProvisionedConcurrentExecutions=901)[2]
    client.put_function_concurrency(FunctionName="f", ReservedConcurrentExecutions=1)
    assert "reservedConcurrentExecution" in refusal(put, FunctionName="f", Qualifier="1", ProvisionedConcurrentExecutions=2)[2]
    put(FunctionName="broken", Qualifier="1", ProvisionedConcurrentExecutions=1)
    assert until(client, "FAILED", "broken")["StatusReason"] == "FUNCTION_ERROR_INIT_FAILURE"
    client.delete_function(FunctionName="broken")
