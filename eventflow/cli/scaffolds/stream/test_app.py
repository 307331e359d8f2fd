from pathlib import Path

import boto3
import pytest

APP = str(Path(__file__).with_name("app.py"))


@pytest.fixture
def app(eventflow_harness):
    return eventflow_harness(APP)


def test_items_are_counted(app):
    table = boto3.resource("dynamodb").Table("items")
    for number in range(3):
        table.put_item(Item={"id": str(number)})
    table.delete_item(Key={"id": "0"})
    app.drain()
    assert boto3.resource("dynamodb").Table("counts").get_item(Key={"kind": "items"})["Item"]["amount"] == 2
