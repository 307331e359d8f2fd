"""Function URLs made by Lambda's API: the gateway of a real daemon serves them from then on."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.aws.deployed import create
from tests.patience import PATIENCE
from tests.process.daemon_process import DaemonProcess, daemon

HANDLER = (
    "def handler(event, context):\n    return {'path': event['rawPath'], 'version': context.function_version, 'arn': context.invoked_function_arn}\n"
)


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaemonProcess]:
    with daemon(tmp_path_factory.mktemp("urls"), "") as process:
        yield process.start()


@pytest.fixture(scope="module")
def client(process: DaemonProcess) -> Any:
    client = process.client("lambda")
    create(client, "page", HANDLER, Publish=True)
    client.create_alias(FunctionName="page", Name="live", FunctionVersion="1")
    return client


def get(address: str, **headers: str) -> tuple[int, Any, Any]:
    try:
        with urllib.request.urlopen(urllib.request.Request(address, headers=headers), timeout=PATIENCE) as answer:
            return answer.status, json.load(answer), answer.headers
    except urllib.error.HTTPError as error:
        return error.code, error.read(), error.headers


def test_urls_of_a_function_and_of_its_alias_answer_until_they_are_deleted(client: Any) -> None:
    with pytest.raises(ClientError, match="does not exist"):
        client.get_function_url_config(FunctionName="page")
    made = client.create_function_url_config(FunctionName="page", AuthType="NONE", Cors={"AllowOrigins": ["https://shop.example"]})
    alias = client.create_function_url_config(FunctionName="page", Qualifier="live", AuthType="NONE")
    status, body, headers = get(made["FunctionUrl"] + "a/b", Origin="https://shop.example")
    assert (status, body["path"], body["version"]) == (200, "/a/b", "$LATEST")
    assert headers["access-control-allow-origin"] == "https://shop.example"
    assert get(alias["FunctionUrl"])[1] == {"path": "/", "version": "1", "arn": alias["FunctionArn"]}
    assert client.get_function_url_config(FunctionName="page")["FunctionUrl"] == made["FunctionUrl"]

    client.update_function_url_config(FunctionName="page", AuthType="AWS_IAM")
    assert get(made["FunctionUrl"])[0] == 403
    client.delete_function_url_config(FunctionName="page")
    assert get(made["FunctionUrl"])[0] == 404
    assert get(alias["FunctionUrl"])[0] == 200


def test_what_a_url_cannot_have_is_refused_and_nothing_is_kept(client: Any) -> None:
    with pytest.raises(ClientError, match="origin 'shop'") as refused:
        client.create_function_url_config(FunctionName="page", AuthType="NONE", Cors={"AllowOrigins": ["shop"]})
    assert refused.value.response["Error"]["Code"] == "InvalidParameterValueException"
    assert [one["AuthType"] for one in client.list_function_url_configs(FunctionName="page")["FunctionUrlConfigs"]] == ["NONE"]


@pytest.mark.slow
def test_urls_outlive_a_kill(process: DaemonProcess, client: Any) -> None:
    client.create_alias(FunctionName="page", Name="kept", FunctionVersion="1")
    alias = client.create_function_url_config(FunctionName="page", Qualifier="kept", AuthType="NONE")["FunctionUrl"]
    process.kill()
    process.start()
    again = process.client("lambda").get_function_url_config(FunctionName="page", Qualifier="kept")["FunctionUrl"]
    assert again.rpartition("/_url/")[2] == alias.rpartition("/_url/")[2]
    assert get(again)[1]["version"] == "1"
