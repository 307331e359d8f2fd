"""The settings of a Queue trigger, and what a queue's URL says of where it is."""

from __future__ import annotations

from typing import Any

import pytest

from eventflow import SettingError
from triggers.queue import Queue
from triggers.remote_queue import origin, region_of

GOOD = [
    {"name": "orders"},
    {"name": "orders.fifo", "batch_size": 10},
    {"name": "orders", "batch_size": 10_000, "window": 300},
    {"name": "https://sqs.eu-west-1.amazonaws.com/123456789012/orders"},
    {"name": "http://127.0.0.1:5000/123456789012/orders.fifo", "region": "eu-west-1"},
    {"name": "orders", "endpoint_url": "http://127.0.0.1:5000", "region": "eu-west-1"},
    {"name": "orders", "maximum_concurrency": 2, "partial_failures": True},
    {"name": "orders", "filters": [{"body": ["go"]}, '{"messageAttributes": {"a": {"stringValue": ["b"]}}}']},
]
BAD = [
    {"name": ""},
    {"name": "a/b"},
    {"name": "a" * 81},
    {"name": "https://sqs.eu-west-1.amazonaws.com/orders"},
    {"name": "orders", "batch_size": 0},
    {"name": "orders", "batch_size": 10_001, "window": 1},
    {"name": "orders", "batch_size": True},
    {"name": "orders", "batch_size": 11},
    {"name": "orders", "window": 301},
    {"name": "orders", "window": -1},
    {"name": "orders.fifo", "batch_size": 11, "window": 1},
    {"name": "orders.fifo", "window": 1},
    {"name": "orders", "partial_failures": "yes"},
    {"name": "orders", "filters": {"body": ["go"]}},
    {"name": "orders", "filters": ["not JSON"]},
    {"name": "orders", "filters": [{"body": "go"}]},
    {"name": "orders", "filters": [{"body": ["go"]}] * 11},
    {"name": "orders", "maximum_concurrency": 1},
    {"name": "orders", "maximum_concurrency": 1_001},
    {"name": "orders", "endpoint_url": "localhost"},
    {"name": "orders", "region": "eu-west-1"},
    {"name": "https://sqs.eu-west-1.amazonaws.com/1/orders", "region": "Europe!"},
]


@pytest.mark.parametrize("settings", GOOD)
def test_good_settings(settings: dict[str, Any]) -> None:
    trigger = Queue(**settings)
    assert Queue(**trigger.parameters()) == trigger
    assert [(resource.kind, resource.name) for resource in trigger.resources()] == ([("queue", trigger.name)] if trigger.embedded else [])


@pytest.mark.parametrize("settings", BAD)
def test_bad_settings(settings: dict[str, Any]) -> None:
    with pytest.raises(SettingError, match=f"Queue: {list(settings)[-1] if 'window' not in settings else ''}"):
        Queue(**settings)


@pytest.mark.parametrize(
    ("url", "region", "host"),
    [
        ("https://sqs.eu-west-1.amazonaws.com/1/q", "eu-west-1", "https://sqs.eu-west-1.amazonaws.com"),
        ("https://sqs.cn-north-1.amazonaws.com.cn/1/q", "cn-north-1", "https://sqs.cn-north-1.amazonaws.com.cn"),
        ("https://us-west-2.queue.amazonaws.com/1/q", "us-west-2", "https://us-west-2.queue.amazonaws.com"),
        ("https://sqs-fips.us-east-1.amazonaws.com/1/q", "us-east-1", "https://sqs-fips.us-east-1.amazonaws.com"),
        ("http://localhost:5000/1/q", None, "http://localhost:5000"),
        ("q", None, None),
    ],
)
def test_a_url_tells_region_and_endpoint(url: str, region: str | None, host: str | None) -> None:
    assert (region_of(url), origin(url)) == (region, host)
